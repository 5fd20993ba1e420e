// Cancel requests reach the query they were meant for, or nothing.

import CLibpq
import Glibc
import Testing

@Suite struct CancelTests {
    @Test func aLongQueryIsCancelled() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            let gate = try Gate(pooler.server)
            try client.send(gate.statement)
            try gate.waitForClients(1)
            try client.cancel()
            try #expect(client.receive().sqlstate == "57014")
            try #expect(client.value("select 1") == "1")
        }
    }

    @Test func theRightOneOfMany() throws {
        try withPooler(["default_pool_size": "4"]) { pooler in
            let clients = try pooler.connect(4)
            let gate = try Gate(pooler.server)
            for client in clients { try client.send(gate.statement) }
            try gate.waitForClients(4)
            try clients[2].cancel()
            try #expect(clients[2].receive().sqlstate == "57014")
            try gate.waitForClients(3)
            try gate.open()
            for number in [0, 1, 3] { try #expect(clients[number].receive().sqlstate == nil) }
        }
    }

    /// The pool is full of the very query that is to be cancelled: the request needs no free place.
    @Test func aCancelRequestNeedsNoPlaceInThePool() throws {
        try withPooler(["default_pool_size": "1", "max_db_connections": "1"]) { pooler in
            let client = try pooler.connect()
            let gate = try Gate(pooler.server)
            try client.send(gate.statement)
            try gate.waitForClients(1)
            try client.cancel()
            try #expect(client.receive().sqlstate == "57014")
        }
    }

    /// A client in the queue gets the answer that PostgreSQL would give, and can go on.
    @Test func aQueuedQueryIsCancelled() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let owner = try pooler.connect()
            let gate = try Gate(pooler.server)
            try owner.send(gate.statement)
            try gate.waitForClients(1)
            let waiter = try pooler.connect()
            try waiter.send("select 1")
            try pooler.waitForQueue(of: 1)
            try waiter.cancel()
            try #expect(waiter.receive().sqlstate == "57014")
            try gate.open()
            try #expect(owner.receive().sqlstate == nil)
            try #expect(waiter.value("select 2") == "2")
        }
    }

    @Test func aWrongKeyHarmsNobody() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            let gate = try Gate(pooler.server)
            try client.send(Frontend.query(gate.statement))
            try gate.waitForClients(1)
            var wrong = client.secretKey
            wrong[0] ^= 1
            for key in [wrong, [0, 0, 0, 0], [UInt8](repeating: 255, count: 4)] {
                let stranger = try pooler.rawConnect()
                try stranger.send(Frontend.cancel(processID: client.processID, secretKey: key))
                try #expect(stranger.receiveUntilClosed() == [])
            }
            try gate.open()
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
            let gate = try Gate(pooler.server)
            try busy.send(gate.statement)
            try gate.waitForClients(1)
            try idle.cancel()
            try gate.open()
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

    /// The server still makes its session fit the client, whose own request waits behind that: what is
    /// cancelled is the client's request.
    @Test func aCancelRequestWaitsForTheReplay() throws {
        let (isReplaying, isReplayed) = (Flag(), Flag())
        let (isConnected, isDelivered, isEarly) = (Flag(), Flag(), Flag())
        let server = try ScriptedServer { connection in
            guard connection.number == 1 else {
                isConnected.value = true
                connection.receiveCancelRequest()
                isEarly.value = !isReplayed.value
                isDelivered.value = true
                return
            }
            connection.letIn()
            while let message = connection.receive() {
                guard message.type == "Q" else { continue }
                if message.text.contains("set_config") {
                    isReplaying.value = true
                    eventually("the replay may end") { isReplayed.value }
                } else {
                    eventually("the request to cancel is here") { isDelivered.value }
                }
                connection.send(Backend.answer("1"))
            }
        }
        try withPooler(["default_pool_size": "1"], before: server) { pooler in
            // The first login waits for the server; later ones do not.
            _ = try pooler.rawLogin()
            let client = try pooler.rawConnect()
            try client.send(
                Frontend.startup([("user", "app"), ("database", "app"), ("application_name", "a")])
            )
            try client.finishLogin()
            try client.send(Frontend.query("select 1"))
            eventually("the settings are replayed") { isReplaying.value }
            let request = try pooler.rawConnect()
            try request.send(
                Frontend.cancel(processID: client.processID, secretKey: client.secretKey)
            )
            eventually("the pooler has connected to cancel") { isConnected.value }
            isReplayed.value = true
            try #expect(client.receiveUntilReady().types.last == "Z")
            #expect(request.isClosed())
            #expect(isDelivered.value)
            #expect(!isEarly.value)
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
