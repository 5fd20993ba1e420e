// The pooler's side of a client's SCRAM-SHA-256 login. It decides whether the client knows the
// password, and wins from the proof the keys with which the pooler can log in to PostgreSQL as that
// client. It never does I/O and draws no random numbers.
//
//     client                        pooler
//     n,,n=,r=<c>             ->
//                             <-    r=<c><s>,s=<salt>,i=<count>
//     c=biws,r=<c><s>,p=<..>  ->
//                             <-    v=<signature>
//
// A login that cannot succeed runs to the end on a secret that nobody knows, so that it looks and
// costs the same.
//
// Source: RFC 5802, RFC 7677; PostgreSQL's auth-scram.c for what it refuses.

internal import Digests
public import PostgresWire

/// Verifies a client's proof.
public struct SCRAMServerExchange: Sendable, Redacted {
    /// What a right proof yields.
    public struct Success: Equatable, Sendable, Redacted {
        /// The server-final-message, by which the client verifies the pooler.
        public let serverFinal: [UInt8]
        /// The keys for the secret's salt and iteration count.
        public let keys: SCRAMKeys
    }

    private enum Phase {
        case waitingForClientFirst
        case waitingForClientFinal(Transcript)
        case finished
    }

    private struct Transcript {
        let channelBindingHeader: [UInt8]
        let clientFirstBare: ArraySlice<UInt8>
        let serverFirst: [UInt8]
        let nonce: [UInt8]
    }

    private let secret: SCRAMSecret
    private let certainFailure: SCRAMError?
    private let nonce: [UInt8]
    private var phase = Phase.waitingForClientFirst

    /// - Parameters:
    ///   - secret: verifies the proof; the lengths of what is sent depend on it.
    ///   - certainFailure: not nil makes a mock exchange, which ends with this error even when the
    ///     proof is right.
    ///   - nonce: random bytes, 18 as PostgreSQL.
    public init(secret: SCRAMSecret, certainFailure: SCRAMError? = nil, nonce: [UInt8]) {
        self.init(
            secret: secret,
            certainFailure: certainFailure,
            nonceText: Base64.encode(nonce)
        )
    }

    /// Makes an exchange whose nonce is `nonceText`, printable characters that go over the wire as they
    /// are; published exchanges have such nonces.
    public init(secret: SCRAMSecret, certainFailure: SCRAMError? = nil, nonceText: [UInt8]) {
        self.secret = secret
        self.certainFailure = certainFailure
        self.nonce = nonceText
    }

    /// Takes the client-first-message and returns the server-first-message.
    /// - Throws: `SCRAMError`; the exchange is then over.
    public mutating func received(clientFirst message: [UInt8]) throws(SCRAMError) -> [UInt8] {
        guard case .waitingForClientFirst = exchange(&phase, with: .finished) else {
            throw .unexpectedMessage
        }
        try SCRAM.check(message, limit: SCRAM.clientMessageByteLimit)
        let bareStart = try Self.channelBindingHeaderByteCount(message)
        let bare = message[bareStart...]
        let clientNonce = try Self.clientNonce(bare)

        let nonce = clientNonce + nonce
        let salt = Base64.encode(secret.salt)
        var serverFirst = Array("r=".utf8)
        serverFirst.append(contentsOf: nonce)
        serverFirst.append(contentsOf: ",s=".utf8)
        serverFirst.append(contentsOf: salt)
        serverFirst.append(contentsOf: ",i=".utf8)
        serverFirst.append(contentsOf: String(secret.iterations).utf8)
        phase = .waitingForClientFinal(
            Transcript(
                channelBindingHeader: Array(message[..<bareStart]),
                clientFirstBare: bare,
                serverFirst: serverFirst,
                nonce: Array(nonce)
            )
        )
        return serverFirst
    }

    /// Takes the client-final-message, verifies the proof, and returns the server-final-message.
    /// - Throws: `SCRAMError`; the exchange is then over.
    public mutating func received(clientFinal message: [UInt8]) throws(SCRAMError) -> Success {
        guard case .waitingForClientFinal(let transcript) = exchange(&phase, with: .finished) else {
            throw .unexpectedMessage
        }
        try SCRAM.check(message, limit: SCRAM.clientMessageByteLimit)
        var attributes = SCRAMAttributes(message[...])
        let channelBinding = try attributes.value(of: "c")
        guard channelBinding.elementsEqual(Base64.encode(transcript.channelBindingHeader)) else {
            throw .channelBindingMismatch
        }
        let finalNonce = try attributes.value(of: "r")
        let (proof, proofOffset) = try Self.proof(&attributes)
        guard constantTimeEqual(Array(finalNonce), transcript.nonce) else { throw .nonceMismatch }

        let signed = SCRAM.transcript(
            clientFirstBare: transcript.clientFirstBare,
            serverFirst: transcript.serverFirst,
            clientFinalWithoutProof: message[..<(proofOffset - 1)]
        )
        return try verify(proof, transcript: signed)
    }

    private func verify(
        _ proof: Digest32,
        transcript: [UInt8]
    ) throws(SCRAMError) -> Success {
        let clientKey = proof ^ (try SCRAM.signature(key: secret.storedKey, transcript: transcript))
        let hash = try SCRAMError.digesting { () throws(DigestError) in
            try SHA256.hash(clientKey)
        }
        let signature = try SCRAM.signature(key: secret.serverKey, transcript: transcript)
        let isRight = hash == secret.storedKey
        if let certainFailure { throw certainFailure }
        guard isRight else { throw .wrongProof }
        return Success(
            serverFinal: Array("v=".utf8) + Base64.encode(signature.bytes),
            keys: SCRAMKeys(
                clientKey: clientKey,
                storedKey: secret.storedKey,
                serverKey: secret.serverKey,
                salt: secret.salt,
                iterations: secret.iterations
            )
        )
    }

    /// How long the header is that negotiates channel binding: `n,,` or `y,,`.
    ///
    /// An authorization identity in it is refused, as PostgreSQL does.
    private static func channelBindingHeaderByteCount(
        _ message: [UInt8]
    ) throws(SCRAMError) -> Int {
        switch message.first {
        case UInt8(ascii: "n"), UInt8(ascii: "y"): break
        case UInt8(ascii: "p"): throw .channelBindingRequired
        default: throw .malformedMessage
        }
        let comma = UInt8(ascii: ",")
        guard message.count > 3, message[1] == comma else { throw .malformedMessage }
        if message[2] == UInt8(ascii: "a") { throw .authorizationIdentity }
        guard message[2] == comma else { throw .malformedMessage }
        return 3
    }

    /// Reads the name, which PostgreSQL ignores in favour of the startup packet's, and the nonce.
    private static func clientNonce(
        _ bare: ArraySlice<UInt8>
    ) throws(SCRAMError) -> ArraySlice<UInt8> {
        if bare.first == UInt8(ascii: "m") { throw .unsupportedExtension }
        var attributes = SCRAMAttributes(bare)
        _ = try attributes.value(of: "n")
        let nonce = try attributes.value(of: "r")
        guard !nonce.isEmpty, SCRAM.isPrintable(nonce) else { throw .malformedMessage }
        while !attributes.isAtEnd { _ = try attributes.next() }
        return nonce
    }

    /// Reads past optional extensions to the proof, which is the last attribute.
    private static func proof(
        _ attributes: inout SCRAMAttributes
    ) throws(SCRAMError) -> (Digest32, offset: Int) {
        while true {
            let offset = attributes.offset
            let attribute = try attributes.next()
            guard attribute.name == UInt8(ascii: "p") else { continue }
            try attributes.finish()
            guard let proof = Base64.decode(attribute.value).flatMap({ Digest32($0) }) else {
                throw .malformedMessage
            }
            return (proof, offset)
        }
    }
}
