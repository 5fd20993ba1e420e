// A scratch PostgreSQL: its own cluster in the scratch directory, on a free port. One is shared by
// the whole run; tests that stop or break the server make a private one.
//
// Who logs in over TCP, and how the server asks (pg_hba.conf):
//   postgres   superuser       trust
//   app, other                 scram-sha-256
//   md5user                    md5
//   clear                      password (cleartext)
//   trusty                     trust
// The same holds for replication, which only postgres may ask for.
// Every password is the user's name followed by "-secret". Databases: app, other.

import Foundation
import Glibc

final class PostgresServer: @unchecked Sendable {
    /// Started by the first test that needs it, stopped by the reaper.
    static let shared = Result { try PostgresServer() }

    static let users = ["app", "other", "md5user", "clear", "trusty"]
    static let databases = ["app", "other"]

    let port: Int
    private let directory: String
    private let moreSettings: String
    private var process: ChildProcess?

    /// Makes a cluster and starts it.
    ///
    /// - Parameter moreSettings: lines of postgresql.conf.
    init(_ moreSettings: String = "") throws {
        self.moreSettings = moreSettings
        port = Ports.free()
        directory = try ScratchDirectory.make("postgres")
        try initializeCluster()
        try start()
        try createRolesAndDatabases()
    }

    static func password(of user: String) -> String { "\(user)-secret" }

    var isRunning: Bool { process?.hasExited == false }

    /// What the server wrote to its log so far.
    var log: String {
        (try? String(contentsOfFile: directory + "/log", encoding: .utf8)) ?? ""
    }

    func start() throws {
        let process = try ChildProcess(
            PostgresServer.asServerUser([PostgresServer.binary("postgres"), "-D", data]),
            output: directory + "/log"
        )
        self.process = process
        let deadline = Deadline(in: .seconds(120))
        while true {
            if (try? superuser(database: "postgres"))?.isConnected == true { return }
            if process.hasExited || deadline.hasPassed {
                throw SpawnFailed(description: "PostgreSQL did not start:\n\(log)")
            }
            pause(.milliseconds(50))
        }
    }

    /// SIGINT ends sessions and stops ("fast"), SIGQUIT stops at once.
    func stop(signal: Int32 = SIGINT) {
        process?.stop(signal: signal)
        process = nil
    }

    /// A direct connection that bypasses the pooler.
    func superuser(database: String = "app") throws -> Connection {
        try connect(user: "postgres", database: database)
    }

    func connect(user: String, database: String = "app") throws -> Connection {
        try Connection([
            "host": "127.0.0.1", "port": String(port), "user": user, "dbname": database,
            "password": PostgresServer.password(of: user), "sslmode": "disable",
        ])
    }

    /// How long so many logins take here and now, one after the other.
    func durationOfLogins(_ count: Int, user: String) throws -> Duration {
        try duration {
            let connections = try (0..<count).map { _ in try connect(user: user) }
            connections.forEach { $0.close() }
        }
    }

    /// Rows of a statement run by the superuser beside the pooler.
    @discardableResult
    func query(_ statement: String) throws -> [[String?]] {
        let connection = try superuser()
        defer { connection.close() }
        return try connection.query(statement)
    }

    /// The first value of a statement run by the superuser.
    func value(_ statement: String) throws -> String? {
        try query(statement).first?.first ?? nil
    }

    // MARK: - Making the cluster

    private var data: String { directory + "/data" }

    private func initializeCluster() throws {
        if getuid() == 0, let entry = getpwnam("postgres") {
            chown(directory, entry.pointee.pw_uid, entry.pointee.pw_gid)
        }
        let outcome = try run(
            PostgresServer.asServerUser([
                PostgresServer.binary("initdb"), "-D", data, "-U", "postgres", "-A", "trust",
                "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
            ])
        )
        guard outcome.succeeded else {
            throw SpawnFailed(description: "initdb: \(outcome.output)\(outcome.errors)")
        }
        try append(settings, to: data + "/postgresql.conf")
        try rules.write(toFile: data + "/pg_hba.conf", atomically: false, encoding: .utf8)
    }

    private var settings: String {
        """
        listen_addresses = '127.0.0.1'
        port = \(port)
        unix_socket_directories = ''
        max_connections = 1000
        shared_buffers = '64MB'
        fsync = off
        synchronous_commit = off
        full_page_writes = off
        autovacuum = off
        timezone = 'UTC'
        log_timezone = 'UTC'
        \(moreSettings)

        """
    }

    private var rules: String {
        """
        host all postgres 127.0.0.1/32 trust
        host all trusty 127.0.0.1/32 trust
        host all md5user 127.0.0.1/32 md5
        host all clear 127.0.0.1/32 password
        host all all 127.0.0.1/32 scram-sha-256
        host replication postgres 127.0.0.1/32 trust
        host replication all 127.0.0.1/32 scram-sha-256

        """
    }

    private func createRolesAndDatabases() throws {
        let connection = try superuser(database: "postgres")
        defer { connection.close() }
        for user in PostgresServer.users {
            let method = user == "md5user" ? "md5" : "scram-sha-256"
            try connection.query("set password_encryption = '\(method)'")
            let password = PostgresServer.password(of: user)
            try connection.query("create role \(user) login password '\(password)'")
        }
        for database in PostgresServer.databases {
            try connection.query("create database \(database)")
            try connection.query("alter database \(database) owner to app")
        }
        let app = try superuser()
        defer { app.close() }
        try app.query("grant all on schema public to public")
        try app.query("grant pg_signal_backend, pg_read_all_stats to app")
    }

    private func append(_ text: String, to path: String) throws {
        let contents = try String(contentsOfFile: path, encoding: .utf8)
        try (contents + "\n" + text).write(toFile: path, atomically: false, encoding: .utf8)
    }

    // MARK: - Where PostgreSQL is, and who runs it

    /// PostgreSQL refuses to run as root; Debian's package brings the user postgres.
    static func asServerUser(_ arguments: [String]) -> [String] {
        guard getuid() == 0 else { return arguments }
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] + arguments
    }

    static func binary(_ name: String) -> String {
        binaryDirectory.map { "\($0)/\(name)" } ?? name
    }

    /// Debian keeps initdb and postgres out of PATH; the newest version is taken.
    private static let binaryDirectory: String? = {
        let versions = "/usr/lib/postgresql"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: versions)) ?? []
        return names.max { $0.compare($1, options: .numeric) == .orderedAscending }
            .map { "\(versions)/\($0)/bin" }
    }()
}
