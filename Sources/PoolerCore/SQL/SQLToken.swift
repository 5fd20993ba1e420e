// A token of SQL: its kind and its place in the text. Words carry a key, so that they are compared
// with keywords as numbers.

/// A piece of a statement's text.
public struct SQLToken: Equatable, BitwiseCopyable, Sendable {
    /// What a token is.
    public enum Kind: UInt8, Equatable, BitwiseCopyable, Sendable {
        /// The end of the text.
        case end
        /// An identifier or keyword without quotes.
        case word
        /// An identifier in double quotes.
        case quotedName
        /// An identifier U&"...": what it says is not known here.
        case unicodeName
        /// A constant '...' of one piece in which no backslash means anything.
        case string
        /// Any other string constant in single quotes: E'', U&'', of several pieces.
        case otherString
        /// A bit string B'' or X''.
        case bitString
        /// A string constant in dollar quotes.
        case dollarString
        case number
        /// `$1` and so on.
        case parameter
        case `operator`
        case openParenthesis
        case closeParenthesis
        case openBracket
        case closeBracket
        case comma
        case semicolon
        case dot
        case colon
        /// `::`
        case typecast
        /// `..`
        case dotDot
        /// `:=`
        case colonEquals
        /// A byte that no token begins with; PostgreSQL refuses the text.
        case other
    }

    public var kind: Kind
    /// Where the token begins.
    public var start: Int
    /// Where the token ends: the offset of the byte after it.
    public var end: Int
    /// The key of a word; 0 for other tokens.
    public var key: UInt64

    /// The number of bytes.
    public var byteCount: Int { end &- start }
    /// The token's place.
    public var range: Range<Int> { start..<end }
    /// Whether it can be a name: quoted or not.
    public var isName: Bool { kind == .word || kind == .quotedName || kind == .unicodeName }

    static let none = SQLToken(kind: .end, start: 0, end: 0, key: 0)
}

/// The first eight bytes of a word as a number.
///
/// Bit 0x20 of every byte is set, which makes capital letters small and keeps all other characters
/// that a word can have apart.
enum WordKey {
    static let caseBits: UInt64 = 0x2020_2020_2020_2020

    /// The key of a keyword.
    ///
    /// The optimizer makes a constant of it.
    @inline(__always)
    static func of(_ text: StaticString) -> UInt64 {
        var key: UInt64 = 0
        var index = 0
        let count = min(text.utf8CodeUnitCount, 8)
        while index < count {
            let byte = unsafe text.utf8Start[index]
            key |= UInt64(byte | 0x20) &<< UInt64(8 &* index)
            index &+= 1
        }
        return key
    }
}

extension SQLToken {
    /// Whether this is the word `text`, of at most eight letters.
    @inline(__always)
    func isWord(_ text: StaticString) -> Bool {
        byteCount == text.utf8CodeUnitCount && key == WordKey.of(text)
    }
}
