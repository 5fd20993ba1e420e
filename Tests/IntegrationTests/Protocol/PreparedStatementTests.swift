// Named statements of the protocol work across servers, under the client's own names, with
// PostgreSQL's own errors.

import CLibpq
import Testing

@Suite struct PreparedStatementTests {
    /// Each client's statement is executed on both servers, prepared there where missing.
    @Test func statementsFollowTheirClients() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let clients = try pooler.connect(6)
            for (number, client) in clients.enumerated() {
                // The same name with a different text in each client.
                let result = try client.prepare(
                    "mine",
                    "select \(number), pg_backend_pid(), $1::int"
                )
                #expect(result.error == nil)
            }
            var servers: Set<String?> = []
            for round in 0..<4 {
                let holder = clients[round]
                try holder.query("begin")
                for (number, client) in clients.enumerated() {
                    let row = try client.executePrepared("mine", ["\(round)"]).rows.first
                    #expect(row?[0] == "\(number)")
                    #expect(row?[2] == "\(round)")
                    servers.insert(row?[1])
                }
                try holder.query("commit")
            }
            #expect(servers.count == 2)
        }
    }

    @Test func statementsThatFewFit() throws {
        let settings = ["default_pool_size": "2", "max_prepared_statements": "3"]
        try withPooler(settings) { pooler in
            let clients = try pooler.connect(2)
            for client in clients {
                for number in 0..<20 {
                    try #expect(
                        client.prepare("s\(number)", "select \(number) + $1::int").error == nil
                    )
                }
            }
            for round in 0..<3 {
                for client in clients {
                    for number in (0..<20).reversed() {
                        let value = try client.executePrepared("s\(number)", ["\(round)"]).value
                        #expect(value == "\(number + round)")
                    }
                }
            }
            let kept = try clients[0].value(Self.countOnServer)
            #expect(Int(kept ?? "") ?? 99 <= 3)
        }
    }

    /// What is too much for the pooler to remember, the server does, which stays with its client.
    ///
    /// As long as it is not too much, and the text is known, no server is needed.
    @Test func moreNamesThanAreRemembered() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.rawLogin()
            let holder = try pooler.connect()
            func parse(_ number: Int) -> [UInt8] {
                Frontend.parse("s\(number)", "select 'known'") + Frontend.sync
            }
            try client.send(parse(0))
            _ = try client.receiveUntilReady()
            try holder.query("begin")
            for start in stride(from: 1, to: 10_000, by: 1_000) {
                let numbers = start..<min(start + 1_000, 10_000)
                try client.send(numbers.flatMap(parse))
                for _ in numbers {
                    try #expect(client.receiveUntilReady().types == ["1", "Z"])
                }
            }
            try client.send(parse(10_000))
            #expect(client.isSilent(), "it needs a server")
            try holder.query("commit")
            try #expect(client.receiveUntilReady().types == ["1", "Z"])
            for name in ["s0", "s10000", "s9999", "s10000"] {
                try client.send(
                    Frontend.bind(name) + Frontend.execute() + Frontend.sync
                )
                try #expect(client.receiveUntilReady().rows == [["known"]])
            }
            let pins = try pooler.show("PINS")
            #expect(pins.map { $0["reasons"] } == ["prepare"])
            #expect(pins.first?["statement"] == "select 'known'")
            holder.close()
            try client.send(Frontend.terminate)
            try #expect(
                pooler.connect().value("select count(*) from pg_prepared_statements") == "0"
            )
        }
    }

    /// Without those that are there for this query to find, under the client's own names.
    private static let countOnServer =
        "select count(*) from pg_prepared_statements where name like 'MARTLET%'"

    @Test func equalTextsShareOneServerStatement() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let clients = try pooler.connect(5)
            for (number, client) in clients.enumerated() {
                try #expect(client.prepare("name\(number)", "select $1::int").error == nil)
                try #expect(
                    client.executePrepared("name\(number)", ["\(number)"]).value == "\(number)"
                )
            }
            try #expect(clients[0].value(Self.countOnServer) == "1")
        }
    }

    @Test func anUnknownNameIsPostgresErrorAndTheSessionGoesOn() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            let error = try client.executePrepared("ghost").error
            #expect(error?.severity == "ERROR")
            #expect(error?.sqlstate == "26000")
            #expect(error?.message == #"prepared statement "ghost" does not exist"#)
            try #expect(client.describePrepared("ghost").sqlstate == "26000")
            try #expect(client.value("select 1") == "1")
        }
    }

    @Test func aNameInUseIsPostgresErrorAndTheSessionGoesOn() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try #expect(client.prepare("twice", "select 1").error == nil)
            let error = try client.prepare("twice", "select 2").error
            #expect(error?.sqlstate == "42P05")
            #expect(error?.message == #"prepared statement "twice" already exists"#)
            try #expect(client.executePrepared("twice").value == "1")
        }
    }

    @Test func anUnknownNameInAFailedPipelineIsSkipped() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send(
                Frontend.parse("ok", "select 1") + Frontend.bind("ghost") + Frontend.execute()
                    + Frontend.bind("ok") + Frontend.execute() + Frontend.sync
                    + Frontend.bind("ok") + Frontend.execute() + Frontend.sync
            )
            let first = try client.receiveUntilReady()
            #expect(first.types == ["1", "E", "Z"])
            #expect(first.error?.sqlstate == "26000")
            try #expect(client.receiveUntilReady().types == ["2", "D", "C", "Z"])
        }
    }

    @Test func anErrorInsideATransactionFailsIt() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query("begin")
            try #expect(client.executePrepared("ghost").sqlstate == "26000")
            #expect(client.transactionStatus == PQTRANS_INERROR)
            try #expect(client.execute("select 1").sqlstate == "25P02")
            try client.query("rollback")
        }
    }

    /// A Parse that fails leaves nothing: neither for its client nor for others with that text.
    @Test func aFailedParseIsForgotten() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            let other = try pooler.connect()
            let text = "select count(*) from born_later"
            try #expect(client.prepare("late", text).sqlstate == "42P01")
            try #expect(client.executePrepared("late").sqlstate == "26000")
            try other.query("create table born_later ()")
            try #expect(other.prepare("late", text).error == nil)
            try #expect(other.executePrepared("late").value == "0")
            try #expect(client.prepare("late", text).error == nil)
            try #expect(client.executePrepared("late").value == "0")
            try other.query("drop table born_later")
        }
    }

    @Test(arguments: ["deallocate all", "discard all"])
    func clearingForgetsTheClientsStatements(statement: String) throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            let other = try pooler.connect()
            try #expect(client.prepare("s", "select 'client'").error == nil)
            try #expect(other.prepare("s", "select 'other'").error == nil)
            try client.query(statement)
            try #expect(client.executePrepared("s").sqlstate == "26000")
            try #expect(other.executePrepared("s").value == "other")
            try #expect(client.prepare("s", "select 'again'").error == nil)
            try #expect(client.executePrepared("s").value == "again")
        }
    }

    @Test func closeFreesTheName() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send(
                Frontend.parse("s", "select 1") + Frontend.close("S", "s")
                    + Frontend.close("S", "never was") + Frontend.parse("s", "select 2")
                    + Frontend.bind("s") + Frontend.execute() + Frontend.sync
            )
            let answer = try client.receiveUntilReady()
            #expect(answer.types == ["1", "3", "3", "1", "2", "D", "C", "Z"])
            #expect(answer.rows == [["2"]])
            try client.send(
                Frontend.close("S", "s") + Frontend.sync + Frontend.bind("s") + Frontend.sync
            )
            try #expect(client.receiveUntilReady().types == ["3", "Z"])
            try #expect(client.receiveUntilReady().error?.sqlstate == "26000")
        }
    }

    /// A new table layout changes the result of a kept plan: PostgreSQL refuses that one, and the
    /// client sees either its error or the new rows, never a broken connection.
    @Test func aChangedTable() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            try client.query("create table changing (a int); insert into changing values (1)")
            try #expect(client.prepare("s", "select * from changing").error == nil)
            try #expect(client.executePrepared("s").rows == [["1"]])
            try client.query("alter table changing add column b int default 2")
            let result = try client.executePrepared("s")
            #expect(result.rows == [["1", "2"]] || result.sqlstate == "0A000")
            try #expect(client.value("select 1") == "1")
            try client.query("drop table changing")
        }
    }

    @Test func thousandsOfStatements() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let client = try pooler.rawLogin()
            for batch in 0..<10 {
                var bytes: [UInt8] = []
                for number in 0..<200 {
                    let name = "s\(batch)_\(number)"
                    bytes += Frontend.parse(name, "select \(batch * 200 + number)")
                    bytes += Frontend.bind(name) + Frontend.execute() + Frontend.close("S", name)
                }
                try client.send(bytes + Frontend.sync)
                let answer = try client.receiveUntilReady()
                #expect(answer.rows == (0..<200).map { ["\(batch * 200 + $0)"] })
            }
        }
    }

    @Test func sessionModeLeavesNamesAlone() throws {
        try withPooler(["pool_mode": "session", "default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            try #expect(client.prepare("mine", "select 1").error == nil)
            try #expect(client.value("select name from pg_prepared_statements") == "mine")
            try #expect(client.executePrepared("mine").value == "1")
            client.close()
            let next = try pooler.connect()
            try #expect(next.executePrepared("mine").sqlstate == "26000")
        }
    }
}
