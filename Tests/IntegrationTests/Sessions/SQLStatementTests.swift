// Prepared statements that SQL makes, uses and ends, on servers that change.

import Testing

@Suite struct SQLStatementTests {
    /// Makes a client use another server than in its last transaction.
    private func withTwoServers(
        _ body: (_ client: Connection, _ onOther: (() throws -> Void) throws -> Void) throws -> Void
    ) throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let (client, holders) = (try pooler.connect(), try pooler.connect(2))
            try body(client) { work in
                let before = try client.value("select pg_backend_pid()")
                for holder in holders { try holder.query("begin") }
                for holder in holders where try holder.value("select pg_backend_pid()") != before {
                    try holder.query("commit")
                }
                try #expect(client.value("select pg_backend_pid()") != before)
                try work()
                for holder in holders { try holder.query("commit") }
            }
            try #expect(pooler.show("PINS").isEmpty)
        }
    }

    @Test func whatIsPreparedFollowsItsClient() throws {
        try withTwoServers { client, onOther in
            try client.query("prepare double (int) as select $1 * 2 as doubled")
            try onOther {
                try #expect(client.value("execute double(21)") == "42")
                try #expect(client.execute("prepare double as select 1").sqlstate == "42P05")
                let look =
                    "select statement, from_sql, parameter_types from pg_prepared_statements "
                try #expect(
                    client.query(look + "where name = 'double'")
                        == [["prepare double (int) as select $1 * 2 as doubled", "t", "{integer}"]]
                )
                // The protocol finds it, too.
                try #expect(client.executePrepared("double", ["4"]).value == "8")
                try client.query("deallocate double")
            }
            try onOther {
                try #expect(client.execute("execute double(1)").sqlstate == "26000")
                try #expect(client.executePrepared("double", ["1"]).error?.sqlstate == "26000")
            }
        }
    }

    /// Clients with other settings and statements come one after the other to the only server, which
    /// has to be made to fit each of them.
    @Test func clientsInLineGetTheirTurn() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let clients = try pooler.connect(6)
            for (number, client) in clients.enumerated() {
                try client.query("set timezone = 'Etc/GMT+\(number)'")
                _ = try client.prepare("a1", "select \(number)")
            }
            let holder = try pooler.connect()
            for statement in ["execute a1", "deallocate a1"] {
                try holder.query("begin")
                for client in clients { try client.send(statement) }
                try pooler.waitForQueue(of: clients.count)
                try holder.query("commit")
                for (number, client) in clients.enumerated() {
                    let result = try client.receive()
                    #expect(result.error == nil)
                    if statement == "execute a1" { #expect(result.value == "\(number)") }
                }
            }
        }
    }

    @Test func sqlFindsTheStatementsOfTheProtocol() throws {
        try withTwoServers { client, onOther in
            _ = try client.prepare("a1", "select $1::int + 1")
            try #expect(client.value("execute a1(1)") == "2")
            try onOther {
                try #expect(client.value("execute a1(2)") == "3")
                try #expect(client.execute("prepare a1 as select 1").sqlstate == "42P05")
                try #expect(
                    client.query("select from_sql from pg_prepared_statements where name = 'a1'")
                        == [["f"]]
                )
                try client.query("deallocate a1")
                try #expect(client.executePrepared("a1", ["1"]).error?.sqlstate == "26000")
            }
            try onOther {
                try #expect(client.executePrepared("a1", ["1"]).error?.sqlstate == "26000")
                try #expect(client.prepare("a1", "select 5").error == nil)
                try #expect(client.executePrepared("a1").value == "5")
            }
        }
    }

    @Test func whatEndsInATransactionStaysEndedWhenItIsRolledBack() throws {
        try withTwoServers { client, onOther in
            _ = try client.prepare("kept", "select 1")
            try client.query("begin; deallocate kept; prepare made as select 2; rollback")
            try onOther {
                try #expect(client.executePrepared("kept").error?.sqlstate == "26000")
                try #expect(client.value("execute made") == "2")
            }
        }
    }

    /// What a failed transaction refuses changes nothing: the names stand for what they did.
    @Test func whatIsRefusedChangesNoNames() throws {
        try withTwoServers { client, onOther in
            _ = try client.prepare("kept", "select 1")
            try onOther {
                try client.query("begin")
                _ = try client.execute("select 1/0")
                for text in ["deallocate kept", "prepare kept as select 2; deallocate kept"] {
                    try #expect(client.execute(text).sqlstate == "25P02")
                    try #expect(client.execute(text, []).sqlstate != nil)
                    try #expect(client.executePrepared("kept").error?.sqlstate == "25P02")
                }
                try client.query("rollback")
                try #expect(client.executePrepared("kept").value == "1")
            }
        }
    }

    /// DEALLOCATE ALL that nobody sees ends the client's statements, and those of nobody else.
    @Test(arguments: ["", "; execute 'prepare made as select 5'"])
    func whatAFunctionEndsIsGone(more: String) throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let (one, two) = (try pooler.connect(), try pooler.connect())
            for client in [one, two] { _ = try client.prepare("p", "select $1::int + 1") }
            try one.query("prepare q as select 1")
            try one.query("do $$begin execute 'deallocate all'\(more); end$$")
            try #expect(two.executePrepared("p", ["1"]).value == "2")
            try #expect(one.executePrepared("p", ["1"]).error?.sqlstate == "26000")
            try #expect(one.execute("execute q").sqlstate == "26000")
            if !more.isEmpty { try #expect(one.value("execute made") == "5") }
            try #expect(one.prepare("p", "select 3").error == nil)
            try #expect(one.executePrepared("p").value == "3")
        }
    }

    @Test func namesOfOthersMeanNothing() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let (one, two) = (try pooler.connect(), try pooler.connect())
            try one.query("prepare q as select 'one'")
            try #expect(two.execute("execute q").sqlstate == "26000")
            try one.query("select 1")
            try #expect(two.executePrepared("q").error?.sqlstate == "26000")
            try #expect(
                two.value("select count(*) from pg_prepared_statements where name = 'q'") == "0"
            )
            try two.query("prepare q as select 'two'")
            for _ in 0..<3 {
                try #expect(one.value("execute q") == "one")
                try #expect(two.value("execute q") == "two")
            }
            try one.query("deallocate all")
            try #expect(one.execute("execute q").sqlstate == "26000")
            try #expect(two.value("execute q") == "two")
        }
    }

    /// A date means what it meant where it was written.
    @Test func theSettingsOfThePreparationHold() throws {
        try withTwoServers { client, onOther in
            try client.query("set datestyle = 'SQL, DMY'")
            try client.query("prepare day as select to_char('02/03/2024'::date, 'Mon')")
            try client.query("set datestyle = 'ISO, MDY'")
            try onOther {
                try #expect(client.value("execute day") == "Mar")
                try #expect(client.value("show datestyle") == "ISO, MDY")
            }
        }
    }

    /// Also when they are gone with the transaction in which it was made.
    @Test(arguments: ["rollback", "commit"])
    func theSettingsOfThePreparationOutliveTheBlock(end: String) throws {
        try withTwoServers { client, onOther in
            try client.query("begin")
            try client.query("set local datestyle = 'SQL, DMY'")
            try client.query("prepare day as select to_char('02/03/2024'::date, 'Mon')")
            try client.query(end)
            try onOther { try #expect(client.value("execute day") == "Mar") }
        }
    }

    /// What cannot be prepared any more is an error of the EXECUTE, and nothing else suffers.
    @Test func whatCannotBePreparedAnyMoreIsAnError() throws {
        try withTwoServers { client, onOther in
            try client.query("drop table if exists gone; create table gone (a int)")
            try client.query("prepare look as select * from gone; prepare fine as select 1")
            try client.query("drop table gone")
            try onOther {
                try #expect(client.execute("execute look").sqlstate == "26000")
                try #expect(client.value("execute fine") == "1")
                try client.query("create table gone (a int)")
                try #expect(client.execute("execute look").error == nil)
            }
            try client.query("drop table gone")
        }
    }

    /// Servers that refused a name are used on.
    @Test func aNameThatIsTakenCostsNoServer() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            let process = try client.value("select pg_backend_pid()")
            _ = try client.prepare("p", "select 1")
            for _ in 0..<3 {
                try #expect(client.prepare("p", "select 2").error?.sqlstate == "42P05")
            }
            try #expect(client.executePrepared("p").value == "1")
            try #expect(client.value("select pg_backend_pid()") == process)
        }
    }
}
