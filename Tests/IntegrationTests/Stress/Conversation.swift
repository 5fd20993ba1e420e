// Requests and, one for one, the replies that must come: nothing else, nothing less, no other's.

/// One message that a client must be sent.
enum ExpectedReply: Equatable {
    /// Any message of this type.
    case message(Character)
    case row([String])
    /// One line of COPY OUT.
    case copyRow(String)
    case complete(String)
    case error(String)
    /// ReadyForQuery with this transaction status.
    case ready(Character)

    func matches(_ message: WireMessage) -> Bool {
        switch self {
        case .message(let type): message.type == type
        case .row(let columns): message.type == "D" && message.row == columns
        case .copyRow(let text): message.type == "d" && message.body == Array((text + "\n").utf8)
        case .complete(let tag): message.type == "C" && message.text == tag
        case .error(let sqlstate): message.type == "E" && message.fields.sqlstate == sqlstate
        case .ready(let status): message.type == "Z" && message.text == String(status)
        }
    }
}

struct Conversation {
    private(set) var requests: [UInt8] = []
    private(set) var replies: [ExpectedReply] = []

    static func + (first: Conversation, second: Conversation) -> Conversation {
        var joined = first
        joined.requests += second.requests
        joined.replies += second.replies
        return joined
    }

    // MARK: - Simple queries

    /// A Query message that returns these rows of one column.
    mutating func query(_ statement: String, rows: [String], then status: Character = "I") {
        requests += Frontend.query(statement)
        answer(rows)
        replies.append(.ready(status))
    }

    /// A Query message of two statements.
    mutating func query(_ statements: (String, String), rows: ([String], [String])) {
        requests += Frontend.query("\(statements.0); \(statements.1)")
        answer(rows.0)
        answer(rows.1)
        replies.append(.ready("I"))
    }

    /// A Query message without rows.
    mutating func command(_ statement: String, tag: String, then status: Character = "I") {
        requests += Frontend.query(statement)
        replies += [.complete(tag), .ready(status)]
    }

    mutating func failure(_ statement: String, _ sqlstate: String, then status: Character = "I") {
        requests += Frontend.query(statement)
        replies += [.error(sqlstate), .ready(status)]
    }

    private mutating func answer(_ rows: [String]) {
        replies += [.message("T")] + rows.map { .row([$0]) } + [.complete("SELECT \(rows.count)")]
    }

    // MARK: - Extended protocol

    mutating func parse(_ name: String, _ statement: String) {
        requests += Frontend.parse(name, statement)
        replies.append(.message("1"))
    }

    mutating func execute(_ name: String, _ parameters: [String], row: [String]) {
        requests += Frontend.bind(name, parameters) + Frontend.execute()
        replies += [.message("2"), .row(row), .complete("SELECT 1")]
    }

    /// Bind and Execute, of which the second fails: up to Sync nothing is answered.
    mutating func executeFailing(_ name: String, _ parameters: [String], _ sqlstate: String) {
        requests += Frontend.bind(name, parameters) + Frontend.execute()
        replies += [.message("2"), .error(sqlstate)]
    }

    mutating func bindFailing(_ name: String, _ parameters: [String], _ sqlstate: String) {
        requests += Frontend.bind(name, parameters)
        replies.append(.error(sqlstate))
    }

    mutating func closeStatement(_ name: String) {
        requests += Frontend.close("S", name)
        replies.append(.message("3"))
    }

    mutating func sync(then status: Character = "I") {
        requests += Frontend.sync
        replies.append(.ready(status))
    }

    /// Requests that an error before them makes the server drop.
    mutating func unanswered(_ messages: [UInt8]) { requests += messages }

    // MARK: - COPY

    mutating func copyOut(_ query: String, rows: [String]) {
        requests += Frontend.query("copy (\(query)) to stdout")
        replies.append(.message("H"))
        replies += rows.map { .copyRow($0) }
        replies += [.message("c"), .complete("COPY \(rows.count)"), .ready("I")]
    }

    mutating func copyIn(_ table: String, rows: [String], then status: Character) {
        requests += Frontend.query("copy \(table) from stdin")
        for row in rows { requests += Frontend.message("d", Array((row + "\n").utf8)) }
        requests += Frontend.message("c")
        replies += [.message("G"), .complete("COPY \(rows.count)"), .ready(status)]
    }

    mutating func copyInFailing(_ table: String, rows: [String], then status: Character) {
        requests += Frontend.query("copy \(table) from stdin")
        for row in rows { requests += Frontend.message("d", Array((row + "\n").utf8)) }
        requests += Frontend.message("f", Frontend.string("changed my mind"))
        replies += [.message("G"), .error("57014"), .ready(status)]
    }
}
