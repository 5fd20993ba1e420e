// A statement that ends when the test says so, for tests that look at what happens meanwhile: a sleep
// would be over too soon on a busy machine, or make the test slow on an idle one.

import Synchronization
import Testing

/// An advisory lock beside the pooler; a client that runs `statement` waits for it.
final class Gate {
    /// Other tests lock small numbers.
    private static let last = Atomic<Int>(1_000_000)

    /// Waits until the gate opens.
    let statement: String
    private let owner: Connection
    private let waiters: String

    /// - Parameter database: where the statement will be run.
    init(_ server: PostgresServer, database: String = "app") throws {
        let number = Gate.last.add(1, ordering: .relaxed).newValue
        statement = "select pg_advisory_xact_lock_shared(\(number))"
        waiters =
            "select count(*) from pg_locks where locktype = 'advisory' and objid = \(number)"
            + " and not granted and database ="
            + " (select oid from pg_database where datname = current_database())"
        owner = try server.superuser(database: database)
        try owner.query("select pg_advisory_lock(\(number))")
    }

    /// Waits until so many clients stand before the gate.
    func waitForClients(_ count: Int) throws {
        try eventually("\(count) clients stand before the gate") {
            try owner.value(waiters) == String(count)
        }
    }

    /// Lets everybody through, now and later.
    func open() throws {
        try owner.query("select pg_advisory_unlock_all()")
    }

    deinit { owner.close() }
}
