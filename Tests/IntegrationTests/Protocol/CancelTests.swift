// Cancel requests reach the query they were meant for, or nothing.

import CLibpq
import Glibc
import Testing

@Suite struct CancelTests {
    @Test func aLongQueryIsCancelled() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            let time = try duration {
                try client.send("select pg_sleep(30)")
                try #expect(client.isWaiting())
                try client.cancel()
                try #expect(client.receive().sqlstate == "57014")
            }
            #expect(time < .seconds(5))
            try #expect(client.value("select 1") == "1")
        }
    }

    @Test func theRightOneOfMany() throws {
        try withPooler(["default_pool_size": "4"]) { pooler in
            let clients = try pooler.connect(4)
            for client in clients { try client.send("select pg_sleep(1)") }
            for client in clients { try #expect(client.isWaiting(for: .milliseconds(30))) }
            try clients[2].cancel()
            let states = try clients.map { try $0.receive().sqlstate }
            #expect(states == [nil, nil, "57014", nil])
        }
    }

    /// The pool is full of the very query that is to be cancelled: the request needs no free place.
    @Test func aCancelRequestNeedsNoPlaceInThePool() throws {
        try withPooler(["default_pool_size": "1", "max_db_connections": "1"]) { pooler in
            let client = try pooler.connect()
            try client.send("select pg_sleep(30)")
            try #expect(client.isWaiting())
            try client.cancel()
            try #expect(client.receive().sqlstate == "57014")
        }
    }

    /// A client in the queue gets the answer that PostgreSQL would give, and can go on.
    @Test func aQueuedQueryIsCancelled() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let owner = try pooler.connect()
            try owner.send("select pg_sleep(2)")
            try #expect(owner.isWaiting())
            let waiter = try pooler.connect()
            try waiter.send("select 1")
            try #expect(waiter.isWaiting())
            let time = try duration {
                try waiter.cancel()
                try #expect(waiter.receive().sqlstate == "57014")
            }
            #expect(time < .seconds(1))
            try #expect(owner.receive().sqlstate == nil)
            try #expect(waiter.value("select 2") == "2")
        }
    }

    @Test func aWrongKeyHarmsNobody() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("select pg_sleep(1)"))
            var wrong = client.secretKey
            wrong[0] ^= 1
            for key in [wrong, [0, 0, 0, 0], [UInt8](repeating: 255, count: 4)] {
                let stranger = try pooler.rawConnect()
                try stranger.send(Frontend.cancel(processID: client.processID, secretKey: key))
                try #expect(stranger.receiveUntilClosed() == [])
            }
            try #expect(client.receiveUntilReady().error == nil)
        }
    }

    /// Broken cancel requests: too short, too long, half.
    @Test(arguments: [
        Frontend.integer(8) + Frontend.integer(80_877_102),
        Frontend.integer(12) + Frontend.integer(80_877_102) + Frontend.integer(1),
        Frontend.integer(300) + Frontend.integer(80_877_102) + [UInt8](repeating: 7, count: 292),
    ])
    func aBrokenRequestIsDropped(bytes: [UInt8]) throws {
        try withPooler { pooler in
            let stranger = try pooler.rawConnect()
            try stranger.send(bytes)
            #expect(stranger.isClosed())
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    @Test func anIdleClientIsNotDisturbed() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let idle = try pooler.connect()
            let busy = try pooler.connect()
            try idle.query("select 1")
            try busy.send("select pg_sleep(0.5)")
            try #expect(busy.isWaiting())
            try idle.cancel()
            try #expect(busy.receive().error == nil)
            try #expect(idle.value("select 1") == "1")
        }
    }

    /// The request races with the end of its query, while another client waits for the very
    /// server.
    ///
    /// Whatever wins, the other client's query must never be hit.
    @Test func aLateCancelNeverHitsTheNextOwner() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.rawLogin()
            let victim = try pooler.connect()
            for round in 0..<60 {
                try client.send(Frontend.query("select pg_sleep(0.002)"))
                try victim.send("select pg_sleep(0.02)")
                usleep(UInt32(round % 6) * 800)
                let request = try pooler.rawConnect()
                try request.send(
                    Frontend.cancel(processID: client.processID, secretKey: client.secretKey)
                )
                let state = try client.receiveUntilReady().error?.sqlstate
                #expect(state == nil || state == "57014")
                try #expect(victim.receive().error == nil)
                #expect(request.isClosed())
            }
        }
    }

    @Test func aThousandCancelRequestsLeaveNothingBehind() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("select 1"))
            _ = try client.receiveUntilReady()
            let before = pooler.descriptorCount
            for _ in 0..<1000 {
                let request = try RawClient(port: pooler.port)
                try request.send(
                    Frontend.cancel(processID: client.processID, secretKey: client.secretKey)
                )
                request.close()
            }
            try #expect(pooler.connect().value("select 1") == "1")
            eventually("all cancel requests are gone") { pooler.descriptorCount <= before + 4 }
        }
    }
}
