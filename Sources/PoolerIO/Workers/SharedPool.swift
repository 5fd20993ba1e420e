// A pool as all workers share it: the queue and the limits under a lock, and a gate that tells without
// the lock whether there is anything to look at.
//
// The gate is what lets a worker take and free a server at home without the lock. Who joins the queue
// closes the gate first and looks for free servers afterwards; who frees a server does so first and
// looks at the gate afterwards. Both in the one order of sequentially consistent operations, so that
// at least one of the two sees the other.

internal import PoolerCore
internal import PostgresWire
internal import Synchronization

/// Whether a pool's lock is needed to take or free a server.
///
/// Sendable without the compiler's proof: the memory holds one atomic, and is never given back.
@safe
struct Gate: @unchecked Sendable {
    private let value: UnsafeMutablePointer<Atomic<Int>>

    init() {
        unsafe value = .allocate(capacity: 1)
        unsafe value.initialize(to: Atomic(0))
    }

    private var state: GateState {
        GateState(rawValue: unsafe value.pointee.load(ordering: .sequentiallyConsistent))
    }

    /// Whether nobody waits for any server, the pool is not paused and has no server too many.
    var isOpen: Bool { state.isOpen }

    /// Whether somebody waits for a server with certain settings.
    var hasChoosing: Bool { state.hasChoosing }

    fileprivate func set(_ state: GateState) {
        unsafe value.pointee.store(state.rawValue, ordering: .sequentiallyConsistent)
    }
}

/// A pool of the process.
final class SharedPool: Sendable {
    let id: PoolID
    let key: PoolKey
    let gate = Gate()
    private let pool: Locked<Pool>

    init(id: PoolID, key: PoolKey, settings: Settings, isPaused: Bool) {
        self.id = id
        self.key = key
        var pool = Pool(key: key, settings: settings)
        pool.isPaused = isPaused
        self.pool = Locked(pool)
        if isPaused { gate.set(GateState(isOpen: false, hasChoosing: false)) }
    }

    /// Looks at the pool or changes it; no system call may be made meanwhile.
    func withLock<Result>(_ body: (inout Pool) -> sending Result) -> sending Result {
        pool.withLock { pool in
            let result = body(&pool)
            gate.set(pool.gate)
            return result
        }
    }

    /// Adds a client to the queue, or says why it cannot wait.
    ///
    /// - Parameter isChoosing: whether there are free servers, but none with its settings.
    func request(
        _ client: ClientID,
        of worker: WorkerID,
        settings: SettingsID,
        isChoosing: Bool,
        now: Microseconds
    ) -> Assignment {
        withLock {
            $0.request(
                client,
                of: worker,
                settings: settings,
                isChoosing: isChoosing,
                now: now
            )
        }
    }

    /// Takes hold of a free server for the client that waits longest: one at home in the client's
    /// worker if there is one, or, with server_round_robin, the one that has been free for longest.
    ///
    /// - Parameters:
    ///   - worker: who asks.
    ///   - takesFromOthers: whether it can take servers that are at home elsewhere.
    func match(_ servers: Servers, by worker: WorkerID, takesFromOthers: Bool) -> Matching {
        withLock { pool in
            while pool.hasWork, let first = pool.waiters.first {
                let choice =
                    pool.settings.serverRoundRobin
                    ? Self.longestFree(of: pool.servers, servers)
                    : Self.anyFree(of: pool.servers, servers, near: first.worker)
                guard let choice else { return .nothing }
                if choice.home != worker && !takesFromOthers { return .ask(choice.home) }
                if servers.take(choice.server, from: choice.home), let waiter = pool.takeWaiter() {
                    return .match(
                        Match(server: choice.server, home: choice.home, waiter: waiter)
                    )
                }
            }
            return .nothing
        }
    }

    private static func anyFree(
        of all: [ServerID],
        _ servers: Servers,
        near worker: WorkerID
    ) -> (server: ServerID, home: WorkerID)? {
        var choice: (server: ServerID, home: WorkerID)?
        for server in all {
            guard let home = servers.home(ofFree: server) else { continue }
            if home == worker { return (server, home) }
            if choice == nil { choice = (server, home) }
        }
        return choice
    }

    private static func longestFree(
        of all: [ServerID],
        _ servers: Servers
    ) -> (server: ServerID, home: WorkerID)? {
        var choice: (server: ServerID, home: WorkerID)?
        var since = Microseconds.max
        for server in all {
            guard let home = servers.home(ofFree: server) else { continue }
            if servers.freeSince(server) < since {
                since = servers.freeSince(server)
                choice = (server, home)
            }
        }
        return choice
    }

    /// Takes the client that waits longest, for a server that has just become free in a worker; of
    /// those that have waited about as long, one whom it suits.
    ///
    /// - Parameter insisting: whether it shall go only to one that has its settings.
    func takeWaiter(
        near worker: WorkerID,
        in settings: SettingsID,
        insisting: Bool
    ) -> Waiter? {
        withLock { $0.takeWaiter(near: worker, in: settings, insisting: insisting) }
    }

    /// The server that has been free for longest, at a host or anywhere; somebody may take it at any time.
    func longestFreeServer(
        _ servers: Servers,
        at host: HostName? = nil
    ) -> (server: ServerID, home: WorkerID)? {
        Self.longestFree(of: withLock { $0.servers(at: host) }, servers)
    }
}

/// What a look at the queue and the free servers gave.
enum Matching {
    case match(Match)
    /// The free server is another worker's, which alone can let go of it.
    case ask(WorkerID)
    /// Nobody waits, the pool is paused, or no server is free.
    case nothing
}

/// A server and the client that gets it.
struct Match {
    let server: ServerID
    /// Where the server was at home.
    let home: WorkerID
    let waiter: Waiter
}

/// All pools of the process.
final class PoolDirectory: Sendable {
    private struct State {
        var pools = Pools()
        var shared: [SharedPool?] = []
        /// Whether PAUSE without a database is in force.
        var isPaused = false
        /// Whether any pool is marked so.
        var isContended = false
    }

    private let state = Locked(State())

    /// Looks at what is counted across pools or changes it.
    func withLock<Result>(_ body: (inout Pools) -> sending Result) -> sending Result {
        state.withLock { body(&$0.pools) }
    }

    /// The pool with a key, made if there is none; as long as nobody uses it, it can be forgotten.
    ///
    /// - Parameters:
    ///   - settings: what holds for a new pool; not evaluated for one that there is.
    func pool(
        for key: PoolKey,
        settings: @autoclosure () -> Settings
    ) -> SharedPool {
        state.withLock { state in
            let pool: SharedPool
            if let id = state.pools.id(of: key), let known = state.shared[id.index] {
                pool = known
            } else {
                let id = state.pools.insert(key)
                pool = SharedPool(
                    id: id,
                    key: key,
                    settings: settings(),
                    isPaused: state.isPaused
                        || state.pools.state(ofDatabase: key.database).isPaused
                )
                while state.shared.count <= id.index { state.shared.append(nil) }
                state.shared[id.index] = pool
            }
            return pool
        }
    }

    /// The pool with a key, if there is one.
    func pool(for key: PoolKey) -> SharedPool? {
        state.withLock { state in
            state.pools.id(of: key).flatMap { state.shared[$0.index] }
        }
    }

    /// The pools of a database, or all pools for nil.
    func pools(ofDatabase database: ByteString? = nil) -> [SharedPool] {
        state.withLock { state in
            state.pools.ids(ofDatabase: database).compactMap { state.shared[$0.index] }
        }
    }

    /// The pools with these ids.
    func pools(_ ids: [PoolID]) -> [SharedPool] {
        state.withLock { state in ids.compactMap { state.shared[$0.index] } }
    }

    /// Marks the pools whose servers others wait for.
    func markContended(now: Microseconds) {
        state.withLock { state in
            guard !state.pools.claims.isEmpty || state.isContended else { return }
            let contended = state.pools.contendedPools(now: now)
            state.isContended = !contended.isEmpty
            for pool in state.shared.compactMap(\.self) {
                let isContended = contended.contains(pool.id)
                pool.withLock { $0.isContended = isContended }
            }
        }
    }

    /// Stops or continues to give servers to the clients of a database, or of all.
    func setPaused(_ isPaused: Bool, database: ByteString?) {
        state.withLock { state in
            if !isPaused { state.pools.hosts.forgetFailures() }
            if let database {
                state.pools.updateDatabase(database) { $0.isPaused = isPaused }
            } else {
                state.isPaused = isPaused
            }
            for id in state.pools.ids(ofDatabase: database) {
                guard let pool = state.shared[id.index] else { continue }
                let database = state.pools.state(ofDatabase: pool.key.database)
                pool.withLock {
                    $0.isPaused = state.isPaused || database.isPaused
                    if !isPaused { $0.forgetFailure() }
                }
            }
        }
    }

    /// Forgets a pool if nobody uses it.
    ///
    /// - Parameter isUnused: runs with the pool's lock held.
    func forget(_ pool: SharedPool, if isUnused: (inout Pool) -> Bool) -> Bool {
        state.withLock { state in
            let isForgotten = pool.withLock { pool in
                pool.isForgotten = isUnused(&pool)
                return pool.isForgotten
            }
            guard isForgotten else { return false }
            state.pools.remove(pool.id)
            state.shared[pool.id.index] = nil
            return true
        }
    }
}
