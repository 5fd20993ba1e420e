import PostgresWire
import TestSupport
import Testing

@testable import PoolerCore

@Suite struct SQLLexerTests {
    private static let backslashes = ScanRules(standardConformingStrings: false)

    /// A text and the tokens that PostgreSQL makes of it.
    private static let cuts: [(String, [String])] = [
        ("", []),
        (" \t\r\n\u{0B}\u{0C} ", []),
        ("SELECT 1;", ["SELECT", "1", ";"]),
        // Comments
        ("a--b\nc", ["a", "c"]),
        ("a--b\rc", ["a", "c"]),
        ("a--b", ["a"]),
        ("a/*b*/c", ["a", "c"]),
        ("a/*/*b*/*/c", ["a", "c"]),
        ("a/*/*b*/c", ["a"]),
        ("a/*/*/ */ */c", ["a", "c"]),
        ("a/***/c", ["a", "c"]),
        ("a//*b*/c", ["a", "/", "c"]),
        ("a/* -- */c", ["a", "c"]),
        ("a/* ' */c'd'", ["a", "c", "'d'"]),
        ("/*", []),
        ("/*/", []),
        // Operators and comments within
        ("1+--2\n3", ["1", "+", "3"]),
        ("1*/*2*/3", ["1", "*", "3"]),
        ("a<--b\nc", ["a", "<", "c"]),
        ("a@-b", ["a", "@-", "b"]),
        ("a*-b", ["a", "*", "-", "b"]),
        ("a=-+b", ["a", "=", "-", "+", "b"]),
        ("a+-+b", ["a", "+", "-", "+", "b"]),
        ("a-*-b", ["a", "-*", "-", "b"]),
        ("a->>'b'", ["a", "->>", "'b'"]),
        ("a=>b", ["a", "=>", "b"]),
        ("a:=b", ["a", ":=", "b"]),
        ("a::b", ["a", "::", "b"]),
        ("a:::b", ["a", "::", ":", "b"]),
        ("a[1:2]", ["a", "[", "1", ":", "2", "]"]),
        ("a..b", ["a", "..", "b"]),
        ("a.b.c", ["a", ".", "b", ".", "c"]),
        ("?|#~", ["?|#~"]),
        // Names
        ("a$1b _x é1", ["a$1b", "_x", "é1"]),
        ("\"a\"\"b\"c", ["\"a\"\"b\"", "c"]),
        ("\"a;\nb\"", ["\"a;\nb\""]),
        ("U&\"d\\0061\" u&\"\"\"\" x", ["U&\"d\\0061\"", "u&\"\"\"\"", "x"]),
        ("u & \"a\"", ["u", "&", "\"a\""]),
        ("\"a", ["\"a"]),
        // Strings
        ("'a''b'c", ["'a''b'", "c"]),
        ("'a\\'b'", ["'a\\'", "b'"]),
        ("E'a\\'b'c", ["E'a\\'b'", "c"]),
        ("e'a\\\\'b", ["e'a\\\\'", "b"]),
        ("E'a''b\\'c'd", ["E'a''b\\'c'", "d"]),
        ("E'\\", ["E'\\"]),
        ("e 'a\\' b", ["e", "'a\\'", "b"]),
        ("N'a\\' b", ["N", "'a\\'", "b"]),
        ("U&'a\\' b", ["U&'a\\'", "b"]),
        ("B'0''1'", ["B'0'", "'1'"]),
        ("X'1F'a", ["X'1F'", "a"]),
        ("'a' 'b'", ["'a'", "'b'"]),
        ("'a'\n'b'c", ["'a'\n'b'", "c"]),
        ("'a' -- x\n 'b'c", ["'a' -- x\n 'b'", "c"]),
        ("'a'\n-- '\n-- \n'b'c", ["'a'\n-- '\n-- \n'b'", "c"]),
        ("'a'\n/* */'b'", ["'a'", "'b'"]),
        ("'a' -- x", ["'a'"]),
        ("E'a'\n'b\\'c'd", ["E'a'\n'b\\'c'", "d"]),
        ("'a'\nE'b'", ["'a'", "E'b'"]),
        ("b'0'\n'1'c", ["b'0'\n'1'", "c"]),
        ("'abc", ["'abc"]),
        // Dollar quotes
        ("$$a'b$$c", ["$$a'b$$", "c"]),
        ("$a$ $b$ $$ $a$c", ["$a$ $b$ $$ $a$", "c"]),
        ("$a$$b$a$c", ["$a$$b$a$", "c"]),
        ("$a$$ab$a$c", ["$a$$ab$a$", "c"]),
        ("$A$ $a$ $A$", ["$A$ $a$ $A$"]),
        ("$é$;$é$", ["$é$;$é$"]),
        ("a$b$;c$b$", ["a$b$", ";", "c$b$"]),
        ("$a b$", ["$", "a", "b$"]),
        ("$1 $23,$", ["$1", "$23", ",", "$"]),
        ("$$;", ["$$;"]),
        // Numbers
        ("1.5e10 .5 5. 1e-3 1E+3", ["1.5e10", ".5", "5.", "1e-3", "1E+3"]),
        ("1..2", ["1", "..", "2"]),
        ("1.e5", ["1.e5"]),
        ("1e", ["1", "e"]),
        ("1e'a\\'b'c", ["1", "e'a\\'b'", "c"]),
        ("1a", ["1", "a"]),
        ("0x1F 0b01 0o17 1_000", ["0x1F", "0b01", "0o17", "1_000"]),
        ("0xg", ["0", "xg"]),
    ]

    @Test(arguments: cuts)
    func cutsAsPostgreSQLDoes(_ text: String, _ tokens: [String]) {
        #expect(SQL.pieces(text) == tokens)
    }

    private static let backslashCuts: [(String, [String])] = [
        ("'a\\'b'c", ["'a\\'b'", "c"]),
        ("'a\\\\'b", ["'a\\\\'", "b"]),
        ("N'a\\'b'c", ["N", "'a\\'b'", "c"]),
        ("'a'\n'b\\'c'd", ["'a'\n'b\\'c'", "d"]),
        ("B'\\'a", ["B'\\'", "a"]),
        ("\"a\\\"b", ["\"a\\\"", "b"]),
        ("$$\\$$a", ["$$\\$$", "a"]),
    ]

    @Test(arguments: backslashCuts)
    func cutsWithoutStandardConformingStrings(_ text: String, _ tokens: [String]) {
        #expect(SQL.pieces(text, Self.backslashes) == tokens)
    }

    @Test func tellsStringsApartByWhatTheyCanMean() {
        #expect(SQL.kinds("'a' 'a''b'") == [.string, .string])
        #expect(SQL.kinds("'a\\b'") == [.string])
        #expect(SQL.kinds("'a\\b' 'c'", Self.backslashes) == [.otherString, .string])
        #expect(SQL.kinds("E'a'") == [.otherString])
        #expect(SQL.kinds("'a'\n'b'") == [.otherString])
        #expect(SQL.kinds("U&'a' $$a$$ x'0'") == [.otherString, .dollarString, .bitString])
        #expect(SQL.kinds("N'a'") == [.word, .string])
        #expect(SQL.kinds("a \"b\" U&\"c\"") == [.word, .quotedName, .unicodeName])
    }

    /// The second byte of a character is a quote, a backslash, a letter or a digit.
    @Test(arguments: [
        (ScanEncoding.doubleByte, [0x95, 0x5C]),
        (.doubleByte, [0xA1, 0x27]),
        (.shiftJIS, [0x95, 0x5C]),
        (.gb18030, [0x81, 0x5C]),
        (.gb18030, [0x81, 0x30, 0x81, 0x30]),
        (.johab, [0x8F, 0x5C, 0x5C]),
        (.johab, [0x95, 0x5C]),
    ])
    func stepsOverWideCharacters(_ encoding: ScanEncoding, _ character: [Int]) {
        let wide = character.map { UInt8($0) }
        for (before, after) in [("E'", "'"), ("'", "'"), ("\"", "\""), ("$$", "$$"), ("a", "b")] {
            let bytes = Array(before.utf8) + wide + Array(after.utf8) + Array(" c".utf8)
            let tokens = SQL.tokens(bytes, ScanRules(encoding: encoding))
            #expect(tokens.count == 2, "\(bytes)")
            #expect(tokens.first?.end == bytes.count - 2, "\(bytes)")
        }
        for (before, after) in [("--", "\n"), ("/*", "*/")] {
            let bytes = Array(before.utf8) + wide + Array(after.utf8) + Array(" c".utf8)
            #expect(SQL.tokens(bytes, ScanRules(encoding: encoding)).count == 1, "\(bytes)")
        }
        for cut in 1...wide.count {
            let bytes = Array("E'".utf8) + wide.prefix(cut)
            #expect(SQL.tokens(bytes, ScanRules(encoding: encoding)).last?.end == bytes.count)
        }
    }

    @Test func halfWidthKatakanaStandAlone() {
        let bytes: [UInt8] = [0x27, 0xB1, 0x27, 0x20, 0x61]
        #expect(SQL.tokens(bytes, ScanRules(encoding: .shiftJIS)).count == 2)
    }

    @Test func knowsTheEncodingsThatAreNotSafe() {
        #expect(ScanEncoding(clientEncoding: "UTF8") == .asciiSafe)
        #expect(ScanEncoding(clientEncoding: "EUC_JP") == .asciiSafe)
        #expect(ScanEncoding(clientEncoding: "SJIS") == .shiftJIS)
        #expect(ScanEncoding(clientEncoding: "SHIFT_JIS_2004") == .shiftJIS)
        #expect(ScanEncoding(clientEncoding: "GB18030") == .gb18030)
        #expect(ScanEncoding(clientEncoding: "big5") == .doubleByte)
        #expect(ScanEncoding(clientEncoding: "GBK") == .doubleByte)
        #expect(ScanEncoding(clientEncoding: "UHC") == .doubleByte)
        #expect(ScanEncoding(clientEncoding: "JOHAB") == .johab)
    }

    @Test func wordsCompareWithoutCase() {
        let tokens = SQL.tokens(Array("Select SELECT selec_ selecz select".utf8))
        #expect(tokens.map { $0.isWord("select") } == [true, true, false, false, true])
    }

    /// Tokens come in order, do not overlap, are not empty, and the end is reached.
    @Test(arguments: 0..<8)
    func anyInputEnds(_ seed: Int) {
        var random = SplitMix(seed: seed)
        let encodings: [ScanEncoding] = [.asciiSafe, .doubleByte, .shiftJIS, .gb18030, .johab]
        for _ in 0..<3_000 {
            let bytes =
                random.oneIn(3)
                ? random.bytes(random.number(0...40)) : Array(HostileText.random(&random).utf8)
            let rules = ScanRules(
                standardConformingStrings: random.oneIn(2),
                encoding: encodings[random.number(0...4)]
            )
            var place = 0
            for token in SQL.tokens(bytes, rules) {
                #expect(token.start >= place && token.end > token.start, "\(bytes)")
                place = token.end
            }
            #expect(place <= bytes.count, "\(bytes)")
        }
    }

    /// Twice the text takes about twice the time: a text of 100 kB of one kind of difficulty
    /// would take minutes if it were looked at again and again.
    @Test(arguments: [
        "/*", "*/", "'", "''", "'\n", "\"", "$a", "$a$", "$$", "$", "+", "+-", "@-", "-", "(", "(;",
        "E'\\", "1.", "1e", "a.", "\\", "0x", "'a' ", "set_config(", "f(", "begin atomic ", "--\n",
        "\u{80}",
        ";",
    ])
    func takesLinearTime(_ piece: String) {
        let count = 100_000 / piece.utf8.count
        for start in ["", "$aaaa$", "create function f() ", "E'", "select "] {
            let text = start + String(repeating: piece, count: count)
            let bytes = Array(text.utf8)
            let clock = ContinuousClock()
            let time = clock.measure {
                _ = SQL.tokens(bytes).count
                _ = StatementClassifier.effects(of: bytes.span.bytes, rules: ScanRules())
            }
            #expect(time < .seconds(20), "\(start) \(piece)")
        }
    }
}

/// Texts in which much of what is difficult comes up.
enum HostileText {
    private static let pieces = [
        "'", "''", "\\", "\"", "$$", "$a$", "$", "--", "/*", "*/", "\n", ";", "E'", "U&'", "U&\"",
        "N'", "B'", "x", "1", ".", "e", "+", "-", "@", "(", ")", ",", "::", "set", "select",
        "set_config(", "begin atomic", "end", "create function", " ", " ", "é", "pg_temp", "local",
        "execute", "as", "prepare", "0x", "_", "into", "listen", "all", "U&", "role", "to",
    ]

    static func random(_ random: inout SplitMix) -> String {
        (0..<random.number(1...30)).map { _ in pieces[random.number(0...pieces.count - 1)] }
            .joined(separator: random.oneIn(2) ? " " : "")
    }
}
