// A scratch PostgreSQL: its own cluster in the scratch directory, on a free port. One is shared by
// the whole run; tests that stop or break the server make a private one.
//
// Who logs in over TCP, and how the server asks (pg_hba.conf):
//   postgres   superuser       trust
//   app, other                 scram-sha-256
//   md5user                    md5
//   clear                      password (cleartext)
//   trusty                     trust
// With TLS, all but postgres need it. The same holds for replication, which only postgres may ask for.
// Every password is the user's name followed by "-secret". Databases: app, other.

import Foundation
import Glibc
import Testing

final class PostgresServer: @unchecked Sendable {
    /// Started by the first test that needs it, stopped by the reaper.
    static let shared = Result { try PostgresServer() }

    static let users = ["app", "other", "md5user", "clear", "trusty"]
    static let databases = ["app", "other"]

    /// What a server with TLS shows, and what it demands.
    struct TLS {
        var certificate: Certificate
        /// Who signs the certificates of clients.
        var authority: Certificate?
        /// Behind the method of every rule, such as `clientcert=verify-ca`.
        var option = ""
    }

    let port: Int
    private let directory: String
    private let moreSettings: String
    private let tls: TLS?
    private var process: ChildProcess?

    /// Makes a cluster and starts it.
    ///
    /// - Parameters:
    ///   - moreSettings: lines of postgresql.conf.
    ///   - tls: nil for none.
    init(_ moreSettings: String = "", tls: TLS? = nil) throws {
        self.moreSettings = moreSettings
        self.tls = tls
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

    func connect(
        user: String,
        database: String = "app",
        _ more: [String: String] = ["sslmode": "disable"]
    ) throws -> Connection {
        let parameters = [
            "host": "127.0.0.1", "port": String(port), "user": user, "dbname": database,
            "password": PostgresServer.password(of: user),
        ]
        return try Connection(parameters.merging(more) { $1 })
    }

    /// Shows another certificate to who connects from now on.
    func show(_ certificate: Certificate) throws {
        try install(certificate)
        let before = log.components(separatedBy: reloadLine).count
        process?.send(signal: SIGHUP)
        // The one process that reads the files accepts the connections too, one thing after another.
        eventually("PostgreSQL has read its files again") {
            log.components(separatedBy: reloadLine).count > before
        }
    }

    private let reloadLine = "received SIGHUP, reloading configuration files"

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
        if let tls { try install(tls.certificate) }
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
        \(settingsOfTLS)
        \(moreSettings)

        """
    }

    private var settingsOfTLS: String {
        guard let tls else { return "" }
        let authority = tls.authority.map { "ssl_ca_file = '\($0.certFile)'" } ?? ""
        return "ssl = on\n\(authority)"
    }

    /// Copies a certificate and its key to where the server looks for them.
    private func install(_ certificate: Certificate) throws {
        for (source, name) in [
            (certificate.certFile, "server.crt"), (certificate.keyFile, "server.key"),
        ] {
            let target = "\(data)/\(name)"
            try? FileManager.default.removeItem(atPath: target)
            try FileManager.default.copyItem(atPath: source, toPath: target)
            chmod(target, 0o600)
            if getuid() == 0, let entry = getpwnam("postgres") {
                chown(target, entry.pointee.pw_uid, entry.pointee.pw_gid)
            }
        }
    }

    private var rules: String {
        let kind = tls == nil ? "host" : "hostssl"
        let option = tls?.option ?? ""
        return """
            host all postgres 127.0.0.1/32 trust
            \(kind) all trusty 127.0.0.1/32 trust \(option)
            \(kind) all md5user 127.0.0.1/32 md5 \(option)
            \(kind) all clear 127.0.0.1/32 password \(option)
            \(kind) all all 127.0.0.1/32 scram-sha-256 \(option)
            host replication postgres 127.0.0.1/32 trust
            \(kind) replication all 127.0.0.1/32 scram-sha-256 \(option)

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
