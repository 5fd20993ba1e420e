#!/usr/bin/env python3
"""Counts the pooler's allocations per forwarded transaction; more than a hundredth of one fails.

A preloaded shim counts calls of malloc and its relatives. Two runs that differ in length only, both
after a warm-up: what logging in costs is in both and leaves with the difference.
"""

import argparse
import pathlib
import struct
import sys

import loads
from processes import CHECKOUT, TOOLS, BenchmarkError, Pooler, Workplace

LIMIT = 0.01
CLIENTS = 32


def read_count(file):
    return struct.unpack("=Q", file.read_bytes())[0]


def mallocs_per_transaction(workplace, pooler, counter, mode, transactions):
    def mallocs_of(count):
        before = read_count(counter)
        sample = loads.run_pgbench(
            workplace, pooler, "canned", loads.SELECT_SCRIPT, mode, CLIENTS, None, transactions=count
        )
        return read_count(counter) - before, sample.transactions

    mallocs_of(CLIENTS * 100)  # the warm-up: servers connect, slabs and buffers reach their size
    few, few_transactions = mallocs_of(CLIENTS * 100)
    many, many_transactions = mallocs_of(transactions + CLIENTS * 100)
    return (many - few) / (many_transactions - few_transactions), many - few


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--martlet", default=CHECKOUT / ".build/release/martlet", type=pathlib.Path)
    parser.add_argument("--transactions", default=100_000, type=int)
    parser.add_argument("--martlet-setting", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()

    worst = 0.0
    with Workplace() as workplace:
        counter = workplace.folder / "mallocs"
        counter.write_bytes(bytes(8))
        counter.chmod(0o666)
        environment = {
            "LD_PRELOAD": str(TOOLS / "count-mallocs.so"),
            "MALLOC_COUNT_FILE": str(counter),
        }
        port = workplace.start_canned_server()
        pooler = Pooler(
            workplace,
            "martlet",
            arguments.martlet.resolve(),
            [f"canned = host=127.0.0.1 port={port}"],
            extra=arguments.martlet_setting,
            environment=environment,
        )
        if "count-mallocs.so" not in pathlib.Path(f"/proc/{pooler.pid}/maps").read_text():
            raise BenchmarkError("nothing was counted: the shim is not loaded")
        print(f"Allocations of the pooler, {arguments.transactions:,} transactions, {CLIENTS} clients")
        for mode in ("simple", "extended", "prepared"):
            per_transaction, extra = mallocs_per_transaction(
                workplace, pooler, counter, mode, arguments.transactions
            )
            worst = max(worst, per_transaction)
            print(f"  {mode:<9} {per_transaction:8.4f} per transaction ({extra} in all)")
    met = worst <= LIMIT
    print(f"  limit     {LIMIT:8.4f} per transaction: {'met' if met else 'NOT MET'}")
    return 0 if met else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        sys.exit(f"mallocs: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
