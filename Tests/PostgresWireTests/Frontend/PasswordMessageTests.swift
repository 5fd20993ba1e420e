import PostgresWire
import Testing

@Suite struct PasswordMessageTests {
    @Test func passwordMessage() throws {
        var writer = ByteWriter()
        writer.passwordMessage(PasswordMessage(password: "ab"))
        #expect(writer.bytes == [112, 0, 0, 0, 7, 97, 98, 0])
        let body: [UInt8] = [97, 98, 0]
        #expect(try PasswordMessage(decoding: body.span.bytes).password == "ab")
    }

    @Test(arguments: [
        ([], WireError.unterminatedString), ([97], .unterminatedString),
        ([97, 0, 0], .trailingBytes),
    ])
    func refusesPasswordMessage(_ body: [UInt8], error: WireError) {
        #expect(throws: error) { try PasswordMessage(decoding: body.span.bytes) }
    }

    @Test func saslInitialResponse() throws {
        let response = SASLInitialResponse(mechanism: "M", initialResponse: "xyz")
        var writer = ByteWriter()
        writer.saslInitialResponse(response)
        #expect(writer.bytes == [112, 0, 0, 0, 13, 77, 0, 0, 0, 0, 3, 120, 121, 122])
        let body = Array(writer.bytes.dropFirst(5))
        #expect(try SASLInitialResponse(decoding: body.span.bytes) == response)
    }

    @Test func saslInitialResponseWithoutData() throws {
        let response = SASLInitialResponse(mechanism: "M", initialResponse: nil)
        var writer = ByteWriter()
        writer.saslInitialResponse(response)
        #expect(writer.bytes == [112, 0, 0, 0, 10, 77, 0, 255, 255, 255, 255])
        let body = Array(writer.bytes.dropFirst(5))
        #expect(try SASLInitialResponse(decoding: body.span.bytes) == response)
    }

    @Test(arguments: [
        ([], WireError.unterminatedString),
        ([77], .unterminatedString),
        ([77, 0, 0, 0, 0], .truncated),
        ([77, 0, 0, 0, 0, 2, 120], .truncated),
        ([77, 0, 0, 0, 0, 0, 120], .trailingBytes),
        ([77, 0, 255, 255, 255, 254], .truncated),
        ([77, 0, 127, 255, 255, 255, 1], .truncated),
        ([77, 0, 128, 0, 0, 0, 1], .truncated),
    ])
    func refusesSASLInitialResponse(_ body: [UInt8], error: WireError) {
        #expect(throws: error) { try SASLInitialResponse(decoding: body.span.bytes) }
    }

    @Test func saslResponse() {
        var writer = ByteWriter()
        writer.saslResponse(SASLResponse(data: "x"))
        #expect(writer.bytes == [112, 0, 0, 0, 5, 120])
        let body: [UInt8] = [120, 0, 121]
        #expect(SASLResponse(decoding: body.span.bytes).data.bytes == body)
    }

    @Test func passwordsAreNeverPrinted() {
        let message = PasswordMessage(password: "letmein")
        var dumped = ""
        dump(message, to: &dumped)
        for text in ["\(message)", String(reflecting: message), "\([message])", dumped] {
            #expect(!text.contains("letmein"))
            #expect(text.contains("PasswordMessage"))
        }
    }
}
