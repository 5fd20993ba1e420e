import PostgresWire
import Testing

@testable import PoolerCore

@Suite struct SettingCodecTests {
    @Test(arguments: ["1", "yes", "YES", "on", "true", "True"])
    func acceptsTrue(_ text: String) throws {
        #expect(try SettingCodec.bool.parse(ByteString(text)))
    }

    @Test(arguments: ["0", "no", "off", "false", "FALSE"])
    func acceptsFalse(_ text: String) throws {
        #expect(try !SettingCodec.bool.parse(ByteString(text)))
    }

    @Test(arguments: [
        ("0", 0), ("42", 42), ("+42", 42), ("-42", -42), ("0x1F", 31), ("0X1f", 31), ("017", 15),
        ("-0x10", -16), ("00", 0), ("9223372036854775807", Int.max),
    ])
    func readsIntegersAsStrtolDoes(_ text: String, _ value: Int) {
        #expect(integer(ByteString(text)) == value)
    }

    @Test(arguments: [
        "", "-", "+", "0x", "08", "1 2", "--1", "+-1", "0x-1", "9223372036854775808", "one", "１",
    ])
    func refusesOtherIntegers(_ text: String) {
        #expect(integer(ByteString(text)) == nil)
    }

    @Test(
        arguments: [
            ("0", 0), ("15", 15_000_000), ("1.5", 1_500_000), (".5", 500_000), ("5.", 5_000_000),
            ("0.000001", 1), ("0.0000001", 1), ("1.0000000", 1_000_000), ("007", 7_000_000),
            ("0000000000000000001", 1_000_000), ("0.3333333333", 333_334),
        ] as [(String, Microseconds)]
    )
    func readsSeconds(_ text: String, _ value: Microseconds) {
        #expect(durationSeconds(ByteString(text)) == value)
    }

    @Test(arguments: ["", ".", "-1", "+1", "1s", "1 ", "1..2", "1.2.3", "9999999999999", "nan"])
    func refusesOtherSeconds(_ text: String) {
        #expect(durationSeconds(ByteString(text)) == nil)
    }

    @Test(
        arguments: [
            (0, "0"), (1, "0.000001"), (1_500_000, "1.5"), (60_000_000, "60"),
            (1_000_010, "1.00001"),
        ] as [(Microseconds, String)]
    )
    func printsSeconds(_ value: Microseconds, _ text: String) {
        #expect(secondsText(value) == text)
        #expect(durationSeconds(ByteString(text)) == value)
    }

    @Test func saysWhichNumberWasExpected() {
        #expect(throws: SettingError("expected a whole number from 1 to 65535, found \"0\"")) {
            try SettingCodec.int(1...65535).parse("0")
        }
        #expect(
            throws: SettingError(
                "expected a number of seconds from 0 to 10000000000, such as 15 or 1.5 without a "
                    + "unit, found \"5min\""
            )
        ) {
            try SettingCodec.duration(0...longestDuration).parse("5min")
        }
        #expect(
            throws: SettingError(
                "expected an octal number from 0 to 0777, with its leading 0, found \"777\""
            )
        ) {
            try SettingCodec.fileMode.parse("777")
        }
    }

    @Test func keywordsIgnoreCaseAndListTheirWords() throws {
        #expect(try SettingCodec<PoolMode>.keyword.parse("Transaction") == .transaction)
        #expect(
            throws: SettingError("expected session, transaction or statement, found \"tx\"")
        ) {
            try SettingCodec<PoolMode>.keyword.parse("tx")
        }
        #expect(
            throws: SettingError(
                "\"ldap\" is not supported: Martlet has no LDAP; "
                    + "use any, trust, plain, md5, scram-sha-256, cert or hba"
            )
        ) {
            try SettingCodec<AuthType>.keyword.parse("LDAP")
        }
    }

    @Test func listsAreTrimmedAndKeepTheirBytes() throws {
        let text = ByteString(Array(" a ,,b c,\u{E9},".utf8) + [0xFF])
        let names = try SettingCodec<[ByteString]>.names.parse(text)
        #expect(names == ["a", "b c", "\u{E9}", ByteString([0xFF])])
        #expect(try SettingCodec<[ByteString]>.names.parse("") == [])
    }

    @Test func serverCheckQueryHasThreeMeanings() throws {
        let parse = SettingCodec<ServerCheckQuery>.serverCheckQuery.parse
        #expect(try parse("") == ServerCheckQuery.none)
        #expect(try parse("<empty>") == .emptyQuery)
        #expect(try parse("select 1") == .query("select 1"))
    }

    @Test func messagesStayOnOneLineAndShort() {
        #expect(quotedForMessage("a\nb\u{1B}") == "\"a?b?\"")
        #expect(quotedForMessage(ByteString(String(repeating: "x", count: 500))).count == 85)
    }

    @Test(arguments: [
        ("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("", "ab", 2), ("abc", "acb", 1),
        ("kitten", "sitting", 3), ("pool_size", "pol_size", 1),
    ])
    func countsEdits(_ source: String, _ target: String, _ distance: Int) {
        #expect(editDistance(Array(source.utf8), Array(target.utf8)) == distance)
    }

    @Test func suggestsOnlyWhatIsNear() {
        #expect(
            suggestion(for: "max_client_con", among: ["max_client_conn", "x"]) == "max_client_conn"
        )
        #expect(suggestion(for: "completely_else", among: ["max_client_conn"]) == nil)
        #expect(suggestion(for: "abc", among: ["xyz"]) == nil)
        #expect(suggestion(for: "abc", among: []) == nil)
    }
}
