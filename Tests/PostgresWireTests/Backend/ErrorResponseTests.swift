import PostgresWire
import Testing

@Suite struct ErrorResponseTests {
    @Test func writesTheFieldsOfPgBouncer() {
        var writer = ByteWriter()
        writer.errorResponse(ErrorResponse(.fatal, .protocolViolation, "no"))
        #expect(writer.bytes == message(0x45, "SFATAL\0C08P01\0Mno\0\0"))
    }

    @Test func writesADetailAndNotices() {
        var writer = ByteWriter()
        writer.noticeResponse(ErrorResponse(.notice, .successfulCompletion, "m", detail: "d"))
        #expect(writer.bytes == message(0x4E, "SNOTICE\0C00000\0Mm\0Dd\0\0"))
    }

    @Test func readsWhatItWrites() throws {
        let response = ErrorResponse(
            .error,
            "42P01",
            "gone",
            detail: "since 1986",
            hint: "come again"
        )
        var writer = ByteWriter()
        writer.errorResponse(response)
        #expect(try decode(Array(writer.bytes.dropFirst(5))) == response)
    }

    /// V is never translated, so it counts, wherever it stands.
    @Test(arguments: ["SFEHLER\0VERROR\0\0", "VERROR\0SFEHLER\0\0"])
    func prefersTheUntranslatedSeverity(_ body: String) throws {
        #expect(try decode(Array(body.utf8)).severity == "ERROR")
    }

    @Test func skipsOtherFields() throws {
        let body = "SERROR\0VERROR\0C22012\0Mdivision by zero\0Fint.c\0L841\0Rint4div\0?what\0\0"
        #expect(
            try decode(Array(body.utf8)) == ErrorResponse(.error, "22012", "division by zero")
        )
    }

    @Test func missingFieldsReadAsEmpty() throws {
        let response = try decode([0])
        #expect(response.severity.isEmpty && response.message.isEmpty && response.detail == nil)
        #expect(response.sqlState == "XX000")
    }

    @Test(
        arguments: [
            ([], WireError.truncated),
            ([0x4D], .unterminatedString),
            ([0x4D, 65], .unterminatedString),
            ([0x4D, 65, 0], .truncated),
        ] as [([UInt8], WireError)]
    )
    func refuses(_ body: [UInt8], error: WireError) {
        #expect(throws: error) { try decode(body) }
    }

    private func decode(_ body: [UInt8]) throws -> ErrorResponse {
        try ErrorResponse(decoding: body.span.bytes)
    }

    private func message(_ type: UInt8, _ body: String) -> [UInt8] {
        [type, 0, 0, 0, UInt8(4 + body.utf8.count)] + Array(body.utf8)
    }
}
