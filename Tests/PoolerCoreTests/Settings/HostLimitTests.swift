import PoolerCore
import PostgresWire
import Testing

/// max_host_connections.
@Suite struct HostLimitTests {
    @Test func aNumberOrAShare() {
        #expect(HostLimit(settingText: "0") == HostLimit.none)
        #expect(HostLimit(settingText: "40") == .count(40))
        #expect(HostLimit(settingText: "75%") == .percentage(75))
        for text: ByteString in ["", "%", "0%", "101%", "x", "-1", "75 %"] {
            #expect(HostLimit(settingText: text) == nil, "\(text)")
        }
        for limit in [HostLimit.none, .count(3), .percentage(100)] {
            #expect(HostLimit(settingText: limit.settingText) == limit)
        }
    }

    @Test func howManyServers() {
        #expect(HostLimit.none.serverCount(capacity: 10) == nil)
        #expect(HostLimit.count(40).serverCount(capacity: 10) == 40)
        #expect(HostLimit.percentage(75).serverCount(capacity: 97) == 72)
        #expect(HostLimit.percentage(75).serverCount(capacity: nil) == 72)
        #expect(HostLimit.percentage(1).serverCount(capacity: 0) == 1)
        #expect(HostLimit.percentage(100).serverCount(capacity: .max) == Int(Int32.max))
    }

    @Test func theAnswerIsRead() {
        func capacity(_ value: String?) -> Int? {
            var writer = ByteWriter()
            writer.message(.dataRow) { body in
                body.write(Int16(1))
                guard let value else { return body.write(Int32(-1)) }
                body.write(Int32(value.utf8.count))
                body.write(value.utf8)
            }
            return HostLimit.capacity(answer: writer.bytes.span.bytes)
        }
        #expect(capacity("97") == 97)
        #expect(capacity("-3") == 0)
        #expect(capacity("many") == nil)
        #expect(capacity(nil) == nil)
        #expect(HostLimit.capacity(answer: [UInt8]().span.bytes) == nil)
    }
}
