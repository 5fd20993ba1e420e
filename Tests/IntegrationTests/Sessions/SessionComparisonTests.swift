// The comparison of sessions itself: it sees what differs, lets pass what may, and servers do change
// hands.

import TestSupport
import Testing

@Suite struct SessionComparisonTests {
    private static let ready = "ReadyForQuery I"
    private static let failed = "ReadyForQuery E"

    private func transcript(_ answers: [String]...) -> SessionTranscript {
        SessionTranscript(
            answers: [SessionAnswer(lines: [Self.ready])] + answers.map { SessionAnswer(lines: $0) }
        )
    }

    private func place(
        _ mine: SessionTranscript,
        _ other: SessionTranscript,
        _ texts: String...
    ) -> Int? {
        let script = SessionScript(steps: texts.map { .query($0) })
        return mine.difference(to: other, of: script)?.place
    }

    @Test func everyDifferenceIsSeen() {
        let mine = transcript(["DataRow '1'", Self.ready], ["DataRow '2'", Self.ready])
        #expect(place(mine, mine, "a", "b") == nil)
        #expect(place(mine, transcript(["DataRow '1'", Self.ready]), "a", "b") == 2)
        let other = transcript(["DataRow '1'", Self.ready], ["DataRow '3'", Self.ready])
        #expect(place(mine, other, "a", "b") == 2)
        #expect(place(other, mine, "a", "b") == 2)
        var reported = mine
        reported.answers[1].reports = ["TimeZone=UTC"]
        #expect(place(mine, reported, "a", "b") == 1)
        #expect(place(reported, mine, "a", "b") == 1)
    }

    @Test func aNotificationMayComeLateButNotEarly() {
        var early = transcript([Self.ready], [Self.ready])
        var late = early
        let none = early
        early.answers[1].notifications = ["news 1"]
        late.lateNotifications = ["news 1"]
        #expect(place(early, late, "a", "b") == nil)
        #expect(place(late, early, "a", "b") == 1)
        #expect(place(early, none, "a", "b") == 3)
        late.lateNotifications = ["news 2"]
        #expect(place(early, late, "a", "b") == 3)
    }

    @Test func onlyTheLastValueOfASequenceMayBeLost() {
        let value = transcript(["DataRow '1'", Self.ready])
        let lost = transcript([
            "Error S: ERROR; C: 55000; M: lastval is not yet defined", Self.ready,
        ])
        #expect(place(value, lost, "select lastval()") == nil)
        #expect(place(value, lost, "select 1") == 1)
        #expect(place(lost, value, "select lastval()") == 1)
        #expect(place(value, transcript(["DataRow '2'", Self.ready]), "select lastval()") == 1)
    }

    @Test func errorsMayBeWordedOtherwiseOnlyWhereTheTableSaysSo() {
        func error(_ text: String) -> SessionTranscript {
            transcript(["Error S: ERROR; \(text)", Self.ready])
        }
        let named = error(#"C: 26000; M: prepared statement "a" has 1"#)
        #expect(
            place(named, error(#"C: 26000; M: prepared statement "MARTLET_1" has 1"#), "") == nil
        )
        #expect(place(named, error(#"C: 26000; M: prepared statement "MARTLET_1" has 2"#), "") == 1)
        #expect(place(named, error(#"C: 26000; M: prepared statement "b" has 1"#), "") == 1)
        let schema = error(#"C: 3F000; M: schema "pg_temp" does not exist"#)
        #expect(place(schema, error("C: 42883; M: function f() does not exist"), "") == nil)
        #expect(place(error("C: 42883; M: function f() does not exist"), schema, "") == 1)
    }

    @Test func aFailedTransactionMayRefuseAStatement() {
        let refusal = ["Error S: ERROR; C: 25P02; M: aborted", Self.failed]
        let mine = transcript([Self.failed], ["ParameterDescription", "NoData", Self.failed])
        #expect(place(mine, transcript([Self.failed], refusal), "a", "b") == nil)
        let unfailed = transcript([Self.ready], ["NoData", Self.failed])
        #expect(place(unfailed, transcript([Self.ready], refusal), "a", "b") == 2)
    }

    /// The bytes of every message that a script can see end up in the transcript.
    @Test func theTranscriptTellsEverything() {
        var answer = SessionAnswer()
        answer.add([
            WireMessage(
                type: "D",
                body: [0, 3, 0, 0, 0, 2, 65, 233, 255, 255, 255, 255, 0, 0, 0, 0]
            ),
            WireMessage(type: "S", body: Array("b\0two\0".utf8)),
            WireMessage(type: "S", body: Array("a\0\0".utf8)),
            WireMessage(type: "A", body: [0, 0, 0, 9] + Array("news\0x\0".utf8)),
            WireMessage(
                type: "E",
                body: Array("SERROR\0VERROR\0C26000\0Mno pg_temp_12\0L9\0\0".utf8)
            ),
            WireMessage(type: "C", body: Array("SELECT 1\0".utf8)),
            WireMessage(type: "Z", body: Array("T".utf8)),
        ])
        #expect(
            answer.lines == [
                #"DataRow 'A\xe9', NULL, ''"#, "Error S: ERROR; C: 26000; M: no pg_temp_N",
                "CommandComplete SELECT 1", "ReadyForQuery T",
            ]
        )
        #expect(answer.reports == ["a=", "b=two"])
        #expect(answer.notifications == ["news x"])
    }

    @Test func theSameSeedGivesTheSameScript() {
        let scripts = (1...20).map {
            SessionGenerator.script(seed: $0, families: SessionFamily.all)
        }
        for (seed, script) in zip(1..., scripts) {
            #expect(script == SessionGenerator.script(seed: seed, families: SessionFamily.all))
            #expect(script.steps.count >= 10)
        }
        #expect(Set(scripts.map(\.description)).count == scripts.count)
    }

    /// The script's server is another one after almost every transaction.
    @Test func serversChangeHands() throws {
        try SessionBench.with(.throughTransactionPool, [.probes]) { bench in
            let script = SessionScript(
                steps: Array(repeating: .query("select pg_backend_pid()"), count: 12)
            )
            let servers = try bench.secondTranscript(script, seed: 1).answers.dropFirst()
                .map { $0.lines.first { $0.hasPrefix("DataRow") } }
            let changes = zip(servers, servers.dropFirst()).count { $0 != $1 }
            #expect(servers.count == 12)
            #expect(Set(servers).count == 2)
            // A turn that took longer than a polluter waits may have left the script its server.
            #expect(changes >= 6)
        }
    }
}
