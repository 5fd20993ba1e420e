import Digests
import PoolerCore
import PostgresWire
import Testing

@Suite struct ClientAuthenticationTests {
    private typealias Action = ClientAuthentication.Action

    // MARK: Without a password

    @Test func trustWantsAKnownUser() throws {
        var known = try AuthFixtures.clientLogin(.trust, .plain("x"))
        #expect(known.started() == .succeeded(.plain("x"), reply: []))
        var withoutPassword = try AuthFixtures.clientLogin(.trust, .unusable)
        #expect(withoutPassword.started() == .succeeded(.none, reply: []))
        var unknown = try AuthFixtures.clientLogin(.trust, nil)
        #expect(unknown.started() == .failed(.trustRejected))
    }

    @Test func aCertificateWantsAKnownUser() throws {
        var known = try AuthFixtures.clientLogin(.certificate, .plain("x"))
        #expect(known.started() == .succeeded(.plain("x"), reply: []))
        var withoutPassword = try AuthFixtures.clientLogin(.certificate, .unusable)
        #expect(withoutPassword.started() == .succeeded(.none, reply: []))
        var unknown = try AuthFixtures.clientLogin(.certificate, nil)
        #expect(unknown.started() == .failed(.certificateRejected(.unknownUser)))
    }

    @Test func anyLetsEverybodyIn() throws {
        var unknown = try AuthFixtures.clientLogin(.any, nil)
        #expect(unknown.started() == .succeeded(.none, reply: []))
    }

    // MARK: Every method, every kind of secret

    /// What the first request is, and so how the login goes on.
    @Test func md5BecomesSCRAMForASCRAMSecret() throws {
        let secrets = try AuthFixtures.storedSecrets()
        for (secret, expected) in zip(secrets, ["md5", "md5", "sasl"]) {
            var login = try AuthFixtures.clientLogin(.md5, secret)
            #expect(try request(login.started()) == expected)
        }
    }

    @Test func unknownUsersGetThePrevailingRequest() throws {
        for (kind, expected) in [(StoredSecret.Kind.scram, "sasl"), (.md5, "md5"), (.plain, "md5")]
        {
            for secret in [nil, StoredSecret.unusable] {
                var login = try AuthFixtures.clientLogin(.md5, secret, unknownUserKind: kind)
                #expect(try request(login.started()) == expected)
            }
        }
    }

    private func request(_ action: Action) throws -> String {
        guard case .send(let message) = action else { return "none" }
        switch try AuthenticationRequest(message: message) {
        case .cleartextPassword: return "cleartext"
        case .md5Password(let salt): return salt == AuthFixtures.md5Salt ? "md5" : "salt?"
        case .sasl(let mechanisms): return mechanisms == ["SCRAM-SHA-256"] ? "sasl" : "mechanism?"
        default: return "unexpected"
        }
    }

    @Test func rightPasswordsAreAccepted() throws {
        for method in [AuthMethod.plain, .md5, .scramSHA256] {
            for secret in try AuthFixtures.storedSecrets() {
                if method == .scramSHA256, secret.kind == .md5 { continue }
                var conversation = Conversation(
                    client: AuthFixtures.serverLogin(.plain(AuthFixtures.password)),
                    pooler: try AuthFixtures.clientLogin(method, secret)
                )
                guard case .succeeded(let credentials, _) = try conversation.run() else {
                    Issue.record("\(method) refused the right password")
                    continue
                }
                #expect(conversation.clientResult == .authenticated)
                try check(credentials, method: method, secret: secret)
            }
        }
    }

    /// A login is worth the password wherever it is known.
    private func check(_ credentials: Credentials, method: AuthMethod, secret: StoredSecret) throws
    {
        switch (method, secret) {
        case (.plain, _), (_, .plain):
            #expect(credentials == .plain(AuthFixtures.password))
        case (_, .md5(let secret)):
            #expect(credentials == .md5(secret))
        case (_, .scram(let secret)):
            guard case .scram(let keys) = credentials else {
                Issue.record("no keys were won")
                return
            }
            #expect(keys.secret == secret)
            #expect(try SHA256.hash(keys.clientKey.bytes) == secret.storedKey)
        case (_, .unusable):
            Issue.record("an unusable secret was accepted")
        }
    }

    @Test func wrongPasswordsAreRefused() throws {
        for method in [AuthMethod.plain, .md5, .scramSHA256] {
            for secret in try AuthFixtures.storedSecrets() {
                let kind = try #require(secret.kind)
                var conversation = Conversation(
                    client: AuthFixtures.serverLogin(.plain("Pencil Sharpener")),
                    pooler: try AuthFixtures.clientLogin(method, secret)
                )
                guard case .failed(let failure) = try conversation.run() else {
                    Issue.record("\(method) accepted a wrong password")
                    continue
                }
                let isSCRAM = method == .scramSHA256 || (method == .md5 && kind == .scram)
                #expect(
                    failure.message
                        == (isSCRAM
                            ? "SASL authentication failed" : "password authentication failed")
                )
            }
        }
    }

    @Test func scramCannotVerifyAnMD5Secret() throws {
        var conversation = Conversation(
            client: AuthFixtures.serverLogin(.plain(AuthFixtures.password)),
            pooler: try AuthFixtures.clientLogin(.scramSHA256, .md5(AuthFixtures.md5Secret()))
        )
        #expect(try conversation.run() == .failed(.saslFailed(.unusableSecret)))
    }

    // MARK: Nobody learns whether a user exists

    @Test func unknownUsersLookLikeKnownOnes() throws {
        for method in [AuthMethod.plain, .md5, .scramSHA256] {
            for secret in try AuthFixtures.storedSecrets() {
                let kind = try #require(secret.kind)
                if method == .scramSHA256, kind == .md5 { continue }
                let known = try attempt(method, secret, kind)
                for mock in [nil, StoredSecret.unusable] {
                    let unknown = try attempt(method, mock, kind)
                    #expect(unknown.lengths == known.lengths)
                    #expect(unknown.message == known.message)
                }
            }
        }
    }

    private func attempt(
        _ method: AuthMethod,
        _ secret: StoredSecret?,
        _ kind: StoredSecret.Kind
    ) throws -> (lengths: [Int], message: String) {
        var conversation = Conversation(
            client: AuthFixtures.serverLogin(.plain("wrong")),
            pooler: try AuthFixtures.clientLogin(method, secret, unknownUserKind: kind)
        )
        guard case .failed(let failure) = try conversation.run() else { return ([], "accepted") }
        return (conversation.messages.map(\.count), failure.message)
    }

    @Test func unknownUsersAreRefusedWhateverTheySend() throws {
        for mock in [nil, StoredSecret.unusable] {
            for password in ["", "md5", AuthFixtures.user, AuthFixtures.password] {
                for kind in [StoredSecret.Kind.plain, .md5, .scram] {
                    for method in [AuthMethod.plain, .md5, .scramSHA256] {
                        var conversation = Conversation(
                            client: AuthFixtures.serverLogin(.plain(password)),
                            pooler: try AuthFixtures.clientLogin(
                                method,
                                mock,
                                unknownUserKind: kind
                            )
                        )
                        guard case .failed = try conversation.run() else {
                            Issue.record("\(method) \(kind) accepted \(password)")
                            continue
                        }
                    }
                }
            }
        }
    }

    @Test func aNameShowsTheSameSaltEachTime() throws {
        let first = try serverFirst(.scramSHA256, nil)
        #expect(try first == serverFirst(.scramSHA256, nil))
        #expect(try first == serverFirst(.scramSHA256, .plain("x")))
        #expect(try first != serverFirst(.scramSHA256, nil, user: "grace"))
    }

    private func serverFirst(
        _ method: AuthMethod,
        _ secret: StoredSecret?,
        user: ByteString = AuthFixtures.user
    ) throws -> [UInt8] {
        var login = try AuthFixtures.clientLogin(method, secret, user: user)
        _ = login.started()
        guard case .send(let message) = login.received(body: initialResponse()) else { return [] }
        return message
    }

    private func initialResponse(
        mechanism: ByteString = "SCRAM-SHA-256",
        _ data: ByteString? = "n,,n=,r=abcdefgh"
    ) -> [UInt8] {
        var writer = ByteWriter()
        writer.saslInitialResponse(
            SASLInitialResponse(mechanism: mechanism, initialResponse: data)
        )
        return Array(writer.bytes.dropFirst(MessageHeader.byteCount))
    }

    // MARK: The derived secret

    /// Another seed gives another salt, so the salt shows which secret was used.
    @Test func derivedSecretIsKeptAndReused() throws {
        let oldSeed = try AuthFixtures.seed()
        var first = derivedLogin(nil, password: "old", seed: oldSeed)
        let derived = try #require(try first.salt(afterSending: initialResponse()).derived)
        #expect(try derived.secret.salt == oldSeed.salt(for: AuthFixtures.user))
        #expect(try derived.secret.matches(password: "old"))

        let newSeed = SecretSeed(key: try SHA256.hash([2]), iterations: AuthFixtures.iterations)
        var second = derivedLogin(derived, password: "old", seed: newSeed)
        let reused = try second.salt(afterSending: initialResponse())
        #expect(reused.salt == derived.secret.salt)
        #expect(reused.derived == derived)

        var changed = derivedLogin(derived, password: "new", seed: newSeed)
        let fresh = try changed.salt(afterSending: initialResponse())
        #expect(fresh.salt != derived.secret.salt)
        #expect(try #require(fresh.derived).secret.matches(password: "new"))

        let moreWork = SecretSeed(key: try SHA256.hash([1]), iterations: 65)
        var reloaded = derivedLogin(derived, password: "old", seed: moreWork)
        let slower = try reloaded.salt(afterSending: initialResponse()).derived
        #expect(slower?.secret.iterations == 65)
    }

    private func derivedLogin(
        _ derived: DerivedSecret?,
        password: ByteString,
        seed: SecretSeed
    ) -> ClientAuthentication {
        ClientAuthentication(
            method: .scramSHA256,
            user: AuthFixtures.user,
            secret: .plain(password),
            derivedSecret: derived,
            seed: seed,
            nonce: AuthFixtures.poolerNonce,
            md5Salt: 0
        )
    }

    // MARK: Waiting for keys

    @Test func asksForKeysWhereThereAreNone() throws {
        let wanted = try AuthFixtures.seed().keyParameters(password: "x", user: AuthFixtures.user)
        var login = try AuthFixtures.clientLogin(.scramSHA256, .plain("x"))
        _ = login.started()
        #expect(login.received(initialResponse().span.bytes) == .derive(wanted))
        #expect(login.derivedSecret == nil)
        guard case .send = login.derived(wanted.derive()) else {
            Issue.record("no challenge after the keys")
            return
        }
        #expect(login.derivedSecret?.secret == wanted.derive()?.secret)
        #expect(login.derived(wanted.derive()) == .failed(.unexpectedMessage))
    }

    @Test func clientsThatDoNotWaitForTheChallengeAreRefused() throws {
        var login = try AuthFixtures.clientLogin(.scramSHA256, .plain("x"))
        _ = login.started()
        _ = login.received(initialResponse().span.bytes)
        #expect(login.received(body: initialResponse()) == .failed(.unexpectedMessage))
        #expect(login.derived(nil) == .failed(.digestUnavailable))
    }

    @Test func keysThatCannotBeDerivedEndTheLogin() throws {
        var login = try AuthFixtures.clientLogin(.scramSHA256, .plain("x"))
        _ = login.started()
        _ = login.received(initialResponse().span.bytes)
        #expect(login.derived(nil) == .failed(.digestUnavailable))
        #expect(login.received(body: initialResponse()) == .failed(.unexpectedMessage))
    }

    @Test func keysThatNobodyAskedFor() throws {
        let keys = try SCRAMKeys.derive(password: "x", salt: [1], iterations: 1)
        for method in AuthMethod.allCases {
            var login = try AuthFixtures.clientLogin(method, .plain("x"))
            #expect(login.derived(keys) == .failed(.unexpectedMessage))
            #expect(login.started() == .failed(.unexpectedMessage))
        }
    }

    /// A cleartext password is compared with a SCRAM secret by its keys; an unknown user costs the
    /// same.
    @Test func cleartextPasswordsAreDerivedToo() throws {
        let secret = try AuthFixtures.scramSecret()
        for stored in [StoredSecret.scram(secret), .unusable, nil] {
            var login = try AuthFixtures.clientLogin(.plain, stored)
            _ = login.started()
            let password = AuthFixtures.password.bytes + [0]
            guard case .derive(let parameters) = login.received(password.span.bytes) else {
                Issue.record("no derivation")
                return
            }
            #expect(parameters.password == AuthFixtures.password)
            let result = login.derived(parameters.derive())
            if case .scram = stored {
                #expect(parameters.salt == secret.salt)
                #expect(result == .succeeded(.plain(AuthFixtures.password), reply: []))
            } else {
                #expect(result == .failed(.wrongPassword))
            }
        }
    }

    // MARK: Broken clients

    @Test(arguments: [AuthMethod.plain, .md5])
    func malformedPasswords(_ method: AuthMethod) throws {
        for (body, failure) in [
            ([], AuthenticationFailure.malformedMessage(.unterminatedString)),
            ([97], .malformedMessage(.unterminatedString)),
            ([97, 0, 97], .malformedMessage(.trailingBytes)),
            ([0], .emptyPassword),
            ([97, 0], .wrongPassword),
            ([UInt8](repeating: 97, count: 65_534) + [0], .wrongPassword),
        ] as [([UInt8], AuthenticationFailure)] {
            var login = try AuthFixtures.clientLogin(method, .plain("x"))
            _ = login.started()
            #expect(login.received(body: body) == .failed(failure))
            #expect(login.received(body: [120, 0]) == .failed(.unexpectedMessage))
        }
    }

    @Test func invalidMechanism() throws {
        for mechanism in ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-25", "", "scram-sha-256"] as [ByteString]
        {
            var login = try AuthFixtures.clientLogin(.scramSHA256, .plain("x"))
            _ = login.started()
            let body = initialResponse(mechanism: mechanism)
            #expect(login.received(body: body) == .failed(.invalidMechanism))
        }
    }

    @Test func malformedInitialResponses() throws {
        let whole = initialResponse()
        var bodies = whole.indices.map { Array(whole.prefix($0)) }
        bodies.append(initialResponse(nil))
        bodies.append(initialResponse(""))
        bodies.append(whole + [0])
        for body in bodies {
            var login = try AuthFixtures.clientLogin(.scramSHA256, .plain("x"))
            _ = login.started()
            #expect(login.received(body: body) == .failed(.saslFailed(.malformedMessage)))
        }
    }

    @Test func hugeSASLMessages() throws {
        let huge = [UInt8](repeating: 97, count: 65_535)
        var login = try AuthFixtures.clientLogin(.scramSHA256, nil)
        _ = login.started()
        #expect(login.received(body: huge) == .failed(.saslFailed(.messageTooLong)))
        var second = try AuthFixtures.clientLogin(.scramSHA256, nil)
        _ = second.started()
        _ = second.received(body: initialResponse())
        #expect(second.received(body: huge) == .failed(.saslFailed(.messageTooLong)))
    }

    // MARK: Every state and every event

    @Test func everyStateAndEvent() throws {
        let password: [UInt8] = [97, 0]
        let initial = initialResponse()
        let response = Array("c=biws,r=abc,p=AAAA".utf8)
        for method in AuthMethod.allCases {
            for steps in 0...3 {
                for event in [password, initial, response, []] {
                    var login = try AuthFixtures.clientLogin(method, .plain("secret"))
                    if steps > 0 { _ = login.started() }
                    if steps > 1 {
                        _ = login.received(body: method == .scramSHA256 ? initial : password)
                    }
                    if steps > 2 { _ = login.received(body: response) }
                    let action = login.received(body: event)
                    let goesOn = method == .scramSHA256 && steps == 1 && event == initial
                    if case .failed = action { continue }
                    #expect(goesOn, "\(method) after \(steps) steps: \(action)")
                }
            }
        }
    }

    @Test func startedTwice() throws {
        for method in AuthMethod.allCases {
            var login = try AuthFixtures.clientLogin(method, .plain("secret"))
            _ = login.started()
            #expect(login.started() == .failed(.unexpectedMessage))
        }
    }

    // MARK: Texts

    @Test(arguments: [
        (AuthenticationFailure.trustRejected, "\"trust\" authentication failed"),
        (.wrongPassword, "password authentication failed"),
        (.saslFailed(.wrongProof), "SASL authentication failed"),
        (.invalidMechanism, "client selected an invalid SASL authentication mechanism"),
        (.emptyPassword, "empty password returned by client"),
    ])
    func texts(_ failure: AuthenticationFailure, text: String) {
        #expect(failure.errorResponse == ErrorResponse(.fatal, "08P01", text))
    }
}

extension ClientAuthentication {
    /// Runs a SCRAM login up to the challenge; returns its salt and what there is to keep.
    fileprivate mutating func salt(
        afterSending initialResponse: [UInt8]
    ) throws -> (salt: [UInt8]?, derived: DerivedSecret?) {
        _ = started()
        guard case .send(let message) = received(body: initialResponse),
            case .saslContinue(let data) = try AuthenticationRequest(message: message)
        else { return (nil, derivedSecret) }
        let attributes = data.text.split(separator: ",")
        let salt = attributes.first { $0.hasPrefix("s=") }?.dropFirst(2)
        return (salt.flatMap { Base64.decode(Array($0.utf8)) }, derivedSecret)
    }
}
