// Where all servers of the process live: records that never move, addressed by slot. Each has an
// owner word that says which worker may touch it; whoever wants a free server takes hold of it by one
// compare-and-exchange.
//
//     owner word:  | generation: 32 | unused: 14 | worker: 16 | state: 2 |
//
// A held server belongs to its worker alone: record, transport, place in the worker's reactor. A free
// one is at home in a worker, which receives what it sends, but any worker may take it. A passed one
// is on its way to a worker, which holds it once it has read the mail that says so.

internal import PoolerCore
internal import Synchronization

/// Who may touch a server.
struct Ownership: Equatable, BitwiseCopyable {
    enum State: UInt64, BitwiseCopyable {
        case vacant
        case held
        case free
        case passed
    }

    let rawValue: UInt64

    init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    init(_ state: State, _ worker: WorkerID, generation: UInt32) {
        rawValue = UInt64(generation) << 32 | UInt64(worker.index) << 2 | state.rawValue
    }

    var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }
    var worker: WorkerID { WorkerID(index: UInt16(truncatingIfNeeded: rawValue >> 2)) }
    var isFree: Bool { rawValue & 3 == State.free.rawValue }
    var isHeld: Bool { rawValue & 3 == State.held.rawValue }
}

/// The servers of the process.
///
/// Sendable without the compiler's proof, because the right to touch a record passes by way of its
/// owner word: the release of one worker happens before the take of the next. The places of chunks
/// are written under the lock, before any slot in them is handed out.
@safe
final class ServerTable: @unchecked Sendable {
    struct Cell: ~Copyable {
        let owner = Atomic<UInt64>(0)
        /// When the server became free, on the clock of all event loops.
        let freeSince = Atomic<Microseconds>(0)
    }

    @unsafe
    struct Chunk {
        var cells: UnsafeMutablePointer<Cell>
        var records: UnsafeMutablePointer<Server>
    }

    private struct Vacancies {
        var slots: [UInt32] = []
        var slotCount: UInt32 = 0
    }

    static let chunkCapacity = 64
    private static let chunkLimit = 2_048

    fileprivate let chunks: UnsafeMutablePointer<Chunk?>
    private let vacancies = Locked(Vacancies())
    private let publishedSlotCount = Atomic<Int>(0)

    init() {
        unsafe chunks = .allocate(capacity: Self.chunkLimit)
        unsafe chunks.initialize(repeating: nil, count: Self.chunkLimit)
    }

    /// Every slot ever used is below it.
    var slotCount: UInt32 { UInt32(publishedSlotCount.load(ordering: .acquiring)) }

    /// The number of slots that can be used again without more memory.
    var freeCount: Int { vacancies.withLock { $0.slots.count } }

    /// A slot for a new server; nil when there are as many servers as the table can hold.
    fileprivate func takeSlot() -> UInt32? {
        vacancies.withLock { vacancies in
            if let slot = vacancies.slots.popLast() { return slot }
            let slot = vacancies.slotCount
            let chunk = Int(slot) / Self.chunkCapacity
            guard chunk < Self.chunkLimit else { return nil }
            if Int(slot) % Self.chunkCapacity == 0 {
                let cells = UnsafeMutablePointer<Cell>.allocate(capacity: Self.chunkCapacity)
                for index in 0..<Self.chunkCapacity {
                    unsafe (cells + index).initialize(to: Cell())
                }
                unsafe chunks[chunk] = unsafe Chunk(
                    cells: cells,
                    records: .allocate(capacity: Self.chunkCapacity)
                )
            }
            vacancies.slotCount += 1
            publishedSlotCount.store(Int(vacancies.slotCount), ordering: .releasing)
            return slot
        }
    }

    fileprivate func giveBack(_ slot: UInt32) {
        vacancies.withLock { $0.slots.append(slot) }
    }
}

/// The table as one worker sees it.
@safe
struct Servers {
    private let table: ServerTable
    /// The same as `table.chunks`: using a server shall not count references.
    private let chunks: UnsafeMutablePointer<ServerTable.Chunk?>
    private let worker: WorkerID

    init(_ table: ServerTable, for worker: WorkerID) {
        self.table = table
        unsafe chunks = unsafe table.chunks
        self.worker = worker
    }

    /// Every slot ever used is below it.
    var slotCount: UInt32 { table.slotCount }

    /// The number of slots that can be used again without more memory.
    var freeCount: Int { table.freeCount }

    /// The record of a server that this worker holds.
    subscript(slot: UInt32) -> Server {
        @inline(__always)
        unsafeAddress {
            assert(isHeld(slot))
            return unsafe UnsafePointer(record(slot))
        }
        @inline(__always)
        unsafeMutableAddress {
            assert(isHeld(slot))
            return unsafe record(slot)
        }
    }

    /// Stores a new server, which this worker holds.
    ///
    /// - Parameter make: makes the record for an id.
    /// - Returns: the id; nil when the table is full.
    func insert(_ make: (ServerID) -> Server) -> ServerID? {
        guard let slot = table.takeSlot() else { return nil }
        let owner = unsafe cell(slot)
        let last = Ownership(rawValue: unsafe owner.pointee.owner.load(ordering: .relaxed))
        let id = ServerID(index: slot, generation: (last.generation &+ 1) & 0xFFF_FFFF)
        unsafe record(slot).initialize(to: make(id))
        let held = Ownership(.held, worker, generation: id.generation)
        unsafe owner.pointee.owner.store(held.rawValue, ordering: .releasing)
        return id
    }

    /// Destroys the record of a server that this worker holds.
    func remove(_ slot: UInt32) {
        precondition(isHeld(slot))
        let generation = ownership(slot).generation
        unsafe record(slot).deinitialize(count: 1)
        let vacant = Ownership(.vacant, worker, generation: generation)
        unsafe cell(slot).pointee.owner.store(vacant.rawValue, ordering: .releasing)
        table.giveBack(slot)
    }

    // MARK: Owners

    /// Who may touch the server in a slot.
    func ownership(_ slot: UInt32) -> Ownership {
        Ownership(rawValue: unsafe cell(slot).pointee.owner.load(ordering: .acquiring))
    }

    /// Whether this worker holds the server in a slot.
    func isHeld(_ slot: UInt32) -> Bool {
        let ownership = ownership(slot)
        return ownership.isHeld && ownership.worker == worker
    }

    /// Whether this worker holds the server that had `generation`.
    func holds(_ slot: UInt32, generation: UInt32) -> Bool {
        ownership(slot) == Ownership(.held, worker, generation: generation)
    }

    /// Whether a server is free and at home in this worker.
    func isFreeHere(_ server: ServerID) -> Bool {
        ownership(server.index) == Ownership(.free, worker, generation: server.generation)
    }

    /// The worker where a free server is at home; nil for one that is not free.
    ///
    /// In the one order of sequentially consistent operations: who has closed a pool's gate sees the
    /// servers that were freed by those who still found it open.
    func home(ofFree server: ServerID) -> WorkerID? {
        let ownership = Ownership(
            rawValue: unsafe cell(server.index).pointee.owner.load(
                ordering: .sequentiallyConsistent
            )
        )
        return ownership.isFree && ownership.generation == server.generation
            ? ownership.worker : nil
    }

    /// Whether no client has a server, wherever it is.
    func isFreeOrPassed(_ server: ServerID) -> Bool {
        let ownership = ownership(server.index)
        return !ownership.isHeld && ownership.generation == server.generation
    }

    /// When a free server became so.
    func freeSince(_ server: ServerID) -> Microseconds {
        unsafe cell(server.index).pointee.freeSince.load(ordering: .relaxed)
    }

    /// Takes hold of a free server.
    ///
    /// - Parameter home: where it is at home.
    /// - Returns: false when it is no longer free there.
    func take(_ server: ServerID, from home: WorkerID) -> Bool {
        let free = Ownership(.free, home, generation: server.generation)
        let held = Ownership(.held, worker, generation: server.generation)
        return unsafe cell(server.index).pointee.owner.compareExchange(
            expected: free.rawValue,
            desired: held.rawValue,
            ordering: .sequentiallyConsistent
        ).exchanged
    }

    /// Takes hold of a server that is free and at home here, whichever it is.
    func takeFree(_ slot: UInt32) -> Bool {
        let ownership = ownership(slot)
        guard ownership.isFree, ownership.worker == worker else { return false }
        return take(ServerID(index: slot, generation: ownership.generation), from: worker)
    }

    /// Lets go of a server: from now on any worker may take it.
    func free(_ slot: UInt32) {
        let server = unsafe record(slot)
        unsafe cell(slot).pointee.freeSince.store(server.pointee.requestTime, ordering: .relaxed)
        let free = Ownership(.free, worker, generation: unsafe server.pointee.id.generation)
        unsafe cell(slot).pointee.owner.store(free.rawValue, ordering: .sequentiallyConsistent)
    }

    /// Gives a server that this worker holds to another, which has to be told.
    func pass(_ slot: UInt32, to other: WorkerID) {
        let passed = Ownership(
            .passed,
            other,
            generation: unsafe record(slot).pointee.id.generation
        )
        unsafe cell(slot).pointee.owner.store(passed.rawValue, ordering: .releasing)
    }

    /// Takes hold of a server that was passed to this worker.
    func receive(_ server: ServerID) {
        assert(ownership(server.index) == Ownership(.passed, worker, generation: server.generation))
        let held = Ownership(.held, worker, generation: server.generation)
        unsafe cell(server.index).pointee.owner.store(held.rawValue, ordering: .releasing)
    }

    // MARK: Memory

    @inline(__always)
    private func cell(_ slot: UInt32) -> UnsafeMutablePointer<ServerTable.Cell> {
        unsafe chunk(slot).cells + Int(slot) % ServerTable.chunkCapacity
    }

    @inline(__always)
    private func record(_ slot: UInt32) -> UnsafeMutablePointer<Server> {
        unsafe chunk(slot).records + Int(slot) % ServerTable.chunkCapacity
    }

    @inline(__always)
    private func chunk(_ slot: UInt32) -> ServerTable.Chunk {
        guard let chunk = unsafe chunks[Int(slot) / ServerTable.chunkCapacity] else {
            preconditionFailure("a server is used that never was")
        }
        return unsafe chunk
    }
}
