// All pools of the process, and what is counted across them: connections of a database and of a
// user, whatever pools they belong to.

public import PostgresWire

/// What is known of a database beside its configuration.
public struct DatabaseState: Sendable {
    public var clientCount = 0
    public var serverCount = 0
    public var isPaused = false
    public var isDisabled = false

    public init() {}
}

/// What is known of a user beside the configuration.
public struct UserState: Sendable {
    public var clientCount = 0
    public var serverCount = 0

    public init() {}
}

/// The pools by id and by key.
///
/// A pool stays where it is in memory, so that using one copies nothing.
@safe
public struct Pools: ~Copyable {
    /// Nil where a pool has been forgotten.
    private var pools: [UnsafeMutablePointer<Pool>?] = unsafe []
    private var freeIndices: [Int] = []
    private var indices: [PoolKey: Int] = [:]
    private var databases: [ByteString: DatabaseState] = [:]
    private var users: [ByteString: UserState] = [:]

    public init() {}

    deinit {
        for index in unsafe pools.indices {
            guard let pool = unsafe pools[index] else { continue }
            unsafe pool.deinitialize(count: 1)
            unsafe pool.deallocate()
        }
    }

    /// Every pool's id, in the order in which the pools came to be.
    public var ids: [PoolID] {
        unsafe pools.indices.filter { unsafe pools[$0] != nil }.map { PoolID(index: $0) }
    }

    /// The pool with an id, in place.
    public subscript(id: PoolID) -> Pool {
        unsafeAddress { unsafe UnsafePointer(pointer(id)) }
        unsafeMutableAddress { unsafe pointer(id) }
    }

    private func pointer(_ id: PoolID) -> UnsafeMutablePointer<Pool> {
        guard let pool = unsafe pools[id.index] else {
            preconditionFailure("a pool is used that was forgotten")
        }
        return unsafe pool
    }

    /// The pool with a key, made if there is none.
    ///
    /// - Parameter settings: what holds for a new pool; not evaluated for one that exists.
    public mutating func id(
        for key: PoolKey,
        settings: @autoclosure () -> Settings
    ) -> PoolID {
        if let index = indices[key] { return PoolID(index: index) }
        var pool = Pool(key: key, settings: settings())
        pool.isPaused = state(ofDatabase: key.database).isPaused
        let place = UnsafeMutablePointer<Pool>.allocate(capacity: 1)
        unsafe place.initialize(to: pool)
        let index: Int
        if let free = freeIndices.popLast() {
            index = free
            unsafe pools[free] = place
        } else {
            unsafe pools.append(place)
            index = unsafe pools.count - 1
        }
        indices[key] = index
        return PoolID(index: index)
    }

    /// Forgets a pool that has neither clients nor servers, and what was counted for its database and
    /// user if that is nothing now.
    public mutating func remove(_ id: PoolID) {
        let key = self[id].key
        let pool = unsafe pointer(id)
        unsafe pool.deinitialize(count: 1)
        unsafe pool.deallocate()
        unsafe pools[id.index] = nil
        freeIndices.append(id.index)
        indices[key] = nil
        let database = state(ofDatabase: key.database)
        if database.clientCount == 0 && database.serverCount == 0 && !database.isPaused
            && !database.isDisabled
        {
            databases[key.database] = nil
        }
        let user = state(ofUser: key.user)
        if user.clientCount == 0 && user.serverCount == 0 { users[key.user] = nil }
    }

    /// The pools of a database, or all pools for nil.
    public func ids(ofDatabase database: ByteString?) -> [PoolID] {
        ids.filter { database == nil || self[$0].key.database == database }
    }

    // MARK: Databases and users

    public func state(ofDatabase name: ByteString) -> DatabaseState {
        databases[name] ?? DatabaseState()
    }

    public func state(ofUser name: ByteString) -> UserState {
        users[name] ?? UserState()
    }

    /// Changes what is known of a database.
    public mutating func updateDatabase(
        _ name: ByteString,
        _ change: (inout DatabaseState) -> Void
    ) {
        change(&databases[name, default: DatabaseState()])
    }

    /// Counts a client that has logged in (1) or left (-1).
    public mutating func countClient(_ change: Int, database: ByteString, user: ByteString) {
        databases[database, default: DatabaseState()].clientCount += change
        users[user, default: UserState()].clientCount += change
    }

    /// Counts a server that is opened (1) or closed (-1).
    public mutating func countServer(_ change: Int, of id: PoolID) {
        let key = self[id].key
        databases[key.database, default: DatabaseState()].serverCount += change
        users[key.user, default: UserState()].serverCount += change
    }

    // MARK: Limits across pools

    /// Whether a pool may open a server as far as its database and user are concerned.
    public func mayOpenServer(_ id: PoolID) -> Bool {
        !isDatabaseFull(id) && !isUserFull(id)
    }

    /// A pool whose longest idle server should make room for `id`, which has reached the limit of its
    /// database or user; nil when there is no need, or when that would not help.
    public func poolToEvictFrom(for id: PoolID) -> PoolID? {
        let key = self[id].key
        var victims: [PoolID?] = []
        if isDatabaseFull(id) {
            victims.append(idleElsewhere(id) { $0.database == key.database })
        }
        if isUserFull(id) {
            victims.append(idleElsewhere(id) { $0.user == key.user })
        }
        return victims.contains(nil) ? nil : victims.first ?? nil
    }

    private func isDatabaseFull(_ id: PoolID) -> Bool {
        let limit = self[id].settings.maxDBConnections
        let count = state(ofDatabase: self[id].key.database).serverCount
        return limit > 0 && count >= limit
    }

    private func isUserFull(_ id: PoolID) -> Bool {
        let limit = self[id].settings.maxUserConnections
        let count = state(ofUser: self[id].key.user).serverCount
        return limit > 0 && count >= limit
    }

    private func idleElsewhere(_ id: PoolID, where matches: (PoolKey) -> Bool) -> PoolID? {
        ids.first { $0 != id && self[$0].longestIdleServer != nil && matches(self[$0].key) }
    }
}
