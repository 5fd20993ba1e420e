// The extended query protocol message by message: portals, row limits, Describe, Close, Flush,
// COPY and function calls, in the exact order PostgreSQL answers.

import Testing

@Suite struct PortalTests {
    @Test func aPortalIsSuspendedByItsRowLimit() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send(
                Frontend.parse("", "select generate_series(1, 5)") + Frontend.bind("")
                    + Frontend.execute(rows: 2) + Frontend.execute(rows: 2)
                    + Frontend.execute(rows: 2) + Frontend.sync
            )
            let types = try client.receiveUntilReady().types
            #expect(types == ["1", "2", "D", "D", "s", "D", "D", "s", "D", "C", "Z"])
        }
    }

    /// A named portal lives as long as its transaction, on the same server.
    @Test func aNamedPortalGoesOnAfterSync() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let client = try pooler.rawLogin()
            try client.send(
                Frontend.query("begin") + Frontend.parse("", "select generate_series(1, 4)")
                    + Frontend.bind(portal: "p", "") + Frontend.execute(portal: "p", rows: 1)
                    + Frontend.sync
            )
            try #expect(client.receiveUntilReady().transactionStatus == "T")
            try #expect(client.receiveUntilReady().types == ["1", "2", "D", "s", "Z"])
            try pooler.connect().query("select 1")
            try client.send(
                Frontend.execute(portal: "p") + Frontend.close("P", "p") + Frontend.sync
            )
            try #expect(
                client.receiveUntilReady().types == ["D", "D", "D", "C", "3", "Z"]
            )
            try client.send(Frontend.query("commit"))
            try #expect(client.receiveUntilReady().transactionStatus == "I")
        }
    }

    @Test func describeOfStatementAndPortal() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send(
                Frontend.parse("s", "select $1::int") + Frontend.describe("S", "s")
                    + Frontend.bind("s", ["7"]) + Frontend.describe("P", "") + Frontend.execute()
                    + Frontend.close("S", "s") + Frontend.sync
            )
            try #expect(
                client.receiveUntilReady().types
                    == ["1", "t", "T", "2", "T", "D", "C", "3", "Z"]
            )
        }
    }

    @Test func statementsWithoutRowsOrText() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send(
                Frontend.parse("", "set work_mem = '4MB'") + Frontend.describe("S", "")
                    + Frontend.bind("") + Frontend.describe("P", "") + Frontend.execute()
                    + Frontend.parse("", "") + Frontend.bind("") + Frontend.execute()
                    + Frontend.sync
            )
            try #expect(
                client.receiveUntilReady().types
                    == ["1", "t", "n", "2", "n", "C", "1", "2", "I", "Z"]
            )
        }
    }

    @Test func syncsAloneAreAnswered() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.sync + Frontend.sync + Frontend.sync)
            for _ in 0..<3 { try #expect(client.receiveUntilReady().types == ["Z"]) }
        }
    }

    /// Several Parses, an error, a Flush in between: what follows the error up to Sync is skipped.
    @Test func afterAnErrorEverythingUpToSyncIsSkipped() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send(
                Frontend.parse("a", "select 1") + Frontend.parse("b", "select broken here")
                    + Frontend.parse("c", "select 3") + Frontend.flush
            )
            try #expect(client.receive(until: "E").types == ["1", "E"])
            #expect(client.isSilent())
            try client.send(Frontend.bind("a") + Frontend.execute() + Frontend.sync)
            try #expect(client.receiveUntilReady().types == ["Z"])
            try client.send(Frontend.bind("a") + Frontend.execute() + Frontend.sync)
            try #expect(client.receiveUntilReady().types == ["2", "D", "C", "Z"])
            try client.send(Frontend.bind("c") + Frontend.sync)
            try #expect(client.receiveUntilReady().error?.sqlstate == "26000")
        }
    }

    @Test func simpleAndExtendedQueriesMixInOnePacket() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send(
                Frontend.query("select 1") + Frontend.parse("", "select 2") + Frontend.bind("")
                    + Frontend.execute() + Frontend.sync + Frontend.query("select 3")
            )
            try #expect(client.receiveUntilReady().rows == [["1"]])
            try #expect(client.receiveUntilReady().rows == [["2"]])
            try #expect(client.receiveUntilReady().rows == [["3"]])
        }
    }

    @Test func functionCall() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            let absolute = try PostgresServer.shared.get().value(
                "select 'pg_catalog.int4abs(int4)'::regprocedure::oid"
            )
            let argument = Frontend.integer(4) + Frontend.integer(-42)
            let formats = Frontend.integer(1, byteCount: 2) + Frontend.integer(1, byteCount: 2)
            let call =
                Frontend.integer(Int(absolute ?? "") ?? 0) + formats
                + Frontend.integer(1, byteCount: 2) + argument + Frontend.integer(1, byteCount: 2)
            try client.send(Frontend.message("F", call))
            let answer = try client.receiveUntilReady()
            #expect(answer.types == ["V", "Z"])
            #expect(answer.first?.body == Frontend.integer(4) + Frontend.integer(42))
            try client.send(Frontend.message("F", Frontend.integer(1) + [0, 0, 0, 0, 0, 0]))
            try #expect(client.receiveUntilReady().types == ["E", "Z"])
            try client.send(Frontend.query("select 1"))
            try #expect(client.receiveUntilReady().types == ["T", "D", "C", "Z"])
        }
    }

    /// The same bytes, sent one by one, give the same answers.
    @Test func aWholeSessionByteByByte() throws {
        try withPooler { pooler in
            let client = try pooler.rawConnect()
            try client.sendByteByByte(Frontend.ssl)
            try #expect(client.receiveByte() == "N")
            try client.sendByteByByte(Frontend.startup([("user", "app"), ("database", "app")]))
            try client.finishLogin()
            let statements =
                Frontend.query("select 'simple'") + Frontend.parse("s", "select $1")
                + Frontend.bind("s", ["extended"]) + Frontend.describe("P", "")
                + Frontend.execute() + Frontend.close("S", "s") + Frontend.sync
            try client.sendByteByByte(statements)
            try #expect(client.receiveUntilReady().rows == [["simple"]])
            let answer = try client.receiveUntilReady()
            #expect(answer.types == ["1", "2", "T", "D", "C", "3", "Z"])
            #expect(answer.rows == [["extended"]])
            try client.sendByteByByte(Frontend.terminate)
            #expect(client.isClosed())
        }
    }
}
