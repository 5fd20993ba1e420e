// What clients of a stress test do to disturb the others: cancel, vanish, idle in a transaction.

import TestSupport

extension StressClient {
    /// A query races with a request to cancel it: it is cancelled or answers.
    ///
    /// Once the request is over, nothing else of this client may be hit; nothing of another client
    /// ever (whoever gets 57014 unasked has a finding).
    func cancelOwnQuery(_ session: StressSession) throws {
        let tag = nextTag()
        let milliseconds = random.number(0...20)
        var query = Conversation()
        query.query("select '\(tag)' from pg_sleep(0.0\(milliseconds + 10))", rows: [tag])
        try send(query.requests, session)
        pause(.milliseconds(random.number(0...(milliseconds + 15))))
        let request = try RawClient(port: port)
        defer { request.close() }
        try request.send(Frontend.integer(16) + Frontend.integer(80_877_102) + session.cancelKey)
        record.count(.cancelRequest)
        try takeAnswerOrCancellation(query, session)
        if random.oneIn(4) {
            // The request may still be under way.
            let late = nextTag()
            var next = Conversation()
            next.query("select '\(late)'", rows: [late])
            try send(next.requests, session)
            try takeAnswerOrCancellation(next, session)
        }
        guard request.isClosed(within: .seconds(20)) else {
            throw TimedOut("end of cancel request")
        }
    }

    private func takeAnswerOrCancellation(
        _ query: Conversation,
        _ session: StressSession
    ) throws {
        for (index, expected) in query.replies.enumerated() {
            let message = try receive(session)
            if message.type == "E" && message.fields.sqlstate == "57014" {
                record.count(.cancelled)
                let end = try receive(session)
                guard ExpectedReply.ready("I").matches(end) else {
                    throw WrongReply(expected: .ready("I"), message: end, place: index + 1)
                }
                return
            }
            guard expected.matches(message) else {
                throw WrongReply(expected: expected, message: message, place: index)
            }
        }
        record.count(.transaction)
    }

    /// Leaves without a word, where it hurts.
    func vanish(_ session: StressSession) throws {
        let tag = nextTag()
        let transaction = Frontend.query("begin; select '\(tag)'")
        let query = Frontend.query("select '\(tag)' from generate_series(1, 5000), pg_sleep(0.002)")
        switch random.number(0...6) {
        case 0: try send(Array(query.prefix(random.number(1...(query.count - 1)))), session)
        case 1: try send(query, session)
        case 2:
            try send(query, session)
            pause(.milliseconds(random.number(0...10)))
        case 3: try send(transaction, session)
        case 4:
            try send(transaction, session)
            while try receive(session).type != "Z" {}
            try send(Array(query.prefix(random.number(0...20))), session)
        case 5:
            let row = Frontend.message("d", Array("\(tag)\t1\n".utf8))
            try send(Frontend.query("copy stress_rows from stdin") + row + row.prefix(7), session)
            pause(.milliseconds(random.number(0...5)))
        default:
            try send(
                Frontend.parse("s9", "select $1 || '\(tag)'") + Frontend.bind("s9", [tag])
                    + Frontend.execute(),
                session
            )
            pause(.milliseconds(random.number(0...5)))
        }
        record.count(.vanished)
        if random.oneIn(2) { session.connection.reset() }
        abandon()
        if random.oneIn(3) { try vanishInLogin() }
    }

    private func vanishInLogin() throws {
        let (user, database) = StressPlan.pool(ofClient: number)
        let stranger = try RawClient(port: port)
        let startup = Frontend.startup([("user", user), ("database", database)])
        try stranger.send(Array(startup.prefix(random.number(1...startup.count))))
        if random.oneIn(2) { stranger.reset() }
        stranger.close()
    }

    /// Waits in a transaction until the pooler has had enough.
    func idle(_ session: StressSession) throws {
        var begin = Conversation()
        begin.command("begin", tag: "BEGIN", then: "T")
        try run(begin, session)
        _ = try receive(session)
        throw TimedOut("idle transaction: something arrived, and it was no farewell")
    }
}
