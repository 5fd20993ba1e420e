"""The processes of a benchmark, or of a check: PostgreSQL, the canned server and the two poolers.

Every process is started here, known by its id and ended by it. Children have sessions of their own:
a Ctrl-C in the terminal reaches the driver only, which then ends them in order.
"""

import base64
import hashlib
import hmac
import os
import pathlib
import pwd
import random
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = CHECKOUT / ".build" / "bench"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

USER = "bench"
PASSWORD = "a benchmark's password"
POOL_SIZE = 16


class BenchmarkError(Exception):
    pass


def postgres_program(name):
    """The program itself: Debian's wrappers in /usr/bin are Perl and cost time at each start."""
    folders = pathlib.Path("/usr/lib/postgresql").glob("*/bin")
    for folder in sorted(folders, key=lambda f: float(f.parent.name), reverse=True):
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if not found:
        raise BenchmarkError(f"{name} not found: install Debian's package postgresql")
    return found


def free_port():
    for _ in range(200):
        port = random.randrange(20000, 30000)  # below the kernel's range for outgoing connections
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise BenchmarkError("no free port")


def wait_for_port(port, process, seconds=15):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            return False
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.02)
    return False


def raise_file_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def file_limit():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def scram_secret(password, iterations=4096):
    """A SCRAM-SHA-256 secret as PostgreSQL stores it (RFC 5803)."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(client_key).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt, stored, server = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${iterations}:{salt}${stored}:{server}"


class Workplace:
    """A folder that ends with the benchmark, and everything that was started in it."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="martlet-bench."))
        self.folder.chmod(0o755)
        self._processes = []
        self._clusters = []

    def __enter__(self):
        def interrupt(*_):
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, interrupt)
        signal.signal(signal.SIGHUP, interrupt)
        return self

    def __exit__(self, *_):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for process in reversed(self._processes):
            self.end(process)
        for cluster in self._clusters:
            subprocess.run([CHECKOUT / "Scripts/scratch-postgres", "stop", cluster], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def unprivileged(self, program):
        """The prefix that runs a program as an ordinary user when we are root (PgBouncer insists)."""
        if os.geteuid() != 0:
            return []
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return []
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        reachable = subprocess.run([*prefix, "test", "-x", program], check=False).returncode == 0
        return prefix if reachable else []

    def start(self, command, log, environment=None):
        with open(self.folder / log, "ab") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                preexec_fn=raise_file_limit,
            )
        self._processes.append(process)
        return process

    def end(self, process):
        if process.poll() is None:
            # SIGQUIT ends a pooler at once; a second later there is no more patience.
            process.send_signal(signal.SIGQUIT)
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self._processes:
            self._processes.remove(process)

    def tail(self, log):
        try:
            return "\n".join((self.folder / log).read_text(errors="replace").splitlines()[-5:])
        except OSError:
            return ""

    def start_cluster(self, auth="trust"):
        """A PostgreSQL with nothing in it: its port. Its superuser is trusted on the socket in `self.cluster`."""
        script = CHECKOUT / "Scripts/scratch-postgres"
        self.cluster = str(self.folder / "postgres")
        self._clusters.append(self.cluster)
        started = subprocess.run(
            [script, "start", self.cluster],
            env={**os.environ, "SCRATCH_AUTH": auth},
            capture_output=True,
            text=True,
            start_new_session=True,
        )
        if started.returncode != 0:
            raise BenchmarkError(f"PostgreSQL did not start: {started.stderr}")
        return int(started.stdout)

    def start_postgres(self, scale):
        port = self.start_cluster()
        address = ["-h", self.cluster, "-p", str(port)]
        run = {"check": True, "capture_output": True, "start_new_session": True}
        psql = postgres_program("psql")
        for statement in (f"create role {USER} login", f"create database {USER} owner {USER}"):
            subprocess.run(
                [psql, "-X", "-q", "-U", "postgres", *address, "-c", statement, "postgres"], **run
            )
        pgbench = postgres_program("pgbench")
        subprocess.run([pgbench, "-i", "-q", "-s", str(scale), "-U", USER, *address, USER], **run)
        return port

    def make_certificate(self):
        """The settings of a pooler whose clients can have TLS 1.3, for either side."""
        certificate, key = self.folder / "pooler.crt", self.folder / "pooler.key"
        if not certificate.exists():
            command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
            command += ["-nodes", "-days", "2", "-keyout", key, "-out", certificate, "-subj", "/CN=localhost"]
            command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
            subprocess.run(command, check=True, capture_output=True)
            key.chmod(0o644)  # for the user of PgBouncer too
        return [
            "client_tls_sslmode = allow",
            "client_tls_protocols = tlsv1.3",
            f"client_tls_cert_file = {certificate}",
            f"client_tls_key_file = {key}",
        ]

    def start_canned_server(self):
        port = free_port()
        process = self.start([TOOLS / "canned-server", port], "canned-server.log")
        if not wait_for_port(port, process):
            raise BenchmarkError(f"the canned server did not start: {self.tail('canned-server.log')}")
        return port


class Pooler:
    """One running pooler, Martlet or PgBouncer, with the same settings but for `extra`."""

    def __init__(self, workplace, name, program, databases, auth="trust", extra=(), environment=None,
                 pool_size=POOL_SIZE, plain_secret=False):
        self.name = name
        self.port = free_port()
        self._workplace = workplace
        label = f"{name}-{self.port}"
        self.log = f"{label}.log"
        section = "martlet" if name == "martlet" else "pgbouncer"
        folder = workplace.folder
        users = folder / f"{label}.users"
        secret = PASSWORD if plain_secret else scram_secret(PASSWORD)
        users.write_text(f'"{USER}" "{secret}"\n')
        users.chmod(0o644)
        # The folder of the Unix socket; whoever runs the pooler may write to it.
        self.socket_folder = folder / f"{label}.socket"
        self.socket_folder.mkdir()
        self.socket_folder.chmod(0o777)
        lines = ["[databases]", *databases, f"[{section}]"]
        lines += [
            "listen_addr = 127.0.0.1",
            f"listen_port = {self.port}",
            f"unix_socket_dir = {self.socket_folder}",
            f"auth_type = {auth}",
            f"auth_file = {users}",
            "pool_mode = transaction",
            f"default_pool_size = {pool_size}",
            "max_client_conn = 18000",
            "listen_backlog = 4096",
            "log_connections = 0",
            "log_disconnections = 0",
            "log_stats = 0",
            *extra,
        ]
        file = folder / f"{label}.ini"
        file.write_text("\n".join(lines) + "\n")
        prefix = workplace.unprivileged(program)
        rights = ["-u", "root"] if os.geteuid() == 0 and not prefix else []
        self.process = workplace.start([*prefix, program, *rights, file], self.log, environment)
        if not wait_for_port(self.port, self.process):
            raise BenchmarkError(f"{name} did not start: {workplace.tail(self.log)}")
        # setpriv has become the pooler by now: same process, same id.
        self.pid = self.process.pid

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        self._workplace.end(self.process)

    def cpu(self):
        """(user, system) seconds so far: the scheduler's exact total, split as the ticks are."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return total / 1e9, int(fields[11]) / CLOCK_TICKS, int(fields[12]) / CLOCK_TICKS

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
        raise BenchmarkError("smaps_rollup without Rss")


def knows_setting(workplace, program, line):
    """Whether Martlet starts with this line in its file: it refuses what it does not know."""
    try:
        Pooler(workplace, "martlet", program, ["none = host=127.0.0.1"], extra=[line]).stop()
    except BenchmarkError:
        return False
    return True


def cpu_between(before, after):
    """Seconds of CPU: total, user, system."""
    total, user, system = (b - a for a, b in zip(before, after))
    ticks = user + system
    share = user / ticks if ticks > 0 else 0
    return total, total * share, total * (1 - share)
