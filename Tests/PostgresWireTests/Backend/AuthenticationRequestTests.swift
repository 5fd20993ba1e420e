import PostgresWire
import Testing

@Suite struct AuthenticationRequestTests {
    @Test(arguments: [
        (AuthenticationRequest.ok, [82, 0, 0, 0, 8, 0, 0, 0, 0] as [UInt8]),
        (.cleartextPassword, [82, 0, 0, 0, 8, 0, 0, 0, 3]),
        (.md5Password(salt: 0x0102_FFFE), [82, 0, 0, 0, 12, 0, 0, 0, 5, 1, 2, 255, 254]),
        (.sasl(mechanisms: ["A", "BC"]), [82, 0, 0, 0, 14, 0, 0, 0, 10, 65, 0, 66, 67, 0, 0]),
        (.sasl(mechanisms: []), [82, 0, 0, 0, 9, 0, 0, 0, 10, 0]),
        (.saslContinue("xy"), [82, 0, 0, 0, 10, 0, 0, 0, 11, 120, 121]),
        (.saslFinal(""), [82, 0, 0, 0, 8, 0, 0, 0, 12]),
        (.unsupported(code: 7), [82, 0, 0, 0, 8, 0, 0, 0, 7]),
    ])
    func writesAndReads(_ request: AuthenticationRequest, message: [UInt8]) throws {
        var writer = ByteWriter()
        writer.authenticationRequest(request)
        #expect(writer.bytes == message)
        #expect(try decode(Array(message.dropFirst(5))) == request)
    }

    @Test(arguments: [
        ([], WireError.truncated),
        ([0, 0, 0], .truncated),
        ([0, 0, 0, 0, 1], .trailingBytes),
        ([0, 0, 0, 3, 1], .trailingBytes),
        ([0, 0, 0, 5, 1, 2, 3], .truncated),
        ([0, 0, 0, 5, 1, 2, 3, 4, 5], .trailingBytes),
        ([0, 0, 0, 10], .missingTerminator),
        ([0, 0, 0, 10, 65], .unterminatedString),
        ([0, 0, 0, 10, 65, 0], .missingTerminator),
        ([0, 0, 0, 10, 65, 0, 0, 9], .trailingBytes),
    ])
    func refuses(_ body: [UInt8], error: WireError) {
        #expect(throws: error) { try decode(body) }
    }

    @Test func ignoresTheDataOfUnsupportedRequests() throws {
        #expect(try decode([0, 0, 0, 8, 1, 2, 3]) == .unsupported(code: 8))
    }

    private func decode(_ body: [UInt8]) throws -> AuthenticationRequest {
        try AuthenticationRequest(decoding: body.span.bytes)
    }
}
