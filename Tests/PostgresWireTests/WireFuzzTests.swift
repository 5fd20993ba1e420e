import PostgresWire
import TestSupport
import Testing

/// Random and damaged messages: every decoder ends with a value or an error, and never traps.
@Suite struct WireFuzzTests {
    @Test(arguments: 0..<8)
    func noBodyTraps(_ seed: Int) {
        var random = SplitMix(seed: seed)
        var decodedCount = 0
        var refusedCount = 0
        for _ in 0..<2_000 {
            let body = Self.body(&random)
            for wasDecoded in Self.decodeEverything(body) {
                decodedCount += wasDecoded ? 1 : 0
                refusedCount += wasDecoded ? 0 : 1
            }
        }
        #expect(decodedCount > 0 && refusedCount > 0, "seed \(seed)")
    }

    @Test(arguments: 0..<8)
    func noHeaderTraps(_ seed: Int) {
        var random = SplitMix(seed: seed)
        for _ in 0..<5_000 {
            let bytes = random.bytes(random.number(0...8))
            let offset = random.number(0...bytes.count)
            let header = try? MessageHeader(peeking: bytes.span.bytes, at: offset, limit: 1 << 30)
            guard let header else { continue }
            #expect(header.bodyByteCount >= 0, "seed \(seed): \(bytes)")
            #expect(header.messageByteCount <= 1 << 30 + 1, "seed \(seed): \(bytes)")
        }
    }

    /// Few different bytes, so that terminators and field letters come up.
    private static func body(_ random: inout SplitMix) -> [UInt8] {
        let letters: [UInt8] = [0, 0, 0, 1, 3, 5, 10, 11, 83, 77, 67, 86, 255]
        return (0..<random.number(0...24)).map { _ in
            random.oneIn(4)
                ? UInt8(truncatingIfNeeded: random.next()) : letters[random.number(0...12)]
        }
    }

    /// Which of the decoders accept a body.
    private static func decodeEverything(_ body: [UInt8]) -> [Bool] {
        let span = body.span.bytes
        var accepted = [
            (try? ErrorResponse(decoding: span)) != nil,
            (try? ParameterStatus(decoding: span)) != nil,
            (try? CancelKey(decodingBackendKeyData: span)) != nil,
            (try? AuthenticationRequest(decoding: span)) != nil,
            (try? StartupPacket.byteCount(peeking: span)) != nil,
        ]
        // A packet that begins as most do; its length is checked by byteCount(peeking:).
        let packet: [UInt8] = [0, 0, 0, 0, 0, 3, 0, 0] + body
        accepted.append((try? StartupPacket(decoding: packet.span.bytes)) != nil)
        accepted.append((try? StartupPacket(decoding: span)) != nil)
        return accepted
    }
}
