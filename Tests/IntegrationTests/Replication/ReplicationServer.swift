// The PostgreSQL of the replication tests: its own, because a logical slot waits for the transactions of
// everybody else; and a standby that gets its data through a pooler.

import Foundation
import Glibc
import Testing

/// One after the other: they look at all WAL senders of one server.
@Suite(.serialized) enum ReplicationSuite {}

/// What the replication tests share.
enum Replication {
    /// Started by the first test that needs it, stopped by the reaper.
    static let server = Result {
        try PostgresServer(
            """
            wal_level = logical
            max_wal_senders = 50
            max_replication_slots = 50
            max_wal_size = 256MB
            """
        )
    }

    /// Where PostgreSQL's tools find a pooler.
    static func environment(_ pooler: Pooler, database: String = "app") -> [String: String] {
        [
            "PGHOST": "127.0.0.1", "PGPORT": String(pooler.port), "PGUSER": "postgres",
            "PGDATABASE": database, "PGPASSWORD": PostgresServer.password(of: "postgres"),
        ]
    }

    /// What a subscription or a standby connects to.
    static func connectionString(_ pooler: Pooler) -> String {
        "host=127.0.0.1 port=\(pooler.port) user=postgres"
            + " password=\(PostgresServer.password(of: "postgres"))"
    }

    /// A folder that belongs to the user who runs PostgreSQL.
    static func folder(_ name: String) throws -> String {
        let path = try ScratchDirectory.make(name)
        if getuid() == 0, let entry = getpwnam("postgres") {
            chown(path, entry.pointee.pw_uid, entry.pointee.pw_gid)
        }
        return path
    }

    /// The names of the files in a folder.
    static func files(in folder: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    }
}

/// A physical standby of the replication tests' server, made and fed through a pooler.
final class Standby {
    let port = Ports.free()
    private let directory: String
    private let process: ChildProcess

    /// Copies the server by pg_basebackup and starts the copy.
    init(of pooler: Pooler, slot: String) throws {
        directory = try Replication.folder("standby")
        let data = directory + "/data"
        let backup = try run(
            PostgresServer.asServerUser([
                PostgresServer.binary("pg_basebackup"), "-D", data, "-R", "-c", "fast",
                "-C", "-S", slot,
            ]),
            environment: Replication.environment(pooler)
        )
        guard backup.succeeded else { throw SpawnFailed(description: backup.errors) }
        process = try ChildProcess(
            PostgresServer.asServerUser([
                PostgresServer.binary("postgres"), "-D", data, "-c", "port=\(port)",
            ]),
            output: directory + "/log"
        )
    }

    /// The first value of a query, nil while the standby cannot answer.
    func value(_ query: String) -> String? {
        let connection = try? Connection([
            "host": "127.0.0.1", "port": String(port), "user": "postgres", "dbname": "app",
            "sslmode": "disable",
        ])
        defer { connection?.close() }
        return (try? connection?.value(query)) ?? nil
    }

    var log: String {
        (try? String(contentsOfFile: directory + "/log", encoding: .utf8)) ?? ""
    }

    func stop() { process.stop(signal: SIGINT) }
}
