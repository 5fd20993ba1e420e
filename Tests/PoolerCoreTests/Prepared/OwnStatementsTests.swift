import PoolerCore
import PostgresWire
import Testing

@Suite struct OwnStatementsTests {
    private static func client(_ names: [ByteString: UInt32]) -> ClientStatements {
        var client = ClientStatements()
        for (name, slot) in names {
            let text: ByteString? = slot >= 100 ? "prepare" : nil
            _ = client.insert(name: name, slot: slot, serial: UInt64(slot), text: text)
        }
        return client
    }

    private static func server(_ names: [ByteString: UInt32]) -> OwnStatements {
        var server = OwnStatements()
        for (name, slot) in names {
            server[name] = OwnStatement(slot: slot, text: slot >= 100 ? "prepare" : nil)
        }
        return server
    }

    private static func seen(_ text: ByteString) -> NamedStatements {
        let rules = ScanRules()
        var seen = NamedStatements(StatementClassifier.effects(of: text.span, rules: rules))
        for statement in StatementClassifier.statements(in: text.span, rules: rules) {
            seen.add(statement)
        }
        return seen
    }

    @Test(arguments: [
        ("execute a", ["a"], false, false),
        ("deallocate \"A b\"; prepare c as select 1", ["A b", "c"], false, false),
        ("explain analyze execute a(1)", ["a"], false, false),
        ("create table t as execute a", ["a"], false, false),
        ("deallocate U&\"x\"", [], false, true),
        ("select * from pg_prepared_statements", [], false, true),
        ("select pg_catalog.\"pg_prepared_statement\"()", [], false, true),
        ("do $$begin end$$", [], true, false),
        ("begin", [], true, false), ("select 1", [], false, false),
    ])
    func whatSQLCanSee(_ text: String, _ names: [String], _ prepared: Bool, _ all: Bool) {
        let seen = Self.seen(ByteString(text))
        #expect(seen.names == names.map { ByteString($0) })
        #expect(seen.includesPrepared == prepared)
        #expect(seen.includesAll == all)
    }

    @Test func onlyWhatIsNamedIsMadeOrFreed() {
        let client = Self.client(["a": 1, "b": 2, "s": 100])
        let server = Self.server(["b": 9, "c": 3, "s": 100])
        let changes = { (text: ByteString) in server.changes(toShow: Self.seen(text), of: client) }
        #expect(changes("execute a") == [.make("a", OwnStatement(slot: 1, text: nil))])
        #expect(
            changes("execute b") == [.close("b"), .make("b", OwnStatement(slot: 2, text: nil))]
        )
        #expect(changes("execute c") == [.close("c")])
        #expect(changes("execute s; execute d").isEmpty)
    }

    @Test func whatIsHiddenMayUseAllThatWasMadeBySQL() {
        let client = Self.client(["a": 1, "s": 100])
        let changes = Self.server(["c": 3]).changes(toShow: Self.seen("do ''"), of: client)
        #expect(
            Set(changes.map { "\($0)" })
                == Set(
                    [
                        .make("s", OwnStatement(slot: 100, text: "prepare")),
                        OwnStatementChange.close("c"),
                    ].map { "\($0)" }
                )
        )
    }

    @Test func clientsWithoutStatementsSeeNone() {
        let server = Self.server(["a": 1])
        #expect(server.changes(toShow: Self.seen("execute a"), of: nil) == [.close("a")])
        #expect(server.changes(toShow: Self.seen("execute b"), of: nil).isEmpty)
    }

    @Test func requestsAreUndoneInReverse() {
        var server = Self.server(["a": 1])
        let closed = server.close("a")
        let made = server.make(OwnStatement(slot: 2, text: nil), as: "a")
        #expect(server["a"]?.slot == 2)
        let unused = server.undo(made)
        #expect(unused == 2)
        #expect(server["a"] == nil)
        let none = server.undo(closed)
        #expect(none == nil)
        #expect(server["a"]?.slot == 1)
        let left = server.settle()
        #expect(left.isEmpty)
    }

    @Test func statementsThatWereFreedAreReleasedOnce() {
        var server = Self.server(["a": 1, "b": 2])
        _ = server.close("a")
        _ = server.make(OwnStatement(slot: 3, text: nil), as: "a")
        let freed = server.settle()
        #expect(freed == [1])
        let rest = server.removeAll()
        #expect(Set(rest) == [2, 3])
        #expect(server.isEmpty)
    }

    @Test(arguments: [
        ("prepare p as select 1", "prepare p as select 1", "select 1"),
        ("select 0; prepare p as select 1; execute p", "prepare p as select 1", "select 1"),
        ("prepare p as select 1; prepare p as select 2", "prepare p as select 1", "select 1"),
        (
            "prepare p as select 1; deallocate p; prepare p as select 2", "prepare p as select 2",
            "select 2"
        ),
    ])
    func thePrepareIsFoundInItsText(_ text: String, _ prepare: String, _ query: String) {
        let row = PreparedStatementRow(
            name: "p",
            text: ByteString(text),
            isFromSQL: true,
            types: []
        )
        let statement = row.statement(ScanRules())
        #expect(statement?.text == ByteString(prepare))
        #expect(statement?.body == ByteString(Array(query.utf8) + [0, 0, 0]))
    }

    @Test func aTextThatDoesNotShowItIsNone() {
        let row = PreparedStatementRow(
            name: "p",
            text: "prepare U&\"p\" as select 1",
            isFromSQL: true,
            types: []
        )
        #expect(row.statement(ScanRules()) == nil)
    }
}
