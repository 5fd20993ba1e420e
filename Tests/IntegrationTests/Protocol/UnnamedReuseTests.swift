// Unnamed statements that are served from prepared ones: as if they were not.

import Testing

@Suite(.serialized) struct UnnamedReuseTests {
    private static let reused = "select a, $1::int as given from reused order by a"
    private static let known = "select count(*) from pg_prepared_statements where name ~ 'MARTLET'"

    private func withReuse(
        _ size: String = "1",
        _ settings: [String: String] = [:],
        _ body: (Pooler) throws -> Void
    ) throws {
        let settings = settings.merging(
            ["default_pool_size": size, "reuse_unnamed_statements": "1"]
        ) { own, _ in own }
        try withPooler(settings) { pooler in
            let client = try pooler.connect()
            try client.query("drop table if exists reused")
            try client.query("create table reused as select 1 as a")
            client.close()
            try body(pooler)
        }
    }

    private static func batch(_ text: String, _ values: [String]) -> [UInt8] {
        Frontend.parse("", text) + Frontend.bind("", values) + Frontend.describe("P", "")
            + Frontend.execute() + Frontend.sync
    }

    @Test func whatComesAgainIsPreparedOnceForAll() throws {
        try withReuse { pooler in
            let (one, two) = (try pooler.connect(), try pooler.connect())
            for number in 0..<5 {
                for client in [one, two] {
                    let result = try client.execute(Self.reused, [String(number)])
                    #expect(result.rows == [["1", String(number)]])
                }
            }
            try #expect(one.value(Self.known) == "1")
            // The values are in the text: another one each time.
            for number in 0..<5 { _ = try one.execute("select \(number)", []) }
            try #expect(one.value(Self.known) == "1")
        }
    }

    @Test func withoutTheSettingNothingIsPrepared() throws {
        try withReuse("1", ["reuse_unnamed_statements": "0"]) { pooler in
            let client = try pooler.connect()
            for _ in 0..<3 { _ = try client.execute(Self.reused, ["1"]) }
            try #expect(client.value(Self.known) == "0")
        }
    }

    @Test func theSettingHoldsForADatabase() throws {
        let databases = ["other": "dbname=other reuse_unnamed_statements=1"]
        let settings = ["default_pool_size": "1", "reuse_unnamed_statements": "0"]
        try withPooler(settings, databases: databases) { pooler in
            for (database, count) in [("app", "0"), ("other", "1")] {
                let client = try pooler.connect(database: database)
                for _ in 0..<3 { _ = try client.execute("select $1::int", ["1"]) }
                try #expect(client.value(Self.known) == count)
            }
        }
    }

    @Test func answersAreThoseOfPostgreSQL() throws {
        try withReuse { pooler in
            let client = try pooler.rawLogin()
            for _ in 0..<4 {
                try client.send(Self.batch(Self.reused, ["7"]))
                let answer = try client.receiveUntilReady()
                #expect(answer.types == ["1", "2", "T", "D", "C", "Z"])
                #expect(answer.rows == [["1", "7"]])
            }
            let described =
                Frontend.parse("", Self.reused) + Frontend.describe("S", "")
                + Frontend.bind("", ["8"]) + Frontend.execute() + Frontend.sync
            try client.send(described)
            let answer = try client.receiveUntilReady()
            #expect(answer.types == ["1", "t", "T", "2", "D", "C", "Z"])
            #expect(answer.rows == [["1", "8"]])
        }
    }

    /// A client may wait for ParseComplete alone.
    @Test func aFlushIsAnswered() throws {
        try withReuse { pooler in
            let client = try pooler.rawLogin()
            for _ in 0..<3 {
                try client.send(Frontend.parse("", Self.reused) + Frontend.flush)
                try #expect(client.receive().type == "1")
                try client.send(Frontend.bind("", ["3"]) + Frontend.flush)
                try #expect(client.receive().type == "2")
                try client.send(Frontend.execute() + Frontend.sync)
                try #expect(client.receiveUntilReady().types == ["D", "C", "Z"])
            }
        }
    }

    /// The unnamed statement is still there in later batches, on whichever server.
    @Test func itLastsUntilTheNextOne() throws {
        try withReuse { pooler in
            let (client, other) = (try pooler.rawLogin(), try pooler.connect())
            let again = Frontend.bind("", ["9"]) + Frontend.execute() + Frontend.sync
            for _ in 0..<3 {
                try client.send(Self.batch(Self.reused, ["1"]))
                _ = try client.receiveUntilReady()
                try client.send(again)
                try #expect(client.receiveUntilReady().rows == [["1", "9"]])
                _ = try other.execute("select 'another'", [])
                try client.send(again)
                try #expect(client.receiveUntilReady().rows == [["1", "9"]])
                try pooler.console().query("RECONNECT")
                try client.send(again)
                try #expect(client.receiveUntilReady().rows == [["1", "9"]])
            }
            // Another one takes its place, which is not reused.
            try client.send(Frontend.parse("", "select 5") + Frontend.sync)
            _ = try client.receiveUntilReady()
            let bare = Frontend.bind("") + Frontend.execute() + Frontend.sync
            try client.send(bare)
            try #expect(client.receiveUntilReady().rows == [["5"]])
            // And a Query ends it, as does Close.
            try client.send(Self.batch(Self.reused, ["1"]))
            _ = try client.receiveUntilReady()
            try client.send(Frontend.query("select 1"))
            _ = try client.receiveUntilReady()
            try client.send(again)
            try #expect(client.receiveUntilReady().error?.sqlstate == "26000")
            try client.send(Self.batch(Self.reused, ["1"]))
            _ = try client.receiveUntilReady()
            try client.send(Frontend.close("S", "") + again)
            let answer = try client.receiveUntilReady()
            #expect(answer.types == ["3", "E", "Z"])
            #expect(answer.error?.sqlstate == "26000")
        }
    }

    @Test func aParseThatFailsFailsInItsPlace() throws {
        try withReuse { pooler in
            let client = try pooler.rawLogin()
            for _ in 0..<3 {
                try client.send(Self.batch("select $1::int from missing", ["1"]))
                let answer = try client.receiveUntilReady()
                #expect(answer.types == ["E", "Z"])
                #expect(answer.error?.sqlstate == "42P01")
                // There is no unnamed statement then.
                try client.send(Frontend.bind("", ["1"]) + Frontend.sync)
                try #expect(client.receiveUntilReady().error?.sqlstate == "26000")
            }
            for _ in 0..<3 {
                try client.send(Self.batch("select 1 / $1::int", ["0"]))
                let answer = try client.receiveUntilReady()
                #expect(answer.types == ["1", "E", "Z"])
                #expect(answer.error?.sqlstate == "22012")
                try client.send(Self.batch("select 1 / $1::int", ["1"]))
                try #expect(client.receiveUntilReady().rows == [["1"]])
            }
        }
    }

    @Test func pipelinesStayInOrder() throws {
        try withReuse { pooler in
            let client = try pooler.rawLogin()
            let texts = [Self.reused, "select $1::int * 2", "select 1 / $1::int"]
            for turn in 0..<4 {
                let value = turn == 2 ? "0" : "1"
                var bytes: [UInt8] = []
                for text in texts { bytes += Self.batch(text, [value]) }
                for text in texts { bytes += Self.batch(text, [value]).dropLast(5) }
                try client.send(bytes + Frontend.sync)
                var rows: [[String?]] = []
                for _ in 0..<4 { rows += try client.receiveUntilReady().rows }
                let good = [["1", value], [String(2 * (Int(value) ?? 0))]]
                #expect(rows == (turn == 2 ? good + good : good + [["1"]] + good + [["1"]]))
            }
        }
    }

    @Test func settingsKeepTextsApart() throws {
        try withReuse { pooler in
            let (one, two) = (try pooler.connect(), try pooler.connect())
            try one.query("set timezone = 'Asia/Tokyo'")
            try two.query("set timezone = 'UTC'")
            let text = "select '2024-01-01 00:00'::timestamptz = $1::timestamptz"
            for _ in 0..<4 {
                try #expect(one.execute(text, ["2023-12-31 15:00+00"]).rows == [["t"]])
                try #expect(two.execute(text, ["2023-12-31 15:00+00"]).rows == [["f"]])
            }
        }
    }

    @Test func whatIsLimitedMakesRoom() throws {
        try withReuse("1", ["max_prepared_statements": "2"]) { pooler in
            let client = try pooler.connect()
            for _ in 0..<3 {
                for number in 0..<6 {
                    let result = try client.execute("select $1::int + \(number)", ["1"])
                    #expect(result.rows == [[String(number + 1)]])
                }
            }
            try #expect(client.value(Self.known) == "2")
        }
    }

    // MARK: Tables that change

    private static let all = "select * from reused where $1::int is not null"

    private func executed(_ client: RawClient, describing: Bool = true) throws -> [WireMessage] {
        let head = Frontend.parse("", Self.all) + Frontend.bind("", ["1"])
        let portal = describing ? Frontend.describe("P", "") : []
        try client.send(head + portal + Frontend.execute() + Frontend.sync)
        return try client.receiveUntilReady()
    }

    /// Whoever sends the text each time never learns that it was prepared.
    @Test(arguments: [true, false])
    func newColumnsAreNoError(_ isDescribed: Bool) throws {
        try withReuse("2") { pooler in
            let clients = [try pooler.rawLogin(), try pooler.rawLogin()]
            for client in clients + clients + clients {
                try #expect(executed(client, describing: isDescribed).rows == [["1"]])
            }
            try pooler.connect().query("alter table reused add b int default 2")
            for client in clients + clients {
                try client.send(Frontend.query("begin"))
                _ = try client.receiveUntilReady()
                let answer = try executed(client, describing: isDescribed)
                #expect(answer.error == nil && answer.rows == [["1", "2"]])
                try client.send(Frontend.query("commit"))
                _ = try client.receiveUntilReady()
            }
        }
    }

    /// What does not go through the pooler is seen when PostgreSQL refuses the statement.
    @Test(arguments: [true, false])
    func columnsThatSomebodyElseAddedAreNoError(_ isDescribed: Bool) throws {
        try withReuse { pooler in
            let client = try pooler.rawLogin()
            for _ in 0..<3 { _ = try executed(client, describing: isDescribed) }
            try PostgresServer.shared.get().connect(user: "app").query(
                "alter table reused add b int default 2"
            )
            for _ in 0..<3 {
                let answer = try executed(client, describing: isDescribed)
                #expect(answer.types.prefix(2) == ["1", "2"])
                #expect(answer.rows == [["1", "2"]])
            }
        }
    }

    @Test func aTransactionThatChangesTablesSeesItsOwn() throws {
        try withReuse { pooler in
            let client = try pooler.rawLogin()
            for _ in 0..<3 { _ = try executed(client) }
            for end in ["rollback", "commit"] {
                for text in ["begin", "alter table reused add b int default 2"] {
                    try client.send(Frontend.query(text))
                    _ = try client.receiveUntilReady()
                }
                for _ in 0..<2 { try #expect(executed(client).rows == [["1", "2"]]) }
                try client.send(Frontend.query(end))
                _ = try client.receiveUntilReady()
                let rows = end == "commit" ? [["1", "2"]] : [["1"]]
                for _ in 0..<3 { try #expect(executed(client).rows == rows) }
            }
        }
    }

    /// The types of parameters are those that the text has now.
    @Test func parametersAreReadAnew() throws {
        try withReuse { pooler in
            let client = try pooler.connect()
            let insert = "insert into reused values ($1) returning a"
            for _ in 0..<3 { try #expect(client.execute(insert, ["007"]).rows == [["7"]]) }
            try client.query("alter table reused alter a type text")
            for _ in 0..<3 { try #expect(client.execute(insert, ["007"]).rows == [["007"]]) }
        }
    }

    /// A named statement of the same text is another matter.
    @Test func whoReliesOnADescriptionIsStillTold() throws {
        try withReuse { pooler in
            let (named, unnamed) = (try pooler.rawLogin(), try pooler.rawLogin())
            try named.send(
                Frontend.parse("s", Self.all) + Frontend.describe("S", "s") + Frontend.sync
            )
            _ = try named.receiveUntilReady()
            for _ in 0..<3 { _ = try executed(unnamed) }
            try pooler.connect().query("alter table reused add b int default 2")
            for _ in 0..<3 { try #expect(executed(unnamed).rows == [["1", "2"]]) }
            try named.send(Frontend.bind("s", ["1"]) + Frontend.execute() + Frontend.sync)
            let answer = try named.receiveUntilReady()
            #expect(answer.error?.sqlstate == "0A000" && answer.rows.isEmpty)
        }
    }
}
