"""Which loads there are: each a row of the report."""

import dataclasses

from figures import SIDES
from processes import POOL_SIZE

IDLE_CLIENTS_BESIDE = 10_000


@dataclasses.dataclass(eq=False)
class Row:
    """One load. `databases` names the pooler's database per side; None leaves the side out."""

    name: str
    kind: str  # transactions, logins, storm, tail, mix, large or memory
    databases: dict
    mode: str = "simple"
    clients: int = 1
    scram: bool = False  # logins are by SCRAM
    reconnect: bool = False  # a login for each transaction
    storm: int = 0  # logins a second beside it, of clients that leave at once
    tls: bool = False  # clients have TLS
    resumes: bool = False  # with a session of before, where logins are all there is
    plain_secret: bool = False  # the poolers know the password itself, not what SCRAM makes of it
    queries: int = 0
    note: str = ""
    failure: str = ""
    # For `load`: what the transactions do, how many processes ask, who is there besides.
    mix: str = "plain"
    generators: int = 1
    idle_beside: int = 0
    # Of the poolers.
    pool_size: int = POOL_SIZE
    settings: dict = dataclasses.field(default_factory=dict)  # more of Martlet's, or other values
    unix_clients: bool = False  # of Martlet
    # The load to which this one is compared.
    base: "Row | None" = None
    samples: dict = dataclasses.field(default_factory=lambda: {side: [] for side in SIDES})


def both(database):
    return {side: database for side in SIDES}


def plan_rows(version, quick, idle_clients, idle_beside):
    return [
        *transaction_rows(version, quick),
        *backend_rows(quick),
        *worker_rows(),
        *tls_rows(version, quick),
        *storm_rows(quick),
        *tail_rows(idle_beside),
        *mix_rows(quick),
        *session_rows(),
        *large_rows(),
        *memory_rows(idle_clients),
    ]


def transaction_rows(version, quick):
    rows = []
    for backend in ("real", "canned"):
        for mode in ("simple", "extended", "prepared"):
            for clients in (1, 32, 256):
                if mode == "prepared" and backend == "canned":
                    continue
                if quick and (clients != 32 or mode == "prepared"):
                    continue
                row = Row(f"{backend} {mode} {clients}", "transactions", both(backend), mode, clients)
                if mode == "prepared" and version < (1, 21):
                    # In transaction mode this PgBouncer breaks prepared statements. With one client
                    # session mode is the same work; with more it needs a server for each.
                    alone = clients == 1
                    row.databases = {
                        "martlet": backend, "pgbouncer": f"{backend}_session" if alone else None
                    }
                    row.note = "session mode" if alone else "left out"
                rows.append(row)
    return rows + [
        Row(f"real reconnect 8{title}", "transactions", both("real"), "simple", 8, scram=True,
            reconnect=True, plain_secret=plain)
        for title, plain in (("", False), (", plain secret", True))
    ]


def backend_rows(quick):
    """Martlet by io_uring, over TCP and over Unix sockets; PgBouncer as always."""
    rows = []
    settings = {"io_backend": "io_uring"}
    for mode in ("simple", "extended"):
        if quick and mode == "extended":
            continue
        for backend in ("real", "canned"):
            name = f"{backend} {mode} 32, io_uring"
            rows.append(Row(name, "transactions", both(backend), mode, 32, settings=settings))
        over_unix = {"martlet": "real_unix", "pgbouncer": "real"}
        for name, unix_clients in (("Unix servers", False), ("Unix servers and clients", True)):
            name = f"real {mode} 32, io_uring, {name}"
            rows.append(
                Row(name, "transactions", over_unix, mode, 32, settings=settings,
                    unix_clients=unix_clients)
            )
    return rows


def tls_rows(version, quick):
    """Clients with TLS 1.3: their transactions, and their logins with a whole handshake and with a session."""
    rows = []
    for mode in ("simple", "extended", "prepared"):
        if quick and mode != "simple":
            continue
        row = Row(f"real {mode} 32, TLS", "transactions", both("real"), mode, 32, tls=True)
        if mode == "prepared" and version < (1, 21):
            row.databases = {"martlet": "real", "pgbouncer": None}
            row.note = "left out"
        rows.append(row)
    rows.append(
        Row("real reconnect 8, TLS", "transactions", both("real"), "simple", 8, scram=True,
            reconnect=True, tls=True)
    )
    return rows + [
        Row(f"TLS, {title}", "logins", both("real"), clients=16, scram=True, tls=True, resumes=resumes)
        for title, resumes in (("whole handshakes", False), ("resumed sessions", True))
    ]


def worker_rows():
    """What a transaction costs with two workers, and with one."""
    alone = {"martlet": "canned", "pgbouncer": None}
    rows = []
    for backend in ("epoll", "io_uring"):
        base = None
        for name, workers in (("1 worker", 1), ("2 workers", 2)):
            settings = {"workers": workers, "io_backend": backend}
            row = Row(f"canned simple 64, {backend}, {name}", "mix", alone, "simple", 64, generators=2,
                      settings=settings, base=base)
            rows.append(row)
            base = row
    return rows


def storm_rows(quick):
    """A steady load alone, and beside so many logins a second."""
    steady = Row("steady 32", "storm", both("real"), clients=32, scram=True)
    quiet = Row("steady 32, TLS", "storm", both("real"), clients=32, scram=True, tls=True)
    return [steady, quiet] + [
        Row(f"steady 32, storm of {rate:,}", "storm", both("real"), clients=32, scram=True, storm=rate,
            base=steady)
        for rate in ((2000,) if quick else (1000, 2000))
    ] + [
        Row("steady 32, TLS, storm of 500", "storm", both("real"), clients=32, scram=True, tls=True,
            storm=500, base=quiet)
    ]


def tail_rows(idle_beside):
    rows = [
        Row("tail 64", "tail", both("canned"), clients=64),
        Row(f"tail 64, {idle_beside:,} idle", "tail", both("canned"), clients=64, idle_beside=idle_beside),
        Row("tail 2,000 on 20 servers", "tail", both("canned"), clients=2000, pool_size=20),
    ]
    rows[1].base = rows[0]
    return rows


def mix_rows(quick):
    plain = Row("mix plain 32", "mix", both("real"), clients=32)
    rows = [plain]
    for mix in ("failures", "set-local", "names", "writes"):
        rows.append(Row(f"mix {mix} 32", "mix", both("real"), clients=32, mix=mix, base=plain))
    for clients in () if quick else (500, 2000):
        rows.append(Row(f"mix plain {clients:,}", "mix", both("real"), clients=clients, base=plain))
    return rows


def session_rows():
    """What it costs to follow sessions: nothing to follow, and settings of four kinds instead of one."""
    alone = {"martlet": "real", "pgbouncer": None}
    rows = []
    for mode in ("simple", "extended"):
        base = None
        for tracking in ("reported", "full"):
            row = Row(f"{mode} 32, session_tracking {tracking}", "mix", alone, mode, 32,
                      settings={"session_tracking": tracking}, base=base)
            rows.append(row)
            base = row
        base = None
        for name, mix in (("one kind", "equal-settings"), ("four kinds", "settings")):
            row = Row(f"{mode} 32, settings of {name}", "mix", alone, mode, 32, mix=mix, base=base)
            rows.append(row)
            base = row
    return rows


def large_rows():
    return [
        Row(f"{backend} 2 MB results 4", "large", both(backend), "simple", 4)
        for backend in ("real", "canned")
    ]


def memory_rows(idle_clients):
    return [
        Row(f"{idle_clients:,} idle clients, {title}", "memory", both("canned"), clients=idle_clients,
            queries=queries)
        for title, queries in (("logged in", 0), ("after a query each", 1))
    ]
