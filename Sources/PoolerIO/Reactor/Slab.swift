// Where connections live: records in chunks that never move, addressed by slot. A slot is a few
// bytes of bookkeeping beside the record, and is used again after its connection has gone.

/// Stores records of one kind and gives each a slot and a generation.
@safe
struct Slab<Record: ~Copyable>: ~Copyable {
    private static var chunkCapacity: Int { 64 }

    private var chunks: [UnsafeMutablePointer<Record>] = unsafe []
    /// Odd while the slot is in use; grows with each use and each release, within 28 bits.
    private var generations: [UInt32] = []
    private var freeSlots: [UInt32] = []
    /// The number of slots in use.
    private(set) var count = 0

    init() {}

    deinit {
        for slot in generations.indices where generations[slot] & 1 == 1 {
            unsafe pointer(UInt32(slot)).deinitialize(count: 1)
        }
        for index in unsafe chunks.indices { unsafe chunks[index].deallocate() }
    }

    /// The number of slots ever used: every slot in use is below it.
    var slotCount: Int { generations.count }

    /// The number of slots that can be used again without more memory.
    var freeCount: Int { freeSlots.count }

    /// The generation that the next record of a slot will have, if `insert` chooses it next.
    var nextIdentity: (slot: UInt32, generation: UInt32) {
        if let slot = freeSlots.last { return (slot, Self.successor(of: generations[Int(slot)])) }
        return (UInt32(generations.count), 1)
    }

    /// Stores a record in the slot that `nextIdentity` names.
    mutating func insert(_ record: consuming Record) {
        let slot: UInt32
        if let free = freeSlots.popLast() {
            slot = free
        } else {
            slot = UInt32(generations.count)
            if generations.count % Self.chunkCapacity == 0 {
                unsafe chunks.append(.allocate(capacity: Self.chunkCapacity))
            }
            generations.append(0)
        }
        unsafe pointer(slot).initialize(to: record)
        generations[Int(slot)] = Self.successor(of: generations[Int(slot)])
        count += 1
    }

    /// Destroys the record in a slot.
    mutating func remove(_ slot: UInt32) {
        precondition(isUsed(slot))
        generations[Int(slot)] = Self.successor(of: generations[Int(slot)])
        unsafe pointer(slot).deinitialize(count: 1)
        freeSlots.append(slot)
        count -= 1
    }

    /// Whether a slot holds a record.
    func isUsed(_ slot: UInt32) -> Bool {
        Int(slot) < generations.count && generations[Int(slot)] & 1 == 1
    }

    /// Whether a slot still holds the record that had `generation`.
    func holds(_ slot: UInt32, generation: UInt32) -> Bool {
        Int(slot) < generations.count && generations[Int(slot)] == generation && generation & 1 == 1
    }

    /// The generation of the record in a slot.
    func generation(of slot: UInt32) -> UInt32 { generations[Int(slot)] }

    /// The record in a slot that is in use.
    subscript(slot: UInt32) -> Record {
        @inline(__always)
        unsafeAddress {
            assert(isUsed(slot))
            return unsafe UnsafePointer(pointer(slot))
        }
        @inline(__always)
        unsafeMutableAddress {
            assert(isUsed(slot))
            return unsafe pointer(slot)
        }
    }

    /// A token has room for 28 bits of generation.
    private static func successor(of generation: UInt32) -> UInt32 {
        (generation &+ 1) & 0xFFF_FFFF
    }

    @inline(__always)
    private func pointer(_ slot: UInt32) -> UnsafeMutablePointer<Record> {
        let index = Int(slot)
        return unsafe chunks[index / Self.chunkCapacity] + index % Self.chunkCapacity
    }
}
