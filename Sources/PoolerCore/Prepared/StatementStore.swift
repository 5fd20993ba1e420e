// The texts of all prepared statements that any client has and any server knows, each held once.
// A statement's identity is everything that Parse says after the name, text and parameter types, and
// the settings that decide what that means.

public import PostgresWire

/// Interns prepared statements and counts who uses them.
public struct StatementStore {
    private struct Key: Hashable {
        var body: ByteString
        var fingerprint: UInt64
    }

    private struct Entry {
        var body: ByteString
        var settings: ParseSettings
        var useCount: Int
        var serial: UInt64
        var description: StatementDescription?
        var isOutdated = false
    }

    private var entries: [Entry?] = []
    private var freeSlots: [UInt32] = []
    private var slots: [Key: UInt32] = [:]
    /// The different bodies, and how many statements have each.
    private var bodies: [ByteString: Int] = [:]
    private var nextSerial: UInt64 = 1

    public init() {}

    /// The number of distinct statements.
    public var count: Int { slots.count }

    /// The slot of the statement with this Parse body (all after the name), with one more use.
    ///
    /// - Parameter settings: those under which it is prepared.
    public mutating func retain(body: ByteString, settings: ParseSettings = .none) -> UInt32 {
        let key = Key(body: body, fingerprint: settings.fingerprint)
        if let slot = slots[key] {
            retain(slot)
            return slot
        }
        let body = share(body)
        let entry = Entry(body: body, settings: settings, useCount: 1, serial: nextSerial)
        nextSerial += 1
        let slot: UInt32
        if let free = freeSlots.popLast() {
            slot = free
            entries[Int(free)] = entry
        } else {
            slot = UInt32(entries.count)
            entries.append(entry)
        }
        slots[Key(body: body, fingerprint: settings.fingerprint)] = slot
        return slot
    }

    /// The same bytes in the memory that another statement has them in, if there is one.
    private mutating func share(_ body: ByteString) -> ByteString {
        guard let index = bodies.index(forKey: body) else {
            bodies[body] = 1
            return body
        }
        bodies.values[index] += 1
        return bodies.keys[index]
    }

    private mutating func unshare(_ body: ByteString) {
        guard let index = bodies.index(forKey: body) else { return }
        bodies.values[index] -= 1
        if bodies.values[index] == 0 { bodies.remove(at: index) }
    }

    /// Notes what a server that has just prepared a statement says of it.
    ///
    /// - Returns: whether it is what the first one said.
    public mutating func note(_ description: StatementDescription, of slot: UInt32) -> Bool {
        guard isSlot(slot), let entry = entries[Int(slot)] else { return false }
        guard let first = entry.description else {
            entries[Int(slot)]?.description = description
            return true
        }
        return first == description
    }

    /// What is known of the parameters and columns of a statement.
    public func description(of slot: UInt32) -> StatementDescription? {
        isSlot(slot) ? entries[Int(slot)]?.description : nil
    }

    /// Notes that what a statement gives is not what it gave when it was prepared: who prepares its
    /// text from now on gets another statement.
    public mutating func outdate(_ slot: UInt32) {
        guard isSlot(slot), let entry = entries[Int(slot)], !entry.isOutdated else { return }
        entries[Int(slot)]?.isOutdated = true
        slots[Key(body: entry.body, fingerprint: entry.settings.fingerprint)] = nil
    }

    /// Whether that has been noted.
    public func isOutdated(_ slot: UInt32) -> Bool {
        isSlot(slot) ? entries[Int(slot)]?.isOutdated ?? false : false
    }

    /// Counts one more use of a statement that is in use.
    public mutating func retain(_ slot: UInt32) {
        guard isSlot(slot) else { return }
        entries[Int(slot)]?.useCount += 1
    }

    /// Counts one use less, and forgets the statement after the last.
    public mutating func release(_ slot: UInt32) {
        guard isSlot(slot), var entry = entries[Int(slot)] else { return }
        entry.useCount -= 1
        if entry.useCount > 0 {
            entries[Int(slot)] = entry
        } else {
            if !entry.isOutdated {
                slots[Key(body: entry.body, fingerprint: entry.settings.fingerprint)] = nil
            }
            entries[Int(slot)] = nil
            unshare(entry.body)
            freeSlots.append(slot)
        }
    }

    // MARK: From one process to another

    /// Numbers statements from here on, which no process before has done.
    ///
    /// - Parameter generation: how many processes there were before.
    public mutating func begin(generation: UInt64) {
        nextSerial = max(nextSerial, generation << 32 + 1)
    }

    /// A statement for another process.
    ///
    /// - Parameters:
    ///   - pool: the pool that it belongs to.
    ///   - mark: the number by which the pool's statements are told apart.
    public func record(of slot: UInt32, pool: PoolKey, mark: UInt64) -> StatementRecord? {
        guard isSlot(slot), let entry = entries[Int(slot)] else { return nil }
        let settings = entry.settings.records
        let isShared =
            !entry.isOutdated
            && entry.settings.fingerprint == Self.settings(of: settings).ofPool(mark).fingerprint
        return StatementRecord(
            serial: entry.serial,
            body: entry.body,
            settings: settings,
            pool: isShared ? PoolKeyRecord(pool) : nil,
            description: entry.description.map {
                DescriptionRecord(parameterTypes: $0.parameterTypes, columns: $0.columns)
            }
        )
    }

    /// Takes up a statement of another process, under its serial number there.
    ///
    /// - Parameter mark: the number by which the statements of its pool are told apart here.
    /// - Returns: its slot, with one more use.
    public mutating func adopt(_ record: StatementRecord, mark: UInt64) -> UInt32 {
        var settings = Self.settings(of: record.settings).ofPool(mark)
        let isTaken = slots[Key(body: record.body, fingerprint: settings.fingerprint)] != nil
        if record.pool == nil || isTaken { settings = settings.ofStatement(record.serial) }
        let ownSerial = nextSerial
        nextSerial = record.serial
        let slot = retain(body: record.body, settings: settings)
        nextSerial = ownSerial
        entries[Int(slot)]?.description = record.description.map { StatementDescription($0) }
        return slot
    }

    private static func settings(of records: [SettingRecord]) -> ParseSettings {
        ParseSettings(of: records.map { ($0.name, $0.value) })
    }

    // MARK: Looks

    /// Whether the statement's Parse body is this one, and was prepared under settings with this
    /// fingerprint; not if it is outdated.
    ///
    /// Does not allocate.
    public func isBody(
        of slot: UInt32,
        _ span: RawSpan,
        fingerprint: UInt64
    ) -> Bool {
        guard isSlot(slot), let entry = entries[Int(slot)], !entry.isOutdated else { return false }
        return entry.settings.fingerprint == fingerprint
            && entry.body.hasSameBytes(as: span)
    }

    /// The serial number of the statement with this Parse body under these settings, if it is in use.
    public func serial(ofBody body: ByteString, settings: ParseSettings = .none) -> UInt64? {
        slots[Key(body: body, fingerprint: settings.fingerprint)].map { serial(of: $0) }
    }

    /// The settings under which the statement was prepared.
    public func settings(of slot: UInt32) -> ParseSettings {
        isSlot(slot) ? entries[Int(slot)]?.settings ?? .none : .none
    }

    /// All that follows the name in the statement's Parse.
    public func body(of slot: UInt32) -> ByteString {
        isSlot(slot) ? entries[Int(slot)]?.body ?? "" : ""
    }

    /// The same with the types of all parameters declared, once they are known.
    ///
    /// PostgreSQL reads a statement anew when tables have changed, but keeps the types that its
    /// parameters had at first; so must a server where it is prepared later.
    public func declaredBody(of slot: UInt32) -> ByteString {
        let body = body(of: slot)
        guard let types = description(of: slot)?.parameterTypes, !types.isEmpty,
            let textEnd = body.span.indexOfZero(from: 0)
        else { return body }
        var writer = ByteWriter()
        writer.write(body.bytes[...textEnd])
        writer.write(Int16(truncatingIfNeeded: types.count))
        for type in types { writer.write(Int32(bitPattern: type)) }
        return ByteString(writer.bytes)
    }

    /// The number in the statement's name on servers, never given to another statement.
    public func serial(of slot: UInt32) -> UInt64 {
        isSlot(slot) ? entries[Int(slot)]?.serial ?? 0 : 0
    }

    /// Whether there is such a slot: a mistake elsewhere must not become a crash that a client can
    /// bring about.
    private func isSlot(_ slot: UInt32) -> Bool { Int(slot) < entries.count }
}
