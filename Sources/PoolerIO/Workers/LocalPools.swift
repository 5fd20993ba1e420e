// The pools as one worker sees them: what it needs for each transaction, without a lock.

internal import PoolerCore

/// Whether there is something.
enum Knowledge: UInt8 {
    case unknown
    case none
    case some
}

/// What a worker has of a pool for itself.
struct LocalPool: ~Copyable {
    private let inPlace = InPlace()
    let shared: SharedPool
    /// The shared pool's own, without a reference to be counted.
    let gate: Gate
    let key: PoolKey
    /// Keeps its prepared statements apart from those of other pools.
    let statementMark: UInt64
    /// The settings that hold for this database and user.
    var settings: Settings {
        didSet {
            tracksStatements = settings.tracksStatements
            tracksSessions = settings.tracksSessions
            tracksSettings = settings.tracksSettings
            reusesUnnamed = settings.tracksStatements && settings.reuseUnnamedStatements
            slowQueryLimit = settings.slowQueryLimit
            queryTextLimit = settings.queryTextLimit
        }
    }
    /// Whether prepared statements are tracked.
    private(set) var tracksStatements: Bool
    /// Whether it is tracked what clients leave in their servers' sessions.
    private(set) var tracksSessions: Bool
    /// Whether settings follow a client from server to server.
    private(set) var tracksSettings: Bool
    /// Whether unnamed statements are served from prepared ones, and which of them.
    private(set) var reusesUnnamed: Bool
    var unnamedReuse = UnnamedReuse()
    /// How long a query takes that is logged, and how many bytes of its text are kept for that.
    private(set) var slowQueryLimit: Microseconds
    private(set) var queryTextLimit: Int
    /// Whether any client has asked for what its session has drawn from sequences.
    var usesSequences = false
    /// What is known of the functions of its database.
    var functionTrust = FunctionTrust()
    /// What in its database can change a session unseen, if that is known.
    var survey: Survey? {
        didSet { hiddenCalls = survey.map { $0.calls.isEmpty ? .none : .some } ?? .unknown }
    }
    /// The same in short.
    private(set) var hiddenCalls = Knowledge.unknown
    /// When an idle server was last asked what is left in its session.
    var lastAudit: Microseconds = 0
    /// What the clients and servers of this worker have counted.
    var counters = PoolCounters()
    /// The free servers that are at home here.
    var idle = IdleServers()
    /// Whether it pays to keep them for clients with their settings.
    var patienceWithClients = Patience()
    /// Whether it pays to have clients wait for servers with their settings.
    var patienceWithServers = Patience()
    var replayTime = ReplayTime()
    /// Servers with a smaller number are to be replaced; for those that come from other workers.
    var firstCurrentServer: UInt64 = 0

    init(_ shared: SharedPool, settings: Settings) {
        self.shared = shared
        gate = shared.gate
        key = shared.key
        statementMark = Self.statementMark(of: shared.key)
        self.settings = settings
        tracksStatements = settings.tracksStatements
        tracksSessions = settings.tracksSessions
        tracksSettings = settings.tracksSettings
        reusesUnnamed = settings.tracksStatements && settings.reuseUnnamedStatements
        slowQueryLimit = settings.slowQueryLimit
        queryTextLimit = settings.queryTextLimit
    }

    /// The number that keeps the prepared statements of a pool apart from those of others.
    static func statementMark(of key: PoolKey) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(key)
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    /// Whether clients get only servers that know no custom setting of others.
    var isolatesCustomSettings: Bool { tracksSessions && settings.isolateCustomSettings }
}

/// The pools that a worker has had to do with, by id, each at a place that does not change.
@safe
struct LocalPools: ~Copyable {
    private var places: [UnsafeMutablePointer<LocalPool>?] = unsafe []

    deinit {
        for index in unsafe places.indices { unsafe Self.destroy(places[index]) }
    }

    /// The ids of the pools that are known here.
    var ids: [PoolID] {
        unsafe places.indices.filter { unsafe places[$0] != nil }.map { PoolID(index: $0) }
    }

    /// Whether a pool is known here.
    func contains(_ id: PoolID) -> Bool {
        unsafe id.index < places.count && places[id.index] != nil
    }

    /// Whether this very pool is known here, not one that had its id before.
    func knows(_ pool: SharedPool) -> Bool {
        contains(pool.id) && self[pool.id].shared === pool
    }

    /// The pool with an id that is known here, in place.
    subscript(id: PoolID) -> LocalPool {
        unsafeAddress { unsafe UnsafePointer(pointer(id)) }
        unsafeMutableAddress { unsafe pointer(id) }
    }

    /// Makes a pool known here, if it is not.
    mutating func adopt(_ shared: SharedPool, settings: Settings) {
        let index = shared.id.index
        while unsafe places.count <= index { unsafe places.append(nil) }
        if let place = unsafe places[index] {
            if unsafe place.pointee.shared === shared { return }
            unsafe Self.destroy(place)
        }
        let place = UnsafeMutablePointer<LocalPool>.allocate(capacity: 1)
        unsafe place.initialize(to: LocalPool(shared, settings: settings))
        unsafe places[index] = unsafe place
    }

    /// Forgets a pool, unless its id means another one by now.
    mutating func forget(_ shared: SharedPool) {
        guard knows(shared) else { return }
        unsafe Self.destroy(places[shared.id.index])
        unsafe places[shared.id.index] = nil
    }

    private static func destroy(_ place: UnsafeMutablePointer<LocalPool>?) {
        guard let place = unsafe place else { return }
        unsafe place.deinitialize(count: 1)
        unsafe place.deallocate()
    }

    private func pointer(_ id: PoolID) -> UnsafeMutablePointer<LocalPool> {
        guard let place = unsafe places[id.index] else {
            preconditionFailure("a pool is used that is not known here")
        }
        return unsafe place
    }
}
