"""The loads: what pgbench, `load` or idle clients do to one pooler, and what was measured."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import selectors
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
MOST_LOGINS = 50_000  # a second; more than any pooler makes
LEAST_OF_STORM = 0.9  # of the logins that it was to make


@dataclasses.dataclass
class Sample:
    """One run. Times in milliseconds, CPU in microseconds per transaction."""

    transactions: int
    tps: float
    average: float
    p50: float
    p99: float
    cpu: float
    user: float
    system: float
    maximum: float = 0
    evenness: float = 0  # transactions of the unluckiest client / of the luckiest
    logins: float = 0  # a second, of the storm beside it
    login_p99: float = 0

    @property
    def spread(self):
        """How much longer than most the slowest hundredth waits."""
        return self.p99 / self.p50 if self.p50 else 0


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
                transactions=None, host=None, tls=False):
    """Runs pgbench once through the pooler. Bounded: `seconds`, and a few more to end."""
    script_file = workplace.folder / f"{'large' if script is LARGE_SCRIPT else 'select'}.sql"
    script_file.write_text(script)
    logs = tempfile.mkdtemp(dir=workplace.folder)
    command = [postgres_program("pgbench"), "-n", "-h", host or "127.0.0.1", "-p", str(pooler.port)]
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
            env={**os.environ, "PGPASSWORD": PASSWORD, "PGSSLMODE": "require" if tls else "disable"},
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"pgbench hangs with {pooler.name}, {mode}, {clients} clients") from None
    cpu = cpu_since(before, workplace, pooler)
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
        p50=percentile(latencies, 0.5),
        p99=percentile(latencies, 0.99),
        cpu=total,
        user=user,
        system=system,
    )


def cpu_since(before, workplace, pooler):
    """Seconds of CPU since `before`: total, user, system."""
    if not pooler.alive():
        raise BenchmarkError(f"{pooler.name} died: {workplace.tail(pooler.log)}")
    return cpu_between(before, pooler.cpu())


class Companion:
    """A program of ours that says "ready", and goes on to what comes next at a line on its input."""

    def __init__(self, pooler, *command):
        self.title = f"{command[0]} with {pooler.name}"
        self._process = subprocess.Popen(
            [str(TOOLS / command[0]), *map(str, command[1:])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if self._line(60).strip() != "ready":
            self.fail()

    def _line(self, seconds):
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                self._process.kill()
            return self._process.stdout.readline()

    def fail(self):
        self._process.kill()
        self._process.wait()
        why = self._process.stderr.read()[-800:] or "it ended before its time"
        raise BenchmarkError(f"{self.title}: {why}")

    def proceed(self):
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.fail()

    def result(self, seconds):
        line = self._line(seconds)
        if not line:
            self.fail()
        self.end()
        return json.loads(line)

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def idle_clients(pooler, database, count, queries=0):
    """Logs clients in and holds them, each after so many queries."""
    if count == 0:
        yield
        return
    holder = Companion(pooler, "idle-clients", pooler.port, count, USER, database, queries)
    try:
        yield
    finally:
        holder.end()


@dataclasses.dataclass
class LoginSample:
    """Logins as fast as they go. CPU in microseconds for each."""

    tps: float
    cpu: float
    user: float
    system: float
    resumed: float  # the share of those that went on with a session


def login_arguments(pooler, database):
    return ["--port", pooler.port, "--user", USER, "--password", PASSWORD, "--database", database]


def run_logins(workplace, pooler, database, row, seconds):
    """Logs in again and again, so many at once, each over a connection of its own."""
    command = [TOOLS / "login-storm", *login_arguments(pooler, database), "--seconds", seconds]
    command += ["--rate", MOST_LOGINS, "--concurrency", row.clients]
    command += ["--tls", "resumed" if row.resumes else "full"]
    before = pooler.cpu()
    try:
        run = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, timeout=seconds + 30,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"login-storm hangs with {pooler.name}") from None
    cpu = cpu_since(before, workplace, pooler)
    if run.returncode != 0:
        raise BenchmarkError(f"login-storm with {pooler.name}: {run.stderr[-800:]}{workplace.tail(pooler.log)}")
    result = json.loads(run.stdout)
    done = max(result["done"], 1)
    total, user, system = (part * 1e6 / done for part in cpu)
    return LoginSample(result["per_second"], total, user, system, result["resumed"] / done)


@contextlib.contextmanager
def login_storm(pooler, database, rate, seconds, tls=False):
    """Logs in by SCRAM so many times a second while the load runs; not longer than `seconds`.

    What the storm measured is in the dictionary at the end. A login that failed is an error, and so is
    a storm that was held up: what ran beside it had less to suffer than it should have.
    """
    result = {}
    if rate == 0:
        yield result
        return
    command = [*login_arguments(pooler, database), "--rate", rate, "--seconds", seconds, "--companion"]
    if tls:
        command += ["--tls", "full"]
    storm = Companion(pooler, "login-storm", *command)
    try:
        yield result
        storm.proceed()
        result.update(storm.result(10))
    finally:
        storm.end()
    if result["failed"]:
        storm.fail()
    if result["per_second"] < LEAST_OF_STORM * rate:
        raise BenchmarkError(f"{storm.title}: {result['per_second']:,.0f} logins a second, not {rate:,}")


def run_load(workplace, pooler, database, row, seconds):
    """Runs `load` once: `row.generators` processes, each with its part of the clients.

    Logins and the first transaction of each client are over before the clock starts.
    """
    clients = row.clients // row.generators
    with idle_clients(pooler, database, row.idle_beside):
        generators = []
        try:
            for _ in range(row.generators):
                command = ["-p", pooler.port, "-U", USER, "-d", database, "-c", clients]
                command += ["-T", seconds, "-M", row.mode, "-m", row.mix]
                generators.append(Companion(pooler, "load", *command))
            before = pooler.cpu()
            for generator in generators:
                generator.proceed()
            results = [generator.result(seconds + 20) for generator in generators]
            cpu = cpu_since(before, workplace, pooler)
        finally:
            for generator in generators:
                generator.end()
    errors = sum(result["errors"] for result in results)
    if errors:
        raise BenchmarkError(f"{errors} errors with {pooler.name}: {workplace.tail(pooler.log)}")
    done = sum(result["transactions"] for result in results)
    total, user, system = (part * 1e6 / max(done, 1) for part in cpu)
    mean = lambda key: sum(r[key] * r["transactions"] for r in results) / max(done, 1)  # noqa: E731
    return Sample(
        transactions=done,
        tps=sum(result["tps"] for result in results),
        average=mean("average"),
        p50=mean("p50"),
        p99=mean("p99"),
        cpu=total,
        user=user,
        system=system,
        maximum=max(result["max"] for result in results),
        evenness=min(r["fewest"] for r in results) / max(1, *(r["most"] for r in results)),
    )


def idle_memory(pooler, database, clients, queries):
    """Resident bytes per idle client: the pooler's growth while `clients` log in and stay."""
    # What the first clients cause once (pools, servers, buffers) is not a cost per client.
    with idle_clients(pooler, database, 8, queries):
        pass
    time.sleep(0.3)
    before = pooler.resident_bytes()
    with idle_clients(pooler, database, clients, queries):
        time.sleep(1)
        return (pooler.resident_bytes() - before) / clients
