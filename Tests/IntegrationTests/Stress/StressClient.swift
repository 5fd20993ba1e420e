// One client of a stress test: logs in, runs random transactions whose every answer it knows in
// advance, and judges how its connections end. Runs on a thread of its own.

import Foundation
import Glibc
import TestSupport

final class StressClient {
    let number: Int
    let plan: StressPlan
    let port: Int
    let record: StressRecord
    var random: SplitMix

    /// The connection that is logged in, and what its session must be like.
    var session: StressSession?
    private var serial = 0
    /// When it began to send what it has not heard an answer to.
    ///
    /// What the pooler's timeouts count begins after that, however late the client itself is.
    private var askedAt = ContinuousClock.now
    private var hasHeard = true
    /// What the client did last, for the findings.
    private var lastAction = ""

    private init(_ number: Int, _ plan: StressPlan, port: Int, _ record: StressRecord) {
        self.number = number
        self.plan = plan
        self.port = port
        self.record = record
        random = plan.random(for: number)
    }

    /// Begins on a thread of its own; the record tells when it has ended.
    static func start(_ number: Int, _ plan: StressPlan, port: Int, _ record: StressRecord) {
        record.started()
        Thread.detachNewThread {
            StressClient(number, plan, port: port, record).run()
            record.finished()
        }
    }

    private func run() {
        while !record.isOver {
            do {
                let session = try session ?? login()
                self.session = session
                try act(session)
            } catch {
                judge(error)
                abandon()
            }
        }
        leave()
    }

    /// At the end some say goodbye and some do not.
    private func leave() {
        if random.oneIn(2) { try? session?.connection.send(Frontend.terminate) }
        abandon()
    }

    func abandon() {
        session?.connection.close()
        session = nil
    }

    /// A text that nobody else ever sends.
    func nextTag() -> String {
        serial += 1
        return "c\(number).\(serial)"
    }

    // MARK: - Conversations

    private func login() throws -> StressSession {
        lastAction = "login"
        let (user, database) = StressPlan.pool(ofClient: number)
        let session = StressSession(try RawClient(port: port), applicationName: nextTag())
        do {
            try send(
                Frontend.startup([
                    ("user", user), ("database", database),
                    ("application_name", session.settings["application_name"] ?? ""),
                ]),
                session
            )
            while true {
                let message = try receive(session)
                if message.type == "K" { session.cancelKey = message.body }
                if message.type == "Z" { break }
            }
        } catch {
            session.connection.close()
            throw error
        }
        record.count(.login)
        return session
    }

    /// Sends the requests, now and then in small pieces, and takes exactly the replies expected.
    func run(_ conversation: Conversation, _ session: StressSession, readAfter delay: Int = 0)
        throws
    {
        lastAction = printable(conversation.requests)
        if conversation.requests.count < 10_000 && random.oneIn(10) {
            for piece in random.pieces(of: conversation.requests, upTo: 60) {
                try send(piece, session)
            }
        } else {
            try send(conversation.requests, session)
        }
        if delay > 0 { pause(.milliseconds(delay)) }
        for (index, expected) in conversation.replies.enumerated() {
            let message = try receive(session)
            guard expected.matches(message) else {
                throw WrongReply(expected: expected, message: message, place: index)
            }
        }
    }

    func send(_ bytes: [UInt8], _ session: StressSession) throws {
        if hasHeard { (askedAt, hasHeard) = (.now, false) }
        do {
            try session.connection.send(bytes)
        } catch is ConnectionFailed {
            // The pooler has closed: it must have said why.
            while true { _ = try receive(session) }
        }
    }

    /// The next message that is an answer; throws `Farewell` at a FATAL one.
    func receive(_ session: StressSession) throws -> WireMessage {
        while true {
            let message = try session.connection.receive()
            if message.type == "E" && message.fields.severity == "FATAL" {
                throw Farewell(error: message.fields)
            }
            hasHeard = true
            if message.type != "N" && message.type != "S" { return message }
        }
    }

    // MARK: - How connections end

    /// Whether the connection may have ended like this; what may not be becomes a finding.
    private func judge(_ error: any Error) {
        let port = session?.connection.localPort
        // An error in the middle of a message would be read as a part of it: the pooler keeps quiet.
        if let ended = error as? ConnectionEnded, ended.isMidMessage {
            return record.count(.forcedDisconnect)
        }
        if let farewell = error as? Farewell, isExpected(farewell.error) { return }
        let silence = ContinuousClock.now - askedAt
        record.find("client \(number), \(silence): \(error), after: \(lastAction)", port: port)
    }

    /// A timeout may end a client that gave it the time, and the operator anybody.
    private func isExpected(_ error: ErrorFields) -> Bool {
        let tolerance = Duration.milliseconds(100)
        let waited = ContinuousClock.now - askedAt
        switch error.message {
        case "query_wait_timeout":
            record.count(.queryWaitTimeout)
            return waited > .seconds(plan.queryWaitTimeout) - tolerance
        case "idle transaction timeout":
            record.count(.idleTransactionTimeout)
            return waited > .seconds(plan.idleTransactionTimeout) - tolerance
        case "admin forced disconnect":
            record.count(.forcedDisconnect)
            return true
        case _ where error.sqlstate == "57P01" || error.message == "server conn crashed?":
            record.count(.lostServer)
            return true
        default: return false
        }
    }
}

/// A logged-in connection and what PostgreSQL must still know of it, whatever server it gets.
final class StressSession {
    let connection: RawClient
    /// The body of BackendKeyData.
    var cancelKey: [UInt8] = []
    var settings: [String: String]
    /// Which text each named statement has.
    var statements: [String: String] = [:]

    init(_ connection: RawClient, applicationName: String) {
        self.connection = connection
        settings = ["application_name": applicationName, "TimeZone": "UTC"]
        connection.timeout = .seconds(60)
    }
}

/// The pooler or PostgreSQL ended the connection, and said why.
struct Farewell: Error, CustomStringConvertible {
    let error: ErrorFields
    var description: String { error.description }
}

/// An answer that is not the client's, or not whole.
struct WrongReply: Error, CustomStringConvertible {
    let expected: ExpectedReply
    let message: WireMessage
    let place: Int

    var description: String {
        let body = printable(message.body)
        let wanted = String(describing: expected).prefix(200)
        return "reply \(place) is \(message) '\(body)' instead of \(wanted)"
    }
}

/// The beginning of a message for people to read.
private func printable(_ bytes: [UInt8]) -> String {
    String(decoding: bytes.prefix(300).map { $0 < 32 ? 46 : $0 }, as: UTF8.self)
}
