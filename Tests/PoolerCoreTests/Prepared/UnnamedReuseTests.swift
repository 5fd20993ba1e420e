import PoolerCore
import PostgresWire
import Testing

@Suite struct UnnamedReuseTests {
    private static func body(_ text: String, types: [UInt32] = []) -> ByteString {
        var writer = ByteWriter()
        writer.writeCString(ByteString(text))
        writer.write(Int16(types.count))
        for type in types { writer.write(Int32(bitPattern: type)) }
        return ByteString(writer.bytes)
    }

    @Test(
        arguments: [
            ("select $1", [], true), ("select 1", [], false), ("select 1", [23], true),
            ("select '$1'", [], true), ("select $2", [], false), ("select $", [], false),
            ("", [], false),
            ("select 10$1", [25, 25], true),
        ] as [(String, [UInt32], Bool)]
    )
    func onlyWhatHasParametersIsReused(_ text: String, _ types: [UInt32], _ isPossible: Bool) {
        let body = Self.body(text, types: types)
        let result = UnnamedReuse.isPossible(body.span, [])
        #expect(result == isPossible)
    }

    @Test func bytesThatAreNoParseAreNotReused() {
        for text in ["", "select $1", "$", "$1"] {
            let body = ByteString(text)
            let result = UnnamedReuse.isPossible(body.span, [])
            #expect(!result)
        }
        let short = ByteString("select $1\0")
        let result = UnnamedReuse.isPossible(short.span, [])
        #expect(result)
    }

    @Test(arguments: [
        (SessionEffects.opaque, false), (.sqlExecute, false), (.temporary, false),
        (.creation, false),
        (.cursor, false), (.settings, true), (.unknownFunction, true), (.sequenceValue, true),
    ])
    func whatDoesMoreThanReadAndWriteRowsIsLeftAlone(
        _ effects: SessionEffects,
        _ isPossible: Bool
    ) {
        let body = Self.body("select $1")
        let result = UnnamedReuse.isPossible(body.span, effects)
        #expect(result == isPossible)
    }

    @Test func theSecondTimeCounts() {
        var reuse = UnnamedReuse()
        let (one, two) = (Self.body("select $1"), Self.body("select $1, 2"))
        #expect(reuse.note(one, .none) == false)
        #expect(reuse.note(two, .none) == false)
        #expect(reuse.note(one, .none) == true)
        #expect(reuse.note(one, .none) == true)
        #expect(reuse.note(one, ParseSettings.none.ofPool(7)) == false)
    }

    /// What comes once does not fill the memory; what it pushes out has to come twice again.
    @Test func whatIsRememberedIsBounded() {
        var reuse = UnnamedReuse()
        let one = Self.body("select $1")
        _ = reuse.note(one, .none)
        for number in 0..<100_000 { _ = reuse.note(Self.body("select $1, \(number)"), .none) }
        #expect(reuse.note(one, .none) == false)
        #expect(reuse.note(one, .none) == true)
    }

    @Test func statementsForTablesOfEarlierAreNotUsed() {
        var statements = ServerStatements()
        statements.insert(3, of: 7)
        #expect(statements.use(3, of: 7) == true)
        #expect(statements.use(3, of: 8) == false)
        #expect(statements.use(3) == true)
        #expect(statements.use(4, of: 7) == false)
        statements.becameUnfit(3)
        #expect(statements.use(3, of: 7) == false)
        #expect(statements.remove(3) == true)
        statements.insert(3, of: 8)
        #expect(statements.use(3, of: 8) == true)
    }

    // MARK: What the server says

    private static func follow(_ machine: inout ServerMachine, _ messages: [[UInt8]]) {
        let bytes = Array(messages.joined())
        var offset = 0
        while offset < bytes.count {
            let step = machine.scan(bytes.span.bytes, from: offset, limit: 1 << 20)
            guard step.end > offset else { return }
            offset = step.end
        }
    }

    @Test(arguments: [
        ("ALTER TABLE", true), ("DROP TABLE", true), ("ALTER TYPE", true), ("DROP TYPE", true),
        ("DROP FUNCTION", true), ("DELETE 5", false), ("DISCARD ALL", false), ("DO", false),
        ("ALTERED", false), ("CREATE TABLE", false), ("CREATE VIEW", true), ("COMMIT", false),
        ("SELECT 12345", false), ("", false),
    ])
    func changesOfTablesAreKnownByTheirTags(_ tag: String, _ isChange: Bool) {
        var machine = ServerMachine()
        machine.expect(Expectation(.query, .client))
        Self.follow(&machine, [Wire.complete(tag)])
        #expect(machine.hasChangedSchema == isChange)
        #expect(machine.takeSchemaChange() == isChange)
        #expect(machine.takeSchemaChange() == false)
    }

    @Test func aChangeIsToldWhenItsTransactionIsOver() {
        var machine = ServerMachine()
        machine.expect(Expectation(.query, .client))
        Self.follow(&machine, [Wire.complete("BEGIN"), Wire.ready(.inTransaction)])
        machine.expect(Expectation(.query, .client))
        Self.follow(&machine, [Wire.complete("ALTER TABLE"), Wire.ready(.inTransaction)])
        #expect(machine.hasChangedSchema == true)
        #expect(machine.takeSchemaChange() == false)
        machine.expect(Expectation(.query, .client))
        Self.follow(&machine, [Wire.complete("COMMIT"), Wire.ready()])
        #expect(machine.takeSchemaChange() == true)
        #expect(machine.hasChangedSchema == false)
    }

    @Test func anAnswerOfThePoolerWaitsOnlyForOneOfTheServer() {
        var machine = ServerMachine()
        machine.expect(Expectation(.parse, .synthetic))
        #expect(machine.hasAnswerBehindDue == false)
        machine.expect(Expectation(.bind, .client, statement: 4))
        #expect(machine.hasAnswerBehindDue == true)
        let due = machine.takeDueAnswer()
        #expect(due?.request == .parse)
    }

    /// A Parse whose statement the pooler prepares under a name fails as that does.
    @Test func theUnnamedStatementIsLostWithWhatIsPreparedForIt() {
        var machine = ServerMachine()
        machine.expect(Expectation(.parse, .pooler, statement: 4))
        machine.expect(Expectation(.describe, .pooler, statement: 4))
        machine.expect(Expectation(.parse, .synthetic))
        machine.expect(Expectation(.bind, .client, statement: 4))
        machine.expect(Expectation(.sync, .client))
        Self.follow(&machine, [Wire.error("syntax")])
        #expect(machine.takeUnnamedLoss() == UnnamedLoss(hasFailed: true))
        #expect(machine.takeDropped().map(\.request) == [.describe, .parse])
    }

    @Test func theUnnamedStatementIsKeptWhenItsParseIsSkipped() {
        var machine = ServerMachine()
        machine.expect(Expectation(.execute, .client))
        machine.expect(Expectation(.parse, .synthetic))
        machine.expect(Expectation(.sync, .client))
        Self.follow(&machine, [Wire.error("no")])
        #expect(machine.takeUnnamedLoss() == UnnamedLoss(skippedCount: 1))
    }
}
