// Tables change under prepared statements.

import Testing

@Suite(.serialized) struct OutdatedPlanTests {
    private static let change = "alter table shape add column c int default 3"

    private func withTable(_ size: String, _ body: (Pooler) throws -> Void) throws {
        try withPooler(["default_pool_size": size]) { pooler in
            let client = try pooler.connect()
            try client.query(
                "drop table if exists shape; create table shape as select 1 as a, 2 as b"
            )
            client.close()
            try body(pooler)
        }
    }

    @Test func aStatementOutsideATransactionIsPreparedAnew() throws {
        try withTable("1") { pooler in
            let (one, two) = (try pooler.connect(), try pooler.connect())
            _ = try one.prepare("s", "select * from shape")
            try #expect(one.executePrepared("s").rows == [["1", "2"]])
            try two.query(Self.change)
            try #expect(one.executePrepared("s").rows == [["1", "2", "3"]])
            // Whoever prepares it now gets what there is.
            _ = try two.prepare("t", "select * from shape")
            try #expect(two.executePrepared("t").rows == [["1", "2", "3"]])
            let stats = try pooler.show("STATS").first { $0["database"] == "app" }
            #expect(stats?["total_reprepare_count"] == "1")
        }
    }

    /// The client's settings come in front of the batch; they are not sent twice.
    @Test func settingsAreNotReplayedTwice() throws {
        try withTable("1") { pooler in
            let (one, two) = (try pooler.connect(), try pooler.connect())
            try one.query("set timezone = 'Asia/Tokyo'")
            _ = try one.prepare("s", "select *, current_setting('timezone') from shape")
            _ = try one.executePrepared("s")
            try two.query(Self.change)
            try #expect(one.executePrepared("s").rows == [["1", "2", "3", "Asia/Tokyo"]])
            try #expect(two.value("show timezone") != "Asia/Tokyo")
        }
    }

    /// In a transaction PostgreSQL's error passes; the transaction is lost anyway.
    @Test func inATransactionTheErrorPasses() throws {
        try withTable("1") { pooler in
            let client = try pooler.connect()
            _ = try client.prepare("s", "select * from shape")
            try client.query(Self.change)
            try client.query("begin")
            let error = try client.executePrepared("s").error
            #expect(error?.sqlstate == "0A000")
            #expect(error?.message == "cached plan must not change result type")
            try client.query("rollback")
            try #expect(client.executePrepared("s").rows == [["1", "2", "3"]])
            // The servers of others as well.
            try pooler.console().query("RECONNECT")
            try #expect(client.executePrepared("s").rows == [["1", "2", "3"]])
        }
    }

    /// A client that relies on the columns of an earlier Describe has to be told.
    @Test func whoKnowsTheColumnsIsTold() throws {
        try withTable("1") { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.parse("s", "select * from shape") + Frontend.sync)
            _ = try client.receiveUntilReady()
            try pooler.connect().query(Self.change)
            let execution = Frontend.bind("s", []) + Frontend.execute() + Frontend.sync
            try client.send(execution)
            try #expect(client.receiveUntilReady().error?.sqlstate == "0A000")
            // Wherever it tries again, until it prepares anew.
            for _ in 0..<2 {
                try client.send(execution)
                try #expect(client.receiveUntilReady().error?.sqlstate == "0A000")
                try pooler.console().query("RECONNECT")
            }
            let again = Frontend.close("S", "s") + Frontend.parse("s", "select * from shape")
            try client.send(again + execution)
            try #expect(client.receiveUntilReady().rows == [["1", "2", "3"]])
        }
    }

    @Test func everyServerIsRepaired() throws {
        try withTable("3") { pooler in
            let clients = try pooler.connect(6)
            for client in clients { _ = try client.prepare("s", "select * from shape") }
            for client in clients.prefix(3) { try client.query("begin") }
            for client in clients.prefix(3) { _ = try client.executePrepared("s") }
            for client in clients.prefix(3) { try client.query("commit") }
            try clients[0].query(Self.change)
            for _ in 0..<3 {
                for client in clients.prefix(3) { try client.query("begin") }
                for client in clients.prefix(3) { try client.query("commit") }
                for client in clients {
                    try #expect(client.executePrepared("s").rows == [["1", "2", "3"]])
                }
            }
        }
    }
}
