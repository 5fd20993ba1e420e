#!/usr/bin/env python3
"""Real drivers through Martlet: do they see what they see on connections of their own?

Each driver is a program in drivers/ with eight clients that run named cases. It runs twice: against
PostgreSQL, and through Martlet in transaction mode, where its eight clients share two servers. What each
client saw in each case has to be equal. Cases that are known to differ stand in expected.py, with the
reason; one that does not differ any more is a failure, too, until it is taken off that list.
"""

import argparse
import collections
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "Benchmarks"))

from expected import EXPECTED  # noqa: E402
from processes import (  # noqa: E402
    CHECKOUT, PASSWORD, USER, BenchmarkError, Pooler, Workplace, postgres_program,
)

TOOLS = CHECKOUT / ".build" / "conformance"  # where install-drivers puts what Debian does not have
PYTHON = TOOLS / "python/bin/python3"
CLIENTS = 8
SERVERS = 2
DRIVER_SECONDS = 75  # one run of one driver
WAIT_SECONDS = 8  # for a server; clients that wait for each other are told after this time

ZONES = [
    "Asia/Tokyo", "America/New_York", "Europe/Berlin", "UTC", "Asia/Kolkata", "Australia/Adelaide",
    "America/St_Johns", "Pacific/Auckland",
]
LOOK = """select current_setting('TimeZone'), current_setting('DateStyle'), current_setting('search_path'),
    current_setting('application_name'), current_setting('statement_timeout'),
    current_setting('lock_timeout'), current_setting('work_mem'),
    current_setting('default_transaction_isolation'), coalesce(current_setting('app.tenant', true), ''),
    current_user::text,
    '2024-07-01 12:00+00'::timestamptz::text, ('01.02.' || 2024)::date::text,
    current_schema()::text"""


def settings(number):
    """What a client sets when it has connected."""
    return [
        f"set timezone to '{ZONES[number]}'",
        f"set datestyle to 'ISO, {('MDY', 'DMY')[number % 2]}'",
        f"set search_path to client_{number}, public",
        f"set application_name to 'client {number}'",
        f"set statement_timeout to {30000 + number}",
        f"set work_mem to '{4000 + number}kB'",
        f"set app.tenant to 'tenant {number}'",
        f"set role client_{number}",
    ]


@dataclasses.dataclass
class Driver:
    name: str
    command: list
    needs: list  # commands that must succeed before it can be run
    environment: dict = dataclasses.field(default_factory=dict)


def python(name, script, modules, environment=None):
    probe = "; ".join(f"import {module}" for module in modules.split()) or "pass"
    return Driver(name, [PYTHON, "-u", HERE / "drivers" / script], [[PYTHON, "-c", probe]], environment or {})


def known_drivers():
    drivers = HERE / "drivers"
    jar = "/usr/share/java/postgresql.jar"
    node_path = f"/usr/share/nodejs:{TOOLS}/node/usr/share/nodejs"
    node_modules = "for (const name of ['pg', 'pg-cursor', 'pg-query-stream']) require(name)"
    return [
        python("psycopg", "drive_psycopg.py", "psycopg psycopg_binary psycopg_pool"),
        # With the machine's own libpq, which is older than the one in the wheel.
        python("psycopg-python", "drive_psycopg.py", "psycopg psycopg_pool", {"PSYCOPG_IMPL": "python"}),
        python("psycopg2", "drive_psycopg2.py", "psycopg2"),
        python("libpq", "drive_libpq.py", "psycopg psycopg_binary"),
        python("asyncpg", "drive_asyncpg.py", "asyncpg"),
        python("sqlalchemy", "drive_sqlalchemy.py", "sqlalchemy psycopg psycopg2 asyncpg greenlet"),
        python("django", "drive_django.py", "django psycopg"),
        Driver("pgjdbc", ["java", "-XX:TieredStopAtLevel=1", "-cp", jar, drivers / "DrivePgjdbc.java"],
               [["java", "-version"], ["test", "-e", jar]]),
        Driver("node-postgres", ["node", drivers / "drive_node_postgres.js"],
               [["node", "-e", node_modules]], {"NODE_PATH": node_path}),
        Driver("active-record", ["ruby", drivers / "drive_active_record.rb"],
               [["ruby", "-e", "require 'pg'; require 'active_record'"]]),
        Driver("pdo", ["php", drivers / "drive_pdo.php"],
               [["php", "-r", "exit(extension_loaded('pdo_pgsql') && function_exists('pcntl_fork') ? 0 : 1);"]]),
        Driver("dbd-pg", ["perl", drivers / "drive_dbd_pg.pl"], [["perl", "-MDBD::Pg", "-MJSON::PP", "-e", "1"]]),
        python("tools", "drive_tools.py", ""),
    ]


class Conformance:
    def __init__(self, workplace, arguments):
        self.workplace = workplace
        self.arguments = arguments
        self.port = workplace.start_cluster("scram-sha-256")
        roles = "".join(
            f"create role client_{number}; grant client_{number} to {USER};" for number in range(CLIENTS)
        )
        self.superuser(f"create role {USER} login createdb replication password $${PASSWORD}$$; {roles}")
        self.superuser("create extension hstore", "template1")
        schemas = "".join(
            f"create schema client_{number} authorization client_{number};" for number in range(CLIENTS)
        )
        self.superuser(f"{schemas} grant create on schema public to public;"
                       " create table public.numbers as select g as n from generate_series(1, 100) g;"
                       " grant select on public.numbers to public", "template1")
        # For two-phase commit. Only a start takes this setting.
        self.superuser("alter system set max_prepared_transactions = 20")
        self.restart_postgres()

    def superuser(self, statements, database="postgres"):
        command = [postgres_program("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres"]
        command += ["-h", self.workplace.cluster, "-p", str(self.port), "-d", database, "-c", statements]
        done = subprocess.run(command, capture_output=True, text=True, start_new_session=True)
        if done.returncode != 0:
            raise BenchmarkError(done.stderr)
        return done.stdout

    def restart_postgres(self):
        program = postgres_program("pg_ctl")
        data = f"{self.workplace.cluster}/data"
        command = [*self.workplace.unprivileged(program), program, "restart", "-D", data, "-m", "fast", "-w"]
        command += ["-l", f"{self.workplace.cluster}/server.log"]
        subprocess.run(command, cwd="/", check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, start_new_session=True, timeout=60)

    def new_database(self):
        """One as nobody has seen it; what a program left in the old one is gone."""
        left = self.superuser("select gid from pg_prepared_xacts").split()
        for identifier in left:
            self.superuser(f"rollback prepared '{identifier}'", "app")
        self.superuser("drop database if exists app with (force)")
        self.superuser(f"create database app owner {USER}")

    def start_martlet(self):
        server = f"host=127.0.0.1 port={self.port} dbname=app"
        databases = [f"app = {server}", f"wide = {server} pool_size=4"]
        extra = [f"query_wait_timeout = {WAIT_SECONDS}", f"admin_users = {USER}",
                 *self.arguments.martlet_setting]
        if self.arguments.tls:
            extra += [*self.workplace.make_certificate(), "client_tls_sslmode = require"]
        return Pooler(self.workplace, "martlet", self.arguments.martlet.resolve(), databases,
                      "scram-sha-256", extra, pool_size=SERVERS, plain_secret=True)

    def tls_environment(self):
        """What makes the programs speak TLS, by libpq's variables or their own."""
        return {"PGSSLMODE": "require", "NODE_EXTRA_CA_CERTS": str(self.workplace.folder / "pooler.crt")}

    def run(self, driver, port, wide, variables=None):
        """What each client saw in each case, and how the program ended: None = well."""
        environment = {
            **os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": USER, "PGPASSWORD": PASSWORD,
            "PGDATABASE": "app", "CONFORMANCE_CLIENTS": str(CLIENTS), "CONFORMANCE_LOOK": LOOK,
            "CONFORMANCE_WIDE": wide, "CONFORMANCE_CASES": self.arguments.cases,
            "CONFORMANCE_SETTINGS": json.dumps([settings(number) for number in range(CLIENTS)]),
            "PYTHONHASHSEED": "0",  # both runs of a program go through its sets in the same order
            "PATH": f"{pathlib.Path(postgres_program('psql')).parent}:{os.environ['PATH']}",
            **driver.environment, **(variables or {}),
        }
        log = f"{driver.name}-{port}"
        with (open(self.workplace.folder / f"{log}.out", "w+") as output,
              open(self.workplace.folder / f"{log}.err", "w+") as errors):
            process = subprocess.Popen([str(part) for part in driver.command], stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=errors, env=environment, start_new_session=True)
            ended = None
            try:
                if process.wait(DRIVER_SECONDS) != 0:
                    ended = f"ended with {process.returncode}"
            except subprocess.TimeoutExpired:
                ended = f"was not done after {DRIVER_SECONDS} s"
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, 9)
                    process.wait()
            output.seek(0), errors.seek(0)
            seen = collections.defaultdict(dict)
            for line in output:
                try:
                    what = json.loads(line)
                    seen[what["case"]][what["client"]] = what
                except (ValueError, KeyError):
                    ended = ended or f"printed {line!r}"
            if ended:
                ended += "".join(f"\n      {line.rstrip()}" for line in errors.readlines()[-12:])
        return seen, ended

    def compare(self, driver):
        """The report on one driver: a list of (verdict, case, text)."""
        self.new_database()
        private, private_end = self.run(driver, self.port, "app")
        self.new_database()
        martlet = self.start_martlet()
        shared, shared_end = self.run(
            driver, martlet.port, "wide", self.tls_environment() if self.arguments.tls else None)
        results = [self.judge(driver, case, private.get(case, {}), shared.get(case, {}))
                   for case in dict.fromkeys([*private, *shared])]
        if not private:
            results.append(("failed", "(program)", f"told nothing of any case on private connections: {private_end}"))
        elif private_end:
            results.append(("failed", "(program)", f"on private connections it {private_end}"))
        if shared_end:
            results.append(("failed", "(program)", f"through Martlet it {shared_end}"))
        counts = collections.Counter()
        if not martlet.alive():
            results.append(("failed", "(program)", f"Martlet died: {self.workplace.tail(martlet.log)}"))
        else:
            counts = self.shown(martlet, "stats")
            if counts["replay_count"] == 0 and not self.arguments.cases:
                results.append(("failed", "(program)", "no client ever changed its server: nothing was tried"))
            if left := self.left_behind(martlet):
                results.append(("failed", "(program)", f"left in Martlet after its end: {left}"))
        if self.arguments.verbose:
            for side, seen in (("private", private), ("Martlet", shared)):
                slow = sorted(((max(one.get("seconds", 0) for one in clients.values()), case)
                               for case, clients in seen.items()), reverse=True)[:4]
                print(f"  slowest, {side}: {', '.join(f'{case} {seconds:.1f} s' for seconds, case in slow)}")
        if self.arguments.log:
            shutil.copy(self.workplace.folder / martlet.log, self.arguments.log / f"{driver.name}.log")
        martlet.stop()
        return results, counts

    def judge(self, driver, case, private, shared):
        different = []
        for client in range(CLIENTS):
            one, other = private.get(client), shared.get(client)
            if one is None:
                return "failed", case, f"client {client} told nothing on a private connection"
            if "error" in one:
                return "failed", case, f"on a private connection: {one['error']}\n{indented(one['trace'])}"
            if other is None:
                different.append((client, "it was not heard of any more"))
            elif "error" in other:
                different.append((client, f"{other['error']}\n{indented(other['trace'])}"))
            elif one["saw"] != other["saw"]:
                different.append((client, difference(one["saw"], other["saw"])))
        reason = EXPECTED.get((driver.name, case))
        if not different:
            return ("unexpected", case, f"does not differ any more: {reason}") if reason else ("passed", case, "")
        # Clients that differ in the same way are told of once.
        ways = collections.defaultdict(list)
        for client, text in different:
            ways[text].append(client)
        text = "".join(f"\n    clients {', '.join(map(str, clients))}: {text}" for text, clients in list(ways.items())[:3])
        return ("expected", case, f"{reason}{text}") if reason else ("failed", case, text)

    def shown(self, martlet, table):
        """The sums of the columns of one of the console's tables, without its own database."""
        command = [postgres_program("psql"), "-X", "-A", "-h", "127.0.0.1", "-p", str(martlet.port), "-U", USER]
        shown = subprocess.run([*command, "-c", f"show {table}", "pgbouncer"], capture_output=True, text=True,
                               env={**os.environ, "PGPASSWORD": PASSWORD}, start_new_session=True, timeout=30)
        lines = [line.split("|") for line in shown.stdout.splitlines() if "|" in line]
        sums = collections.Counter()
        for line in lines[1:]:
            if line[0] == "pgbouncer":
                continue
            for column, value in zip(lines[0], line):
                if value.isdigit():
                    sums[column.removeprefix("total_")] += int(value)
        return sums

    def left_behind(self, martlet):
        """What is still in use some seconds after the last client has gone: nothing should be."""
        deadline = time.monotonic() + 10
        while True:
            pools = self.shown(martlet, "pools")
            left = {column: pools[column] for column in ("cl_active", "cl_waiting", "sv_active", "sv_pinned")
                    if pools[column]}
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.1)


def indented(text):
    return "\n".join(f"      {line}" for line in text.strip().splitlines()[-14:])


def difference(one, other):
    """Where two results part."""
    if isinstance(one, list) and isinstance(other, list):
        for place, (left, right) in enumerate(zip(one, other)):
            if left != right:
                return f"[{place}] {difference(left, right)}"
        return f"{len(one)} results on a private connection, {len(other)} through Martlet"
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            if one.get(key) != other.get(key):
                return f"[{key!r}] {difference(one.get(key), other.get(key))}"
    return f"\n      private: {json.dumps(one)[:500]}\n      Martlet: {json.dumps(other)[:500]}"


def reason_not_to_run(driver):
    for command in driver.needs:
        try:
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60,
                                  env={**os.environ, **driver.environment}, start_new_session=True)
        except FileNotFoundError:
            return f"there is no {command[0]}"
        except subprocess.TimeoutExpired:
            return f"{command[0]} does not answer"
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if re.search("Error|cannot", line)]
            return (lines or done.stderr.splitlines() or [f"{command} fails"])[-1]
    return None


def main():
    parser = argparse.ArgumentParser(description="Compare what drivers see through Martlet with private connections.")
    parser.add_argument("--only", default="", metavar="REGEX", help="drivers with such names")
    parser.add_argument("--cases", default="", metavar="REGEX", help="cases with such names")
    parser.add_argument("--martlet", type=pathlib.Path, default=CHECKOUT / ".build/release/martlet")
    parser.add_argument("--martlet-setting", action="append", default=[], metavar="LINE")
    parser.add_argument("--tls", action="store_true", help="TLS between the programs and Martlet")
    parser.add_argument("--log", type=pathlib.Path, metavar="FOLDER", help="keep Martlet's logs there")
    parser.add_argument("--verbose", action="store_true", help="every case, and how the expected ones differ")
    arguments = parser.parse_args()
    total = collections.Counter()
    began = time.monotonic()
    with Workplace() as workplace:
        conformance = Conformance(workplace, arguments)
        for driver in known_drivers():
            if not re.search(arguments.only, driver.name):
                continue
            reason = reason_not_to_run(driver)
            if reason:
                print(f"{driver.name}: not run: {reason}", flush=True)
                total["not run"] += 1
                continue
            started = time.monotonic()
            results, sums = conformance.compare(driver)
            counts = collections.Counter(verdict for verdict, _, _ in results)
            total += counts
            text = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("passed", "failed", "unexpected")
                             if counts[verdict] or verdict != "unexpected")
            if counts["expected"]:
                text += f", {counts['expected']} differ as expected"
            print(f"{driver.name}: {text} ({time.monotonic() - started:.0f} s; {sums['xact_count']:,} transactions,"
                  f" {sums['replay_count']:,} replays, {sums['pin_count']:,} pins)", flush=True)
            for verdict, case, why in results:
                if verdict in ("failed", "unexpected") or arguments.verbose:
                    if verdict == "expected" and not arguments.verbose:
                        why = why.splitlines()[0]
                    print(f"  {verdict}: {case}{': ' if why else ''}{why}", flush=True)
    failed = total["failed"] + total["unexpected"]
    print(f"\n{time.monotonic() - began:.0f} s; {total['expected']} cases differ as expected (expected.py),"
          f" {total['not run']} drivers not run")
    print(f"conformance: {total['passed'] + total['expected']} passed, {failed} failed, {total['not run']} skipped")
    return 1 if failed or not total["passed"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        sys.exit(f"conformance: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
