// Logging a client in: from the method that the configuration chose to a yes or a no. It says what
// to send and what a password message means; it never looks a user up, never reads a clock, and
// never tells a client whether the user exists.
//
//     started -> waiting for a password message -> (SCRAM: waiting for the second) -> finished

internal import Digests
public import PostgresWire

/// How clients prove who they are: the values of auth_type that need no outside help.
public enum AuthMethod: Sendable, CaseIterable {
    case any
    case trust
    case plain
    case md5
    case scramSHA256
}

/// One client's login.
public struct ClientAuthentication: Sendable, Redacted {
    /// What to do next.
    public enum Action: Equatable, Sendable, Redacted {
        /// Send this message and wait for a password message.
        case send([UInt8])
        /// The client is who it says. Send `reply`, which may be empty, before AuthenticationOk.
        case succeeded(Credentials, reply: [UInt8])
        case failed(AuthenticationFailure)

        /// The action without what it carries.
        public var description: String {
            switch self {
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
        case waitingForSASLResponse(SCRAMServerExchange)
        /// Succeeded or failed; every further message is a failure.
        case finished
    }

    private let method: AuthMethod
    private let user: ByteString
    private let secret: StoredSecret?
    private let seed: SecretSeed
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
    ///   - nonce: 18 random bytes.
    ///   - md5Salt: 4 random bytes.
    public init(
        method: AuthMethod,
        user: ByteString,
        secret: StoredSecret?,
        derivedSecret: DerivedSecret? = nil,
        seed: SecretSeed,
        nonce: [UInt8],
        md5Salt: UInt32
    ) {
        let kind = secret?.kind ?? seed.unknownUserKind
        self.method = method == .md5 && kind == .scram ? .scramSHA256 : method
        self.user = user
        self.secret = secret
        self.derivedSecret = derivedSecret
        self.seed = seed
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
        case .plain:
            state = .waitingForCleartextPassword
            return .send(Self.message(.cleartextPassword))
        case .md5:
            state = .waitingForMD5Password
            return .send(Self.message(.md5Password(salt: md5Salt)))
        case .scramSHA256:
            state = .waitingForSASLInitialResponse
            return .send(Self.message(.sasl(mechanisms: [ByteString(SCRAMSecret.scheme)])))
        }
    }

    /// Takes the body of a message of type 'p'.
    public mutating func received(_ body: RawSpan) -> Action {
        do throws(AuthenticationFailure) {
            switch exchange(&state, with: .finished) {
            case .new, .finished:
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

    private func receivedCleartext(
        _ password: ByteString
    ) throws(AuthenticationFailure) -> Action {
        let isRight = try Self.digesting { () throws(DigestError) in try verifies(password) }
        guard isRight else { throw .wrongPassword }
        return .succeeded(.plain(password), reply: [])
    }

    /// Verifies a cleartext password, spending the same on a user who is not there.
    private func verifies(_ password: ByteString) throws(DigestError) -> Bool {
        switch secret ?? .unusable {
        case .plain(let stored):
            return try SHA256.hash(password.bytes) == SHA256.hash(stored.bytes)
        case .md5(let stored):
            return try MD5Secret(password: password, user: user) == stored
        case .scram(let stored):
            return try stored.matches(password: password)
        case .unusable:
            switch seed.unknownUserKind {
            case .plain: _ = try SHA256.hash(password.bytes) == SHA256.hash(user.bytes)
            case .md5: _ = try MD5Secret(password: password, user: user)
            case .scram: _ = try seed.mockSecret(for: user).matches(password: password)
            }
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
        guard response.mechanism == ByteString(SCRAMSecret.scheme) else { throw .invalidMechanism }
        guard let clientFirst = response.initialResponse else {
            throw .saslFailed(.malformedMessage)
        }
        let (secret, certainFailure) = try scramSecret()
        var exchange = SCRAMServerExchange(
            secret: secret,
            certainFailure: certainFailure,
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

    /// The secret for the exchange, and the failure that is certain beforehand.
    ///
    /// A plain password's is derived unless it was handed in.
    private mutating func scramSecret() throws(AuthenticationFailure) -> (SCRAMSecret, SCRAMError?)
    {
        switch secret {
        case .scram(let secret):
            return (secret, nil)
        case .plain(let password):
            if let derivedSecret, derivedSecret.isCurrent(password: password, seed: seed) {
                return (derivedSecret.secret, nil)
            }
            let derived = try Self.digesting { () throws(DigestError) in
                try seed.derivedSecret(of: password, for: user)
            }
            derivedSecret = derived
            return (derived.secret, nil)
        case .md5, .unusable:
            return (try mockSecret(), .unusableSecret)
        case nil:
            return (try mockSecret(), .unknownUser)
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

    private static func message(_ request: AuthenticationRequest) -> [UInt8] {
        var writer = ByteWriter()
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
