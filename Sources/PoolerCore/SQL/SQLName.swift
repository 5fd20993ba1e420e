// What a name in a text means to PostgreSQL (PostgreSQL documentation, section 4.1.1 "Identifiers
// and Key Words"): letters become small unless the name is quoted, and only 63 bytes count.

import PostgresWire

/// Reads names and literals out of a text.
enum SQLName {
    /// The most bytes that a name has.
    private static let byteLimit = 63

    /// The name that a token stands for; nil when it is written with U&, or is no name.
    static func name(_ text: RawSpan, _ token: SQLToken, _ encoding: ScanEncoding) -> ByteString? {
        switch token.kind {
        case .word:
            return ByteString(truncated(folded(text, token.range, encoding), encoding))
        case .quotedName:
            let bytes = unquoted(text, token, quote: UInt8(ascii: "\""))
            return ByteString(truncated(bytes, encoding))
        default:
            return nil
        }
    }

    /// What a token of the kind `string` says.
    static func string(_ text: RawSpan, _ token: SQLToken) -> ByteString {
        ByteString(unquoted(text, token, quote: UInt8(ascii: "'")))
    }

    private static func folded(
        _ text: RawSpan,
        _ range: Range<Int>,
        _ encoding: ScanEncoding
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        var place = range.lowerBound
        while place < range.upperBound {
            let byte = text.byte(at: place)
            if byte < 0x80 {
                bytes.append(0x41...0x5A ~= byte ? byte | 0x20 : byte)
                place &+= 1
            } else {
                let second = place &+ 1 < range.upperBound ? text.byte(at: place &+ 1) : 0
                let end = place &+ encoding.byteCount(first: byte, second: second)
                while place < min(end, range.upperBound) {
                    bytes.append(text.byte(at: place))
                    place &+= 1
                }
            }
        }
        return bytes
    }

    /// The text between the quotes, where two quotes mean one.
    private static func unquoted(_ text: RawSpan, _ token: SQLToken, quote: UInt8) -> [UInt8] {
        var bytes: [UInt8] = []
        var place = token.start &+ 1
        while place < token.end {
            let byte = text.byte(at: place)
            if byte == quote {
                place &+= 1
                guard place < token.end, text.byte(at: place) == quote else { break }
            }
            bytes.append(byte)
            place &+= 1
        }
        return bytes
    }

    /// As much as counts, without a part of a character at the end.
    private static func truncated(_ bytes: [UInt8], _ encoding: ScanEncoding) -> [UInt8] {
        guard bytes.count > byteLimit else { return bytes }
        var end = 0
        while end < byteLimit {
            let next = end &+ characterByteCount(bytes, end, encoding)
            guard next <= byteLimit else { break }
            end = next
        }
        return Array(bytes[..<end])
    }

    private static func characterByteCount(
        _ bytes: [UInt8],
        _ place: Int,
        _ encoding: ScanEncoding
    ) -> Int {
        let first = bytes[place]
        guard first >= 0x80 else { return 1 }
        guard encoding == .asciiSafe else {
            let second = place &+ 1 < bytes.count ? bytes[place &+ 1] : 0
            return encoding.byteCount(first: first, second: second)
        }
        switch first {
        case 0xC0...0xDF: return 2
        case 0xE0...0xEF: return 3
        case 0xF0...0xF7: return 4
        default: return 1
        }
    }
}

extension RawSpan {
    /// Whether the bytes at `range` are those of `text`, with capital letters taken as small ones
    /// when `folded`.
    func hasText(at range: Range<Int>, _ text: StaticString, folded: Bool) -> Bool {
        guard range.upperBound &- range.lowerBound == text.utf8CodeUnitCount else { return false }
        var index = 0
        while index < text.utf8CodeUnitCount {
            var byte = self.byte(at: range.lowerBound &+ index)
            if folded, 0x41...0x5A ~= byte { byte |= 0x20 }
            let other = unsafe text.utf8Start[index]
            guard byte == other else { return false }
            index &+= 1
        }
        return true
    }
}
