// The grammar of SCRAM messages: attributes of one letter, `=` and a value, with commas between. A
// message is bounded and free of zero bytes before anything in it is looked at. Stricter than
// PostgreSQL in one point: a comma at the very end is refused.
//
// Source: RFC 5802, sections 5.1 and 7.

internal import Digests
internal import PostgresWire

/// Why a SCRAM exchange failed.
public enum SCRAMError: Error, Equatable, Sendable {
    /// Longer than any message of PostgreSQL's own implementation may be.
    case messageTooLong
    /// The message breaks the grammar.
    case malformedMessage
    /// The message came at the wrong moment.
    case unexpectedMessage
    /// The client chose the mechanism without channel binding, and binds.
    case unexpectedChannelBinding
    /// The client chose the mechanism with channel binding, and does not bind.
    case missingChannelBinding
    /// The client binds to something else than the server's certificate.
    case unsupportedChannelBinding(name: String)
    /// The client was told that there is no channel binding, and there is.
    case channelBindingDowngrade
    /// The client binds to another certificate: somebody stands between.
    case wrongChannelBinding
    /// The final message contradicts the first about channel binding.
    case channelBindingMismatch
    /// The client wants to act as somebody else.
    case authorizationIdentity
    /// The peer insists on an extension.
    case unsupportedExtension
    /// The nonce is not the one that was agreed, or adds nothing to it.
    case nonceMismatch
    /// The client's proof is wrong.
    case wrongProof
    /// The proof could not be right: the user is unknown.
    case unknownUser
    /// The proof could not be right: the user has no secret that SCRAM can verify.
    case unusableSecret
    /// The salt is empty or too long.
    case invalidSalt
    /// The iteration count is below 1 or above what the pooler is ready to compute.
    case invalidIterationCount
    /// The server ended the exchange with an error of its own.
    case refusedByServer
    /// The server does not know the password's secret.
    case wrongServerSignature
    /// OpenSSL did not compute what was asked.
    case digestUnavailable

    /// Runs `body`, whose failure is `digestUnavailable`.
    static func digesting<Value>(
        _ body: () throws(DigestError) -> Value
    ) throws(SCRAMError) -> Value {
        do {
            return try body()
        } catch {
            throw .digestUnavailable
        }
    }
}

/// Walks through the attributes of a message.
struct SCRAMAttributes {
    struct Attribute {
        let name: UInt8
        let value: ArraySlice<UInt8>
    }

    /// What has not been read; nil behind the last attribute.
    private var rest: ArraySlice<UInt8>?

    /// Where the next attribute starts in the whole message, or where the message ends.
    private(set) var offset: Int

    init(_ bytes: ArraySlice<UInt8>) {
        self.rest = bytes
        self.offset = bytes.startIndex
    }

    var isAtEnd: Bool { rest == nil }

    /// Reads the next attribute, whatever its name.
    mutating func next() throws(SCRAMError) -> Attribute {
        guard let bytes = rest, bytes.count >= 2, let name = bytes.first, Self.isLetter(name),
            bytes[bytes.startIndex + 1] == UInt8(ascii: "=")
        else { throw .malformedMessage }
        let tail = bytes.dropFirst(2)
        guard let comma = tail.firstIndex(of: UInt8(ascii: ",")) else {
            rest = nil
            offset = tail.endIndex
            return Attribute(name: name, value: tail)
        }
        rest = tail[(comma + 1)...]
        offset = comma + 1
        return Attribute(name: name, value: tail[..<comma])
    }

    /// Reads the value of the next attribute, which must be `name`.
    mutating func value(of name: Unicode.Scalar) throws(SCRAMError) -> ArraySlice<UInt8> {
        let attribute = try next()
        guard attribute.name == UInt8(ascii: name) else { throw .malformedMessage }
        return attribute.value
    }

    /// Checks that the whole message has been read.
    func finish() throws(SCRAMError) {
        guard isAtEnd else { throw .malformedMessage }
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }
}

/// The parts of SCRAM that both sides share.
enum SCRAM {
    /// The mechanism without channel binding.
    static let mechanism = ByteString(SCRAMSecret.scheme)
    /// The mechanism with channel binding.
    static let plusMechanism = ByteString("\(SCRAMSecret.scheme)-PLUS")

    /// The longest message of a client, in bytes: PG_MAX_SASL_MESSAGE_LENGTH.
    static let clientMessageByteLimit = 1_024
    /// The longest message of a server, in bytes, which is what libpq accepts.
    static let serverMessageByteLimit = 2_000

    /// Checks what holds for every message before it is read.
    static func check(_ message: [UInt8], limit: Int) throws(SCRAMError) {
        guard message.count <= limit else { throw .messageTooLong }
        guard !message.contains(0) else { throw .malformedMessage }
    }

    /// Whether `nonce` is printable ASCII without a comma, as RFC 5802 wants it.
    static func isPrintable(_ nonce: ArraySlice<UInt8>) -> Bool {
        nonce.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: ",") }
    }

    /// Text of a peer for a message, as PostgreSQL shows it: at most 30 bytes, `?` for what cannot be
    /// printed.
    static func printable(_ text: ArraySlice<UInt8>) -> String {
        let bytes = text.prefix(30).map { (0x21...0x7E).contains($0) ? $0 : UInt8(ascii: "?") }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The signature that `key` makes under the messages of an exchange.
    static func signature(
        key: Digest32,
        transcript: Span<UInt8>
    ) throws(SCRAMError) -> Digest32 {
        do {
            return try HMACSHA256.authenticate(transcript, key: key)
        } catch {
            throw .digestUnavailable
        }
    }

    /// AuthMessage of RFC 5802: what both sides sign.
    static func transcript(
        clientFirstBare: ArraySlice<UInt8>,
        serverFirst: [UInt8],
        clientFinalWithoutProof: ArraySlice<UInt8>
    ) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(
            clientFirstBare.count + serverFirst.count + clientFinalWithoutProof.count + 2
        )
        text.append(contentsOf: clientFirstBare)
        text.append(UInt8(ascii: ","))
        text.append(contentsOf: serverFirst)
        text.append(UInt8(ascii: ","))
        text.append(contentsOf: clientFinalWithoutProof)
        return text
    }
}
