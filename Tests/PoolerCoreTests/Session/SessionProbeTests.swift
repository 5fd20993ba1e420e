import PoolerCore
import PostgresWire
import Testing

@Suite struct SessionProbeTests {
    private static func doubts(_ text: ByteString) -> SessionDoubts {
        var doubts = SessionDoubts()
        let rules = ScanRules()
        for statement in StatementClassifier.statements(in: text.span, rules: rules) {
            doubts.add(statement, of: text.span)
        }
        return doubts
    }

    private static func probe(
        _ text: ByteString,
        pins: PinReasons = [],
        known: [ByteString] = [],
        tracksStatements: Bool = false
    ) -> SessionProbe? {
        SessionProbe(
            doubts(text),
            pins: pins,
            knownNames: known,
            tracksStatements: tracksStatements
        )
    }

    // MARK: What is asked

    @Test(arguments: [
        "select 1", "insert into t values (1)", "begin", "commit", "set local work_mem = '1MB'",
        "set transaction isolation level serializable",
        "set transaction_isolation to 'serializable'",
        "select pg_advisory_xact_lock(1)", "notify a", "drop table t", "fetch c", "unlisten *",
        "deallocate all", "show work_mem",
    ])
    func nothingIsAskedWhereNothingIsLeft(_ text: String) {
        #expect(Self.probe(ByteString(text)) == nil)
    }

    @Test(arguments: [
        ("set work_mem = '1MB'", ["work_mem"]),
        ("SET SESSION Work_Mem TO 5; set search_path = a, b", ["work_mem", "search_path"]),
        ("set time zone 'UTC'", ["timezone"]),
        ("select set_config('app.x', '1', false)", ["app.x"]),
    ])
    func settingsAreAskedForByName(_ text: String, _ names: [String]) {
        #expect(Self.probe(ByteString(text))?.settings == .named(names.map { ByteString($0) }))
    }

    @Test(arguments: [
        "reset work_mem", "reset all", "discard all", "set work_mem to default",
        "SET work_mem = DEFAULT", "do $$begin null; end$$", "call p()",
    ])
    func theServerListsWhatItHasAfterMore(_ text: String) {
        #expect(Self.probe(ByteString(text))?.settings == .all(custom: []))
        let known = Self.probe(ByteString(text), known: ["app.x", "work_mem"])
        #expect(known?.settings == .all(custom: ["app.x"]))
    }

    @Test func aCustomNameBecomesKnownByALocalSetting() {
        let text: ByteString = "set local app.x = 1"
        #expect(Self.probe(text)?.settings == .named(["app.x"]))
        #expect(Self.probe(text, known: ["app.x"]) == nil)
    }

    @Test(arguments: [
        "create temp table t (a int)", "declare c cursor with hold for select 1",
        "select pg_advisory_lock(1)", "listen a", "prepare p as select 1", "do $$begin end$$",
    ])
    func whatMayPinIsAskedFor(_ text: String) {
        #expect(Self.probe(ByteString(text))?.asksForPins == true)
    }

    @Test(arguments: [
        ("drop table t", PinReasons.temporary), ("close c", .holdCursor),
        ("select pg_advisory_unlock(1)", .advisoryLock), ("unlisten *", .listen),
        ("deallocate p", .prepare), ("discard all", .temporary),
    ])
    func whatMayUnpinIsAskedForOnlyWhilePinned(_ text: String, _ pins: PinReasons) {
        #expect(Self.probe(ByteString(text))?.asksForPins != true)
        #expect(Self.probe(ByteString(text), pins: pins)?.asksForPins == true)
        #expect(Self.probe(ByteString(text), pins: .load)?.asksForPins != true)
    }

    @Test(arguments: ["prepare p as select 1", "deallocate p", "do $$begin end$$"])
    func statementsAreAskedForWhereTheyFollowTheirClient(_ text: String) {
        let probe = Self.probe(ByteString(text), tracksStatements: true)
        #expect(probe?.asksForStatements == true)
        #expect(Self.probe(ByteString(text))?.asksForStatements != true)
    }

    @Test func preparingDoesNotPinWhereStatementsFollowTheirClient() {
        let probe = Self.probe("prepare p as select 1", tracksStatements: true)
        #expect(probe?.asksForPins == false)
    }

    @Test func executingCountsForWhatWasPrepared() {
        let doubts = Self.doubts(
            "prepare p as select set_config('work_mem', '1MB', false); execute p"
        )
        #expect(doubts.effects.contains(.settings))
        var settled = doubts
        settled.settle(keepsStatements: true)
        #expect(settled.isEmpty)
        let text: ByteString = "execute p"
        for statement in StatementClassifier.statements(in: text.span, rules: ScanRules()) {
            settled.add(statement, of: text.span)
        }
        #expect(settled.effects.contains(.settings))
        settled.forget()
        #expect(settled == SessionDoubts())
    }

    @Test func whatIsAssignedIsNotReset() {
        let doubts = Self.doubts(
            "set app.a = ''; set app.b = ''; reset app.b; set app.c to default"
        )
        #expect(doubts.assignedNames == ["app.a"])
        #expect(Self.doubts("set app.a = ''; reset all").assignedNames.isEmpty)
        #expect(Self.doubts("reset all; set app.a = ''").assignedNames == ["app.a"])
    }

    /// Only the last PREPARE of a name counts, and none behind which the name may be free.
    @Test func theSettingsOfAPreparationAreKept() {
        let reported = [SettingRecord(name: "DateStyle", value: "SQL, DMY", isReported: true)]
        var doubts = SessionDoubts()
        func add(_ text: ByteString, _ settings: [SettingRecord]?) {
            for statement in StatementClassifier.statements(in: text.span, rules: ScanRules()) {
                doubts.add(statement, of: text.span, under: settings)
            }
        }
        add("prepare p as select 1", reported)
        add("prepare q as select 1", nil)
        #expect(doubts.preparations == [PreparationRecord(name: "p", settings: reported)])
        add("deallocate p", reported)
        #expect(doubts.preparations.isEmpty)
        for number in 0..<1_000 { add(ByteString("prepare p\(number) as select 1"), reported) }
        #expect(doubts.preparations.count == 100)
    }

    @Test func namesAreQuoted() {
        let text = Self.probe("select set_config('a.b''; drop table t; --', '1', false)")?.text
        #expect(text.map { "\($0)".contains("('a.b''; drop table t; --')") } == true)
    }

    // MARK: What the answer means

    private static func answer(_ rows: [[ByteString?]]) -> [UInt8] {
        var writer = ByteWriter()
        writer.rowDescription([("n", .text)])
        for row in rows { writer.dataRow(row) }
        writer.readyForQuery(.idle)
        return writer.bytes
    }

    @Test func valuesAndPinsAreRead() throws {
        let probe = try #require(Self.probe("set app.x = 1; select pg_advisory_lock(1)"))
        let bytes = Self.answer([["App.X", "1"], ["0", "1", "2", "0", "0"]])
        let found = probe.evidence(in: bytes.span.bytes)
        let evidence = try #require(found)
        #expect(evidence.settings.map(\.name) == ["app.x"])
        #expect(evidence.settings.map(\.value) == ["1"])
        #expect(evidence.pins == [.holdCursor, .advisoryLock])
        #expect(!evidence.isComplete)
    }

    @Test func statementsAreRead() throws {
        let text: ByteString = "prepare p (int, text) as select $1; select 2"
        let probe = try #require(Self.probe(text, tracksStatements: true))
        let bytes = Self.answer([["p", text, "t", "{23,25}"]])
        let found = probe.evidence(in: bytes.span.bytes)
        let row = PreparedStatementRow(name: "p", text: text, isFromSQL: true, types: [23, 25])
        #expect(found?.statements == [row])
        let statement = row.statement(ScanRules())
        #expect(statement?.text == "prepare p (int, text) as select $1")
        let body = Array("select $1".utf8) + [0, 0, 2, 0, 0, 0, 23, 0, 0, 0, 25]
        #expect(statement?.body == ByteString(body))
    }

    @Test func anAnswerToAnotherQuestionIsNone() throws {
        let probe = try #require(Self.probe("set work_mem = 1"))
        for rows: [[ByteString?]] in [
            [], [["work_mem"]], [["work_mem", "1"], ["x", "1"]], [["0", "0", "0", "0", "0"]],
        ] {
            let bytes = Self.answer(rows)
            let evidence = probe.evidence(in: bytes.span.bytes)
            #expect(evidence == nil)
        }
        let whole = Self.answer([["work_mem", "1"]])
        for count in [1, 4, whole.count - 1] {
            let cut = Array(whole.prefix(count))
            let evidence = probe.evidence(in: cut.span.bytes)
            #expect(evidence == nil)
        }
    }

    // MARK: What becomes of the state

    @Test func theStateIsWhatTheServerSays() throws {
        var states = SettingsStates()
        var id = states.setting("TimeZone", to: "UTC", in: .empty, isReported: true)
        id = states.setting("work_mem", to: "1MB", in: id, isReported: false)
        id = states.setting("app.x", to: "1", in: id, isReported: false)
        var evidence = SessionEvidence()
        evidence.settings = [("work_mem", "2MB"), ("timezone", "other"), ("role", "none")]
        let named = states.confirmed(by: evidence, in: id)
        #expect(states.value(of: "work_mem", in: named) == "2MB")
        #expect(states.value(of: "app.x", in: named) == "1")
        #expect(states.value(of: "timezone", in: named) == "UTC", "has been reported")
        #expect(states.value(of: "role", in: named) == nil)
        evidence.isComplete = true
        let all = states.confirmed(by: evidence, in: id)
        #expect(states.value(of: "app.x", in: all) == nil)
        #expect(states.value(of: "TimeZone", in: all) == "UTC")
    }

    @Test func resetGivesWhatTheClientBeganWith() {
        var states = SettingsStates()
        let defaults = states.setting("TimeZone", to: "UTC", in: .empty, isReported: true)
        var start = states.setting("TimeZone", to: "Asia/Tokyo", in: defaults, isReported: true)
        start = states.setting("work_mem", to: "1MB", in: start, isReported: false)
        let all = states.restored(defaults, start: start, defaults: defaults, unless: [])
        #expect(all == start)
        let one = states.restored(defaults, start: start, defaults: defaults, unless: ["timezone"])
        #expect(states.value(of: "TimeZone", in: one) == "UTC")
        #expect(states.value(of: "work_mem", in: one) == "1MB")
    }

    // MARK: Small things

    @Test func functionsAreTrustedInTheEnd() {
        var trust = FunctionTrust()
        for _ in 0..<200 {
            let asks = trust.asks()
            #expect(asks)
            trust.learn(isInnocent: true)
        }
        let asked = (0..<160).filter { _ in trust.asks() }.count
        #expect(asked == 10)
        trust.learn(isInnocent: false)
        #expect(trust.asks() == true)
    }

    @Test(arguments: [
        ("begin set App.X = 1; perform set_config('b.c.d', 1.5, true); end", ["app.x", "b.c.d"]),
        ("no dots, 1.5, .5, a. b, 'x'", []), ("", []),
    ])
    func customNamesAreFound(_ text: String, _ names: [String]) {
        let bytes = ByteString(text)
        #expect(CustomNames.candidates(in: bytes.span) == names.map { ByteString($0) })
    }

    @Test func statementsMeanWhatTheSettingsMakeThem() {
        var states = SettingsStates()
        let utc = states.setting("TimeZone", to: "UTC", in: .empty, isReported: true)
        let tokyo = states.setting("TimeZone", to: "Asia/Tokyo", in: utc, isReported: true)
        let named = states.setting("application_name", to: "a", in: utc, isReported: true)
        let (first, second) = (states.parseSettings(of: utc), states.parseSettings(of: tokyo))
        #expect(first == states.parseSettings(of: named))
        #expect(first.fingerprint != second.fingerprint)
        #expect(first.changes(from: second) == [.set(name: "TimeZone", value: "UTC")])
        #expect(first.changes(from: first) == [])
        var store = StatementStore()
        let slot = store.retain(body: "select 1\0\0\0", settings: first)
        #expect(store.retain(body: "select 1\0\0\0", settings: second) != slot)
        #expect(store.retain(body: "select 1\0\0\0", settings: first) == slot)
    }

    @Test func theRoleIsLeftFirstAndTakenLast() {
        let text = InternalSQL.apply([
            .reset(name: "work_mem"), .set(name: "role", value: "r"),
            .set(name: "session_authorization", value: "s"), .set(name: "x", value: "1"),
        ])
        #expect(
            text == """
                RESET SESSION AUTHORIZATION; RESET ROLE; RESET "work_mem"; \
                SELECT pg_catalog.set_config('x','1',false), \
                pg_catalog.set_config('session_authorization','s',false), \
                pg_catalog.set_config('role','r',false)
                """
        )
    }
}
