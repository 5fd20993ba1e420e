// The simple query protocol through the pooler: every answer as from a private session.

import CLibpq
import Testing

@Suite struct SimpleQueryTests {
    @Test func oneStatement() throws {
        try withPooler { pooler in
            let result = try pooler.connect().execute("select 1 as one, null as nothing, 'x' as x")
            #expect(result.columnNames == ["one", "nothing", "x"])
            #expect(result.rows == [["1", nil, "x"]])
            #expect(result.tag == "SELECT 1")
        }
    }

    @Test func severalStatementsInOneMessage() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            let results = try client.executeAll(
                "select 1; select 2; set work_mem = '5MB'; select 3"
            )
            #expect(results.map(\.tag) == ["SELECT 1", "SELECT 1", "SET", "SELECT 1"])
            #expect(results.compactMap(\.value) == ["1", "2", "3"])
        }
    }

    @Test func anErrorEndsTheMessage() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            let results = try client.executeAll("select 1; select 1/0; select 3")
            #expect(results.count == 2)
            #expect(results.last?.sqlstate == "22012")
            #expect(client.transactionStatus == PQTRANS_IDLE)
            try #expect(client.value("select 4") == "4")
        }
    }

    @Test(arguments: ["", ";", "  ", "-- nothing"])
    func emptyQuery(statement: String) throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try #expect(client.execute(statement).status == PGRES_EMPTY_QUERY)
            try #expect(client.value("select 1") == "1")
        }
    }

    @Test func anErrorHasAllItsFields() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            let syntax = try client.execute("select from_nowhere")
            #expect(syntax.error?.fields["P"] == "8")
            let statement = """
                do $$ begin raise 'words' using errcode = 'MA001', detail = 'more', hint = 'try' ; end $$
                """
            let raised = try client.execute(statement).error
            #expect(raised?.severity == "ERROR")
            #expect(raised?.sqlstate == "MA001")
            #expect(raised?.message == "words")
            #expect(raised?.detail == "more")
            #expect(raised?.fields["H"] == "try")
        }
    }

    @Test func noticesArriveInOrder() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query(
                "do $$ begin for i in 1..50 loop raise notice 'n%', i; end loop; end $$"
            )
            #expect(client.notices.map(\.message) == (1...50).map { "n\($0)" })
            #expect(client.notices.allSatisfy { $0.severity == "NOTICE" })
        }
    }

    @Test func aStatementOfFiveMegabytes() throws {
        try withPooler { pooler in
            let text = String(repeating: "pool", count: 5 << 18)
            try #expect(
                pooler.connect().value("select md5('\(text)') = md5(repeat('pool', 5 << 18))")
                    == "t"
            )
        }
    }

    @Test func wideRowsAndManyRows() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            let columns = (1...1000).map { "\($0)" }
            try #expect(client.query("select " + columns.joined(separator: ", ")) == [columns])
            let rows = try client.query("select generate_series(1, 20000)")
            #expect(rows.count == 20_000)
            #expect(rows.last == ["20000"])
        }
    }

    @Test func manyQueriesWithoutWaiting() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send((1...500).flatMap { Frontend.query("select \($0)") })
            for number in 1...500 {
                let messages = try client.receiveUntilReady()
                #expect(messages.types == ["T", "D", "C", "Z"])
                #expect(messages.rows == [["\(number)"]])
            }
        }
    }

    @Test func notificationsInTheSameTransactionMode() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query("begin; listen birds; notify birds, 'martlet'; commit")
            try #expect(client.notifications() == [["birds", "martlet"]])
            try client.query("unlisten *")
        }
    }
}
