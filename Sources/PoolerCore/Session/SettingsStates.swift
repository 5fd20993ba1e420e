// The settings that follow a client from server to server. A state is the set of values that a
// session has; equal states are one id, so that whether a server fits a client is one comparison.
//
// Values of settings that the server reports come from its ParameterStatus messages, in the form
// that PostgreSQL gave them (PostgreSQL documentation, section 55.2.7 "Asynchronous Operations").
// Others are known only when the client named them in its StartupMessage.

public import PostgresWire

/// Names an interned state.
public struct SettingsID: Hashable, BitwiseCopyable, Sendable {
    fileprivate let index: UInt32

    /// The state of a session about which nothing is known.
    public static let empty = SettingsID(index: 0)
}

/// What has to be done to one setting of a server so that it fits a client.
public enum SettingsChange: Equatable, Sendable {
    case set(name: ByteString, value: ByteString)
    case reset(name: ByteString)
}

extension SettingsChange {
    /// The setting's name.
    public var name: ByteString {
        switch self {
        case .set(let name, _), .reset(let name): name
        }
    }

    /// Whether it changes who the session is.
    var isOfIdentity: Bool { name.isText("role") || name.isText("session_authorization") }

    /// Whether it leaves a part of the value as the session has it: `DateStyle` is an output format
    /// and the order of day and month, and a client may ask for one of them.
    ///
    /// Source: PostgreSQL documentation, section 20.11.2 "Locale and Formatting".
    var isPartial: Bool {
        guard case .set(let name, let value) = self else { return false }
        return name.lowercasedASCII.isText("datestyle") && !value.bytes.contains(UInt8(ascii: ","))
    }

    /// Whether a server can refuse what it has taken before: a name may mean nothing any more, or
    /// be forbidden to the role.
    ///
    /// Such changes are confirmed before the client's own requests are sent.
    public var canFail: Bool { Self.fragileNames.contains(name.lowercasedASCII) }

    private static let fragileNames: Set<ByteString> = [
        "role", "session_authorization", "default_tablespace", "temp_tablespaces",
        "default_table_access_method", "default_text_search_config", "session_replication_role",
        "temp_buffers",
    ]
}

/// Interns states of settings and counts who uses them.
public struct SettingsStates {
    private struct Setting: Hashable {
        /// The place of the name in `names`.
        var name: Int
        var value: ByteString
    }

    private struct Name {
        var spelling: ByteString
        var isReported: Bool
        /// The number of states that have it.
        var useCount = 0
    }

    private struct Entry {
        /// In ascending order of `name`.
        var settings: [Setting]
        var useCount: Int
        /// The ParameterStatus messages of the state, once they have been asked for.
        var reportedMessages: [UInt8]?
        /// What matters for prepared statements, once it has been asked for.
        var parseSettings: ParseSettings?
        /// How statements are cut into tokens, once it has been asked for.
        var scanRules: ScanRules?
    }

    /// The outcome of one `setting(_:to:in:isReported:)`.
    private struct Step {
        var base: SettingsID
        var name: ByteString
        var value: ByteString
        var isReported: Bool
        var result: SettingsID
    }

    private var names: [Name] = []
    private var nameIndices: [ByteString: Int] = [:]
    private var freeNames: [Int] = []
    private var entries: [Entry?] = [Entry(settings: [], useCount: 1)]
    /// By index: of what matters for prepared statements, once that has been asked for.
    private var parseFingerprints: [UInt64?] = [nil]
    private var freeIndices: [UInt32] = []
    private var indices: [[Setting]: UInt32] = [[]: 0]
    /// The last step, if both its states are still known: logins one after the other are alike.
    private var lastStep: Step?

    public init() {}

    /// The most settings that a state has: a server that reports more is not PostgreSQL.
    private static let settingLimit = 256

    /// Settings that a session cannot change, or that say who it is: never replayed.
    private static let fixedNames: Set<ByteString> = [
        "server_version", "server_encoding", "integer_datetimes", "is_superuser",
        "in_hot_standby",
    ]

    /// Whether a reported setting belongs to a client's state.
    public static func isTracked(_ name: ByteString) -> Bool {
        !fixedNames.contains(name)
    }

    /// The number of distinct states, the empty one included.
    public var count: Int { indices.count }

    /// Counts one more use of a state.
    public mutating func retain(_ id: SettingsID) {
        entries[Int(id.index)]?.useCount += 1
    }

    /// Counts one use less, and forgets the state after the last.
    public mutating func release(_ id: SettingsID) {
        guard id != .empty, var entry = entries[Int(id.index)] else { return }
        entry.useCount -= 1
        if entry.useCount > 0 {
            entries[Int(id.index)] = entry
        } else {
            indices[entry.settings] = nil
            entries[Int(id.index)] = nil
            parseFingerprints[Int(id.index)] = nil
            freeIndices.append(id.index)
            if let step = lastStep, step.base == id || step.result == id { lastStep = nil }
            for setting in entry.settings {
                names[setting.name].useCount -= 1
                forgetIfUnused(setting.name)
            }
        }
    }

    /// Clients can make up names, so that none is kept for longer than it is needed.
    private mutating func forgetIfUnused(_ name: Int) {
        guard names[name].useCount == 0 else { return }
        nameIndices[names[name].spelling.lowercasedASCII] = nil
        names[name].spelling = ""
        freeNames.append(name)
    }

    /// The state that differs from `id` in one value, with one more use; `id` keeps its own.
    ///
    /// - Parameter isReported: whether the value comes from a ParameterStatus.
    public mutating func setting(
        _ name: ByteString,
        to value: ByteString,
        in id: SettingsID,
        isReported: Bool
    ) -> SettingsID {
        if let step = lastStep, step.base == id, step.isReported == isReported,
            step.value == value, step.name == name
        {
            retain(step.result)
            return step.result
        }
        let index = nameIndex(of: name, isReported: isReported)
        var settings = entries[Int(id.index)]?.settings ?? []
        let place = settings.firstIndex { $0.name >= index } ?? settings.endIndex
        if place < settings.endIndex, settings[place].name == index {
            settings[place].value = value
        } else if settings.count >= Self.settingLimit {
            forgetIfUnused(index)
            retain(id)
            return id
        } else {
            settings.insert(Setting(name: index, value: value), at: place)
        }
        let result = intern(settings)
        lastStep = Step(
            base: id,
            name: name,
            value: value,
            isReported: isReported,
            result: result
        )
        return result
    }

    /// The values of a state as ParameterStatus messages, under the names that the server uses: a
    /// part of the client's welcome.
    public mutating func reportedMessages(of id: SettingsID) -> [UInt8] {
        if let messages = entries[Int(id.index)]?.reportedMessages { return messages }
        guard let entry = entries[Int(id.index)] else { return [] }
        var writer = ByteWriter()
        for setting in entry.settings where names[setting.name].isReported {
            writer.parameterStatus(name: names[setting.name].spelling, value: setting.value)
        }
        entries[Int(id.index)]?.reportedMessages = writer.bytes
        return writer.bytes
    }

    /// What a session learns that was in state `old` and is in state `new`, as ParameterStatus
    /// messages.
    public func reportedMessages(from old: SettingsID, to new: SettingsID) -> [UInt8] {
        guard old != new else { return [] }
        let known = entries[Int(old.index)]?.settings ?? []
        var writer = ByteWriter()
        for setting in entries[Int(new.index)]?.settings ?? []
        where names[setting.name].isReported && !known.contains(setting) {
            writer.parameterStatus(name: names[setting.name].spelling, value: setting.value)
        }
        return writer.bytes
    }

    /// What gives a session that has executed RESET what its client began with.
    ///
    /// - Parameters:
    ///   - start: what the client began with.
    ///   - defaults: what RESET gives.
    ///   - reset: the names, in small letters, that were reset; nil for all.
    public func startChanges(
        _ start: SettingsID,
        _ defaults: SettingsID,
        of reset: [ByteString]?
    ) -> [SettingsChange] {
        guard start != defaults else { return [] }
        let present = entries[Int(defaults.index)]?.settings ?? []
        return (entries[Int(start.index)]?.settings ?? []).compactMap { setting in
            let name = names[setting.name].spelling
            guard !present.contains(setting),
                reset?.contains(name.lowercasedASCII) ?? true
            else { return nil }
            return .set(name: name, value: setting.value)
        }
    }

    /// All settings of a state, for another process.
    public func records(of id: SettingsID) -> [SettingRecord] {
        (entries[Int(id.index)]?.settings ?? []).map { setting in
            SettingRecord(
                name: names[setting.name].spelling,
                value: setting.value,
                isReported: names[setting.name].isReported
            )
        }
    }

    /// The state that another process had, with one more use.
    public mutating func state(of records: [SettingRecord]) -> SettingsID {
        var state = SettingsID.empty
        for record in records {
            let old = state
            state = setting(
                record.name,
                to: record.value,
                in: old,
                isReported: record.isReported
            )
            release(old)
        }
        return state
    }

    /// The value of one setting in a state, or nil when it is not known.
    public func value(of name: ByteString, in id: SettingsID) -> ByteString? {
        guard let index = nameIndices[name.lowercasedASCII] else { return nil }
        return entries[Int(id.index)]?.settings.first { $0.name == index }?.value
    }

    /// What of a state decides about the meaning of prepared statements.
    public mutating func parseSettings(of id: SettingsID) -> ParseSettings {
        if let settings = entries[Int(id.index)]?.parseSettings { return settings }
        guard let entry = entries[Int(id.index)] else { return .none }
        let settings = ParseSettings(
            of: entry.settings.map { (names[$0.name].spelling, $0.value) }
        )
        entries[Int(id.index)]?.parseSettings = settings
        parseFingerprints[Int(id.index)] = settings.fingerprint
        return settings
    }

    /// The fingerprint of those, without a count of references.
    public mutating func parseFingerprint(of id: SettingsID) -> UInt64 {
        parseFingerprints[Int(id.index)] ?? parseSettings(of: id).fingerprint
    }

    /// How statements are cut into tokens in a session in this state.
    public mutating func scanRules(of id: SettingsID) -> ScanRules {
        if let rules = entries[Int(id.index)]?.scanRules { return rules }
        var rules = ScanRules()
        for name: ByteString in ["client_encoding", "standard_conforming_strings"] {
            guard let value = value(of: name, in: id) else { continue }
            rules.adopt(ParameterStatus(name: name, value: value))
        }
        entries[Int(id.index)]?.scanRules = rules
        return rules
    }

    /// The names of the settings of a state, in small letters.
    public func names(of id: SettingsID) -> [ByteString] {
        (entries[Int(id.index)]?.settings ?? []).map { names[$0.name].spelling.lowercasedASCII }
    }

    /// What turns the state `actual` into `desired`, resets first.
    ///
    /// A new session authorization ends the role: then the role is among the changes even where it
    /// is the same.
    public func changes(from actual: SettingsID, to desired: SettingsID) -> [SettingsChange] {
        guard actual != desired else { return [] }
        let old = entries[Int(actual.index)]?.settings ?? []
        let new = entries[Int(desired.index)]?.settings ?? []
        var changes: [SettingsChange] = []
        for setting in old where !names[setting.name].isReported {
            if !new.contains(where: { $0.name == setting.name }) {
                changes.append(.reset(name: names[setting.name].spelling))
            }
        }
        var endsRole = false
        for setting in new where !old.contains(setting) {
            let name = names[setting.name].spelling
            if name.isText("session_authorization") { endsRole = true }
            changes.append(.set(name: name, value: setting.value))
        }
        if endsRole, let role = value(of: "role", in: desired),
            value(of: "role", in: actual) == role
        {
            changes.append(.set(name: "role", value: role))
        }
        return changes
    }

    /// The state of a session of which the server has said what `evidence` has, with one more use;
    /// `id` keeps its own.
    public mutating func confirmed(by evidence: SessionEvidence, in id: SettingsID) -> SettingsID {
        var settings = entries[Int(id.index)]?.settings ?? []
        if evidence.isComplete {
            settings.removeAll { !names[$0.name].isReported }
        }
        for (name, value) in evidence.settings {
            // Reported values have come by ParameterStatus.
            if let index = nameIndices[name], names[index].isReported { continue }
            let isAbsent = name.isText("role") && value?.isText("none") == true
            guard let value, !isAbsent else {
                guard let index = nameIndices[name] else { continue }
                settings.removeAll { $0.name == index }
                continue
            }
            let index = nameIndex(of: name, isReported: false)
            settings.removeAll { $0.name == index }
            guard settings.count < Self.settingLimit else {
                forgetIfUnused(index)
                continue
            }
            let place = settings.firstIndex { $0.name > index } ?? settings.endIndex
            settings.insert(Setting(name: index, value: value), at: place)
        }
        return intern(settings)
    }

    /// The state of a session in which RESET gives what the client began with, with one more use;
    /// `id` keeps its own.
    ///
    /// - Parameters:
    ///   - start: what the client began with.
    ///   - defaults: what a server begins with, and RESET gives there.
    ///   - changed: the names, in small letters, that the session has changed since.
    public mutating func restored(
        _ id: SettingsID,
        start: SettingsID,
        defaults: SettingsID,
        unless changed: Set<ByteString>
    ) -> SettingsID {
        let own = (entries[Int(start.index)]?.settings ?? []).filter {
            !(entries[Int(defaults.index)]?.settings.contains($0) ?? false)
                && !changed.contains(names[$0.name].spelling.lowercasedASCII)
        }
        var settings = entries[Int(id.index)]?.settings ?? []
        for setting in own {
            settings.removeAll { $0.name == setting.name }
            let place = settings.firstIndex { $0.name > setting.name } ?? settings.endIndex
            settings.insert(setting, at: place)
        }
        return intern(settings)
    }

    /// The state of a server after it has confirmed `changes`, with one more use; `id` keeps its
    /// own.
    ///
    /// Reported values have come by ParameterStatus; the others are as they were asked for.
    public mutating func applying(
        _ changes: [SettingsChange],
        to id: SettingsID
    ) -> SettingsID {
        var settings = entries[Int(id.index)]?.settings ?? []
        for change in changes {
            switch change {
            case .reset(let name):
                guard let index = nameIndices[name.lowercasedASCII] else { continue }
                settings.removeAll { $0.name == index }
            case .set(let name, let value):
                let index = nameIndex(of: name, isReported: false)
                guard !names[index].isReported else { continue }
                settings.removeAll { $0.name == index }
                let place = settings.firstIndex { $0.name > index } ?? settings.endIndex
                settings.insert(Setting(name: index, value: value), at: place)
            }
        }
        return intern(settings)
    }

    /// The state without the settings that the server does not report, with one more use: what is
    /// left after DISCARD ALL; `id` keeps its own.
    public mutating func reportedPart(of id: SettingsID) -> SettingsID {
        let settings = entries[Int(id.index)]?.settings ?? []
        return intern(settings.filter { names[$0.name].isReported })
    }

    private mutating func intern(_ settings: [Setting]) -> SettingsID {
        if let index = indices[settings] {
            entries[Int(index)]?.useCount += 1
            return SettingsID(index: index)
        }
        let entry = Entry(settings: settings, useCount: 1)
        let index: UInt32
        if let free = freeIndices.popLast() {
            index = free
            entries[Int(free)] = entry
        } else {
            index = UInt32(entries.count)
            entries.append(entry)
            parseFingerprints.append(nil)
        }
        indices[settings] = index
        for setting in settings { names[setting.name].useCount += 1 }
        return SettingsID(index: index)
    }

    /// Names of settings are compared without regard to case, as PostgreSQL does.
    private mutating func nameIndex(of name: ByteString, isReported: Bool) -> Int {
        let key = name.lowercasedASCII
        if let index = nameIndices[key] {
            if isReported, !names[index].isReported {
                names[index].spelling = name
                names[index].isReported = true
                for entry in entries.indices { entries[entry]?.reportedMessages = nil }
            }
            return index
        }
        let entry = Name(spelling: name, isReported: isReported)
        let index: Int
        if let free = freeNames.popLast() {
            index = free
            names[free] = entry
        } else {
            index = names.count
            names.append(entry)
        }
        nameIndices[key] = index
        return index
    }
}

extension ByteString {
    /// The bytes with A...Z made a...z.
    public var lowercasedASCII: ByteString {
        ByteString(bytes.map { 0x41...0x5A ~= $0 ? $0 | 0x20 : $0 })
    }
}
