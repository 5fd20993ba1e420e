// Cuts the text of a Query or Parse message into tokens, exactly as PostgreSQL 15 does (PostgreSQL
// documentation, section 4.1 "Lexical Structure"). It knows no grammar and reports no error: where
// PostgreSQL would refuse a token the lexer goes on, because then nothing of the text is executed.
//
// Any input ends: a quote or comment that is not closed reaches to the end of the text. A byte is
// looked at a bounded number of times, whatever comes before it. Nothing is allocated.

import PostgresWire

/// Reads the tokens of a text one after the other.
///
/// Invariant: 0 <= offset <= bytes.byteCount.
public struct SQLLexer: ~Escapable {
    let bytes: RawSpan
    let rules: ScanRules
    /// Where the next token, or the blanks before it, begins.
    public private(set) var offset: Int
    /// Up to here there are only the signs + and -, each an operator of its own.
    private var signsEnd = 0

    /// Starts at `offset`, between two tokens of `text`, which has no terminating zero.
    @_lifetime(copy text)
    public init(_ text: RawSpan, rules: ScanRules, offset: Int = 0) {
        self.bytes = text
        self.rules = rules
        self.offset = max(0, min(offset, text.byteCount))
    }

    /// The next token; at the end of the text one of the kind `end`, again and again.
    @_lifetime(self: copy self)
    public mutating func next() -> SQLToken {
        skipBlanks()
        let start = offset
        guard start < bytes.byteCount else { return token(.end, from: start) }
        let byte = bytes.byte(at: start)
        if byte.startsName { return nameOrPrefixedString(byte, from: start) }
        if byte.isDigit { return number(from: start) }
        if byte.isOperator { return operatorToken(from: start) }
        offset = start &+ 1
        switch byte {
        case UInt8(ascii: "("): return token(.openParenthesis, from: start)
        case UInt8(ascii: ")"): return token(.closeParenthesis, from: start)
        case UInt8(ascii: ","): return token(.comma, from: start)
        case UInt8(ascii: "."): return dot(from: start)
        case UInt8(ascii: ";"): return token(.semicolon, from: start)
        case UInt8(ascii: "'"):
            return quotedString(
                from: start,
                hasBackslashes: !rules.standardConformingStrings,
                isPlain: true
            )
        case UInt8(ascii: "\""):
            skipQuoted(by: byte, doubled: true, hasBackslashes: false)
            return token(.quotedName, from: start)
        case UInt8(ascii: "$"): return dollar(from: start)
        case UInt8(ascii: ":"): return colon(from: start)
        case UInt8(ascii: "["): return token(.openBracket, from: start)
        case UInt8(ascii: "]"): return token(.closeBracket, from: start)
        default: return token(.other, from: start)
        }
    }

    // MARK: - Looking

    @inline(__always)
    private func token(_ kind: SQLToken.Kind, from start: Int) -> SQLToken {
        SQLToken(kind: kind, start: start, end: offset, key: 0)
    }

    /// The byte at `place`, or 0 behind the end: no token has a zero in it.
    @inline(__always)
    private func byte(at place: Int) -> UInt8 {
        place < bytes.byteCount ? bytes.byte(at: place) : 0
    }

    /// How many bytes the character at `offset` has, which begins with a byte above 0x7F; never
    /// more than are left.
    private func wideCharacterByteCount() -> Int {
        let count = rules.encoding.byteCount(
            first: byte(at: offset),
            second: byte(at: offset &+ 1)
        )
        return min(count, bytes.byteCount &- offset)
    }

    /// Steps over one character; there must be one.
    @inline(__always)
    @_lifetime(self: copy self)
    private mutating func skipCharacter(_ first: UInt8) {
        if first < 0x80 || rules.encoding == .asciiSafe {
            offset &+= 1
        } else {
            offset &+= wideCharacterByteCount()
        }
    }

    /// Steps to the next byte that is one of two, or to within eight bytes of the end.
    ///
    /// Looks at eight bytes at once, since strings can be long. Where a second byte of a character
    /// could be one of the two, it stays where it is.
    @inline(__always)
    @_lifetime(self: copy self)
    private mutating func skip(to first: UInt8, or second: UInt8) {
        guard rules.encoding == .asciiSafe else { return }
        let firsts = UInt64(first) &* 0x0101_0101_0101_0101
        let seconds = UInt64(second) &* 0x0101_0101_0101_0101
        while offset &+ 8 <= bytes.byteCount {
            let word = unsafe UInt64(
                littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
            )
            let found = (word ^ firsts).zeroBytes | (word ^ seconds).zeroBytes
            guard found == 0 else {
                offset &+= found.trailingZeroBitCount / 8
                return
            }
            offset &+= 8
        }
    }

    // MARK: - Blanks and comments (section 4.1.5 "Comments")

    @_lifetime(self: copy self)
    private mutating func skipBlanks() {
        while offset < bytes.byteCount {
            let byte = bytes.byte(at: offset)
            if byte.isBlank {
                offset &+= 1
            } else if byte == UInt8(ascii: "-"), self.byte(at: offset &+ 1) == byte {
                skipLine()
            } else if byte == UInt8(ascii: "/"),
                self.byte(at: offset &+ 1) == UInt8(ascii: "*")
            {
                skipBlockComment()
            } else {
                return
            }
        }
    }

    /// Goes to the end of the line, which is not part of the comment.
    @_lifetime(self: copy self)
    private mutating func skipLine() {
        skip(to: UInt8(ascii: "\n"), or: UInt8(ascii: "\r"))
        while offset < bytes.byteCount {
            let byte = bytes.byte(at: offset)
            if byte.isLineEnd { return }
            skipCharacter(byte)
        }
    }

    /// Steps over a comment, in which others may be nested.
    @_lifetime(self: copy self)
    private mutating func skipBlockComment() {
        var depth = 0
        while offset < bytes.byteCount {
            skip(to: UInt8(ascii: "/"), or: UInt8(ascii: "*"))
            guard offset < bytes.byteCount else { return }
            let byte = bytes.byte(at: offset)
            if byte == UInt8(ascii: "/"), self.byte(at: offset &+ 1) == UInt8(ascii: "*") {
                depth &+= 1
                offset &+= 2
            } else if byte == UInt8(ascii: "*"), self.byte(at: offset &+ 1) == UInt8(ascii: "/") {
                depth &-= 1
                offset &+= 2
                if depth == 0 { return }
            } else {
                skipCharacter(byte)
            }
        }
    }

    // MARK: - Names (section 4.1.1 "Identifiers and Key Words")

    /// A name, or a string with a letter in front.
    ///
    /// N'...' is two tokens, as for PostgreSQL.
    @_lifetime(self: copy self)
    private mutating func nameOrPrefixedString(_ first: UInt8, from start: Int) -> SQLToken {
        let second = byte(at: start &+ 1)
        if second == UInt8(ascii: "'") {
            switch first | 0x20 {
            case UInt8(ascii: "e"):
                offset = start &+ 2
                return quotedString(from: start, hasBackslashes: true, isPlain: false)
            case UInt8(ascii: "b"), UInt8(ascii: "x"):
                offset = start &+ 2
                return bitString(from: start)
            default: break
            }
        } else if second == UInt8(ascii: "&"), first | 0x20 == UInt8(ascii: "u") {
            let third = byte(at: start &+ 2)
            if third == UInt8(ascii: "'") {
                offset = start &+ 3
                return quotedString(from: start, hasBackslashes: false, isPlain: false)
            }
            if third == UInt8(ascii: "\"") {
                offset = start &+ 3
                skipQuoted(by: third, doubled: true, hasBackslashes: false)
                return token(.unicodeName, from: start)
            }
        }
        return word(from: start)
    }

    @inline(__always)
    @_lifetime(self: copy self)
    private mutating func word(from start: Int) -> SQLToken {
        if rules.encoding == .asciiSafe {
            var end = start &+ 1
            while end < bytes.byteCount, bytes.byte(at: end).continuesName { end &+= 1 }
            offset = end
        } else {
            while offset < bytes.byteCount {
                let byte = bytes.byte(at: offset)
                guard byte.continuesName else { break }
                skipCharacter(byte)
            }
        }
        return SQLToken(kind: .word, start: start, end: offset, key: key(of: start..<offset))
    }

    /// The key of the word at `range`.
    @inline(__always)
    private func key(of range: Range<Int>) -> UInt64 {
        let count = range.upperBound &- range.lowerBound
        if range.lowerBound &+ 8 <= bytes.byteCount {
            let letters = unsafe UInt64(
                littleEndian: bytes.unsafeLoadUnaligned(
                    fromByteOffset: range.lowerBound,
                    as: UInt64.self
                )
            )
            let key = letters | WordKey.caseBits
            return count >= 8 ? key : key & ((1 &<< UInt64(8 &* count)) &- 1)
        }
        var key: UInt64 = 0
        var place = range.upperBound
        while place > range.lowerBound {
            place &-= 1
            key = key &<< 8 | UInt64(bytes.byte(at: place) | 0x20)
        }
        return key
    }

    // MARK: - Constants (section 4.1.2 "Constants")

    /// The rest of a string after its first quote, with the pieces on later lines that belong to it.
    @_lifetime(self: copy self)
    private mutating func quotedString(
        from start: Int,
        hasBackslashes: Bool,
        isPlain: Bool
    ) -> SQLToken {
        var isPlain = isPlain
        let quote = UInt8(ascii: "'")
        if skipQuoted(by: quote, doubled: true, hasBackslashes: hasBackslashes) { isPlain = false }
        while continueString() {
            skipQuoted(by: quote, doubled: true, hasBackslashes: hasBackslashes)
            isPlain = false
        }
        return token(isPlain ? .string : .otherString, from: start)
    }

    /// The same for bit strings, where two quotes are the end and a beginning.
    @_lifetime(self: copy self)
    private mutating func bitString(from start: Int) -> SQLToken {
        repeat {
            skipQuoted(by: UInt8(ascii: "'"), doubled: false, hasBackslashes: false)
        } while continueString()
        return token(.bitString, from: start)
    }

    /// Steps behind the closing quote.
    ///
    /// Returns whether a backslash was met that means something.
    @discardableResult
    @_lifetime(self: copy self)
    private mutating func skipQuoted(by quote: UInt8, doubled: Bool, hasBackslashes: Bool) -> Bool {
        var metBackslash = false
        while offset < bytes.byteCount {
            skip(to: quote, or: hasBackslashes ? UInt8(ascii: "\\") : quote)
            guard offset < bytes.byteCount else { break }
            let byte = bytes.byte(at: offset)
            if byte == quote {
                offset &+= 1
                guard doubled, self.byte(at: offset) == quote else { return metBackslash }
                offset &+= 1
            } else if byte == UInt8(ascii: "\\"), hasBackslashes {
                metBackslash = true
                offset &+= 1
                if offset < bytes.byteCount { skipCharacter(bytes.byte(at: offset)) }
            } else {
                skipCharacter(byte)
            }
        }
        return metBackslash
    }

    /// Steps behind the first quote of a string's next piece, if there is one: between the pieces
    /// are blanks and -- comments, with at least one end of a line.
    @_lifetime(self: copy self)
    private mutating func continueString() -> Bool {
        guard byte(at: offset).isBlank || byte(at: offset) == UInt8(ascii: "-") else {
            return false
        }
        let end = offset
        var metLineEnd = false
        while offset < bytes.byteCount {
            let byte = bytes.byte(at: offset)
            if byte.isBlank {
                metLineEnd = metLineEnd || byte.isLineEnd
                offset &+= 1
            } else if byte == UInt8(ascii: "-"), self.byte(at: offset &+ 1) == byte {
                skipLine()
            } else if byte == UInt8(ascii: "'"), metLineEnd {
                offset &+= 1
                return true
            } else {
                break
            }
        }
        offset = end
        return false
    }

    /// A parameter `$1`, a string in dollar quotes, or a `$` that is neither.
    @_lifetime(self: copy self)
    private mutating func dollar(from start: Int) -> SQLToken {
        if byte(at: offset).isDigit {
            while byte(at: offset).isDigit { offset &+= 1 }
            return token(.parameter, from: start)
        }
        if byte(at: offset).startsName {
            while byte(at: offset).continuesName, byte(at: offset) != UInt8(ascii: "$") {
                skipCharacter(byte(at: offset))
            }
        }
        guard byte(at: offset) == UInt8(ascii: "$") else {
            offset = start &+ 1
            return token(.other, from: start)
        }
        let tagByteCount = offset &- start
        offset &+= 1
        while offset < bytes.byteCount {
            skip(to: UInt8(ascii: "$"), or: UInt8(ascii: "$"))
            guard offset < bytes.byteCount else { break }
            let byte = bytes.byte(at: offset)
            if byte == UInt8(ascii: "$"), isTag(at: offset, as: start, byteCount: tagByteCount) {
                offset &+= tagByteCount &+ 1
                return token(.dollarString, from: start)
            }
            skipCharacter(byte)
        }
        return token(.dollarString, from: start)
    }

    /// Whether the delimiter of `byteCount` bytes and a `$` that begins at `start` also is at
    /// `place`.
    ///
    /// It has no `$` inside, so that no byte is compared for two places.
    private func isTag(at place: Int, as start: Int, byteCount: Int) -> Bool {
        guard byteCount < bytes.byteCount &- place else { return false }
        var index = 1
        while index <= byteCount {
            guard bytes.byte(at: place &+ index) == bytes.byte(at: start &+ index) else {
                return false
            }
            index &+= 1
        }
        return true
    }

    /// A number.
    ///
    /// The forms that PostgreSQL 16 adds (0x1F, 1_000) are taken as one, and what 15
    /// calls trailing junk is a token of its own, as it was before.
    @_lifetime(self: copy self)
    private mutating func number(from start: Int) -> SQLToken {
        if byte(at: start) == UInt8(ascii: "0"), let radix = Radix(letter: byte(at: start &+ 1)) {
            let first = byte(at: start &+ 2) == UInt8(ascii: "_") ? start &+ 3 : start &+ 2
            if radix.has(byte(at: first)) {
                offset = first
                while radix.has(byte(at: offset)) || isDigitAfterUnderscore(radix) { offset &+= 1 }
                return token(.number, from: start)
            }
        }
        skipDigits()
        if byte(at: offset) == UInt8(ascii: "."), byte(at: offset &+ 1) != UInt8(ascii: ".") {
            offset &+= 1
            skipDigits()
        }
        skipExponent()
        return token(.number, from: start)
    }

    @_lifetime(self: copy self)
    private mutating func skipDigits() {
        while byte(at: offset).isDigit || isDigitAfterUnderscore(.decimal) { offset &+= 1 }
    }

    private func isDigitAfterUnderscore(_ radix: Radix) -> Bool {
        byte(at: offset) == UInt8(ascii: "_") && offset > 0 && radix.has(byte(at: offset &- 1))
            && radix.has(byte(at: offset &+ 1))
    }

    @_lifetime(self: copy self)
    private mutating func skipExponent() {
        guard byte(at: offset) | 0x20 == UInt8(ascii: "e") else { return }
        let sign = byte(at: offset &+ 1)
        let hasSign = sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-")
        let digits = offset &+ (hasSign ? 2 : 1)
        guard byte(at: digits).isDigit else { return }
        offset = digits
        skipDigits()
    }

    // MARK: - Operators and punctuation (sections 4.1.3 "Operators", 4.1.4 "Special Characters")

    @_lifetime(self: copy self)
    private mutating func dot(from start: Int) -> SQLToken {
        let second = byte(at: offset)
        if second == UInt8(ascii: ".") {
            offset &+= 1
            return token(.dotDot, from: start)
        }
        guard second.isDigit else { return token(.dot, from: start) }
        skipDigits()
        skipExponent()
        return token(.number, from: start)
    }

    @_lifetime(self: copy self)
    private mutating func colon(from start: Int) -> SQLToken {
        switch byte(at: offset) {
        case UInt8(ascii: ":"):
            offset &+= 1
            return token(.typecast, from: start)
        case UInt8(ascii: "="):
            offset &+= 1
            return token(.colonEquals, from: start)
        default:
            return token(.colon, from: start)
        }
    }

    /// An operator ends where a comment begins.
    ///
    /// One of several characters ends in + or - only when
    /// it also has one of ~ ! @ # ^ & | ` ? %.
    @_lifetime(self: copy self)
    private mutating func operatorToken(from start: Int) -> SQLToken {
        offset = start &+ 1
        if start < signsEnd { return token(.operator, from: start) }
        var isFree = bytes.byte(at: start).freesOperator
        var end = start &+ 1
        var lastOther = bytes.byte(at: start).isSign ? start : end
        while end < bytes.byteCount {
            let byte = bytes.byte(at: end)
            guard byte.isOperator else { break }
            let second = self.byte(at: end &+ 1)
            if byte == UInt8(ascii: "-"), second == byte { break }
            if byte == UInt8(ascii: "/"), second == UInt8(ascii: "*") { break }
            if byte.freesOperator { isFree = true }
            end &+= 1
            if !byte.isSign { lastOther = end }
        }
        if isFree {
            offset = end
        } else {
            offset = max(lastOther, start &+ 1)
            signsEnd = end
        }
        return token(.operator, from: start)
    }
}

extension UInt64 {
    /// A set high bit for the first of the eight bytes that is zero, and none before it.
    @inline(__always)
    fileprivate var zeroBytes: UInt64 {
        (self &- 0x0101_0101_0101_0101) & ~self & 0x8080_8080_8080_8080
    }
}

/// The radix of a number.
private enum Radix {
    case binary
    case octal
    case decimal
    case hexadecimal

    init?(letter: UInt8) {
        switch letter | 0x20 {
        case UInt8(ascii: "b"): self = .binary
        case UInt8(ascii: "o"): self = .octal
        case UInt8(ascii: "x"): self = .hexadecimal
        default: return nil
        }
    }

    func has(_ digit: UInt8) -> Bool {
        switch self {
        case .binary: digit == UInt8(ascii: "0") || digit == UInt8(ascii: "1")
        case .octal: UInt8(ascii: "0")...UInt8(ascii: "7") ~= digit
        case .decimal: digit.isDigit
        case .hexadecimal:
            digit.isDigit || UInt8(ascii: "a")...UInt8(ascii: "f") ~= digit | 0x20
        }
    }
}

/// The classes of characters of section 4.1. A set of ASCII characters is two words of bits.
extension UInt8 {
    @inline(__always)
    private func isIn(_ low: UInt64, _ high: UInt64) -> Bool {
        let word = self < 64 ? low : high
        return word &>> UInt64(self & 63) & 1 != 0
    }

    /// Blank, tab, ends of lines, form feed; PostgreSQL 16 adds the vertical tab.
    @inline(__always)
    fileprivate var isBlank: Bool { self == 0x20 || self &- 9 < 5 }

    @inline(__always)
    fileprivate var isLineEnd: Bool { self == 0x0A || self == 0x0D }

    @inline(__always)
    fileprivate var isDigit: Bool { self &- 0x30 < 10 }

    /// Letters, the underscore and everything above 0x7F.
    @inline(__always)
    fileprivate var startsName: Bool { self >= 0x80 || isIn(0, 0x07FF_FFFE_87FF_FFFE) }

    /// The same, digits and the dollar sign.
    @inline(__always)
    fileprivate var continuesName: Bool {
        self >= 0x80 || isIn(0x03FF_0010_0000_0000, 0x07FF_FFFE_87FF_FFFE)
    }

    /// One of + - * / < > = ~ ! @ # % ^ & | ` and the question mark.
    @inline(__always)
    fileprivate var isOperator: Bool {
        self < 0x80 && isIn(0xF000_AC6A_0000_0000, 0x5000_0001_4000_0001)
    }

    @inline(__always)
    fileprivate var isSign: Bool { self == 0x2B || self == 0x2D }

    /// One of ~ ! @ # % ^ & | ` and the question mark.
    @inline(__always)
    fileprivate var freesOperator: Bool {
        self < 0x80 && isIn(0x8000_006A_0000_0000, 0x5000_0001_4000_0001)
    }
}
