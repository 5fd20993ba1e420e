import Digests
import PoolerCore
import PostgresWire
import Testing

@Suite struct ServerAuthenticationTests {
    private typealias Action = ServerAuthentication.Action

    private static func credentials() throws -> [Credentials] {
        let secret = try AuthFixtures.scramSecret()
        let keys = try SCRAMKeys.derive(
            password: AuthFixtures.password,
            salt: secret.salt,
            iterations: secret.iterations
        )
        return [
            .none, .plain(AuthFixtures.password), .md5(try AuthFixtures.md5Secret()), .scram(keys),
        ]
    }

    private let requests: [AuthenticationRequest] = [
        .ok, .cleartextPassword, .md5Password(salt: 1), .sasl(mechanisms: ["SCRAM-SHA-256"]),
        .saslContinue("r=x,s=QUFB,i=1"), .saslFinal("v=AAAA"), .unsupported(code: 7),
    ]

    // MARK: Which request which credentials can answer

    @Test func answers() throws {
        let all = try Self.credentials()
        for (credentials, answered) in zip(all, [[], [1, 2, 3], [2], [3]]) {
            for index in 1...3 {
                var login = AuthFixtures.serverLogin(credentials)
                switch login.received(requests[index]) {
                case .send: #expect(answered.contains(index))
                case let action:
                    #expect(!answered.contains(index))
                    #expect(action == .failed(.wrongPasswordType))
                }
            }
        }
    }

    @Test func trustingServer() throws {
        for credentials in try Self.credentials() {
            var login = AuthFixtures.serverLogin(credentials)
            #expect(login.received(.ok) == .authenticated)
            #expect(login.received(.ok) == .failed(.unexpectedMessage))
        }
    }

    @Test func cleartext() {
        var login = AuthFixtures.serverLogin(.plain("pw"))
        #expect(login.received(.cleartextPassword) == .send([112, 0, 0, 0, 7, 112, 119, 0]))
        #expect(login.received(.ok) == .authenticated)
    }

    @Test func md5() throws {
        let secret = try AuthFixtures.md5Secret()
        var writer = ByteWriter()
        writer.passwordMessage(PasswordMessage(password: try secret.response(to: 5)))
        for credentials in [Credentials.plain(AuthFixtures.password), .md5(secret)] {
            var login = AuthFixtures.serverLogin(credentials)
            #expect(login.received(.md5Password(salt: 5)) == .send(writer.bytes))
            #expect(login.received(.ok) == .authenticated)
        }
    }

    @Test func mechanisms() {
        for (mechanisms, works) in [
            ([], false), (["SCRAM-SHA-256-PLUS"], false), (["OAUTHBEARER"], false),
            (["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"], true), (["SCRAM-SHA-256"], true),
        ] as [([ByteString], Bool)] {
            var login = AuthFixtures.serverLogin(.plain("pw"))
            let action = login.received(.sasl(mechanisms: mechanisms))
            #expect((action != .failed(.noSupportedMechanism)) == works)
        }
    }

    @Test func unsupportedMethod() {
        var login = AuthFixtures.serverLogin(.plain("pw"))
        #expect(
            login.received(.unsupported(code: 7)) == .failed(.unsupportedMethod(code: 7))
        )
    }

    // MARK: Pass-through

    /// A client logs in, and what it proved logs the pooler in to a server with the same secret.
    @Test func keysOfAClientOpenItsServer() throws {
        let stored = StoredSecret.scram(try AuthFixtures.scramSecret())
        var client = Conversation(
            client: AuthFixtures.serverLogin(.plain(AuthFixtures.password)),
            pooler: try AuthFixtures.clientLogin(.scramSHA256, stored)
        )
        guard case .succeeded(let credentials, _) = try client.run() else {
            Issue.record("the client was refused")
            return
        }
        var server = Conversation(
            client: AuthFixtures.serverLogin(credentials),
            pooler: try AuthFixtures.clientLogin(.scramSHA256, stored)
        )
        guard case .succeeded = try server.run() else {
            Issue.record("the server refused the client's keys")
            return
        }
        #expect(server.clientResult == .authenticated)
        #expect(server.client.derivedKeys == nil)
    }

    @Test func keysForAnotherSaltAreRefusedByTheServer() throws {
        let keys = try SCRAMKeys.derive(
            password: AuthFixtures.password,
            salt: [1],
            iterations: AuthFixtures.iterations
        )
        var conversation = Conversation(
            client: AuthFixtures.serverLogin(.scram(keys)),
            pooler: try AuthFixtures.clientLogin(
                .scramSHA256,
                .scram(AuthFixtures.scramSecret())
            )
        )
        #expect(try conversation.run() == .failed(.saslFailed(.wrongProof)))
    }

    // MARK: Derived keys

    @Test func derivedKeysAreKeptAndReused() throws {
        let stored = StoredSecret.scram(try AuthFixtures.scramSecret())
        var first = Conversation(
            client: AuthFixtures.serverLogin(.plain(AuthFixtures.password)),
            pooler: try AuthFixtures.clientLogin(.scramSHA256, stored)
        )
        _ = try first.run()
        let keys = try #require(first.client.derivedKeys)

        let challenge = try challenge(stored)
        var second = AuthFixtures.serverLogin(.plain(AuthFixtures.password), derivedKeys: keys)
        _ = second.received(.sasl(mechanisms: ["SCRAM-SHA-256"]))
        guard case .send = second.received(challenge) else {
            Issue.record("the keys were not used again")
            return
        }

        // Keys of another password, salt or iteration count are not used.
        for (password, secret) in [
            ("wrong", stored),
            (AuthFixtures.password, .scram(try Self.secret(salt: [1]))),
            (AuthFixtures.password, .scram(try Self.secret(iterations: 65))),
        ] {
            var login = AuthFixtures.serverLogin(.plain(password), derivedKeys: keys)
            _ = login.received(.sasl(mechanisms: ["SCRAM-SHA-256"]))
            guard case .derive(let parameters) = login.received(try self.challenge(secret)) else {
                Issue.record("keys were used that do not fit")
                continue
            }
            #expect(parameters.password == password)
        }
    }

    private static func secret(
        salt: [UInt8] = AuthFixtures.salt,
        iterations: Int = AuthFixtures.iterations
    ) throws -> SCRAMSecret {
        try SCRAMSecret.derive(
            password: AuthFixtures.password,
            salt: salt,
            iterations: iterations
        )
    }

    /// What a server with `secret` answers to the first message.
    private func challenge(_ secret: StoredSecret) throws -> AuthenticationRequest {
        var server = try AuthFixtures.clientLogin(.scramSHA256, secret)
        var client = AuthFixtures.serverLogin(.plain("pw"))
        _ = server.started()
        guard case .send(let first) = client.received(.sasl(mechanisms: ["SCRAM-SHA-256"])),
            case .send(let message) = server.received(
                body: Array(first.dropFirst(MessageHeader.byteCount))
            )
        else { return .unsupported(code: -1) }
        return try AuthenticationRequest(message: message)
    }

    @Test func waitingForKeys() throws {
        let challenge = try challenge(.scram(AuthFixtures.scramSecret()))
        func waiting() -> ServerAuthentication {
            var login = AuthFixtures.serverLogin(.plain("pw"))
            _ = login.received(.sasl(mechanisms: ["SCRAM-SHA-256"]))
            #expect(
                login.received(challenge)
                    == .derive(
                        SCRAMKeyParameters(
                            password: "pw",
                            salt: AuthFixtures.salt,
                            iterations: AuthFixtures.iterations
                        )
                    )
            )
            return login
        }
        for request in requests {
            var login = waiting()
            check(&login, request, isAllowed: false)
        }
        var failed = waiting()
        #expect(failed.derived(nil) == .failed(.digestUnavailable))
        #expect(failed.derivedKeys == nil)
        let keys = try SCRAMKeys.derive(password: "pw", salt: [1], iterations: 1)
        #expect(failed.derived(keys) == .failed(.unexpectedMessage))
        var unasked = AuthFixtures.serverLogin(.plain("pw"))
        #expect(unasked.derived(keys) == .failed(.unexpectedMessage))
    }

    // MARK: A server that has not proved itself

    private func loginUntilSASLResponse() throws -> (ServerAuthentication, serverFinal: ByteString)
    {
        let secret = try AuthFixtures.scramSecret()
        var server = SCRAMServerExchange(
            secret: secret,
            channelBinding: .unavailable,
            nonce: AuthFixtures.poolerNonce
        )
        var login = AuthFixtures.serverLogin(.plain(AuthFixtures.password))
        _ = login.received(.sasl(mechanisms: ["SCRAM-SHA-256"]))
        let client = SCRAMClientExchange(
            channelBinding: .unavailable,
            nonce: AuthFixtures.clientNonce
        )
        let serverFirst = try server.received(clientFirst: client.clientFirst)
        guard case .send(let message) = login.answered(.saslContinue(ByteString(serverFirst)))
        else {
            Issue.record("no answer to the challenge")
            return (login, "")
        }
        let success = try server.received(
            clientFinal: Array(message.dropFirst(MessageHeader.byteCount))
        )
        return (login, ByteString(success.serverFinal))
    }

    @Test func okCountsOnlyAfterTheServersProof() throws {
        var early = AuthFixtures.serverLogin(.plain("pw"))
        _ = early.received(.sasl(mechanisms: ["SCRAM-SHA-256"]))
        #expect(early.received(.ok) == .failed(.unexpectedMessage))

        var (late, serverFinal) = try loginUntilSASLResponse()
        #expect(late.received(.ok) == .failed(.unexpectedMessage))

        (late, serverFinal) = try loginUntilSASLResponse()
        #expect(late.received(.saslFinal(serverFinal)) == .none)
        #expect(late.received(.ok) == .authenticated)
    }

    @Test func wrongServerSignature() throws {
        var (login, _) = try loginUntilSASLResponse()
        let signature = ByteString(
            Array("v=".utf8) + Base64.encode([UInt8](repeating: 0, count: 32))
        )
        #expect(login.received(.saslFinal(signature)) == .failed(.invalidServerSignature))
        #expect(login.received(.ok) == .failed(.unexpectedMessage))
    }

    @Test func hostileChallenge() {
        var login = AuthFixtures.serverLogin(.plain("pw"))
        _ = login.received(.sasl(mechanisms: ["SCRAM-SHA-256"]))
        let nonce = String(decoding: Base64.encode(AuthFixtures.clientNonce), as: UTF8.self)
        let challenge = ByteString("r=\(nonce)x,s=QUFB,i=2000000000")
        #expect(
            login.received(.saslContinue(challenge))
                == .failed(.saslFailed(.invalidIterationCount))
        )
    }

    // MARK: Every state and every event

    /// For each state the requests that are allowed, by index; all others fail and end the login.
    @Test func everyStateAndEvent() throws {
        for index in requests.indices {
            let request = requests[index]
            var new = AuthFixtures.serverLogin(.plain("pw"))
            check(&new, request, isAllowed: [0, 1, 2, 3].contains(index))

            var passwordSent = AuthFixtures.serverLogin(.plain("pw"))
            _ = passwordSent.received(.cleartextPassword)
            check(&passwordSent, request, isAllowed: index == 0)

            // A continuation is in order here, but this one has a foreign nonce.
            var saslSent = AuthFixtures.serverLogin(.plain("pw"))
            _ = saslSent.received(.sasl(mechanisms: ["SCRAM-SHA-256"]))
            check(&saslSent, request, isAllowed: false)

            // A final message is in order here, but this one has no signature.
            var (responseSent, serverFinal) = try loginUntilSASLResponse()
            check(&responseSent, request, isAllowed: false)

            var (verified, _) = try loginUntilSASLResponse()
            _ = verified.received(.saslFinal(serverFinal))
            check(&verified, request, isAllowed: index == 0)

            var finished = AuthFixtures.serverLogin(.plain("pw"))
            _ = finished.received(.ok)
            check(&finished, request, isAllowed: false)
        }
    }

    private func check(
        _ login: inout ServerAuthentication,
        _ request: AuthenticationRequest,
        isAllowed: Bool
    ) {
        let action = login.received(request)
        guard case .failed = action else {
            #expect(isAllowed, "\(request): \(action)")
            return
        }
        #expect(!isAllowed, "\(request)")
        #expect(login.received(.ok) == .failed(.unexpectedMessage))
    }

    // MARK: Texts

    @Test(arguments: [
        (ServerAuthenticationFailure.wrongPasswordType, "server login failed: wrong password type"),
        (
            .noSupportedMechanism,
            "server login failed: none of the server's SASL authentication mechanisms are supported"
        ),
        (.invalidServerSignature, "server login failed: invalid server signature"),
        (.digestUnavailable, "server login failed: failed to verify server signature"),
    ])
    func texts(_ failure: ServerAuthenticationFailure, text: String) {
        #expect(failure.message == text)
    }
}
