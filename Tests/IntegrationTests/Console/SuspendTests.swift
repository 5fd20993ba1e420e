// SUSPEND: what has been received goes on, and then nothing more is received until RESUME.

import Glibc
import Testing

@Suite struct SuspendTests {
    private func state(_ pooler: Pooler) throws -> [String] {
        try pooler.show("STATE").filter { $0["value"] == "yes" }.compactMap { $0["key"] }
    }

    @Test func clientsWaitUntilResume() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            let open = try pooler.connect()
            try open.query("begin")
            let console = try pooler.console()
            try console.query("suspend")
            let shown = try console.query("show state")
            #expect(shown.contains { $0[0] == "suspended" && $0[1] == "yes" })
            try client.send("select 1")
            try open.send("commit")
            try #expect(client.isWaiting())
            try #expect(open.isWaiting())
            for command in ["suspend", "pause", "pause app", "kill"] {
                let message = try console.execute(command).error?.message
                #expect(message == "already suspended/paused")
            }
            try console.query("resume")
            try #expect(client.receive().rows == [["1"]])
            try #expect(open.receive().error == nil)
            try #expect(state(pooler) == ["active"])
            try #expect(pooler.connect().value("select 1") == "1")
            let message = try console.execute("resume").error?.message
            #expect(message == "pooler is not paused/suspended")
        }
    }

    /// Who connects meanwhile is let in afterwards; the console can always be reached.
    @Test func nobodyIsLetIn() throws {
        try withPooler { pooler in
            let console = try pooler.console()
            try console.query("suspend")
            let client = try pooler.rawConnect()
            try client.send(Frontend.startup([("user", "app"), ("database", "app")]))
            #expect(client.isSilent())
            try pooler.console().query("resume")
            try client.finishLogin()
        }
    }

    @Test func notWithPausedDatabases() throws {
        try withPooler { pooler in
            let console = try pooler.console()
            try console.query("pause app")
            let message = try console.execute("suspend").error?.message
            #expect(message == "cannot suspend with paused databases")
            try console.query("resume app")
        }
    }

    /// A client in the middle of a message holds SUSPEND up, until it is dropped.
    @Test func stragglersAreDropped() throws {
        try withPooler(["suspend_timeout": "1"]) { pooler in
            let client = try pooler.rawLogin()
            let query = Frontend.query("select '\(String(repeating: "x", count: 200_000))'")
            try client.send(Array(query.prefix(150_000)))
            try eventually("the message is half through") {
                try pooler.show("SERVERS").contains { $0["state"] == "active" }
            }
            let console = try pooler.console()
            try console.query("suspend")
            let last = try client.receiveUntilClosed().last
            #expect(last?.fields.message == "suspend_timeout")
            try console.query("resume")
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    /// Ctrl-C on a SUSPEND that waits takes it back.
    @Test func cancelResumes() throws {
        try withPooler(["suspend_timeout": "0"]) { pooler in
            let client = try pooler.rawLogin()
            let query = Frontend.query("select '\(String(repeating: "x", count: 200_000))'")
            try client.send(Array(query.prefix(150_000)))
            try eventually("the message is half through") {
                try pooler.show("SERVERS").contains { $0["state"] == "active" }
            }
            let console = try pooler.console()
            try console.send("suspend")
            try #expect(console.isWaiting())
            try console.cancel()
            try #expect(console.receive().sqlstate == "57014")
            try client.send(Array(query.dropFirst(150_000)))
            _ = try client.receiveUntilReady()
            try #expect(state(pooler) == ["active"])
        }
    }
}
