// What the console shows, as plain values: the pooler's state at one moment, gathered by whoever
// owns the connections and pools. Only the parts that a table needs have to be filled. Nothing here
// is formatted; that is the tables' work.

package import PostgresWire

/// The parts of a `ConsoleSnapshot`.
package struct SnapshotParts: OptionSet, Sendable {
    package let rawValue: Int

    package init(rawValue: Int) {
        self.rawValue = rawValue
    }

    package static let clients = SnapshotParts(rawValue: 1)
    package static let servers = SnapshotParts(rawValue: 2)
    package static let pools = SnapshotParts(rawValue: 4)
    package static let databases = SnapshotParts(rawValue: 8)
    package static let users = SnapshotParts(rawValue: 16)
    package static let statistics = SnapshotParts(rawValue: 32)
    package static let overall = SnapshotParts(rawValue: 64)
    package static let settings = SnapshotParts(rawValue: 128)
    package static let lists = SnapshotParts(rawValue: 256)
    package static let memory = SnapshotParts(rawValue: 512)
    package static let state = SnapshotParts(rawValue: 1_024)
}

/// Everything that SHOW can need.
package struct ConsoleSnapshot: Sendable {
    /// All clients, those still logging in included.
    package var clients: [SocketSnapshot] = []
    /// All servers, those still logging in included.
    package var servers: [SocketSnapshot] = []
    /// All pools, the console's included.
    package var pools: [PoolSnapshot] = []
    /// All databases, the console's included, `*` not.
    package var databases: [DatabaseSnapshot] = []
    /// All users that are known.
    package var users: [UserSnapshot] = []
    /// Totals and averages of each database that has a pool.
    package var statistics: [StatsSnapshot] = []
    /// Totals and averages of all databases together.
    package var overall = StatsSnapshot()
    /// Every setting.
    package var settings: [SettingSnapshot] = []
    /// How many there are of each thing.
    package var lists = ListsSnapshot()
    /// What the slabs hold; a slab that is missing shows zeros.
    package var memory: [MemorySlab: MemorySnapshot] = [:]
    /// Whether the pooler works.
    package var state = PoolerState.active

    /// Starts empty.
    package init() {}
}

/// A row of SHOW CLIENTS, SERVERS and SOCKETS.
package struct SocketSnapshot: Equatable, Sendable {
    /// What a client connection is doing.
    package enum ClientState: String, CaseIterable, Sendable {
        /// Has a server.
        case active
        /// Needs no server at the moment.
        case idle
        /// Waits for a server.
        case waiting
        /// Has not completed its login.
        case login
        /// A cancel request that has been sent on and waits for the server to close.
        case activeCancelRequest = "active_cancel_req"
        /// A cancel request that waits to be sent on.
        case waitingCancelRequest = "waiting_cancel_req"
    }

    /// What a server connection is doing.
    package enum ServerState: String, CaseIterable, Sendable {
        /// Has a client.
        case active
        /// Can be assigned.
        case idle
        /// Idle for longer than server_check_delay: to be checked before it is assigned.
        case used
        /// Runs server_reset_query or server_check_query.
        case tested
        /// Is connecting or logging in.
        case new
        /// Carries a cancel request.
        case activeCancel = "active_cancel"
        /// Would be idle, but a cancel request for its last client is on the way.
        case beingCanceled = "being_canceled"
    }

    /// Which side the connection is on, and what it is doing.
    package enum State: Equatable, Sendable {
        case client(ClientState)
        case server(ServerState)
    }

    package var state: State
    package var user: ByteString = ""
    package var database: ByteString = ""
    /// The other end: an IP address, or `unix`.
    package var address: ByteString = ""
    package var port = 0
    /// Our end.
    package var localAddress: ByteString = ""
    package var localPort = 0
    /// When the connection was made.
    package var connectTime: Timestamp?
    /// When the last request was made; nil before the first.
    package var requestTime: Timestamp?
    /// How long a waiting client has waited; 0 for all others.
    package var waitMicroseconds: UInt64 = 0
    /// Whether the server is closed as soon as it is free.
    package var isCloseNeeded = false
    /// A number that tells connections apart as long as they live, shown as an address.
    package var pointer: UInt64 = 0
    /// The `pointer` of the connection on the other side.
    package var link: UInt64?
    /// The process at the other end: over Unix sockets, and for servers.
    package var remoteProcessID = 0
    /// Protocol and cipher, empty without TLS.
    package var tls: ByteString = ""
    package var applicationName: ByteString = ""
    /// How many prepared statements are known on this connection.
    package var preparedStatementCount = 0
    /// A number that is never used again, at most 2^31 - 1 to fit the column.
    package var id = 0
    /// Where the buffers stand.
    package var buffers = SocketBuffers()

    /// Starts with nothing but a state.
    package init(_ state: State) {
        self.state = state
    }
}

/// The extra columns of SHOW SOCKETS, in bytes.
package struct SocketBuffers: Equatable, Sendable {
    package var receivePosition = 0
    package var packetPosition = 0
    package var packetRemaining = 0
    package var sendPosition = 0
    package var sendRemaining = 0
    package var packetAvailable = 0
    package var sendAvailable = 0

    /// Starts empty.
    package init() {}

    /// Whether nothing is buffered.
    package var isEmpty: Bool { self == SocketBuffers() }
}

/// A row of SHOW POOLS.
package struct PoolSnapshot: Equatable, Sendable {
    package var database: ByteString
    package var user: ByteString
    /// Clients with a server, and idle ones.
    package var clientActive = 0
    package var clientWaiting = 0
    package var clientActiveCancelRequest = 0
    package var clientWaitingCancelRequest = 0
    package var serverActive = 0
    package var serverActiveCancel = 0
    package var serverBeingCanceled = 0
    package var serverIdle = 0
    package var serverUsed = 0
    package var serverTested = 0
    package var serverLogin = 0
    /// How long the first client of the queue has waited.
    package var maxWaitMicroseconds: UInt64 = 0
    package var poolMode: ByteString = "transaction"
    /// Only for databases with a list of hosts.
    package var loadBalanceHosts: ByteString?

    /// Starts with all counts at zero.
    package init(database: ByteString, user: ByteString) {
        self.database = database
        self.user = user
    }
}

/// A row of SHOW DATABASES.
package struct DatabaseSnapshot: Equatable, Sendable {
    package var name: ByteString
    package var host: ByteString?
    package var port = 5_432
    /// The name on the server.
    package var database: ByteString
    package var forceUser: ByteString?
    package var poolSize = 0
    package var minPoolSize = 0
    package var reservePoolSize = 0
    /// In seconds.
    package var serverLifetime = 0
    /// nil when the database has no mode of its own.
    package var poolMode: ByteString?
    package var loadBalanceHosts: ByteString?
    package var maxConnections = 0
    package var currentConnections = 0
    package var maxClientConnections = 0
    package var currentClientConnections = 0
    package var isPaused = false
    package var isDisabled = false

    /// Starts with a database of the same name on the server, and all numbers at zero.
    package init(name: ByteString) {
        self.name = name
        self.database = name
    }
}

/// A row of SHOW USERS.
package struct UserSnapshot: Equatable, Sendable {
    package var name: ByteString
    /// nil when the user has no size of its own.
    package var poolSize: Int?
    package var reservePoolSize: Int?
    package var poolMode: ByteString?
    package var maxUserConnections = 0
    package var currentConnections = 0
    package var maxUserClientConnections = 0
    package var currentClientConnections = 0

    /// Starts with nothing of its own.
    package init(name: ByteString) {
        self.name = name
    }
}

/// A row of SHOW CONFIG.
package struct SettingSnapshot: Equatable, Sendable {
    package var key: ByteString
    package var value: ByteString?
    package var defaultValue: ByteString?
    /// Whether RELOAD and SET change it.
    package var isChangeable: Bool

    /// Joins the row's fields.
    package init(
        key: ByteString,
        value: ByteString?,
        defaultValue: ByteString?,
        isChangeable: Bool
    ) {
        self.key = key
        self.value = value
        self.defaultValue = defaultValue
        self.isChangeable = isChangeable
    }
}

/// The numbers of SHOW LISTS.
package struct ListsSnapshot: Equatable, Sendable {
    package var databases = 0
    package var users = 0
    package var peers = 0
    package var pools = 0
    package var peerPools = 0
    package var freeClients = 0
    package var usedClients = 0
    package var loginClients = 0
    package var freeServers = 0
    package var usedServers = 0
    package var dnsNames = 0
    package var dnsZones = 0
    package var dnsQueries = 0
    package var dnsPending = 0

    /// Starts at zero.
    package init() {}
}

/// The slabs of SHOW MEM, under PgBouncer's names.
package enum MemorySlab: String, CaseIterable, Sendable {
    case users = "user_cache"
    case credentials = "credentials_cache"
    case databases = "db_cache"
    case peers = "peer_cache"
    case peerPools = "peer_pool_cache"
    case pools = "pool_cache"
    case outstandingRequests = "outstanding_request_cache"
    case servers = "server_cache"
    case clients = "client_cache"
    case buffers = "iobuf_cache"
    case parameterLists = "var_list_cache"
    case serverPreparedStatements = "server_prepared_statement_cache"
}

/// What a slab holds.
package struct MemorySnapshot: Equatable, Sendable {
    /// The size of an entry, in bytes.
    package var entryByteCount: Int
    package var usedCount: Int
    package var freeCount: Int

    /// Joins the numbers.
    package init(entryByteCount: Int = 0, usedCount: Int = 0, freeCount: Int = 0) {
        self.entryByteCount = entryByteCount
        self.usedCount = usedCount
        self.freeCount = freeCount
    }
}

/// Whether the pooler works, for SHOW STATE.
package enum PoolerState: String, CaseIterable, Sendable {
    case active
    case paused
    case suspended
}
