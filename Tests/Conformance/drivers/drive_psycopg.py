"""psycopg 3: statements prepared after five runs, pipelines, server-side cursors, COPY, notifications."""

import asyncio
import contextlib
import dataclasses
import datetime

import psycopg
import psycopg_pool
from psycopg import sql
from psycopg.rows import class_row, dict_row, namedtuple_row
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo
from psycopg.types.hstore import register_hstore
from psycopg.types.range import Range, RangeInfo, register_range
from psycopg.types import TypeInfo

import cases
from cases import LOOK, caught


def connect(client, settings=True, **more):
    connection = psycopg.connect("", **more)
    if settings:
        for statement in client.settings:
            connection.execute(statement)
        if not connection.autocommit:
            connection.commit()
    return connection


def settings(client):
    """Settings over commits and rollbacks, and what the driver keeps of them."""
    saw = []
    with connect(client) as connection:
        for _ in range(5):
            saw.append(connection.execute(LOOK).fetchone())
            connection.commit()
        connection.execute("set timezone to 'Asia/Tokyo'")
        connection.execute("set lock_timeout to 7777")
        saw.append(connection.execute(LOOK).fetchone())
        connection.rollback()
        for _ in range(3):
            saw.append(connection.execute(LOOK).fetchone())
            saw.append(str(connection.info.timezone))
            saw.append(connection.execute("select '2024-07-01 12:00+00'::timestamptz").fetchone())
            connection.commit()
        connection.execute("reset statement_timeout")
        connection.commit()
        saw.append(connection.execute(LOOK).fetchone())
        saw.append(connection.info.parameter_status("TimeZone"))
        saw.append(connection.info.parameter_status("application_name"))
    return saw


def start_options(client):
    """Settings of the connection string, to which RESET returns."""
    saw = []
    zone = f"Etc/GMT-{client.number + 1}"
    options = f"-c timezone={zone} -c work_mem={4096 + client.number}kB -c search_path={client.schema}"
    with connect(client, False, options=options, application_name=f"start {client.number}") as connection:
        for _ in range(3):
            saw.append(connection.execute(LOOK).fetchone())
            connection.commit()
        for statement in client.settings:
            connection.execute(statement)
        connection.commit()
        saw.append(connection.execute(LOOK).fetchone())
        connection.commit()
        connection.execute("reset all")
        connection.execute("reset role")
        connection.commit()
        for _ in range(2):
            saw.append(connection.execute(LOOK).fetchone())
            connection.commit()
        connection.autocommit = True
        connection.execute("set work_mem = '9MB'")
        connection.execute("discard all")
        for _ in range(2):
            saw.append(connection.execute(LOOK).fetchone())
    return saw


def prepared_after_five(client):
    saw = []
    with connect(client) as connection:
        for turn in range(12):
            row = connection.execute(f"select %s + {client.number}, current_setting('timezone')", [turn])
            saw.append(row.fetchone())
            connection.commit()
        for turn in range(12):
            row = connection.execute(f"select %s || '{client.number}', %s::timestamptz::text",
                                     ["a", "2024-01-02 03:04:05"])
            saw.append(row.fetchone())
            connection.commit()
    return saw


def evicted_statements(client):
    """prepared_max is small: statements go and come back, inside transactions and between them."""
    saw = []
    with connect(client, autocommit=True, prepare_threshold=0) as connection:
        connection.prepared_max = 3
        for turn in range(4):
            for text in range(8):
                saw.append(connection.execute(f"select {text} * 100 + %s", [client.number]).fetchone())
        with connection.transaction():
            for text in range(8):
                saw.append(connection.execute(f"select {text} * 1000 + %s", [client.number]).fetchone())
        try:
            with connection.transaction():
                for text in range(5):
                    connection.execute(f"select {text} * 7 + %s", [client.number])
                connection.execute("select 1 / %s", [0])
        except psycopg.errors.DivisionByZero as error:
            saw.append(error.sqlstate)
        for text in range(8):
            saw.append(connection.execute(f"select {text} * 7 + %s", [client.number]).fetchone())
    return saw


def deallocate_all(client):
    saw = []
    with connect(client, autocommit=True) as connection:
        for turn in range(3):
            for text in range(3):
                query = f"select {text} + %s"
                saw.append(connection.execute(query, [client.number], prepare=True).fetchone())
        connection.execute("deallocate all")
        # The driver does not know; PostgreSQL says so.
        with caught(saw):
            connection.execute("select 0 + %s", [client.number], prepare=True)
        saw.append(connection.execute("select 'new' || %s", ["a"], prepare=True).fetchone())
    return saw


def statements_in_the_view(client):
    saw = []
    with connect(client, autocommit=True) as connection:
        for text in range(3):
            connection.execute(f"select {text}, {client.number}, %s", ["a"], prepare=True)
        cursor = connection.execute(
            "select name, statement, parameter_types::text from pg_prepared_statements order by name")
        saw.append(cursor.fetchall())
    return saw


def result_type_changes(client):
    """A column more, while the driver has the statement prepared."""
    saw = []
    with connect(client, autocommit=True) as connection:
        connection.execute(f"create table {client.schema}.wider as select {client.number} as a")
        for _ in range(7):
            saw.append(connection.execute(f"select * from {client.schema}.wider").fetchall())
        connection.execute(f"alter table {client.schema}.wider add b text default 'b'")
        for _ in range(3):
            with caught(saw):
                saw.append(connection.execute(f"select * from {client.schema}.wider").fetchall())
        connection.execute(f"drop table {client.schema}.wider")
    return saw


def others_know_the_new_type(client):
    """Whoever connects after a column was added has nothing to do with statements from before."""
    saw = []
    query = f"select * from {client.schema}.grown"
    with connect(client, autocommit=True) as first, connect(client, autocommit=True) as second:
        first.execute(f"create table {client.schema}.grown as select {client.number} as a")
        for _ in range(10):
            saw.append(first.execute(query, prepare=True).fetchall())
        second.execute(f"alter table {client.schema}.grown add b text default 'b'")
    for _ in range(4):
        with connect(client, autocommit=True) as connection:
            saw.append(connection.execute(query, prepare=True).fetchall())
    return saw


def table_made_anew(client):
    """Statements survive that their table is dropped and created with the same columns."""
    saw = []
    with connect(client) as connection:
        for turn in range(4):
            connection.execute("create table anew (a int)")
            connection.execute("insert into anew values (%s)", [client.number], prepare=True)
            saw.append(connection.execute("select a from anew", prepare=True).fetchall())
            connection.execute("drop table anew")
            connection.commit()
    return saw


def pipeline(client):
    saw = []
    with connect(client, autocommit=True) as connection:
        with connection.pipeline() as pipe:
            cursors = [connection.execute(f"select {text} + %s", [client.number]) for text in range(10)]
            saw.append([cursor.fetchone() for cursor in cursors])
            pipe.sync()
        with caught(saw):
            with connection.pipeline() as pipe:
                first = connection.execute("select 'before'")
                connection.execute("select 1 / %s", [0])
                connection.execute("select 'behind'")
                pipe.sync()
        saw.append(first.fetchall())
        with caught(saw):
            with connection.pipeline():
                connection.execute("select 'x'")
                connection.execute("select nothing_such")
        saw.append(connection.info.transaction_status.name)
        saw.append(connection.execute(LOOK).fetchone())
    return saw


def pipeline_in_transactions(client):
    saw = []
    with connect(client) as connection:
        connection.execute("create table piped (a int primary key, b text)")
        connection.commit()
        with connection.pipeline():
            for turn in range(3):
                with connection.transaction():
                    for row in range(20):
                        key = turn * 20 + row
                        connection.execute("insert into piped values (%s, %s)", [key, str(client.number)])
                with caught(saw, psycopg.Error):
                    with connection.transaction():
                        connection.execute("insert into piped values (1, 'twice')")
        saw.append(connection.execute("select count(*), min(b), max(b) from piped").fetchone())
        connection.execute("drop table piped")
    return saw


def many(client):
    """executemany, which pipelines on its own, and RETURNING."""
    saw = []
    with connect(client) as connection, connection.cursor() as cursor:
        cursor.execute("create table many (a int, b timestamptz)")
        rows = [(row * client.number, f"2024-01-01 00:00:{row:02}") for row in range(60)]
        cursor.executemany("insert into many values (%s, %s) returning a, b::text", rows, returning=True)
        while True:
            saw.append(cursor.fetchone())
            if not cursor.nextset():
                break
        connection.commit()
        saw.append(cursor.execute("select sum(a) from many").fetchone())
        connection.commit()
        with caught(saw):
            cursor.executemany("insert into many values (%s / %s)", [(1, 1), (1, 0), (2, 1)])
        connection.rollback()
        cursor.execute("drop table many")
    return saw


def notifications(client):
    """One connection listens, another one notifies."""
    saw = []
    channel = f"channel {client.number}"
    with connect(client, autocommit=True) as listener, connect(client, autocommit=True) as other:
        listener.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
        for turn in range(3):
            other.execute("select pg_notify(%s, %s)", [channel, f"{client.number} {turn}"])
        for notice in listener.notifies(timeout=20, stop_after=3):
            saw.append([notice.channel, notice.payload])
        listener.execute("unlisten *")
        other.execute("select pg_notify(%s, 'nobody')", [channel])
        saw.extend(listener.notifies(timeout=0.2))
    return saw


def notifications_to_itself(client):
    saw = []
    with connect(client, autocommit=True) as connection:
        # Others notify the same channel.
        mine = f"from {client.number}"
        connection.add_notify_handler(lambda one: one.payload == mine and saw.append([one.channel, one.payload]))
        connection.execute("listen same")
        with connection.transaction():
            connection.execute(f"notify same, '{mine}'")
            saw.append("in the transaction")
        connection.execute("select 1")
        connection.execute("unlisten same")
        saw.append(connection.execute("select pg_listening_channels()").fetchall())
    return saw


def cursors(client):
    saw = []
    with connect(client) as connection:
        query = f"select g * {client.number}, 'x' from generate_series(1, 50) g"
        with connection.cursor("named") as cursor:
            cursor.itersize = 7
            cursor.execute(query)
            saw.append([row[0] for row in cursor])
        with connection.cursor("scrolling", scrollable=True) as cursor:
            cursor.execute(query)
            saw.append(cursor.fetchmany(5))
            cursor.scroll(-3)
            saw.append(cursor.fetchone())
            cursor.scroll(40, mode="absolute")
            saw.append(cursor.fetchall())
        connection.commit()
        with connection.cursor("named", withhold=True) as cursor:
            cursor.execute(query)
            connection.commit()
            saw.append(cursor.fetchmany(3))
            connection.commit()
            connection.execute("select 1")
            connection.rollback()
            saw.append(cursor.fetchmany(3))
        connection.commit()
        saw.append(connection.execute("select count(*) from pg_cursors").fetchone())
    with connect(client, autocommit=True) as connection:
        with connection.cursor("held", withhold=True) as cursor:
            cursor.execute(query)
            saw.append(cursor.fetchmany(4))
            saw.append(connection.execute(LOOK).fetchone())
            saw.append(cursor.fetchmany(4))
        with caught(saw):
            connection.execute("fetch from held")
        with caught(saw):
            with connection.cursor("unheld") as cursor:
                cursor.execute(query)
                cursor.fetchone()
        saw.append(connection.execute("select %s", [client.number], binary=True).fetchone())
    return saw


def copy(client):
    saw = []
    with connect(client) as connection, connection.cursor() as cursor:
        cursor.execute("create table copied (a int, b text, c timestamptz)")
        connection.commit()
        with cursor.copy("copy copied from stdin") as data:
            for row in range(2000):
                data.write_row((row, f"{client.number} \t\n\\", datetime.datetime(2024, 1, 1, 12)))
        connection.commit()
        saw.append(cursor.execute("select count(*), min(b), max(c)::text from copied").fetchone())
        with cursor.copy("copy (select a, b from copied where a < 5) to stdout") as data:
            saw.append([row for row in data.rows()])
        with cursor.copy("copy copied (a, b) from stdin (format binary)") as data:
            data.set_types(["int4", "text"])
            data.write_row((-1, "binary"))
        with cursor.copy("copy (select a, b from copied where a < 0) to stdout (format binary)") as data:
            data.set_types(["int4", "text"])
            saw.append([row for row in data.rows()])
        connection.commit()
        with caught(saw):
            with cursor.copy("copy copied from stdin") as data:
                data.write("not a number\n")
        connection.rollback()
        with caught(saw):
            with cursor.copy("copy copied from stdin") as data:
                data.write_row((1, "a", None))
                raise RuntimeError("the program's own")
        connection.rollback()
        saw.append(cursor.execute("select count(*) from copied").fetchone())
        saw.append(cursor.execute(LOOK).fetchone())
        cursor.execute("drop table copied")
    return saw


def transactions(client):
    saw = []
    with connect(client, autocommit=True) as connection:
        with connection.transaction():
            connection.execute("set local statement_timeout = 4321")
            saw.append(connection.execute(LOOK).fetchone())
            with caught(saw):
                with connection.transaction("inner"):
                    connection.execute("set timezone to 'Asia/Kolkata'")
                    connection.execute("select 1 / 0")
            saw.append(connection.execute(LOOK).fetchone())
            with connection.transaction() as inner:
                connection.execute("set work_mem to '8MB'")
                raise psycopg.Rollback(inner)
        saw.append(connection.execute(LOOK).fetchone())
        with connection.transaction(force_rollback=True):
            connection.execute("set lock_timeout to 99")
        saw.append(connection.execute(LOOK).fetchone())
    with connect(client) as connection:
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        connection.read_only = True
        connection.deferrable = True
        for _ in range(2):
            saw.append(connection.execute(
                "select current_setting('transaction_isolation'), current_setting('transaction_read_only'),"
                " current_setting('transaction_deferrable')").fetchone())
            connection.rollback()
        connection.read_only = None
        connection.isolation_level = psycopg.IsolationLevel.READ_UNCOMMITTED
        saw.append(connection.execute("show transaction_isolation").fetchone())
        saw.append(connection.info.transaction_status.name)
        with caught(saw):
            connection.execute("select nothing_such")
        saw.append(connection.info.transaction_status.name)
        with caught(saw):
            connection.execute("select 1")
        connection.rollback()
        saw.append(connection.info.transaction_status.name)
    return saw


def two_phases(client):
    saw = []
    with connect(client, autocommit=True) as connection:
        connection.execute("create table phased (a int)")
    for commits in (True, False):
        with contextlib.closing(connect(client)) as connection:
            connection.tpc_begin(connection.xid(1, f"c{client.number}", str(commits)))
            connection.execute("insert into phased values (1)")
            connection.tpc_prepare()
            connection.tpc_commit() if commits else connection.tpc_rollback()
            saw.append(connection.execute("select count(*) from phased").fetchone())
    connection = connect(client)
    connection.tpc_begin(connection.xid(1, f"c{client.number}", "later"))
    connection.execute("insert into phased values (1)")
    connection.tpc_prepare()
    connection.close()
    with connect(client) as connection:
        mine = [xid for xid in connection.tpc_recover() if xid.gtrid == f"c{client.number}"]
        saw.append([xid.bqual for xid in mine])
        connection.tpc_commit(mine[0])
        saw.append(connection.execute("select count(*) from phased").fetchone())
        connection.execute("drop table phased")
    return saw


@dataclasses.dataclass
class Row:
    a: int
    b: str


def row_factories(client):
    saw = []
    query = f"select {client.number} as a, 'b' as b"
    with connect(client, row_factory=dict_row) as connection:
        for _ in range(6):
            saw.append(connection.execute(query).fetchone())
            connection.commit()
        for factory in (namedtuple_row, class_row(Row)):
            with connection.cursor(row_factory=factory) as cursor:
                saw.append(repr(cursor.execute(query).fetchone()))
        cursor = connection.execute("select 1 as one; select 2 as two")
        saw.append(cursor.fetchall())
        saw.append(cursor.nextset())
        saw.append(cursor.fetchall())
    with connect(client, cursor_factory=psycopg.ClientCursor) as connection:
        saw.append(connection.execute("select %s, %s::text; select %s", [client.number, "a'b", None])
                   .fetchall())
    with connect(client, cursor_factory=psycopg.RawCursor) as connection:
        saw.append(connection.execute("select $1::int, $2::text", [client.number, "a"]).fetchall())
    return saw


def type_discovery(client):
    saw = []
    with connect(client, autocommit=True) as connection:
        connection.execute(f"create type mood as enum ('sad', 'glad{client.number}')")
        connection.execute("create type pair as (a int, b text)")
        connection.execute("create type span as range (subtype = float8)")
        register_composite(CompositeInfo.fetch(connection, "pair"), connection)
        register_range(RangeInfo.fetch(connection, "span"), connection)
        saw.append(EnumInfo.fetch(connection, "mood").labels)
        saw.append(TypeInfo.fetch(connection, "nothing_such"))
        register_hstore(TypeInfo.fetch(connection, "public.hstore"), connection)
        for _ in range(6):
            row = connection.execute(
                "select row(%s, 'x')::pair, span(1.5, 2.5), 'a=>1'::public.hstore", [client.number]
            ).fetchone()
            saw.append([[row[0].a, row[0].b], str(row[1]), row[2]])
        saw.append(connection.execute("select %s::span", [Range(1.0, 2.0)]).fetchone()[0].lower)
        connection.execute("drop type mood, pair, span")
    return saw


def temporary_tables(client):
    saw = []
    with connect(client, autocommit=True) as connection:
        connection.execute("create temp table marks (a int)")
        for turn in range(5):
            connection.execute("insert into marks values (%s)", [client.number + turn])
        saw.append(connection.execute("select sum(a) from marks").fetchone())
        connection.execute("drop table marks")
        with caught(saw):
            connection.execute("select * from marks")
        with connection.transaction():
            connection.execute("create temp table marks (b text) on commit drop")
            connection.execute("insert into marks values ('x')")
            saw.append(connection.execute("select * from marks").fetchall())
        with caught(saw):
            connection.execute("select * from marks")
    return saw


def advisory_locks(client):
    saw = []
    with connect(client, autocommit=True) as connection:
        for turn in range(3):
            # All ask for the same lock: they follow each other.
            connection.execute("select pg_advisory_lock(4711)")
            saw.append(connection.execute(
                "select count(*) from pg_locks where locktype = 'advisory' and objid = 4711 and granted"
            ).fetchone())
            saw.append(connection.execute("select pg_advisory_unlock(4711)").fetchone())
        saw.append(connection.execute("select pg_try_advisory_lock(%s)", [client.number]).fetchone())
        saw.append(connection.execute("select pg_try_advisory_lock(%s)", [client.number]).fetchone())
        saw.append(connection.execute("select pg_advisory_unlock(%s)", [client.number]).fetchone())
        saw.append(connection.execute("select pg_advisory_unlock(%s)", [client.number]).fetchone())
        saw.append(connection.execute("select pg_advisory_unlock(%s)", [client.number]).fetchone())
    return saw


def sql_prepare(client):
    """Statements of SQL's PREPARE with the name that all clients use."""
    saw = []
    with connect(client, autocommit=True) as connection:
        connection.execute(f"prepare same as select {client.number}, $1::text")
        for _ in range(4):
            saw.append(connection.execute("execute same('x')").fetchone())
        with caught(saw):
            connection.execute("prepare same as select 1")
        connection.execute("deallocate same")
        with caught(saw):
            connection.execute("execute same('x')")
    return saw


def errors_and_notices(client):
    saw = []
    with connect(client, autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: saw.append([notice.severity, notice.message_primary]))
        connection.execute(f"do $$ begin raise notice 'from %', {client.number}; end $$")
        connection.execute("create table checked (a int constraint positive check (a > 0), unique (a))")
        connection.execute("create table if not exists checked (a int)")
        for value in (-1, 1, 1):
            try:
                connection.execute("insert into checked values (%s)", [value])
            except psycopg.Error as error:
                saw.append([error.sqlstate, error.diag.constraint_name, error.diag.message_detail,
                            error.diag.schema_name])
        try:
            connection.execute("select 1 +\n nothing_such", [])
        except psycopg.Error as error:
            saw.append([str(error), error.diag.statement_position])
        connection.execute("drop table checked")
    return saw


def cancelled(client):
    saw = []
    with connect(client, autocommit=True) as connection:
        import threading
        timer = threading.Timer(0.3, connection.cancel_safe, kwargs={"timeout": 10})
        timer.start()
        with caught(saw):
            connection.execute("select pg_sleep(20)")
        timer.join()
        saw.append(connection.execute(LOOK).fetchone())
        connection.execute("set statement_timeout = 100")
        with caught(saw):
            connection.execute("select pg_sleep(20)")
    return saw


def large_values(client):
    saw = []
    with connect(client) as connection:
        text = str(client.number) * 2_000_000
        for binary in (False, True):
            row = connection.execute("select %s, length(%s)", [text, text.encode()], binary=binary).fetchone()
            saw.append([row[0] == text, row[1]])
        rows = connection.execute("select repeat('x', 1000) from generate_series(1, 5000)").fetchall()
        saw.append(len(rows))
        stream = connection.cursor().stream("select g from generate_series(1, 1000) g")
        saw.append(sum(row[0] for row in stream))
    return saw


def pooled(client):
    """The driver's own pool, with a check and a reset."""
    saw = []

    def configure(connection):
        for statement in client.settings:
            connection.execute(statement)
        connection.commit()

    def reset(connection):
        connection.execute("reset lock_timeout")
        connection.commit()

    pool = psycopg_pool.ConnectionPool(
        "", min_size=2, max_size=2, configure=configure, reset=reset,
        check=psycopg_pool.ConnectionPool.check_connection)
    with pool:
        for turn in range(6):
            with pool.connection() as connection:
                saw.append(connection.execute(LOOK).fetchone())
                connection.execute("set lock_timeout to 1234")
    return saw


def asynchronous(client):
    async def work():
        saw = []
        async with await psycopg.AsyncConnection.connect("") as connection:
            for statement in client.settings:
                await connection.execute(statement)
            await connection.commit()
            for turn in range(8):
                cursor = await connection.execute(f"select %s, {client.number}", [turn])
                saw.append(await cursor.fetchone())
                await connection.commit()
            async with connection.pipeline():
                listed = [await connection.execute("select %s", [turn]) for turn in range(5)]
                saw.append([await cursor.fetchone() for cursor in listed])
            cursor = await connection.execute(LOOK)
            saw.append(await cursor.fetchone())
        return saw

    return asyncio.run(work())


def functions_that_set(client):
    """Settings that change inside functions and DO blocks."""
    saw = []
    with connect(client, autocommit=True) as connection:
        connection.execute(
            "create function setter(zone text) returns void language plpgsql as"
            " $$ begin perform set_config('timezone', zone, false);"
            "    perform set_config('app.tenant', 'from ' || zone, false); end $$")
        connection.execute("select setter(%s)", [f"Etc/GMT+{client.number + 1}"])
        for _ in range(3):
            saw.append(connection.execute(LOOK).fetchone())
        connection.execute(f"do $$ begin set work_mem = '{5000 + client.number}kB'; end $$")
        for _ in range(3):
            saw.append(connection.execute(LOOK).fetchone())
        connection.execute("drop function setter")
    return saw


cases.run([
    settings, start_options, prepared_after_five, evicted_statements, deallocate_all,
    statements_in_the_view, result_type_changes,
    others_know_the_new_type, table_made_anew, pipeline, pipeline_in_transactions, many,
    notifications, notifications_to_itself, cursors, copy, transactions, two_phases, row_factories,
    type_discovery, temporary_tables, advisory_locks, sql_prepare, errors_and_notices, cancelled,
    large_values, pooled, asynchronous, functions_that_set,
])
