// Servers that do what PostgreSQL does rarely or never: the pooler must keep its clients apart from it.

import TestSupport
import Testing

@Suite struct OddServerTests {
    /// The first half of a notice comes while no client has the server, the rest with the next answer.
    @Test func aNoticeInPartsStaysWhereItBegan() throws {
        let hasBegun = Flag()
        let server = try ScriptedServer { connection in
            connection.letIn()
            var isSecond = false
            while let message = connection.receive() {
                guard message.type == "Q" else { continue }
                if isSecond { connection.send(Array(Backend.notice[8...])) }
                connection.send(Backend.answer("1"))
                if !isSecond {
                    pause(.milliseconds(200))
                    connection.send(Array(Backend.notice[..<8]))
                    hasBegun.value = true
                }
                isSecond = true
            }
        }
        try withPooler(["default_pool_size": "1"], before: server) { pooler in
            let client = try pooler.rawLogin()
            for _ in 0..<2 {
                try client.send(Frontend.query("select 1"))
                try #expect(client.receiveUntilReady().types == ["D", "C", "Z"])
                eventually("the notice has begun") { hasBegun.value }
                try pooler.settle()
            }
        }
    }

    /// A notice right behind ReadyForQuery, in two parts, does not keep the server with its client.
    @Test func aNoticeBehindTheAnswerFreesTheServer() throws {
        let server = try ScriptedServer { connection in
            connection.letIn()
            connection.send(Array(Backend.notice[..<8]))
            pause(.milliseconds(100))
            connection.send(Array(Backend.notice[8...]))
            while let message = connection.receive() {
                guard message.type == "Q" else { continue }
                connection.send(Backend.answer("1") + Backend.notice[..<8])
                pause(.milliseconds(100))
                connection.send(Array(Backend.notice[8...]))
            }
        }
        try withPooler(["default_pool_size": "1"], before: server) { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("select 1"))
            _ = try client.receiveUntilReady()
            try eventually("the server is free") { try pooler.pool()["sv_idle"] == "1" }
        }
    }

    /// A server dies in the middle of a row: an error there would be read as the rest of the row.
    @Test func nothingIsPutIntoARow() throws {
        let server = try ScriptedServer { connection in
            connection.letIn()
            _ = connection.receive()
            connection.send(Array(Backend.row(String(repeating: "v", count: 100))[..<40]))
            pause(.milliseconds(200))
        }
        try withPooler(before: server) { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("select 1"))
            #expect(throws: ConnectionEnded.self) { try client.receive() }
        }
    }

    /// Thousands of clients wait for the first server: each is welcomed and gives it to the next.
    @Test func manyLoginsWaitForTheFirstServer() throws {
        let server = try ScriptedServer { connection in
            pause(.milliseconds(1_500))
            answerQueries(connection)
        }
        let settings = ["default_pool_size": "1", "max_client_conn": "3000"]
        try withPooler(settings, before: server) { pooler in
            var clients: [RawClient] = []
            for _ in 0..<DescriptorLimit.connectionCount(upTo: 2_500) {
                let client = try pooler.rawConnect()
                try client.send(Frontend.startup([("user", "app"), ("database", "app")]))
                clients.append(client)
            }
            for client in clients { try client.finishLogin() }
            #expect(!pooler.hasExited)
        }
    }

    /// A server that hangs in the check does not keep its place when its client has left.
    @Test func aHungCheckEnds() throws {
        let server = try ScriptedServer { connection in
            connection.letIn()
            while let message = connection.receive() {
                guard message.type == "Q" else { continue }
                if message.text == "check" && connection.number == 1 { pause(.seconds(60)) }
                connection.send(Backend.answer(message.text))
            }
        }
        let settings = [
            "default_pool_size": "1", "server_check_query": "check", "server_check_delay": "1",
            "server_connect_timeout": "2",
        ]
        try withPooler(settings, before: server) { pooler in
            let first = try pooler.rawLogin()
            try first.send(Frontend.query("a"))
            _ = try first.receiveUntilReady()
            pause(.milliseconds(2_000))
            try first.send(Frontend.query("b"))
            pause(.milliseconds(200))
            first.close()
            let second = try pooler.rawLogin()
            try second.send(Frontend.query("c"))
            try #expect(second.receiveUntilReady().rows == [["c"]])
        }
    }
}
