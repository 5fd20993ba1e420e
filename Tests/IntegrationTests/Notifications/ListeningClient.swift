// What tests of LISTEN need of a raw client: notifications can come with any answer, or alone.

import TestSupport

extension WireMessage {
    /// Channel and payload of a NotificationResponse.
    var notification: String {
        let parts = body.dropFirst(4).split(separator: 0, omittingEmptySubsequences: false)
        return parts.prefix(2).map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
    }

    /// The process number of a NotificationResponse.
    var sender: Int {
        var reader = body[...]
        return reader.removeInteger(4)
    }
}

extension Frontend {
    /// The unnamed statement, prepared and executed.
    static func extended(_ statement: String) -> [UInt8] {
        parse("", statement) + bind("") + execute() + sync
    }
}

/// A client that listens.
final class ListeningClient {
    let raw: RawClient
    /// The notifications that have come and have not been asked for.
    private(set) var waiting: [WireMessage] = []
    /// The notices that have come.
    private(set) var notices: [ErrorFields] = []

    init(_ raw: RawClient) {
        self.raw = raw
    }

    var processID: Int { raw.processID }

    /// Runs a statement; an error is its own affair.
    @discardableResult
    func perform(_ statement: String, isExtended: Bool = false) throws -> [[String?]] {
        try raw.send(isExtended ? Frontend.extended(statement) : Frontend.query(statement))
        let messages = try raw.receiveUntilReady()
        for message in messages { note(message) }
        return messages.rows
    }

    /// Listens, and comes back when the pool's listener has taken over.
    func listen(_ channel: String) throws {
        try perform("listen \(channel)")
        try perform("select 1")
    }

    /// Waits for one message.
    func receive() throws { note(try raw.receive()) }

    func forgetAll() { waiting = [] }

    private func note(_ message: WireMessage) {
        if message.type == "A" { waiting.append(message) }
        if message.type == "N" { notices.append(message.fields) }
    }

    /// The next notifications, those that have come before included.
    func take(_ count: Int) throws -> [WireMessage] {
        while waiting.count < count { try receive() }
        defer { waiting.removeFirst(count) }
        return Array(waiting.prefix(count))
    }

    func notifications(_ count: Int) throws -> [String] {
        try take(count).map(\.notification)
    }

    /// All up to this one.
    func notifications(until last: String) throws -> [String] {
        var all: [String] = []
        repeat { all += try notifications(1) } while all.last != last
        return all
    }

    /// Waits for a NOTICE.
    func awaitNotice() throws -> ErrorFields {
        while notices.isEmpty { try receive() }
        return notices.removeFirst()
    }
}

extension Pooler {
    func listeningClient(user: String = "app", database: String = "app") throws -> ListeningClient {
        ListeningClient(try rawLogin(user: user, database: database))
    }
}
