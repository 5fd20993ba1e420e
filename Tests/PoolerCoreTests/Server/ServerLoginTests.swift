import PoolerCore
import PostgresWire
import TestSupport
import Testing

@Suite struct ServerLoginTests {
    private static let ok = Wire.written { $0.authenticationRequest(.ok) }
    private static let key = CancelKey(processID: 42, secretKey: -1)
    private static let keyData = Wire.written { $0.backendKeyData(key) }

    @Test func collectsWhatTheServerSaysOfItself() {
        var login = ServerLogin(AuthFixtures.serverLogin(.none))
        #expect(login.received(Self.ok) == .none)
        #expect(login.received(Wire.parameterStatus("TimeZone", "UTC")) == .none)
        #expect(login.received(Wire.notice) == .none)
        #expect(login.received(Wire.parameterStatus("a", "")) == .none)
        #expect(login.received(Self.keyData) == .none)
        #expect(login.received(Wire.ready()) == .ready)
        #expect(
            login.parameters == [
                ParameterStatus(name: "TimeZone", value: "UTC"),
                ParameterStatus(name: "a", value: ""),
            ]
        )
        #expect(login.cancelKey == Self.key)
    }

    @Test func aServerMayHaveNoKey() {
        var login = ServerLogin(AuthFixtures.serverLogin(.none))
        _ = login.received(Self.ok)
        #expect(login.received(Wire.ready()) == .ready)
        #expect(login.cancelKey == nil)
    }

    @Test func answersTheAuthenticationRequest() {
        var login = ServerLogin(AuthFixtures.serverLogin(.plain("secret")))
        let request = Wire.written { $0.authenticationRequest(.cleartextPassword) }
        #expect(login.received(request) == .send(Wire.frontend(.password, "secret\0")))
        #expect(login.received(Self.ok) == .none)
        #expect(login.received(Wire.ready()) == .ready)
    }

    @Test func whatCannotBeAnsweredFails() {
        var login = ServerLogin(AuthFixtures.serverLogin(.none))
        let request = Wire.written { $0.authenticationRequest(.cleartextPassword) }
        guard case .failed(.serverLoginFailed(let response)) = login.received(request) else {
            Issue.record("a login without a password succeeded")
            return
        }
        #expect(response.sqlState == .protocolViolation && response.severity == "FATAL")
    }

    /// Whatever the server calls it, the client's connection ends.
    @Test func theServersRefusalIsFatal() {
        var login = ServerLogin(AuthFixtures.serverLogin(.none))
        let refusal = ErrorResponse(.error, "3D000", "no such database", detail: "none")
        var expected = refusal
        expected.severity = "FATAL"
        #expect(
            login.received(Wire.written { $0.errorResponse(refusal) })
                == .failed(.serverLoginFailed(expected))
        )
    }

    /// Before AuthenticationOk a server may say little.
    @Test(arguments: [Wire.ready(), keyData, Wire.parameterStatus("a", "b"), Wire.row("1")])
    func nothingBeforeAuthentication(_ message: [UInt8]) {
        var login = ServerLogin(AuthFixtures.serverLogin(.none))
        #expect(login.received(message) == .failed(.serverProtocolViolation))
    }

    @Test(arguments: [
        Wire.row("1"), Wire.complete("SET"), Wire.parseComplete,
        Wire.backend(.backendKeyData, [1, 2]), Wire.backend(.parameterStatus, [65]),
        Wire.backend(.errorResponse, [77]), Wire.backend(.authentication, []),
    ])
    func whatDoesNotBelongToALoginFails(_ message: [UInt8]) {
        var login = ServerLogin(AuthFixtures.serverLogin(.none))
        _ = login.received(Self.ok)
        #expect(login.received(message) == .failed(.serverProtocolViolation))
    }

    @Test func parametersAreLimited() {
        var login = ServerLogin(AuthFixtures.serverLogin(.none))
        _ = login.received(Self.ok)
        for number in 0..<512 {
            let status = Wire.parameterStatus(ByteString("p\(number)"), "x")
            #expect(login.received(status) == .none)
        }
        #expect(
            login.received(Wire.parameterStatus("one", "more"))
                == .failed(.serverProtocolViolation)
        )
    }

    @Test(arguments: 0..<8)
    func noBytesTrap(_ seed: Int) {
        var random = SplitMix(seed: seed)
        let types = Array("RSKZENv".utf8)
        for _ in 0..<300 {
            var login = ServerLogin(AuthFixtures.serverLogin(.plain("secret")))
            for _ in 0..<10 {
                var body = random.bytes(random.number(0...12))
                if random.oneIn(2) { body = [0, 0, 0, UInt8(random.number(0...12))] + body }
                let type = types[random.number(0...(types.count - 1))]
                guard case .failed(let reason) = login.received([type, 0, 0, 0, 0] + body) else {
                    continue
                }
                #expect(!reason.text.isEmpty || type == UInt8(ascii: "E"), "seed \(seed)")
                break
            }
        }
    }
}

extension ServerLogin {
    /// Takes a whole message.
    fileprivate mutating func received(_ message: [UInt8]) -> Action {
        let body = Array(message.dropFirst(MessageHeader.byteCount))
        return received(BackendMessageType(rawValue: message[0]), body.span.bytes)
    }
}
