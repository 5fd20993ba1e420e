import PoolerCore
import PostgresWire
import TestSupport
import Testing

@Suite struct SettingsStatesTests {
    // MARK: Interning

    @Test func equalStatesAreOneID() {
        var states = SettingsStates()
        let one = Self.state([("a", "1"), ("b", "2")], in: &states)
        let two = Self.state([("b", "2"), ("a", "1")], in: &states)
        let other = Self.state([("a", "1"), ("b", "3")], in: &states)
        #expect(one == two)
        #expect(one != other)
    }

    /// Joined without escaping, these two would be one.
    @Test func namesAndValuesDoNotMix() {
        var states = SettingsStates()
        let one = Self.state([("a", "1;b=2")], in: &states)
        let two = Self.state([("a", "1"), ("b", "2")], in: &states)
        #expect(one != two)
    }

    @Test func aValueReplacesTheOlderOne() {
        var states = SettingsStates()
        let one = Self.state([("a", "1"), ("a", "2")], in: &states)
        #expect(states.value(of: "a", in: one) == "2")
        #expect(Self.state([("a", "2")], in: &states) == one)
    }

    /// A name that no state has any more makes room for another, and means nothing meanwhile.
    @Test func unusedNamesAreForgotten() {
        var states = SettingsStates()
        let kept = Self.state([("kept", "1")], in: &states)
        for number in 0..<10 {
            let name = ByteString("made.up\(number)")
            let state = states.setting(name, to: "2", in: kept, isReported: false)
            #expect(states.value(of: name, in: state) == "2")
            #expect(states.changes(from: state, to: kept) == [.reset(name: name)])
            let applied = states.applying([.reset(name: name)], to: state)
            #expect(applied == kept)
            states.release(applied)
            states.release(state)
            #expect(states.value(of: name, in: kept) == nil)
        }
        #expect(states.value(of: "kept", in: kept) == "1")
        #expect(states.count == 2)
    }

    @Test func aStateHasOnlySoManySettings() {
        var states = SettingsStates()
        let many = (0..<1_000).map { (ByteString("name\($0)"), ByteString("1")) }
        let state = Self.state(many, in: &states, isReported: true)
        let count = Self.reportedNames(of: state, in: &states).count
        #expect((200..<1_000).contains(count))
        let changed = states.setting("name0", to: "2", in: state, isReported: true)
        #expect(states.value(of: "name0", in: changed) == "2")
    }

    @Test func namesAreComparedWithoutCase() {
        var states = SettingsStates()
        let one = Self.state([("TimeZone", "UTC")], in: &states)
        #expect(Self.state([("timezone", "UTC")], in: &states) == one)
        #expect(states.value(of: "TIMEZONE", in: one) == "UTC")
        #expect(states.value(of: "DateStyle", in: one) == nil)
    }

    @Test func valuesAreComparedWithCase() {
        var states = SettingsStates()
        let one = Self.state([("application_name", "A")], in: &states)
        let two = Self.state([("application_name", "a")], in: &states)
        #expect(one != two)
    }

    @Test func theLastReleaseForgetsAState() {
        var states = SettingsStates()
        let id = Self.state([("a", "1")], in: &states)
        states.retain(id)
        let again = Self.state([("a", "1")], in: &states)
        #expect(again == id && states.count == 2)
        states.release(id)
        states.release(id)
        #expect(states.value(of: "a", in: id) == "1" && states.count == 2)
        states.release(id)
        #expect(states.count == 1)
    }

    @Test func theEmptyStateLasts() {
        var states = SettingsStates()
        for _ in 0..<3 { states.release(.empty) }
        #expect(states.count == 1)
        #expect(states.reportedPart(of: .empty) == .empty)
    }

    @Test func sessionsDoNotChangeWhereTheyAre() {
        #expect(!SettingsStates.isTracked("server_version"))
        #expect(!SettingsStates.isTracked("is_superuser"), "follows from the role")
        #expect(SettingsStates.isTracked("session_authorization"))
        #expect(SettingsStates.isTracked("TimeZone"))
    }

    // MARK: From one state to another

    @Test func nothingToDo() {
        var states = SettingsStates()
        let id = Self.state([("a", "1")], in: &states)
        #expect(states.changes(from: id, to: id) == [])
        #expect(states.changes(from: .empty, to: .empty) == [])
    }

    @Test func resetsComeFirst() {
        var states = SettingsStates()
        let old = Self.state([("a", "1"), ("b", "2"), ("c", "3")], in: &states)
        let new = Self.state([("a", "1"), ("b", "9"), ("d", "4")], in: &states)
        #expect(
            states.changes(from: old, to: new) == [
                .reset(name: "c"), .set(name: "b", value: "9"), .set(name: "d", value: "4"),
            ]
        )
    }

    /// The server always has some value for what it reports: there is nothing to reset.
    @Test func reportedSettingsAreNotReset() {
        var states = SettingsStates()
        let old = Self.state([("TimeZone", "UTC")], in: &states, isReported: true)
        #expect(states.changes(from: old, to: .empty) == [])
        #expect(
            states.changes(from: .empty, to: old) == [.set(name: "TimeZone", value: "UTC")]
        )
    }

    @Test func whatWasConfirmedIsTheNewState() {
        var states = SettingsStates()
        let old = Self.state([("a", "1"), ("b", "2")], in: &states)
        let new = Self.state([("b", "9"), ("c", "3")], in: &states)
        let applied = states.applying(states.changes(from: old, to: new), to: old)
        #expect(applied == new)
    }

    /// Their values come by ParameterStatus, in the form that the server gave them.
    @Test func reportedValuesAreNotTakenFromTheChanges() {
        var states = SettingsStates()
        let id = Self.state([("TimeZone", "UTC")], in: &states, isReported: true)
        #expect(states.applying([.set(name: "timezone", value: "utc")], to: id) == id)
    }

    @Test func discardAllLeavesWhatIsReported() {
        var states = SettingsStates()
        let reported = Self.state([("TimeZone", "UTC")], in: &states, isReported: true)
        let both = states.setting("work_mem", to: "1MB", in: reported, isReported: false)
        #expect(states.reportedPart(of: both) == reported)
    }

    @Test func theWelcomeHasTheServersSpelling() {
        var states = SettingsStates()
        let asked = Self.state([("timezone", "utc"), ("work_mem", "1MB")], in: &states)
        #expect(Self.reportedNames(of: asked, in: &states) == [])
        let reported = states.setting("TimeZone", to: "UTC", in: asked, isReported: true)
        var expected = ByteWriter()
        expected.parameterStatus(name: "TimeZone", value: "UTC")
        for _ in 0..<2 {
            let messages = states.reportedMessages(of: reported)
            #expect(messages == expected.bytes)
        }
        // Its name is reported from now on, whoever has it.
        #expect(Self.reportedNames(of: asked, in: &states) == ["TimeZone"])
    }

    /// A step that is remembered is no use of its states.
    @Test func stepsAreForgottenWithTheirStates() {
        var states = SettingsStates()
        let base = Self.state([("a", "1")], in: &states)
        let first = states.setting("name", to: "x", in: base, isReported: false)
        let again = states.setting("name", to: "x", in: base, isReported: false)
        #expect(first == again)
        states.release(first)
        states.release(again)
        #expect(states.count == 2)
        let other = states.setting("other", to: "y", in: base, isReported: false)
        #expect(states.value(of: "other", in: other) == "y")
        let anew = states.setting("name", to: "x", in: base, isReported: false)
        #expect(states.value(of: "name", in: anew) == "x")
        #expect(states.value(of: "other", in: anew) == nil)
    }

    /// The names in the state's ParameterStatus messages.
    private static func reportedNames(
        of id: SettingsID,
        in states: inout SettingsStates
    ) -> [ByteString] {
        let messages = states.reportedMessages(of: id)
        var names: [ByteString] = []
        var start = 0
        while start < messages.count {
            let name = messages[(start + 5)...].prefix { $0 != 0 }
            names.append(ByteString(Array(name)))
            start += 1 + messages[(start + 1)..<(start + 5)].reduce(0) { $0 << 8 | Int($1) }
        }
        return names
    }

    // MARK: Against a model

    @Test(arguments: 0..<12)
    func behavesLikeDictionaries(_ seed: Int) {
        var random = SplitMix(seed: seed)
        var states = SettingsStates()
        var model: [(id: SettingsID, values: [ByteString: ByteString])] = [(.empty, [:])]
        for _ in 0..<400 {
            let source = model[random.number(0...(model.count - 1))]
            switch random.number(0...4) {
            case 0, 1:
                let name = Self.names[random.number(0...5)]
                let value = ByteString("\(random.number(0...2))")
                let id = states.setting(
                    name,
                    to: value,
                    in: source.id,
                    isReported: Self.isReported(name)
                )
                model.append((id, source.values.merging([name.lowercasedASCII: value]) { $1 }))
            case 2:
                let target = model[random.number(0...(model.count - 1))]
                let changes = states.changes(from: source.id, to: target.id)
                Self.check(changes, from: source.values, to: target.values)
                let id = states.applying(changes, to: source.id)
                model.append((id, Self.applied(changes, to: source.values)))
            case 3:
                let kept = source.values.filter { Self.isReported($0.key) }
                model.append((states.reportedPart(of: source.id), kept))
            default:
                guard model.count > 1 else { continue }
                let index = random.number(1...(model.count - 1))
                states.release(model.remove(at: index).id)
            }
            #expect(states.count == Set(model.map(\.values)).count, "seed \(seed)")
        }
        for (id, values) in model {
            for name in Self.names {
                #expect(states.value(of: name, in: id) == values[name.lowercasedASCII])
            }
            for other in model where other.id == id { #expect(other.values == values) }
        }
        for (id, _) in model { states.release(id) }
        #expect(states.count == 1, "seed \(seed)")
    }

    private static let names: [ByteString] = [
        "TimeZone", "DateStyle", "client_encoding", "work_mem", "Search_Path", "app.tenant",
    ]

    private static func isReported(_ name: ByteString) -> Bool {
        ["timezone", "datestyle", "client_encoding"].contains(name.lowercasedASCII)
    }

    private static func check(
        _ changes: [SettingsChange],
        from old: [ByteString: ByteString],
        to new: [ByteString: ByteString]
    ) {
        var result = old
        for change in changes {
            switch change {
            case .reset(let name): result[name.lowercasedASCII] = nil
            case .set(let name, let value): result[name.lowercasedASCII] = value
            }
        }
        // What is reported cannot be unset, so it may be left over.
        let left = result.filter { new[$0.key] == nil }
        #expect(left.keys.allSatisfy(isReported))
        #expect(result.filter { new[$0.key] != nil } == new)
    }

    private static func applied(
        _ changes: [SettingsChange],
        to old: [ByteString: ByteString]
    ) -> [ByteString: ByteString] {
        var result = old
        for change in changes {
            switch change {
            case .reset(let name): result[name.lowercasedASCII] = nil
            case .set(let name, let value) where !isReported(name):
                result[name.lowercasedASCII] = value
            case .set: continue
            }
        }
        return result
    }

    /// A state with these values; the states on the way are released.
    private static func state(
        _ values: [(ByteString, ByteString)],
        in states: inout SettingsStates,
        isReported: Bool = false
    ) -> SettingsID {
        var id = SettingsID.empty
        for (name, value) in values {
            let old = id
            id = states.setting(name, to: value, in: old, isReported: isReported)
            states.release(old)
        }
        return id
    }
}
