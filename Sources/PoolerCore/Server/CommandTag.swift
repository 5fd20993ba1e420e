// What the tag of a CommandComplete says that the pooler has to know: most tags say nothing.

internal import PostgresWire

/// The tag of a command that has been executed.
struct CommandTag: ~Escapable {
    private let bytes: RawSpan

    /// The longest body of a CommandComplete that is looked at, in bytes.
    static var limit: Int { 64 }

    /// Nil if the body has not arrived whole, or is no tag.
    @_lifetime(copy bytes)
    init?(_ header: MessageHeader, bodyStart: Int, of bytes: RawSpan) {
        let end = bodyStart + header.bodyByteCount
        guard header.bodyByteCount > 1, header.bodyByteCount <= Self.limit, end <= bytes.byteCount
        else { return nil }
        self.bytes = bytes.extracting(bodyStart..<end - 1)
    }

    /// Whether what statements mean may be another now: ALTER or DROP of anything, CREATE VIEW.
    var changesSchema: Bool {
        guard bytes.byteCount > 5 else { return false }
        switch bytes.byte(at: 0) {
        case UInt8(ascii: "A"): return bytes.extracting(0..<6).isText("ALTER ")
        case UInt8(ascii: "D"): return bytes.extracting(0..<5).isText("DROP ")
        case UInt8(ascii: "C"): return bytes.isText("CREATE VIEW")
        default: return false
        }
    }

    /// Whether the session has no prepared statements any more.
    var discardsStatements: Bool {
        discardsSession || bytes.byteCount == 14 && bytes.isText("DEALLOCATE ALL")
    }

    /// Whether the session is as it began.
    var discardsSession: Bool { bytes.byteCount == 11 && bytes.isText("DISCARD ALL") }
}
