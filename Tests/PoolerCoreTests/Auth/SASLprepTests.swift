import PoolerCore
import Testing

@Suite struct SASLprepTests {
    /// Control characters too: PostgreSQL looks at nothing in a password that is all ASCII.
    @Test func asciiPassesThrough() {
        let ascii = Array(UInt8(1)...0x7F)
        #expect(SASLprep.prepare(ascii) == ascii)
    }

    /// Not UTF-8; prohibited; not in Unicode 3.2; Hebrew and Latin mixed; and what does not change.
    @Test(arguments: [
        [0xFF, 0x61], Array("a\u{85}b".utf8), Array("a\u{1F511}".utf8),
        Array("\u{5D0}a\u{5D0}b".utf8),
        Array("Zażółć gęślą jaźń".utf8), Array("пароль".utf8), Array("密码".utf8),
    ])
    func rawBytesAreWhatPostgreSQLHashes(_ password: [UInt8]) {
        #expect(SASLprep.prepare(password) == password)
    }
}
