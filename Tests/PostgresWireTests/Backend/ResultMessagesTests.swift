import PostgresWire
import Testing

@Suite struct ResultMessagesTests {
    @Test func describesColumns() {
        var writer = ByteWriter()
        writer.rowDescription([("a", .text), ("bc", .int8)])
        #expect(
            writer.bytes == [0x54, 0, 0, 0, 47, 0, 2]
                + [97, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0]
                + [98, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 8, 255, 255, 255, 255, 0, 0]
        )
    }

    /// As pg_type has them in every version of PostgreSQL.
    @Test(arguments: [
        (ColumnType.text, Int32(25), Int16(-1)),
        (.int4, 23, 4),
        (.int8, 20, 8),
        (.numeric, 1_700, -1),
        (.bytea, 17, -1),
    ])
    func typesAreThoseOfPostgreSQL(_ type: ColumnType, objectID: Int32, byteCount: Int16) {
        #expect(type.objectID == objectID)
        #expect(type.byteCount == byteCount)
    }

    @Test func writesValuesAndNulls() {
        var writer = ByteWriter()
        writer.dataRow(["ab", nil, ""])
        #expect(
            writer.bytes == [0x44, 0, 0, 0, 20, 0, 3]
                + [0, 0, 0, 2, 97, 98, 255, 255, 255, 255, 0, 0, 0, 0]
        )
    }

    @Test func resultsWithoutColumnsExist() {
        var writer = ByteWriter()
        writer.rowDescription([])
        writer.dataRow([])
        #expect(writer.bytes == [0x54, 0, 0, 0, 6, 0, 0, 0x44, 0, 0, 0, 6, 0, 0])
    }
}
