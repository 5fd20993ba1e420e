// Base64 as SCRAM writes it: the standard alphabet with padding, without white space. Decoding is
// strict, unused bits included, so that one value has one spelling.
//
// Other modules call this at each login: parameters are spans and arrays of bytes, because the
// compiler does not specialise generic functions across modules.

/// Base64, RFC 4648 section 4.
public enum Base64 {
    /// Encodes `bytes`, with padding.
    public static func encode(_ bytes: [UInt8]) -> [UInt8] {
        let digits = digits
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        var start = 0
        while start < bytes.count {
            let left = bytes.count - start
            var bits = UInt32(bytes[start]) << 16
            if left > 1 { bits |= UInt32(bytes[start + 1]) << 8 }
            if left > 2 { bits |= UInt32(bytes[start + 2]) }
            text.append(digits[Int(bits >> 18 & 63)])
            text.append(digits[Int(bits >> 12 & 63)])
            text.append(left > 1 ? digits[Int(bits >> 6 & 63)] : padding)
            text.append(left > 2 ? digits[Int(bits & 63)] : padding)
            start += 3
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
        let values = values
        var bytes: [UInt8] = []
        bytes.reserveCapacity(end * 6 / 8)
        var bits: UInt32 = 0
        var bitCount: UInt32 = 0
        for index in 0..<end {
            let value = values[Int(text[index])]
            guard value != invalid else { return nil }
            bits = (bits << 6 | UInt32(value)) & 0xFFFF
            bitCount += 6
            if bitCount >= 8 {
                bitCount -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> bitCount))
            }
        }
        let unusedBits = bits & (1 << bitCount - 1)
        return unusedBits == 0 ? bytes : nil
    }

    private static let digits = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8
    )

    /// What each byte is worth as a digit.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: invalid, count: 256)
        for (value, digit) in digits.enumerated() { values[Int(digit)] = UInt8(value) }
        return values
    }()

    private static let invalid: UInt8 = 0xFF
    private static let padding = UInt8(ascii: "=")
}
