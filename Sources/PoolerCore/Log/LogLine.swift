// How a line of the log is written: as PgBouncer does, or as an object of JSON.

/// How grave a line is; the raw value is its syslog priority.
public enum LogLevel: Int, Sendable {
    case fatal = 2
    case error = 3
    case warning = 4
    /// PgBouncer's LOG.
    case log = 6
    case debug = 7
    /// More than anybody wants to read; syslog has no lower priority than `debug`.
    case noise = 8

    /// PgBouncer's word.
    public var word: String {
        switch self {
        case .fatal: "FATAL"
        case .error: "ERROR"
        case .warning: "WARNING"
        case .log: "LOG"
        case .debug: "DEBUG"
        case .noise: "NOISE"
        }
    }

    /// The priority for syslog and the journal.
    public var priority: Int { min(rawValue, Self.debug.rawValue) }
}

/// A value in a line of JSON.
public enum LogValue: Equatable, Sendable {
    case text(String)
    /// Written as it is.
    case number(String)
}

/// One line of the log.
public struct LogLine: Sendable {
    public let time: Timestamp
    public let process: Int32
    public let level: LogLevel
    public let text: String
    /// What the line is about, for JSON: names and values, in order.
    public let fields: [(name: String, value: LogValue)]

    public init(
        time: Timestamp,
        process: Int32,
        level: LogLevel,
        text: String,
        fields: [(name: String, value: LogValue)] = []
    ) {
        self.time = time
        self.process = process
        self.level = level
        self.text = text
        self.fields = fields
    }

    /// The line in a format, with its end.
    public func bytes(_ format: LogFormat) -> [UInt8] {
        var line: [UInt8] = []
        switch format {
        case .pgbouncer:
            time.appendText(.milliseconds, to: &line)
            line.append(contentsOf: " [\(process)] \(level.word) \(visibleText)\n".utf8)
        case .json:
            line.append(contentsOf: #"{"time":""#.utf8)
            appendTime(to: &line)
            line.append(contentsOf: #"","pid":\#(process),"level":"\#(level.word)""#.utf8)
            for field in fields { Self.append(field.name, field.value, to: &line) }
            Self.append("message", .text(text), to: &line)
            line.append(contentsOf: "}\n".utf8)
        }
        return line
    }

    /// The text, in which control characters are `\x0a` and the like.
    ///
    /// Names and queries that clients send are in it: they shall not begin lines of their own.
    public var visibleText: String {
        guard text.utf8.contains(where: Self.isControl) else { return text }
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            if Self.isControl(byte) {
                bytes.append(contentsOf: (byte < 16 ? "\\x0" : "\\x").utf8)
                bytes.append(contentsOf: String(byte, radix: 16).utf8)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func isControl(_ byte: UInt8) -> Bool { byte < 0x20 || byte == 0x7F }

    /// The time as RFC 3339 has it.
    private func appendTime(to line: inout [UInt8]) {
        var text: [UInt8] = []
        time.appendText(.milliseconds, to: &text)
        let words = text.split(separator: UInt8(ascii: " "))
        line += words[0] + [UInt8(ascii: "T")] + words[1] + [UInt8(ascii: "Z")]
    }

    private static func append(_ name: String, _ value: LogValue, to line: inout [UInt8]) {
        line.append(contentsOf: ",\"\(name)\":".utf8)
        switch value {
        case .text(let text): append(text, to: &line)
        case .number(let digits): line.append(contentsOf: digits.utf8)
        }
    }

    private static func append(_ text: String, to line: inout [UInt8]) {
        line.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): line += [UInt8(ascii: "\\"), byte]
            case 0..<0x20:
                let digits = String(byte, radix: 16)
                line.append(contentsOf: (byte < 16 ? "\\u000" : "\\u00").utf8)
                line.append(contentsOf: digits.utf8)
            default: line.append(byte)
            }
        }
        line.append(UInt8(ascii: "\""))
    }
}
