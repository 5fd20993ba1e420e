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
        var isOutdated = false
    }

    private var entries: [Entry?] = []
    private var freeSlots: [UInt32] = []
    private var slots: [Key: UInt32] = [:]
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
        slots[key] = slot
        return slot
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
            freeSlots.append(slot)
        }
    }

    /// Whether the statement's Parse body is this one, and was prepared under these settings.
    ///
    /// Does not allocate.
    public func isBody(
        of slot: UInt32,
        _ span: RawSpan,
        settings: ParseSettings = .none
    ) -> Bool {
        guard isSlot(slot), let entry = entries[Int(slot)] else { return false }
        return entry.settings.fingerprint == settings.fingerprint
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

    /// The number in the statement's name on servers, never given to another statement.
    public func serial(of slot: UInt32) -> UInt64 {
        isSlot(slot) ? entries[Int(slot)]?.serial ?? 0 : 0
    }

    /// Whether there is such a slot: a mistake elsewhere must not become a crash that a client can
    /// bring about.
    private func isSlot(_ slot: UInt32) -> Bool { Int(slot) < entries.count }
}
