// SASLprep (RFC 4013), the normal form in which SCRAM hashes passwords. It decides which bytes are
// hashed, and never fails: like PostgreSQL it falls back to the bytes as they are.
//
// PostgreSQL passes ASCII through unchanged, and takes the raw bytes of a password that is not UTF-8,
// or that contains characters which the profile prohibits or Unicode 3.2 does not know, or that mixes
// directions of writing. Of all others it makes spaces U+0020, leaves out what is not to be seen, and
// brings the rest into the form NFKC. As there, the checks look at the characters before that.
//
// Source: RFC 3454 and 4013; PostgreSQL's saslprep.c for the order of the steps.

/// Brings a password into the form that SCRAM hashes.
public enum SASLprep {
    /// The bytes to hash for `password`.
    public static func prepare(_ password: [UInt8]) -> [UInt8] {
        guard password.contains(where: { $0 >= 0x80 }),
            let text = String(validating: password, as: UTF8.self)
        else { return password }
        let tables = SASLprepTables.shared
        let mapped = text.unicodeScalars.compactMap { tables.mapped($0.value) }
        guard !mapped.isEmpty, !mapped.contains(where: tables.isProhibited),
            tables.hasOneDirection(mapped)
        else { return password }
        var prepared = String.UnicodeScalarView()
        for code in tables.composed(tables.decomposed(mapped)) {
            guard let scalar = Unicode.Scalar(code) else { return password }
            prepared.append(scalar)
        }
        return Array(String(prepared).utf8)
    }
}

/// What is known of characters; a character is a code point of Unicode.
struct SASLprepTables: Sendable {
    private struct Ranges: Sendable {
        private var bounds: [ClosedRange<UInt32>] = []

        init(_ text: StaticString) {
            var numbers = SASLprepNumbers(text)
            var next: UInt32 = 0
            while let distance = numbers.next(), let length = numbers.next() {
                let first = next + distance
                bounds.append(first...first + length)
                next = first + length + 1
            }
        }

        func contains(_ code: UInt32) -> Bool {
            let index = partition(bounds.count) { bounds[$0].upperBound < code }
            return index < bounds.count && bounds[index].contains(code)
        }
    }

    private struct Pair: Hashable, Sendable {
        let first: UInt32
        let second: UInt32
    }

    private let spaceRanges = Ranges(spaces)
    private let nothingRanges = Ranges(nothing)
    private let prohibitedRanges = Ranges(prohibited)
    private let rightToLeftRanges = Ranges(rightToLeft)
    private let leftToRightRanges = Ranges(leftToRight)
    /// The characters that are made of others, in order, and of which.
    private var codes: [UInt32] = []
    private var parts: [[UInt32]] = []
    private var compositions: [Pair: UInt32] = [:]

    /// Read at the first password that needs it.
    static let shared = SASLprepTables()

    private init() {
        var numbers = SASLprepNumbers(Self.decompositions)
        var code: UInt32 = 0x7F
        var part: UInt32 = 0
        while let distance = numbers.next(), let kind = numbers.next() {
            code += distance + 1
            var list: [UInt32] = []
            for _ in 0..<kind / 2 {
                let change = numbers.next() ?? 0
                part = change % 2 == 0 ? part &+ change / 2 : part &- (change + 1) / 2
                list.append(part)
            }
            codes.append(code)
            parts.append(list)
            if kind % 2 == 1 { compositions[Pair(first: list[0], second: list[1])] = code }
        }
    }

    // MARK: Steps

    /// What becomes of a character; nil for nothing.
    func mapped(_ code: UInt32) -> UInt32? {
        if spaceRanges.contains(code) { return 0x20 }
        return nothingRanges.contains(code) ? nil : code
    }

    func isProhibited(_ code: UInt32) -> Bool { prohibitedRanges.contains(code) }

    /// Whether a text runs from right to left as a whole, or has nothing that does.
    ///
    /// Source: RFC 3454, section 6.
    func hasOneDirection(_ text: [UInt32]) -> Bool {
        guard text.contains(where: rightToLeftRanges.contains) else { return true }
        return [text.first, text.last].allSatisfy { $0.map(rightToLeftRanges.contains) ?? false }
            && !text.contains(where: leftToRightRanges.contains)
    }

    /// The characters that a text is made of, in canonical order.
    func decomposed(_ text: [UInt32]) -> [UInt32] {
        var result: [UInt32] = []
        for code in text { decompose(code, into: &result) }
        var start = 0
        while start < result.count {
            var end = start
            while end < result.count, combiningClass(result[end]) != 0 { end += 1 }
            if end - start > 1 {
                // Stable, by the place as second key.
                let marks = result[start..<end].enumerated().sorted {
                    (combiningClass($0.element), $0.offset) < (
                        combiningClass($1.element), $1.offset
                    )
                }
                result.replaceSubrange(start..<end, with: marks.map(\.element))
            }
            start = end + 1
        }
        return result
    }

    private func decompose(_ code: UInt32, into result: inout [UInt32]) {
        if Hangul.syllables.contains(code) {
            return result.append(contentsOf: Hangul.parts(of: code))
        }
        let index = partition(codes.count) { codes[$0] < code }
        guard index < codes.count, codes[index] == code else { return result.append(code) }
        for part in parts[index] { decompose(part, into: &result) }
    }

    /// A text with what can be put together put together.
    func composed(_ text: [UInt32]) -> [UInt32] {
        var result: [UInt32] = []
        /// Where the last character is that others can join.
        var starter: Int?
        for code in text {
            let mark = combiningClass(code)
            if let starter {
                // Not across a mark of the same class, nor across another character.
                let isBlocked =
                    starter < result.count - 1
                    && (mark == 0 || combiningClass(result[result.count - 1]) >= mark)
                if !isBlocked, let whole = composition(result[starter], code) {
                    result[starter] = whole
                    continue
                }
            }
            if mark == 0 { starter = result.count }
            result.append(code)
        }
        return result
    }

    private func composition(_ first: UInt32, _ second: UInt32) -> UInt32? {
        Hangul.composition(first, second)
            ?? compositions[Pair(first: first, second: second)]
    }

    private func combiningClass(_ code: UInt32) -> UInt8 {
        Unicode.Scalar(code)?.properties.canonicalCombiningClass.rawValue ?? 0
    }
}

/// The syllables that are computed.
///
/// Source: The Unicode Standard, section 3.12.
private enum Hangul {
    static let syllables: ClosedRange<UInt32> = 0xAC00...0xD7A3
    private static let leading: ClosedRange<UInt32> = 0x1100...0x1112
    private static let vowels: ClosedRange<UInt32> = 0x1161...0x1175
    private static let trailing: ClosedRange<UInt32> = 0x11A8...0x11C2
    private static let trailingCount: UInt32 = 28

    static func parts(of code: UInt32) -> [UInt32] {
        let index = code - syllables.lowerBound
        let (pair, last) = index.quotientAndRemainder(dividingBy: trailingCount)
        let (first, second) = pair.quotientAndRemainder(dividingBy: UInt32(vowels.count))
        let letters = [leading.lowerBound + first, vowels.lowerBound + second]
        return last == 0 ? letters : letters + [trailing.lowerBound + last - 1]
    }

    static func composition(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if leading.contains(first), vowels.contains(second) {
            let pair =
                (first - leading.lowerBound) * UInt32(vowels.count) + second - vowels.lowerBound
            return syllables.lowerBound + pair * trailingCount
        }
        if syllables.contains(first), trailing.contains(second),
            (first - syllables.lowerBound) % trailingCount == 0
        {
            return first + second - trailing.lowerBound + 1
        }
        return nil
    }
}

/// The numbers in a text that `Scripts/list-saslprep-tables` has written.
private struct SASLprepNumbers {
    private var digits: ArraySlice<UInt8>

    init(_ text: StaticString) {
        digits = ArraySlice(text.description.utf8)
    }

    mutating func next() -> UInt32? {
        var number: UInt32 = 0
        while let digit = digits.popFirst() {
            if digit < 80 { return number * 32 + UInt32(digit - 48) }
            number = number * 32 + UInt32(digit - 80)
        }
        return nil
    }
}

/// The first of `count` places for which something that holds at the beginning holds no more.
private func partition(_ count: Int, _ holds: (Int) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
        let middle = low + (high - low) / 2
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    return low
}
