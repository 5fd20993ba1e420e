// How long servers live, how they are checked, and what attempts to connect may cost.

import CLibpq
import Testing

@Suite struct ServerLifeTests {
    private static func serverCount(_ pooler: Pooler) throws -> Int {
        try pooler.show("SERVERS").count
    }

    @Test func serverIdleTimeout() throws {
        try withPooler(["server_idle_timeout": "1"]) { pooler in
            let client = try pooler.connect()
            var count = 0
            let time = try duration {
                try client.query("select 1")
                count = try Self.serverCount(pooler)
            }
            #expect(count == 1 || time > .seconds(1))
            try eventually("the idle server leaves") { try Self.serverCount(pooler) == 0 }
            try #expect(client.value("select 1") == "1")
        }
    }

    @Test func serverLifetime() throws {
        try withPooler(["server_lifetime": "1", "default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            let first = try client.value("select pg_backend_pid()")
            try eventually("another server takes over") {
                try client.value("select pg_backend_pid()") != first
            }
        }
    }

    /// An old server is not taken from a transaction.
    @Test func serverLifetimeSparesTransactions() throws {
        try withPooler(["server_lifetime": "1", "default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            let server = try client.value("begin; select pg_backend_pid()")
            pause(.seconds(2))
            try #expect(client.value("select pg_backend_pid()") == server)
            try client.query("commit")
        }
    }

    @Test func lifetimeZeroMeansOneUse() throws {
        try withPooler(["server_lifetime": "0", "default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            let servers = try (0..<3).map { _ in try client.value("select pg_backend_pid()") }
            #expect(Set(servers).count == 3)
        }
    }

    /// Servers that idled longer than the delay are asked before they serve again.
    @Test func theCheckQueryRunsAfterItsDelay() throws {
        let settings = [
            "server_check_query": "select 'martlet check'", "server_check_delay": "0",
            "default_pool_size": "1", "audit_interval": "0",
        ]
        try withPooler(settings) { pooler in
            let client = try pooler.connect()
            let server = try client.value("select pg_backend_pid()") ?? ""
            pause(.milliseconds(1200))
            try client.query("select 1")
            try #expect(client.value("select pg_backend_pid()") == server)
            let activity = "select query from pg_stat_activity where pid = \(server)"
            pause(.milliseconds(1200))
            try client.query("select 2")
            try eventually("the check query was the server's last or the client's query is") {
                let query = try pooler.server.value(activity) ?? ""
                return query.contains("martlet check") || query.contains("select 2")
            }
        }
    }

    @Test func aFailingCheckQueryReplacesTheServer() throws {
        let settings = [
            "server_check_query": "select 1/0", "server_check_delay": "0", "default_pool_size": "1",
            "server_idle_timeout": "30",
        ]
        try withPooler(settings) { pooler in
            let client = try pooler.connect()
            try client.query("select 1")
            pause(.milliseconds(1500))
            _ = try client.execute("select 1")
            #expect(pooler.hasExited == false)
        }
    }

    /// A port that accepts and never answers: the client hears of it in good time.
    @Test func serverConnectTimeout() throws {
        let hole = try BlackHole()
        defer { hole.close() }
        let settings = [
            "server_connect_timeout": "1", "server_login_retry": "1", "query_wait_timeout": "5",
        ]
        let databases = ["hole": "host=127.0.0.1 port=\(hole.port) dbname=app"]
        try withPooler(settings, databases: databases) { pooler in
            let failure = try pooler.loginFailure(database: "hole") ?? ""
            #expect(failure.contains("FATAL:  08P01"))
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    @Test func connectQueryRunsOncePerServer() throws {
        let database = "dbname=app connect_query='set work_mem = ''7MB'''"
        try withPooler(databases: ["prepared": database]) { pooler in
            let client = try pooler.connect(database: "prepared")
            try #expect(client.value("show work_mem") == "7MB")
        }
    }
}
