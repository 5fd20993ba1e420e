// Sizes of pools, limits across pools, the reserve, and the limit of clients.

import Testing

@Suite struct LimitTests {
    /// Whether so many of the clients get a server, and no more.
    private static func serves(_ count: Int, of clients: [Connection]) throws -> Bool {
        for client in clients { try client.send("begin; select 1") }
        func served() throws -> Int { try clients.count { try !$0.isWaiting(for: .zero) } }
        try eventually("\(count) clients are served") { try served() >= count }
        pause(.milliseconds(500))
        return try served() == count
    }

    @Test func defaultPoolSize() throws {
        try withPooler(["default_pool_size": "3"]) { pooler in
            let clients = try pooler.connect(5)
            try #expect(Self.serves(3, of: clients))
            try pooler.waitForQueue(of: 2)
            try #expect(pooler.pool()["sv_active"] == "3")
        }
    }

    @Test func poolSizeOfADatabase() throws {
        try withPooler(databases: ["small": "dbname=app pool_size=2"]) { pooler in
            let clients = try (0..<4).map { _ in try pooler.connect(database: "small") }
            try #expect(Self.serves(2, of: clients))
        }
    }

    /// The second server is opened only after the first client has waited for the reserve.
    @Test func theReserveHelpsAfterItsTimeout() throws {
        let settings = [
            "default_pool_size": "1", "reserve_pool_size": "1", "reserve_pool_timeout": "1",
        ]
        try withPooler(settings) { pooler in
            let clients = try pooler.connect(3)
            try clients[0].query("begin")
            let time = try duration {
                try clients[1].send("begin; select 'reserve'")
                try #expect(clients[1].receive().value == "reserve")
            }
            #expect(time > .milliseconds(700))
            try clients[2].send("select 1")
            try #expect(clients[2].isWaiting(for: .seconds(2)))
        }
    }

    @Test func theMinimumIsKept() throws {
        let settings = ["min_pool_size": "3", "default_pool_size": "5"]
        try withPooler(settings) { pooler in
            try pooler.connect().query("select 1")
            try eventually("three servers stay") {
                let pool = try pooler.pool()
                let count = ["sv_idle", "sv_used", "sv_active"].compactMap { Int(pool[$0] ?? "") }
                return count.reduce(0, +) == 3
            }
        }
    }

    @Test func maxDBConnectionsCountsAllUsers() throws {
        try withPooler(["max_db_connections": "2", "default_pool_size": "5"]) { pooler in
            let apps = try pooler.connect(2)
            let other = pooler.startConnecting(user: "other")
            try #expect(Self.serves(2, of: apps))
            try #expect(Self.databases(pooler)["app"] == "2")
            try #expect(apps[0].receive().error == nil)
            try apps[0].query("commit")
            try other.finishConnecting()
            try #expect(other.value("select current_user") == "other")
            let elsewhere = try pooler.connect(database: "other")
            try #expect(elsewhere.value("select 1") == "1")
        }
    }

    private static func databases(_ pooler: Pooler) throws -> [String: String] {
        let rows = try pooler.show("DATABASES").map {
            ($0["name"] ?? "", $0["current_connections"] ?? "")
        }
        return Dictionary(rows) { first, _ in first }
    }

    /// At the limit an idle server of one user makes room for another user who waits.
    @Test func anIdleServerMakesRoomAtTheLimit() throws {
        try withPooler(["max_db_connections": "1", "default_pool_size": "5"]) { pooler in
            try pooler.connect().query("select 1")
            try #expect(pooler.connect(user: "other").value("select current_user") == "other")
            try #expect(pooler.connect().value("select current_user") == "app")
        }
    }

    @Test func maxUserConnectionsCountsAllDatabases() throws {
        try withPooler(["max_user_connections": "1", "default_pool_size": "5"]) { pooler in
            let here = try pooler.connect()
            try here.query("begin")
            let there = pooler.startConnecting(database: "other")
            let stranger = try pooler.connect(user: "other", database: "other")
            try #expect(stranger.value("select 1") == "1")
            try here.query("commit")
            try there.finishConnecting()
            try #expect(there.value("select current_database()") == "other")
        }
    }

    @Test func maxUserConnectionsOfAUser() throws {
        try withPooler(users: ["app": "max_user_connections=1"]) { pooler in
            let clients = try pooler.connect(2)
            try #expect(Self.serves(1, of: clients))
            let others = [
                try pooler.connect(user: "other"), try pooler.connect(user: "other"),
            ]
            try #expect(Self.serves(2, of: others))
        }
    }

    @Test func maxHostConnectionsCountsAllPools() throws {
        try withPooler(["max_host_connections": "2", "default_pool_size": "5"]) { pooler in
            let clients = [
                try pooler.connect(), try pooler.connect(user: "other", database: "other"),
            ]
            try #expect(Self.serves(2, of: clients))
            let late = pooler.startConnecting(database: "other")
            let host = try pooler.show("HOSTS").first { $0["current_connections"] == "2" }
            #expect(host?["host"] == "127.0.0.1")
            #expect(host?["state"] == "up")
            #expect(host?["max_connections"] == "2")
            for client in clients { _ = try client.receive() }
            try clients[0].query("commit")
            try late.finishConnecting()
            try #expect(late.value("select current_database()") == "other")
        }
    }

    /// PostgreSQL itself says what a percentage is of.
    @Test func maxHostConnectionsAsAShare() throws {
        try withPooler(["max_host_connections": "50%"]) { pooler in
            try pooler.connect().query("select 1")
            let superuser = try pooler.server.superuser()
            defer { superuser.close() }
            let all = try superuser.value(
                "select current_setting('max_connections')::int"
                    + " - current_setting('superuser_reserved_connections')::int"
            )
            let count = Int(all ?? "") ?? 0
            let host = try pooler.show("HOSTS").first { $0["server_connections"] == all }
            #expect(host?["max_connections"] == String(count / 2))
        }
    }

    /// One pool has the only server and clients without end; another one's client gets its turn.
    @Test(arguments: ["max_host_connections", "max_user_connections"])
    func aBusyPoolDoesNotStarveAnother(limit: String) throws {
        try withPooler([limit: "1", "default_pool_size": "5"]) { pooler in
            let busy = try pooler.connect(3)
            for client in busy { try client.send("select pg_sleep(0.01)") }
            for _ in 0..<3 {
                let quiet = pooler.startConnecting(database: "other")
                var isServed = false
                let deadline = Deadline(in: .patience)
                while !isServed && !deadline.hasPassed {
                    for client in busy {
                        try #expect(client.receive().error == nil)
                        try client.send("select pg_sleep(0.01)")
                    }
                    isServed = (try? quiet.finishConnecting(within: .milliseconds(1))) != nil
                }
                #expect(isServed)
                quiet.close()
            }
            for client in busy { try #expect(client.receive().error == nil) }
        }
    }

    @Test func maxClientConnections() throws {
        try withPooler(["max_client_conn": "3"]) { pooler in
            let clients = try pooler.connect(3)
            let failure = try pooler.loginFailure() ?? ""
            #expect(
                failure.contains("FATAL:  08P01: no more connections allowed (max_client_conn)")
            )
            let console = try pooler.console()
            try #expect(console.execute("SHOW VERSION").error == nil)
            console.close()
            try #expect(clients[0].value("select 1") == "1")
            clients[1].close()
            try eventually("a place is free") { try pooler.loginFailure() == nil }
        }
    }

    /// Fifty clients at once on a cold pool of twenty: everybody is served, nobody waits long.
    @Test func aColdPoolFillsQuickly() throws {
        try withPooler(["default_pool_size": "20", "max_client_conn": "200"]) { pooler in
            let clients = try pooler.connect(50)
            let logins = try pooler.server.durationOfLogins(20, user: "app")
            let time = try duration {
                for client in clients { try client.send("select pg_sleep(0.1)") }
                for client in clients { try #expect(client.receive().error == nil) }
            }
            #expect(time < max(.seconds(5), logins * 5), "\(logins) for as many logins")
        }
    }
}
