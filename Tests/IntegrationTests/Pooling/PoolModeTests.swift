// The other two pool modes: a server per session, a server per statement.

import CLibpq
import Testing

@Suite struct SessionModeTests {
    private static let settings = ["pool_mode": "session", "default_pool_size": "1"]

    @Test func theServerStaysWithItsClient() throws {
        try withPooler(Self.settings) { pooler in
            let client = try pooler.connect()
            try client.query("set work_mem = '9MB'; create temp table t (); listen birds")
            try client.query("select pg_advisory_lock(1)")
            let waiter = pooler.startConnecting()
            try #expect(client.value("show work_mem") == "9MB")
            try #expect(client.value("select count(*) from t") == "0")
            client.close()
            try waiter.finishConnecting()
            try #expect(waiter.value("select 1") == "1")
        }
    }

    @Test func discardAllRunsOnRelease() throws {
        try withPooler(Self.settings) { pooler in
            let client = try pooler.connect()
            let server = try client.value("select pg_backend_pid()")
            try client.query("set work_mem = '9MB'; create temp table t (); prepare p as select 1")
            try client.query("select pg_advisory_lock(2)")
            client.close()
            let next = try pooler.connect()
            try #expect(next.value("select pg_backend_pid()") == server)
            try #expect(next.value("show work_mem") == "4MB")
            try #expect(next.execute("select * from t").sqlstate == "42P01")
            try #expect(next.value("select count(*) from pg_prepared_statements") == "0")
            try #expect(
                next.value(
                    "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
                ) == "0"
            )
        }
    }

    @Test func anEmptyResetQueryResetsNothing() throws {
        try withPooler(Self.settings.merging(["server_reset_query": ""]) { $1 }) { pooler in
            let client = try pooler.connect()
            try client.query("set work_mem = '9MB'")
            client.close()
            try #expect(pooler.connect().value("show work_mem") == "9MB")
        }
    }

    @Test func leavingInATransactionRollsBack() throws {
        try withPooler(Self.settings) { pooler in
            let client = try pooler.connect()
            try client.query("begin; create table left_session ()")
            client.vanish()
            let next = try pooler.connect()
            #expect(next.transactionStatus == PQTRANS_IDLE)
            try #expect(next.value("select to_regclass('left_session')") == nil)
        }
    }

    @Test func modesOfDatabaseAndUser() throws {
        try withPooler(
            ["default_pool_size": "1"],
            databases: ["sticky": "dbname=app pool_mode=session"],
            users: ["other": "pool_mode=session"]
        ) { pooler in
            let sticky = try pooler.connect(database: "sticky")
            try sticky.query("set work_mem = '9MB'")
            let other = try pooler.connect(user: "other")
            try other.query("set work_mem = '10MB'")
            try #expect(sticky.value("show work_mem") == "9MB")
            try #expect(other.value("show work_mem") == "10MB")
            try pooler.connect().query("select 1")
            try #expect(pooler.pool()["pool_mode"] == "transaction")
            try #expect(pooler.pool(database: "sticky")["pool_mode"] == "session")
            try #expect(pooler.pool(user: "other")["pool_mode"] == "session")
        }
    }
}

@Suite struct StatementModeTests {
    private static let settings = ["pool_mode": "statement", "default_pool_size": "1"]

    @Test func statementsRunOneByOne() throws {
        try withPooler(Self.settings) { pooler in
            let clients = try pooler.connect(5)
            for _ in 0..<5 {
                for client in clients { try #expect(client.value("select 1") == "1") }
                for client in clients {
                    try #expect(client.execute("select $1::int", ["2"]).value == "2")
                }
            }
        }
    }

    @Test func aTransactionBlockEndsTheConnection() throws {
        try withPooler(Self.settings) { pooler in
            let witness = try pooler.connect()
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("begin"))
            let error = try client.receiveUntilClosed().error
            #expect(error?.severity == "FATAL")
            #expect(error?.sqlstate == "08P01")
            #expect(error?.message == "transaction blocks not allowed in statement pooling mode")
            try #expect(witness.value("select 1") == "1")
        }
    }

    @Test func severalStatementsInOneMessageAreOneTransaction() throws {
        try withPooler(Self.settings) { pooler in
            let client = try pooler.connect()
            try client.query("create table several (number int)")
            try #expect(
                client.execute("insert into several values (1); select 1/0").sqlstate == "22012"
            )
            try #expect(client.value("select count(*) from several") == "0")
            try client.query("drop table several")
        }
    }
}
