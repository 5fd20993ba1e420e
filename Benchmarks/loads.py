"""The loads: what pgbench or the idle clients do to one pooler, and what was measured."""

import dataclasses
import os
import pathlib
import re
import subprocess
import tempfile
import time

from processes import PASSWORD, TOOLS, USER, BenchmarkError, cpu_between, postgres_program

# The transaction of `pgbench -S`, for any server (the built-in script first asks the server about
# its tables, which a canned server cannot answer).
SELECT_SCRIPT = """\\set aid random(1, 100000)
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
"""
LARGE_SCRIPT = "SELECT repeat('x', 1000) FROM generate_series(1, 2000);\n"
# DataRow: type, length, column count, value length, value.
LARGE_BYTES = 2000 * (1 + 4 + 2 + 4 + 1000)


@dataclasses.dataclass
class Sample:
    """One run of pgbench. Times in milliseconds, CPU in microseconds per transaction."""

    transactions: int
    tps: float
    average: float
    p99: float
    cpu: float
    user: float
    system: float


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def read_latencies(folder, reconnect):
    """Milliseconds per transaction, from pgbench's log files.

    The log's own figure leaves out the login of `pgbench -C`. There, the time from a client's one
    completion to its next is what that client waited, login included.
    """
    latencies = []
    for file in pathlib.Path(folder).glob("log.*"):
        previous = {}
        for line in file.read_bytes().splitlines():
            client, _, microseconds, _, second, fraction, *_ = line.split()
            if not reconnect:
                if microseconds.isdigit():
                    latencies.append(int(microseconds) / 1000)
                continue
            at = int(second) * 1000 + int(fraction) / 1000
            if client in previous:
                latencies.append(at - previous[client])
            previous[client] = at
    return latencies


def find(pattern, text):
    match = re.search(pattern, text)
    if not match:
        raise BenchmarkError(f"pgbench did not print {pattern!r}:\n{text[-800:]}")
    return float(match.group(1))


def run_pgbench(workplace, pooler, database, script, mode, clients, seconds, reconnect=False,
                transactions=None):
    """Runs pgbench once through the pooler. Bounded: `seconds`, and a few more to end."""
    script_file = workplace.folder / f"{'large' if script is LARGE_SCRIPT else 'select'}.sql"
    script_file.write_text(script)
    logs = tempfile.mkdtemp(dir=workplace.folder)
    command = [postgres_program("pgbench"), "-n", "-h", "127.0.0.1", "-p", str(pooler.port)]
    command += ["-U", USER, "-M", mode, "-f", str(script_file), "-c", str(clients)]
    command += ["-j", "1" if clients == 1 else "2", "--log", f"--log-prefix={logs}/log"]
    if transactions:
        command += ["-t", str(transactions // clients)]
    else:
        command += ["-T", str(seconds)]
    if reconnect:
        command += ["-C"]
    elif clients > 1:
        command += ["--sampling-rate=0.2"]  # enough for a percentile; writing the log costs CPU too
    before = pooler.cpu()
    try:
        run = subprocess.run(
            [*command, database],
            capture_output=True,
            text=True,
            timeout=(seconds or 60) + 30,
            env={**os.environ, "PGPASSWORD": PASSWORD, "PGSSLMODE": "disable"},
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"pgbench hangs with {pooler.name}, {mode}, {clients} clients") from None
    cpu = cpu_between(before, pooler.cpu()) if pooler.alive() else None
    if cpu is None:
        raise BenchmarkError(f"{pooler.name} died: {workplace.tail(pooler.log)}")
    if run.returncode != 0:
        raise BenchmarkError(
            f"pgbench failed with {pooler.name}, {mode}, {clients} clients: {run.stderr[-800:]}"
            f"\n{workplace.tail(pooler.log)}"
        )
    done = int(find(r"transactions actually processed: (\d+)", run.stdout))
    total, user, system = (part * 1e6 / max(done, 1) for part in cpu)
    latencies = read_latencies(logs, reconnect)
    subprocess.run(["rm", "-rf", logs], check=True)
    return Sample(
        transactions=done,
        tps=find(r"tps = ([\d.]+)", run.stdout),
        average=find(r"latency average = ([\d.]+) ms", run.stdout),
        p99=percentile(latencies, 0.99),
        cpu=total,
        user=user,
        system=system,
    )


def idle_memory(pooler, database, clients, queries):
    """Resident bytes per idle client: the pooler's growth while `clients` log in and stay."""

    def hold(count):
        holder = subprocess.Popen(
            [str(TOOLS / "idle-clients"), str(pooler.port), str(count), USER, database, str(queries)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if holder.stdout.readline().strip() != "ready":
            raise BenchmarkError(f"idle clients of {pooler.name}: {holder.communicate()[1]}")
        return holder

    def release(holder):
        holder.stdin.close()
        holder.wait(10)

    # What the first clients cause once (pools, servers, buffers) is not a cost per client.
    release(hold(8))
    time.sleep(0.3)
    before = pooler.resident_bytes()
    holder = hold(clients)
    try:
        time.sleep(1)
        return (pooler.resident_bytes() - before) / clients
    finally:
        release(holder)
