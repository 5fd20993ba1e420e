// What a console statement asks for, after parsing and before authorization. Commands are values:
// whoever runs them decides nothing about names, roles or answers.

public import PostgresWire

/// A command of the console.
public enum AdminCommand: Equatable, Sendable {
    /// DISABLE: refuse new logins to a database.
    case disable(database: ByteString)
    /// ENABLE: allow logins to a database again.
    case enable(database: ByteString)
    /// KILL: drop the connections of a database, or of all, at once and leave it paused.
    case kill(database: ByteString?)
    /// KILL_CLIENT: drop one client.
    case killClient(ClientReference)
    /// PAUSE: close servers as they become free; clients wait. Answered when none is left.
    case pause(database: ByteString?)
    /// RECONNECT: replace servers as they become free.
    case reconnect(database: ByteString?)
    /// RELOAD: read the configuration again.
    case reload
    /// RESUME: undo PAUSE, KILL or SUSPEND.
    case resume(database: ByteString?)
    /// SET of one of our settings, until the next RELOAD.
    case set(key: ByteString, value: ByteString)
    /// SET of a PostgreSQL setting that drivers like to change: accepted, and nothing happens.
    case setIgnored
    /// SHOW of one of our tables.
    case show(ShowKind)
    /// SHOW of a PostgreSQL setting that drivers like to read.
    case showFake(FakeSetting)
    /// SHUTDOWN: end the process.
    case shutdown(ShutdownMode)
    /// SUSPEND: flush buffers and stop reading. Answered when everything is flushed.
    case suspend
    /// TAKEOVER: hand everything over to the process that asks.
    case takeOver
    /// WAIT_CLOSE: answered when no server is left that RECONNECT or RELOAD marked.
    case waitClose(database: ByteString?)
}

/// How SHUTDOWN ends the process.
public enum ShutdownMode: Equatable, Sendable {
    /// At once, without an answer.
    case immediate
    /// When all servers have been released, as after SIGINT.
    case waitForServers
    /// When all clients have left, as after SIGTERM.
    case waitForClients
}

/// Which client KILL_CLIENT means: its `id` or its `ptr` in SHOW CLIENTS.
public enum ClientReference: Equatable, Sendable {
    /// The decimal number in column `id`.
    case id(UInt64)
    /// The hexadecimal number in column `ptr`, with `0x`.
    case pointer(UInt64)

    /// Reads a reference, or returns nil when `text` is neither form.
    public init?(_ text: ByteString) {
        let digits = text.text
        if digits.hasPrefix("0x") || digits.hasPrefix("0X") {
            let hexadecimal = digits.dropFirst(2)
            guard hexadecimal.first?.isHexDigit == true else { return nil }
            guard let value = UInt64(hexadecimal, radix: 16) else { return nil }
            self = .pointer(value)
        } else {
            guard digits.first?.isNumber == true, let value = UInt64(digits) else { return nil }
            self = .id(value)
        }
    }
}

/// A PostgreSQL setting that the console pretends to have, because drivers SET or SHOW it unasked.
public enum FakeSetting: String, CaseIterable, Equatable, Sendable {
    case clientEncoding = "client_encoding"
    case dateStyle = "datestyle"
    case defaultTransactionIsolation = "default_transaction_isolation"
    case standardConformingStrings = "standard_conforming_strings"
    case timeZone = "timezone"

    /// What SHOW answers.
    public var value: String {
        switch self {
        case .clientEncoding: "UTF-8"
        case .dateStyle: "ISO"
        case .defaultTransactionIsolation: "read committed"
        case .standardConformingStrings: "on"
        case .timeZone: "GMT"
        }
    }
}

extension AdminCommand {
    /// What is written to the log when the command begins, or nil for commands that only look.
    public var logText: String? {
        switch self {
        case .disable(let database): "DISABLE '\(database)' command issued"
        case .enable(let database): "ENABLE '\(database)' command issued"
        case .kill(let database): Self.logText("KILL", database)
        case .killClient(.id(let id)): "KILL_CLIENT '\(id)' command issued"
        case .killClient(.pointer(let pointer)):
            "KILL_CLIENT '0x\(String(pointer, radix: 16))' command issued"
        case .pause(let database): Self.logText("PAUSE", database)
        case .reconnect(let database): Self.logText("RECONNECT", database)
        case .reload: "RELOAD command issued"
        case .resume(let database): Self.logText("RESUME", database)
        case .set(let key, _): "SET \(key) command issued"
        case .setIgnored, .show, .showFake: nil
        case .shutdown: "SHUTDOWN command issued"
        case .suspend: "SUSPEND command issued"
        case .takeOver: "TAKEOVER command issued"
        case .waitClose(let database): Self.logText("WAIT_CLOSE", database)
        }
    }

    private static func logText(_ name: String, _ database: ByteString?) -> String {
        guard let database else { return "\(name) command issued" }
        return "\(name) '\(database)' command issued"
    }
}
