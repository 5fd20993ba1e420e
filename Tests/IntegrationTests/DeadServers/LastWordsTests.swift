// What a dying server says last reaches the client that it concerns, and no other.

import Synchronization
import Testing

@Suite struct LastWordsTests {
    /// The first connection ends right behind its first answer, which is 1; others answer 2.
    private static func serverThatDiesFirst() throws -> ScriptedServer {
        try ScriptedServer { connection in
            connection.letIn()
            while let message = connection.receive() {
                guard message.type == "Q" else { continue }
                if connection.number == 1 {
                    connection.send(Backend.answer("1") + Backend.fatal("going down"))
                    return pause(.milliseconds(300))
                }
                connection.send(Backend.answer("2"))
            }
        }
    }

    /// PostgreSQL is told to end while it sends an answer: its FATAL comes right behind
    /// ReadyForQuery, in the same packet.
    ///
    /// The transaction was over: its client is not concerned, and the next one must not get a server
    /// that is about to close.
    @Test func behindTheAnswerTheyConcernNobody() throws {
        let server = try Self.serverThatDiesFirst()
        try withPooler(["default_pool_size": "1"], before: server) { pooler in
            let first = try pooler.rawLogin()
            let second = try pooler.rawLogin()
            try first.send(Frontend.query("select 1"))
            try #expect(first.receiveUntilReady().types == ["D", "C", "Z"])
            try second.send(Frontend.query("select 2"))
            let answer = try second.receive()
            #expect(answer.row == ["2"], "\(answer) \(answer.fields)")
            #expect(first.isSilent())
        }
    }

    /// A server has told the client that keeps it that it ends, and takes its time: the client leaves, and
    /// nobody else gets that server.
    @Test func afterThemNobodyGetsTheServer() throws {
        let server = try ScriptedServer { connection in
            connection.letIn()
            while let message = connection.receive() {
                guard message.type == "Q" else { continue }
                connection.send(Backend.answer(String(connection.number)))
                guard connection.number == 1 else { continue }
                pause(.milliseconds(50))
                connection.send(Backend.fatal("going down"))
                return pause(.seconds(2))
            }
        }
        let settings = [
            "pool_mode": "session", "server_reset_query": "", "default_pool_size": "1",
        ]
        try withPooler(settings, before: server) { pooler in
            let first = try pooler.rawLogin()
            try first.send(Frontend.query("select 1"))
            try #expect(first.receiveUntilReady().rows == [["1"]])
            try #expect(first.receive().fields.message == "going down")
            first.close()
            let second = try pooler.rawLogin()
            try second.send(Frontend.query("select 2"))
            try #expect(second.receiveUntilReady().rows == [["2"]])
        }
    }

    /// The settings of a client are replayed in front of its query, and the server dies over them: the
    /// client must hear why.
    @Test func toTheReplayReachTheClient() throws {
        let isDying = Flag()
        let server = try ScriptedServer { connection in
            connection.letIn()
            while let message = connection.receive() {
                guard message.type == "Q" else { continue }
                if isDying.value { return connection.send(Backend.fatal("going down")) }
                connection.send(Backend.answer("1"))
            }
        }
        try withPooler(["default_pool_size": "1"], before: server) { pooler in
            let clients = try ["a", "b"].map { name in
                let client = try pooler.rawConnect()
                try client.send(
                    Frontend.startup([
                        ("user", "app"), ("database", "app"), ("application_name", name),
                    ])
                )
                try client.finishLogin()
                try client.send(Frontend.query("select 1"))
                _ = try client.receiveUntilReady()
                return client
            }
            isDying.value = true
            try clients[0].send(Frontend.query("select 2"))
            try #expect(clients[0].receiveUntilClosed().error?.message == "going down")
        }
    }

    /// A server dies right behind its answers to a replay and to the client's query: the client goes
    /// on with its own settings, not with those that the server had before.
    @Test func behindAReplayTheyLeaveTheClientItsSettings() throws {
        let isDying = Flag()
        let replays = Mutex<[String]>([])
        let server = try ScriptedServer { connection in
            connection.letIn()
            var answers: [UInt8] = []
            while let message = connection.receive() {
                guard message.type == "Q" else { continue }
                if connection.number > 1 { replays.withLock { $0.append(message.text) } }
                answers += Backend.answer("1")
                if isDying.value && connection.number == 1 {
                    guard message.text == "select 2" else { continue }
                    connection.send(answers + Backend.fatal("going down"))
                    return pause(.milliseconds(300))
                }
                connection.send(exchange(&answers, with: []))
            }
        }
        try withPooler(["default_pool_size": "1"], databases: ["app": server.database]) { pooler in
            let clients = try ["3MB", "4MB"].map { try Self.login(pooler, memory: $0) }
            for client in clients {
                try client.finishLogin()
                try client.send(Frontend.query("select 1"))
                _ = try client.receiveUntilReady()
            }
            isDying.value = true
            for number in 2...3 {
                try clients[0].send(Frontend.query("select \(number)"))
                try #expect(clients[0].receiveUntilReady().rows == [["1"]])
            }
            let replay = replays.withLock { $0.first { $0.contains("set_config") } }
            #expect(replay?.contains("'work_mem','3MB'") == true, "\(replay ?? "none")")
        }
    }

    private static func login(_ pooler: Pooler, memory: String = "3MB") throws -> RawClient {
        let client = try pooler.rawConnect()
        try client.send(
            Frontend.startup([("user", "app"), ("database", "app"), ("work_mem", memory)])
        )
        return client
    }

    /// A server dies right behind its consent to what a client asks for at login: the client gets
    /// another, unless it was to keep that one.
    @Test(arguments: ["transaction", "session"])
    func behindTheConsentToALoginTheyConcernNobody(mode: String) throws {
        let server = try Self.serverThatDiesFirst()
        let settings = ["default_pool_size": "1", "pool_mode": mode]
        try withPooler(settings, before: server) { pooler in
            let client = try Self.login(pooler)
            try client.send(Frontend.query("select 2"))
            if mode == "session" {
                // The server was the client's own already.
                return try #expect(client.receiveUntilClosed().error?.message == "going down")
            }
            try client.finishLogin()
            try #expect(client.receiveUntilReady().rows == [["2"]])
        }
    }

    /// A server dies right behind its answer to a RESET, which is not all that the client waits for.
    @Test func behindAResetTheyReachTheClient() throws {
        let server = try ScriptedServer { connection in
            connection.letIn()
            while let message = connection.receive() {
                guard message.type == "Q" else { continue }
                guard message.text.hasPrefix("reset") else {
                    connection.send(Backend.answer("1"))
                    continue
                }
                connection.send(Backend.answer("1") + Backend.fatal("going down"))
                return pause(.milliseconds(300))
            }
        }
        let settings = ["default_pool_size": "1", "pool_mode": "session"]
        try withPooler(settings, before: server) { pooler in
            let client = try Self.login(pooler)
            try client.finishLogin()
            try client.send(Frontend.query("reset all"))
            // Once is enough.
            let errors = try client.receiveUntilClosed().filter { $0.type == "E" }
            #expect(errors.map { $0.fields.message } == ["going down"])
        }
    }
}
