// What a session answered, step by step, in a form in which two sessions can be compared: everything
// that an application sees and that does not depend on when and where the session ran.
//
// Left out, because any two sessions differ in it:
//
//   F, L, R of errors and notices     places in PostgreSQL's sources, no part of what they mean
//   V of errors and notices           the severity again, which S tells
//   OID of a column's table           every run makes its tables anew
//   the messages of authentication     a password is right before settings are looked at, or afterwards
//   process numbers and cancel keys   which process serves a session is nobody's business
//   the digits of pg_temp_3           which of the server's slots a session has got
//
// What may differ only through a pooler is told at `SessionTranscript.difference`.

/// The answers to one step, or to the login.
struct SessionAnswer: Equatable, Sendable {
    /// One line for each message, in order; without those that are kept apart below.
    var lines: [String] = []
    /// ParameterStatus as `name=value`, sorted: their order within a step means nothing.
    var reports: [String] = []
    /// NotificationResponse as `channel payload`, in order.
    var notifications: [String] = []

    var text: String {
        (lines + reports.map { "ParameterStatus \($0)" }
            + notifications.map { "Notification \($0)" })
            .map { "    \($0)\n" }.joined()
    }
}

struct SessionTranscript: Equatable, Sendable {
    /// The login, then one for each step; fewer when the connection ended.
    var answers: [SessionAnswer] = []
    /// Notifications that came only after the last step.
    var lateNotifications: [String] = []

    /// All notifications of the session, in order.
    var notifications: [String] { answers.flatMap(\.notifications) + lateNotifications }
}

extension SessionAnswer {
    /// Takes the messages up to a ReadyForQuery.
    mutating func add(_ messages: [WireMessage]) {
        for message in messages { add(message) }
        reports.sort()
    }

    private mutating func add(_ message: WireMessage) {
        switch message.type {
        case "S":
            let parts = message.body.split(separator: 0, omittingEmptySubsequences: false)
            reports.append("\(printable(parts[0]))=\(parts.count > 1 ? printable(parts[1]) : "?")")
        case "A":
            let parts = message.body.dropFirst(4).split(
                separator: 0,
                omittingEmptySubsequences: false
            )
            notifications.append(parts.prefix(2).map { printable($0) }.joined(separator: " "))
        case "K", "R": break
        default: lines.append(Self.line(of: message))
        }
    }

    private static func line(of message: WireMessage) -> String {
        switch message.type {
        case "Z": "ReadyForQuery \(printable(message.body[...]))"
        case "C": "CommandComplete \(printable(message.body.dropLast()))"
        case "D": "DataRow \(values(message))"
        case "E", "N": "\(message.type == "E" ? "Error" : "Notice") \(fields(message))"
        case "T": "RowDescription \(columns(message))"
        case "t": "ParameterDescription \(printable(message.body[...]))"
        case "1": "ParseComplete"
        case "2": "BindComplete"
        case "3": "CloseComplete"
        case "I": "EmptyQueryResponse"
        case "n": "NoData"
        case "s": "PortalSuspended"
        default: "\(message.type) \(printable(message.body[...]))"
        }
    }

    private static func values(_ message: WireMessage) -> String {
        var reader = message.body[...]
        let count = reader.removeInteger(2)
        return (0..<count).map { _ in
            let length = Int32(truncatingIfNeeded: reader.removeInteger(4))
            guard length >= 0 else { return "NULL" }
            defer { reader.removeFirst(min(Int(length), reader.count)) }
            return "'\(printable(reader.prefix(Int(length))))'"
        }.joined(separator: ", ")
    }

    /// Name, number of the column, type, size, modifier and format.
    private static func columns(_ message: WireMessage) -> String {
        var reader = message.body[...]
        let count = reader.removeInteger(2)
        return (0..<count).map { _ in
            let name = reader.prefix { $0 != 0 }
            reader.removeFirst(min(name.count + 1, reader.count))
            let hasTable = reader.removeInteger(4) != 0
            let numbers = [2, 4, 2, 4, 2].map { String(reader.removeInteger($0)) }
            return
                "\(printable(name))(\(hasTable ? "table " : "")\(numbers.joined(separator: " ")))"
        }.joined(separator: ", ")
    }

    private static func fields(_ message: WireMessage) -> String {
        message.body.split(separator: 0)
            .filter { !Set("VFLR".utf8).contains($0.first ?? 0) }
            .map { field in
                let letter = Character(UnicodeScalar(field.first ?? 0))
                return "\(letter): \(printable(field.dropFirst()))"
            }
            .joined(separator: "; ")
    }
}

/// ASCII as it is, every other byte by its number: no encoding hides a difference.
private func printable(_ bytes: ArraySlice<UInt8>) -> String {
    if bytes.allSatisfy({ 32..<127 ~= $0 }) {
        return withoutTemporarySchemaNumber(String(decoding: bytes, as: UTF8.self))
    }
    var text = ""
    for byte in bytes {
        if 32..<127 ~= byte {
            text.unicodeScalars.append(UnicodeScalar(byte))
        } else {
            text += "\\x" + String(byte, radix: 16)
        }
    }
    return withoutTemporarySchemaNumber(text)
}

private func withoutTemporarySchemaNumber(_ text: String) -> String {
    guard text.contains("pg_temp_") else { return text }
    return text.replacing(#/pg_temp_[0-9]+/#, with: "pg_temp_N")
}

// MARK: - Comparing

/// Where two transcripts part.
struct SessionDifference: Sendable {
    /// 0 is the login, n the n-th step; behind the last step are notifications that never came.
    let place: Int
    let expected: String
    let found: String
}

extension SessionTranscript {
    /// The first difference between what a private session answered (`self`) and `other`.
    ///
    /// What may differ, because no pooler can give it or because it is better so (`isLike` has two
    /// texts beside these):
    /// - A notification may come with a later step than on a private session (never with an earlier
    ///   one): it comes from another server connection, and PostgreSQL promises no time either.
    /// - currval and lastval may say 55000, as in a fresh session, where a private session has a
    ///   value: the value is on a server that somebody else has. Another value is a difference.
    /// - "cached plan must not change result type" may not come: the statement has been prepared
    ///   anew on another server, or by the pooler.
    /// - In a failed transaction a statement that the client has prepared may be refused (25P02), where
    ///   a private session says something else about it: its server has never seen it, and does not
    ///   let anybody prepare it now.
    ///
    /// What follows the second and third is compared only if both sessions are between
    /// transactions then: in a block, one has failed and the other goes on.
    func difference(to other: SessionTranscript, of script: SessionScript) -> SessionDifference? {
        var expectedCount = 0
        var foundCount = 0
        for index in 0..<max(answers.count, other.answers.count) {
            guard index < answers.count, index < other.answers.count else {
                return difference(at: index, to: other)
            }
            let (mine, others) = (answers[index], other.answers[index])
            expectedCount += mine.notifications.count
            foundCount += others.notifications.count
            if foundCount > expectedCount { return difference(at: index, to: other) }
            if mine.isLike(others) { continue }
            let isExplained = index > 0 && Self.isExplained(mine, others, script.steps[index - 1])
            let hadFailed = index > 0 && answers[index - 1].lines.last == "ReadyForQuery E"
            guard isExplained || (hadFailed && Self.isRefusal(mine, others)) else {
                return difference(at: index, to: other)
            }
            let hasFailed = mine.lines.last == "ReadyForQuery E"
            guard mine.lines.last == others.lines.last,
                mine.lines.last == "ReadyForQuery I" || (hadFailed && hasFailed)
            else { return nil }
        }
        guard notifications != other.notifications else { return nil }
        return SessionDifference(
            place: answers.count,
            expected: "    notifications of the session: \(notifications)\n",
            found: "    notifications of the session: \(other.notifications)\n"
        )
    }

    private func difference(at index: Int, to other: SessionTranscript) -> SessionDifference {
        let none = "    no answer: the connection had ended\n"
        return SessionDifference(
            place: index,
            expected: index < answers.count ? answers[index].text : none,
            found: index < other.answers.count ? other.answers[index].text : none
        )
    }

    private static func isExplained(
        _ mine: SessionAnswer,
        _ others: SessionAnswer,
        _ step: SessionStep
    ) -> Bool {
        if step.mentions("currval(", "lastval(") && others.hasError("55000") { return true }
        return mine.hasError("0A000", "cached plan must not change result type")
            && !others.hasError("0A000")
    }
}

extension SessionTranscript {
    private static func isRefusal(_ mine: SessionAnswer, _ others: SessionAnswer) -> Bool {
        others.hasError("25P02") && mine.lines.last == others.lines.last
    }
}

extension SessionAnswer {
    fileprivate func isLike(_ other: Self) -> Bool {
        guard lines != other.lines else { return reports == other.reports }
        return reports == other.reports && lines.count == other.lines.count
            && zip(lines, other.lines).allSatisfy(Self.isLike)
    }

    /// Whether the lines are the same but for what may be said otherwise.
    ///
    /// - An error about a prepared statement gives the name that it has on the server.
    /// - Where a session has no temporary schema, another may have had one there before, and then it
    ///   is the object in it that does not exist.
    private static func isLike(_ mine: String, _ other: String) -> Bool {
        guard mine != other else { return true }
        let kind = mine.prefix { $0 != " " }
        guard kind == "Error" || kind == "Notice", other.hasPrefix(kind) else { return false }
        if other.contains("\"MARTLET_") {
            let name = #/prepared statement "[^"]*"/#
            return mine.replacing(name, with: "") == other.replacing(name, with: "")
        }
        return mine.contains("schema \"pg_temp\" does not exist")
            && other.contains("does not exist")
    }

    fileprivate func hasError(_ state: String, _ message: String = "") -> Bool {
        lines.contains { $0.hasPrefix("Error") && $0.contains("C: \(state); M: \(message)") }
    }
}
