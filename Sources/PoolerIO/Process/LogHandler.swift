// Writes log lines as PgBouncer does: time, process, level, text; to standard error, to a file, or both.

internal import CLinux
package import Logging
internal import PoolerCore

/// Where log lines go; shared by all handlers.
package final class LogSink: Sendable {
    private struct State {
        var file: Int32 = -1
        var path = ""
        var isQuiet = false
    }

    private let state = Locked(State())

    package init() {}

    /// Whether standard error is left alone (-q).
    package func setQuiet(_ isQuiet: Bool) {
        state.withLock { $0.isQuiet = isQuiet }
    }

    /// Opens the log file, or opens it again after it was moved away; an empty path means none.
    /// - Throws: `SystemError`; the sink then writes where it wrote before.
    package func open(_ path: String) throws(SystemError) {
        var descriptor: Int32 = -1
        if !path.isEmpty {
            descriptor = unsafe martlet_open_append(path)
            guard descriptor >= 0 else {
                throw SystemError(call: "open \(path)", code: -descriptor)
            }
        }
        state.withLock { state in
            if state.file >= 0 { close(state.file) }
            state.file = descriptor
            state.path = path
        }
    }

    /// Writes one line.
    func write(_ line: [UInt8]) {
        state.withLock { state in
            for descriptor in [state.isQuiet ? -1 : 2, state.file] where descriptor >= 0 {
                var rest = line[...]
                while !rest.isEmpty {
                    let count = unsafe rest.withUnsafeBytes {
                        unsafe martlet_write(descriptor, $0.baseAddress, $0.count)
                    }
                    // A log that cannot be written must not stop the pooler.
                    guard count > 0 else { break }
                    rest = rest.dropFirst(count)
                }
            }
        }
    }
}

/// Formats lines for a sink: `2026-11-20 23:34:46.502 UTC [pid] LEVEL text`.
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
        var line: [UInt8] = []
        Timestamp(unixMicroseconds: martlet_unix_microseconds()).appendText(
            .milliseconds,
            to: &line
        )
        line.append(contentsOf: " [\(getpid())] \(Self.word(event.level)) \(event.message)\n".utf8)
        sink.write(line)
    }

    private static func word(_ level: Logger.Level) -> String {
        switch level {
        case .critical: "FATAL"
        case .error: "ERROR"
        case .warning: "WARNING"
        case .notice, .info: "LOG"
        case .debug: "DEBUG"
        case .trace: "NOISE"
        }
    }
}
