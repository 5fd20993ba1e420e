import PoolerCore
import Testing

@Suite struct SASLprepTests {
    /// Control characters too: PostgreSQL looks at nothing in a password that is all ASCII.
    @Test func asciiPassesThrough() {
        let ascii = Array(UInt8(1)...0x7F)
        #expect(SASLprep.prepare(ascii) == ascii)
    }

    /// Not UTF-8; prohibited; not in Unicode 3.2; Hebrew and Latin mixed, or not at both ends; nothing
    /// left; and what does not change.
    @Test(arguments: [
        [0xFF, 0x61], [0xC3], Array("a\u{85}b".utf8), Array("é\u{7}".utf8),
        Array("a\u{1F511}".utf8), Array("\u{1E9E}".utf8), Array("a\u{FFFD}".utf8),
        Array("\u{5D0}a\u{5D0}b".utf8), Array("\u{5D0}\u{5D1}1".utf8), Array("\u{AD}".utf8),
        Array("Zażółć gęślą jaźń".utf8), Array("пароль".utf8), Array("密码".utf8),
        Array("\u{5D0}1\u{5D1}".utf8), Array("한국어".utf8),
    ])
    func rawBytesAreWhatPostgreSQLHashes(_ password: [UInt8]) {
        #expect(SASLprep.prepare(password) == password)
    }

    /// Examples of RFC 4013, section 3, and one for each kind of change.
    @Test(arguments: [
        ("I\u{AD}X", "IX"), ("\u{AA}", "a"), ("\u{2168}", "IX"),
        ("a\u{A0}b\u{3000}c\u{200B}", "a b c "), ("a\u{200D}\u{FE0F}é", "aé"),
        ("e\u{301}", "\u{E9}"), ("\u{212B}", "\u{C5}"), ("q\u{307}\u{323}", "q\u{323}\u{307}"),
        ("\u{1E9B}\u{323}", "\u{1E69}"), ("ﬁx½", "fix1\u{2044}2"), ("Ｐｗ", "Pw"),
        ("\u{1112}\u{1161}\u{11AB}", "\u{D55C}"), ("\u{FB1D}", "\u{5D9}\u{5B4}"),
        ("\u{958}", "\u{915}\u{93C}"), ("a\u{315}\u{300}\u{5AE}b", "\u{E0}\u{5AE}\u{315}b"),
        ("\u{2F868}", "\u{36FC}"), ("\u{1D400}", "A"), ("\u{FDFA}", ""),
    ])
    func whatChanges(_ password: String, _ prepared: String) {
        // Eighteen characters of which the first and the last have to be Arabic letters.
        if prepared.isEmpty {
            #expect(SASLprep.prepare(Array(password.utf8)).count == 33)
        } else {
            #expect(SASLprep.prepare(Array(password.utf8)) == Array(prepared.utf8))
        }
    }

    /// What has been prepared stays as it is.
    @Test func onceIsEnough() {
        for code in UInt32(0x80)..<0x3_0000 {
            guard let scalar = Unicode.Scalar(code) else { continue }
            let once = SASLprep.prepare(Array(String(Character(scalar)).utf8))
            if SASLprep.prepare(once) != once { Issue.record("\(scalar.escaped(asASCII: true))") }
        }
    }
}
