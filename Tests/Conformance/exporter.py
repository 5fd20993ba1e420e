"""Reads tables of the console as exporters do: by simple and extended queries, as text and as binary.

usage: exporter.py CONNECTION_STRING TABLE...

Every difference between the ways, and every value that is not of its column's type, is a line on standard output.
"""

import decimal
import sys

import psycopg

# What psycopg makes of text, int4, int8 and numeric.
TYPES = {25: str, 23: int, 20: int, 1700: decimal.Decimal}


def read(connection, table, **options):
    with connection.cursor(binary=options.pop("binary", False)) as cursor:
        cursor.execute(f"SHOW {table}", **options)
        if cursor.description is None:
            return cursor.statusmessage, None, []
        columns = [(column.name, column.type_code) for column in cursor.description]
        return cursor.statusmessage, columns, cursor.fetchall()


def check(table, way, answer, first):
    tag, columns, rows = answer
    if tag != "SHOW":
        print(f"{table}: {way}: tag {tag}")
    if columns != first[1]:
        print(f"{table}: {way}: columns {columns}, not {first[1]}")
    for row in rows:
        for (name, code), value in zip(columns, row, strict=True):
            if value is not None and type(value) is not TYPES[code]:
                print(f"{table}: {way}: {name} is {value!r}")
    # What counts nothing that asking for it changes.
    if table in ("CONFIG", "DATABASES", "STATE", "USERS", "VERSION") and rows != first[2]:
        print(f"{table}: {way}: rows {rows}, not {first[2]}")


def main():
    notices = []
    with psycopg.connect(sys.argv[1], autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        for table in sys.argv[2:]:
            del notices[:]
            first = read(connection, table)
            check(table, "simple", first, first)
            # The first prepares, the second executes what has been prepared.
            for way in ("parsed", "prepared"):
                check(table, way, read(connection, table, prepare=True), first)
            check(table, "binary", read(connection, table, binary=True), first)
            if notices != (["Console usage"] * 4 if table == "HELP" else []):
                print(f"{table}: notices {notices}")
        try:
            connection.execute("SHOW NOTHING", prepare=True)
            print("SHOW NOTHING: no error")
        except psycopg.errors.ProtocolViolation as error:
            if error.diag.message_primary != "invalid command 'SHOW NOTHING', use SHOW HELP;":
                print(f"SHOW NOTHING: {error}")
        print("checked", len(sys.argv) - 2)


main()
