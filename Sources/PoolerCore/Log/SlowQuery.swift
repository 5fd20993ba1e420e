// What the log says of a query that took long (log_min_duration), and how much of its text.

public import PostgresWire

/// A query that took long.
public struct SlowQuery: Sendable {
    /// How long its client waited for a server, and for that to be made ready.
    public let waitTime: Microseconds
    /// How long the server took, from the first message to ReadyForQuery.
    public let serverTime: Microseconds
    /// The process number of the server.
    public let serverProcess: Int
    /// The beginning of its text; empty if that is not wanted or not known.
    public let text: ByteString

    public init(
        waitTime: Microseconds,
        serverTime: Microseconds,
        serverProcess: Int,
        text: ByteString
    ) {
        self.waitTime = waitTime
        self.serverTime = serverTime
        self.serverProcess = serverProcess
        self.text = text
    }

    /// What stands in a line of text.
    public var logText: String {
        let times =
            "query=\(Self.milliseconds(waitTime + serverTime)) ms"
            + " wait=\(Self.milliseconds(waitTime)) ms server=\(Self.milliseconds(serverTime)) ms"
        let line = "slow query: \(times) server_pid=\(serverProcess)"
        return text.isEmpty ? line : "\(line) text: \(readableText)"
    }

    /// What stands in a line of JSON, beside what the client is.
    public var fields: [(name: String, value: LogValue)] {
        var fields: [(name: String, value: LogValue)] = [
            ("query_ms", .number(Self.milliseconds(waitTime + serverTime))),
            ("wait_ms", .number(Self.milliseconds(waitTime))),
            ("server_ms", .number(Self.milliseconds(serverTime))),
            ("server_pid", .number(String(serverProcess))),
        ]
        if !text.isEmpty { fields.append(("text", .text(readableText))) }
        return fields
    }

    /// The text on one line, without the bytes of a character that was cut.
    private var readableText: String {
        let line = text.bytes.map { $0 < 0x20 || $0 == 0x7F ? UInt8(ascii: " ") : $0 }
        // At most three bytes of a character can be left over.
        for cut in 0...min(3, line.count) {
            if let whole = String(validating: line.dropLast(cut), as: UTF8.self) { return whole }
        }
        return String(decoding: line, as: UTF8.self)
    }

    /// Milliseconds with three digits behind the point.
    private static func milliseconds(_ time: Microseconds) -> String {
        let (whole, rest) = time.quotientAndRemainder(dividingBy: 1_000)
        let digits = String(rest)
        return "\(whole)." + String(repeating: "0", count: max(0, 3 - digits.count)) + digits
    }
}
