// The pooler's side of its own SCRAM-SHA-256 login to a server, with channel binding or without. The server is not trusted: every
// length and number it sends is bounded, and it has to prove that it knows the secret too.
//
// The slow step, from password to keys, is the caller's: between the server's challenge and the
// answer it looks into its cache, or derives. With keys won from a client no password is needed.
//
// Source: RFC 5802, RFC 7677; libpq's fe-auth-scram.c.

internal import Digests
public import PostgresWire

/// What the server's first message asks the keys to be made for.
public struct SCRAMChallenge: Equatable, Sendable {
    public let salt: [UInt8]
    public let iterations: Int

    /// The largest iteration count that is accepted.
    ///
    /// It is 250 times PostgreSQL's default, and keeps
    /// a hostile server from holding a thread for more than about half a second.
    public static let iterationLimit = 1_000_000
    /// The longest salt that is accepted, in bytes; PostgreSQL makes 16.
    public static let saltByteLimit = 1_024
}

/// Logs in to a server, and verifies it.
public struct SCRAMClientExchange: Sendable, Redacted {
    private enum Phase {
        case waitingForServerFirst
        case waitingForKeys(serverFirst: [UInt8], nonce: [UInt8])
        case waitingForServerFinal(signature: Digest32)
        case finished
    }

    private let channelBinding: SCRAMChannelBinding
    private let nonce: [UInt8]
    private var phase = Phase.waitingForServerFirst

    /// - Parameters:
    ///   - channelBinding: what was chosen, of what the server offers.
    ///   - nonce: random bytes, 18 as PostgreSQL.
    public init(channelBinding: SCRAMChannelBinding, nonce: [UInt8]) {
        self.channelBinding = channelBinding
        self.nonce = Base64.encode(nonce)
    }

    /// The client-first-message.
    ///
    /// The user name stays empty, as PostgreSQL ignores it.
    public var clientFirst: [UInt8] { channelBinding.clientHeader + clientFirstBare }

    private var clientFirstBare: [UInt8] { Array("n=,r=".utf8) + nonce }

    /// Takes the server-first-message and returns what the keys have to fit.
    /// - Throws: `SCRAMError`; the exchange is then over.
    public mutating func received(
        serverFirst message: [UInt8]
    ) throws(SCRAMError) -> SCRAMChallenge {
        guard case .waitingForServerFirst = exchange(&phase, with: .finished) else {
            throw .unexpectedMessage
        }
        try SCRAM.check(message, limit: SCRAM.serverMessageByteLimit)
        if message.first == UInt8(ascii: "m") { throw .unsupportedExtension }
        var attributes = SCRAMAttributes(message[...])
        let nonce = try attributes.value(of: "r")
        guard nonce.count > self.nonce.count, nonce.starts(with: self.nonce),
            SCRAM.isPrintable(nonce)
        else { throw .nonceMismatch }
        let challenge = try Self.challenge(&attributes)
        try attributes.finish()
        phase = .waitingForKeys(serverFirst: message, nonce: Array(nonce))
        return challenge
    }

    private static func challenge(
        _ attributes: inout SCRAMAttributes
    ) throws(SCRAMError) -> SCRAMChallenge {
        guard let salt = Base64.decode(try attributes.value(of: "s")) else {
            throw .malformedMessage
        }
        guard !salt.isEmpty, salt.count <= SCRAMChallenge.saltByteLimit else { throw .invalidSalt }
        let count = try attributes.value(of: "i")
        guard
            let iterations = decimalNumber(count),
            (1...SCRAMChallenge.iterationLimit).contains(iterations)
        else { throw .invalidIterationCount }
        return SCRAMChallenge(salt: salt, iterations: iterations)
    }

    /// Returns the client-final-message, which proves knowledge of `keys`.
    ///
    /// Keys that do not fit the challenge make a proof that the server will refuse.
    ///
    /// - Throws: `SCRAMError`; the exchange is then over.
    public mutating func answer(with keys: SCRAMKeys) throws(SCRAMError) -> [UInt8] {
        guard case .waitingForKeys(let serverFirst, let nonce) = exchange(&phase, with: .finished)
        else { throw .unexpectedMessage }
        let binding = channelBinding.input(header: channelBinding.clientHeader)
        let withoutProof = Array("c=".utf8) + Base64.encode(binding) + Array(",r=".utf8) + nonce
        let transcript = SCRAM.transcript(
            clientFirstBare: clientFirstBare[...],
            serverFirst: serverFirst,
            clientFinalWithoutProof: withoutProof[...]
        )
        let clientSignature = try SCRAM.signature(key: keys.storedKey, transcript: transcript.span)
        let proof = keys.clientKey ^ clientSignature
        phase = .waitingForServerFinal(
            signature: try SCRAM.signature(key: keys.serverKey, transcript: transcript.span)
        )
        return withoutProof + Array(",p=".utf8) + Base64.encode(proof.bytes)
    }

    /// Takes the server-final-message; returning means that the server knows the secret.
    /// - Throws: `SCRAMError`; the exchange is then over.
    public mutating func received(serverFinal message: [UInt8]) throws(SCRAMError) {
        guard case .waitingForServerFinal(let expected) = exchange(&phase, with: .finished) else {
            throw .unexpectedMessage
        }
        try SCRAM.check(message, limit: SCRAM.serverMessageByteLimit)
        var attributes = SCRAMAttributes(message[...])
        let first = try attributes.next()
        if first.name == UInt8(ascii: "e") { throw .refusedByServer }
        guard
            first.name == UInt8(ascii: "v"),
            let signature = Base64.decode(first.value).flatMap({ Digest32($0) })
        else { throw .malformedMessage }
        try attributes.finish()
        guard signature == expected else { throw .wrongServerSignature }
    }
}
