#!/usr/bin/env python3
"""Martlet and Debian's PgBouncer side by side, on this machine.

Both poolers have one thread, transaction mode and 16 servers per pool, before a real PostgreSQL and
before a server of canned answers (which leaves the pooler as the bottleneck). Rounds are
interleaved: in each round every load runs with one pooler and at once with the other, in turns first.
Printed are medians over the rounds; a ratio is the median of the ratios of the single rounds.
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

import loads
import report
from processes import CHECKOUT, BenchmarkError, Pooler, Workplace, file_limit, postgres_program

LONGEST_SECONDS = 520  # no further round starts when it would end later than this
IDLE_CLIENTS = 5000


@dataclasses.dataclass
class Row:
    """One load. `databases` names the pooler's database per side; None leaves the side out."""

    name: str
    kind: str  # transactions, large or memory
    databases: dict
    mode: str = "simple"
    clients: int = 1
    reconnect: bool = False
    queries: int = 0
    note: str = ""
    failure: str = ""
    samples: dict = dataclasses.field(default_factory=lambda: {side: [] for side in report.SIDES})


@dataclasses.dataclass
class LargeSample(loads.Sample):
    """CPU is per MB here."""

    megabytes: float = 0


@dataclasses.dataclass
class MemorySample:
    memory: float


def plan_rows(version, quick, idle_clients):
    both = lambda database: {side: database for side in report.SIDES}  # noqa: E731
    prepared_everywhere = version >= (1, 21)
    rows = []
    for backend in ("real", "canned"):
        for mode in ("simple", "extended", "prepared"):
            for clients in (1, 32, 256):
                if quick and (clients == 256 or mode == "prepared"):
                    continue
                row = Row(f"{backend} {mode} {clients}", "transactions", both(backend), mode, clients)
                if mode == "prepared" and not prepared_everywhere:
                    # In transaction mode this PgBouncer breaks prepared statements. With one client
                    # session mode is the same work; with more it needs a server for each.
                    alone = clients == 1
                    row.databases = {
                        "martlet": backend, "pgbouncer": f"{backend}_session" if alone else None
                    }
                    row.note = "session mode" if alone else "left out"
                rows.append(row)
    rows.append(Row("real reconnect 8", "transactions", both("real"), "simple", 8, reconnect=True))
    for backend in ("real", "canned"):
        rows.append(Row(f"{backend} 2 MB results 4", "large", both(backend), "simple", 4))
    for title, queries in (("logged in", 0), ("after a query each", 1)):
        name = f"{idle_clients:,} idle clients, {title}"
        rows.append(Row(name, "memory", both("canned"), clients=idle_clients, queries=queries))
    return rows


class Bench:
    def __init__(self, workplace, arguments, version):
        self.workplace = workplace
        self.arguments = arguments
        self.version = version
        self.poolers = {}
        self.programs = {"martlet": arguments.martlet.resolve(), "pgbouncer": arguments.pgbouncer}
        real = workplace.start_postgres(scale=2)
        canned = workplace.start_canned_server()
        self.databases = [
            f"real = host=127.0.0.1 port={real} dbname=bench",
            f"canned = host=127.0.0.1 port={canned} dbname=bench",
        ]

    def start(self, side, auth="trust"):
        databases, extra = list(self.databases), []
        if side == "martlet":
            extra = self.arguments.martlet_setting
        else:
            databases += [
                line.replace(" =", "_session =", 1) + " pool_mode=session" for line in self.databases
            ]
            if self.version >= (1, 21):
                extra = ["max_prepared_statements = 200"]
        return Pooler(self.workplace, side, self.programs[side], databases, auth, extra)

    def pooler(self, side, auth):
        """The pooler that serves all rounds; a new one if it died."""
        running = self.poolers.get((side, auth))
        if running is None or not running.alive():
            running = self.poolers[side, auth] = self.start(side, auth)
        return running

    def measure(self, row, side, seconds):
        database = row.databases[side]
        if row.kind == "memory":
            pooler = self.start(side)  # a fresh one: what other loads left behind is not counted
            try:
                memory = loads.idle_memory(pooler, database, row.clients, row.queries)
            finally:
                pooler.stop()
            return MemorySample(memory)
        script = loads.LARGE_SCRIPT if row.kind == "large" else loads.SELECT_SCRIPT
        pooler = self.pooler(side, "scram-sha-256" if row.reconnect else "trust")

        def run(**changes):
            return loads.run_pgbench(
                self.workplace, pooler, database, script, row.mode, row.clients,
                **{"seconds": seconds, "reconnect": row.reconnect, **changes},
            )

        # Servers connect and caches fill before the clock starts.
        run(seconds=None, transactions=row.clients * (2 if row.kind == "large" else 20))
        sample = run()
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
                sides = report.SIDES if (index + pair) % 2 == 0 else report.SIDES[::-1]
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


def print_report(rows, results, machine, rounds, seconds, markdown):
    strong = "**" if markdown else ""
    print(f"{strong}M = Martlet, P = PgBouncer {machine['pgbouncer']}{strong}; {machine['processor']}, "
          f"{machine['cores']} cores, Linux {machine['kernel']}, {machine['postgres']}; "
          f"medians of interleaved rounds, {rounds} of {seconds} s each")
    tables = {
        "transactions": report.transaction_table,
        "large": report.large_table,
        "memory": report.memory_table,
    }
    for kind, table in tables.items():
        of_kind = [row for row in rows if row.kind == kind]
        if of_kind:
            print("\n" + report.render(*table(of_kind), markdown))
    notes = {row.note for row in rows if row.note}
    if notes:
        print(f"\n* PgBouncer {machine['pgbouncer']} has no prepared statements in transaction mode: "
              "with 1 client it ran in session mode, with more it is left out.")
    print("Loads are backend, mode and clients; reconnect is `pgbench -C` with SCRAM, its times "
          "include the login. CPU includes the logins at the start of each round.")
    if results:
        print("\n" + report.render(*report.verdict_table(results), markdown))
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
            dict(zip(("goal", "load", "ratio", "range", "wanted", "verdict"), result))
            for result in results
        ],
    }


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer loads, 2 rounds of 1 s")
    parser.add_argument("--only", metavar="REGEX", default="", help="only loads whose name matches")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--seconds", type=int, help="of each load in a round; default 2")
    parser.add_argument("--idle-clients", type=int, default=IDLE_CLIENTS)
    parser.add_argument("--markdown", action="store_true", help="print tables for a document")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="every sample, too")
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is not met")
    parser.add_argument("--martlet", default=CHECKOUT / ".build/release/martlet", type=pathlib.Path)
    parser.add_argument("--pgbouncer", default="/usr/sbin/pgbouncer")
    parser.add_argument("--martlet-setting", action="append", default=[], metavar="KEY=VALUE",
                        help="one more line for [martlet]; may be repeated")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 5)
    arguments.seconds = arguments.seconds or (1 if arguments.quick else 2)
    return arguments


def main():
    arguments = parse_arguments()
    if not arguments.martlet.exists():
        raise BenchmarkError(f"{arguments.martlet} is missing: run `make build`")
    started = time.monotonic()
    version = pgbouncer_version(arguments.pgbouncer)
    idle_clients = min(arguments.idle_clients, max(file_limit() - 1000, 100))
    rows = [
        row
        for row in plan_rows(version, arguments.quick, idle_clients)
        if re.search(arguments.only, row.name)
    ]
    if not rows:
        raise BenchmarkError(f"no load matches {arguments.only!r}")
    machine = describe_machine(version)
    rounds = 0
    with Workplace() as workplace:
        note(f"Starting PostgreSQL and the canned server; {len(rows)} loads")
        bench = Bench(workplace, arguments, version)
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
    results = report.verdicts(rows)
    print_report(rows, results, machine, rounds, arguments.seconds, arguments.markdown)
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
