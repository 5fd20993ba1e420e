import PostgresWire
import Testing

@Suite struct ByteReaderTests {
    @Test func readsFieldsInOrder() throws {
        let body: [UInt8] = [7, 0xFF, 0xFE, 0x80, 0, 0, 1, 97, 98, 0, 1, 2, 3, 4]
        var reader = ByteReader(body.span.bytes)
        let byte = try reader.readUInt8()
        let short = try reader.readInt16()
        let long = try reader.readInt32()
        let string = try reader.readCString()
        let two = try reader.readBytes(2)
        let offset = reader.offset
        let rest = reader.readRemainder()
        try reader.finish()
        #expect(byte == 7)
        #expect(short == -2)
        #expect(long == -2_147_483_647)
        #expect(string == "ab")
        #expect(two == ByteString([1, 2]))
        #expect(offset == 12)
        #expect(rest == ByteString([3, 4]))
    }

    @Test func readsEmptyFields() throws {
        let body: [UInt8] = [0]
        var reader = ByteReader(body.span.bytes)
        let string = try reader.readCString()
        let none = try reader.readBytes(0)
        let rest = reader.readRemainder()
        #expect(string.isEmpty && none.isEmpty && rest.isEmpty)
    }

    @Test func endsAreErrors() {
        #expect(throws: WireError.truncated) { try read([]) { try $0.readUInt8() } }
        #expect(throws: WireError.truncated) { try read([1]) { try $0.readInt16() } }
        #expect(throws: WireError.truncated) { try read([1, 2, 3]) { try $0.readInt32() } }
        #expect(throws: WireError.unterminatedString) { try read([]) { try $0.readCString() } }
        #expect(throws: WireError.unterminatedString) { try read([65]) { try $0.readCString() } }
    }

    @Test(arguments: [-1, Int.min, 3, Int.max])
    func refusesCounts(_ count: Int) {
        #expect(throws: WireError.truncated) { try read([1, 2]) { try $0.readBytes(count) } }
    }

    @Test func whatIsLeftOverIsAnError() throws {
        #expect(throws: WireError.trailingBytes) { try read([1]) { try $0.finish() } }
        try read([]) { try $0.finish() }
    }

    private func read<Value>(
        _ body: [UInt8],
        _ read: (inout ByteReader) throws -> Value
    ) throws -> Value {
        var reader = ByteReader(body.span.bytes)
        return try read(&reader)
    }
}
