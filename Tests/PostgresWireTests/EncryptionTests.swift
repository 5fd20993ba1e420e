import PostgresWire
import Testing

/// How TLS begins.
struct EncryptionTests {
    private func answer(_ text: String) -> SSLAnswer {
        let bytes = Array(text.utf8)
        return SSLAnswer(bytes.span.bytes)
    }

    @Test func oneByteAnswers() {
        #expect(answer("S") == .accepted)
        #expect(answer("N") == .refused)
        for text in ["E", "R", "s", "n", "\u{0}"] { #expect(answer(text) == .invalid) }
    }

    @Test func bytesBehindTheAnswerMakeItInvalid() {
        for text in ["SS", "S\u{16}", "NN", "N\u{16}", "E0000"] {
            #expect(answer(text) == .invalid)
        }
    }

    @Test func anSSLRequestIsReadAsOne() throws {
        var writer = ByteWriter()
        writer.sslRequest()
        #expect(try StartupPacket(decoding: writer.bytes.span.bytes) == .sslRequest)
    }

    @Test func aHandshakeIsNoStartupPacket() {
        let hello: [UInt8] = [0x16, 3, 1, 0, 200]
        #expect(isHandshake(hello))
        #expect(throws: WireError.self) { try StartupPacket.byteCount(peeking: hello.span.bytes) }
        var writer = ByteWriter()
        writer.startupMessage([])
        #expect(!isHandshake(writer.bytes))
        #expect(!isHandshake([]))
    }

    private func isHandshake(_ bytes: [UInt8]) -> Bool { TLSRecord.isHandshake(bytes.span.bytes) }
}
