// What all workers share. Everything here is safe to use from any thread; nothing holds a lock while
// a system call is made.

internal import Digests
internal import PoolerCore
internal import PostgresWire
internal import Synchronization

/// The state of the process.
final class SharedState: Sendable {
    let mailboxes: [Mailbox]
    let servers = ServerTable()
    let pools = PoolDirectory()
    let states = SharedSettingsStates()
    let statements = SharedStatements()
    let surveys = SharedSurveys()
    let loads: WorkerLoads
    /// The epoll descriptor of each worker, for moving servers.
    let reactors: ReactorDescriptors
    /// What auth_query has answered a moment ago.
    let secrets = SharedSecrets()
    /// Who last may have notified from which server.
    let notifiers = Notifiers()
    /// The channel by which servers tell listeners where they take over.
    let markerChannel: ByteString
    /// What of the process before this one counts here.
    let foreign = ForeignConnections()
    let foreignPools = Locked<[PoolKey: ForeignPool]>([:])
    /// How many processes there were before this one, each taken over by the next.
    let generation: UInt64
    private let adoptedServerCount = Atomic<Int>(0)
    /// Which workers have passed on everything since SUSPEND.
    private let flushed: Locked<[Bool]>
    private let lastTicket = Atomic<UInt64>(0)
    private let lastNumber = Atomic<UInt64>(0)
    private let schemaChangeCount = Atomic<UInt32>(0)
    private let finished = Atomic(false)
    private let chiefWaits = Atomic(false)

    /// - Throws: `SystemError` when the kernel gives no descriptors, `DigestError` when there is nothing
    ///   unpredictable.
    init(workerCount: Int, generation: UInt64 = 0) throws {
        self.generation = generation
        statements.begin(generation: generation)
        var mailboxes: [Mailbox] = []
        for _ in 0..<workerCount { mailboxes.append(try Mailbox()) }
        self.mailboxes = mailboxes
        let secret = try unpredictableBytes(count: 8)
        markerChannel = ByteString(
            "martlet_"
                + secret.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        )
        flushed = Locked(Array(repeating: false, count: workerCount))
        loads = WorkerLoads(workerCount: workerCount)
        reactors = ReactorDescriptors(workerCount: workerCount)
    }

    var workers: [WorkerID] {
        mailboxes.indices.map { WorkerID(index: UInt16($0)) }
    }

    /// A number for a new connection.
    func takeNumber() -> UInt64 {
        lastNumber.wrappingAdd(1, ordering: .relaxed).newValue
    }

    /// Numbers connections from here on.
    func startNumbers(at number: UInt64) {
        lastNumber.max(number, ordering: .relaxed)
    }

    /// A worker for a server that comes from another process: each in turn.
    func nextServerHome() -> WorkerID {
        let count = adoptedServerCount.wrappingAdd(1, ordering: .relaxed).newValue
        return WorkerID(index: UInt16(count % mailboxes.count))
    }

    /// A number for a question to a pool's listener; never 0.
    func takeTicket() -> UInt64 {
        lastTicket.wrappingAdd(1, ordering: .relaxed).newValue
    }

    /// A number that changes when tables have changed, as far as that went through the pooler.
    var schemaGeneration: UInt32 { schemaChangeCount.load(ordering: .acquiring) }

    func schemaChanged() { schemaChangeCount.wrappingAdd(1, ordering: .acquiringAndReleasing) }

    /// Whether the event loops are to return.
    var isFinished: Bool { finished.load(ordering: .acquiring) }

    /// Whether the chief wants to hear of every connection that goes.
    var isChiefWaiting: Bool {
        get { chiefWaits.load(ordering: .sequentiallyConsistent) }
        set { chiefWaits.store(newValue, ordering: .sequentiallyConsistent) }
    }

    /// A worker has passed on everything, or not.
    ///
    /// - Returns: whether that is news.
    func setFlushed(_ isFlushed: Bool, worker: WorkerID) -> Bool {
        flushed.withLock { flushed in
            let wasFlushed = exchange(&flushed[Int(worker.index)], with: isFlushed)
            return wasFlushed != isFlushed
        }
    }

    /// Whether all workers have passed on everything.
    var isFlushed: Bool { flushed.withLock { $0.allSatisfy { $0 } } }

    /// SUSPEND begins, or ends.
    func forgetFlushed() {
        flushed.withLock { flushed in
            for index in flushed.indices { flushed[index] = false }
        }
    }

    /// Ends all event loops.
    func finish() {
        finished.store(true, ordering: .sequentiallyConsistent)
        for mailbox in mailboxes { mailbox.wake() }
    }

    func post(_ mail: Mail, to worker: WorkerID) {
        mailboxes[Int(worker.index)].post(mail)
    }
}

/// How many client connections each worker has, by which new ones are spread.
///
/// Sendable without the compiler's proof: the memory holds atomics only, and lives as long as the
/// object.
@safe
final class WorkerLoads: @unchecked Sendable {
    private let counts: UnsafeMutablePointer<Atomic<Int>>
    private let workerCount: Int

    init(workerCount: Int) {
        self.workerCount = workerCount
        unsafe counts = .allocate(capacity: workerCount)
        for index in 0..<workerCount { unsafe (counts + index).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe counts.deinitialize(count: workerCount)
        unsafe counts.deallocate()
    }

    /// The number of all client connections.
    var total: Int {
        (0..<workerCount).reduce(0) { $0 + count(of: $1) }
    }

    /// Counts a connection more or less.
    func add(_ change: Int, to worker: WorkerID) {
        unsafe counts[Int(worker.index)].wrappingAdd(change, ordering: .relaxed)
    }

    /// The worker for a connection that `acceptor` has accepted: itself, unless another one has
    /// clearly fewer.
    ///
    /// The connection is counted.
    func place(acceptedBy acceptor: WorkerID) -> WorkerID {
        guard workerCount > 1 else {
            add(1, to: acceptor)
            return acceptor
        }
        let choice = Balance.worker(
            forConnectionOf: Int(acceptor.index),
            loads: (0..<workerCount).map { count(of: $0) }
        )
        let worker = WorkerID(index: UInt16(choice))
        add(1, to: worker)
        return worker
    }

    private func count(of index: Int) -> Int {
        unsafe counts[index].load(ordering: .relaxed)
    }
}

/// The secrets that have been looked up a moment ago.
final class SharedSecrets: Sendable {
    private let cache = Locked(SecretCache())

    func withLock<Result>(_ body: (inout SecretCache) -> sending Result) -> sending Result {
        cache.withLock { body(&$0) }
    }
}

/// The settings' states of all clients and servers.
final class SharedSettingsStates: Sendable {
    private let states = Locked(SettingsStates())

    var count: Int { states.withLock { $0.count } }

    func retain(_ id: SettingsID) { states.withLock { $0.retain(id) } }

    func release(_ id: SettingsID) {
        if id != .empty { states.withLock { $0.release(id) } }
    }

    func setting(
        _ name: ByteString,
        to value: ByteString,
        in id: SettingsID,
        isReported: Bool
    ) -> SettingsID {
        states.withLock { $0.setting(name, to: value, in: id, isReported: isReported) }
    }

    func records(of id: SettingsID) -> [SettingRecord] { states.withLock { $0.records(of: id) } }

    func state(of records: [SettingRecord]) -> SettingsID {
        states.withLock { $0.state(of: records) }
    }

    func reportedMessages(of id: SettingsID) -> [UInt8] {
        states.withLock { $0.reportedMessages(of: id) }
    }

    func reportedMessages(from old: SettingsID, to new: SettingsID) -> [UInt8] {
        states.withLock { $0.reportedMessages(from: old, to: new) }
    }

    func startChanges(
        _ start: SettingsID,
        _ defaults: SettingsID,
        of reset: [ByteString]?
    ) -> [SettingsChange] {
        states.withLock { $0.startChanges(start, defaults, of: reset) }
    }

    func value(of name: ByteString, in id: SettingsID) -> ByteString? {
        states.withLock { $0.value(of: name, in: id) }
    }

    /// Whether a state has values for all of these names.
    func hasAll(_ names: [ByteString], in id: SettingsID) -> Bool {
        states.withLock { states in
            names.allSatisfy { states.value(of: $0, in: id) != nil }
        }
    }

    func names(of id: SettingsID) -> [ByteString] {
        states.withLock { $0.names(of: id) }
    }

    func parseFingerprint(of id: SettingsID) -> UInt64 {
        states.withLock { $0.parseFingerprint(of: id) }
    }

    func parseSettings(of id: SettingsID) -> ParseSettings {
        states.withLock { $0.parseSettings(of: id) }
    }

    func scanRules(of id: SettingsID) -> ScanRules {
        states.withLock { $0.scanRules(of: id) }
    }

    func confirmed(by evidence: SessionEvidence, in id: SettingsID) -> SettingsID {
        states.withLock { $0.confirmed(by: evidence, in: id) }
    }

    func restored(
        _ id: SettingsID,
        start: SettingsID,
        defaults: SettingsID,
        unless changed: Set<ByteString>
    ) -> SettingsID {
        states.withLock { $0.restored(id, start: start, defaults: defaults, unless: changed) }
    }

    func changes(from actual: SettingsID, to desired: SettingsID) -> [SettingsChange] {
        states.withLock { $0.changes(from: actual, to: desired) }
    }

    func applying(_ changes: [SettingsChange], to id: SettingsID) -> SettingsID {
        states.withLock { $0.applying(changes, to: id) }
    }

    func reportedPart(of id: SettingsID) -> SettingsID {
        states.withLock { $0.reportedPart(of: id) }
    }
}

/// What is known of the databases, by the names that clients use: what in them can change a session
/// without being named.
final class SharedSurveys: Sendable {
    private let found = Locked<[ByteString: Survey]>([:])

    subscript(database: ByteString) -> Survey? {
        get { found.withLock { $0[database] } }
        set { found.withLock { $0[database] = newValue } }
    }
}

/// What a database has been found to have.
struct Survey: Sendable {
    let calls: HiddenCalls
    /// When it is to be made anew.
    let end: Microseconds
}

/// The prepared statements of all clients and servers.
final class SharedStatements: Sendable {
    private let store = Locked(StatementStore())

    var count: Int { store.withLock { $0.count } }

    func retain(body: ByteString, settings: ParseSettings) -> UInt32 {
        store.withLock { $0.retain(body: body, settings: settings) }
    }

    func begin(generation: UInt64) { store.withLock { $0.begin(generation: generation) } }

    func record(of slot: UInt32, pool: PoolKey, mark: UInt64) -> StatementRecord? {
        store.withLock { $0.record(of: slot, pool: pool, mark: mark) }
    }

    func adopt(_ record: StatementRecord, mark: UInt64) -> UInt32 {
        store.withLock { $0.adopt(record, mark: mark) }
    }

    func retain(_ slot: UInt32) { store.withLock { $0.retain(slot) } }
    func outdate(_ slot: UInt32) { store.withLock { $0.outdate(slot) } }
    func isOutdated(_ slot: UInt32) -> Bool { store.withLock { $0.isOutdated(slot) } }
    func release(_ slot: UInt32) { store.withLock { $0.release(slot) } }
    func body(of slot: UInt32) -> ByteString { store.withLock { $0.body(of: slot) } }
    func declaredBody(of slot: UInt32) -> ByteString {
        store.withLock { $0.declaredBody(of: slot) }
    }

    func note(_ description: StatementDescription, of slot: UInt32) -> Bool {
        store.withLock { $0.note(description, of: slot) }
    }

    func description(of slot: UInt32) -> StatementDescription? {
        store.withLock { $0.description(of: slot) }
    }

    func serial(of slot: UInt32) -> UInt64 { store.withLock { $0.serial(of: slot) } }

    func isBody(of slot: UInt32, _ span: RawSpan, fingerprint: UInt64) -> Bool {
        store.withLock { $0.isBody(of: slot, span, fingerprint: fingerprint) }
    }

    func settings(of slot: UInt32) -> ParseSettings { store.withLock { $0.settings(of: slot) } }

    func serial(ofBody body: ByteString, settings: ParseSettings) -> UInt64? {
        store.withLock { $0.serial(ofBody: body, settings: settings) }
    }
}

/// The epoll descriptor of each worker's event loop: whoever takes a server from a worker stops that
/// worker's watching, too.
///
/// Sendable without the compiler's proof: the memory holds atomics only, and lives as long as the
/// object.
@safe
final class ReactorDescriptors: @unchecked Sendable {
    private let descriptors: UnsafeMutablePointer<Atomic<Int32>>
    private let workerCount: Int

    init(workerCount: Int) {
        self.workerCount = workerCount
        unsafe descriptors = .allocate(capacity: workerCount)
        for index in 0..<workerCount {
            unsafe (descriptors + index).initialize(to: Atomic(-1))
        }
    }

    deinit {
        unsafe descriptors.deinitialize(count: workerCount)
        unsafe descriptors.deallocate()
    }

    subscript(worker: WorkerID) -> Int32 {
        get { unsafe descriptors[Int(worker.index)].load(ordering: .acquiring) }
        set { unsafe descriptors[Int(worker.index)].store(newValue, ordering: .releasing) }
    }
}
