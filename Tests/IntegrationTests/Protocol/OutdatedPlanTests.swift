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

    // MARK: Servers that do not know the statement

    private static let select = "select * from shape"

    /// Prepares and describes a statement on the one server, has the tables changed, and sees to it that
    /// the client gets a server which does not know the statement.
    private func withReliance(
        on statement: String,
        change: String,
        _ body: (Pooler, RawClient) throws -> Void
    ) throws {
        try withTable("1") { pooler in
            let client = try pooler.rawLogin()
            let preparation = Frontend.parse("s", statement) + Frontend.describe("S", "s")
            try client.send(preparation + Frontend.sync)
            try #expect(client.receiveUntilReady().error == nil)
            let other = try pooler.connect()
            for statement in change.split(separator: ";") { try other.query(String(statement)) }
            other.close()
            try pooler.console().query("RECONNECT")
            try body(pooler, client)
        }
    }

    private static func execution(_ parameters: [String] = []) -> [UInt8] {
        Frontend.bind("s", parameters) + Frontend.execute() + Frontend.sync
    }

    @Test(arguments: [
        "alter table shape add column c int default 3", "alter table shape drop column b",
        "alter table shape alter a type text",
        "alter table shape rename a to x; alter table shape rename b to a",
        "drop table shape; create table shape as select 1::bigint as a, 2 as b",
    ])
    func whoReliesOnADescriptionIsToldOnAServerThatDoesNotKnowTheStatement(
        _ change: String
    ) throws {
        try withReliance(on: Self.select, change: change) { pooler, client in
            for _ in 0..<2 {
                try client.send(Self.execution())
                let answer = try client.receiveUntilReady()
                #expect(answer.types == ["E", "Z"])
                #expect(answer.error?.sqlstate == "0A000")
                #expect(answer.error?.fields["R"] == "RevalidateCachedQuery")
            }
            try client.send(Frontend.query("begin"))
            _ = try client.receiveUntilReady()
            try client.send(Self.execution())
            let answer = try client.receiveUntilReady()
            #expect(answer.error?.sqlstate == "0A000")
            #expect(answer.transactionStatus == "E")
            try client.send(Frontend.query("rollback"))
            _ = try client.receiveUntilReady()
            // As soon as it prepares anew.
            let again = Frontend.close("S", "s") + Frontend.parse("s", Self.select)
            try client.send(again + Self.execution())
            try #expect(client.receiveUntilReady().types == ["3", "1", "2", "D", "C", "Z"])
        }
    }

    /// What PostgreSQL does not mind on one connection is not minded on several.
    @Test(arguments: [
        "drop table shape; create table shape as select 1 as a, 2 as b",
        "alter table shape add c int; alter table shape drop c",
        "alter table shape alter a set not null",
    ])
    func changesThatLeaveTheColumnsAreNotMinded(_ change: String) throws {
        try withReliance(on: Self.select, change: change) { pooler, client in
            for _ in 0..<2 {
                try client.send(Self.execution())
                let answer = try client.receiveUntilReady()
                #expect(answer.types == ["2", "D", "C", "Z"])
                #expect(answer.rows == [["1", "2"]])
            }
        }
    }

    @Test func whatHasComeBackIsServedAgain() throws {
        try withReliance(on: Self.select, change: Self.change) { pooler, client in
            try client.send(Self.execution())
            try #expect(client.receiveUntilReady().error?.sqlstate == "0A000")
            try pooler.connect().query("alter table shape drop column c")
            try client.send(Self.execution())
            try #expect(client.receiveUntilReady().rows == [["1", "2"]])
        }
    }

    @Test func whoAsksForTheColumnsIsServedWhereTheStatementIsNotKnown() throws {
        try withReliance(on: Self.select, change: Self.change) { pooler, client in
            let execution = Frontend.bind("s") + Frontend.describe("P", "") + Frontend.execute()
            for _ in 0..<2 {
                try client.send(execution + Frontend.sync)
                let answer = try client.receiveUntilReady()
                #expect(answer.types == ["2", "T", "D", "C", "Z"])
                #expect(answer.rows == [["1", "2", "3"]])
            }
            // It knows the columns now.
            try client.send(Self.execution())
            try #expect(client.receiveUntilReady().rows == [["1", "2", "3"]])
            try pooler.console().query("RECONNECT")
            try client.send(Self.execution())
            try #expect(client.receiveUntilReady().rows == [["1", "2", "3"]])
        }
    }

    /// Another client may not suffer, nor the one that relies on what it knows be deceived.
    @Test func oneNameIsAnewWhatAnotherIsNot() throws {
        try withReliance(on: Self.select, change: Self.change) { pooler, client in
            let fresh = Frontend.parse("t", Self.select) + Frontend.bind("t") + Frontend.execute()
            try client.send(Frontend.query("begin"))
            _ = try client.receiveUntilReady()
            // Both in one batch, the new one first.
            try client.send(fresh + Self.execution())
            let answer = try client.receiveUntilReady()
            #expect(answer.types == ["1", "2", "D", "C", "E", "Z"])
            #expect(answer.rows == [["1", "2", "3"]])
            #expect(answer.error?.sqlstate == "0A000")
            try client.send(Frontend.query("rollback"))
            _ = try client.receiveUntilReady()
            let again = Frontend.bind("t") + Frontend.execute() + Frontend.sync
            try client.send(again)
            try #expect(client.receiveUntilReady().rows == [["1", "2", "3"]])
        }
    }

    @Test func aDescriptionOfAnotherPortalDoesNotCount() throws {
        try withReliance(on: Self.select, change: Self.change) { _, client in
            let other =
                Frontend.parse("t", "select 7") + Frontend.bind(portal: "p", "t")
                + Frontend.bind("s") + Frontend.describe("P", "p") + Frontend.execute()
            try client.send(other + Frontend.sync)
            let answer = try client.receiveUntilReady()
            #expect(answer.error?.sqlstate == "0A000")
            #expect(answer.rows.isEmpty)
        }
    }

    /// PostgreSQL keeps the types that parameters had at first.
    @Test func parametersKeepTheirTypes() throws {
        let insert = "insert into shape (a) values ($1) returning a::text"
        let change = "alter table shape alter a type numeric(8,2)"
        try withReliance(on: insert, change: change) { _, client in
            // As the integer that the client has been told to send, in binary form.
            var bind = Frontend.string("") + Frontend.string("s")
            bind += Frontend.integer(1, byteCount: 2) + Frontend.integer(1, byteCount: 2)
            bind += Frontend.integer(1, byteCount: 2) + Frontend.integer(4) + Frontend.integer(77)
            bind += Frontend.integer(0, byteCount: 2)
            try client.send(Frontend.message("B", bind) + Frontend.execute() + Frontend.sync)
            try #expect(client.receiveUntilReady().rows == [["77.00"]])
        }
    }

    @Test func aStatementThatGivesNoRowsIsNotWaitedFor() throws {
        let insert = "insert into shape (a) values ($1)"
        try withReliance(on: insert, change: Self.change) { _, client in
            try client.send(Self.execution(["5"]))
            try #expect(client.receiveUntilReady().types == ["2", "C", "Z"])
        }
    }

    /// A Parse that the pooler answers itself is one of now.
    @Test func whoPreparesNowMayAskForTheColumnsAlone() throws {
        try withTable("1") { pooler in
            let (old, new) = (try pooler.rawLogin(), try pooler.rawLogin())
            let preparation = Frontend.parse("s", Self.select) + Frontend.describe("S", "s")
            try old.send(preparation + Frontend.sync)
            _ = try old.receiveUntilReady()
            try pooler.connect().query(Self.change)
            try new.send(preparation + Frontend.sync)
            let answer = try new.receiveUntilReady()
            #expect(answer.types == ["1", "t", "T", "Z"])
            #expect(answer.first { $0.type == "T" }?.body.prefix(2) == [0, 3])
            try new.send(Self.execution())
            try #expect(new.receiveUntilReady().rows == [["1", "2", "3"]])
            try old.send(Self.execution())
            try #expect(old.receiveUntilReady().error?.sqlstate == "0A000")
        }
    }

    /// What a server knows of a text from before the change is not what the text means now.
    @Test func aBlockThatChangesTablesReadsTextsAnew() throws {
        try withTable("1") { pooler in
            let client = try pooler.rawLogin()
            let preparation = Frontend.parse("s", Self.select) + Frontend.describe("S", "s")
            try client.send(preparation + Self.execution())
            try #expect(client.receiveUntilReady().rows == [["1", "2"]])
            for end in ["rollback", "commit"] {
                for statement in ["begin", Self.change] {
                    try client.send(Frontend.query(statement))
                    _ = try client.receiveUntilReady()
                }
                let fresh = Frontend.parse(end, Self.select) + Frontend.describe("S", end)
                try client.send(fresh + Frontend.bind(end) + Frontend.execute() + Frontend.sync)
                let answer = try client.receiveUntilReady()
                #expect(answer.types == ["1", "t", "T", "2", "D", "C", "Z"])
                #expect(answer.rows == [["1", "2", "3"]])
                try client.send(Frontend.query(end))
                _ = try client.receiveUntilReady()
            }
            // The one of before is refused, the other is not.
            try client.send(Self.execution())
            try #expect(client.receiveUntilReady().error?.sqlstate == "0A000")
            try client.send(Frontend.bind("commit") + Frontend.execute() + Frontend.sync)
            try #expect(client.receiveUntilReady().rows == [["1", "2", "3"]])
        }
    }

    /// The same text is about other tables in another database.
    @Test func databasesDoNotShareDescriptions() throws {
        try withTable("1") { pooler in
            let one = try pooler.rawLogin()
            let preparation = Frontend.parse("s", Self.select) + Frontend.describe("S", "s")
            try one.send(preparation + Self.execution())
            try #expect(one.receiveUntilReady().rows == [["1", "2"]])
            let two = try pooler.connect(database: "other")
            try two.query("drop table if exists shape; create table shape as select 'x' as z")
            let other = try pooler.rawLogin(database: "other")
            try other.send(preparation + Self.execution())
            try #expect(other.receiveUntilReady().rows == [["x"]])
            try pooler.console().query("RECONNECT")
            for (client, rows) in [(one, [["1", "2"]]), (other, [["x"]])] {
                try client.send(Self.execution())
                try #expect(client.receiveUntilReady().rows == rows)
            }
            try two.query("drop table shape")
        }
    }
}
