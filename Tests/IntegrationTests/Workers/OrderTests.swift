// What an operator orders holds for the clients and servers of all workers, and holds when the console
// answers.

import CLibpq
import Testing

@Suite struct OrderTests {
    @Test func aReloadIsAnsweredWhenAllWorkersKnowIt() throws {
        try withPooler(["workers": "3"]) { pooler in
            let console = try pooler.console()
            for round in 0..<10 {
                let name = "new\(round)"
                try pooler.rewrite {
                    $0.databases[name] = "host=127.0.0.1 port=\(pooler.server.port) dbname=app"
                }
                try #expect(console.execute("RELOAD").error == nil)
                let clients = (0..<6).map { _ in pooler.startConnecting(database: name) }
                for client in clients {
                    try client.finishConnecting()
                    client.close()
                }
            }
        }
    }

    @Test func aSettingHoldsForAllWorkersAtOnce() throws {
        try withPooler(["workers": "3", "default_pool_size": "6"]) { pooler in
            let clients = try pooler.connect(6)
            try #expect(pooler.console().execute("SET query_timeout = 1").error == nil)
            for client in clients { try client.send("select pg_sleep(60)") }
            for client in clients {
                try #expect(client.receive().error?.message == "query timeout")
            }
        }
    }

    @Test func killEndsTheClientsOfAllWorkers() throws {
        try withPooler(["workers": "3"]) { pooler in
            let clients = try pooler.connect(6)
            for client in clients.prefix(3) { try client.query("begin") }
            let other = try pooler.connect(database: "other")
            let console = try pooler.console()
            try #expect(console.execute("KILL app").error == nil)
            let left = try pooler.show("CLIENTS").filter { $0["database"] == "app" }
            #expect(left.isEmpty)
            for client in clients { #expect(try client.execute("select 1").error != nil) }
            try #expect(other.value("select 1") == "1")
            try #expect(console.execute("RESUME app").error == nil)
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    @Test func killClientFindsAClientOfAnyWorker() throws {
        try withPooler(["workers": "3"]) { pooler in
            let clients = try pooler.connect(6)
            let console = try pooler.console()
            let rows = try pooler.show("CLIENTS").filter { $0["database"] == "app" }
            #expect(rows.count == 6)
            for row in rows {
                let number = try #require(row["id"])
                try #expect(console.execute("KILL_CLIENT \(number)").error == nil)
            }
            for client in clients { #expect(try client.execute("select 1").error != nil) }
            let number = try #require(rows.first?["id"])
            #expect(try console.execute("KILL_CLIENT \(number)").error != nil)
        }
    }

    @Test func pauseWaitsForTheServersOfAllWorkers() throws {
        try withPooler(["workers": "3", "default_pool_size": "6"]) { pooler in
            let clients = try pooler.connect(6)
            for client in clients { try client.query("begin") }
            let console = try pooler.console()
            try console.send("PAUSE")
            for client in clients {
                try #expect(console.isWaiting(for: .milliseconds(30)))
                try client.query("commit")
            }
            try #expect(console.receive().tag == "PAUSE")
            for client in clients { try client.send("select 1") }
            for client in clients {
                try #expect(client.isWaiting(for: .milliseconds(30)))
            }
            try #expect(console.execute("RESUME").error == nil)
            for client in clients { try #expect(client.receive().error == nil) }
        }
    }

    /// Presses Ctrl-C until it helps: the first may come before the command.
    private static func cancel(_ console: Connection) throws {
        try eventually("the command is canceled") {
            try console.cancel()
            return try !console.isWaiting(for: .seconds(1))
        }
    }

    /// Ctrl-C comes by a connection of its own, which may be another worker's.
    @Test func aPauseThatIsCanceledIsTakenBack() throws {
        try withPooler(["workers": "3", "default_pool_size": "2"]) { pooler in
            let clients = try pooler.connect(6)
            try clients[0].query("begin")
            let console = try pooler.console()
            for _ in 0..<3 {
                try console.send("PAUSE")
                try #expect(console.isWaiting())
                try Self.cancel(console)
                try #expect(console.receive().error?.sqlstate == "57014")
                for client in clients.dropFirst() {
                    try #expect(client.value("select 1") == "1")
                }
            }
        }
    }

    @Test func reconnectReplacesTheServersOfAllWorkers() throws {
        try withPooler(["workers": "3", "default_pool_size": "6"]) { pooler in
            let clients = try pooler.connect(6)
            var old: Set<String> = []
            for client in clients {
                old.insert(try client.query("begin; select pg_backend_pid()")[0][0] ?? "")
            }
            let console = try pooler.console()
            try #expect(console.execute("RECONNECT").error == nil)
            try console.send("WAIT_CLOSE")
            for client in clients {
                try #expect(console.isWaiting(for: .milliseconds(30)))
                try client.query("commit")
            }
            try #expect(console.receive().error == nil)
            for client in clients {
                #expect(!old.contains(try client.value("select pg_backend_pid()") ?? ""))
            }
        }
    }

    /// A server that is on its way from one worker to another is replaced, too.
    @Test func reconnectReplacesServersThatMove() throws {
        try withPooler(["workers": "3", "default_pool_size": "3"]) { pooler in
            let clients = try pooler.connect(12)
            let console = try pooler.console()
            for _ in 0..<40 {
                var old: Set<String?> = []
                for client in clients { try client.send("select pg_backend_pid()") }
                for client in clients { old.insert(try client.receive().rows.first?.first ?? nil) }
                for client in clients { try client.send("select") }
                try console.send("RECONNECT")
                for client in clients {
                    try #expect(client.receive().error == nil)
                    try client.send("select")
                }
                try #expect(console.receive().error == nil)
                for client in clients { try #expect(client.receive().error == nil) }
                try #expect(console.execute("WAIT_CLOSE").error == nil)
                for client in clients {
                    #expect(!old.contains(try client.value("select pg_backend_pid()")))
                }
            }
        }
    }

    @Test func shutdownWaitsForTheClientsOfAllWorkers() throws {
        try withPooler(["workers": "3"]) { pooler in
            let clients = try pooler.connect(6)
            try #expect(pooler.console().execute("SHUTDOWN WAIT_FOR_CLIENTS").error == nil)
            for client in clients {
                #expect(!pooler.hasExited)
                try #expect(client.value("select 1") == "1")
                client.close()
            }
            try #expect(pooler.waitForExit() == .exited(0))
        }
    }

    @Test func shutdownWaitsForTheServersOfAllWorkers() throws {
        try withPooler(["workers": "3", "default_pool_size": "6"]) { pooler in
            let clients = try pooler.connect(6)
            for client in clients { try client.query("begin") }
            try #expect(pooler.console().execute("SHUTDOWN WAIT_FOR_SERVERS").error == nil)
            for client in clients {
                pause(.milliseconds(20))
                #expect(!pooler.hasExited)
                try client.query("commit")
            }
            try #expect(pooler.waitForExit() == .exited(0))
        }
    }
}
