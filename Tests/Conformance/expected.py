"""Cases that differ through Martlet, and why.

A case that does not differ any more fails until it is off this list.
"""

VIEW = "pg_prepared_statements has what the server has, under the server's names"

EXPECTED = {
    ("psycopg", "statements_in_the_view"): VIEW,
    ("psycopg-python", "statements_in_the_view"): VIEW,
    ("libpq", "view_of_statements"): VIEW,
    ("libpq", "reset_in_one_query"): "RESET with statements behind it in one Query gives what the server began with",
    ("libpq", "untouched_custom_setting"): "a custom setting that another client of the server has set is '', not NULL",
}
