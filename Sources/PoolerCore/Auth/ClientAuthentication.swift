// Logging a client in: from the method that the configuration chose to a yes or a no. It says what
// to send and what a password message means; it never looks a user up, never reads a clock, and
// never tells a client whether the user exists.
//
//     started -> waiting for a password message -> (SCRAM: waiting for the second) -> finished
//                      \-> waiting for keys -/\----> finished

internal import Digests
public import PostgresWire

/// How clients prove who they are: the values of auth_type that need no outside help.
public enum AuthMethod: Sendable, CaseIterable {
    case any
    case trust
    case plain
    case md5
    case scramSHA256
    /// By the certificate of its connection, which `Configuration.admission` has looked at.
    case certificate
}

/// One client's login.
public struct ClientAuthentication: Sendable, Redacted {
    /// What to do next.
    public enum Action: Equatable, Sendable, Redacted {
        /// Send this message and wait for a password message.
        case send([UInt8])
        /// The client is who it says. Send `reply`, which may be empty, before AuthenticationOk.
        case succeeded(Credentials, reply: [UInt8])
        /// Derive keys, which takes long, and tell `derived`.
        case derive(SCRAMKeyParameters)
        case failed(AuthenticationFailure)

        /// The action without what it carries.
        public var description: String {
            switch self {
            case .derive: "derive"
            case .send(let bytes): "send(\(bytes.count) bytes)"
            case .succeeded(_, let reply): "succeeded(reply: \(reply.count) bytes)"
            case .failed(let failure): "failed(\(failure))"
            }
        }
    }

    /// The longest body of a password message, in bytes: PG_MAX_AUTH_TOKEN_LENGTH.
    public static let passwordMessageByteLimit = 65_535

    private enum State {
        /// `started` has not been called.
        case new
        case waitingForCleartextPassword
        case waitingForMD5Password
        case waitingForSASLInitialResponse
        /// The user's plain password is being made the secret that answers this message.
        case waitingForOwnKeys(clientFirst: ByteString, SCRAMChannelBinding)
        /// The client's cleartext password is being made keys, to be compared with this secret.
        case waitingForClientKeys(SCRAMSecret, password: ByteString)
        case waitingForSASLResponse(SCRAMServerExchange)
        /// Succeeded or failed; every further message is a failure.
        case finished
    }

    private let method: AuthMethod
    private let user: ByteString
    private let secret: StoredSecret?
    private let seed: SecretSeed
    private let channelBinding: [UInt8]?
    private let nonce: [UInt8]
    private let md5Salt: UInt32
    private var state = State.new

    /// The SCRAM secret of a plain password, as it was handed in or had to be derived: worth keeping
    /// for the user's next login.
    public private(set) var derivedSecret: DerivedSecret?

    /// - Parameters:
    ///   - method: md5 becomes SCRAM for a user whose stored secret is SCRAM.
    ///   - user: the name of the startup packet.
    ///   - secret: the user's entry in auth_file; nil when there is none.
    ///   - derivedSecret: what `derivedSecret` was after an earlier login, if it was kept;
    ///     ignored when the password has changed since.
    ///   - seed: the same for the life of the process.
    ///   - channelBinding: the hash of the pooler's certificate for tls-server-end-point; nil when the
    ///     connection has no TLS, or the certificate no such hash.
    ///   - nonce: 18 random bytes.
    ///   - md5Salt: 4 random bytes.
    public init(
        method: AuthMethod,
        user: ByteString,
        secret: StoredSecret?,
        derivedSecret: DerivedSecret? = nil,
        seed: SecretSeed,
        channelBinding: [UInt8]? = nil,
        nonce: [UInt8],
        md5Salt: UInt32
    ) {
        let kind = secret?.kind ?? seed.unknownUserKind
        self.method = method == .md5 && kind == .scram ? .scramSHA256 : method
        self.user = user
        self.secret = secret
        self.derivedSecret = derivedSecret
        self.seed = seed
        self.channelBinding = channelBinding
        self.nonce = nonce
        self.md5Salt = md5Salt
    }

    /// Returns the first request, or the outcome where no password is asked for.
    public mutating func started() -> Action {
        guard case .new = exchange(&state, with: .finished) else {
            return .failed(.unexpectedMessage)
        }
        switch method {
        case .any:
            return .succeeded(secret.map { Credentials($0) } ?? .none, reply: [])
        case .trust:
            guard let secret else { return .failed(.trustRejected) }
            return .succeeded(Credentials(secret), reply: [])
        case .certificate:
            guard let secret else { return .failed(.certificateRejected(.unknownUser)) }
            return .succeeded(Credentials(secret), reply: [])
        case .plain:
            state = .waitingForCleartextPassword
            return .send(Self.message(.cleartextPassword))
        case .md5:
            state = .waitingForMD5Password
            return .send(Self.message(.md5Password(salt: md5Salt)))
        case .scramSHA256:
            state = .waitingForSASLInitialResponse
            return .send(channelBinding == nil ? Self.saslRequest : Self.saslPlusRequest)
        }
    }

    /// Takes the body of a message of type 'p'.
    public mutating func received(_ body: RawSpan) -> Action {
        do throws(AuthenticationFailure) {
            switch exchange(&state, with: .finished) {
            case .new, .waitingForOwnKeys, .waitingForClientKeys, .finished:
                throw .unexpectedMessage
            case .waitingForCleartextPassword:
                return try receivedCleartext(try Self.password(body))
            case .waitingForMD5Password:
                return try receivedMD5(try Self.password(body))
            case .waitingForSASLInitialResponse:
                return try receivedInitialResponse(body)
            case .waitingForSASLResponse(let exchange):
                return try receivedResponse(body, exchange)
            }
        } catch {
            return .failed(error)
        }
    }

    /// Takes the keys that were asked for; nil when they could not be derived.
    public mutating func derived(_ keys: SCRAMKeys?) -> Action {
        do throws(AuthenticationFailure) {
            guard let keys else { throw .digestUnavailable }
            switch (exchange(&state, with: .finished), secret) {
            case (.waitingForOwnKeys(let clientFirst, let binding), .plain(let password)):
                derivedSecret = DerivedSecret(password: password, secret: keys.secret)
                return try answer(clientFirst, binding, with: keys.secret)
            case (.waitingForClientKeys(let stored, let password), let secret):
                // A secret that was made up for an unknown user cannot be met.
                guard keys.serverKey == stored.serverKey, secret != nil else {
                    throw .wrongPassword
                }
                return .succeeded(.plain(password), reply: [])
            default:
                throw .unexpectedMessage
            }
        } catch {
            state = .finished
            return .failed(error)
        }
    }

    // MARK: Passwords

    private static func password(
        _ body: RawSpan
    ) throws(AuthenticationFailure) -> ByteString {
        let message: PasswordMessage
        do {
            message = try PasswordMessage(decoding: body)
        } catch {
            throw .malformedMessage(error)
        }
        guard !message.password.isEmpty else { throw .emptyPassword }
        return message.password
    }

    private mutating func receivedCleartext(
        _ password: ByteString
    ) throws(AuthenticationFailure) -> Action {
        if let stored = try scramSecretForCleartext() {
            state = .waitingForClientKeys(stored, password: password)
            return .derive(
                SCRAMKeyParameters(
                    password: password,
                    salt: stored.salt,
                    iterations: stored.iterations
                )
            )
        }
        let isRight = try Self.digesting { () throws(DigestError) in try verifies(password) }
        guard isRight else { throw .wrongPassword }
        return .succeeded(.plain(password), reply: [])
    }

    /// The SCRAM secret that a cleartext password has to fit; nil when the secret is of another kind.
    private func scramSecretForCleartext() throws(AuthenticationFailure) -> SCRAMSecret? {
        switch secret ?? .unusable {
        case .scram(let stored): stored
        case .unusable where seed.unknownUserKind == .scram: try mockSecret()
        case .plain, .md5, .unusable: nil
        }
    }

    /// Verifies a cleartext password, spending the same on a user who is not there.
    private func verifies(_ password: ByteString) throws(DigestError) -> Bool {
        switch secret ?? .unusable {
        case .plain(let stored):
            return try SHA256.hash(password.bytes) == SHA256.hash(stored.bytes)
        case .md5(let stored):
            return try MD5Secret(password: password, user: user) == stored
        case .unusable:
            switch seed.unknownUserKind {
            case .plain, .scram: _ = try SHA256.hash(password.bytes) == SHA256.hash(user.bytes)
            case .md5: _ = try MD5Secret(password: password, user: user)
            }
            return false
        case .scram:
            return false
        }
    }

    private func receivedMD5(_ response: ByteString) throws(AuthenticationFailure) -> Action {
        let expected: ByteString
        let credentials: Credentials?
        do {
            let secret: MD5Secret
            (secret, credentials) = try md5Secret()
            expected = try secret.response(to: md5Salt)
        } catch {
            throw .digestUnavailable
        }
        let isRight = constantTimeEqual(response.bytes, expected.bytes)
        guard isRight, let credentials else { throw .wrongPassword }
        return .succeeded(credentials, reply: [])
    }

    /// The secret to verify an md5 response with, and what the client's success is worth: nil when it
    /// cannot succeed.
    private func md5Secret() throws(DigestError) -> (MD5Secret, Credentials?) {
        switch secret ?? .unusable {
        case .plain(let password):
            (try MD5Secret(password: password, user: user), .plain(password))
        case .md5(let secret):
            (secret, .md5(secret))
        case .scram, .unusable:
            (try MD5Secret(password: "", user: user), nil)
        }
    }

    // MARK: SCRAM

    private mutating func receivedInitialResponse(
        _ body: RawSpan
    ) throws(AuthenticationFailure) -> Action {
        guard body.byteCount <= SCRAM.clientMessageByteLimit else {
            throw .saslFailed(.messageTooLong)
        }
        let response: SASLInitialResponse
        do {
            response = try SASLInitialResponse(decoding: body)
        } catch {
            throw .saslFailed(.malformedMessage)
        }
        let binding = try binding(of: response.mechanism)
        guard let clientFirst = response.initialResponse else {
            throw .saslFailed(.malformedMessage)
        }
        switch secret {
        case .scram(let secret):
            return try answer(clientFirst, binding, with: secret)
        case .plain(let password):
            if let derivedSecret, derivedSecret.isCurrent(password: password, seed: seed) {
                return try answer(clientFirst, binding, with: derivedSecret.secret)
            }
            state = .waitingForOwnKeys(clientFirst: clientFirst, binding)
            return .derive(
                try Self.digesting { () throws(DigestError) in
                    try seed.keyParameters(password: password, user: user)
                }
            )
        case .md5, .unusable:
            return try answer(
                clientFirst,
                binding,
                with: mockSecret(),
                certainFailure: .unusableSecret
            )
        case nil:
            return try answer(
                clientFirst,
                binding,
                with: mockSecret(),
                certainFailure: .unknownUser
            )
        }
    }

    /// What the client has chosen, of what it was offered.
    private func binding(
        of mechanism: ByteString
    ) throws(AuthenticationFailure) -> SCRAMChannelBinding {
        switch (mechanism, channelBinding) {
        case (SCRAM.mechanism, nil): .unavailable
        case (SCRAM.mechanism, .some): .unused
        case (SCRAM.plusMechanism, let hash?): .endPoint(hash: hash)
        default: throw .invalidMechanism
        }
    }

    /// Answers the client's first message.
    /// - Parameter certainFailure: the failure that is certain beforehand.
    private mutating func answer(
        _ clientFirst: ByteString,
        _ binding: SCRAMChannelBinding,
        with secret: SCRAMSecret,
        certainFailure: SCRAMError? = nil
    ) throws(AuthenticationFailure) -> Action {
        var exchange = SCRAMServerExchange(
            secret: secret,
            certainFailure: certainFailure,
            channelBinding: binding,
            nonce: nonce
        )
        do {
            let serverFirst = try exchange.received(clientFirst: clientFirst.bytes)
            state = .waitingForSASLResponse(exchange)
            return .send(Self.message(.saslContinue(ByteString(serverFirst))))
        } catch {
            throw .saslFailed(error)
        }
    }

    private func receivedResponse(
        _ body: RawSpan,
        _ exchange: SCRAMServerExchange
    ) throws(AuthenticationFailure) -> Action {
        guard body.byteCount <= SCRAM.clientMessageByteLimit else {
            throw .saslFailed(.messageTooLong)
        }
        var exchange = exchange
        do {
            let success = try exchange.received(
                clientFinal: SASLResponse(decoding: body).data.bytes
            )
            return .succeeded(
                credentials(after: success),
                reply: Self.message(.saslFinal(ByteString(success.serverFinal)))
            )
        } catch {
            throw .saslFailed(error)
        }
    }

    private func mockSecret() throws(AuthenticationFailure) -> SCRAMSecret {
        try Self.digesting { () throws(DigestError) in try seed.mockSecret(for: user) }
    }

    /// Keys for a salt of our own making open no server: where the password is known, that is what
    /// the login is worth.
    private func credentials(after success: SCRAMServerExchange.Success) -> Credentials {
        guard case .plain(let password) = secret else { return .scram(success.keys) }
        return .plain(password)
    }

    // MARK: Helpers

    private static let saslRequest = message(.sasl(mechanisms: [SCRAM.mechanism]))
    private static let saslPlusRequest = message(
        .sasl(mechanisms: [SCRAM.plusMechanism, SCRAM.mechanism])
    )

    private static func message(_ request: AuthenticationRequest) -> [UInt8] {
        var writer = ByteWriter(capacity: 128)
        writer.authenticationRequest(request)
        return writer.bytes
    }

    private static func digesting<Value>(
        _ body: () throws(DigestError) -> Value
    ) throws(AuthenticationFailure) -> Value {
        do {
            return try body()
        } catch {
            throw .digestUnavailable
        }
    }
}
