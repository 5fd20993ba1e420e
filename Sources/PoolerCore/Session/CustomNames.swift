// Names that may be those of custom settings, in bytes whose meaning is not known: the body of a DO
// block, arguments of functions, values of parameters. PostgreSQL does not list the custom settings of
// a session, so that it can only be asked for those of which the name is known.

public import PostgresWire

/// Finds words with a dot in them.
public enum CustomNames {
    /// How much is looked at, in bytes, and how many names are taken.
    private static let byteLimit = 4_096
    private static let nameLimit = 16

    /// All that looks like `prefix.name` in `bytes`, in small letters.
    public static func candidates(in bytes: RawSpan) -> [ByteString] {
        var names: [ByteString] = []
        let end = min(bytes.byteCount, byteLimit)
        var offset = 0
        while offset < end && names.count < nameLimit {
            guard isFirst(bytes.byte(at: offset)) else {
                offset += 1
                continue
            }
            let start = offset
            var hasDot = false
            while offset < end, isFurther(bytes.byte(at: offset)) || isDot(bytes, offset, end) {
                if bytes.byte(at: offset) == UInt8(ascii: ".") { hasDot = true }
                offset += 1
            }
            guard hasDot else { continue }
            let name = ByteString(copying: bytes.extracting(start..<offset)).lowercasedASCII
            if !names.contains(name) { names.append(name) }
        }
        return names
    }

    /// A dot with a name behind it.
    private static func isDot(_ bytes: RawSpan, _ offset: Int, _ end: Int) -> Bool {
        bytes.byte(at: offset) == UInt8(ascii: ".") && offset + 1 < end
            && isFirst(bytes.byte(at: offset + 1))
    }

    private static func isFirst(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "_"), 0x80...0xFF:
            true
        default: false
        }
    }

    private static func isFurther(_ byte: UInt8) -> Bool {
        isFirst(byte) || 0x30...0x39 ~= byte || byte == UInt8(ascii: "$")
    }
}
