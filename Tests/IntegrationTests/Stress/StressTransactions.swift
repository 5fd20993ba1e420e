// What well-behaved clients of a stress test do: a random transaction at a time.

import TestSupport

extension StressClient {
    /// One random thing; throws when the connection came to its end.
    func act(_ session: StressSession) throws {
        // Somebody has to idle in a transaction even in the shortest run.
        if number == 0 && record[.idleTransactionTimeout] == 0 { return try idle(session) }
        switch random.number(0...99) {
        case 0..<25: try queries(session)
        case 25..<50: try preparedStatements(session)
        case 50..<72: try transaction(session)
        case 72..<80: try settings(session)
        case 80..<85: try failures(session)
        case 85..<89: try copyOut(session)
        case 89..<91: try largeResult(session)
        case 91..<95: try cancelOwnQuery(session)
        case 95..<97: try vanish(session)
        default: pause(.milliseconds(random.number(1...10)))
        }
        if random.oneIn(1_000) && self.session != nil { try idle(session) }
    }

    private func commit(_ conversation: Conversation, _ session: StressSession) throws {
        try run(conversation, session)
        record.count(.transaction)
    }

    /// A pipeline of one to four Query messages.
    private func queries(_ session: StressSession) throws {
        var conversation = Conversation()
        for _ in 1...random.number(1...4) {
            let tag = nextTag()
            switch random.number(0...3) {
            case 0: conversation.query("select '\(tag)'", rows: [tag])
            case 1:
                let rows = (1...random.number(1...40)).map { "\(tag).\($0)" }
                conversation.query(
                    "select '\(tag).' || n from generate_series(1, \(rows.count)) n",
                    rows: rows
                )
            case 2:
                conversation.query(
                    ("select '\(tag)a'", "select '\(tag)b'"),
                    rows: (["\(tag)a"], ["\(tag)b"])
                )
            default:
                let seconds = Double(random.number(0...3)) / 1_000
                conversation.query("select '\(tag)' from pg_sleep(\(seconds))", rows: [tag])
            }
        }
        try commit(conversation, session)
    }

    /// Steps of the extended protocol with a Sync after some of them and after the last.
    ///
    /// Names mean something else for each client, and change their meaning.
    private func preparedStatements(_ session: StressSession) throws {
        var conversation = Conversation()
        for step in 1...random.number(1...5) {
            let name = "s\(random.number(0...5))"
            if session.statements[name] == nil {
                let text = random.oneIn(2) ? "shared \(random.number(0...9))" : nextTag()
                session.statements[name] = text
                conversation.parse(name, "select $1 || '\(text)'")
            }
            let tag = nextTag()
            conversation.execute(name, [tag], row: [tag + (session.statements[name] ?? "")])
            if random.oneIn(4) {
                conversation.closeStatement(name)
                session.statements[name] = nil
            }
            if random.oneIn(4) {
                conversation.parse("", "select $1 || ' unnamed \(step)'")
                conversation.execute("", [tag], row: ["\(tag) unnamed \(step)"])
            }
            if random.oneIn(3) { conversation.sync() }
        }
        conversation.sync()
        try commit(conversation, session)
    }

    /// BEGIN to COMMIT or ROLLBACK, message by message or in one write.
    ///
    /// A setting that lasts as long as the transaction shows that all of it ran on one server.
    private func transaction(_ session: StressSession) throws {
        let mark = nextTag()
        var steps = [Conversation()]
        func add(_ step: (inout Conversation) -> Void) {
            var conversation = Conversation()
            step(&conversation)
            steps.append(conversation)
        }
        add { $0.command("begin", tag: "BEGIN", then: "T") }
        add {
            $0.query(
                "select set_config('stress.mark', '\(mark)', true)",
                rows: [mark],
                then: "T"
            )
        }
        for _ in 1...random.number(1...3) {
            let tag = nextTag()
            switch random.number(0...3) {
            case 0: add { $0.query("select '\(tag)'", rows: [tag], then: "T") }
            case 1:
                add {
                    $0.parse("", "select $1 || '\(tag)'")
                    $0.execute("", ["x"], row: ["x\(tag)"])
                    $0.sync(then: "T")
                }
            case 2:
                let rows = (1...random.number(1...20)).map { "\(tag)\t\($0)" }
                let count = "select count(*)::text from stress_rows where tag = '\(tag)'"
                add { $0.copyIn("stress_rows", rows: rows, then: "T") }
                add { $0.query(count, rows: [String(rows.count)], then: "T") }
            default:
                add {
                    $0.query(
                        "select current_setting('application_name')",
                        rows: [applicationName],
                        then: "T"
                    )
                }
            }
        }
        add { $0.query("select current_setting('stress.mark')", rows: [mark], then: "T") }
        switch random.number(0...3) {
        case 0:
            add { $0.failure("select 1/0", "22012", then: "E") }
            add { $0.failure("select 'no'", "25P02", then: "E") }
            add { $0.command("commit", tag: "ROLLBACK") }
        case 1:
            add { $0.copyInFailing("stress_rows", rows: ["\(mark)\t1"], then: "E") }
            add { $0.command("rollback", tag: "ROLLBACK") }
        case 2: add { $0.command("rollback", tag: "ROLLBACK") }
        default: add { $0.command("commit", tag: "COMMIT") }
        }
        if random.oneIn(3) {
            try commit(steps.reduce(Conversation(), +), session)
        } else {
            for step in steps { try run(step, session) }
            record.count(.transaction)
        }
    }

    private var applicationName: String { session?.settings["application_name"] ?? "" }

    /// Settings follow the client from server to server, and a rollback takes them back.
    private func settings(_ session: StressSession) throws {
        var conversation = Conversation()
        for (name, value) in session.settings.sorted(by: { $0.key < $1.key }) {
            conversation.query("select current_setting('\(name)')", rows: [value])
        }
        let name = random.oneIn(2) ? "TimeZone" : "application_name"
        let zones = ["UTC", "Asia/Tokyo", "Europe/Paris"]
        let value = name == "TimeZone" ? zones[random.number(0...2)] : nextTag()
        if random.oneIn(3) {
            conversation.command("begin", tag: "BEGIN", then: "T")
            conversation.command("set \(name) to '\(value)'", tag: "SET", then: "T")
            conversation.query("select current_setting('\(name)')", rows: [value], then: "T")
            conversation.command("rollback", tag: "ROLLBACK")
        } else {
            conversation.command("set \(name) to '\(value)'", tag: "SET")
            session.settings[name] = value
        }
        conversation.query(
            "select current_setting('\(name)')",
            rows: [session.settings[name] ?? ""]
        )
        try commit(conversation, session)
    }

    private func failures(_ session: StressSession) throws {
        let tag = nextTag()
        var conversation = Conversation()
        conversation.failure("select * from no_such_\(number)", "42P01")
        conversation.parse("", "select (1/(n - $1::int))::text from generate_series(1, 1) n")
        conversation.executeFailing("", ["1"], "22012")
        conversation.unanswered(
            Frontend.bind("", ["2"]) + Frontend.execute() + Frontend.parse("lost", "select 1")
        )
        conversation.sync()
        conversation.bindFailing("lost", [], "26000")
        conversation.sync()
        conversation.query("select '\(tag)'", rows: [tag])
        try commit(conversation, session)
    }

    private func copyOut(_ session: StressSession) throws {
        let tag = nextTag()
        let rows = (1...random.number(1...200)).map { "\(tag).\($0)" }
        var conversation = Conversation()
        conversation.copyOut(
            "select '\(tag).' || n from generate_series(1, \(rows.count)) n",
            rows: rows
        )
        try commit(conversation, session)
    }

    /// Up to a megabyte, sometimes left unread for a while.
    private func largeResult(_ session: StressSession) throws {
        let tag = nextTag()
        let count = random.number(1_000...50_000)
        let rows = (1...random.number(1...3)).map { _ in String(repeating: "\(tag);", count: count)
        }
        var conversation = Conversation()
        conversation.query(
            "select repeat('\(tag);', \(count)) from generate_series(1, \(rows.count))",
            rows: rows
        )
        try run(conversation, session, readAfter: random.oneIn(3) ? 40 : 0)
        record.count(.transaction)
    }
}
