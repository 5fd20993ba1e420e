// The pooler's side of a client's SCRAM-SHA-256 login, with channel binding or without. It decides whether the client knows the
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
        /// With the client's first message, a comma and the answer to it, the length of the header that
        /// these begin with, and where in them the nonce is.
        case waitingForClientFinal(
            transcript: [UInt8],
            headerByteCount: Int,
            nonce: Range<Int>
        )
        case finished
    }

    private let secret: SCRAMSecret
    private let certainFailure: SCRAMError?
    private let channelBinding: SCRAMChannelBinding
    private let nonce: [UInt8]
    private var phase = Phase.waitingForClientFirst

    /// - Parameters:
    ///   - secret: verifies the proof; the lengths of what is sent depend on it.
    ///   - certainFailure: not nil makes a mock exchange, which ends with this error even when the
    ///     proof is right.
    ///   - channelBinding: what the client was offered and has chosen.
    ///   - nonce: random bytes, 18 as PostgreSQL.
    public init(
        secret: SCRAMSecret,
        certainFailure: SCRAMError? = nil,
        channelBinding: SCRAMChannelBinding,
        nonce: [UInt8]
    ) {
        self.init(
            secret: secret,
            certainFailure: certainFailure,
            channelBinding: channelBinding,
            nonceText: Base64.encode(nonce)
        )
    }

    /// Makes an exchange whose nonce is `nonceText`, printable characters that go over the wire as they
    /// are; published exchanges have such nonces.
    public init(
        secret: SCRAMSecret,
        certainFailure: SCRAMError? = nil,
        channelBinding: SCRAMChannelBinding,
        nonceText: [UInt8]
    ) {
        self.secret = secret
        self.certainFailure = certainFailure
        self.channelBinding = channelBinding
        self.nonce = nonceText
    }

    /// Takes the client-first-message and returns the server-first-message.
    /// - Throws: `SCRAMError`; the exchange is then over.
    public mutating func received(clientFirst message: [UInt8]) throws(SCRAMError) -> [UInt8] {
        guard case .waitingForClientFirst = exchange(&phase, with: .finished) else {
            throw .unexpectedMessage
        }
        try SCRAM.check(message, limit: SCRAM.clientMessageByteLimit)
        let headerByteCount = try channelBinding.check(clientFirst: message)
        let clientNonce = try Self.clientNonce(message[headerByteCount...])

        var transcript: [UInt8] = []
        transcript.reserveCapacity(512)
        transcript.append(contentsOf: message)
        transcript.append(UInt8(ascii: ","))
        let start = transcript.count
        transcript.append(UInt8(ascii: "r"))
        transcript.append(UInt8(ascii: "="))
        let nonceStart = transcript.count
        transcript.append(contentsOf: clientNonce)
        transcript.append(contentsOf: nonce)
        let nonceEnd = transcript.count
        transcript.append(contentsOf: secret.challenge)
        let serverFirst = Array(transcript[start...])
        phase = .waitingForClientFinal(
            transcript: transcript,
            headerByteCount: headerByteCount,
            nonce: nonceStart..<nonceEnd
        )
        return serverFirst
    }

    /// Takes the client-final-message, verifies the proof, and returns the server-final-message.
    /// - Throws: `SCRAMError`; the exchange is then over.
    public mutating func received(clientFinal message: [UInt8]) throws(SCRAMError) -> Success {
        guard
            case .waitingForClientFinal(var transcript, let headerByteCount, let nonce) = exchange(
                &phase,
                with: .finished
            )
        else { throw .unexpectedMessage }
        try SCRAM.check(message, limit: SCRAM.clientMessageByteLimit)
        var attributes = SCRAMAttributes(message[...])
        let header = Array(transcript[..<headerByteCount])
        try check(channelBinding: try attributes.value(of: "c"), header: header)
        let finalNonce = try attributes.value(of: "r")
        let (proof, proofOffset) = try Self.proof(&attributes)
        guard constantTimeEqual(finalNonce.span, transcript.span.extracting(nonce)) else {
            throw .nonceMismatch
        }
        transcript.append(UInt8(ascii: ","))
        transcript.append(contentsOf: message[..<(proofOffset - 1)])
        let signed = transcript.span.extracting(droppingFirst: headerByteCount)
        return try verify(proof, transcript: signed)
    }

    private func verify(
        _ proof: Digest32,
        transcript: Span<UInt8>
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
            serverFinal: [UInt8(ascii: "v"), UInt8(ascii: "=")] + Base64.encode(signature.bytes),
            keys: SCRAMKeys(
                clientKey: clientKey,
                storedKey: secret.storedKey,
                serverKey: secret.serverKey,
                salt: secret.salt,
                iterations: secret.iterations
            )
        )
    }

    /// Checks that the final message speaks of the same channel as the first, and of the same as the
    /// pooler.
    private func check(
        channelBinding text: ArraySlice<UInt8>,
        header: [UInt8]
    ) throws(SCRAMError) {
        if text.elementsEqual(Base64.encode(channelBinding.input(header: header))) { return }
        switch channelBinding {
        case .endPoint: throw .wrongChannelBinding
        case .unavailable, .unused: throw .channelBindingMismatch
        }
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
