import PostgresWire
import Testing

@Suite struct StartupTests {
    // MARK: The length

    @Test(arguments: 0..<4)
    func waitsForTheLength(_ count: Int) throws {
        #expect(try byteCount([UInt8](repeating: 255, count: count)) == nil)
    }

    @Test(arguments: [8, 10_000])
    func acceptsTheSmallestAndTheLargestLength(_ length: Int32) throws {
        #expect(try byteCount(number(length)) == Int(length))
    }

    @Test(arguments: [
        (Int32(0), 0), (7, 7), (10_001, 10_001), (-1, 4_294_967_295), (.min, 2_147_483_648),
    ])
    func refusesLengths(_ length: Int32, value: Int) {
        #expect(throws: WireError.invalidLength(value)) { try byteCount(number(length)) }
    }

    // MARK: Requests without parameters

    @Test func decodesTheRequests() throws {
        #expect(try decode(number(8) + number(80_877_103)) == .sslRequest)
        #expect(try decode(number(8) + number(80_877_104)) == .gssencRequest)
        #expect(
            try decode(number(16) + number(80_877_102) + number(5) + number(-6))
                == .cancelRequest(CancelKey(processID: 5, secretKey: -6))
        )
    }

    @Test(arguments: [Int32(80_877_102), 80_877_103, 80_877_104])
    func refusesRequestsOfTheWrongSize(_ code: Int32) {
        let bodies: [[UInt8]] = code == 80_877_102 ? [[], [1], number(1), number(1) + [2]] : [[1]]
        for body in bodies {
            #expect(throws: WireError.self, "\(body)") {
                try decode(number(Int32(8 + body.count)) + number(code) + body)
            }
        }
    }

    @Test func refusesACancelRequestThatGoesOn() {
        let packet = number(17) + number(80_877_102) + number(1) + number(2) + [0]
        #expect(throws: WireError.trailingBytes) { try decode(packet) }
    }

    // MARK: StartupMessage

    @Test func decodesParametersInOrder() throws {
        let packet = startup(3 << 16, "user\0ada\0database\0\0user\0bob\0\0")
        #expect(
            try decode(packet)
                == .startupMessage(
                    version: .v3,
                    parameters: [
                        StartupParameter(name: "user", value: "ada"),
                        StartupParameter(name: "database", value: ""),
                        StartupParameter(name: "user", value: "bob"),
                    ]
                )
        )
    }

    @Test func keepsMinorVersions() throws {
        let version = ProtocolVersion(major: 3, minor: 2)
        #expect(
            try decode(startup(3 << 16 | 2, "\0"))
                == .startupMessage(version: version, parameters: [])
        )
        #expect(version > .v3)
    }

    @Test(arguments: [(Int32(2 << 16), UInt16(2)), (4 << 16, 4), (-65_536, 65_535), (0, 0)])
    func otherMajorVersionsHaveNoParameters(_ code: Int32, major: UInt16) throws {
        let version = ProtocolVersion(major: major, minor: 0)
        #expect(
            try decode(startup(code, "whatever"))
                == .startupMessage(version: version, parameters: [])
        )
    }

    @Test(arguments: [
        ("", WireError.missingTerminator),
        ("user", .unterminatedString),
        ("user\0", .missingTerminator),
        ("user\0ada", .unterminatedString),
        ("user\0ada\0", .missingTerminator),
        ("\0x", .missingTerminator),
        ("user\0ada\0\0\0", .missingTerminator),
    ])
    func refusesLayouts(_ parameters: String, error: WireError) {
        #expect(throws: error) { try decode(startup(3 << 16, parameters)) }
    }

    // MARK: Writing

    @Test func writesWhatItReads() throws {
        let parameters = [
            StartupParameter(name: "user", value: "ada"),
            StartupParameter(name: "options", value: ""),
        ]
        var writer = ByteWriter()
        writer.startupMessage(parameters)
        #expect(try byteCount(writer.bytes) == writer.bytes.count)
        #expect(
            try decode(writer.bytes) == .startupMessage(version: .v3, parameters: parameters)
        )
    }

    @Test func writesACancelRequest() throws {
        let key = CancelKey(processID: .max, secretKey: .min)
        var writer = ByteWriter()
        writer.cancelRequest(key)
        #expect(writer.bytes.count == 16)
        #expect(try decode(writer.bytes) == .cancelRequest(key))
    }

    private func startup(_ code: Int32, _ parameters: String) -> [UInt8] {
        number(Int32(8 + parameters.utf8.count)) + number(code) + Array(parameters.utf8)
    }

    private func byteCount(_ bytes: [UInt8]) throws(WireError) -> Int? {
        try StartupPacket.byteCount(peeking: bytes.span.bytes)
    }

    private func decode(_ packet: [UInt8]) throws -> StartupPacket {
        try StartupPacket(decoding: packet.span.bytes)
    }

    private func number(_ value: Int32) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(value)
        return writer.bytes
    }
}
