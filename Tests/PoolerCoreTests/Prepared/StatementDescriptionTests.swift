import PoolerCore
import PostgresWire
import Testing

@Suite struct StatementDescriptionTests {
    private struct Column {
        var name = "a"
        var table: UInt32 = 16_384
        var number: Int16 = 1
        var type: UInt32 = 23
        var size: Int16 = 4
        var modifier: Int32 = -1
        var format: Int16 = 0
    }

    private static func body(_ columns: [Column]) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(Int16(columns.count))
        for column in columns {
            writer.writeCString(ByteString(column.name))
            writer.write(Int32(bitPattern: column.table))
            writer.write(column.number)
            writer.write(Int32(bitPattern: column.type))
            writer.write(column.size)
            writer.write(column.modifier)
            writer.write(column.format)
        }
        return writer.bytes
    }

    private static func described(_ columns: [Column], _ types: [UInt32] = [])
        -> StatementDescription
    {
        let body = ByteString(body(columns))
        return StatementDescription(parameterTypes: types, rowDescription: body.span)
    }

    @Test func namesAndTypesOfColumnsCount() {
        let one = Self.described([Column()])
        #expect(one == Self.described([Column()]))
        for other in [
            [Column(name: "b")], [Column(type: 25)], [Column(modifier: 8)], [Column(size: -1)], [],
            [Column(), Column()], [Column(name: "")],
        ] {
            #expect(one != Self.described(other))
        }
        let (a, b) = (Column(name: "a"), Column(name: "b"))
        #expect(Self.described([a, b]) != Self.described([b, a]))
    }

    /// PostgreSQL does not look at where a column comes from either.
    @Test func whereColumnsComeFromDoesNotCount() {
        let other = Column(table: 20_000, number: 7, format: 1)
        #expect(Self.described([Column()]) == Self.described([other]))
    }

    @Test func typesOfParametersCount() {
        #expect(Self.described([Column()], [23]) != Self.described([Column()], [25]))
        #expect(Self.described([Column()], [23]) == Self.described([Column()], [23]))
    }

    @Test func noRowsAreNotNoColumns() {
        let nothing = ByteString("")
        let none = StatementDescription(parameterTypes: [], rowDescription: nothing.span)
        #expect(none.columns == nil)
        #expect(Self.described([]).columns != nil)
    }

    @Test func anythingCanBeReadAsADescription() {
        let whole = Self.body([Column(), Column(name: "second")])
        for count in 0...whole.count {
            let part = ByteString(Array(whole.prefix(count)))
            let description = StatementDescription(parameterTypes: [], rowDescription: part.span)
            #expect((description.columns == nil) == (count == 0))
            #expect(count == whole.count || description != Self.described([Column(), Column()]))
        }
    }

    @Test(
        arguments: [
            ([], []), ([0], []), ([0, 0], []), ([0, 1, 0, 0, 0, 23], [23]),
            ([0, 2, 0, 0, 0, 23, 1, 0, 0, 1], [23, 16_777_217]), ([0, 2, 0, 0, 0, 23, 1, 0], [23]),
        ] as [([UInt8], [UInt32])]
    )
    func typesOfParametersAreRead(_ body: [UInt8], _ types: [UInt32]) {
        let body = ByteString(body)
        #expect(StatementDescription.parameterTypes(decoding: body.span) == types)
    }

    // MARK: What servers owe

    @Test func aDescriptionIsTakenOnce() {
        var awaited = AwaitedDescriptions()
        awaited.asked(4, for: 1, isFresh: true)
        #expect(!awaited.isEmpty && !awaited.holdsClient)
        awaited.parametersArrived([23])
        let request = awaited.take(4)
        #expect(request?.parameterTypes == [23])
        #expect(request?.isFresh == true && request?.entry == 1)
        #expect(awaited.take(4) == nil)
        #expect(awaited.isEmpty)
        awaited.parametersArrived([23])
        #expect(awaited.isEmpty)
    }

    @Test func onlyWhoPreparedItNeedNotWait() {
        var awaited = AwaitedDescriptions()
        awaited.asked(4, for: 1, isFresh: true)
        #expect(!awaited.awaits(4, unlessFor: 1))
        #expect(awaited.awaits(4, unlessFor: 2))
        #expect(!awaited.awaits(5, unlessFor: 2))
    }

    @Test func aClientIsHeldUntilTheDescriptionHasCome() {
        var awaited = AwaitedDescriptions()
        #expect(awaited.relies(on: 4) == false)
        awaited.asked(4, for: Expectation.noStatement, isFresh: false)
        awaited.asked(5, for: 2, isFresh: false)
        #expect(awaited.relies(on: 4) == true)
        #expect(awaited.holdsClient)
        #expect(awaited.take(5)?.isReliedOn == false)
        #expect(awaited.holdsClient)
        #expect(awaited.take(4)?.isReliedOn == true)
        #expect(!awaited.holdsClient)
    }
}
