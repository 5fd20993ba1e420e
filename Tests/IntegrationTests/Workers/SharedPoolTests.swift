// One pool for all workers: its limits, its queue and its servers are those of the process.

import CLibpq
import Glibc
import Testing

@Suite struct SharedPoolTests {
    /// Clients that come one after the other go to one worker after the other.
    @Test func connectionsAreSpreadEvenly() throws {
        try withPooler(["workers": "3"]) { pooler in
            _ = try pooler.connect(9)
            var counts: [String: Int] = [:]
            for row in try pooler.show("CLIENTS") where row["database"] == "app" {
                counts[row["worker"] ?? "none", default: 0] += 1
            }
            #expect(counts.keys.sorted() == ["0", "1", "2"])
            // The console's client was counted with the others, and is the chief's in the end.
            #expect(counts.values.allSatisfy { (2...4).contains($0) }, "\(counts)")
        }
    }

    @Test func aServerGoesToTheWorkerThatNeedsIt() throws {
        try withPooler(["workers": "3", "default_pool_size": "1"]) { pooler in
            // Two for each worker, so that no worker is left out if a stranger is just leaving it.
            let clients = try pooler.connect(6)
            var homes: Set<String> = []
            var processes: Set<String?> = []
            for client in clients + clients {
                try client.query("begin")
                processes.insert(try client.value("select pg_backend_pid()"))
                let servers = try pooler.show("SERVERS")
                #expect(servers.count == 1)
                homes.insert(servers.first?["worker"] ?? "none")
                try client.query("commit")
            }
            #expect(homes == ["0", "1", "2"])
            #expect(processes.count == 1)
        }
    }

    @Test func thePoolSizeHoldsForAllWorkersTogether() throws {
        try withPooler(["workers": "3", "default_pool_size": "2"]) { pooler in
            let clients = try pooler.connect(9)
            for client in clients { try client.send("select pg_backend_pid(), pg_sleep(0.05)") }
            let processes = try clients.map { try $0.receive().rows.first?.first ?? nil }
            #expect(Set(processes).count == 2)
            // A client has its answer a moment before its server is free.
            try eventually("both servers are free") { try pooler.pool()["sv_idle"] == "2" }
            #expect(try pooler.pool()["cl_waiting"] == "0")
        }
    }

    /// Whoever waits longest gets the next server, whichever worker it belongs to.
    @Test func theQueueIsOneForAllWorkers() throws {
        try withPooler(["workers": "3", "default_pool_size": "1"]) { pooler in
            let first = try pooler.connect()
            let clients = try pooler.connect(8)
            try first.query("drop sequence if exists queue_turns; create sequence queue_turns")
            try first.query("begin")
            for (index, client) in clients.enumerated() {
                try client.send("select nextval('queue_turns')")
                try pooler.waitForQueue(of: index + 1)
            }
            try first.query("commit")
            let turns = try clients.map { try $0.receive().rows.first?.first ?? nil }
            #expect(turns == (1...8).map { String($0) })
        }
    }

    @Test func aServerThatIsGivenToAClientThatLeavesGoesOn() throws {
        try withPooler(["workers": "3", "default_pool_size": "1"]) { pooler in
            let holder = try pooler.connect()
            let last = try pooler.connect()
            for _ in 0..<20 {
                let waiting = try pooler.connect(4)
                try holder.query("begin")
                for client in waiting { try client.send("select 1") }
                try last.send("select 2")
                try holder.send("commit")
                for client in waiting { client.vanish() }
                try #expect(last.receive().rows == [["2"]])
                try #expect(holder.receive().error == nil)
            }
            try eventually("all servers are free") {
                let row = try pooler.pool()
                return row["sv_active"] == "0" && row["cl_waiting"] == "0"
            }
        }
    }

    @Test func databaseLimitsHoldForAllWorkersTogether() throws {
        try withPooler(["workers": "3", "max_db_connections": "2"]) { pooler in
            let own = try pooler.connect(4)
            let others = try (0..<4).map { _ in try pooler.connect(user: "md5user") }
            for _ in 0..<3 {
                for client in own + others { try client.send("select pg_sleep(0.01)") }
                let row = try pooler.show("DATABASES").first { $0["name"] == "app" }
                let count = Int(row?["current_connections"] ?? "") ?? -1
                #expect((0...2).contains(count))
                for client in own + others { try #expect(client.receive().error == nil) }
            }
        }
    }

    @Test func clientLimitsHoldForAllWorkersTogether() throws {
        try withPooler(["workers": "3", "max_user_client_connections": "5"]) { pooler in
            var clients = try pooler.connect(5)
            try #expect(pooler.loginFailure() != nil)
            clients.removeFirst().close()
            try eventually("there is room again") { try pooler.loginFailure() == nil }
            clients.forEach { $0.close() }
            try eventually("all have left") {
                try pooler.show("USERS").first { $0["name"] == "app" }?[
                    "current_client_connections"
                ]
                    == "0"
            }
        }
    }

    @Test func aQueryIsCanceledFromAnyWorker() throws {
        try withPooler(["workers": "3", "default_pool_size": "6"]) { pooler in
            let clients = try pooler.connect(6)
            let gate = try Gate(pooler.server)
            for _ in 0..<2 {
                for client in clients {
                    try client.send(gate.statement)
                    try gate.waitForClients(1)
                    try client.cancel()
                    try #expect(client.receive().error?.sqlstate == "57014")
                }
            }
            for client in clients { try #expect(client.value("select 1") == "1") }
        }
    }

    @Test func whatTheWorkersCountAddsUp() throws {
        try withPooler(["workers": "3"]) { pooler in
            let clients = try pooler.connect(6)
            for client in clients {
                for _ in 0..<10 { try client.query("select 1") }
            }
            let row = try #require(pooler.show("STATS").first { $0["database"] == "app" })
            #expect(row["total_xact_count"] == "60")
            #expect(row["total_query_count"] == "60")
            #expect(row["total_client_login_count"] ?? "6" == "6")
            let pool = try pooler.pool()
            #expect(pool["cl_active"] == "6")
            let lists = try pooler.show("LISTS")
            // Six, and the console that asks.
            #expect(lists.first { $0["list"] == "used_clients" }?["items"] == "7")
        }
    }

    /// A pool fills as fast as its servers log in, not as often as somebody looks.
    @Test func aPoolFillsAtOnce() throws {
        try withPooler(["workers": "3", "default_pool_size": "56"]) { pooler in
            let clients = try pooler.connect(56)
            let logins = try pooler.server.durationOfLogins(56, user: "app")
            for client in clients { try client.send("select pg_sleep(1)") }
            let time = try duration {
                for client in clients { try #expect(client.receive().error == nil) }
            }
            let limit = max(.milliseconds(2_400), .seconds(1) + logins * 3)
            #expect(time < limit, "\(logins) for as many logins, one after the other")
        }
    }
}
