// What of the process before this one counts here as long as it runs: the seats that its connections
// take, and the cancel keys that clients brought along.

internal import PoolerCore
internal import PostgresWire

/// A client of this process, wherever it is.
struct ClientPlace: Sendable {
    let client: ClientID
    let worker: WorkerID
}

/// What is known of a pool of another process.
struct ForeignPool: Sendable {
    /// Whether its servers are where this process's configuration has them.
    let isTargetSame: Bool
    /// The host that its servers count for until they come: the first of several.
    let host: HostName
}

/// What is left of another process.
final class ForeignConnections: Sendable {
    private struct State {
        var predecessor: Succession?
        /// Clients that it still has.
        var clientCount = 0
        /// The clients with keys that another process has given them.
        var keys: [CancelKey: ClientPlace] = [:]
    }

    private let state = Locked(State())

    /// The process that this one takes over from, as long as it runs.
    var predecessor: Succession? {
        get { state.withLock { $0.predecessor } }
        set { state.withLock { $0.predecessor = newValue } }
    }

    /// The number of its clients.
    var clientCount: Int {
        get { state.withLock { $0.clientCount } }
        set { state.withLock { $0.clientCount = newValue } }
    }

    /// A client has come from there, or gone.
    func clientLeft() { state.withLock { $0.clientCount = max(0, $0.clientCount - 1) } }

    /// The client that has a key of another process.
    subscript(key: CancelKey) -> ClientPlace? {
        get { state.withLock { $0.keys[key] } }
        set { state.withLock { $0.keys[key] = newValue } }
    }
}

extension SharedState {
    /// Takes up what the successor of a process has to know before the first connection comes.
    func begin(_ record: BeginRecord, _ configuration: Configuration) {
        startNumbers(at: record.nextNumber)
        foreign.clientCount = record.clientCount
        pools.withLock { pools in
            for name in record.pausedDatabases { pools.updateDatabase(name) { $0.isPaused = true } }
            for name in record.disabledDatabases {
                pools.updateDatabase(name) { $0.isDisabled = true }
            }
        }
        for pool in record.pools {
            let key = pool.key.key
            // Of a database that there is no longer, the connections are closed when they come.
            let database = configuration.database(named: key.database)
            let settings = configuration.effectiveSettings(database: database, user: key.user)
            let isSame = database?.target == pool.target
            let shared = pools.pool(for: key, settings: settings)
            let defaults = pool.defaults.map { states.state(of: $0) }
            let outdated = shared.withLock { shared in
                shared.foreignServerCount = pool.serverCount
                shared.noteCustomNames(pool.customNames)
                guard isSame else { return defaults.map { [$0] } ?? [] }
                if shared.credentials == .none {
                    shared.use(pool.credentials.credentials, asOf: 0)
                }
                shared.fixedParameters = pool.fixedParameters
                return defaults.map { shared.adoptDefaults($0) } ?? []
            }
            for state in outdated { states.release(state) }
            let hosts =
                database?.hostNames(unixSocketDir: configuration.settings.unixSocketDir) ?? []
            let host = hosts.first ?? HostName(host: "", port: 0)
            foreignPools.withLock { $0[key] = ForeignPool(isTargetSame: isSame, host: host) }
            pools.withLock { $0.serversAdopted(of: key, at: host, count: pool.serverCount) }
        }
    }

    /// A server of the other process has been closed: its seat is free.
    func foreignServerLeft(_ key: PoolKey) {
        guard let pool = pools.pool(for: key), takeForeignSeat(of: pool) else { return }
        for worker in workers { post(.roomMade(pool.id), to: worker) }
    }

    /// Frees a seat of the other process's, of which a connection has come from there or has gone.
    ///
    /// - Returns: false when there was none.
    @discardableResult
    func takeForeignSeat(of pool: SharedPool) -> Bool {
        let wasTaken = pool.withLock { pool in
            guard pool.foreignServerCount > 0 else { return false }
            pool.foreignServerCount -= 1
            return true
        }
        if wasTaken, let host = foreignPools.withLock({ $0[pool.key]?.host }) {
            pools.withLock { _ = $0.serverClosed(of: pool.key, at: host) }
        }
        return wasTaken
    }

    /// The other process has gone, and with it what it had.
    func forgetForeignConnections() {
        foreign.clientCount = 0
        for pool in pools.pools() {
            while takeForeignSeat(of: pool) {}
            for worker in workers { post(.roomMade(pool.id), to: worker) }
        }
    }

    /// Whether the servers of a pool of another process are where the configuration has them.
    func isForeignTargetSame(_ key: PoolKey) -> Bool {
        foreignPools.withLock { $0[key]?.isTargetSame ?? true }
    }
}
