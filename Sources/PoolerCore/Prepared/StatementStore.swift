// The texts of all prepared statements that any client has and any server knows, each held once.
// A statement's identity is everything that Parse says after the name: text and parameter types.

public import PostgresWire

/// Interns prepared statements and counts who uses them.
public struct StatementStore {
    private struct Entry {
        var body: ByteString
        var useCount: Int
        var serial: UInt64
    }

    private var entries: [Entry?] = []
    private var freeSlots: [UInt32] = []
    private var slots: [ByteString: UInt32] = [:]
    private var nextSerial: UInt64 = 1

    public init() {}

    /// The number of distinct statements.
    public var count: Int { slots.count }

    /// The slot of the statement with this Parse body (all after the name), with one more use.
    public mutating func retain(body: ByteString) -> UInt32 {
        if let slot = slots[body] {
            retain(slot)
            return slot
        }
        let entry = Entry(body: body, useCount: 1, serial: nextSerial)
        nextSerial += 1
        let slot: UInt32
        if let free = freeSlots.popLast() {
            slot = free
            entries[Int(free)] = entry
        } else {
            slot = UInt32(entries.count)
            entries.append(entry)
        }
        slots[body] = slot
        return slot
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
            slots[entry.body] = nil
            entries[Int(slot)] = nil
            freeSlots.append(slot)
        }
    }

    /// Whether the statement's Parse body is this one.
    ///
    /// Does not allocate.
    public func isBody(of slot: UInt32, _ span: RawSpan) -> Bool {
        isSlot(slot) && entries[Int(slot)].map { $0.body.hasSameBytes(as: span) } ?? false
    }

    /// The serial number of the statement with this Parse body, if it is in use.
    public func serial(ofBody body: ByteString) -> UInt64? {
        slots[body].map { serial(of: $0) }
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
