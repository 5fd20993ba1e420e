import PostgresWire
import Testing

@Suite struct SessionMessagesTests {
    @Test func parameterStatusIsTwoStrings() throws {
        var writer = ByteWriter()
        writer.parameterStatus(name: "a", value: "bc")
        #expect(writer.bytes == [0x53, 0, 0, 0, 9, 97, 0, 98, 99, 0])
        #expect(
            try parameterStatus([97, 0, 98, 99, 0]) == ParameterStatus(name: "a", value: "bc")
        )
    }

    @Test(
        arguments: [
            ([], WireError.unterminatedString),
            ([97, 0], .unterminatedString),
            ([97, 0, 98], .unterminatedString),
            ([97, 0, 98, 0, 0], .trailingBytes),
        ] as [([UInt8], WireError)]
    )
    func refusesParameterStatus(_ body: [UInt8], error: WireError) {
        #expect(throws: error) { try parameterStatus(body) }
    }

    @Test func backendKeyDataIsTwoNumbers() throws {
        let key = CancelKey(processID: 1, secretKey: -1)
        var writer = ByteWriter()
        writer.backendKeyData(key)
        #expect(writer.bytes == [0x4B, 0, 0, 0, 12, 0, 0, 0, 1, 255, 255, 255, 255])
        #expect(try cancelKey(Array(writer.bytes.dropFirst(5))) == key)
    }

    @Test(arguments: [0, 4, 7, 9, 32])
    func refusesBackendKeyDataOfOtherSizes(_ count: Int) {
        #expect(throws: WireError.self) { try cancelKey([UInt8](repeating: 1, count: count)) }
    }

    @Test(arguments: [
        (TransactionStatus.idle, UInt8(ascii: "I")),
        (.inTransaction, UInt8(ascii: "T")),
        (.inFailedTransaction, UInt8(ascii: "E")),
    ])
    func readyForQueryIsOneByte(_ status: TransactionStatus, byte: UInt8) {
        var writer = ByteWriter()
        writer.readyForQuery(status)
        #expect(writer.bytes == [0x5A, 0, 0, 0, 5, byte])
        #expect(TransactionStatus(rawValue: byte) == status)
    }

    @Test func commandCompleteIsATag() {
        var writer = ByteWriter()
        writer.commandComplete("BEGIN")
        #expect(writer.bytes == [0x43, 0, 0, 0, 10] + Array("BEGIN\0".utf8))
    }

    @Test func negotiateProtocolVersionListsTheOptions() {
        var writer = ByteWriter()
        writer.negotiateProtocolVersion(newest: .v3, unrecognizedOptions: ["_pq_.a", "b"])
        #expect(
            writer.bytes == [0x76, 0, 0, 0, 21, 0, 3, 0, 0, 0, 0, 0, 2] + Array("_pq_.a\0b\0".utf8)
        )
    }

    private func parameterStatus(_ body: [UInt8]) throws -> ParameterStatus {
        try ParameterStatus(decoding: body.span.bytes)
    }

    private func cancelKey(_ body: [UInt8]) throws -> CancelKey {
        try CancelKey(decodingBackendKeyData: body.span.bytes)
    }
}
