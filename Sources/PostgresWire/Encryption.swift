// How TLS begins: by a question and an answer of one byte, or by TLS itself.
//
// Source: PostgreSQL 17 documentation, section "SSL Session Encryption" of the message flow.

/// What a server answers to an SSLRequest.
public enum SSLAnswer: Equatable, Sendable {
    /// TLS begins.
    case accepted
    /// There is no TLS; the connection can be used without.
    case refused
    /// Something else, or more than the answer: bytes that were sent before TLS cannot be trusted.
    case invalid

    /// Reads all that a server has sent, which is at least one byte.
    public init(_ bytes: RawSpan) {
        guard bytes.byteCount == 1 else {
            self = .invalid
            return
        }
        switch bytes.byte(at: 0) {
        case UInt8(ascii: "S"): self = .accepted
        case UInt8(ascii: "N"): self = .refused
        default: self = .invalid
        }
    }
}

/// The records that TLS consists of.
public enum TLSRecord {
    /// Whether a connection begins with a TLS handshake, and so with no startup packet: its first byte
    /// would be that of a length which none has.
    public static func isHandshake(_ bytes: RawSpan) -> Bool {
        bytes.byteCount > 0 && bytes.byte(at: 0) == 0x16
    }
}
