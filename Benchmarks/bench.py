#!/usr/bin/env python3
"""Martlet and Debian's PgBouncer side by side, on this machine.

Both poolers have one thread (where a load does not say otherwise), transaction mode and 16 servers per
pool, before a real PostgreSQL and before a server of canned answers (which leaves the pooler as the
bottleneck). Rounds are interleaved: in each round every load runs with one pooler and at once with the
other, in turns first. Printed are medians over the rounds; a ratio is the median of the ratios of the
single rounds.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

import goals
import loads
import plan
import report
from figures import SIDES
from processes import (
    CHECKOUT, POOL_SIZE, BenchmarkError, Pooler, Workplace, file_limit, knows_setting,
    postgres_program,
)

LONGEST_SECONDS = 840  # no further round starts when it would end later than this
IDLE_CLIENTS = 5000
# One thread, as PgBouncer; what this Martlet does not know yet is left out.
MARTLET_SETTINGS = {"workers": 1, "io_backend": "epoll", "session_tracking": "full"}


@dataclasses.dataclass
class LargeSample(loads.Sample):
    """CPU is per MB here."""

    megabytes: float = 0


@dataclasses.dataclass
class MemorySample:
    memory: float


class Bench:
    def __init__(self, workplace, arguments, version):
        self.workplace = workplace
        self.arguments = arguments
        self.version = version
        self.poolers = {}
        self.programs = {"martlet": arguments.martlet.resolve(), "pgbouncer": arguments.pgbouncer}
        self.known_settings = {
            key
            for key, value in MARTLET_SETTINGS.items()
            if knows_setting(workplace, self.programs["martlet"], f"{key} = {value}")
        }
        real = workplace.start_postgres(scale=2)
        canned = workplace.start_canned_server()
        self.databases = [
            f"real = host=127.0.0.1 port={real} dbname=bench",
            f"canned = host=127.0.0.1 port={canned} dbname=bench",
        ]
        self.unix_database = f"real_unix = host={workplace.folder}/postgres port={real} dbname=bench"

    def can_run(self, row):
        return all(key in self.known_settings for key in row.settings)

    def start(self, side, auth="trust", plain_secret=False, settings=(), pool_size=POOL_SIZE, tls=False):
        databases, extra = list(self.databases), []
        if side == "martlet":
            databases.append(self.unix_database)
            values = {key: MARTLET_SETTINGS[key] for key in self.known_settings} | dict(settings)
            extra = [f"{key} = {value}" for key, value in sorted(values.items())]
            extra += self.arguments.martlet_setting
        else:
            databases += [
                line.replace(" =", "_session =", 1) + " pool_mode=session" for line in self.databases
            ]
            if self.version >= (1, 21):
                extra = ["max_prepared_statements = 200"]
        if tls:
            extra += self.workplace.make_certificate()
        program = self.programs[side]
        return Pooler(self.workplace, side, program, databases, auth, extra, pool_size=pool_size,
                      plain_secret=plain_secret)

    def pooler(self, side, row):
        """The pooler that serves all rounds of such loads; a new one if it died."""
        auth = "scram-sha-256" if row.scram else "trust"
        settings = tuple(sorted(row.settings.items())) if side == "martlet" else ()
        key = (side, auth, row.plain_secret, settings, row.pool_size, row.tls)
        running = self.poolers.get(key)
        if running is None or not running.alive():
            running = self.poolers[key] = self.start(*key)
        return running

    def measure(self, row, side, seconds):
        if row.kind == "memory":
            return self.measure_memory(row, side)
        if row.kind == "logins":
            pooler = self.pooler(side, row)
            return loads.run_logins(self.workplace, pooler, row.databases[side], row, seconds)
        if row.kind in ("tail", "mix"):
            pooler = self.pooler(side, row)
            return loads.run_load(self.workplace, pooler, row.databases[side], row, seconds)
        return self.measure_pgbench(row, side, seconds)

    def measure_memory(self, row, side):
        pooler = self.start(side)  # a fresh one: what other loads left behind is not counted
        try:
            database = row.databases[side]
            return MemorySample(loads.idle_memory(pooler, database, row.clients, row.queries))
        finally:
            pooler.stop()

    def measure_pgbench(self, row, side, seconds):
        script = loads.LARGE_SCRIPT if row.kind == "large" else loads.SELECT_SCRIPT
        pooler = self.pooler(side, row)
        host = str(pooler.socket_folder) if row.unix_clients and side == "martlet" else None

        def run(**changes):
            return loads.run_pgbench(
                self.workplace, pooler, row.databases[side], script, row.mode, row.clients,
                **{"seconds": seconds, "reconnect": row.reconnect, "host": host, "tls": row.tls, **changes},
            )

        # Servers connect and caches fill before the clock starts.
        run(seconds=None, transactions=row.clients * (2 if row.kind == "large" else 20))
        with loads.login_storm(pooler, row.databases[side], row.storm, seconds + 30, row.tls) as storm:
            sample = run()
        if storm:
            sample.logins, sample.login_p99 = storm["per_second"], storm["p99_ms"]
        if row.kind != "large":
            return sample
        per_transaction = loads.LARGE_BYTES / 1e6
        large = LargeSample(**dataclasses.asdict(sample), megabytes=sample.tps * per_transaction)
        for figure in ("cpu", "user", "system"):
            setattr(large, figure, getattr(large, figure) / per_transaction)
        return large

    def run_round(self, rows, index, seconds):
        for row in rows:
            if row.failure or (row.kind == "memory" and index > 0):
                continue
            # One client's latency hangs on where the kernel places three processes: it varies by a
            # tenth between equal poolers, and only many short pairs say something.
            pairs = 3 if row.kind == "transactions" and row.clients == 1 else 1
            for pair in range(pairs):
                sides = SIDES if (index + pair) % 2 == 0 else SIDES[::-1]
                self.run_pair(row, sides, seconds if pairs == 1 else 1)

    def run_pair(self, row, sides, seconds):
        for side in sides:
            if row.databases[side] is None or row.failure:
                continue
            try:
                row.samples[side].append(self.measure(row, side, seconds))
            except BenchmarkError as error:
                row.failure = f"{side}: {error}"
                note(f"  {row.name} failed, see the end of the report")


def note(text):
    print(text, file=sys.stderr, flush=True)


def pgbouncer_version(program):
    text = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    match = re.search(r"PgBouncer (\d+)\.(\d+)", text)
    if not match:
        raise BenchmarkError(f"{program} --version does not name a version: {text!r}")
    return int(match.group(1)), int(match.group(2))


def describe_machine(version):
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    postgres = subprocess.run(
        [postgres_program("postgres"), "--version"], capture_output=True, text=True
    ).stdout.strip()
    return {
        "processor": model.group(1) if model else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "postgres": postgres,
        "pgbouncer": ".".join(map(str, version)),
        "load before": os.getloadavg()[0],
    }


def print_report(rows, left_out, results, machine, rounds, seconds, markdown):
    strong = "**" if markdown else ""
    print(f"{strong}M = Martlet, P = PgBouncer {machine['pgbouncer']}{strong}; {machine['processor']}, "
          f"{machine['cores']} cores, Linux {machine['kernel']}, {machine['postgres']}; "
          f"medians of interleaved rounds, {rounds} of {seconds} s each")
    for kind, table in report.TABLES.items():
        of_kind = [row for row in rows if row.kind == kind]
        if of_kind:
            print("\n" + report.render(*table(of_kind), markdown))
    notes = {row.note for row in rows if row.note}
    if notes:
        print(f"\n* PgBouncer {machine['pgbouncer']} has no prepared statements in transaction mode: "
              "with 1 client it ran in session mode, with more it is left out.")
    print("Loads are backend, mode and clients; reconnect is `pgbench -C` with SCRAM, its times "
          "include the login. CPU of pgbench's loads includes the logins at the start of each round. "
          "With TLS it is 1.3 between clients and pooler. Logins are by SCRAM, of 16 clients at once. "
          "Tails have canned answers, mixes a real PostgreSQL; fewest/most are the transactions of the "
          "unluckiest and the luckiest client. A storm is of so many logins by SCRAM a second. Its base is "
          "steady 32 (with TLS where it has), that of a mix is mix plain 32, that of 2 workers is 1 worker, that of "
          "session_tracking full is reported, that of four kinds of settings is one.")
    if results:
        print("\n" + report.render(*report.verdict_table(results), markdown))
    for row in left_out:
        print(f"\nLeft out: {row.name}; this Martlet does not know {', '.join(row.settings)}")
    for row in rows:
        if row.failure:
            print(f"\nFAILED {row.name}: {row.failure}")


def as_json(rows, results, machine):
    return {
        "machine": machine,
        "rows": [
            {
                "name": row.name,
                "note": row.note,
                "failure": row.failure,
                "samples": {
                    side: [dataclasses.asdict(sample) for sample in samples]
                    for side, samples in row.samples.items()
                },
            }
            for row in rows
        ],
        "goals": [
            dict(zip(("goal", "load", "of", "value", "range", "wanted", "verdict"), result))
            for result in results
        ],
    }


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer loads, 2 rounds of 1 s, two minutes")
    parser.add_argument("--only", metavar="REGEX", default="", help="only loads whose name matches")
    parser.add_argument("--rounds", type=int, help="default 4")
    parser.add_argument("--seconds", type=int, help="of each load in a round; default 2")
    parser.add_argument("--idle-clients", type=int, default=IDLE_CLIENTS)
    parser.add_argument("--idle-beside", type=int, default=plan.IDLE_CLIENTS_BESIDE,
                        help="beside 64 active ones; default 10,000, as far as descriptors go")
    parser.add_argument("--markdown", action="store_true", help="print tables for a document")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="every sample, too")
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is not met")
    parser.add_argument("--martlet", default=CHECKOUT / ".build/release/martlet", type=pathlib.Path)
    parser.add_argument("--pgbouncer", default="/usr/sbin/pgbouncer")
    parser.add_argument("--martlet-setting", action="append", default=[], metavar="KEY=VALUE",
                        help="one more line for [martlet]; may be repeated")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 4)
    arguments.seconds = arguments.seconds or (1 if arguments.quick else 2)
    return arguments


def main():
    arguments = parse_arguments()
    if not arguments.martlet.exists():
        raise BenchmarkError(f"{arguments.martlet} is missing: run `make build`")
    started = time.monotonic()
    version = pgbouncer_version(arguments.pgbouncer)
    idle_clients = min(arguments.idle_clients, max(file_limit() - 1000, 100))
    idle_beside = min(arguments.idle_beside, max(file_limit() - 4000, 100))
    planned = plan.plan_rows(version, arguments.quick, idle_clients, idle_beside)
    wanted = [row for row in planned if re.search(arguments.only, row.name)]
    bases = [row.base for row in wanted]
    rows = [row for row in planned if row in wanted or row in bases]
    if not rows:
        raise BenchmarkError(f"no load matches {arguments.only!r}")
    machine = describe_machine(version)
    rounds = 0
    with Workplace() as workplace:
        note(f"Starting PostgreSQL and the canned server; {len(rows)} loads")
        bench = Bench(workplace, arguments, version)
        left_out = [row for row in rows if not bench.can_run(row)]
        rows = [row for row in rows if bench.can_run(row)]
        longest_round = 0.0
        while rounds < arguments.rounds:
            elapsed = time.monotonic() - started
            if elapsed + longest_round > LONGEST_SECONDS:
                note(f"Stopping after {rounds} rounds: the time is up")
                break
            note(f"Round {rounds + 1} of {arguments.rounds}, after {elapsed:.0f} s")
            bench.run_round(rows, rounds, arguments.seconds)
            longest_round = max(longest_round, time.monotonic() - started - elapsed)
            rounds += 1
    results = goals.verdicts(rows)
    print_report(rows, left_out, results, machine, rounds, arguments.seconds, arguments.markdown)
    if arguments.json:
        arguments.json.write_text(json.dumps(as_json(rows, results, machine), indent=1) + "\n")
    failed = any(row.failure for row in rows)
    missed = arguments.check and any(word in ("NOT MET", "not measured") for *_, word in results)
    return 1 if failed or missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
