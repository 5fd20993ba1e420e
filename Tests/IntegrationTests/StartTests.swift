// The command line: what is printed, what is refused, and why.

import Foundation
import Testing

@Suite struct StartTests {
    private static func start(_ arguments: String...) throws -> CommandOutcome {
        try run([Pooler.executable] + arguments)
    }

    private static func start(ini text: String) throws -> CommandOutcome {
        let directory = try ScratchDirectory.make("start")
        let path = directory + "/pooler.ini"
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        return try start(path)
    }

    @Test(arguments: ["--version", "-V"])
    func version(option: String) throws {
        let outcome = try Self.start(option)
        #expect(outcome.succeeded)
        let line = outcome.output.split(separator: "\n").first ?? ""
        #expect(line.contains(/[0-9]+\.[0-9]+/))
    }

    @Test(arguments: ["--help", "-h"])
    func help(option: String) throws {
        let outcome = try Self.start(option)
        #expect(outcome.succeeded)
        for word in ["--version", "--quiet", "--verbose", "postgres://"] {
            #expect(outcome.output.contains(word))
        }
    }

    /// Every option has its place in the manual page.
    @Test func theManualIsComplete() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let page = try String(
            contentsOf: root.appending(path: "Docs/man/martlet.1"),
            encoding: .utf8
        )
        for command in [[], ["check"], ["explain"]] {
            let help = try run([Pooler.executable] + command + ["--help"]).output
            let options = help.matches(of: /--[a-z]+/).map { String($0.output) }
            #expect(!options.isEmpty)
            for option in options where option != "--database" {
                #expect(page.contains(option.replacing("-", with: "\\-")), "\(option)")
            }
        }
    }

    @Test func unknownOptionsAndTooManyFiles() throws {
        for arguments in [["--no-such-option"], ["one.ini", "two.ini"]] {
            let outcome = try run([Pooler.executable] + arguments)
            #expect(outcome.status == .exited(1) || outcome.status == .exited(64))
            #expect(!outcome.errors.isEmpty)
        }
    }

    @Test func aMissingFile() throws {
        let outcome = try Self.start("/nowhere/pooler.ini")
        #expect(outcome.status == .exited(1))
        #expect(outcome.errors.contains("/nowhere/pooler.ini"))
    }

    /// The wrong line is named: file, number, and the word that is wrong.
    @Test(arguments: [
        ("no_such_key = 1", "no_such_key"), ("pool_mode = sometimes", "sometimes"),
        ("max_client_conn = many", "many"), ("listen_port = 70000", "70000"),
        ("no equals sign", "pooler.ini"), ("[unknown]", "unknown"),
        ("query_wait_timeout = soon", "soon"), ("auth_type = magic", "magic"),
    ])
    func aWrongLine(line: String, word: String) throws {
        let outcome = try Self.start(
            ini: "[databases]\napp = host=127.0.0.1\n\n[pgbouncer]\nlisten_port = 1\n\(line)\n"
        )
        #expect(outcome.status == .exited(1))
        #expect(outcome.errors.contains("pooler.ini:6"), "\(outcome.errors)")
        #expect(outcome.errors.contains(word), "\(outcome.errors)")
    }

    @Test(arguments: [
        "app = nonsense=1", "app = host=127.0.0.1 port=x", "app = port", "pgbouncer = host=x",
    ])
    func aWrongDatabase(line: String) throws {
        let outcome = try Self.start(ini: "[databases]\n\(line)\n[pgbouncer]\nlisten_port = 1\n")
        #expect(outcome.status == .exited(1))
        #expect(outcome.errors.contains("pooler.ini:2"), "\(outcome.errors)")
    }

    /// Both names of the section are accepted; Martlet's has Martlet's defaults.
    @Test(arguments: ["martlet", "pgbouncer"])
    func theSectionsDefaults(section: String) throws {
        try withPooler { pooler in
            let port = Ports.free()
            let other = try ScratchDirectory.make("section")
            let text = pooler.configuration.iniText
                .replacing("[pgbouncer]", with: "[\(section)]")
                .replacing("pool_mode = transaction\n", with: "")
                .replacing("listen_port = \(pooler.port)", with: "listen_port = \(port)")
                .replacing(
                    "unix_socket_dir = \(pooler.directory)",
                    with: "unix_socket_dir = \(other)"
                )
            try text.write(toFile: other + "/pooler.ini", atomically: false, encoding: .utf8)
            let process = try ChildProcess(
                Pooler.command + [other + "/pooler.ini"],
                output: other + "/log"
            )
            defer { process.stop(signal: SIGQUIT) }
            var parameters = pooler.parameters(user: "admin", database: "pgbouncer")
            parameters["port"] = String(port)
            eventually("it listens") { (try? Connection(parameters).isConnected) == true }
            let console = try Connection(parameters)
            defer { console.close() }
            let mode = try console.execute("SHOW CONFIG").records.first { $0["key"] == "pool_mode" }
            #expect(mode?["value"] == (section == "martlet" ? "transaction" : "session"))
        }
    }

    /// The log names the way to the kernel that was taken.
    @Test func theBackendIsNamed() throws {
        for (setting, names) in [
            ("epoll", ["epoll, "]), ("auto", ["io_uring (Linux ", "epoll ("]),
        ] {
            try withPooler(["io_backend": setting]) { pooler in
                eventually("it says \(names)") {
                    names.contains { pooler.log.contains("OpenSSL, " + $0) }
                }
            }
        }
    }

    /// `martlet postgres://…` pools that one database on port 6543.
    @Test(
        .serialized,
        .enabled(if: Ports.isFree(6543), "port 6543 belongs to somebody else"),
        arguments: [true, false]
    )
    func aURLInsteadOfAFile(asArgument: Bool) throws {
        var claim: Claim?
        eventually("no other test run uses the port") {
            claim = Claim("port-6543")
            return claim != nil
        }
        defer { withExtendedLifetime(claim) {} }
        let server = try PostgresServer.shared.get()
        let url =
            "postgres://app:\(PostgresServer.password(of: "app"))@127.0.0.1:\(server.port)/app"
        let directory = try ScratchDirectory.make("url")
        let process = try ChildProcess(
            Pooler.command + (asArgument ? [url] : []),
            environment: asArgument ? [:] : ["DATABASE_URL": url],
            output: directory + "/log"
        )
        defer { process.stop(signal: SIGQUIT) }
        var parameters = [
            "host": "127.0.0.1", "port": "6543", "user": "app", "dbname": "app",
            "password": PostgresServer.password(of: "app"),
        ]
        eventually("it listens") { (try? RawClient(port: 6543)) != nil || process.hasExited }
        let client = try Connection(parameters)
        try #expect(client.value("select current_user || '@' || current_database()") == "app@app")
        client.close()
        parameters["password"] = "wrong"
        #expect(throws: ConnectionFailed.self) { try Connection(parameters) }
        #expect(process.stop(signal: SIGINT) == .exited(0))
    }
}
