// Where log lines go: to standard error, to a file, to the system's log, each or none. How they are
// written is LogLine's to say.

internal import CLinux
package import Logging
package import PoolerCore

/// Where log lines go; shared by all handlers.
package final class LogSink: Sendable {
    private struct State {
        var file: Int32 = -1
        var format = LogFormat.pgbouncer
        var isQuiet = false
        var hasSyslog = false
    }

    private let state = Locked(State())
    /// Whether standard error is the journal, which takes priorities in front of lines.
    private let isJournal: Bool

    package init() {
        isJournal = Self.isJournal
    }

    /// Whether standard error is left alone (-q).
    package func setQuiet(_ isQuiet: Bool) {
        state.withLock { $0.isQuiet = isQuiet }
    }

    /// Whether lines are wanted with what they are about set apart.
    var wantsFields: Bool { state.withLock { $0.format == .json } }

    /// Opens what the settings name; a log file is opened again, because it may have been moved away.
    /// - Throws: `SystemError`; the sink then writes where it wrote before.
    package func open(_ settings: Settings) throws(SystemError) {
        var descriptor: Int32 = -1
        if !settings.logfile.isEmpty {
            descriptor = unsafe martlet_open_append(settings.logfile)
            guard descriptor >= 0 else {
                throw SystemError(call: "open \(settings.logfile)", code: -descriptor)
            }
        }
        state.withLock { state in
            if state.file >= 0 { close(state.file) }
            state.file = descriptor
            state.format = settings.logFormat
            if state.hasSyslog { martlet_close_syslog() }
            state.hasSyslog = settings.syslog
            if settings.syslog {
                unsafe martlet_open_syslog(settings.syslogIdent, settings.syslogFacility.number)
            }
        }
    }

    /// Writes one line.
    func write(_ line: LogLine) {
        state.withLock { state in
            let bytes = line.bytes(state.format)
            if state.file >= 0 { Self.write(bytes, to: state.file) }
            if !state.isQuiet {
                Self.write(isJournal ? "<\(line.level.priority)>".utf8 + bytes : bytes, to: 2)
            }
            if state.hasSyslog {
                unsafe martlet_syslog(Int32(line.level.priority), line.visibleText)
            }
        }
    }

    private static func write(_ line: [UInt8], to descriptor: Int32) {
        var rest = line[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes {
                unsafe martlet_write(descriptor, $0.baseAddress, $0.count)
            }
            // A log that cannot be written must not stop the pooler.
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    /// JOURNAL_STREAM has the device and inode of the stream that the journal reads (systemd.exec(5)).
    private static var isJournal: Bool {
        guard let stream = environment("JOURNAL_STREAM") else { return false }
        var status = stat()
        guard unsafe fstat(2, &status) == 0 else { return false }
        return stream == "\(status.st_dev):\(status.st_ino)"
    }
}

extension SyslogFacility {
    /// The facility's code, as in syslog.h.
    fileprivate var number: Int32 {
        switch self {
        case .user: 1 << 3
        case .daemon: 3 << 3
        case .auth: 4 << 3
        case .authpriv: 10 << 3
        case .local0: 16 << 3
        case .local1: 17 << 3
        case .local2: 18 << 3
        case .local3: 19 << 3
        case .local4: 20 << 3
        case .local5: 21 << 3
        case .local6: 22 << 3
        case .local7: 23 << 3
        }
    }
}

/// A variable of the environment.
func environment(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
}

/// A number among what a line is about.
struct LogNumber: CustomStringConvertible, Sendable {
    let digits: String

    var description: String { digits }
}

/// Hands lines to a sink.
package struct PgBouncerLogHandler: LogHandler {
    package var logLevel = Logger.Level.info
    package var metadata: Logger.Metadata = [:]
    private let sink: LogSink

    package init(_ sink: LogSink) {
        self.sink = sink
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        let fields = (event.metadata ?? [:]).sorted { $0.key < $1.key }
        sink.write(
            LogLine(
                time: Timestamp(unixMicroseconds: martlet_unix_microseconds()),
                process: getpid(),
                level: Self.level(event.level),
                text: "\(event.message)",
                fields: fields.map { ($0.key, Self.value($0.value)) }
            )
        )
    }

    private static func value(_ value: Logger.MetadataValue) -> LogValue {
        if case .stringConvertible(let number as LogNumber) = value {
            return .number(number.digits)
        }
        return .text("\(value)")
    }

    private static func level(_ level: Logger.Level) -> LogLevel {
        switch level {
        case .critical: .fatal
        case .error: .error
        case .warning: .warning
        case .notice, .info: .log
        case .debug: .debug
        case .trace: .noise
        }
    }
}
