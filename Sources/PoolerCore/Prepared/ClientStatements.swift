// The prepared statements of one client, under the client's own names, by whatever they were made:
// PostgreSQL has one namespace for Parse and PREPARE. A name is taken and freed
// when the client's message is read, because the next message in the same pipeline counts on it; if
// the server then skips the message because of an earlier error, the change is undone.

public import PostgresWire

/// A client's names and the statements they stand for.
public struct ClientStatements {
    private struct Entry {
        var name: ByteString
        var hash: UInt32
        var slot: UInt32
        var serial: UInt64
        var effects: SessionEffects
        var text: ByteString?
        var byteCount: Int
        var isListed: Bool
    }

    private var entries: [Entry?] = []
    private var freeIndices: [UInt32] = []
    private var buckets = [UInt32](repeating: emptyBucket, count: 16)
    private var usedBucketCount = 0
    /// The number of names.
    public private(set) var count = 0
    /// How many of the statements were made by PREPARE, at most.
    public private(set) var sqlCount = 0

    /// The bytes of the names and the statements, whoever else has the same.
    private var byteCount = 0

    /// How many names a client may have, and how many bytes of statements.
    private static let countLimit = 10_000
    private static let byteLimit = 16 << 20

    private static let emptyBucket = UInt32.max
    private static let deletedBucket = UInt32.max - 1

    public init() {}

    /// Whether there are as many as can be remembered; those that are being closed count.
    public var isFull: Bool {
        entries.count - freeIndices.count >= Self.countLimit || byteCount >= Self.byteLimit
    }

    /// The entry that `name` stands for, or nil.
    ///
    /// Does not allocate.
    public func entry(named name: RawSpan) -> UInt32? {
        let hash = Self.hash(name)
        var position = Int(hash) & (buckets.count - 1)
        while buckets[position] != Self.emptyBucket {
            let index = buckets[position]
            if index != Self.deletedBucket, matches(index, name, hash) { return index }
            position = (position + 1) & (buckets.count - 1)
        }
        return nil
    }

    /// The statement slot of an entry.
    public func slot(of entry: UInt32) -> UInt32 {
        isEntry(entry)
            ? entries[Int(entry)]?.slot ?? Expectation.noStatement : Expectation.noStatement
    }

    /// The serial number of an entry's statement.
    public func serial(of entry: UInt32) -> UInt64 {
        isEntry(entry) ? entries[Int(entry)]?.serial ?? 0 : 0
    }

    /// What executing an entry's statement may change in the session.
    public func effects(of entry: UInt32) -> SessionEffects {
        isEntry(entry) ? entries[Int(entry)]?.effects ?? [] : []
    }

    /// What a server needs to have an entry's statement under the client's name.
    public func own(_ entry: UInt32) -> OwnStatement? {
        guard isEntry(entry), let value = entries[Int(entry)], value.isListed else { return nil }
        return OwnStatement(slot: value.slot, text: value.text)
    }

    /// The names that are taken, of all statements or only of those that were made by PREPARE.
    public func names(madeBySQL: Bool) -> [ByteString] {
        entries.compactMap { entry in
            guard let entry, entry.isListed, !madeBySQL || entry.text != nil else { return nil }
            return entry.name
        }
    }

    /// Makes `name`, which must be free, stand for a statement.
    ///
    /// - Parameters:
    ///   - slot: the statement's slot in the store.
    ///   - serial: the statement's serial number there.
    ///   - effects: what executing it may change in the session.
    ///   - text: the PREPARE that made it, if it was one.
    ///   - bodyByteCount: the length of the statement.
    /// - Returns: the new entry.
    public mutating func insert(
        name: ByteString,
        slot: UInt32,
        serial: UInt64,
        effects: SessionEffects = [],
        text: ByteString? = nil,
        bodyByteCount: Int = 0
    ) -> UInt32 {
        if text != nil { sqlCount += 1 }
        let size = name.count + (text?.count ?? 0) + bodyByteCount
        byteCount += size
        let entry = Entry(
            name: name,
            hash: Self.hash(name.span),
            slot: slot,
            serial: serial,
            effects: effects,
            text: text,
            byteCount: size,
            isListed: false
        )
        let index: UInt32
        if let free = freeIndices.popLast() {
            index = free
            entries[Int(free)] = entry
        } else {
            index = UInt32(entries.count)
            entries.append(entry)
        }
        list(index)
        return index
    }

    /// Makes an entry stand for another statement.
    ///
    /// - Returns: the statement slot that it used.
    public mutating func replace(_ entry: UInt32, slot: UInt32, serial: UInt64) -> UInt32 {
        let old = self.slot(of: entry)
        guard isEntry(entry) else { return old }
        entries[Int(entry)]?.slot = slot
        entries[Int(entry)]?.serial = serial
        return old
    }

    /// Frees the entry's name but keeps the entry, so that `list` can bring the name back.
    public mutating func unlist(_ entry: UInt32) {
        guard isEntry(entry), let value = entries[Int(entry)], value.isListed else { return }
        var position = Int(value.hash) & (buckets.count - 1)
        while buckets[position] != entry {
            position = (position + 1) & (buckets.count - 1)
        }
        buckets[position] = Self.deletedBucket
        entries[Int(entry)]?.isListed = false
        count -= 1
    }

    /// Makes the entry's name known, for the first time or again.
    public mutating func list(_ entry: UInt32) {
        guard isEntry(entry), let value = entries[Int(entry)], !value.isListed else { return }
        if (usedBucketCount + 1) * 4 > buckets.count * 3 { rebuild() }
        place(entry, hash: value.hash)
        entries[Int(entry)]?.isListed = true
        count += 1
    }

    /// Forgets an entry.
    ///
    /// - Returns: the statement slot that it used.
    public mutating func remove(_ entry: UInt32) -> UInt32 {
        guard isEntry(entry), let size = entries[Int(entry)]?.byteCount else {
            return Expectation.noStatement
        }
        unlist(entry)
        byteCount -= size
        let slot = slot(of: entry)
        if entries[Int(entry)]?.text != nil { sqlCount -= 1 }
        entries[Int(entry)] = nil
        freeIndices.append(entry)
        return slot
    }

    /// A name of the client's and what it stands for.
    public struct Item {
        public let name: ByteString
        public let slot: UInt32
        public let serial: UInt64
        public let effects: SessionEffects
        public let text: ByteString?
        /// The length of the statement.
        public let bodyByteCount: Int
    }

    /// All names that are taken.
    public var all: [Item] {
        entries.compactMap { entry in
            guard let entry, entry.isListed else { return nil }
            return Item(
                name: entry.name,
                slot: entry.slot,
                serial: entry.serial,
                effects: entry.effects,
                text: entry.text,
                bodyByteCount: entry.byteCount - entry.name.count - (entry.text?.count ?? 0)
            )
        }
    }

    /// The statement slots of all entries, for releasing them when the client leaves.
    public var allSlots: [UInt32] { entries.compactMap { $0?.slot } }

    /// Frees every name.
    ///
    /// - Returns: the statement slots that are no longer used.
    public mutating func removeAll() -> [UInt32] {
        let slots = allSlots
        self = ClientStatements()
        return slots
    }

    /// Whether there is such an entry: a mistake elsewhere must not become a crash that a client can
    /// bring about.
    private func isEntry(_ entry: UInt32) -> Bool { Int(entry) < entries.count }

    private func matches(_ index: UInt32, _ name: RawSpan, _ hash: UInt32) -> Bool {
        guard let entry = entries[Int(index)], entry.hash == hash else { return false }
        return entry.name.hasSameBytes(as: name)
    }

    private mutating func place(_ entry: UInt32, hash: UInt32) {
        var position = Int(hash) & (buckets.count - 1)
        while buckets[position] < Self.deletedBucket {
            position = (position + 1) & (buckets.count - 1)
        }
        if buckets[position] == Self.emptyBucket { usedBucketCount += 1 }
        buckets[position] = entry
    }

    /// Makes room, and drops the traces of freed names.
    private mutating func rebuild() {
        let capacity = max(16, (count + 1).nextPowerOfTwo * 2)
        buckets = [UInt32](repeating: Self.emptyBucket, count: capacity)
        usedBucketCount = 0
        for index in entries.indices {
            guard let entry = entries[index], entry.isListed else { continue }
            place(UInt32(index), hash: entry.hash)
        }
    }

    /// FNV-1a: short names, and no attacker gains by collisions within his own table.
    private static func hash(_ name: RawSpan) -> UInt32 {
        var hash: UInt32 = 2_166_136_261
        for offset in 0..<name.byteCount {
            hash = (hash ^ UInt32(name.byte(at: offset))) &* 16_777_619
        }
        return hash
    }
}

extension Int {
    fileprivate var nextPowerOfTwo: Int {
        self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount)
    }
}
