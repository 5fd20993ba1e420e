import PostgresWire
import Testing

@Suite struct ByteStringTests {
    @Test func canonicallyEquivalentNamesStayApart() {
        #expect(ByteString("\u{E9}") != ByteString("e\u{301}"))
    }

    @Test func invalidUTF8IsKept() {
        #expect(ByteString([0xFF, 0xFE]).bytes == [0xFF, 0xFE])
        #expect(ByteString([0xFF]) != ByteString([0xFE]))
    }

    @Test func copiesASpan() {
        let bytes: [UInt8] = [1, 2, 3]
        #expect(ByteString(copying: bytes.span.bytes) == ByteString([1, 2, 3]))
    }

    @Test(arguments: [
        ("user", true), ("use", false), ("users", false), ("User", false), ("", false),
    ])
    func comparesWithText(bytes: String, isSame: Bool) {
        #expect(ByteString(bytes).isText("user") == isSame)
    }
}
