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

    /// Counts a client that has left.
    public mutating func clientLeft(database: ByteString, user: ByteString) {
        databases[database, default: DatabaseState()].clientCount -= 1
        users[user, default: UserState()].clientCount -= 1
    }

    // MARK: Servers, within the limits across pools

    /// Counts a server that is about to be opened, if its database and user have room for it.
    public mutating func admitServer(
        of key: PoolKey,
        at host: HostName,
        limits: Settings
    ) -> Bool {
        guard hasRoom(for: key, limits: limits) else { return false }
        databases[key.database, default: DatabaseState()].serverCount += 1
        users[key.user, default: UserState()].serverCount += 1
        hosts.serverOpened(at: host)
        return true
    }

    /// Counts a server that is closed.
    public mutating func serverClosed(of key: PoolKey, at host: HostName) {
        databases[key.database, default: DatabaseState()].serverCount -= 1
        users[key.user, default: UserState()].serverCount -= 1
        hosts.serverClosed(at: host)
    }

    /// Whether a server more would be within the limits of its database and user.
    public func hasRoom(for key: PoolKey, limits: Settings) -> Bool {
        !isDatabaseFull(key, limits) && !isUserFull(key, limits)
    }

    /// The pools that share a limit which `key` has reached: a free server of one of each list has to
    /// make room.
    ///
    /// - Parameter includingOwn: whether it can be one of the pool's own.
    public func poolsInTheWay(
        of key: PoolKey,
        limits: Settings,
        includingOwn: Bool = false
    ) -> [[PoolID]] {
        var lists: [[PoolID]] = []
        if isDatabaseFull(key, limits) {
            lists.append(pools { (includingOwn || $0 != key) && $0.database == key.database })
        }
        if isUserFull(key, limits) {
            lists.append(pools { (includingOwn || $0 != key) && $0.user == key.user })
        }
        return lists
    }

    private func isDatabaseFull(_ key: PoolKey, _ limits: Settings) -> Bool {
        limits.maxDBConnections > 0
            && state(ofDatabase: key.database).serverCount >= limits.maxDBConnections
    }

    private func isUserFull(_ key: PoolKey, _ limits: Settings) -> Bool {
        limits.maxUserConnections > 0
            && state(ofUser: key.user).serverCount >= limits.maxUserConnections
    }

    private func pools(where matches: (PoolKey) -> Bool) -> [PoolID] {
        ids.filter { id in keys[id.index].map { matches($0) } ?? false }
    }
}
