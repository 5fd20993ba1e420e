// Logging in to a server: answers its authentication requests with what is known of the user. It
// decides nothing about the server's ErrorResponse, which ends the login from outside. The order of
// messages is enforced: above all, a server that began SCRAM must prove itself before its
// AuthenticationOk counts.
//
//     new -> password sent -------------------------------> authenticated
//        \-> SASL initial sent -> SASL response sent -> server verified -> authenticated

internal import Digests
public import PostgresWire

/// One login to a server.
public struct ServerAuthentication: Sendable, Redacted {
    /// What to do next.
    public enum Action: Equatable, Sendable, Redacted {
        /// Send this message and wait for the next request.
        case send([UInt8])
        /// Wait for the next request.
        case none
        /// AuthenticationOk has come and is valid.
        case authenticated
        /// Derive keys, which takes long, and tell `derived`.
        case derive(SCRAMKeyParameters)
        case failed(ServerAuthenticationFailure)

        /// The action without what it carries.
        public var description: String {
            switch self {
            case .send(let bytes): "send(\(bytes.count) bytes)"
            case .none: "none"
            case .authenticated: "authenticated"
            case .derive: "derive"
            case .failed(let failure): "failed(\(failure))"
            }
        }
    }

    private enum State {
        /// Nothing has been asked yet; AuthenticationOk now means that the server trusts.
        case new
        case passwordSent
        case saslInitialResponseSent(SCRAMClientExchange)
        case waitingForKeys(SCRAMClientExchange, password: ByteString)
        case saslResponseSent(SCRAMClientExchange)
        case serverVerified
        /// Authenticated or failed; every further request is a failure.
        case finished
    }

    private let user: ByteString
    private let credentials: Credentials
    private let channelBinding: [UInt8]?
    private let requiresChannelBinding: Bool
    private let nonce: [UInt8]
    private var state = State.new

    /// The keys of a plain password for this server's salt, as they were handed in or had to be
    /// derived: worth keeping for the next login, once this one is authenticated.
    public private(set) var derivedKeys: DerivedKeys?

    /// - Parameters:
    ///   - user: the name of the startup packet.
    ///   - credentials: what is known of the user.
    ///   - derivedKeys: what `derivedKeys` was after an earlier login, if it was kept; ignored unless
    ///     it fits the password and the server's salt and iteration count.
    ///   - channelBinding: the hash of the server's certificate for tls-server-end-point; nil when
    ///     there is no TLS, no such hash, or nothing shall be bound to it.
    ///   - requiresChannelBinding: whether a login without channel binding fails.
    ///   - nonce: 18 random bytes.
    public init(
        user: ByteString,
        credentials: Credentials,
        derivedKeys: DerivedKeys? = nil,
        channelBinding: [UInt8]? = nil,
        requiresChannelBinding: Bool = false,
        nonce: [UInt8]
    ) {
        self.user = user
        self.credentials = credentials
        self.derivedKeys = derivedKeys
        self.channelBinding = channelBinding
        self.requiresChannelBinding = requiresChannelBinding
        self.nonce = nonce
    }

    /// Takes an Authentication message.
    public mutating func received(_ request: AuthenticationRequest) -> Action {
        do throws(ServerAuthenticationFailure) {
            switch (exchange(&state, with: .finished), request) {
            case (.new, _) where requiresChannelBinding && channelBinding == nil:
                throw .channelBindingUnavailable
            case (.new, .ok) where requiresChannelBinding,
                (.new, .cleartextPassword) where requiresChannelBinding,
                (.new, .md5Password) where requiresChannelBinding:
                throw .channelBindingNotOffered
            case (.new, .ok), (.passwordSent, .ok), (.serverVerified, .ok):
                return .authenticated
            case (.new, .cleartextPassword):
                return try answerCleartextPassword()
            case (.new, .md5Password(let salt)):
                return try answerMD5Password(salt: salt)
            case (.new, .sasl(let mechanisms)):
                return try answerSASL(mechanisms)
            case (.new, .unsupported(let code)):
                throw .unsupportedMethod(code: code)
            case (.saslInitialResponseSent(let exchange), .saslContinue(let data)):
                return try answerSASLContinue(data, exchange)
            case (.saslResponseSent(let exchange), .saslFinal(let data)):
                return try verifySASLFinal(data, exchange)
            case (.new, _), (.passwordSent, _), (.saslInitialResponseSent, _),
                (.waitingForKeys, _), (.saslResponseSent, _), (.serverVerified, _), (.finished, _):
                throw .unexpectedMessage
            }
        } catch {
            return .failed(error)
        }
    }

    /// Takes the keys that were asked for; nil when they could not be derived.
    public mutating func derived(_ keys: SCRAMKeys?) -> Action {
        guard case .waitingForKeys(let exchange, let password) = exchange(&state, with: .finished)
        else { return .failed(.unexpectedMessage) }
        guard let keys else { return .failed(.digestUnavailable) }
        derivedKeys = DerivedKeys(password: password, keys: keys)
        do throws(SCRAMError) {
            return try answer(exchange, with: keys)
        } catch {
            return .failed(Self.failure(error))
        }
    }

    // MARK: Passwords

    private mutating func answerCleartextPassword() throws(ServerAuthenticationFailure) -> Action {
        guard case .plain(let password) = credentials else { throw .wrongPasswordType }
        return send(password)
    }

    private mutating func answerMD5Password(
        salt: UInt32
    ) throws(ServerAuthenticationFailure) -> Action {
        do {
            switch credentials {
            case .plain(let password):
                return send(try MD5Secret(password: password, user: user).response(to: salt))
            case .md5(let secret):
                return send(try secret.response(to: salt))
            case .none, .scram:
                break
            }
        } catch {
            throw .digestUnavailable
        }
        throw .wrongPasswordType
    }

    private mutating func send(_ password: ByteString) -> Action {
        var writer = ByteWriter()
        writer.passwordMessage(PasswordMessage(password: password))
        state = .passwordSent
        return .send(writer.bytes)
    }

    // MARK: SCRAM

    private mutating func answerSASL(
        _ mechanisms: [ByteString]
    ) throws(ServerAuthenticationFailure) -> Action {
        let (mechanism, binding) = try choice(of: mechanisms)
        switch credentials {
        case .plain, .scram: break
        case .none, .md5: throw .wrongPasswordType
        }
        let exchange = SCRAMClientExchange(channelBinding: binding, nonce: nonce)
        var writer = ByteWriter()
        writer.saslInitialResponse(
            SASLInitialResponse(
                mechanism: mechanism,
                initialResponse: ByteString(exchange.clientFirst)
            )
        )
        state = .saslInitialResponseSent(exchange)
        return .send(writer.bytes)
    }

    /// The mechanism to log in with: with channel binding, wherever that is possible.
    private func choice(
        of mechanisms: [ByteString]
    ) throws(ServerAuthenticationFailure) -> (ByteString, SCRAMChannelBinding) {
        if let channelBinding, mechanisms.contains(SCRAM.plusMechanism) {
            return (SCRAM.plusMechanism, .endPoint(hash: channelBinding))
        }
        if requiresChannelBinding { throw .channelBindingNotOffered }
        guard mechanisms.contains(SCRAM.mechanism) else { throw .noSupportedMechanism }
        // A server that has made the offer refuses `unused`: somebody between has left it out.
        return (SCRAM.mechanism, channelBinding == nil ? .unavailable : .unused)
    }

    private mutating func answerSASLContinue(
        _ data: ByteString,
        _ exchange: SCRAMClientExchange
    ) throws(ServerAuthenticationFailure) -> Action {
        var exchange = exchange
        do throws(SCRAMError) {
            let challenge = try exchange.received(serverFirst: data.bytes)
            switch credentials {
            case .scram(let keys):
                // Even where the server has another salt: the refusal is PostgreSQL's to give.
                return try answer(exchange, with: keys)
            case .plain(let password):
                let parameters = SCRAMKeyParameters(
                    password: password,
                    salt: challenge.salt,
                    iterations: challenge.iterations
                )
                if let derivedKeys, derivedKeys.fit(parameters) {
                    return try answer(exchange, with: derivedKeys.keys)
                }
                state = .waitingForKeys(exchange, password: password)
                return .derive(parameters)
            case .none, .md5:
                throw .unusableSecret
            }
        } catch {
            throw Self.failure(error)
        }
    }

    private mutating func answer(
        _ exchange: SCRAMClientExchange,
        with keys: SCRAMKeys
    ) throws(SCRAMError) -> Action {
        var exchange = exchange
        let clientFinal = try exchange.answer(with: keys)
        var writer = ByteWriter()
        writer.saslResponse(SASLResponse(data: ByteString(clientFinal)))
        state = .saslResponseSent(exchange)
        return .send(writer.bytes)
    }

    private mutating func verifySASLFinal(
        _ data: ByteString,
        _ exchange: SCRAMClientExchange
    ) throws(ServerAuthenticationFailure) -> Action {
        var exchange = exchange
        do {
            try exchange.received(serverFinal: data.bytes)
        } catch {
            throw Self.failure(error)
        }
        state = .serverVerified
        return .none
    }

    private static func failure(_ error: SCRAMError) -> ServerAuthenticationFailure {
        switch error {
        case .wrongServerSignature: .invalidServerSignature
        case .digestUnavailable: .digestUnavailable
        default: .saslFailed(error)
        }
    }
}
