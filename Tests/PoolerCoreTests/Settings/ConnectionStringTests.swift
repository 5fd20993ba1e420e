import PostgresWire
import Testing

@testable import PoolerCore

@Suite struct ConnectionStringTests {
    private func pairs(_ text: String) throws(SettingError) -> [String] {
        try parseConnectionString(ByteString(text)).map { "\($0.key)|\($0.value)" }
    }

    @Test(
        arguments: [
            ("", []), ("  ", []),
            ("host=a port=1", ["host|a", "port|1"]),
            (" host = a\tport\t=\t1 ", ["host|a", "port|1"]),
            ("password='with blank'", ["password|with blank"]),
            ("password='it''s' a=b", ["password|it's", "a|b"]),
            ("password=''", ["password|"]),
            ("password=''''", ["password|'"]),
            (#"password=a\b'c"#, [#"password|a\b'c"#]),
            (#"password='\'"#, [#"password|\"#]),
            ("a=b=c", ["a|b=c"]),
            ("a=1 a=2", ["a|1", "a|2"]),
        ] as [(String, [String])]
    )
    func readsPairs(_ text: String, _ expected: [String]) throws {
        #expect(try pairs(text) == expected)
    }

    @Test(arguments: [
        ("host", "expected key=value pairs: no \"=\" after \"host\""),
        ("host a", "expected key=value pairs: no \"=\" after \"host\""),
        ("=a", "expected key=value pairs: \"=\" without a key"),
        ("host=", "host: expected a value after \"=\"; write '' for an empty one"),
        ("host= ", "host: expected a value after \"=\"; write '' for an empty one"),
        ("password='secret", "password: the quoted value has no closing quote"),
        ("password='secret'x", "password: expected a blank after the closing quote"),
    ])
    func saysWhatIsWrongWithoutTheValue(_ text: String, _ message: String) {
        #expect(throws: SettingError(message)) { try pairs(text) }
        #expect(!message.contains("secret"))
    }
}
