import PoolerCore
import Testing

@Suite struct LogLineTests {
    private static func line(_ text: String, _ fields: [(String, String)] = []) -> LogLine {
        LogLine(
            time: Timestamp(unixMicroseconds: 1_795_217_686_502_000),
            process: 42,
            level: .warning,
            text: text,
            fields: fields.map { (name: $0.0, value: .text($0.1)) }
        )
    }

    @Test func asPgBouncer() {
        let bytes = Self.line("closing because: x (age=1s)").bytes(.pgbouncer)
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text == "2026-11-20 23:34:46.502 UTC [42] WARNING closing because: x (age=1s)\n")
    }

    /// What clients send is in lines of the log, and shall not look like more than one.
    @Test func aLineIsOneLine() {
        let line = Self.line("user a\n2026 [1] LOG b\u{1}\u{7F} ü")
        #expect(line.visibleText == #"user a\x0a2026 [1] LOG b\x01\x7f ü"#)
        let text = String(decoding: line.bytes(.pgbouncer), as: UTF8.self)
        #expect(text.hasSuffix(line.visibleText + "\n"))
    }

    @Test func asJSON() {
        let line = Self.line("a \"b\" \\ \n \u{1} ü", [("user", "o\"x"), ("database", "shop")])
        #expect(
            String(decoding: line.bytes(.json), as: UTF8.self)
                == #"{"time":"2026-11-20T23:34:46.502Z","pid":42,"level":"WARNING","#
                + #""user":"o\"x","database":"shop","message":"a \"b\" \\ \u000a \u0001 ü"}"# + "\n"
        )
    }

    @Test func numbersStayNumbers() {
        let line = LogLine(
            time: Timestamp(unixMicroseconds: 1_795_217_686_502_000),
            process: 1,
            level: .log,
            text: "slow query",
            fields: [("query_ms", .number("1203.412"))]
        )
        let text = String(decoding: line.bytes(.json), as: UTF8.self)
        #expect(text.hasSuffix(#""LOG","query_ms":1203.412,"message":"slow query"}"# + "\n"))
    }

    @Test func prioritiesAreThoseOfSyslog() {
        let levels: [LogLevel] = [.fatal, .error, .warning, .log, .debug, .noise]
        #expect(levels.map(\.priority) == [2, 3, 4, 6, 7, 7])
    }
}
