// One run of a script over a connection of its own, privately to PostgreSQL or through a pooler.

struct SessionRun {
    private let client: RawClient
    private let script: SessionScript
    private var transcript = SessionTranscript()
    /// Of the last ReadyForQuery; nil when the connection has ended.
    private var status: String?

    /// How long notifications that are missing in the end are waited for.
    private static let notificationLimit = Duration.seconds(2)

    private init(_ script: SessionScript, port: Int) throws {
        self.script = script
        client = try RawClient(port: port)
    }

    /// Runs `script` and returns what was answered.
    ///
    /// With a `polluter` its servers change hands between transactions. `notificationCount` tells
    /// how many notifications are awaited in the end.
    static func transcript(
        of script: SessionScript,
        database: String,
        port: Int,
        notificationCount: Int = 0,
        polluter: SessionPolluter? = nil
    ) throws -> SessionTranscript {
        var run = try SessionRun(script, port: port)
        defer { run.client.close() }
        try run.login(database)
        for step in script.steps where run.status != nil {
            if run.status == "I" { try polluter?.rotate() }
            try run.perform(step)
        }
        try run.leave(notificationCount)
        return run.transcript
    }

    private mutating func login(_ database: String) throws {
        let who = [("user", script.user), ("database", database)]
        let parameters = who + script.startup.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        try client.send(Frontend.startup(parameters))
        try receive(readyCount: 1)
    }

    private mutating func perform(_ step: SessionStep) throws {
        try client.send(step.bytes)
        try receive(readyCount: step.readyCount)
    }

    /// Everything up to so many ReadyForQuery, or up to the end of the connection.
    private mutating func receive(readyCount: Int) throws {
        var messages: [WireMessage] = []
        var count = 0
        do {
            while count < readyCount {
                messages.append(try client.receive())
                if messages.last?.type == "Z" { count += 1 }
            }
            status = messages.transactionStatus
        } catch is ConnectionEnded {
            status = nil
        } catch let timeout as TimedOut {
            // A pooler that never answers is a finding like any other.
            status = nil
            messages.append(WireMessage(type: "!", body: Array(timeout.description.utf8)))
        }
        var answer = SessionAnswer()
        answer.add(messages)
        if status == nil { answer.lines.append("the connection ended") }
        transcript.answers.append(answer)
    }

    /// Waits for what is still to come, says goodbye, and until the other side has closed.
    private mutating func leave(_ notificationCount: Int) throws {
        guard status != nil else { return }
        if transcript.notifications.count < notificationCount {
            client.timeout = Self.notificationLimit
            while transcript.notifications.count < notificationCount {
                guard let message = try? client.receive() else { break }
                var answer = SessionAnswer()
                answer.add([message])
                transcript.lateNotifications += answer.notifications
                transcript.lateNotifications += answer.lines
            }
        }
        try client.send(Frontend.terminate)
        _ = client.isClosed(within: .seconds(5))
    }
}
