"""Cases that differ through Martlet, and why.

A case that does not differ any more fails until it is off this list, unless it depends on which server a client
gets.
"""

NEW_COLUMNS = (
    "a client that was told of the columns before a table changed gets rows of the new ones, on a server that has"
    " prepared its statement since, where PostgreSQL says 'cached plan must not change result type'"
)
NOT_TRIED_AGAIN = "in a transaction block 'cached plan must not change result type' comes once more"
VIEW = "pg_prepared_statements has what the server has, under the server's names"

EXPECTED = {
    ("asyncpg", "result_type_changes"): NEW_COLUMNS,
    ("pgjdbc", "result_type_changes"): NEW_COLUMNS,
    ("pgjdbc", "autosave"): NEW_COLUMNS,
    ("active-record", "result_type_changes"): NOT_TRIED_AGAIN,
    ("psycopg", "statements_in_the_view"): VIEW,
    ("psycopg-python", "statements_in_the_view"): VIEW,
    ("libpq", "view_of_statements"): VIEW,
    ("libpq", "reset_in_one_query"): "RESET with statements behind it in one Query gives what the server began with",
    ("libpq", "untouched_custom_setting"): "a custom setting that another client of the server has set is '', not NULL",
}

# The reasons that depend on which server a client gets.
BY_CHANCE = {NEW_COLUMNS, NOT_TRIED_AGAIN}
