import Digests
import PoolerCore
import PostgresWire
import Testing

/// Values that the tests of logins share.
enum AuthFixtures {
    static let user: ByteString = "ada"
    static let password: ByteString = "pencil sharpener"
    static let salt = Array(UInt8(1)...16)
    static let iterations = 64
    static let clientNonce = [UInt8](repeating: 7, count: 18)
    static let poolerNonce = [UInt8](repeating: 9, count: 18)
    static let certificateHash = Array(UInt8(100)..<132)
    static let md5Salt: UInt32 = 0x0102_0304

    static func seed(unknownUserKind: StoredSecret.Kind = .scram) throws -> SecretSeed {
        SecretSeed(
            key: try SHA256.hash([1]),
            iterations: iterations,
            unknownUserKind: unknownUserKind
        )
    }

    static func scramSecret() throws -> SCRAMSecret {
        try SCRAMSecret.derive(password: password, salt: salt, iterations: iterations)
    }

    static func md5Secret() throws -> MD5Secret {
        try MD5Secret(password: password, user: user)
    }

    static func storedSecrets() throws -> [StoredSecret] {
        [.plain(password), .md5(try md5Secret()), .scram(try scramSecret())]
    }

    static func clientLogin(
        _ method: AuthMethod,
        _ secret: StoredSecret?,
        user: ByteString = user,
        unknownUserKind: StoredSecret.Kind = .scram,
        channelBinding: [UInt8]? = nil
    ) throws -> ClientAuthentication {
        ClientAuthentication(
            method: method,
            user: user,
            secret: secret,
            seed: try seed(unknownUserKind: unknownUserKind),
            channelBinding: channelBinding,
            nonce: poolerNonce,
            md5Salt: md5Salt
        )
    }

    static func serverLogin(
        _ credentials: Credentials,
        derivedKeys: DerivedKeys? = nil,
        channelBinding: [UInt8]? = nil,
        requiresChannelBinding: Bool = false
    ) -> ServerAuthentication {
        ServerAuthentication(
            user: user,
            credentials: credentials,
            derivedKeys: derivedKeys,
            channelBinding: channelBinding,
            requiresChannelBinding: requiresChannelBinding,
            nonce: clientNonce
        )
    }
}

extension ClientAuthentication {
    /// Derives keys at once where they are wanted.
    mutating func received(body: [UInt8]) -> Action {
        let action = received(body.span.bytes)
        guard case .derive(let parameters) = action else { return action }
        return derived(parameters.derive())
    }
}

extension ServerAuthentication {
    /// Derives keys at once where they are wanted.
    mutating func answered(_ request: AuthenticationRequest) -> Action {
        let action = received(request)
        guard case .derive(let parameters) = action else { return action }
        return derived(parameters.derive())
    }
}

extension AuthenticationRequest {
    /// Decodes one whole message.
    init(message: [UInt8]) throws {
        try #require(message.first == BackendMessageType.authentication.rawValue)
        let body = Array(message.dropFirst(MessageHeader.byteCount))
        try self.init(decoding: body.span.bytes)
    }
}

/// The pooler logged in to by the pooler: both machines, until one of them ends.
struct Conversation {
    var client: ServerAuthentication
    var pooler: ClientAuthentication
    /// What the two sent each other, in order.
    private(set) var messages: [[UInt8]] = []
    private(set) var clientResult: ServerAuthentication.Action?

    init(client: ServerAuthentication, pooler: ClientAuthentication) {
        self.client = client
        self.pooler = pooler
    }

    /// Runs to the end and returns the pooler's last action.
    mutating func run() throws -> ClientAuthentication.Action {
        var action = pooler.started()
        while case .send(let request) = action {
            messages.append(request)
            let answer = client.answered(try AuthenticationRequest(message: request))
            guard case .send(let response) = answer else {
                clientResult = answer
                return action
            }
            messages.append(response)
            action = pooler.received(body: Array(response.dropFirst(MessageHeader.byteCount)))
        }
        guard case .succeeded(_, let reply) = action else { return action }
        if !reply.isEmpty {
            messages.append(reply)
            let verified = client.received(try AuthenticationRequest(message: reply))
            #expect(verified == .none)
        }
        clientResult = client.received(.ok)
        return action
    }
}
