// Cuts the text of a console query into words. It knows PostgreSQL's blanks, comments and quotes,
// as far as the console's statements can have them, and nothing about commands. Every byte is looked
// at once; any input ends in tokens or in nil.

import PostgresWire

/// A piece of a console statement.
struct AdminToken: Equatable, Sendable {
    enum Kind: Equatable, Sendable {
        /// A word or number, or a quoted identifier without its quotes.
        case word(ByteString)
        /// A string constant without its quotes.
        case string(ByteString)
        case equals
        case semicolon
    }

    let kind: Kind
    /// Where the token stands in the query.
    let range: Range<Int>
}

/// Reads tokens one after the other.
///
/// Invariant: 0 <= offset <= bytes.count.
struct AdminLexer {
    private let bytes: [UInt8]
    private var offset = 0

    /// All tokens of `query`, or nil when it has a byte, quote or comment that cannot be.
    static func tokens(_ query: ByteString) -> [AdminToken]? {
        var lexer = AdminLexer(bytes: query.bytes)
        var tokens: [AdminToken] = []
        while true {
            guard lexer.skipBlanks() else { return nil }
            guard lexer.offset < lexer.bytes.count else { return tokens }
            let start = lexer.offset
            guard let kind = lexer.token() else { return nil }
            tokens.append(AdminToken(kind: kind, range: start..<lexer.offset))
        }
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    private func byte(ahead distance: Int = 0) -> UInt8? {
        offset + distance < bytes.count ? bytes[offset + distance] : nil
    }

    private func startsComment(ahead distance: Int = 0) -> Bool {
        switch (byte(ahead: distance), byte(ahead: distance + 1)) {
        case (UInt8(ascii: "-"), UInt8(ascii: "-")), (UInt8(ascii: "/"), UInt8(ascii: "*")): true
        default: false
        }
    }

    /// Skips blanks and comments; false when a comment does not end.
    private mutating func skipBlanks() -> Bool {
        while let byte = byte() {
            if byte.isBlank {
                offset += 1
            } else if !startsComment() {
                return true
            } else if byte == UInt8(ascii: "-") {
                skipLine()
            } else if !skipBlockComment() {
                return false
            }
        }
        return true
    }

    private mutating func skipLine() {
        while let byte = byte(), byte != UInt8(ascii: "\n"), byte != UInt8(ascii: "\r") {
            offset += 1
        }
    }

    /// Skips a comment, which may hold others; false when it does not end.
    private mutating func skipBlockComment() -> Bool {
        var depth = 0
        while let byte = byte() {
            switch (byte, self.byte(ahead: 1)) {
            case (UInt8(ascii: "/"), UInt8(ascii: "*")):
                depth += 1
                offset += 2
            case (UInt8(ascii: "*"), UInt8(ascii: "/")):
                depth -= 1
                offset += 2
                if depth == 0 { return true }
            default:
                offset += 1
            }
        }
        return false
    }

    private mutating func token() -> AdminToken.Kind? {
        switch byte() {
        case UInt8(ascii: "="):
            offset += 1
            return .equals
        case UInt8(ascii: ";"):
            offset += 1
            return .semicolon
        case UInt8(ascii: "\""):
            // An empty name would read as "no argument", and PAUSE "" as PAUSE.
            guard let name = quoted(by: UInt8(ascii: "\"")), !name.isEmpty else { return nil }
            return .word(name)
        case UInt8(ascii: "'"):
            return quoted(by: UInt8(ascii: "'")).map { .string($0) }
        default:
            return word().map { .word($0) }
        }
    }

    /// The text between two `quote`s, where two together mean one.
    private mutating func quoted(by quote: UInt8) -> ByteString? {
        var text: [UInt8] = []
        offset += 1
        while let byte = byte() {
            offset += 1
            if byte == quote {
                guard self.byte() == quote else { return ByteString(text) }
                offset += 1
            }
            text.append(byte)
        }
        return nil
    }

    private mutating func word() -> ByteString? {
        let start = offset
        while let byte = byte(), byte.isInWord, !startsComment() { offset += 1 }
        return offset > start ? ByteString(Array(bytes[start..<offset])) : nil
    }
}

extension UInt8 {
    fileprivate var isBlank: Bool {
        switch self {
        case 0x20, 0x09...0x0D: true
        default: false
        }
    }

    /// Letters, digits and what database names, numbers, paths and addresses are made of.
    fileprivate var isInWord: Bool {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "_"), UInt8(ascii: "."),
            UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "$"), UInt8(ascii: "/"),
            UInt8(ascii: ":"), UInt8(ascii: "@"), UInt8(ascii: "*"), 0x80...0xFF:
            true
        default: false
        }
    }
}
