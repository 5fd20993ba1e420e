"""PostgreSQL's own programs: psql, pg_dump, pg_restore, pgbench, and those that replicate."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import cases
from cases import LOOK, alone

SECONDS = 30
WIDE = os.environ["CONFORMANCE_WIDE"]  # a pool with more servers, for programs that hold several


def told(command, given="", database=None, options=None):
    """How a program ended, and what it said."""
    environment = {**os.environ, "PGOPTIONS": options or "", "PGCONNECT_TIMEOUT": "20"}
    if database:
        environment["PGDATABASE"] = database
    done = subprocess.run(command, input=given, capture_output=True, text=True, env=environment, timeout=SECONDS)
    return [done.returncode, anonymous(done.stdout), anonymous(done.stderr)]


def anonymous(text):
    """Without what differs from run to run."""
    for pattern, instead in (
        (r"port (\"?)\d+", r"port \1N"), (r"/tmp/[^\s:\"]+", "/tmp/..."), (r"\d+\.\d+ (ms|s)\b", r"T \1"),
        (r"pg_temp_\d+", "pg_temp_N"), (r"PID \d+", "PID N"), (r"(?m)^\\(un)?restrict .*", ""),
        (r"(?m)^.*\(every .*\)$", "(every)"),
    ):
        text = re.sub(pattern, instead, text)
    return text


def psql(client, script, *arguments, setup=True):
    first = "".join(f"{statement};\n" for statement in client.settings) if setup else ""
    return told(["psql", "-X", "-q", "-A", *arguments, "-f", "-"], first + script)


def settings_in_psql(client):
    look = f"{' '.join(LOOK.split())};\n"
    return [
        psql(client, look * 5 + "begin; set timezone to 'Asia/Tokyo'; rollback;\n" + look * 3),
        psql(client, look * 2 + "\\encoding LATIN1\n" + look + "show client_encoding;\n\\c\n" + look, setup=False),
        told(["psql", "-X", "-A", "-f", "-"], look * 3 + "reset all;\n" + look,
             options=f"-c timezone=Etc/GMT+{client.number + 1} -c statement_timeout=12345 -c datestyle=German"),
        told(["psql", "-X", "-A", "-1", "-f", "-"], f"set timezone to '{client.number}';\n" + look),
    ]


def gdesc_and_bind(client):
    return psql(client, f"""
        select {client.number} as a, 'x'::text as b, now() as c \\gdesc
        select 1 as one \\gset
        \\echo :one
        select 'expanded' as a, :one as b \\gx
        \\set FETCH_COUNT 7
        select g * {client.number} from generate_series(1, 30) g;
        \\unset FETCH_COUNT
        select $1::int + {client.number}, $2::text \\bind 5 'six' \\g
        select nothing_such \\gdesc
        create table gexecuted_1 (a int);
        select format('create table %s (a int)', name) from unnest(array['gexecuted_2', 'gexecuted_3']) name \\gexec
        \\dt
        select format('drop table gexecuted_%s', g) from generate_series(1, 3) g \\gexec
        select a, b, a * b as c from generate_series(1, 3) a, generate_series(1, 3) b \\crosstabview
        \\errverbose
        select 1 / 0;
        \\errverbose
    """)


def watch(client):
    """\\watch until an error ends it."""
    return psql(client, """
        create table watched (a int);
        with added as (insert into watched values (1) returning a)
        select 1 / (3 - (select count(*) from watched)), current_setting('search_path') from added \\watch 0.01
        select count(*) from watched;
        drop table watched;
    """.replace("\n        select 1 /", " select 1 /"))


def on_error_rollback(client):
    return psql(client, """
        \\set ON_ERROR_ROLLBACK on
        begin;
        create table rolled (a int primary key);
        insert into rolled values (1);
        insert into rolled values (1);
        set timezone to 'Asia/Tokyo';
        select nothing_such;
        show timezone;
        savepoint mine;
        insert into rolled values (2);
        rollback to mine;
        commit;
        show timezone;
        select * from rolled;
        \\set AUTOCOMMIT off
        insert into rolled values (3);
        rollback;
        select * from rolled;
        drop table rolled;
        commit;
        \\set ON_ERROR_STOP on
        select 1 / 0;
        select 'not reached';
    """)


def copies(client):
    return psql(client, f"""
        create table copied (a int, b text);
        \\copy copied from stdin csv
        1,client {client.number}
        2,"quoted, ""twice"" "
        \\.
        \\copy (select * from copied order by a) to stdout
        copy copied to stdout with csv header;
        \\copy copied from stdin
        not a number
        \\.
        \\copy copied to program 'cat'
        drop table copied;
        select 'after' \\; select 'both';
        show search_path;
    """.replace("\n        ", "\n"))


def descriptions(client):
    script = """
        create table described (a int primary key, b text default 'x' check (b <> ''), c timestamptz);
        create index on described (b);
        create view seen as select a from described;
        create function added(int) returns int language sql return $1 + 1;
        create temp table marks (mark int);
        \\d described
        \\d marks
        \\d+ seen
        \\sf added
        \\dn public
        \\df added
        \\dv
        \\conninfo
        drop view seen;
        drop table described, marks;
        drop function added;
        \\d
    """.replace("\n        ", "\n")
    return psql(client, script)


def listening_in_psql(client):
    return psql(client, f"""
        listen psql_{client.number};
        notify psql_{client.number}, 'first';
        select 1;
        begin;
        notify psql_{client.number}, 'second';
        commit;
        select 2;
        unlisten *;
        notify psql_{client.number}, 'third';
    """)


def sessions_in_psql(client):
    """Temporary tables, PREPARE, cursors WITH HOLD and advisory locks of one session."""
    return psql(client, f"""
        create temp table marks as select {client.number} as mark;
        prepare same(int) as select mark * $1 from marks;
        execute same(2);
        declare held cursor with hold for select g from generate_series(1, 10) g;
        fetch 3 from held;
        execute same(3);
        fetch 3 from held;
        select pg_advisory_lock(77{client.number});
        select count(*) from pg_locks where locktype = 'advisory' and objid = 77{client.number};
        discard temp;
        execute same(4);
        deallocate all;
        execute same(5);
        close all;
        fetch 1 from held;
        select pg_advisory_unlock(77{client.number});
        discard all;
        show timezone;
    """)


TO_DUMP = """
    create schema dumped;
    create type dumped.mood as enum ('sad', 'glad');
    create table dumped.parents (id serial primary key, name text unique, mood dumped.mood default 'sad');
    create table dumped.children (id bigint generated always as identity, parent int references dumped.parents,
        at timestamptz default '2024-07-01 12:00+00', constraint pair unique (parent, id));
    insert into dumped.parents (name) select 'parent ' || g from generate_series(1, 200) g;
    insert into dumped.children (parent) select 1 + g % 200 from generate_series(1, 2000) g;
    create view dumped.seen as
        select name, count(*) from dumped.parents p join dumped.children c on c.parent = p.id group by 1;
    create function dumped.added(int) returns int language plpgsql as $$ begin return $1 + 1; end $$;
    create sequence dumped.counting start 7;
    select nextval('dumped.counting');
    select lo_from_bytea(0, 'large');
"""


def dumped_and_restored(client, kind, jobs=()):
    """The dump, and a dump of what was restored from it; they have to be equal."""
    # Own names for everything, because all clients share the database.
    schema = f"dumped_{kind}_{client.number}"
    script = TO_DUMP.replace("dumped", schema).replace("    select lo_from_bytea(0, 'large');\n", "")
    folder = pathlib.Path(tempfile.mkdtemp())
    file = str(folder / "dump")
    plain = ["pg_dump", "-n", schema, "--no-owner"]
    saw = []
    try:
        saw.append(told(["psql", "-X", "-q", "-A", "-v", "ON_ERROR_STOP=1", "-f", "-"], script))
        database = WIDE if jobs else None
        first = told(plain)
        if kind == "plain":
            saw.append(told([*plain, "-f", file]))
        else:
            saw.append(told([*plain, f"-F{kind[0]}", *jobs, "-f", file], database=database))
        saw.append(told(["psql", "-X", "-q", "-c", f"set client_min_messages to error; drop schema {schema} cascade"]))
        if kind == "plain":
            saw.append(told(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file]))
        else:
            saw.append(told(["pg_restore", "--no-owner", "-d", database or os.environ["PGDATABASE"], *jobs, file]))
        second = told(plain)
        saw.append([first[0], len(first[1].splitlines()), first[2], first == second])
        saw.append(told(["psql", "-X", "-q", "-A", "-c", f"select * from {schema}.seen order by 1 limit 3",
                         "-c", f"select nextval('{schema}.counting')", "-c", f"select {schema}.added(1)"]))
    finally:
        shutil.rmtree(folder)
    return saw


def pg_dump_plain(client):
    return dumped_and_restored(client, "plain")


def pg_dump_custom(client):
    return dumped_and_restored(client, "custom")


def pg_dump_tar(client):
    return dumped_and_restored(client, "tar")


def pg_dump_in_two_jobs(client):
    """Each of them holds three servers at once."""
    if client.number > 2:
        return None
    with alone:
        return dumped_and_restored(client, "directory", ["-j", "2"])


def beside_a_dump(client):
    """What pg_dump does to its session (search_path, timeouts, ...) is not seen by others."""
    saw = []
    for turn in range(3):
        if client.number % 2:
            saw.append(told(["pg_dump", "-s", "-t", "public.numbers"]))
        saw.append(psql(client, f"{' '.join(LOOK.split())};\nselect count(*) from numbers;\n" * 4, setup=turn % 2 == 0))
    return saw


def pgbench(client):
    saw = []
    options = f"-c search_path=client_{client.number}"
    saw.append(told(["pgbench", "-i", "-q", "-s", "1"], options=options)[0])
    for mode in ("simple", "extended", "prepared"):
        for more in ([], ["-S"], ["-C", "-t", "5"]):
            done = told(["pgbench", "-n", "-M", mode, "-c", "3", "-t", "30", *more], options=options)
            counts = re.findall(r"actually processed: .*|failed transactions: \d+", done[1])
            saw.append([mode, done[0], counts, done[2]])
    saw.append(told(["psql", "-X", "-A", "-t", "-c", "select count(*) from pgbench_history"], options=options))
    saw.append(told(["pgbench", "-i", "-I", "d"], options=options))
    return saw


def pgbench_pipelines(client):
    saw = []
    script = f"""
        \\set n random(1, 100)
        \\startpipeline
        begin;
        select n from public.numbers where n = :n;
        select :n * {client.number};
        commit;
        select 1;
        \\endpipeline
        set work_mem to '{4100 + client.number}kB';
        select current_setting('work_mem') as given \\gset
        \\if :client_id < 0
        select 1 / 0;
        \\endif
    """
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        for mode in ("extended", "prepared"):
            done = told(["pgbench", "-n", "-M", mode, "-c", "2", "-t", "30", "-f", file.name])
            saw.append([done[0], re.findall(r"actually processed: .*", done[1]), anonymous(done[2])])
    return saw


def pg_basebackup(client):
    if client.number:
        return None
    with tempfile.TemporaryDirectory() as folder:
        saw = told(["pg_basebackup", "-D", f"{folder}/base", "-c", "fast", "-X", "none"])
        saw[2] = "\n".join(line for line in saw[2].splitlines() if "NOTICE" not in line)
        return saw


def other_programs(client):
    """What maintains, asks, or creates."""
    saw = [
        told(["pg_isready"]),
        told(["vacuumdb", "-q", "-z", "-t", "public.numbers"]) if client.number == 0 else None,
        told(["vacuumdb", "-q", "-Z", "-j", "2", "-d", WIDE, "-n", "public"]) if client.number == 1 else None,
        told(["reindexdb", "-q", "-S", f"client_{client.number}"]),
        told(["clusterdb", "-q"]) if client.number == 2 else None,
        told(["pg_dumpall", "--roles-only", "--no-role-passwords", "-l", os.environ["PGDATABASE"]])[0],
    ]
    saw[0][1] = saw[0][1].split(" - ")[-1]
    return saw


cases.run([
    pg_basebackup, settings_in_psql, gdesc_and_bind, watch, on_error_rollback, copies, descriptions, listening_in_psql,
    sessions_in_psql, pg_dump_plain, pg_dump_custom, pg_dump_tar, pg_dump_in_two_jobs, beside_a_dump, pgbench,
    pgbench_pipelines, other_programs,
])
