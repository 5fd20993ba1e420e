// The program under test as an operator runs it: a real process with an ini file and a user list.
//
// MARTLET_EXECUTABLE names the program; without it, the `martlet` built beside the tests. Martlet
// takes PgBouncer's command line and file, so the same tests can run against either.
//
// MARTLET_TEST_SETTINGS="key=value;key=value" is added to the settings of every pooler, so that the
// whole suite can run in another way; what a test sets itself wins.

import Foundation
import Glibc
import TestSupport
import Testing

/// What stands in the files of a pooler.
struct PoolerConfiguration {
    var settings: [String: String]
    var databases: [String: String]
    var users: [String: String] = [:]
    var peers: [String: String] = [:]
    /// auth_file: user and secret.
    var secrets: [String: String]
    var section = "pgbouncer"

    var iniText: String {
        """
        [databases]
        \(PoolerConfiguration.lines(databases))
        [users]
        \(PoolerConfiguration.lines(users))
        [peers]
        \(PoolerConfiguration.lines(peers))
        [\(section)]
        \(PoolerConfiguration.lines(settings))
        """
    }

    var userListText: String {
        secrets.sorted { $0.key < $1.key }.map { #""\#($0.key)" "\#($0.value)"\#n"# }.joined()
    }

    private static func lines(_ values: [String: String]) -> String {
        values.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value)\n" }.joined()
    }
}

final class Pooler {
    let port: Int
    let directory: String
    let server: PostgresServer
    private(set) var configuration: PoolerConfiguration
    private var process: ChildProcess
    /// Kept until the end of the test, so that no client leaves before its test says so.
    private var connections: [Connection] = []
    private var rawClients: [RawClient] = []

    init(
        _ settings: [String: String],
        databases: [String: String],
        users: [String: String],
        secrets: [String: String],
        server: PostgresServer
    ) throws {
        self.server = server
        _ = DescriptorLimit.raised
        port = settings["listen_port"].flatMap { Int($0) } ?? Ports.free()
        directory = try ScratchDirectory.make("pooler")
        chmod(directory, 0o777)
        configuration = PoolerConfiguration(
            settings: Pooler.defaults(port: port, directory: directory)
                .merging(Pooler.environmentSettings) { $1 }
                .merging(settings) { $1 },
            databases: ["app": "", "other": ""].merging(databases) { $1 },
            users: users,
            secrets: secrets
        )
        for (name, value) in configuration.databases where !value.contains("port=") {
            let host = "host=127.0.0.1 port=\(server.port)"
            configuration.databases[name] =
                value.isEmpty ? "\(host) dbname=\(name)" : "\(host) \(value)"
        }
        try configuration.write(to: directory)
        process = try Pooler.launch(directory)
        try waitUntilListening()
    }

    static let executable: String = {
        if let path = ProcessInfo.processInfo.environment["MARTLET_EXECUTABLE"] { return path }
        let tests = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        return tests.deletingLastPathComponent().appendingPathComponent("martlet").path
    }()

    /// The program, which will not run as root unless it is told to.
    static let command = [executable] + (geteuid() == 0 ? ["-u", "root"] : [])

    /// What MARTLET_TEST_SETTINGS adds to the settings of every pooler.
    private static let environmentSettings: [String: String] = {
        let text = ProcessInfo.processInfo.environment["MARTLET_TEST_SETTINGS"] ?? ""
        var settings: [String: String] = [:]
        for line in text.split(separator: ";") {
            let words = line.split(separator: "=", maxSplits: 1)
                .map { $0.trimmingCharacters(in: .whitespaces) }
            precondition(words.count == 2, "MARTLET_TEST_SETTINGS: no key=value in '\(line)'")
            settings[words[0]] = words[1]
        }
        return settings
    }()

    /// One user per way of logging in, all known, the console's two beside them.
    static let secrets: [String: String] = Dictionary(
        uniqueKeysWithValues: (PostgresServer.users + ["postgres", "admin", "stats"]).map {
            ($0, PostgresServer.password(of: $0))
        }
    )

    private static func defaults(port: Int, directory: String) -> [String: String] {
        [
            "listen_addr": "127.0.0.1", "listen_port": String(port),
            "unix_socket_dir": directory, "auth_type": "trust",
            "auth_file": directory + "/userlist.txt", "admin_users": "admin",
            "stats_users": "stats", "pool_mode": "transaction",
        ]
    }

    private static func launch(
        _ directory: String,
        _ options: [String] = []
    ) throws -> ChildProcess {
        try ChildProcess(
            command + options + [directory + "/pooler.ini"],
            output: directory + "/log"
        )
    }

    /// Starts a process that takes over from the one that runs, which is this pooler's from now on.
    ///
    /// - Returns: the old process.
    func startTakeover() throws -> ChildProcess {
        let old = process
        process = try Pooler.launch(directory, ["-R"])
        return old
    }

    /// Has a new process take over, and waits until the old one has ended.
    func takeOver(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let old = try startTakeover()
        let status = try? old.waitForExit(within: .patience)
        #expect(status == .exited(0), "\(log)", sourceLocation: sourceLocation)
    }

    /// Runs a process that is to take over and cannot.
    func takeOverInVain() throws -> ExitStatus {
        try Pooler.launch(directory, ["-R"]).waitForExit(within: .patience)
    }

    /// Makes a process this pooler's again, after the one that was to take over has gone.
    func goBack(to old: ChildProcess) { process = old }

    // MARK: - The process

    var processID: pid_t { process.processID }
    var hasExited: Bool { process.hasExited }
    var exitStatus: ExitStatus? { process.exitStatus }

    /// What the pooler wrote to standard error.
    var log: String {
        (try? String(contentsOfFile: directory + "/log", encoding: .utf8)) ?? ""
    }

    func send(signal: Int32) { process.send(signal: signal) }

    func waitForExit(within limit: Duration = .patience) throws -> ExitStatus {
        try process.waitForExit(within: limit)
    }

    var residentBytes: Int { statusValue("VmRSS:") * 1024 }

    var descriptorCount: Int {
        let path = "/proc/\(processID)/fd"
        return (try? FileManager.default.contentsOfDirectory(atPath: path).count) ?? 0
    }

    /// CPU time used so far, user and system.
    var processorTime: Duration {
        let text = (try? String(contentsOfFile: "/proc/\(processID)/stat", encoding: .utf8)) ?? ""
        let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else {
            return .zero
        }
        return .milliseconds((user + system) * 1000 / sysconf(Int32(_SC_CLK_TCK)))
    }

    private func statusValue(_ key: String) -> Int {
        let text = (try? String(contentsOfFile: "/proc/\(processID)/status", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix(key) }
        return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }
            ?? 0
    }

    private func waitUntilListening() throws {
        let deadline = Deadline(in: .patience)
        while true {
            if let client = try? RawClient(port: port) {
                client.close()
                return
            }
            if process.hasExited || deadline.hasPassed {
                throw SpawnFailed(description: "\(Pooler.executable) did not start:\n\(log)")
            }
            pause(.milliseconds(10))
        }
    }

    // MARK: - Its files

    /// Changes the files; the pooler sees it at its next RELOAD.
    func rewrite(_ change: (inout PoolerConfiguration) -> Void) throws {
        change(&configuration)
        try configuration.write(to: directory)
    }

    /// Replaces the ini file by any text.
    func overwrite(ini text: String) throws {
        try text.write(toFile: directory + "/pooler.ini", atomically: false, encoding: .utf8)
    }

    // MARK: - Clients

    func parameters(user: String = "app", database: String = "app") -> [String: String] {
        [
            "host": "127.0.0.1", "port": String(port), "user": user, "dbname": database,
            "password": PostgresServer.password(of: user),
        ]
    }

    func connect(
        user: String = "app",
        database: String = "app",
        _ more: [String: String] = [:]
    ) throws -> Connection {
        let connection = try Connection(
            parameters(user: user, database: database).merging(more) { $1 }
        )
        connections.append(connection)
        return connection
    }

    /// Starts to log in and comes back at once.
    func startConnecting(
        user: String = "app",
        database: String = "app",
        _ more: [String: String] = [:]
    ) -> Connection {
        let connection = Connection(
            starting: parameters(user: user, database: database).merging(more) { $1 }
        )
        connections.append(connection)
        return connection
    }

    /// Tries to log in and returns libpq's words, nil when it worked.
    func loginFailure(
        user: String = "app",
        database: String = "app",
        _ more: [String: String] = [:]
    ) throws -> String? {
        do {
            try Connection(parameters(user: user, database: database).merging(more) { $1 }).close()
            return nil
        } catch let failure as ConnectionFailed {
            return failure.description
        }
    }

    func connect(_ count: Int) throws -> [Connection] {
        try (0..<count).map { _ in try connect() }
    }

    /// A socket, connected and silent.
    func rawConnect() throws -> RawClient {
        let client = try RawClient(port: port)
        rawClients.append(client)
        return client
    }

    /// A raw client that has logged in.
    func rawLogin(user: String = "app", database: String = "app") throws -> RawClient {
        let client = try rawConnect()
        try client.login(user: user, database: database)
        return client
    }

    func console(user: String = "admin") throws -> Connection {
        try connect(user: user, database: "pgbouncer")
    }

    /// Rows of a SHOW command as dictionaries: how it is when every worker has handled what its sockets
    /// had when this was called.
    ///
    /// SHOW is answered when all workers have reported, which they do at the beginning of a turn, before
    /// they look at their sockets. So they are asked twice.
    func show(_ what: String) throws -> [[String: String]] {
        let console = try console()
        defer { console.close() }
        _ = try console.execute("SHOW SERVERS")
        let result = try console.execute("SHOW \(what)")
        if let error = result.error { throw QueryFailed(statement: "SHOW \(what)", error: error) }
        return result.records
    }

    /// The row of SHOW POOLS for a pool.
    func pool(user: String = "app", database: String = "app") throws -> [String: String] {
        try show("POOLS").first { $0["user"] == user && $0["database"] == database } ?? [:]
    }

    /// Waits until so many clients stand in the queue of a pool.
    func waitForQueue(
        of count: Int,
        user: String = "app",
        database: String = "app",
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try eventually("\(count) clients wait", sourceLocation: sourceLocation) {
            try pool(user: user, database: database)["cl_waiting"] == String(count)
        }
    }

    /// Comes back when every worker has handled what its sockets had when this was called.
    func settle() throws { _ = try show("SERVERS") }

    fileprivate func stop() -> ExitStatus {
        connections.forEach { $0.close() }
        rawClients.forEach { $0.close() }
        return process.stop(signal: SIGQUIT)
    }
}

extension PoolerConfiguration {
    fileprivate func write(to directory: String) throws {
        try userListText.write(
            toFile: directory + "/userlist.txt",
            atomically: false,
            encoding: .utf8
        )
        try iniText.write(toFile: directory + "/pooler.ini", atomically: false, encoding: .utf8)
    }
}

/// Runs a test against a pooler of its own.
///
/// Whatever the test did to it, the pooler must still be
/// there at the end, or have gone with status 0.
func withPooler(
    _ settings: [String: String] = [:],
    databases: [String: String] = [:],
    users: [String: String] = [:],
    secrets: [String: String] = Pooler.secrets,
    server: PostgresServer? = nil,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: (Pooler) throws -> Void
) throws {
    let pooler = try Pooler(
        settings,
        databases: databases,
        users: users,
        secrets: secrets,
        server: server ?? PostgresServer.shared.get()
    )
    do {
        try body(pooler)
    } catch {
        let status = pooler.stop()
        Issue.record(
            "\(error)\npooler ended with \(status), its log:\n\(pooler.log.suffix(4000))",
            sourceLocation: sourceLocation
        )
        return
    }
    let status = pooler.stop()
    if status != .exited(0) && status != .killed(signal: SIGQUIT) {
        Issue.record(
            "pooler ended with \(status), its log:\n\(pooler.log.suffix(4000))",
            sourceLocation: sourceLocation
        )
    }
}
