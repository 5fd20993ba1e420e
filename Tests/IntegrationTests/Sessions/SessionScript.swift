// A script for one session: how it logs in, and what it sends step by step. Its description is Swift
// source, so that a script from a failure can be pasted into a test.

/// One message of the extended query protocol.
enum SessionMessage: Equatable, Sendable {
    case parse(String, String)
    case bind(String, portal: String = "", [String?] = [])
    case describe(Character, String)
    case execute(portal: String = "", rows: Int = 0)
    case close(Character, String)
    case sync
}

/// What a client sends at once, then reading until the server is ready again.
enum SessionStep: Equatable, Sendable {
    /// One Query message, of one or several statements.
    case query(String)
    /// The unnamed statement: Parse, Bind, Describe, Execute, Sync.
    case extended(String, [String?] = [])
    /// Any messages; the last is `sync`.
    case pipeline([SessionMessage])
}

struct SessionScript: Equatable, Sendable {
    var user = "trusty"
    var startup: [String: String] = [:]
    var steps: [SessionStep] = []
}

extension SessionStep {
    var messages: [SessionMessage] {
        switch self {
        case .query: []
        case .extended(let text, let values):
            [.parse("", text), .bind("", values), .describe("P", ""), .execute(), .sync]
        case .pipeline(let messages): messages
        }
    }

    /// How many ReadyForQuery answer it.
    var readyCount: Int {
        if case .query = self { 1 } else { messages.count { $0 == .sync } }
    }

    var bytes: [UInt8] {
        if case .query(let text) = self { return Frontend.query(text) }
        return messages.flatMap(\.bytes)
    }

    /// Whether a text of it has this word, in whatever case.
    func mentions(_ words: String...) -> Bool {
        let texts: [String]
        switch self {
        case .query(let text), .extended(let text, _): texts = [text]
        case .pipeline(let messages):
            texts = messages.compactMap { if case .parse(_, let text) = $0 { text } else { nil } }
        }
        return texts.contains { text in words.contains { text.lowercased().contains($0) } }
    }
}

extension SessionMessage {
    var bytes: [UInt8] {
        switch self {
        case .parse(let name, let text): Frontend.parse(name, text)
        case .bind(let statement, let portal, let values):
            Frontend.message("B", Self.bindBody(statement, portal, values))
        case .describe(let kind, let name): Frontend.describe(kind, name)
        case .execute(let portal, let rows): Frontend.execute(portal: portal, rows: rows)
        case .close(let kind, let name): Frontend.close(kind, name)
        case .sync: Frontend.sync
        }
    }

    private static func bindBody(
        _ statement: String,
        _ portal: String,
        _ values: [String?]
    ) -> [UInt8] {
        var body = Frontend.string(portal) + Frontend.string(statement)
        body += Frontend.integer(0, byteCount: 2) + Frontend.integer(values.count, byteCount: 2)
        for value in values {
            body += Frontend.integer(value.map { $0.utf8.count } ?? -1) + Array((value ?? "").utf8)
        }
        return body + Frontend.integer(0, byteCount: 2)
    }
}

// MARK: - As Swift source

extension SessionScript: CustomStringConvertible {
    var description: String {
        let parameters = startup.sorted { $0.key < $1.key }
            .map { "\(quoted($0.key)): \(quoted($0.value))" }
        return """
            SessionScript(
                user: \(quoted(user)),
                startup: [\(parameters.isEmpty ? ":" : parameters.joined(separator: ", "))],
                steps: [
            \(steps.map { "        \($0),\n" }.joined())    ]
            )
            """
    }
}

extension SessionStep: CustomStringConvertible {
    var description: String {
        switch self {
        case .query(let text): ".query(\(quoted(text)))"
        case .extended(let text, []): ".extended(\(quoted(text)))"
        case .extended(let text, let values): ".extended(\(quoted(text)), \(list(values)))"
        case .pipeline(let messages):
            ".pipeline([\(messages.map(\.description).joined(separator: ", "))])"
        }
    }
}

extension SessionMessage: CustomStringConvertible {
    var description: String {
        switch self {
        case .parse(let name, let text): ".parse(\(quoted(name)), \(quoted(text)))"
        case .bind(let statement, let portal, let values):
            ".bind(\(quoted(statement)), portal: \(quoted(portal)), \(list(values)))"
        case .describe(let kind, let name): ".describe(\"\(kind)\", \(quoted(name)))"
        case .execute(let portal, let rows): ".execute(portal: \(quoted(portal)), rows: \(rows))"
        case .close(let kind, let name): ".close(\"\(kind)\", \(quoted(name)))"
        case .sync: ".sync"
        }
    }
}

/// A string literal.
private func quoted(_ text: String) -> String {
    text.contains("\"") || text.contains("\\") ? "#\"\(text)\"#" : "\"\(text)\""
}

private func list(_ values: [String?]) -> String {
    "[\(values.map { $0.map(quoted) ?? "nil" }.joined(separator: ", "))]"
}
