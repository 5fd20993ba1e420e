import Digests
import PoolerCore
import PostgresWire
import Testing

/// The client's and the pooler's exchange against each other and against the RFC.
@Suite struct SCRAMExchangeTests {
    /// RFC 7677, section 3.
    @Test func exchangeOfTheRFC() throws {
        let secret = try SCRAMSecret.derive(
            password: "pencil",
            salt: try #require(Base64.decode(Array("W22ZaJ0SNY7soEsUEjb6gQ==".utf8))),
            iterations: 4_096
        )
        var server = SCRAMServerExchange(
            secret: secret,
            channelBinding: .unavailable,
            nonceText: Array("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".utf8)
        )
        let serverFirst = try server.received(
            clientFirst: Array("n,,n=user,r=rOprNGfwEbeRWgbNEkqO".utf8)
        )
        #expect(
            String(decoding: serverFirst, as: UTF8.self)
                == "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                + "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        )
        let clientFinal =
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            + "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        let success = try server.received(clientFinal: Array(clientFinal.utf8))
        #expect(
            String(decoding: success.serverFinal, as: UTF8.self)
                == "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        )
    }

    @Test func zeroBytesAreRefused() throws {
        var (client, server, _) = try exchanges()
        #expect(throws: SCRAMError.malformedMessage) {
            try server.received(clientFirst: Array("n,,n=,r=a\0".utf8))
        }
        #expect(throws: SCRAMError.malformedMessage) {
            try client.received(serverFirst: serverFirst("r=%x\0,s=QUFB,i=1"))
        }
    }

    private func exchanges(
        _ binding: SCRAMChannelBinding = .unavailable,
        password: ByteString = AuthFixtures.password,
        certainFailure: SCRAMError? = nil
    ) throws -> (SCRAMClientExchange, SCRAMServerExchange, SCRAMKeys) {
        let secret = try AuthFixtures.scramSecret()
        let keys = try SCRAMKeys.derive(
            password: password,
            salt: secret.salt,
            iterations: secret.iterations
        )
        return (
            SCRAMClientExchange(channelBinding: binding, nonce: AuthFixtures.clientNonce),
            SCRAMServerExchange(
                secret: secret,
                certainFailure: certainFailure,
                channelBinding: binding,
                nonce: AuthFixtures.poolerNonce
            ),
            keys
        )
    }

    @Test func bothSidesAgree() throws {
        var (client, server, keys) = try exchanges()
        let serverFirst = try server.received(clientFirst: client.clientFirst)
        let challenge = try client.received(serverFirst: serverFirst)
        #expect(challenge.salt == AuthFixtures.salt)
        #expect(challenge.iterations == AuthFixtures.iterations)
        #expect(keys.salt == challenge.salt && keys.iterations == challenge.iterations)
        let clientFinal = try client.answer(with: keys)
        let success = try server.received(clientFinal: clientFinal)
        #expect(success.keys == keys)
        try client.received(serverFinal: success.serverFinal)
    }

    @Test func wrongPassword() throws {
        var (client, server, keys) = try exchanges(password: "eraser")
        _ = try client.received(serverFirst: try server.received(clientFirst: client.clientFirst))
        let clientFinal = try client.answer(with: keys)
        #expect(throws: SCRAMError.wrongProof) { try server.received(clientFinal: clientFinal) }
        #expect(throws: SCRAMError.unexpectedMessage) {
            try server.received(clientFinal: clientFinal)
        }
    }

    @Test func mockFailsEvenWithTheRightPassword() throws {
        var (client, server, keys) = try exchanges(certainFailure: .unknownUser)
        _ = try client.received(serverFirst: try server.received(clientFirst: client.clientFirst))
        let clientFinal = try client.answer(with: keys)
        #expect(throws: SCRAMError.unknownUser) { try server.received(clientFinal: clientFinal) }
    }

    // MARK: Client-first-message

    @Test(arguments: [
        ("", SCRAMError.malformedMessage),
        ("n", .malformedMessage), ("n,", .malformedMessage), ("n,,", .malformedMessage),
        ("x,,n=,r=abc", .malformedMessage), ("n;,n=,r=abc", .malformedMessage),
        ("p=tls-server-end-point,,n=,r=abc", .unexpectedChannelBinding),
        ("p", .unexpectedChannelBinding), ("nn,,n=,r=abc", .malformedMessage),
        ("n,a=root,n=,r=abc", .authorizationIdentity),
        ("n,x,n=,r=abc", .malformedMessage),
        ("n,,m=ext,n=,r=abc", .unsupportedExtension),
        ("n,,r=abc", .malformedMessage), ("n,,n=", .malformedMessage),
        ("n,,n=,r=", .malformedMessage), ("n,,n=,r", .malformedMessage),
        ("n,,n=,r=a c", .malformedMessage), ("n,,n=,r=a\u{E9}", .malformedMessage),
        ("n,,n=,r=a\u{7F}", .malformedMessage),
        ("n,,n=,r=abc,", .malformedMessage), ("n,,n=,r=abc,1=2", .malformedMessage),
        ("n,,n=,r=abc,xy", .malformedMessage),
    ])
    func refusesClientFirst(_ message: String, error: SCRAMError) throws {
        var (_, server, _) = try exchanges()
        #expect(throws: error) { try server.received(clientFirst: Array(message.utf8)) }
        #expect(throws: SCRAMError.unexpectedMessage) {
            try server.received(clientFirst: Array("n,,n=,r=abc".utf8))
        }
    }

    @Test(arguments: [
        "n,,n=,r=abc", "y,,n=,r=abc", "n,,n=somebody,r=abc", "n,,n=,r=abc,x=anything,y=",
        "n,,n=\u{E9},r=!~",
    ])
    func acceptsClientFirst(_ message: String) throws {
        var (_, server, _) = try exchanges()
        _ = try server.received(clientFirst: Array(message.utf8))
    }

    @Test func boundsClientFirst() throws {
        let start = Array("n,,n=,r=".utf8)
        for (count, fits) in [(1_024, true), (1_025, false), (60_000, false)] {
            var (_, server, _) = try exchanges()
            let message = start + [UInt8](repeating: 97, count: count - start.count)
            if fits {
                _ = try server.received(clientFirst: message)
            } else {
                #expect(throws: SCRAMError.messageTooLong) {
                    try server.received(clientFirst: message)
                }
            }
        }
    }

    // MARK: Client-final-message

    /// Without channel binding, and with it.
    private static let bindings = [
        SCRAMChannelBinding.unavailable, .endPoint(hash: AuthFixtures.certificateHash),
    ]

    private func clientFinal(
        _ binding: SCRAMChannelBinding = .unavailable,
        _ edit: (String) -> String = { $0 }
    ) throws -> (SCRAMServerExchange, [UInt8]) {
        var (client, server, keys) = try exchanges(binding)
        _ = try client.received(serverFirst: try server.received(clientFirst: client.clientFirst))
        let message = String(decoding: try client.answer(with: keys), as: UTF8.self)
        return (server, Array(edit(message).utf8))
    }

    @Test(arguments: bindings) func everyChangedByteIsRefused(_ binding: SCRAMChannelBinding) throws
    {
        let (server, message) = try clientFinal(binding)
        for index in message.indices {
            for bit in 0..<8 {
                var attempt = server
                var changed = message
                changed[index] ^= 1 << UInt8(bit)
                #expect(throws: SCRAMError.self) { try attempt.received(clientFinal: changed) }
            }
        }
        var attempt = server
        _ = try attempt.received(clientFinal: message)
    }

    @Test(arguments: bindings) func everyTruncationIsRefused(_ binding: SCRAMChannelBinding) throws
    {
        let (server, message) = try clientFinal(binding)
        for count in message.indices {
            var attempt = server
            #expect(throws: SCRAMError.self) {
                try attempt.received(clientFinal: Array(message.prefix(count)))
            }
        }
    }

    @Test(arguments: bindings) func everyInsertionIsRefused(_ binding: SCRAMChannelBinding) throws {
        let (server, message) = try clientFinal(binding)
        for index in 0...message.count {
            for byte in [0, UInt8(ascii: ","), UInt8(ascii: "="), UInt8(ascii: "p"), 255] {
                var attempt = server
                var changed = message
                changed.insert(byte, at: index)
                #expect(throws: SCRAMError.self) { try attempt.received(clientFinal: changed) }
            }
        }
    }

    @Test func channelBindingMustBeWhatItWas() throws {
        let (server, message) = try clientFinal { "c=eSws" + $0.dropFirst(6) }
        var attempt = server
        #expect(throws: SCRAMError.channelBindingMismatch) {
            try attempt.received(clientFinal: message)
        }
    }

    @Test func boundsClientFinal() throws {
        let (server, message) = try clientFinal { $0 + String(repeating: "=", count: 1_024) }
        var attempt = server
        #expect(throws: SCRAMError.messageTooLong) { try attempt.received(clientFinal: message) }
    }

    @Test func messagesOutOfOrderAreRefused() throws {
        var (client, server, keys) = try exchanges()
        #expect(throws: SCRAMError.unexpectedMessage) { try server.received(clientFinal: []) }
        #expect(throws: SCRAMError.unexpectedMessage) { try client.answer(with: keys) }
        #expect(throws: SCRAMError.unexpectedMessage) { try client.received(serverFinal: []) }
    }

    // MARK: Server-first-message

    /// "BwcHBwcHBwcHBwcHBwcHBwcHBwcH" is the client's nonce.
    @Test(arguments: [
        ("", SCRAMError.malformedMessage),
        ("m=x,r=%x,s=QUFB,i=1", .unsupportedExtension),
        ("r=%,s=QUFB,i=1", .nonceMismatch),
        ("r=x%,s=QUFB,i=1", .nonceMismatch),
        ("r=BwcHBwcHBwcHBwcHBwc,s=QUFB,i=1", .nonceMismatch),
        ("r=%\u{E9},s=QUFB,i=1", .nonceMismatch),
        ("r=%x,s=,i=1", .invalidSalt),
        ("r=%x,s=QUF,i=1", .malformedMessage),
        ("r=%x,s=QUFB", .malformedMessage),
        ("r=%x,s=QUFB,i=", .invalidIterationCount),
        ("r=%x,s=QUFB,i=0", .invalidIterationCount),
        ("r=%x,s=QUFB,i=-1", .invalidIterationCount),
        ("r=%x,s=QUFB,i=1e3", .invalidIterationCount),
        ("r=%x,s=QUFB,i=1000001", .invalidIterationCount),
        ("r=%x,s=QUFB,i=2147483647", .invalidIterationCount),
        ("r=%x,s=QUFB,i=99999999999999999999999", .invalidIterationCount),
        ("r=%x,s=QUFB,i=1,", .malformedMessage),
        ("r=%x,s=QUFB,i=1,x=1", .malformedMessage),
        ("r=%x,i=1,s=QUFB", .malformedMessage),
        ("e=other-error", .malformedMessage),
    ])
    func refusesServerFirst(_ template: String, error: SCRAMError) throws {
        var (client, _, _) = try exchanges()
        let message = serverFirst(template)
        #expect(throws: error) { try client.received(serverFirst: message) }
        #expect(throws: SCRAMError.unexpectedMessage) {
            try client.received(serverFirst: serverFirst("r=%x,s=QUFB,i=1"))
        }
    }

    @Test(arguments: ["r=%x,s=QUFB,i=1", "r=%x,s=QUFB,i=1000000"])
    func acceptsServerFirst(_ template: String) throws {
        var (client, _, _) = try exchanges()
        _ = try client.received(serverFirst: serverFirst(template))
    }

    @Test func boundsServerFirst() throws {
        var (client, _, _) = try exchanges()
        let long = serverFirst("r=%" + String(repeating: "x", count: 2_000) + ",s=QUFB,i=1")
        #expect(throws: SCRAMError.messageTooLong) { try client.received(serverFirst: long) }
        var (other, _, _) = try exchanges()
        let salt = String(repeating: "QUFB", count: 342)
        #expect(throws: SCRAMError.invalidSalt) {
            try other.received(serverFirst: serverFirst("r=%x,s=\(salt),i=1"))
        }
    }

    private func serverFirst(_ template: String) -> [UInt8] {
        let nonce = String(decoding: Base64.encode(AuthFixtures.clientNonce), as: UTF8.self)
        return Array(
            template.split(separator: "%", omittingEmptySubsequences: false)
                .joined(separator: nonce).utf8
        )
    }

    // MARK: Server-final-message

    private func waitingForServerFinal() throws -> (SCRAMClientExchange, [UInt8]) {
        var (client, server, keys) = try exchanges()
        _ = try client.received(serverFirst: try server.received(clientFirst: client.clientFirst))
        let success = try server.received(clientFinal: try client.answer(with: keys))
        return (client, success.serverFinal)
    }

    @Test func everyChangedByteOfTheSignatureIsRefused() throws {
        let (client, message) = try waitingForServerFinal()
        for index in message.indices {
            for bit in 0..<8 {
                var attempt = client
                var changed = message
                changed[index] ^= 1 << UInt8(bit)
                #expect(throws: SCRAMError.self) { try attempt.received(serverFinal: changed) }
            }
        }
        for count in message.indices {
            var attempt = client
            #expect(throws: SCRAMError.self) {
                try attempt.received(serverFinal: Array(message.prefix(count)))
            }
        }
    }

    @Test(arguments: [
        ("e=other-error", SCRAMError.refusedByServer),
        ("v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", .wrongServerSignature),
        ("v=AAAA", .malformedMessage),
        ("v=", .malformedMessage),
    ])
    func refusesServerFinal(_ message: String, error: SCRAMError) throws {
        var (client, _) = try waitingForServerFinal()
        #expect(throws: error) { try client.received(serverFinal: Array(message.utf8)) }
    }

    @Test func serverFinalWithMoreBehindItIsRefused() throws {
        var (client, message) = try waitingForServerFinal()
        #expect(throws: SCRAMError.malformedMessage) {
            try client.received(serverFinal: message + Array(",x=1".utf8))
        }
    }
}
