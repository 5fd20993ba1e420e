// What a session's settings change about where tokens end: standard_conforming_strings, and the
// client encodings in which a byte below 0x80 can be the rest of a character. PostgreSQL converts a
// text to the server's encoding before it looks for tokens (PostgreSQL documentation, section 24.3
// "Character Set Support"); the pooler sees it before, so that it has to skip such characters whole.

public import PostgresWire

/// How characters above 0x7F are stepped over.
public enum ScanEncoding: Equatable, BitwiseCopyable, Sendable {
    /// Every byte of a longer character is above 0x7F: UTF8, the EUC family, LATIN1, ...
    case asciiSafe
    /// BIG5, GBK and UHC: two bytes, the second is any.
    case doubleByte
    /// SJIS and SHIFT_JIS_2004: two bytes, except for 0xA1...0xDF which stand alone.
    case shiftJIS
    /// GB18030: two bytes, or four when the second is a digit.
    case gb18030
    /// JOHAB: three bytes after 0x8F, else two.
    case johab

    /// The way of a `client_encoding`, as the server reports its name.
    public init(clientEncoding name: ByteString) {
        let letters = name.lowercasedASCII
        self =
            if letters.isText("big5") || letters.isText("gbk") || letters.isText("uhc") {
                .doubleByte
            } else if letters.isText("sjis") || letters.isText("shift_jis_2004") {
                .shiftJIS
            } else if letters.isText("gb18030") {
                .gb18030
            } else if letters.isText("johab") {
                .johab
            } else {
                .asciiSafe
            }
    }

    /// How many bytes a character has that begins with a byte above 0x7F.
    ///
    /// With `asciiSafe` every byte counts as one: none of them is taken for something else.
    func byteCount(first: UInt8, second: UInt8) -> Int {
        switch self {
        case .asciiSafe: 1
        case .doubleByte: 2
        case .shiftJIS: 0xA1...0xDF ~= first ? 1 : 2
        case .gb18030: 0x30...0x39 ~= second ? 4 : 2
        case .johab: first == 0x8F ? 3 : 2
        }
    }
}

/// What has to be known of a session to find the tokens of its statements.
public struct ScanRules: Equatable, BitwiseCopyable, Sendable {
    /// Whether a backslash in '...' is an ordinary character.
    public var standardConformingStrings: Bool
    /// The session's client_encoding.
    public var encoding: ScanEncoding

    public init(standardConformingStrings: Bool = true, encoding: ScanEncoding = .asciiSafe) {
        self.standardConformingStrings = standardConformingStrings
        self.encoding = encoding
    }
}

extension ScanRules {
    /// Follows a change of the session's settings.
    public mutating func adopt(_ status: ParameterStatus) {
        if status.name.isText("client_encoding") {
            encoding = ScanEncoding(clientEncoding: status.value)
        } else if status.name.isText("standard_conforming_strings") {
            standardConformingStrings = status.value.isText("on")
        }
    }
}
