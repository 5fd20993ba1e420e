// Messages of any size stream through in constant memory, and a slow reader slows the sender.

import Testing

@Suite(.serialized) struct LargeDataTests {
    /// Far less than a message: room for buffers and for what malloc keeps.
    private static let allowedGrowth = 32 << 20

    @Test func aValueOfAHundredMegabytes() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("select 1"))
            _ = try client.receiveUntilReady()
            let before = pooler.residentBytes
            try client.send(Frontend.query("select repeat('m', 100 << 20)"))
            let messages = try client.receiveUntilReady()
            #expect(messages.first { $0.type == "D" }?.body.count == 6 + 100 << 20)
            #expect(pooler.residentBytes - before < Self.allowedGrowth)
        }
    }

    @Test func aStatementOfAHundredMegabytes() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            let text = [UInt8](repeating: UInt8(ascii: "m"), count: 100 << 20)
            let before = pooler.residentBytes
            let head = Array("select length('".utf8)
            let tail = Array("')".utf8) + [0]
            let byteCount = head.count + text.count + tail.count
            try client.send([UInt8(ascii: "Q")] + Frontend.integer(byteCount + 4) + head)
            try client.send(text)
            try client.send(tail)
            try #expect(client.receiveUntilReady().rows == [["\(100 << 20)"]])
            #expect(pooler.residentBytes - before < Self.allowedGrowth)
        }
    }

    @Test func aParameterOfAHundredMegabytes() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            let value = [UInt8](repeating: UInt8(ascii: "m"), count: 100 << 20)
            let before = pooler.residentBytes
            try client.send(Frontend.parse("big", "select length($1)"))
            let head =
                Frontend.string("") + Frontend.string("big") + [0, 0, 0, 1]
                + Frontend.integer(value.count)
            let bodyCount = head.count + value.count + 2
            try client.send([UInt8(ascii: "B")] + Frontend.integer(bodyCount + 4) + head)
            try client.send(value)
            try client.send([0, 0] + Frontend.execute() + Frontend.sync)
            try #expect(client.receiveUntilReady().rows == [["\(100 << 20)"]])
            #expect(pooler.residentBytes - before < Self.allowedGrowth)
        }
    }

    @Test func aClientThatDoesNotReadSlowsItsServer() throws {
        try withPooler { pooler in
            let client = try pooler.rawConnect()
            client.limitReceiveBuffer(64 << 10)
            try client.login(user: "app", database: "app")
            let before = pooler.residentBytes
            let statement = "select repeat('slow', 1 << 18) from generate_series(1, 200)"
            try client.send(Frontend.query(statement))
            let activity =
                "select count(*) from pg_stat_activity"
                + " where query = '\(statement.replacing("'", with: "''"))'"
            let server = try PostgresServer.shared.get()
            try eventually("the server waits for its reader, all the time") {
                try (0..<6).allSatisfy { _ in
                    pause(.milliseconds(100))
                    return try server.value("\(activity) and wait_event = 'ClientWrite'") == "1"
                }
            }
            #expect(pooler.residentBytes - before < Self.allowedGrowth)
            try #expect(pooler.connect().value("select 1") == "1")
            let rows = try client.receiveUntilReady().filter { $0.type == "D" }
            #expect(rows.count == 200)
            #expect(rows.allSatisfy { $0.body.count == 6 + 1 << 20 })
        }
    }

    /// The other direction: a server that does not read (it waits for a lock) stops the client.
    @Test func aServerThatDoesNotReadSlowsItsClient() throws {
        try withPooler { pooler in
            let setup = try pooler.connect()
            try setup.query("create unlogged table slow_server (line text)")
            try setup.query("begin; lock table slow_server")
            let client = try pooler.rawLogin()
            let before = pooler.residentBytes
            try client.send(Frontend.query("copy slow_server from stdin"))
            let chunk = Frontend.message("d", [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20))
            let sent = client.sendWhilePossible(chunk, upTo: 200 << 20, stuckFor: .seconds(1))
            #expect(sent < 100 << 20)
            #expect(pooler.residentBytes - before < Self.allowedGrowth)
            client.close()
            try setup.query("rollback; drop table slow_server")
        }
    }

    /// Memory that a big message needed is given back; many clients with one big message each
    /// must not add up.
    @Test func bigMessagesOfManyClientsDoNotAddUp() throws {
        try withPooler(["default_pool_size": "5"]) { pooler in
            let clients = try pooler.connect(40)
            let text = String(repeating: "b", count: 4 << 20)
            func exchange(_ client: Connection) throws {
                try #expect(client.value("select length('\(text)')") == "\(4 << 20)")
                try #expect(client.execute("select length($1)", [text]).value == "\(4 << 20)")
                try #expect(client.value("select repeat('b', 4 << 20)")?.utf8.count == 4 << 20)
            }
            // What one message at a time needs, in every worker, is no growth.
            for client in clients[..<8] { try exchange(client) }
            let before = pooler.residentBytes
            for client in clients[8...] { try exchange(client) }
            #expect(pooler.residentBytes - before < Self.allowedGrowth)
        }
    }
}
