// The process as its supervisor sees it: user, background, notifications, passed sockets, logs.

import Foundation
import Glibc
import Testing

@Suite struct ProcessTests {
    /// The files of a pooler that a test starts in its own way.
    private struct Files {
        let port = Ports.free()
        let directory: String
        var path: String { directory + "/pooler.ini" }
        var log: String { text(of: "log") }

        init(_ settings: [String: String]) throws {
            let server = try PostgresServer.shared.get()
            directory = try ScratchDirectory.make("process")
            chmod(directory, 0o777)
            let own = [
                "listen_addr": "127.0.0.1", "listen_port": String(port), "auth_type": "any",
                "unix_socket_dir": directory, "admin_users": "app", "workers": "1",
            ]
            let configuration = PoolerConfiguration(
                settings: own.merging(settings) { $1 },
                databases: [
                    "app": """
                    host=127.0.0.1 port=\(server.port) dbname=app user=app \
                    password=\(PostgresServer.password(of: "app"))
                    """
                ],
                secrets: [:]
            )
            try configuration.iniText.write(toFile: path, atomically: false, encoding: .utf8)
        }

        func text(of file: String) -> String {
            (try? String(contentsOfFile: directory + "/" + file, encoding: .utf8)) ?? ""
        }

        var parameters: [String: String] {
            ["host": "127.0.0.1", "port": String(port), "user": "app", "dbname": "app"]
        }

        func answers() throws {
            let client = try Connection(parameters)
            defer { client.close() }
            try #expect(client.value("select 7") == "7")
        }
    }

    /// What the supervisor gets.
    private final class Supervisor {
        let path: String
        private let descriptor: Int32

        init(_ directory: String) throws {
            path = directory + "/notify"
            descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
            let status = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            try #require(status == 0)
            chmod(path, 0o777)
        }

        deinit { close(descriptor) }

        /// Whether a message that begins so comes; others are skipped.
        func hears(_ beginning: String) -> Bool {
            let deadline = Deadline(in: .patience)
            var bytes = [UInt8](repeating: 0, count: 4_096)
            while !deadline.hasPassed {
                var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                guard poll(&entry, 1, deadline.millisecondsLeft) == 1 else { return false }
                let count = recv(descriptor, &bytes, bytes.count, 0)
                if String(decoding: bytes.prefix(count), as: UTF8.self).hasPrefix(beginning) {
                    return true
                }
            }
            return false
        }
    }

    // MARK: The user

    @Test(.enabled(if: geteuid() == 0, "only root can become another user"))
    func rootIsRefused() throws {
        let files = try Files([:])
        let outcome = try run([Pooler.executable, files.path])
        #expect(outcome.status == .exited(1))
        #expect(outcome.errors.contains("should not run as root"))
    }

    @Test(
        .enabled(if: geteuid() == 0, "only root can become another user"),
        arguments: [true, false]
    )
    func itBecomesAnotherUser(byOption: Bool) throws {
        let files = try Files(byOption ? [:] : ["user": "nobody"])
        let process = try ChildProcess(
            [Pooler.executable] + (byOption ? ["-u", "nobody"] : []) + [files.path],
            output: files.directory + "/log"
        )
        defer { process.stop(signal: SIGQUIT) }
        eventually("it listens") { (try? RawClient(port: files.port)) != nil || process.hasExited }
        try files.answers()
        let status = try String(
            contentsOfFile: "/proc/\(process.processID)/status",
            encoding: .utf8
        )
        let number = String(getpwnam("nobody").pointee.pw_uid)
        let line = status.split(separator: "\n").first { $0.hasPrefix("Uid:") } ?? ""
        #expect(line.split(separator: "\t").dropFirst().allSatisfy { $0 == number })
    }

    @Test func anUnknownUser() throws {
        let files = try Files([:])
        let outcome = try run([Pooler.executable, "-u", "nobody_at_all", files.path])
        #expect(outcome.status == .exited(1))
        #expect(outcome.errors.contains("no user \"nobody_at_all\""))
    }

    // MARK: In the background

    /// The command comes back when the pooler takes clients, not before.
    @Test func aDaemon() throws {
        let files = try Files(["pidfile": "DIR/pid", "logfile": "DIR/log"])
        let text = files.text(of: "pooler.ini").replacing("DIR", with: files.directory)
        try text.write(toFile: files.path, atomically: false, encoding: .utf8)
        let outcome = try run(Pooler.command + ["-d", files.path])
        #expect(outcome.succeeded, "\(outcome.errors)")
        let written = files.text(of: "pid").trimmingCharacters(in: .newlines)
        let process = try #require(pid_t(written))
        defer { kill(process, SIGQUIT) }
        try files.answers()
        #expect(files.log.contains("process up: Martlet"))
        #expect(getsid(process) != getsid(0))
        let second = try run(Pooler.command + ["-d", files.path])
        #expect(second.status == .exited(1))
        #expect(second.errors.contains("pidfile exists, another instance running?"))
        kill(process, SIGTERM)
        eventually("it has gone, with its file") { files.text(of: "pid").isEmpty }
    }

    @Test func aDaemonThatCannotStartSaysWhy() throws {
        let taken = try Files([:])
        let holder = try ChildProcess(
            Pooler.command + [taken.path],
            output: taken.directory + "/log"
        )
        defer { holder.stop(signal: SIGQUIT) }
        eventually("it listens") { (try? RawClient(port: taken.port)) != nil }
        let files = try Files(["pidfile": taken.directory + "/pid", "unix_socket_dir": ""])
        let text = files.text(of: "pooler.ini")
            .replacing("listen_port = \(files.port)", with: "listen_port = \(taken.port)")
        try text.write(toFile: files.path, atomically: false, encoding: .utf8)
        let outcome = try run(Pooler.command + ["-d", files.path])
        #expect(outcome.status == .exited(1))
        #expect(outcome.errors.contains("cannot listen on any of listen_addr"))
    }

    @Test func aDaemonNeedsAPidfile() throws {
        let files = try Files([:])
        let outcome = try run(Pooler.command + ["-d", files.path])
        #expect(outcome.status == .exited(1))
        #expect(outcome.errors.contains("daemon needs pidfile configured"))
    }

    // MARK: The supervisor

    @Test func theSupervisorIsTold() throws {
        let files = try Files(["stats_period": "1"])
        let supervisor = try Supervisor(files.directory)
        let process = try ChildProcess(
            Pooler.command + [files.path],
            environment: ["NOTIFY_SOCKET": supervisor.path, "WATCHDOG_USEC": "1000000"],
            output: files.directory + "/log"
        )
        defer { process.stop(signal: SIGQUIT) }
        #expect(supervisor.hears("READY=1"))
        try files.answers()
        #expect(supervisor.hears("WATCHDOG=1"))
        #expect(supervisor.hears("STATUS=stats: "))
        process.send(signal: SIGHUP)
        #expect(supervisor.hears("RELOADING=1\nMONOTONIC_USEC="))
        #expect(supervisor.hears("READY=1"))
        process.send(signal: SIGTERM)
        #expect(supervisor.hears("STOPPING=1"))
        try #expect(process.waitForExit(within: .patience) == .exited(0))
    }

    /// Sockets that were opened before the pooler was started: one of each kind.
    @Test func passedSockets() throws {
        let files = try Files(["listen_port": "1"])
        let path = files.directory + "/passed"
        let script = """
            import os, socket, sys
            tcp = socket.create_server(("127.0.0.1", \(files.port)))
            unix = socket.socket(socket.AF_UNIX)
            unix.bind(sys.argv[1])
            os.chmod(sys.argv[1], 0o777)
            unix.listen()
            for number, passed in ((3, tcp), (4, unix)):
                os.dup2(os.dup(passed.fileno()), number + 10)
            for number in (3, 4):
                os.dup2(number + 10, number)
            os.environ["LISTEN_PID"] = str(os.getpid())
            os.environ["LISTEN_FDS"] = "2"
            os.execv(sys.argv[2], sys.argv[2:])
            """
        let process = try ChildProcess(
            ["python3", "-c", script, path] + Pooler.command + [files.path],
            output: files.directory + "/log"
        )
        defer { process.stop(signal: SIGQUIT) }
        eventually("it is up") { files.log.contains("process up") || process.hasExited }
        try files.answers()
        #expect(files.log.contains("listening on unix:\(path)"))
        #expect(files.log.contains("listen_addr is not looked at"))
        process.send(signal: SIGTERM)
        try #expect(process.waitForExit(within: .patience) == .exited(0))
        #expect(FileManager.default.fileExists(atPath: path), "it is the supervisor's")
    }

    @Test func whatIsPassedMustBeAListeningSocket() throws {
        let files = try Files([:])
        let script = """
            import os, sys
            os.environ["LISTEN_PID"] = str(os.getpid())
            os.environ["LISTEN_FDS"] = "1"
            os.dup2(os.open("/dev/null", os.O_RDONLY), 3)
            os.execv(sys.argv[1], sys.argv[1:])
            """
        let outcome = try run(["python3", "-c", script] + Pooler.command + [files.path])
        #expect(outcome.status == .exited(1))
        #expect(outcome.errors.contains("descriptor 3 is not a listening socket"))
    }

    /// Two processes on one port, as for a rolling restart.
    @Test func aSharedPort() throws {
        let files = try Files(["so_reuseport": "1", "unix_socket_dir": ""])
        let processes = try (1...2).map { number in
            try ChildProcess(
                Pooler.command + [files.path],
                output: files.directory + "/log\(number)"
            )
        }
        defer { for process in processes { process.stop(signal: SIGQUIT) } }
        for number in 1...2 {
            eventually("\(number) is up") { files.text(of: "log\(number)").contains("process up") }
        }
        for _ in 1...20 { try files.answers() }
        processes[0].stop(signal: SIGTERM)
        for _ in 1...20 { try files.answers() }
    }

    // MARK: The log

    @Test func linesInJSON() throws {
        try withPooler(["log_format": "json"]) { pooler in
            let client = try pooler.connect()
            try client.query("select 1")
            client.close()
            eventually("the client has left") { pooler.log.contains("client close request") }
            let lines = pooler.log.split(separator: "\n").map { Data($0.utf8) }
            let objects = try lines.map {
                try #require(JSONSerialization.jsonObject(with: $0) as? [String: Any])
            }
            let login = objects.first {
                ($0["message"] as? String)?.hasPrefix("login attempt") == true
            }
            #expect(login?["database"] as? String == "app")
            #expect(login?["user"] as? String == "app")
            #expect(login?["level"] as? String == "LOG")
            #expect((login?["connection"] as? String)?.hasPrefix("C-0x") == true)
            #expect((login?["address"] as? String)?.hasPrefix("127.0.0.1:") == true)
            #expect(login?["pid"] as? Int == Int(pooler.processID))
        }
    }

    /// RELOAD opens the log file again, which may have been moved away.
    @Test func theLogFileIsOpenedAgain() throws {
        let files = try Files(["logfile": "DIR/pooler.log"])
        let text = files.text(of: "pooler.ini").replacing("DIR", with: files.directory)
        try text.write(toFile: files.path, atomically: false, encoding: .utf8)
        let process = try ChildProcess(
            Pooler.command + ["-q", files.path],
            output: files.directory + "/log"
        )
        defer { process.stop(signal: SIGQUIT) }
        eventually("it is up") { files.text(of: "pooler.log").contains("process up") }
        let moved = files.directory + "/pooler.log.1"
        try FileManager.default.moveItem(atPath: files.directory + "/pooler.log", toPath: moved)
        process.send(signal: SIGHUP)
        try eventually("a new file is written") {
            try files.answers()
            return files.text(of: "pooler.log").contains("login attempt")
        }
        #expect(!files.text(of: "pooler.log.1").contains("login attempt"))
    }

    // MARK: Settings of the connection

    @Test func aMessageAtLogin() throws {
        try withPooler(["login_notify_message": "the pool moves on Sunday"]) { pooler in
            let client = try pooler.rawConnect()
            let messages = try client.login(user: "app", database: "app")
            let notice = messages.first { $0.type == "N" }
            #expect(notice?.fields.message == "the pool moves on Sunday")
            #expect(messages.suffix(2).map(\.type) == ["N", "Z"])
        }
    }

    @Test func simpleQueriesCanBeForbidden() throws {
        try withPooler(["disable_pqexec": "1"]) { pooler in
            let client = try pooler.rawLogin()
            try client.send(
                Frontend.parse("", "select 1") + Frontend.bind("") + Frontend.execute()
                    + Frontend.sync
            )
            try #expect(client.receiveUntilReady().contains { $0.type == "D" })
            try client.send(Frontend.query("select 1"))
            let last = try client.receiveUntilClosed().last
            #expect(last?.fields.message == "PQexec disallowed")
        }
    }

    /// In session mode servers that are to be replaced go as soon as nobody is in a transaction.
    @Test func serversCanBeReplacedFast() throws {
        try withPooler(["pool_mode": "session", "server_fast_close": "1"]) { pooler in
            let client = try pooler.connect()
            try client.query("begin")
            try pooler.console().query("RECONNECT")
            try #expect(client.value("select 1") == "1", "not within its transaction")
            try client.query("commit")
            eventually("it is closed") { (try? client.value("select 1")) == nil }
            #expect(pooler.log.contains("server_fast_close"))
        }
    }

    @Test func unusedPoolsAreForgotten() throws {
        try withPooler(["pool_idle_timeout": "1", "server_idle_timeout": "1"]) { pooler in
            let client = try pooler.connect()
            try client.query("select 1")
            try #expect(pooler.show("POOLS").contains { $0["database"] == "app" })
            client.close()
            try eventually("the pool has gone") {
                try !pooler.show("POOLS").contains { $0["database"] == "app" }
            }
            try #expect(pooler.connect().value("select 2") == "2")
        }
    }

    /// RELOAD reads the file that `conffile` names.
    @Test func theFileCanBeAnother() throws {
        try withPooler { pooler in
            let path = pooler.directory + "/other.ini"
            let text = pooler.configuration.iniText + "\nquery_wait_timeout = 44\n"
            try text.write(toFile: path, atomically: false, encoding: .utf8)
            let console = try pooler.console()
            func value(_ key: String) throws -> String? {
                try pooler.show("CONFIG").first { $0["key"] == key }?["value"] ?? nil
            }
            try #expect(value("conffile") == pooler.directory + "/pooler.ini")
            try console.query("SET conffile = '\(path)'")
            try console.query("RELOAD")
            try eventually("the other file counts") { try value("query_wait_timeout") == "44" }
            try #expect(value("conffile") == path)
        }
    }
}
