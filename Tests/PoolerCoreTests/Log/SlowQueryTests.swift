import PoolerCore
import PostgresWire
import Testing

@Suite struct SlowQueryTests {
    private static func query(_ text: ByteString) -> SlowQuery {
        SlowQuery(waitTime: 1_000_007, serverTime: 203_412, serverProcess: 42, text: text)
    }

    @Test func timesStandApart() {
        let times = "slow query: query=1203.419 ms wait=1000.007 ms server=203.412 ms server_pid=42"
        #expect(Self.query("").logText == times)
        #expect(Self.query("select 1").logText == times + " text: select 1")
        #expect(
            Self.query("").fields.map(\.name) == ["query_ms", "wait_ms", "server_ms", "server_pid"]
        )
        #expect(
            Self.query("select 1").fields.map(\.value) == [
                .number("1203.419"), .number("1000.007"), .number("203.412"), .number("42"),
                .text("select 1"),
            ]
        )
    }

    @Test(
        arguments: [
            ("select\n\t1\u{7F}", "select  1 "),
            ("h\u{E4}", "h\u{E4}"),
        ] as [(ByteString, String)]
    )
    func theTextStaysOnItsLine(_ text: ByteString, _ shown: String) {
        #expect(Self.query(text).logText.hasSuffix(" text: \(shown)"))
    }

    /// A character that was cut is left out; what is no text at all does no harm.
    @Test func charactersThatWereCut() {
        let text = Array("select '€€".utf8)
        for cut in 1...2 {
            let query = Self.query(ByteString(Array(text.dropLast(cut))))
            #expect(query.fields.last?.value == .text("select '€"))
        }
        #expect(Self.query(ByteString([0xFF, 0xFE, 0x41, 0xFF, 0xFF])).logText.contains("A"))
    }
}
