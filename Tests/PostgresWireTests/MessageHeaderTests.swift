import PostgresWire
import Testing

@Suite struct MessageHeaderTests {
    @Test func readsTypeAndLength() throws {
        let header = try peek([0x51, 0, 0, 1, 6])
        #expect(header == MessageHeader(typeByte: 0x51, bodyByteCount: 258))
        #expect(header?.messageByteCount == 263)
    }

    @Test func readsAtAnOffset() throws {
        let header = try peek([9, 9, 9, 0x53, 0, 0, 0, 4, 1], at: 3)
        #expect(header == MessageHeader(typeByte: 0x53, bodyByteCount: 0))
    }

    @Test(arguments: 0..<5)
    func waitsForFiveBytes(_ count: Int) throws {
        #expect(try peek(Array([0x51, 0, 0, 0, 4].prefix(count))) == nil)
    }

    /// Even a length that can only be wrong is not looked at before all of it is there.
    @Test func waitsForAWrongLengthToo() throws {
        #expect(try peek([0x51, 255, 255, 255]) == nil)
    }

    @Test(
        arguments: [
            ([0, 0, 0, 0], 0),
            ([0, 0, 0, 3], 3),
            ([0, 0, 0, 101], 101),
            ([0x80, 0, 0, 0], 2_147_483_648),
            ([0xFF, 0xFF, 0xFF, 0xFF], 4_294_967_295),
        ] as [([UInt8], Int)]
    )
    func refusesLengths(_ length: [UInt8], value: Int) {
        #expect(throws: WireError.invalidLength(value)) { try peek([0x51] + length, limit: 100) }
    }

    @Test(arguments: [4, 100])
    func acceptsTheSmallestAndTheLargestLength(_ length: Int) throws {
        let header = try peek([0x51, 0, 0, 0, UInt8(length)], limit: 100)
        #expect(header?.bodyByteCount == length - 4)
    }

    private func peek(
        _ bytes: [UInt8],
        at offset: Int = 0,
        limit: Int = 1_000
    ) throws(WireError) -> MessageHeader? {
        try MessageHeader(peeking: bytes.span.bytes, at: offset, limit: limit)
    }
}
