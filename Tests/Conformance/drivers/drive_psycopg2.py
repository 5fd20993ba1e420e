"""psycopg2: simple queries, named cursors, set_session, polled notifications, copy_expert, large objects."""

import contextlib
import datetime
import io
import select
import time

import psycopg2
import psycopg2.extensions
import psycopg2.extras
import psycopg2.pool

import cases
from cases import LOOK, caught


@contextlib.contextmanager
def connected(client, settings=True, **more):
    connection = psycopg2.connect("", **more)
    try:
        if settings:
            with connection.cursor() as cursor:
                cursor.execute("; ".join(client.settings))
            connection.commit()
        yield connection
    finally:
        connection.close()


def ask(connection, query, values=None):
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall() if cursor.description else cursor.statusmessage


def settings(client):
    saw = []
    with connected(client) as connection:
        for turn in range(8):
            saw.append(ask(connection, LOOK))
            saw.append(ask(connection, "select now() - now(), %s::timestamptz", ["2024-07-01 12:00+00"]))
            connection.commit() if turn % 2 else connection.rollback()
        ask(connection, "set lock_timeout = 1; set timezone = 'Asia/Tokyo'")
        connection.rollback()
        saw.append(ask(connection, LOOK))
        saw.append(connection.get_parameter_status("TimeZone"))
        saw.append(connection.get_parameter_status("server_encoding"))
        saw.append(connection.encoding)
    return saw


def client_encoding(client):
    saw = []
    with connected(client) as connection:
        names = ("LATIN1", "UTF8", "LATIN9", "WIN1252")
        connection.set_client_encoding(names[client.number % 4])
        for _ in range(5):
            saw.append(ask(connection, "select %s, length(%s), current_setting('client_encoding')", ["é", "é"]))
            connection.commit()
        saw.append(connection.encoding)
        connection.reset()
        saw.append([ask(connection, LOOK), connection.encoding])
    return saw


def sessions(client):
    """set_session: the driver sends it with BEGIN, or as SET of the defaults in autocommit."""
    saw = []
    look = ("select current_setting('transaction_isolation'), current_setting('transaction_read_only'),"
            " current_setting('transaction_deferrable')")
    levels = ["REPEATABLE READ", "SERIALIZABLE", "READ COMMITTED", "READ UNCOMMITTED"]
    with connected(client) as connection:
        for turn in range(4):
            connection.set_session(levels[(client.number + turn) % 4], readonly=turn % 2 == 0,
                                   deferrable=client.number % 2 == 0)
            for _ in range(3):
                saw.append(ask(connection, look))
                with caught(saw):
                    ask(connection, "create table written (a int); drop table written")
                connection.rollback()
        connection.set_session(isolation_level="DEFAULT", readonly="DEFAULT", deferrable="DEFAULT")
        connection.autocommit = True
        connection.set_session(isolation_level=levels[client.number % 4], readonly=client.number % 2 == 1)
        for _ in range(3):
            saw.append(ask(connection, look))
        connection.set_session(isolation_level="DEFAULT", readonly="DEFAULT")
        saw.append(ask(connection, look))
        connection.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_SERIALIZABLE)
        saw.append([ask(connection, look), connection.get_transaction_status()])
    return saw


def named_cursors(client):
    saw = []
    query = f"select g * {client.number} from generate_series(1, 40) g"
    with connected(client) as connection:
        with connection.cursor("same") as cursor:
            cursor.itersize = 7
            cursor.execute(query)
            saw.append([row[0] for row in cursor])
        with connection.cursor("same", scrollable=True) as cursor:
            cursor.execute(query)
            cursor.scroll(10)
            saw.append(cursor.fetchmany(2))
            cursor.scroll(-5)
            saw.append(cursor.fetchall())
        connection.commit()
        cursor = connection.cursor("held", withhold=True)
        cursor.execute(query)
        connection.commit()
        for _ in range(3):
            saw.append(cursor.fetchmany(3))
            connection.commit()
            saw.append(ask(connection, "select count(*) from pg_cursors"))
            connection.rollback()
        cursor.close()
        connection.commit()
        saw.append(ask(connection, "select count(*) from pg_cursors"))
    return saw


def autocommit(client):
    saw = []
    with connected(client) as connection:
        connection.autocommit = True
        for turn in range(5):
            saw.append(ask(connection, LOOK))
        ask(connection, "create table auto (a int)")
        for turn in range(5):
            ask(connection, "insert into auto values (%s)", [turn])
        with caught(saw):
            ask(connection, "insert into auto values (7); select 1 / 0")
        saw.append(ask(connection, "select sum(a) from auto"))
        ask(connection, "begin; insert into auto values (100)")
        saw.append(connection.get_transaction_status())
        ask(connection, "rollback")
        saw.append(ask(connection, "select sum(a) from auto"))
        ask(connection, "drop table auto")
        with caught(saw):
            ask(connection, "vacuum public.numbers; select 1")
    return saw


def notifications(client):
    saw = []
    with connected(client) as listener, connected(client) as other:
        listener.autocommit = other.autocommit = True
        ask(listener, f'listen "channel {client.number}"')
        for turn in range(3):
            ask(other, f"select pg_notify('channel {client.number}', '{turn}')")
        deadline = time.monotonic() + 20
        while len(listener.notifies) < 3 and time.monotonic() < deadline:
            select.select([listener], [], [], 1)
            listener.poll()
        saw.append([[one.channel, one.payload] for one in listener.notifies])
    return saw


def copies(client):
    saw = []
    with connected(client) as connection, connection.cursor() as cursor:
        cursor.execute("create table copied (a int, b text)")
        connection.commit()
        cursor.copy_expert("copy copied from stdin with (format csv)",
                           io.StringIO("".join(f"{row},client {client.number}\n" for row in range(3000))))
        saw.append(cursor.rowcount)
        connection.commit()
        output = io.StringIO()
        cursor.copy_expert("copy (select * from copied where a % 500 = 0) to stdout with csv header", output)
        saw.append(output.getvalue())
        connection.commit()
        with caught(saw):
            cursor.copy_expert("copy copied from stdin", io.StringIO("1\tx\nnot a number\ty\n"))
        connection.rollback()
        cursor.copy_from(io.StringIO("1|x\n2|y\n"), "copied", sep="|")
        output = io.StringIO()
        cursor.copy_to(output, "copied", columns=("b",))
        saw.append(len(output.getvalue()))

        class Broken(io.StringIO):
            def read(self, count=-1):
                raise RuntimeError("the program's own")

        with caught(saw):
            cursor.copy_expert("copy copied from stdin", Broken())
        connection.rollback()
        saw.append(ask(connection, "select count(*) from copied"))
        saw.append(ask(connection, LOOK))
        cursor.execute("drop table copied")
        connection.commit()
    return saw


def large_objects(client):
    saw = []
    with connected(client) as connection:
        thing = connection.lobject(0, "wb")
        thing.write(f"client {client.number} ".encode() * 5000)
        identifier = thing.oid
        thing.close()
        connection.commit()
        thing = connection.lobject(identifier, "rb")
        thing.seek(9)
        saw.append(thing.read(20).decode())
        saw.append(thing.tell())
        thing.close()
        connection.rollback()
        connection.lobject(identifier, "n").unlink()
        connection.commit()
        with caught(saw):
            connection.lobject(identifier, "r")
    return [one if isinstance(one, int) else one.replace(str(identifier), "N") for one in saw]


def extras(client):
    saw = []
    with connected(client) as connection:
        psycopg2.extras.register_hstore(connection)
        psycopg2.extras.register_uuid(conn_or_curs=connection)
        ask(connection, f"create type pair{client.number} as (a int, b text)")
        psycopg2.extras.register_composite(f"pair{client.number}", connection)
        saw.append(ask(connection, f"select row(1, 'x')::pair{client.number}, 'a=>1'::public.hstore, '{{}}'::json"))
        with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute("select 1 as a, now() is not null as b")
            saw.append(dict(cursor.fetchone()))
        with connection.cursor() as cursor:
            cursor.execute("create temp table given (a int, b text) on commit drop")
            psycopg2.extras.execute_values(cursor, "insert into given values %s",
                                           [(row, "x") for row in range(500)], page_size=50)
            psycopg2.extras.execute_batch(cursor, "insert into given values (%s, %s)",
                                          [(row, "y") for row in range(200)])
            cursor.execute("select count(*), sum(a) from given")
            saw.append(cursor.fetchone())
            cursor.callproc("pg_typeof", [datetime.date(2024, 1, 1)])
            saw.append(cursor.fetchone())
        connection.rollback()
        ask(connection, "do $$ begin raise notice 'said'; end $$")
        saw.append(connection.notices[-1])
        with caught(saw):
            ask(connection, "select nothing_such")
    return saw


def temporary_tables(client):
    saw = []
    with connected(client) as connection:
        ask(connection, "create temp table marks as select %s as mark", [client.number])
        connection.commit()
        for _ in range(5):
            saw.append(ask(connection, "update marks set mark = mark + 1 returning mark"))
            connection.commit()
        ask(connection, "create temp sequence counting")
        connection.rollback()
        with caught(saw):
            ask(connection, "select nextval('counting')")
        connection.rollback()
        saw.append(ask(connection, "select * from marks"))
    with connected(client) as connection, caught(saw):
        ask(connection, "select * from marks")
    return saw


def two_phases(client):
    saw = []
    with connected(client) as connection:
        ask(connection, "create table phased2 (a int)")
        connection.commit()
        for commits in (True, False):
            connection.tpc_begin(connection.xid(2, f"client {client.number}", str(commits)))
            ask(connection, "insert into phased2 values (1)")
            connection.tpc_prepare()
            connection.tpc_commit() if commits else connection.tpc_rollback()
        saw.append(ask(connection, "select count(*) from phased2"))
        ask(connection, "drop table phased2")
        connection.commit()
    return saw


def pools(client):
    """The driver's pool resets what comes back: ROLLBACK, or RESET ALL and the like."""
    saw = []
    pool = psycopg2.pool.SimpleConnectionPool(1, 2, "")
    for turn in range(6):
        connection = pool.getconn()
        ask(connection, "; ".join(client.settings[turn:]) or "select 1")
        if turn % 2:
            connection.commit()
            connection.reset()
        saw.append(ask(connection, LOOK))
        pool.putconn(connection)
    pool.closeall()
    return saw


def asynchronous(client):
    """A connection that is polled."""
    connection = psycopg2.connect("", async_=1)

    def wait():
        while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
            reading = [connection] if state == psycopg2.extensions.POLL_READ else []
            select.select(reading, [] if reading else [connection], [], 20)

    saw = []
    wait()
    with connection.cursor() as cursor:
        for statement in [*client.settings, "begin", LOOK, "commit", LOOK, LOOK]:
            cursor.execute(statement)
            wait()
            if cursor.description:
                saw.append(cursor.fetchall())
    connection.close()
    return saw


def cancelled(client):
    import threading
    saw = []
    with connected(client) as connection:
        timer = threading.Timer(0.3, connection.cancel)
        timer.start()
        with caught(saw):
            ask(connection, "select pg_sleep(20)")
        timer.join()
        connection.rollback()
        saw.append(ask(connection, LOOK))
    return saw


cases.run([
    settings, client_encoding, sessions, named_cursors, autocommit, notifications, copies, large_objects,
    extras, temporary_tables, two_phases, pools, asynchronous, cancelled,
])
