"""asyncpg: a pool with its reset query, a statement cache, type introspection, codecs, cursors, COPY, LISTEN."""

import asyncio
import contextlib
import datetime
import io
import json

import asyncpg

import cases
from cases import LOOK, caught


async def connect(client, settings=True, **more):
    connection = await asyncpg.connect(**more)
    if settings:
        for statement in client.settings:
            await connection.execute(statement)
    return connection


@contextlib.asynccontextmanager
async def connected(client, settings=True, **more):
    connection = await connect(client, settings, **more)
    try:
        yield connection
    finally:
        await connection.close(timeout=20)


async def look(connection):
    return tuple(await connection.fetchrow(LOOK))


async def settings(client):
    saw = []
    async with connected(client) as connection:
        for turn in range(8):
            saw.append(await look(connection))
            saw.append(await connection.fetchval("select $1::timestamptz::text",
                                                 datetime.datetime(2024, 7, 1, 12, tzinfo=datetime.UTC)))
        with caught(saw):
            async with connection.transaction():
                await connection.execute("set timezone to 'Asia/Tokyo'; set lock_timeout = 99")
                saw.append(await look(connection))
                await connection.execute("select 1 / 0")
        saw.append(await look(connection))
        settings = connection.get_settings()
        saw.append([settings.TimeZone, settings.application_name, settings.client_encoding])
        await connection.reset()
        saw.append(await look(connection))
        saw.append(await look(connection))
    return saw


async def server_settings(client):
    """Startup parameters, which the reset query must give back."""
    saw = []
    given = {"timezone": f"Etc/GMT-{client.number + 1}", "application_name": f"given {client.number}",
             "search_path": client.schema, "statement_timeout": str(40000 + client.number), "jit": "off"}
    async with connected(client, False, server_settings=given) as connection:
        saw.append(await look(connection))
        for statement in client.settings:
            await connection.execute(statement)
        saw.append(await look(connection))
        await connection.reset()
        for _ in range(3):
            saw.append(await look(connection))
        await connection.execute("reset role")
        saw.append(await look(connection))
    return saw


async def statement_cache(client):
    saw = []
    async with connected(client, statement_cache_size=4) as connection:
        for turn in range(4):
            for text in range(7):
                saw.append(await connection.fetchval(f"select {text} * 100 + $1::int", client.number))
        async with connection.transaction():
            for text in range(7):
                saw.append(await connection.fetchval(f"select {text} * 7 + $1::int", client.number))
        await connection.reload_schema_state()
        saw.append(await connection.fetchval("select 1 + $1::int", client.number))
    async with connected(client, statement_cache_size=0) as connection:
        for turn in range(3):
            saw.append(await connection.fetchval("select 3 * $1::int", client.number))
    async with connected(client, max_cached_statement_lifetime=0.05) as connection:
        for turn in range(4):
            saw.append(await connection.fetchval("select 5 * $1::int", client.number))
            await asyncio.sleep(0.04)
    return saw


async def prepared(client):
    """Statements that the program holds, with plans, over transactions and errors."""
    saw = []
    async with connected(client) as connection:
        mine = await connection.prepare(f"select $1::int * {client.number}, current_setting('timezone')")
        named = await connection.prepare(f"select 'named {client.number}'", name="same")
        saw.append([[p.name, p.type.name] if hasattr(p, "type") else str(p) for p in mine.get_parameters()])
        saw.append([[a.name, a.type.name] for a in mine.get_attributes()])
        for turn in range(8):
            saw.append(tuple(await mine.fetchrow(turn)))
            saw.append(await named.fetchval())
            with caught(saw):
                await connection.fetchval("select 1 / $1::int", 0)
            await connection.execute(f"set timezone to 'Etc/GMT+{turn + 1}'")
        with caught(saw):
            await connection.prepare("select nothing_such")
        saw.append(named.get_name())
        saw.append(await connection.fetchval("select count(*) from public.numbers where n <= $1", client.number))
        plan = await (await connection.prepare("select * from public.numbers where n = $1")).explain(5)
        saw.append(plan[0]["Plan"]["Node Type"])
    return saw


async def result_type_changes(client):
    """asyncpg prepares again when PostgreSQL says that a cached plan must not change its result type."""
    saw = []
    async with connected(client) as connection:
        await connection.execute(f"create table altered as select {client.number} as a")
        for _ in range(3):
            saw.append([tuple(row) for row in await connection.fetch("select * from altered")])
        await connection.execute("alter table altered add b text default 'b'")
        for _ in range(3):
            with caught(saw):
                saw.append([tuple(row) for row in await connection.fetch("select * from altered")])
        await connection.execute("alter table altered alter a type text")
        for _ in range(3):
            with caught(saw):
                saw.append([tuple(row) for row in await connection.fetch("select * from altered")])
        async with connection.transaction():
            await connection.execute("alter table altered drop b")
            with caught(saw):
                await connection.fetch("select * from altered")
        saw.append([tuple(row) for row in await connection.fetch("select * from altered")])
        await connection.execute("drop table altered")
    return saw


async def pool(client):
    """What a connection that comes back has: asyncpg's reset query unlocks, unlistens, closes, resets."""
    saw = []

    async def setup(connection):
        await connection.execute(f"set work_mem = '{6000 + client.number}kB'")

    async def init(connection):
        await connection.set_type_codec("json", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")

    async with asyncpg.create_pool(min_size=1, max_size=3, setup=setup, init=init) as pool:
        for turn in range(5):
            async with pool.acquire() as connection:
                saw.append(await look(connection))
                for statement in client.settings[turn:]:
                    await connection.execute(statement)
                saw.append(await look(connection))
                saw.append(await connection.fetchval("select $1::json", {"client": client.number}))
                await connection.fetchval("select pg_advisory_lock(1000 + $1)", client.number)
                await connection.execute("declare kept cursor with hold for select 1")
        async with pool.acquire() as connection:
            saw.append(await connection.fetchval("select count(*) from pg_cursors"))
        saw.append(await asyncio.gather(*(pool.fetchval("select $1 * 2", number) for number in range(12))))
        with caught(saw):
            await pool.execute("select 1 / 0")
    return saw


async def listening(client):
    saw = []
    heard = asyncio.Event()
    channel = f"asyncpg {client.number}"

    def listener(connection, process, channel, payload):
        saw.append([channel, payload])
        if len(saw) == 3:
            heard.set()

    async with connected(client) as connection, connected(client) as other:
        await connection.add_listener(channel, listener)
        for turn in range(3):
            await other.fetchval("select pg_notify($1, $2)", channel, str(turn))
        await asyncio.wait_for(heard.wait(), 20)
        await connection.remove_listener(channel, listener)
    return saw


async def listening_to_itself(client):
    saw = []
    channel = f"asyncpg itself {client.number}"
    async with connected(client) as connection:
        await connection.add_listener(channel, lambda *words: saw.append(words[2:]))
        async with connection.transaction():
            await connection.execute(f"notify \"{channel}\", 'a'")
            await connection.execute(f"notify \"{channel}\", 'b'")
        await connection.execute("select 1")
        await connection.reset(timeout=20)
        await connection.execute(f"notify \"{channel}\", 'nobody'")
    return saw


async def cursors(client):
    saw = []
    async with connected(client) as connection:
        query = f"select g * {client.number} from generate_series(1, $1::int) g"
        async with connection.transaction():
            saw.append([row[0] async for row in connection.cursor(query, 60, prefetch=7)])
            cursor = await connection.cursor(query, 60)
            saw.append([row[0] for row in await cursor.fetch(5)])
            await cursor.forward(10)
            saw.append((await cursor.fetchrow())[0])
        async with connection.transaction():
            statement = await connection.prepare(query)
            first = await statement.cursor(30)
            second = await statement.cursor(20)
            for _ in range(4):
                saw.append([[row[0] for row in await one.fetch(3)] for one in (first, second)])
            with caught(saw):
                async with connection.transaction():
                    await first.fetch(1)
                    await connection.execute("select 1 / 0")
            saw.append([row[0] for row in await first.fetch(2)])
        with caught(saw):
            await connection.cursor(query, 3)
    return saw


async def copies(client):
    saw = []
    async with connected(client) as connection:
        await connection.execute("create table copied (a int, b text, c timestamptz)")
        records = [(row, f"client {client.number}", datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
                   for row in range(3000)]
        saw.append(await connection.copy_records_to_table("copied", records=records))
        output = io.BytesIO()
        saw.append(await connection.copy_from_query("select a, b, c from copied where a < $1", 3, output=output))
        saw.append(output.getvalue().decode())
        output = io.BytesIO()
        saw.append(await connection.copy_from_table("copied", columns=["a"], output=output, format="csv"))
        saw.append(await connection.copy_to_table("copied", columns=["a"], format="csv",
                                                  source=io.BytesIO(output.getvalue())))
        with caught(saw):
            await connection.copy_to_table("copied", source=io.BytesIO(b"not a number\n"))
        with caught(saw):
            await connection.copy_records_to_table("copied", records=[(1, 2, 3)])
        saw.append(await connection.fetchval("select count(*) from copied"))
        saw.append(await look(connection))
        await connection.execute("drop table copied")
    return saw


async def introspection(client):
    """Types the driver does not know are looked up, with statements and settings of the driver's own."""
    saw = []
    async with connected(client) as connection:
        await connection.execute(f"create type mood as enum ('sad', 'glad{client.number}');"
                                 " create type pair as (a int, m mood); create domain count as int check (value > 0);"
                                 " create type span as range (subtype = float8)")
        await connection.execute("create table typed (m mood, p pair, ps pair[], c count, s span)")
        await connection.execute("insert into typed values ($1, $2, $3, $4, $5)", "sad",
                                 (1, "sad"), [(2, f"glad{client.number}")], 3, asyncpg.Range(1.0, 2.0))
        row = await connection.fetchrow("select * from typed")
        saw.append([row["m"], tuple(row["p"]), [tuple(one) for one in row["ps"]], row["c"], str(row["s"])])
        await connection.set_type_codec("mood", schema=client.schema, encoder=str.lower, decoder=str.upper)
        saw.append(await connection.fetchval("select $1::mood", "SAD"))
        await connection.reset_type_codec("mood", schema=client.schema)
        saw.append(await connection.fetchval("select $1::mood", "sad"))
        await connection.set_builtin_type_codec("hstore", schema="public", codec_name="pg_contrib.hstore")
        saw.append(await connection.fetchval("select $1::public.hstore", {"a": str(client.number)}))
        with caught(saw):
            await connection.execute("insert into typed (c) values ($1)", -1)
        await connection.execute("drop table typed; drop type pair, mood, span; drop domain count")
    return saw


async def many(client):
    saw = []
    async with connected(client) as connection:
        await connection.execute("create table many (a int primary key, b text)")
        await connection.executemany("insert into many values ($1, $2)", [(row, "x" * row) for row in range(1500)])
        with caught(saw):
            await connection.executemany("insert into many values ($1, $2)", [(2000, "a"), (1, "twice"), (3000, "b")])
        saw.append(tuple(await connection.fetchrow("select count(*), sum(length(b)) from many")))
        if hasattr(connection, "fetchmany"):
            rows = await connection.fetchmany("insert into many values ($1, $2) returning a", [(5000, ""), (5001, "")])
            saw.append([row[0] for row in rows])
        await connection.execute("drop table many")
    return saw


async def transactions(client):
    saw = []
    look = ("select current_setting('transaction_isolation'), current_setting('transaction_read_only'),"
            " current_setting('transaction_deferrable')")
    async with connected(client) as connection:
        async with connection.transaction(isolation="serializable", readonly=True, deferrable=True):
            saw.append(tuple(await connection.fetchrow(look)))
            with caught(saw):
                await connection.execute("create table written (a int)")
                saw.append(connection.is_in_transaction())
        saw.append(connection.is_in_transaction())
        await connection.execute("create table nested (a int)")
        async with connection.transaction():
            await connection.execute("insert into nested values (1)")
            with caught(saw):
                async with connection.transaction():
                    await connection.execute("insert into nested values (2)")
                    await connection.execute("set timezone to 'Asia/Tokyo'")
                    raise RuntimeError("back")
            saw.append(tuple(await connection.fetchrow(LOOK)))
        saw.append([row[0] for row in await connection.fetch("select * from nested")])
        await connection.execute("drop table nested")
    return saw


async def temporary_tables(client):
    saw = []
    async with connected(client) as connection:
        await connection.execute("create temp table marks (mark int)")
        for turn in range(5):
            await connection.execute("insert into marks values ($1)", client.number + turn)
            saw.append(await connection.fetchval("select sum(mark) from marks"))
        await connection.execute("drop table marks")
        await connection.execute("create temp table marks (mark text)")
        with caught(saw):
            saw.append(await connection.fetchval("select sum(length(mark)) from marks"))
        await connection.reset(timeout=20)
        saw.append(await connection.fetchval("select count(*) from marks"))
        await connection.execute("drop table marks")
    return saw


async def timeouts(client):
    """A statement that is cancelled because the program does not wait for it."""
    saw = []
    async with connected(client) as connection:
        with caught(saw):
            await connection.fetchval("select pg_sleep($1)", 20, timeout=0.3)
        saw.append(await look(connection))
        task = asyncio.create_task(connection.fetchval("select pg_sleep(20)"))
        await asyncio.sleep(0.3)
        task.cancel()
        with caught(saw, asyncio.CancelledError):
            await task
        saw.append(await look(connection))
    return saw


async def errors_and_logs(client):
    saw = []
    async with connected(client) as connection:
        connection.add_log_listener(lambda _, message: saw.append(message.message))
        await connection.execute(f"do $$ begin raise notice 'from {client.number}'; end $$")
        await connection.execute("create table checked (a int constraint positive check (a > 0))")
        try:
            await connection.execute("insert into checked values ($1)", -1)
        except asyncpg.PostgresError as error:
            saw.append([error.sqlstate, error.constraint_name, error.detail, error.schema_name])
        try:
            await connection.fetch("select $1 + nothing_such", 1)
        except asyncpg.PostgresError as error:
            saw.append([str(error), error.position])
        with caught(saw):
            await connection.fetch("select $1::int", "text")
        await connection.execute("drop table checked")
    return saw


cases.run_async([
    settings, server_settings, statement_cache, prepared, result_type_changes, pool, listening,
    listening_to_itself, cursors, copies, introspection, many, transactions, temporary_tables, timeouts,
    errors_and_logs,
])
