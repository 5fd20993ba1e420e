// A database for pgbench that no other test uses.

import Glibc
import Testing

/// A database of one test's own, with pgbench's tables.
struct LoadDatabase {
    let name: String

    /// Makes the database anew.
    init(_ name: String) throws {
        self.name = name
        let server = try PostgresServer.shared.get()
        let superuser = try server.superuser()
        defer { superuser.close() }
        try superuser.query("drop database if exists \(name) with (force)")
        try superuser.query("create database \(name) owner app")
    }

    /// What tells PostgreSQL's own programs to use it through a pooler.
    func environment(_ pooler: Pooler) -> [String: String] {
        [
            "PGHOST": "127.0.0.1", "PGPORT": String(pooler.port), "PGUSER": "app",
            "PGDATABASE": name, "PGPASSWORD": PostgresServer.password(of: "app"),
        ]
    }

    /// Makes pgbench's tables.
    func fill(_ pooler: Pooler) throws {
        let outcome = try run(["pgbench", "-i", "-q"], environment: environment(pooler))
        #expect(outcome.succeeded, "\(outcome.errors)")
    }
}

extension ChildProcess {
    /// Has pgbench end in good order and report, as it does when its time (-T) is up.
    func endPgbench() { send(signal: SIGALRM) }
}
