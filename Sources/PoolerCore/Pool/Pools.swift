// Which pools there are, and what is counted across them: connections of a database and of a user,
// whatever pools and workers they belong to.

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

/// How many clients a database and a user may have; 0 means any number.
public struct ClientLimits: Equatable, Sendable {
    let ofDatabase: Int
    let ofUser: Int

    public init(_ settings: Settings) {
        ofDatabase = settings.maxDBClientConnections
        ofUser = settings.maxUserClientConnections
    }
}

/// The pools by id and by key.
public struct Pools: Sendable {
    /// Nil where a pool has been forgotten.
    private var keys: [PoolKey?] = []
    private var freeIndices: [Int] = []
    private var indices: [PoolKey: Int] = [:]
    private var databases: [ByteString: DatabaseState] = [:]
    private var users: [ByteString: UserState] = [:]
    /// Which hosts answer, and how many servers each has.
    public var hosts = Hosts()
    /// Who waits for room within a limit.
    public private(set) var claims = Claims()

    public init() {}

    /// Every pool's id, in the order in which the pools came to be.
    public var ids: [PoolID] {
        keys.indices.filter { keys[$0] != nil }.map { PoolID(index: $0) }
    }

    /// The pool with a key, if there is one.
    public func id(of key: PoolKey) -> PoolID? {
        indices[key].map { PoolID(index: $0) }
    }

    /// Gives an id to a key that has none.
    public mutating func insert(_ key: PoolKey) -> PoolID {
        let index: Int
        if let free = freeIndices.popLast() {
            index = free
            keys[free] = key
        } else {
            index = keys.count
            keys.append(key)
        }
        indices[key] = index
        return PoolID(index: index)
    }

    /// Forgets a pool that has neither clients nor servers, and what was counted for its database and
    /// user if that is nothing now.
    public mutating func remove(_ id: PoolID) {
        guard let key = keys[id.index] else { return }
        keys[id.index] = nil
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
        ids.filter { database == nil || keys[$0.index]?.database == database }
    }

    // MARK: Databases and users

    public func state(ofDatabase name: ByteString) -> DatabaseState {
        databases[name] ?? DatabaseState()
    }

    /// Whether anything has been counted or decided for a database.
    public func knows(database name: ByteString) -> Bool { databases[name] != nil }

    /// The databases for which anything has been counted or decided, by name.
    public var databaseNames: [ByteString] { databases.keys.sorted() }

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

    /// Counts a client that has logged in, if its database and user have room for it.
    ///
    /// - Returns: why it may not come in, or nil.
    public mutating func admitClient(
        database: ByteString,
        user: ByteString,
        limits: ClientLimits
    ) -> String? {
        let state = state(ofDatabase: database)
        if state.isDisabled { return "database \"\(database)\" is disabled" }
        if limits.ofDatabase > 0, state.clientCount >= limits.ofDatabase {
            return "client connections exceeded (max_db_client_connections)"
        }
        if limits.ofUser > 0, self.state(ofUser: user).clientCount >= limits.ofUser {
            return "client connections exceeded (max_user_client_connections)"
        }
        databases[database, default: DatabaseState()].clientCount += 1
        users[user, default: UserState()].clientCount += 1
        return nil
    }

    /// Counts a client that another process has let in, whatever the limits are.
    public mutating func clientAdopted(database: ByteString, user: ByteString) {
        databases[database, default: DatabaseState()].clientCount += 1
        users[user, default: UserState()].clientCount += 1
    }

    /// The databases that are paused, and those that are disabled.
    public var heldBackDatabases: (paused: [ByteString], disabled: [ByteString]) {
        (
            databases.filter { $0.value.isPaused }.map(\.key),
            databases.filter { $0.value.isDisabled }.map(\.key)
        )
    }

    /// Counts a client that has left.
    public mutating func clientLeft(database: ByteString, user: ByteString) {
        databases[database, default: DatabaseState()].clientCount -= 1
        users[user, default: UserState()].clientCount -= 1
    }

    // MARK: Servers, within the limits across pools

    /// Counts a server that is about to be opened, if its database, user and host have room for it, and
    /// for those who have waited longer.
    ///
    /// - Parameter claim: who waits for it; remembered if there is no room. Nil if nobody does.
    public mutating func admitServer(
        of key: PoolKey,
        at host: HostName,
        limits: Settings,
        claim: Claim? = nil,
        now: Microseconds = 0
    ) -> Bool {
        let claims = claims
        let full = fullLimits(for: key, at: host, limits) {
            claims.countAhead(of: claim, within: $0, key: key, host: host)
        }
        guard full.isEmpty else {
            if let claim { self.claims.add(claim, for: full, now: now) }
            return false
        }
        if let claim { self.claims.remove(claim) }
        databases[key.database, default: DatabaseState()].serverCount += 1
        users[key.user, default: UserState()].serverCount += 1
        hosts.serversOpened(at: host)
        return true
    }

    /// Counts servers that another process has opened, whatever the limits are.
    public mutating func serversAdopted(of key: PoolKey, at host: HostName, count: Int) {
        databases[key.database, default: DatabaseState()].serverCount += count
        users[key.user, default: UserState()].serverCount += count
        hosts.serversOpened(at: host, count: count)
    }

    /// Counts a server that is closed.
    ///
    /// - Returns: who may have room now.
    @discardableResult
    public mutating func serverClosed(of key: PoolKey, at host: HostName) -> Claim? {
        databases[key.database, default: DatabaseState()].serverCount -= 1
        users[key.user, default: UserState()].serverCount -= 1
        hosts.serverClosed(at: host)
        return claims.isEmpty ? nil : claims.first(after: key, at: host)
    }

    /// Whether a server more would be within the limits of its database, user and host, and leave room for
    /// all who wait for it.
    public func hasRoom(for key: PoolKey, at host: HostName, limits: Settings) -> Bool {
        fullLimits(for: key, at: host, limits) {
            claims.countAhead(of: nil, within: $0, key: key, host: host)
        }.isEmpty
    }

    /// The limits that a server more would exceed.
    ///
    /// - Parameter ahead: how many others come first within a limit.
    private func fullLimits(
        for key: PoolKey,
        at host: HostName,
        _ limits: Settings,
        ahead: (SharedLimits) -> Int = { _ in 0 }
    ) -> SharedLimits {
        var full: SharedLimits = []
        let databaseCount = state(ofDatabase: key.database).serverCount
        if limits.maxDBConnections > 0,
            databaseCount + ahead(.ofDatabase) >= limits.maxDBConnections
        {
            full.insert(.ofDatabase)
        }
        let userCount = state(ofUser: key.user).serverCount
        if limits.maxUserConnections > 0,
            userCount + ahead(.ofUser) >= limits.maxUserConnections
        {
            full.insert(.ofUser)
        }
        if hosts.isFull(host, limits.maxHostConnections, behind: ahead(.ofHost)) {
            full.insert(.ofHost)
        }
        return full
    }

    /// The pools that share a limit which `key` has reached: a free server of one of each list has to
    /// make room, and where it says so one at that host.
    ///
    /// - Parameter includingOwn: whether it can be one of the pool's own.
    public func poolsInTheWay(
        of key: PoolKey,
        at host: HostName,
        limits: Settings,
        includingOwn: Bool = false
    ) -> [(pools: [PoolID], host: HostName?)] {
        var lists: [(pools: [PoolID], host: HostName?)] = []
        let full = fullLimits(for: key, at: host, limits)
        if full.contains(.ofDatabase) {
            let ids = pools { (includingOwn || $0 != key) && $0.database == key.database }
            lists.append((ids, nil))
        }
        if full.contains(.ofUser) {
            lists.append((pools { (includingOwn || $0 != key) && $0.user == key.user }, nil))
        }
        if full.contains(.ofHost) {
            lists.append((pools { includingOwn || $0 != key }, host))
        }
        return lists
    }

    /// Whether a server that is free has to be closed for another pool.
    ///
    /// - Parameter since: when the pool's own client asked that has waited longest; nil if none waits.
    public func mustYield(
        _ key: PoolKey,
        at host: HostName,
        since: Microseconds?,
        now: Microseconds
    ) -> Bool {
        claims.mustYield(key, at: host, since: since, now: now)
    }

    /// The pools whose servers others wait for; claims that are void are forgotten.
    public mutating func contendedPools(now: Microseconds) -> Set<PoolID> {
        claims.prune(now: now)
        if claims.isEmpty { return [] }
        return Set(pools { claims.concern($0) })
    }

    private func pools(where matches: (PoolKey) -> Bool) -> [PoolID] {
        ids.filter { id in keys[id.index].map { matches($0) } ?? false }
    }
}
