import PoolerCore
import PostgresWire
import Testing

/// Which statements may call what changes a session unseen.
@Suite struct HiddenCallsTests {
    @Test func nothingIsFoundInAnEmptyAnswer() throws {
        let calls = try #require(Self.calls([]))
        #expect(calls.isEmpty && calls.settingNames.isEmpty && !calls.isAnywhere)
        #expect(!Self.areNamed("insert into t values (1)", calls))
        #expect(HiddenCalls().isEmpty)
        #expect(HiddenCalls.unknown.isAnywhere && !HiddenCalls.unknown.isEmpty)
    }

    @Test(arguments: [
        ("insert into t values (1)", true), ("INSERT INTO S.T VALUES (1)", true),
        ("select * from \"t\"", true), ("select * from \"A View\" v", true),
        ("select * from U&\"\\0074\"", true), ("select * from a$1", true),
        ("select 't', $$t$$, tt, t1, \"T\" -- t", false), ("select * from \"a view\"", false),
        ("", false), ("select 1 /* t */", false),
    ])
    func tablesAreFoundByTheirNames(_ text: String, _ isFound: Bool) throws {
        let calls = try #require(Self.calls([("r", "t"), ("r", "A View"), ("r", "a$1")]))
        #expect(!calls.isEmpty)
        #expect(Self.areNamed(text, calls) == isFound)
    }

    @Test func namesThatPostgreSQLCutsMayBeAny() throws {
        let calls = try #require(Self.calls([("r", "t")]))
        #expect(Self.areNamed("select * from " + String(repeating: "x", count: 64), calls))
    }

    @Test func whatIsNoTableMayBeCalledAnywhere() throws {
        let calls = try #require(Self.calls([("a", ""), ("s", "App.Tenant")]))
        #expect(calls.isAnywhere && !calls.isEmpty)
        #expect(calls.settingNames == ["app.tenant"])
        #expect(!Self.areNamed("select 1", calls))
    }

    /// They are no reason to look at statements that call no function.
    @Test func functionsAreFoundByTheirNames() throws {
        let calls = try #require(Self.calls([("f", "touch"), ("f", "Odd Name")]))
        #expect(calls.isEmpty && calls.hasAny && !HiddenCalls().hasAny)
        #expect(Self.areNamed("select lib.TOUCH(1)", calls))
        #expect(Self.areNamed("select * from \"Odd Name\"()", calls))
        #expect(!Self.areNamed("select touched(), 'touch'", calls))
    }

    @Test func whereMoreMayBeLeftAnythingMay() throws {
        let calls = try #require(Self.calls((0..<2_000).map { ("f", "f\($0)") }))
        #expect(calls.isAnywhere)
    }

    @Test func tooManyTablesAreAll() throws {
        let calls = try #require(Self.calls((0...100).map { ("r", "t\($0)") }))
        #expect(calls.isAnywhere)
    }

    @Test func anotherAnswerIsNone() {
        #expect(Self.calls([("x", "t")]) == nil)
        var writer = ByteWriter()
        writer.dataRow(["one"])
        #expect(HiddenCalls(answer: unsafe writer.bytes.span.bytes) == nil)
    }

    private static func calls(_ rows: [(ByteString, String)]) -> HiddenCalls? {
        var writer = ByteWriter()
        for (kind, name) in rows { writer.dataRow([kind, ByteString(name)]) }
        return HiddenCalls(answer: unsafe writer.bytes.span.bytes)
    }

    private static func areNamed(_ text: String, _ calls: HiddenCalls) -> Bool {
        calls.areNamed(in: unsafe Array(text.utf8).span.bytes, rules: ScanRules())
    }
}
