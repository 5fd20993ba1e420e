// A transaction has one server, alone, from its first statement to its last.

import CLibpq
import Testing

@Suite struct TransactionTests {
    private static let backend = "select pg_backend_pid()"

    @Test func aTransactionKeepsItsServer() throws {
        try withPooler(["default_pool_size": "3"]) { pooler in
            let clients = try pooler.connect(3)
            for client in clients { try client.query("begin") }
            let servers = try clients.map { try $0.value(Self.backend) }
            #expect(Set(servers).count == 3)
            for _ in 0..<3 {
                let again = try clients.map { try $0.value(Self.backend) }
                #expect(again == servers)
            }
            for client in clients { try client.query("commit") }
        }
    }

    @Test func aThousandTransactionsShareOneServer() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let clients = try pooler.connect(20)
            var servers: Set<String?> = []
            for _ in 0..<50 {
                for client in clients { try client.send(Self.backend) }
                for client in clients { servers.insert(try client.receive().value) }
            }
            #expect(servers.count == 1)
        }
    }

    @Test func theSecondClientWaitsForTheServer() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let owner = try pooler.connect()
            let waiter = try pooler.connect()
            try owner.query("begin")
            try waiter.send("select 'mine now'")
            try pooler.waitForQueue(of: 1)
            try #expect(waiter.isWaiting())
            try owner.query("commit")
            try #expect(waiter.receive().value == "mine now")
        }
    }

    /// Ten waiters get the server in the order in which they asked, round after round.
    @Test func waitersAreServedFirstInFirstOut() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let owner = try pooler.connect()
            let waiters = try pooler.connect(10)
            try owner.query("create sequence turns")
            for round in 0..<3 {
                try owner.query("begin")
                for (index, waiter) in waiters.enumerated() {
                    try waiter.send("select nextval('turns')")
                    try pooler.waitForQueue(of: index + 1)
                }
                try owner.query("commit")
                let turns = try waiters.map { try $0.receive().value }
                #expect(turns == (1...10).map { "\(round * 10 + $0)" })
            }
            try owner.query("drop sequence turns")
        }
    }

    /// A client that asks again at once does not overtake those who wait.
    @Test func aHotClientDoesNotStarveTheOthers() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let hot = try pooler.connect()
            let other = try pooler.connect()
            try other.query("create sequence heat")
            for round in 0..<20 {
                try hot.query("begin")
                try other.send("select nextval('heat')")
                try pooler.waitForQueue(of: 1)
                try hot.query("commit")
                try hot.send("select nextval('heat')")
                try #expect(other.receive().value == "\(round * 2 + 1)")
                try #expect(hot.receive().value == "\(round * 2 + 2)")
            }
            try other.query("drop sequence heat")
        }
    }

    @Test func aFailedTransactionIsReportedAndKept() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            let waiter = try pooler.connect()
            try client.query("begin")
            #expect(client.transactionStatus == PQTRANS_INTRANS)
            try #expect(client.execute("select 1/0").sqlstate == "22012")
            #expect(client.transactionStatus == PQTRANS_INERROR)
            try waiter.send("select 1")
            try pooler.waitForQueue(of: 1)
            try #expect(client.execute("select 1").sqlstate == "25P02")
            try #expect(client.execute("commit").tag == "ROLLBACK")
            #expect(client.transactionStatus == PQTRANS_IDLE)
            try #expect(waiter.receive().value == "1")
        }
    }

    @Test(arguments: ["terminate", "vanish", "failed"])
    func leavingInATransactionRollsBack(manner: String) throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let observer = try pooler.connect()
            try observer.query("create table left_\(manner) (number int)")
            let client = try pooler.connect()
            try client.query("begin; insert into left_\(manner) values (1)")
            if manner == "failed" { _ = try client.execute("select 1/0") }
            if manner == "vanish" { client.vanish() } else { client.close() }
            try #expect(observer.value("select count(*) from left_\(manner)") == "0")
            let open = "select count(*) from pg_locks where relation = 'left_\(manner)'::regclass"
            try #expect(observer.value(open + " and pid <> pg_backend_pid()") == "0")
            try observer.query("drop table left_\(manner)")
        }
    }

    @Test func leavingWithAQueryRunning() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            let next = try pooler.connect()
            let gate = try Gate(pooler.server)
            try client.send(gate.statement)
            try gate.waitForClients(1)
            client.vanish()
            try #expect(next.value("select 1") == "1")
        }
    }

    @Test func aWaiterThatLeavesIsForgotten() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let owner = try pooler.connect()
            let clients = try pooler.connect(4)
            try owner.query("begin")
            for client in clients { try client.send("select 1") }
            try eventually("four wait") { try pooler.pool()["cl_waiting"] == "4" }
            clients[0].vanish()
            clients[2].vanish()
            try eventually("two wait") { try pooler.pool()["cl_waiting"] == "2" }
            try owner.query("commit")
            try #expect(clients[1].receive().value == "1")
            try #expect(clients[3].receive().value == "1")
        }
    }

    @Test func savepointsAndCursorsLiveInTheirTransaction() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            try client.query("begin; declare c cursor for select generate_series(1, 10)")
            try #expect(client.query("fetch 3 from c").count == 3)
            try client.query("savepoint s")
            try #expect(client.execute("select nothing").sqlstate == "42703")
            try client.query("rollback to s")
            try #expect(client.query("fetch all from c").count == 7)
            try client.query("commit")
        }
    }

    @Test func poolsOfDifferentUsersAndDatabasesAreApart() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let clients = [
                try pooler.connect(), try pooler.connect(user: "other"),
                try pooler.connect(database: "other"),
            ]
            let rows = try clients.map {
                try $0.query("begin; select current_user, current_database()")
            }
            #expect(rows == [[["app", "app"]], [["other", "app"]], [["app", "other"]]])
        }
    }

    @Test func idleServersAreTakenLastInFirstOut() throws {
        try withPooler(["default_pool_size": "3", "audit_interval": "0"]) { pooler in
            try #expect(Self.serversUsed(by: pooler).count == 1)
        }
    }

    @Test func idleServersAreTakenRoundRobin() throws {
        let settings = [
            "default_pool_size": "3", "server_round_robin": "1", "audit_interval": "0",
        ]
        try withPooler(settings) { pooler in
            try #expect(Self.serversUsed(by: pooler).count == 3)
        }
    }

    /// Fills the pool with three servers, then counts who answers six single queries.
    private static func serversUsed(by pooler: Pooler) throws -> Set<String?> {
        let clients = try pooler.connect(3)
        for client in clients { try client.query("begin") }
        for client in clients { try client.query("commit") }
        return try Set((0..<6).map { _ in try clients[0].value(backend) })
    }
}
