"""libpq itself, through the functions of C: pipelines, described and closed statements, large objects."""

import ctypes
import pathlib
import select

from psycopg import pq
import psycopg_binary  # only after psycopg itself

import cases
from cases import LOOK


def library():
    """The libpq of the psycopg wheel, which is newer than Debian's."""
    folder = pathlib.Path(psycopg_binary.__file__).parent.parent / "psycopg_binary.libs"
    found = ctypes.CDLL(str(next(folder.glob("libpq-*"))))
    integer, text, pointer = ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p
    for name, result, arguments in (
        ("PQconnectdb", pointer, [text]), ("PQfinish", None, [pointer]), ("PQerrorMessage", text, [pointer]),
        ("PQexec", pointer, [pointer, text]), ("PQprepare", pointer, [pointer, text, text, integer, pointer]),
        ("PQexecPrepared", pointer, [pointer, text, integer, pointer, pointer, pointer, integer]),
        ("PQexecParams", pointer, [pointer, text, integer, pointer, pointer, pointer, pointer, integer]),
        ("PQdescribePrepared", pointer, [pointer, text]), ("PQdescribePortal", pointer, [pointer, text]),
        ("PQclosePrepared", pointer, [pointer, text]), ("PQclosePortal", pointer, [pointer, text]),
        ("PQsendQuery", integer, [pointer, text]), ("PQsetSingleRowMode", integer, [pointer]),
        ("PQsetChunkedRowsMode", integer, [pointer, integer]),
        ("PQsendQueryParams", integer, [pointer, text, integer, pointer, pointer, pointer, pointer, integer]),
        ("PQsendPrepare", integer, [pointer, text, text, integer, pointer]),
        ("PQsendQueryPrepared", integer, [pointer, text, integer, pointer, pointer, pointer, integer]),
        ("PQsendDescribePrepared", integer, [pointer, text]), ("PQsendClosePrepared", integer, [pointer, text]),
        ("PQenterPipelineMode", integer, [pointer]), ("PQexitPipelineMode", integer, [pointer]),
        ("PQpipelineSync", integer, [pointer]), ("PQsendPipelineSync", integer, [pointer]),
        ("PQsendFlushRequest", integer, [pointer]), ("PQflush", integer, [pointer]),
        ("PQgetResult", pointer, [pointer]), ("PQresultStatus", integer, [pointer]), ("PQclear", None, [pointer]),
        ("PQresultErrorField", text, [pointer, integer]), ("PQntuples", integer, [pointer]),
        ("PQnfields", integer, [pointer]), ("PQgetvalue", text, [pointer, integer, integer]),
        ("PQnparams", integer, [pointer]), ("PQparamtype", integer, [pointer, integer]),
        ("PQftype", integer, [pointer, integer]), ("PQcmdStatus", text, [pointer]),
        ("PQtransactionStatus", integer, [pointer]), ("PQparameterStatus", text, [pointer, text]),
        ("PQsocket", integer, [pointer]), ("PQconsumeInput", integer, [pointer]), ("PQisBusy", integer, [pointer]),
        ("PQreset", None, [pointer]), ("PQresStatus", text, [integer]),
        ("PQsetClientEncoding", integer, [pointer, text]),
        ("PQgetCancel", pointer, [pointer]), ("PQcancel", integer, [pointer, text, integer]),
        ("lo_creat", ctypes.c_uint, [pointer, integer]), ("lo_open", integer, [pointer, ctypes.c_uint, integer]),
        ("lo_write", integer, [pointer, integer, text, ctypes.c_size_t]),
        ("lo_read", integer, [pointer, integer, pointer, ctypes.c_size_t]),
        ("lo_lseek", integer, [pointer, integer, integer, integer]), ("lo_close", integer, [pointer, integer]),
        ("lo_truncate", integer, [pointer, integer, ctypes.c_size_t]), ("lo_unlink", integer, [pointer, ctypes.c_uint]),
        ("PQputCopyData", integer, [pointer, text, integer]), ("PQputCopyEnd", integer, [pointer, text]),
    ):
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


LIBPQ = library()


class Connection:
    def __init__(self, client=None, options=""):
        self.raw = LIBPQ.PQconnectdb(options.encode())
        for statement in client.settings if client else ():
            self.exec(statement)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        LIBPQ.PQfinish(self.raw)

    def __getattr__(self, name):
        """A function of libpq's, for this connection; texts become bytes."""
        function = getattr(LIBPQ, name)

        def call(*arguments):
            given = [one.encode() if isinstance(one, str) else one for one in arguments]
            return function(self.raw, *given)

        return call

    def exec(self, query):
        return told(self.PQexec(query))

    def values(self, *values):
        texts = [None if value is None else str(value).encode() for value in values]
        return (ctypes.c_char_p * len(texts))(*texts) if texts else None

    def execute(self, name, *values):
        return told(self.PQexecPrepared(name, len(values), self.values(*values), None, None, 0))

    def params(self, query, *values):
        return told(self.PQexecParams(query, len(values), None, self.values(*values), None, None, 0))

    def send_params(self, query, *values):
        return self.PQsendQueryParams(query, len(values), None, self.values(*values), None, None, 0)

    def send_execute(self, name, *values):
        return self.PQsendQueryPrepared(name, len(values), self.values(*values), None, None, 0)

    def results(self, syncs=1):
        """What comes until so many pipelines are over; an empty place between two requests counts for nothing."""
        saw = []
        while syncs:
            result = self.PQgetResult()
            if result:
                saw.append(told(result))
                syncs -= saw[-1][0] == "PGRES_PIPELINE_SYNC"
        return saw


def told(result):
    """What a result has: its status, error or tag, rows, and the types of a description."""
    if not result:
        return None
    status = LIBPQ.PQresStatus(LIBPQ.PQresultStatus(result)).decode()
    state = LIBPQ.PQresultErrorField(result, ord("C"))
    message = LIBPQ.PQresultErrorField(result, ord("M"))
    rows = [[LIBPQ.PQgetvalue(result, row, column).decode() for column in range(LIBPQ.PQnfields(result))]
            for row in range(LIBPQ.PQntuples(result))]
    types = [LIBPQ.PQparamtype(result, place) for place in range(LIBPQ.PQnparams(result))]
    columns = [LIBPQ.PQftype(result, column) for column in range(LIBPQ.PQnfields(result))]
    tag = LIBPQ.PQcmdStatus(result).decode()
    LIBPQ.PQclear(result)
    return [status, f"{state.decode()}: {message.decode()}" if state else tag, rows, types, columns]


def settings(client):
    saw = []
    with Connection(client) as connection:
        connection.exec("set datestyle to 'German'" if client.number % 2 else "set datestyle to 'SQL, MDY'")
        for _ in range(8):
            saw.append(connection.exec(LOOK))
            saw.append(connection.PQparameterStatus("DateStyle").decode())
        connection.PQsetClientEncoding("LATIN1" if client.number % 2 else "UTF8")
        for _ in range(4):
            saw.append(connection.exec("show client_encoding"))
        connection.PQreset()
        saw.append(connection.exec(LOOK))
    return saw


def environment_of_libpq(client):
    """PGDATESTYLE and the like are parameters of the login; a part of a DateStyle leaves the rest as it was."""
    saw = []
    for style in ("ISO", "German", "DMY", "ymd", "sql, dmy"):
        with Connection() as other:
            other.exec("set datestyle to 'Postgres, YMD'")
            other.exec("select 1")
        with Connection(options=f"options='-c datestyle={style.replace(', ', ',')}'") as connection:
            for _ in range(3):
                saw.append(connection.exec("show datestyle"))
                connection.exec(client.settings[1])
                saw.append(connection.exec("reset datestyle"))
            saw.append(connection.exec("show datestyle"))
    return saw


def untouched_custom_setting(client):
    saw = []
    for turn in range(4):
        with Connection() as connection:
            saw.append(connection.exec("select current_setting('app.tenant', true) is null"))
            connection.exec("set app.tenant to 'somebody'")
    return saw


def statements(client):
    """The same names in all clients, with other texts."""
    saw = []
    with Connection(client) as connection:
        saw.append(told(connection.PQprepare("same", f"select $1::int * {client.number}, $2::text", 0, None)))
        saw.append(told(connection.PQprepare("", f"select $1::int + {client.number}", 0, None)))
        for turn in range(5):
            saw.append(connection.execute("same", turn, "x"))
            saw.append(connection.execute("", turn))
        saw.append(told(connection.PQdescribePrepared("same")))
        saw.append(told(connection.PQprepare("same", "select 1", 0, None)))
        saw.append(told(connection.PQclosePrepared("same")))
        saw.append(told(connection.PQdescribePrepared("same")))
        saw.append(connection.execute("same", 1, "x"))
        saw.append(told(connection.PQclosePrepared("never there")))
        saw.append(told(connection.PQprepare("same", "select nothing_such", 0, None)))
        saw.append(told(connection.PQprepare("same", f"select 'again {client.number}'", 0, None)))
        saw.append(connection.execute("same"))
        connection.exec("begin")
        saw.append(told(connection.PQprepare("inside", "select 'inside'", 0, None)))
        connection.exec("rollback")
        saw.append(connection.execute("inside"))
        saw.append(connection.params("select $1::text, $2::int", None, 7))
        # A cursor is a portal, which can be described and closed.
        connection.exec("begin; declare c cursor for select 1 as a, 'x' as b")
        saw.append(told(connection.PQdescribePortal("c")))
        saw.append(told(connection.PQclosePortal("c")))
        saw.append(connection.exec("fetch from c"))
        connection.exec("rollback")
    return saw


def statements_seen_by_sql(client):
    """EXECUTE and DEALLOCATE know the protocol's statements."""
    saw = []
    with Connection(client) as connection:
        connection.PQprepare("mine", f"select $1::int * {client.number}", 0, None)
        saw.append(connection.exec("execute mine(5)"))
        saw.append(connection.exec("deallocate mine"))
        saw.append(connection.execute("mine", 1))
        connection.exec(f"prepare mine as select 'sql {client.number}'")
        saw.append(connection.execute("mine"))
        saw.append(told(connection.PQclosePrepared("mine")))
        saw.append(connection.exec("execute mine"))
    return saw


def view_of_statements(client):
    saw = []
    with Connection(client) as connection:
        connection.PQprepare("mine", f"select $1::int * {client.number}", 0, None)
        saw.append(connection.exec("select name, statement, from_sql from pg_prepared_statements order by 1"))
    return saw


def pipelines(client):
    saw = []
    with Connection(client) as connection:
        connection.PQenterPipelineMode()
        connection.PQsendPrepare("piped", f"select $1::int * {client.number}", 0, None)
        connection.PQsendDescribePrepared("piped")
        for turn in range(5):
            connection.send_execute("piped", turn)
        connection.PQpipelineSync()
        connection.send_params("select 'behind a sync'")
        connection.send_params("select 1 / $1::int", 0)
        connection.send_params("select 'not run'")
        connection.PQpipelineSync()
        connection.send_execute("piped", 9)
        connection.PQsendClosePrepared("piped")
        connection.PQpipelineSync()
        saw += connection.results(syncs=3)
        # BEGIN in one, the rest in others.
        for query in ("begin", "create table piped (a int)", "insert into piped values (1)"):
            connection.send_params(query)
            connection.PQpipelineSync()
        connection.send_params("select * from piped")
        connection.send_params("rollback")
        connection.PQpipelineSync()
        saw += connection.results(syncs=4)
        # A flush request instead of a Sync: answers come, and the server stays.
        connection.send_params("select 'flushed'")
        connection.PQsendFlushRequest()
        connection.PQflush()
        saw.append(told(connection.PQgetResult()))
        connection.PQgetResult()
        connection.send_params(LOOK)
        connection.PQpipelineSync()
        saw += connection.results()
        for turn in range(300):
            connection.send_params("select $1::int, repeat('x', 100)", turn)
            if turn % 50 == 49:
                connection.PQpipelineSync()
        saw += connection.results(syncs=6)
        saw.append(connection.PQexitPipelineMode())
        saw.append(connection.exec("select 'out of it'"))
    return saw


def rows_one_by_one(client):
    saw = []
    with Connection(client) as connection:
        for mode in ("PQsetSingleRowMode", "PQsetChunkedRowsMode"):
            connection.PQsendQuery(f"select g * {client.number} from generate_series(1, 40) g;"
                                   " select 1 / (3 - g) from generate_series(1, 5) g")
            getattr(connection, mode)(*([7] if "Chunked" in mode else []))
            while result := connection.PQgetResult():
                saw.append(told(result))
        connection.PQsendQuery("select 'polled'")
        while connection.PQisBusy():
            select.select([connection.PQsocket()], [], [], 20)
            connection.PQconsumeInput()
        saw.append(told(connection.PQgetResult()))
    return saw


def large_objects(client):
    saw = []
    with Connection(client) as connection:
        connection.exec("begin")
        identifier = connection.lo_creat(0x60000)
        descriptor = connection.lo_open(identifier, 0x60000)
        for _ in range(20):
            saw.append(connection.lo_write(descriptor, f"client {client.number} " * 500, 4500))
        saw.append(connection.lo_lseek(descriptor, 4500 * 3, 0))
        buffer = ctypes.create_string_buffer(30)
        saw.append([connection.lo_read(descriptor, buffer, 20), buffer.value.decode()])
        saw.append(connection.lo_truncate(descriptor, 9))
        saw.append(connection.lo_close(descriptor))
        saw.append(connection.exec("commit")[:2])
        # Outside a transaction block a descriptor does not live.
        descriptor = connection.lo_open(identifier, 0x40000)
        saw.append(connection.lo_read(descriptor, buffer, 20))
        saw.append(connection.params("select encode(lo_get($1::oid), 'escape')", identifier)[2])
        saw.append(connection.lo_unlink(identifier))
        saw.append(connection.lo_unlink(identifier))
    return saw


def copy_and_cancel(client):
    saw = []
    with Connection(client) as connection:
        connection.exec("create table copied (a int)")
        for end in (None, b"the program's own"):
            saw.append(connection.exec("copy copied from stdin")[0])
            for row in range(500):
                connection.PQputCopyData(f"{row}\n", len(f"{row}\n"))
            connection.PQputCopyEnd(end)
            while result := connection.PQgetResult():
                saw.append(told(result))
        # Cut off by an error while data is on its way.
        connection.exec("copy copied from stdin")
        for row in range(500):
            connection.PQputCopyData("wrong\n", 6)
        connection.PQputCopyEnd(None)
        while result := connection.PQgetResult():
            saw.append(told(result))
        saw.append(connection.exec("select count(*) from copied"))
        connection.PQsendQuery("select pg_sleep(20)")
        cancel = connection.PQgetCancel()
        error = ctypes.create_string_buffer(256)
        select.select([], [], [], 0.3)
        saw.append(LIBPQ.PQcancel(cancel, ctypes.cast(error, ctypes.c_char_p), 256))
        while result := connection.PQgetResult():
            saw.append(told(result))
        saw.append(connection.exec(LOOK))
        connection.exec("drop table copied")
    return saw


def reset_in_a_block(client):
    """RESET in a transaction block gives what the login asked for."""
    saw = []
    options = f"options='-c timezone=Etc/GMT-{client.number + 1} -c work_mem={4096 + client.number}kB'"
    with Connection(options=options) as connection:
        for statement in client.settings:
            connection.exec(statement)
        connection.exec("begin; reset timezone; reset work_mem")
        saw.append(connection.exec(LOOK))
        connection.exec("commit")
        saw.append(connection.exec(LOOK))
    return saw


def reset_in_one_query(client):
    """The same with a statement behind it in one Query."""
    with Connection(options=f"options='-c timezone=Etc/GMT-{client.number + 1}'") as connection:
        return [connection.exec("set timezone to 'UTC'; reset timezone; show timezone"),
                connection.exec("show timezone")]


def replication(client):
    """What a program hears that asks for a replication connection.

    The servers are fewer than the clients: who waits for one must not keep the others from leaving.
    """
    saw = []
    for kind in ("database", "true"):
        raw = pq.PGconn.connect_start(f"replication={kind} application_name=replicating".encode())
        status = pq.PollingStatus.WRITING
        while status in (pq.PollingStatus.READING, pq.PollingStatus.WRITING):
            reads = [raw.socket] if status == pq.PollingStatus.READING else []
            writes = [] if reads else [raw.socket]
            select.select(reads, writes, [], 30)
            status = raw.connect_poll()
        error = raw.error_message.decode().strip().split("FATAL:")[-1]
        saw.append(raw.status == pq.ConnStatus.OK or error)
        answers = [raw.exec_(query) for query in (b"IDENTIFY_SYSTEM", b"SHOW application_name")]
        saw.append([answer.get_value(0, column) for answer, column in zip(answers, (3, 0))])
        raw.finish()
    return saw


cases.run([
    settings, environment_of_libpq, untouched_custom_setting, statements, statements_seen_by_sql, view_of_statements,
    pipelines, rows_one_by_one, large_objects, copy_and_cancel, reset_in_a_block, reset_in_one_query, replication,
])
