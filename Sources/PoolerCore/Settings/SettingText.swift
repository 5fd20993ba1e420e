// Small readers and writers of text that setting values are made of.
//
// Everything works on ASCII bytes and never traps: a number too large is no number.

public import PostgresWire

/// Reads an integer as C `strtol` with base 0 does: decimal, `0x` hexadecimal, leading `0` octal.
///
/// Returns nil if anything is left over or the value does not fit.
public func integer(_ text: ByteString) -> Int? {
    var digits = text.bytes[...]
    var sign = ""
    if let first = digits.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
        sign = first == UInt8(ascii: "-") ? "-" : ""
        digits = digits.dropFirst()
    }
    var radix = 10
    if digits.count > 1, digits.first == UInt8(ascii: "0") {
        digits = digits.dropFirst()
        radix = 8
        if digits.first == UInt8(ascii: "x") || digits.first == UInt8(ascii: "X") {
            digits = digits.dropFirst()
            radix = 16
        }
    }
    guard let first = digits.first, isASCIIAlphanumeric(first) else { return nil }
    return Int(sign + String(decoding: digits, as: UTF8.self), radix: radix)
}

/// Reads non-negative decimal seconds; what is finer than a microsecond is rounded up.
public func durationSeconds(_ text: ByteString) -> Microseconds? {
    let parts = text.bytes.split(
        separator: UInt8(ascii: "."),
        maxSplits: 1,
        omittingEmptySubsequences: false
    )
    let whole = parts[0]
    let fraction = parts.count > 1 ? parts[1] : []
    guard whole.count + fraction.count > 0, (whole + fraction).allSatisfy(isASCIIDigit) else {
        return nil
    }
    // Three digits of headroom below Int64.max leave the multiplication below safe.
    let digits = whole.drop { $0 == UInt8(ascii: "0") }
    guard digits.count <= 12 else { return nil }
    var microseconds: Microseconds = 0
    for digit in digits {
        microseconds = microseconds * 10 + Microseconds(digit - UInt8(ascii: "0"))
    }
    for position in 0..<6 {
        let index = fraction.startIndex + position
        let digit = index < fraction.endIndex ? fraction[index] - UInt8(ascii: "0") : 0
        microseconds = microseconds * 10 + Microseconds(digit)
    }
    let isInexact = fraction.dropFirst(6).contains { $0 != UInt8(ascii: "0") }
    return isInexact ? microseconds + 1 : microseconds
}

/// Prints a non-negative duration as seconds, with a fraction only where one is needed.
public func secondsText(_ duration: Microseconds) -> String {
    let (whole, fraction) = duration.quotientAndRemainder(dividingBy: 1_000_000)
    guard fraction != 0 else { return String(whole) }
    let digits = String(fraction)
    var text = String(repeating: "0", count: max(0, 6 - digits.utf8.count)) + digits
    while text.last == "0" { text.removeLast() }
    return "\(whole).\(text)"
}

/// Splits at commas, trims blanks and drops empty items.
func commaSeparated(_ text: ByteString) -> [ByteString] {
    text.bytes.split(separator: UInt8(ascii: ","))
        .map { trimmed($0) }
        .filter { !$0.isEmpty }
        .map { ByteString(Array($0)) }
}

/// Cuts white space from both ends.
func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let end = bytes.lastIndex { !isASCIISpace($0) }.map { $0 + 1 } ?? bytes.startIndex
    return bytes[..<end].drop(while: isASCIISpace)
}

/// The text in quotes for an error message: one line, of bounded length.
func quotedForMessage(_ text: ByteString) -> String {
    let limit = 80
    let shown = text.bytes.prefix(limit).map { $0 < 0x20 || $0 == 0x7F ? UInt8(ascii: "?") : $0 }
    let ellipsis = text.count > limit ? "..." : ""
    return "\"\(String(decoding: shown, as: UTF8.self))\(ellipsis)\""
}

/// Space, tab, newline, vertical tab, form feed or carriage return: C `isspace`.
func isASCIISpace(_ byte: UInt8) -> Bool { byte == 0x20 || 0x09...0x0D ~= byte }

/// Space or tab: C `isblank`.
func isASCIIBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

func isASCIIDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }

func isASCIIAlphanumeric(_ byte: UInt8) -> Bool {
    isASCIIDigit(byte) || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
}
