// Base64 as SCRAM writes it: the standard alphabet with padding, without white space. Decoding is
// strict, unused bits included, so that one value has one spelling.
//
// Other modules call this at each login: parameters are spans and arrays of bytes, because the
// compiler does not specialise generic functions across modules.

/// Base64, RFC 4648 section 4.
public enum Base64 {
    /// Encodes `bytes`, with padding.
    public static func encode(_ bytes: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        var start = 0
        while start < bytes.count {
            let count = min(3, bytes.count - start)
            var bits = UInt32(bytes[start]) << 16
            if count > 1 { bits |= UInt32(bytes[start + 1]) << 8 }
            if count > 2 { bits |= UInt32(bytes[start + 2]) }
            text.append(digit(of: bits >> 18 & 63))
            text.append(digit(of: bits >> 12 & 63))
            text.append(count > 1 ? digit(of: bits >> 6 & 63) : padding)
            text.append(count > 2 ? digit(of: bits & 63) : padding)
            start += count
        }
        return text
    }

    /// Decodes `text`; nil when it is not exactly what `encode` would have written.
    public static func decode(_ text: [UInt8]) -> [UInt8]? { decode(text.span) }

    /// Decodes `text`; nil when it is not exactly what `encode` would have written.
    public static func decode(_ text: ArraySlice<UInt8>) -> [UInt8]? { decode(text.span) }

    private static func decode(_ text: Span<UInt8>) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        var end = text.count
        while end > 0, text.count - end < 2, text[end - 1] == padding { end -= 1 }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 4 * 3)
        var bits: UInt32 = 0
        var bitCount: UInt32 = 0
        for index in 0..<end {
            guard let value = value(of: text[index]) else { return nil }
            bits = (bits << 6 | value) & 0xFFFF
            bitCount += 6
            if bitCount >= 8 {
                bitCount -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> bitCount))
            }
        }
        let unusedBits = bits & (1 << bitCount - 1)
        return unusedBits == 0 ? bytes : nil
    }

    private static func digit(of value: UInt32) -> UInt8 {
        let value = UInt8(truncatingIfNeeded: value)
        return switch value {
        case 0..<26: UInt8(ascii: "A") + value
        case 26..<52: UInt8(ascii: "a") + (value - 26)
        case 52..<62: UInt8(ascii: "0") + (value - 52)
        case 62: UInt8(ascii: "+")
        default: UInt8(ascii: "/")
        }
    }

    private static func value(of digit: UInt8) -> UInt32? {
        switch digit {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(digit - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(digit - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(digit - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }

    private static let padding = UInt8(ascii: "=")
}
