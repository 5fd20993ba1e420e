// Servers that die, databases that are down or do not exist: who notices, how fast, and who not.

import CLibpq
import Glibc
import Testing

@Suite struct DeadServerTests {
    private static let backend = "select pg_backend_pid()"

    /// Ends a backend and waits until it is gone.
    private static func terminate(_ processID: String, in server: PostgresServer) throws {
        try server.query("select pg_terminate_backend(\(processID))")
        try eventually("backend \(processID) is gone") {
            let row = "select count(*) from pg_stat_activity where pid = \(processID)"
            return try server.value(row) == "0"
        }
    }

    @Test func aServerThatDiesIdleIsNotMissed() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let client = try pooler.connect()
            for _ in 0..<10 {
                let server = try client.value(Self.backend) ?? ""
                try Self.terminate(server, in: pooler.server)
                try #expect(client.value(Self.backend) != server)
            }
        }
    }

    /// The query races with the server's end.
    ///
    /// Whoever wins: an answer, or the server's own words, never a connection that just breaks.
    @Test func aDyingServerLeavesNobodyWithoutAWord() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let superuser = try pooler.server.superuser()
            defer { superuser.close() }
            var client = try pooler.connect()
            var bareEnds = 0
            for round in 0..<200 {
                let server = try client.value("select pg_backend_pid()") ?? ""
                try superuser.query("select pg_terminate_backend(\(server))")
                usleep(UInt32(round % 8) * 250)
                let result = try client.execute("select 1")
                guard let error = result.error else { continue }
                if error.sqlstate != "57P01" { bareEnds += 1 }
                client.close()
                client = try pooler.connect()
            }
            #expect(bareEnds == 0)
        }
    }

    @Test func allServersDieIdle() throws {
        try withPooler(["default_pool_size": "5"]) { pooler in
            let clients = try pooler.connect(5)
            for client in clients { try client.query("begin") }
            let servers = try clients.compactMap { try $0.value(Self.backend) }
            for client in clients { try client.query("commit") }
            for server in servers { try Self.terminate(server, in: pooler.server) }
            for client in clients { try #expect(client.value("select 1") == "1") }
        }
    }

    @Test func aServerThatDiesInATransactionEndsItsClientOnly() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let client = try pooler.rawLogin()
            let other = try pooler.connect()
            try other.query("begin; create temp table mine () on commit drop")
            try client.send(Frontend.query("begin; select pg_backend_pid()"))
            let server = try client.receiveUntilReady().rows.first?.first ?? nil
            try Self.terminate(server ?? "", in: pooler.server)
            let error = try client.receiveUntilClosed().error
            #expect(error?.severity == "FATAL")
            #expect(error?.sqlstate == "57P01")
            try #expect(other.value("select count(*) from mine") == "0")
            try other.query("commit")
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    @Test func aServerThatDiesInAQuery() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query("begin")
            let server = try client.value(Self.backend) ?? ""
            try client.send("select pg_sleep(20)")
            try #expect(client.isWaiting())
            try Self.terminate(server, in: pooler.server)
            try #expect(client.receive().sqlstate == "57P01")
            #expect(!client.isConnected)
        }
    }

    @Test func aMissingDatabaseIsTheServersError() throws {
        try withPooler(databases: ["missing": ""]) { pooler in
            let failure = try pooler.loginFailure(database: "missing") ?? ""
            #expect(failure.contains(#"FATAL:  3D000: database "missing" does not exist"#))
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    /// Nobody listens there: clients hear it soon, not after two minutes of silence, with the
    /// settings as they come.
    @Test(arguments: ["host=127.0.0.1 port=1", "host=/nowhere port=5432"])
    func aDatabaseThatWasNeverThere(address: String) throws {
        try withPooler(databases: ["gone": "\(address) dbname=app"]) { pooler in
            let clients = (0..<10).map { _ in pooler.startConnecting(database: "gone") }
            for client in clients {
                let failure = #expect(throws: ConnectionFailed.self) {
                    try client.finishConnecting()
                }
                #expect(failure?.description.contains("FATAL:  08P01") == true)
            }
            let before = pooler.processorTime
            pause(.seconds(1))
            #expect(pooler.processorTime - before < .milliseconds(200))
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }
}

/// These stop and start a PostgreSQL of their own.
@Suite(.serialized) struct DatabaseOutageTests {
    @Test func aRestartIsSurvivedByIdleClients() throws {
        let server = try PostgresServer()
        defer { server.stop() }
        try withPooler(["server_login_retry": "1"], server: server) { pooler in
            let clients = try pooler.connect(5)
            for client in clients { try client.query("select 1") }
            server.stop()
            try server.start()
            try eventually("idle clients go on") { try clients[0].value("select 1") == "1" }
            for client in clients { try #expect(client.value("select 1") == "1") }
        }
    }

    @Test func anOutageFailsFastAndHealsByItself() throws {
        let server = try PostgresServer()
        defer { server.stop() }
        try withPooler(["server_login_retry": "1"], server: server) { pooler in
            let transaction = try pooler.rawLogin()
            try transaction.send(Frontend.query("begin"))
            _ = try transaction.receiveUntilReady()
            let idle = try pooler.connect()
            let before = pooler.processorTime
            for _ in 0..<20 { try #expect(Self.failure(pooler) == nil) }
            let clientTime = (pooler.processorTime - before) / 20
            server.stop()
            try #expect(transaction.receiveUntilClosed().error?.sqlstate == "57P01")

            // A client that asks during the outage is told quickly, and so is a new one.
            let error = try idle.execute("select 1").error
            #expect(error?.severity == "FATAL")
            try #expect(Self.failure(pooler)?.contains("FATAL") == true)
            try Self.expectNoSpinning(pooler, clientTime)

            try server.start()
            try eventually("the pool heals") { try Self.failure(pooler) == nil }
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    /// What a new client hears, at login or with its first query; nil when all is well.
    private static func failure(_ pooler: Pooler) throws -> String? {
        do {
            let client = try Connection(pooler.parameters())
            defer { client.close() }
            return try client.execute("select 1").error?.description
        } catch let failure as ConnectionFailed {
            return failure.description
        }
    }

    /// Forty clients that ask again and again while nobody answers must not keep a core busy.
    ///
    /// - Parameter clientTime: what a client costs that is served.
    private static func expectNoSpinning(_ pooler: Pooler, _ clientTime: Duration) throws {
        let before = pooler.processorTime
        let deadline = Deadline(in: .seconds(2))
        var count = 0
        while !deadline.hasPassed {
            _ = try Self.failure(pooler)
            count += 1
            pause(.milliseconds(50))
        }
        let limit = max(.milliseconds(600), clientTime * count * 2)
        #expect(pooler.processorTime - before < limit, "\(count) clients, \(clientTime) each")
        #expect(pooler.descriptorCount < 100)
    }

    /// The server refuses for a while (57P03, starting up): clients are kept and then served.
    @Test func aServerThatIsStartingUp() throws {
        let server = try PostgresServer()
        defer { server.stop() }
        try withPooler(["server_login_retry": "1"], server: server) { pooler in
            try pooler.connect().query("select 1")
            server.stop(signal: SIGQUIT)
            let clients = (0..<5).map { _ in pooler.startConnecting() }
            try server.start()
            for client in clients {
                // Refused in the first moments or served: never left hanging.
                do {
                    try client.finishConnecting()
                    try #expect(client.value("select 1") == "1")
                } catch is ConnectionFailed {}
            }
            try eventually("the pool heals") { try Self.failure(pooler) == nil }
        }
    }
}
