// Runs a script privately and through the pooler, says where the answers part, and makes a script
// that shows a difference as short as it can.

import Testing

/// Ways to run a script the second time.
enum SessionComparison: Sendable {
    /// Privately again: shows that scripts depend on nothing but themselves.
    case privately
    /// Through a pooler that gives the session a server for its whole life.
    case throughSessionPool
    /// Through a pooler in transaction mode, with forced rotation.
    case throughTransactionPool
}

/// What a comparison needs: a database, and a pooler before it.
struct SessionBench {
    let comparison: SessionComparison
    let families: Set<SessionFamily>
    private let database: SessionDatabase
    private let pooler: Pooler
    private let console: Connection

    /// A database and a pooler for one test.
    static func with(
        _ comparison: SessionComparison,
        _ families: Set<SessionFamily>,
        _ body: (SessionBench) throws -> Void
    ) throws {
        try SessionDatabase.withDatabase { database in
            let settings = [
                "pool_mode": comparison == .throughSessionPool ? "session" : "transaction",
                "default_pool_size": comparison == .throughTransactionPool
                    ? String(SessionPolluter.poolSize(families)) : "8",
                "isolate_custom_settings": families.contains(.absentSettings) ? "1" : "0",
            ]
            let name = database.name
            try withPooler(settings, databases: [name: "dbname=\(name)"]) { pooler in
                try body(
                    SessionBench(
                        comparison: comparison,
                        families: families,
                        database: database,
                        pooler: pooler,
                        console: pooler.console()
                    )
                )
            }
        }
    }

    /// Draws a script and compares.
    func failure(seed: Int) throws -> SessionFailure? {
        let script = SessionGenerator.script(seed: seed, families: families)
        guard let difference = try difference(script, seed: seed) else { return nil }
        return SessionFailure(seed: seed, script: script, difference: difference)
    }

    /// Runs the script twice; nil when the answers are the same.
    func difference(_ script: SessionScript, seed: Int) throws -> SessionDifference? {
        try reset()
        let expected = try SessionRun.transcript(
            of: script,
            database: database.name,
            port: pooler.server.port
        )
        try reset()
        let found: SessionTranscript
        do {
            found = try secondTranscript(
                script,
                seed: seed,
                notificationCount: expected.notifications.count
            )
        } catch {
            throw TenantFinding(description: "\(error), seed \(seed):\n\(script)")
        }
        return expected.difference(to: found, of: script)
    }

    /// The run that is compared with the private one.
    func secondTranscript(
        _ script: SessionScript,
        seed: Int,
        notificationCount: Int = 0
    ) throws -> SessionTranscript {
        guard comparison != .privately else {
            return try SessionRun.transcript(
                of: script,
                database: database.name,
                port: pooler.server.port
            )
        }
        var polluter: SessionPolluter?
        if comparison == .throughTransactionPool {
            polluter = try SessionPolluter(
                seed: seed,
                families: families,
                user: script.user,
                database: database.name,
                port: pooler.port
            )
        }
        let transcript = try SessionRun.transcript(
            of: script,
            database: database.name,
            port: pooler.port,
            notificationCount: notificationCount,
            polluter: polluter
        )
        try polluter?.leave()
        return transcript
    }

    /// Every run begins with new servers, so that a difference depends on nothing before it.
    private func reset() throws {
        try database.reset { try console.query("reconnect \(database.name)") }
    }
}

/// A script whose two runs differ.
struct SessionFailure {
    let seed: Int
    var script: SessionScript
    var difference: SessionDifference

    /// Leaves out steps and startup parameters as long as a difference remains.
    func shrunk(on bench: SessionBench, within limit: Duration = .seconds(20)) throws -> Self {
        let deadline = Deadline(in: limit)
        var failure = self
        var pieceCount = 2
        while failure.script.steps.count > 1 && !deadline.hasPassed {
            let length = max(1, failure.script.steps.count / pieceCount)
            if let smaller = try failure.withoutOnePiece(of: length, on: bench, deadline) {
                failure = smaller
            } else if length == 1 {
                break
            } else {
                pieceCount *= 2
            }
        }
        for name in failure.script.startup.keys.sorted() where !deadline.hasPassed {
            var smaller = failure.script
            smaller.startup[name] = nil
            failure = try bench.failure(seed, smaller) ?? failure
        }
        return failure
    }

    /// The first of the scripts without so many steps that still differs.
    private func withoutOnePiece(
        of length: Int,
        on bench: SessionBench,
        _ deadline: Deadline
    ) throws -> Self? {
        // Nothing after the place of the difference matters; the end goes first.
        for start in stride(from: script.steps.count - length, through: 0, by: -length) {
            guard !deadline.hasPassed else { return nil }
            var smaller = script
            smaller.steps.removeSubrange(start..<(start + length))
            if let failure = try bench.failure(seed, smaller) { return failure }
        }
        return nil
    }

    var step: String {
        switch difference.place {
        case 0: "login"
        case 1...script.steps.count: script.steps[difference.place - 1].description
        default: "end"
        }
    }

    var answers: String {
        """
        step \(difference.place): \(step)
          privately:
        \(difference.expected)  through the pooler:
        \(difference.found)
        """
    }
}

extension SessionBench {
    fileprivate func failure(_ seed: Int, _ script: SessionScript) throws -> SessionFailure? {
        try difference(script, seed: seed)
            .map { SessionFailure(seed: seed, script: script, difference: $0) }
    }

    /// What a test says about a failure: where, what, and a short script that shows it.
    func report(_ failure: SessionFailure) throws -> String {
        let short = try failure.shrunk(on: self)
        let again = try self.failure(failure.seed, short.script)
        return """
            \(comparison), seed \(failure.seed) of \(families.sorted()), \(failure.answers)
            The shortest script found that differs\(again == nil ? ", not every time" : ""):
            \(short.script)
            \(short.answers)
            """
    }
}
