// What tenants do to their sessions, and how they look whether it is still so.

import Synchronization
import TestSupport

extension SessionTenant {
    /// Changes something that one of the families is about.
    func change() throws {
        guard let family = random.element(tenancy.families) else { return }
        switch family {
        case .reportedSettings: try set("application_name", newValue(), "set")
        case .otherSettings: try set("work_mem", "\(newNumber() + 64)kB", "set")
        case .customSettings, .absentSettings: try set("app.tenant", newValue(), "set")
        case .setConfig: try set("app.tenant", newValue(), "set_config")
        case .settingsInFunctions:
            try set("statement_timeout", "\(newNumber() + 600_000)ms", "function")
        case .localSettings:
            guard isInBlock else { return }
            try set("app.tenant", newValue(), "set local")
        case .role: try changeRole()
        case .resetAndDiscard: try reset()
        case .protocolStatements, .mixedStatements: try parse()
        case .sqlStatements: try prepare()
        case .temporaryObjects: try changeTemporaryTable()
        case .cursors: try changeCursor()
        case .advisoryLocks: try changeLocks()
        case .notifications, .listeningChannels: try notify()
        case .sequences: try drawNumber()
        case .transactions, .startup, .probes: try perform("select 1")
        }
    }

    /// Looks at something that one of the families is about.
    func look() throws {
        guard let family = random.element(tenancy.families) else { return }
        switch family {
        case .role: try expect("select current_user", state.transactional.role)
        case .protocolStatements, .mixedStatements: try executeParsed()
        case .sqlStatements: try executePrepared()
        case .temporaryObjects:
            guard let value = state.transactional.temporary else { return }
            try expect("select v from mine", value)
        case .cursors: try fetch()
        case .advisoryLocks:
            try expect(
                "select count(*) from pg_locks where pid = pg_backend_pid() "
                    + "and locktype = 'advisory' and objid = \(number + 100)",
                state.lockCount > 0 ? "1" : "0"
            )
        case .sequences: try lookAtLastNumber()
        default:
            guard let (name, value) = random.element(state.settings.sorted { $0.key < $1.key })
            else { return }
            try expect("select current_setting('\(name)')", value)
        }
    }

    // MARK: - Settings

    private func set(_ name: String, _ value: String, _ how: String) throws {
        switch how {
        case "function": try perform("select lib.set_plain('\(name)', '\(value)')")
        case "set_config": try perform("select set_config('\(name)', '\(value)', false)")
        default: try perform("\(how) \(name) = '\(value)'")
        }
        if how == "set local" {
            state.transactional.local[name] = value
        } else {
            state.transactional.local[name] = nil
            state.transactional.settings[name] = value
        }
    }

    private func changeRole() throws {
        let role = random.pick(["session_reader", "session_writer", "none"])
        try perform("set role \(role)")
        state.transactional.role = role == "none" ? "trusty" : role
    }

    private func reset() throws {
        if !isInBlock && random.oneIn(4) {
            releaseCommonLock()
            try perform("discard all")
            let (startValues, awaited) = (state.startValues, state.awaited)
            state = TenantState()
            (state.startValues, state.settings, state.awaited) = (startValues, startValues, awaited)
        } else if random.oneIn(2) {
            try perform("reset all")
            state.transactional.local = [:]
            state.transactional.settings = state.startValues
        } else if let name = random.element(state.settings.keys.sorted()) {
            try perform("reset \(name)")
            state.transactional.local[name] = nil
            state.transactional.settings[name] = state.startValues[name]
        }
    }

    // MARK: - Statements

    private func parse() throws {
        let value = newValue()
        try perform(.pipeline([.close("S", "p"), .parse("p", "select '\(value)'"), .sync]))
        state.parsed = value
    }

    private func executeParsed() throws {
        guard let value = state.parsed else { return }
        let rows = try perform(.pipeline([.bind("p"), .execute(), .sync]))
        guard rows != [[value]] else { return }
        throw TenantFinding(description: "statement p gives \(rows) instead of \(value)")
    }

    private func prepare() throws {
        if state.prepared != nil { try perform("deallocate q") }
        let value = newValue()
        try perform("prepare q as select '\(value)'")
        state.prepared = value
    }

    private func executePrepared() throws {
        guard let value = state.prepared else { return }
        try expect("execute q", value)
    }

    // MARK: - Objects

    private func changeTemporaryTable() throws {
        if state.transactional.temporary != nil {
            // The table's owner is the role of its time.
            try becomeOneself()
            try perform("drop table mine")
            state.transactional.temporary = nil
        } else {
            try becomeOneself()
            let value = newValue()
            try perform("create temp table mine as select '\(value)' as v")
            try perform("grant all on mine to public")
            state.transactional.temporary = value
        }
    }

    private func becomeOneself() throws {
        guard state.transactional.role != "trusty" else { return }
        try perform("reset role")
        state.transactional.role = "trusty"
    }

    private func changeCursor() throws {
        if state.cursor != nil {
            try perform("close c")
            state.cursor = nil
            state.cursorIsNew = false
        } else {
            try perform(
                "declare c cursor with hold for select \(number * 1000) + generate_series(1, 5)"
            )
            state.cursor = 1
            state.cursorIsNew = isInBlock
        }
    }

    private func fetch() throws {
        guard let row = state.cursor else { return }
        try expect("fetch c", row <= 5 ? String(number * 1000 + row) : nil)
        state.cursor = row + 1
    }

    /// Its own lock, and one that only one of all tenants can have.
    private func changeLocks() throws {
        if random.oneIn(2) {
            let isUnlocking = state.lockCount > 0 && random.oneIn(2)
            try perform("select pg_advisory_\(isUnlocking ? "unlock" : "lock")(\(number + 100))")
            state.lockCount += isUnlocking ? -1 : 1
        } else if tenancy.holder.number.withLock({ $0 == number }) {
            releaseCommonLock()
            try expect("select pg_advisory_unlock(99)", "t")
        } else if try perform("select pg_try_advisory_lock(99)") == [["t"]] {
            let other = tenancy.holder.number.withLock { holder in
                defer { holder = number }
                return holder
            }
            // Where servers are killed, a lock may be free before its tenant knows.
            guard let other, !tenancy.killsServers else { return }
            throw TenantFinding(description: "has got the lock that tenant \(other) holds")
        }
    }

    /// Before the lock itself is free, when the next tenant may get it.
    func releaseCommonLock() {
        tenancy.holder.number.withLock { if $0 == number { $0 = nil } }
    }

    private func notify() throws {
        let channel = "tenant_\(number)"
        guard state.transactional.isListening else {
            try perform("listen \(channel)")
            state.transactional.isListening = true
            return
        }
        let value = newValue()
        // It may come with this answer already.
        if isInBlock {
            state.pendingNotifications.append("\(channel) \(value)")
        } else {
            state.awaited.append("\(channel) \(value)")
        }
        try perform("notify \(channel), '\(value)'")
    }

    private func drawNumber() throws {
        let rows = try perform("select nextval('lib.s')")
        state.lastSequenceValue = rows.first?.first?.flatMap { Int($0) }
    }

    /// Its own value, or none; never that of another tenant.
    ///
    /// Not in a block, which the error for none would end.
    private func lookAtLastNumber() throws {
        guard let value = state.lastSequenceValue, !isInBlock else { return }
        let found = try perform("select lastval()", allowing: "55000").first?.first ?? nil
        guard let found, found != String(value) else { return }
        throw TenantFinding(description: "lastval() gives \(found) instead of \(value)")
    }
}
