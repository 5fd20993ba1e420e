// syslog, syslog_ident, syslog_facility: in a mount namespace, whose /dev/log is the test's own.

import Foundation
import Glibc
import Testing

@Suite struct SyslogTests {
    /// Listens on /dev/log of its own, and starts the pooler.
    private static let script = """
        import os, signal, socket, subprocess, sys
        log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        log.bind("/dev/log")
        os.chmod("/dev/log", 0o666)
        child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
        signal.signal(signal.SIGTERM, lambda *_: (child.kill(), sys.exit(0)))
        with open(sys.argv[1], "ab", 0) as file:
            while True:
                file.write(log.recv(65536) + b"\\n")
        """

    private static let canMount = {
        guard geteuid() == 0 else { return false }
        let outcome = try? run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"])
        return outcome?.succeeded == true
    }()

    @Test(.enabled(if: canMount, "only who may mount can have a /dev/log of his own"))
    func linesReachTheSystemsLog() throws {
        let directory = try ScratchDirectory.make("syslog")
        let port = Ports.free()
        let text = """
            [databases]
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = \(port)
            unix_socket_dir =
            workers = 1
            syslog = 1
            syslog_ident = the-pooler
            syslog_facility = local3
            """
        try text.write(toFile: directory + "/p.ini", atomically: false, encoding: .utf8)
        try Self.script.write(toFile: directory + "/log.py", atomically: false, encoding: .utf8)
        let received = directory + "/received"
        let command = """
            mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && \
            mknod -m 666 /dev/urandom c 1 9 && exec python3 "$@"
            """
        let process = try ChildProcess(
            ["unshare", "-m", "sh", "-c", command, "sh", directory + "/log.py", received]
                + Pooler.command + [directory + "/p.ini"],
            output: directory + "/log"
        )
        defer { process.stop(signal: SIGTERM) }
        // Facility 19, priority 6.
        func line() -> String? {
            let text = (try? String(contentsOfFile: received, encoding: .utf8)) ?? ""
            return text.split(separator: "\n").map(String.init).first { $0.contains("process up") }
        }
        eventually("it is up") { line() != nil || process.hasExited }
        #expect(line()?.hasPrefix("<\(19 * 8 + 6)>") == true)
        #expect(
            line()?.contains(" the-pooler[") == true || line()?.contains(" the-pooler:") == true
        )
        #expect(line()?.contains("process up: Martlet") == true)
    }
}
