// Every timeout ends what it is for, with PgBouncer's words, within its time.

import CLibpq
import Testing

@Suite struct TimeoutTests {
    /// The FATAL that ends a client which does nothing but wait for it.
    private static func farewell(_ client: RawClient) throws -> ErrorFields? {
        let error = try client.receiveUntilClosed().error
        #expect(error?.severity == "FATAL")
        #expect(error?.sqlstate == "08P01")
        return error
    }

    @Test func queryWaitTimeout() throws {
        try withPooler(["default_pool_size": "1", "query_wait_timeout": "1"]) { pooler in
            let owner = try pooler.connect()
            try owner.query("begin")
            let waiter = try pooler.rawLogin()
            let time = try duration {
                try waiter.send(Frontend.query("select 1"))
                try #expect(Self.farewell(waiter)?.message == "query_wait_timeout")
            }
            #expect(time > .milliseconds(800))
            try #expect(owner.value("select 1") == "1")
        }
    }

    @Test func aWaitingClientIsTold() throws {
        try withPooler(["default_pool_size": "1", "query_wait_notify": "1"]) { pooler in
            let owner = try pooler.connect()
            try owner.query("begin")
            let waiter = try pooler.connect()
            try waiter.send("select 'at last'")
            try #expect(waiter.isWaiting(for: .seconds(2)))
            try owner.query("commit")
            try #expect(waiter.receive().value == "at last")
            #expect(waiter.notices.map(\.severity) == ["NOTICE"])
            #expect(
                waiter.notices.first?.message
                    == "No server connection available in postgres backend, client being queued"
            )
        }
    }

    @Test func queryTimeout() throws {
        try withPooler(["query_timeout": "1"]) { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("select pg_sleep(60)"))
            try #expect(Self.farewell(client)?.message == "query timeout")
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    @Test func idleTransactionTimeout() throws {
        try withPooler(["idle_transaction_timeout": "1", "default_pool_size": "1"]) { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("begin"))
            _ = try client.receiveUntilReady()
            try #expect(Self.farewell(client)?.message == "idle transaction timeout")
            let next = try pooler.connect()
            try #expect(next.value("select 1") == "1")
            let working = try pooler.connect()
            try working.query("begin; select pg_sleep(1.5)")
        }
    }

    @Test func transactionTimeout() throws {
        try withPooler(["transaction_timeout": "1", "default_pool_size": "1"]) { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("begin; select 1"))
            _ = try client.receiveUntilReady()
            try client.send(Frontend.query("select pg_sleep(60)"))
            try #expect(Self.farewell(client)?.message == "transaction timeout")
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    @Test func clientIdleTimeout() throws {
        try withPooler(["client_idle_timeout": "1"]) { pooler in
            let inTransaction = try pooler.connect()
            try inTransaction.query("begin")
            let client = try pooler.rawLogin()
            try #expect(Self.farewell(client)?.message == "client_idle_timeout")
            try #expect(inTransaction.value("select 1") == "1")
        }
    }

    @Test func timeoutsOfAUser() throws {
        try withPooler(users: ["app": "query_timeout=1"]) { pooler in
            let client = try pooler.rawLogin()
            let other = try pooler.connect(user: "other")
            try other.send("select pg_sleep(2.5)")
            try client.send(Frontend.query("select pg_sleep(60)"))
            try #expect(Self.farewell(client)?.message == "query timeout")
            try #expect(other.receive().error == nil)
        }
    }

    /// One user's timeout must not end the idle clients of everybody else.
    @Test func aUsersIdleTimeoutIsHisAlone() throws {
        try withPooler(users: ["other": "client_idle_timeout=1"]) { pooler in
            let client = try pooler.connect()
            let ending = try pooler.rawLogin(user: "other")
            try #expect(Self.farewell(ending)?.message == "client_idle_timeout")
            try #expect(client.value("select 1") == "1")
        }
    }
}
