// Clients that do not read their answers: they slow themselves down, and nobody else.

import Testing

@Suite struct SlowReaderTests {
    /// The server of a client that has not read its result yet works for the next client.
    @Test func theServerOfASlowReaderIsFree() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let slow = try pooler.rawConnect()
            slow.limitReceiveBuffer(131_072)
            try slow.login(user: "app", database: "app")
            let other = try pooler.rawLogin()
            for size in stride(from: 1_000_000, through: 8_000_000, by: 1_000_000) {
                try slow.send(Frontend.query("select repeat('x', \(size))"))
                // The query runs or is over: a server that is free now has been freed by it.
                eventually("the answer begins") { !slow.isSilent(for: .milliseconds(100)) }
                pause(.milliseconds(200))
                if try pooler.pool()["sv_active"] == "0" {
                    try other.send(Frontend.query("select 1"))
                    try #expect(other.receiveUntilReady().rows == [["1"]])
                }
                try #expect(slow.receiveUntilReady().rows.first?.first??.utf8.count == size)
            }
        }
    }

    /// Answers that the pooler gives by itself are bounded too.
    @Test func answersFromNoServerAreBounded() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let parse = Frontend.parse("s", "select 1")
            let first = try pooler.rawLogin()
            try first.send(parse + Frontend.sync)
            _ = try first.receiveUntilReady()
            let client = try pooler.rawLogin()
            let before = pooler.residentBytes
            let requests = parse + Frontend.close("S", "s") + Frontend.sync
            let batch = Array(repeatElement(requests, count: 500).joined())
            client.timeout = .seconds(1)
            let deadline = Deadline(in: .seconds(5))
            while !deadline.hasPassed, (try? client.send(batch)) != nil {}
            #expect(pooler.residentBytes - before < 16 << 20)
        }
    }

    /// What was answered without a server is sent even when Terminate follows, and to nobody else.
    @Test func answersBeforeTerminateGoToTheirClient() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let parse = Frontend.parse("s", "select 1")
            let other = try pooler.rawLogin()
            try other.send(parse + Frontend.sync)
            _ = try other.receiveUntilReady()
            let leaving = try pooler.rawLogin()
            try leaving.send(parse + Frontend.sync + Frontend.terminate)
            try #expect(leaving.receiveUntilClosed().types == ["1", "Z"])
            try other.send(Frontend.query("select 2"))
            try #expect(other.receiveUntilReady().types == ["T", "D", "C", "Z"])
        }
    }
}
