// What the console shows, as plain values: the pooler's state at one moment, gathered by whoever
// owns the connections and pools. Only the parts that a table needs have to be filled. Nothing here
// is formatted; that is the tables' work.

public import PostgresWire

/// The parts of a `ConsoleSnapshot`.
public struct SnapshotParts: OptionSet, Sendable {
    public let rawValue: Int

    public init(rawValue: Int) {
        self.rawValue = rawValue
    }

    public static let clients = SnapshotParts(rawValue: 1)
    public static let servers = SnapshotParts(rawValue: 2)
    public static let pools = SnapshotParts(rawValue: 4)
    public static let databases = SnapshotParts(rawValue: 8)
    public static let users = SnapshotParts(rawValue: 16)
    public static let statistics = SnapshotParts(rawValue: 32)
    public static let overall = SnapshotParts(rawValue: 64)
    public static let settings = SnapshotParts(rawValue: 128)
    public static let lists = SnapshotParts(rawValue: 256)
    public static let memory = SnapshotParts(rawValue: 512)
    public static let state = SnapshotParts(rawValue: 1_024)
    public static let hosts = SnapshotParts(rawValue: 2_048)
    public static let peers = SnapshotParts(rawValue: 4_096)
    public static let serverHosts = SnapshotParts(rawValue: 8_192)
    public static let certificates = SnapshotParts(rawValue: 16_384)
}

/// Everything that SHOW can need.
public struct ConsoleSnapshot: Sendable {
    /// All clients, those still logging in included.
    public var clients: [SocketSnapshot] = []
    /// All servers, those still logging in included.
    public var servers: [SocketSnapshot] = []
    /// All pools, the console's included.
    public var pools: [PoolSnapshot] = []
    /// All databases, the console's included, `*` not.
    public var databases: [DatabaseSnapshot] = []
    /// All users that are known.
    public var users: [UserSnapshot] = []
    /// The hosts of all databases.
    public var serverHosts: [ServerHostSnapshot] = []
    /// The configured peers.
    public var peers: [PeerSnapshot] = []
    /// The certificates that the pooler shows.
    public var certificates: [CertificateSnapshot] = []
    /// What is under way to peers.
    public var peerPools: [PeerPoolSnapshot] = []
    /// Totals and averages of each database that has a pool.
    public var statistics: [StatsSnapshot] = []
    /// Totals and averages of all databases together.
    public var overall = StatsSnapshot()
    /// Every setting.
    public var settings: [SettingSnapshot] = []
    /// How many there are of each thing.
    public var lists = ListsSnapshot()
    /// What the slabs hold; a slab that is missing shows zeros.
    public var memory: [MemorySlab: MemorySnapshot] = [:]
    /// Whether the pooler works.
    public var state = PoolerState.active
    /// The host names that have been resolved, by name.
    public var hosts: [HostSnapshot] = []

    /// Starts empty.
    public init() {}
}

/// A row of SHOW CLIENTS, SERVERS and SOCKETS.
public struct SocketSnapshot: Equatable, Sendable {
    /// What a client connection is doing.
    public enum ClientState: String, CaseIterable, Sendable {
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
    public enum ServerState: String, CaseIterable, Sendable {
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
    public enum State: Equatable, Sendable {
        case client(ClientState)
        case server(ServerState)
    }

    public var state: State
    /// Whether it is for replication.
    public var replication = ReplicationKind.none
    public var user: ByteString = ""
    public var database: ByteString = ""
    /// The other end: an IP address, or `unix`.
    public var address: ByteString = ""
    public var port = 0
    /// Our end.
    public var localAddress: ByteString = ""
    public var localPort = 0
    /// When the connection was made.
    public var connectTime: Timestamp?
    /// When the last request was made; nil before the first.
    public var requestTime: Timestamp?
    /// How long a waiting client has waited; 0 for all others.
    public var waitMicroseconds: UInt64 = 0
    /// Whether the server is closed as soon as it is free.
    public var isCloseNeeded = false
    /// A number that tells connections apart as long as they live, shown as an address.
    public var pointer: UInt64 = 0
    /// The `pointer` of the connection on the other side.
    public var link: UInt64?
    /// The process at the other end: over Unix sockets, and for servers.
    public var remoteProcessID = 0
    /// Protocol and cipher, empty without TLS.
    public var tls: ByteString = ""
    public var applicationName: ByteString = ""
    /// Why the server stays with its client between transactions, since when, and the beginning of
    /// the statement after which it did.
    public var pins: PinReasons = []
    /// Whether the server listens for all clients of its pool.
    public var isListener = false
    public var pinTime: Timestamp?
    public var pinStatement: ByteString = ""
    /// How many prepared statements are known on this connection.
    public var preparedStatementCount = 0
    /// A number that is never used again, at most 2^31 - 1 to fit the column.
    public var id = 0
    /// The event loop that the connection belongs to, counted from 0.
    public var worker = 0
    /// Where the buffers stand.
    public var buffers = SocketBuffers()

    /// Starts with nothing but a state.
    public init(_ state: State) {
        self.state = state
    }
}

/// The extra columns of SHOW SOCKETS, in bytes.
public struct SocketBuffers: Equatable, Sendable {
    public var receivePosition = 0
    public var packetPosition = 0
    public var packetRemaining = 0
    public var sendPosition = 0
    public var sendRemaining = 0
    public var packetAvailable = 0
    public var sendAvailable = 0

    /// Starts empty.
    public init() {}

    /// Whether nothing is buffered.
    public var isEmpty: Bool { self == SocketBuffers() }
}

/// A row of SHOW POOLS.
public struct PoolSnapshot: Equatable, Sendable {
    public var database: ByteString
    public var user: ByteString
    /// Clients with a server, and idle ones.
    public var clientActive = 0
    public var clientWaiting = 0
    public var clientActiveCancelRequest = 0
    public var clientWaitingCancelRequest = 0
    public var serverActive = 0
    public var serverActiveCancel = 0
    public var serverBeingCanceled = 0
    public var serverPinned = 0
    public var serverListening = 0
    public var serverIdle = 0
    public var serverUsed = 0
    public var serverTested = 0
    public var serverLogin = 0
    /// How long the first client of the queue has waited.
    public var maxWaitMicroseconds: UInt64 = 0
    public var poolMode: ByteString = "transaction"
    /// Only for databases with a list of hosts.
    public var loadBalanceHosts: ByteString?

    /// Starts with all counts at zero.
    public init(database: ByteString, user: ByteString) {
        self.database = database
        self.user = user
    }
}

/// A row of SHOW DATABASES.
public struct DatabaseSnapshot: Equatable, Sendable {
    public var name: ByteString
    public var host: ByteString?
    public var port = 5_432
    /// The name on the server.
    public var database: ByteString
    public var forceUser: ByteString?
    public var poolSize = 0
    public var minPoolSize = 0
    public var reservePoolSize = 0
    /// In seconds.
    public var serverLifetime = 0
    /// nil when the database has no mode of its own.
    public var poolMode: ByteString?
    public var loadBalanceHosts: ByteString?
    public var maxConnections = 0
    public var currentConnections = 0
    public var maxClientConnections = 0
    public var currentClientConnections = 0
    public var isPaused = false
    public var isDisabled = false

    /// Starts with a database of the same name on the server, and all numbers at zero.
    public init(name: ByteString) {
        self.name = name
        self.database = name
    }
}

/// A row of SHOW USERS.
public struct UserSnapshot: Equatable, Sendable {
    public var name: ByteString
    /// nil when the user has no size of its own.
    public var poolSize: Int?
    public var reservePoolSize: Int?
    public var poolMode: ByteString?
    public var maxUserConnections = 0
    public var currentConnections = 0
    public var maxUserClientConnections = 0
    public var currentClientConnections = 0

    /// Starts with nothing of its own.
    public init(name: ByteString) {
        self.name = name
    }
}

/// A row of SHOW HOSTS.
public struct ServerHostSnapshot: Equatable, Sendable {
    public let name: HostName
    public let state: HostState
    /// max_host_connections as a number; 0 for no limit.
    public let limit: Int

    /// Joins the row's fields.
    public init(name: HostName, state: HostState, limit: Int) {
        self.name = name
        self.state = state
        self.limit = limit
    }
}

/// A row of SHOW PEERS.
public struct PeerSnapshot: Equatable, Sendable {
    public let id: Int
    public let host: ByteString
    public let port: Int
    public let poolSize: Int

    /// Joins the row's fields.
    public init(id: Int, host: ByteString, port: Int, poolSize: Int) {
        self.id = id
        self.host = host
        self.port = port
        self.poolSize = poolSize
    }
}

/// A row of SHOW PEER_POOLS.
public struct PeerPoolSnapshot: Equatable, Sendable {
    public let id: Int
    public var clientActiveCancelRequest = 0
    public var clientWaitingCancelRequest = 0
    public var serverActiveCancel = 0
    public var serverLogin = 0

    /// Starts with all counts at zero.
    public init(id: Int) {
        self.id = id
    }
}

/// A row of SHOW CONFIG.
public struct SettingSnapshot: Equatable, Sendable {
    public var key: ByteString
    public var value: ByteString?
    public var defaultValue: ByteString?
    /// Whether RELOAD and SET change it.
    public var isChangeable: Bool

    /// Joins the row's fields.
    public init(
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

/// A row of SHOW DNS_HOSTS.
public struct HostSnapshot: Equatable, Sendable {
    public var name: ByteString
    /// How long its addresses still count, in seconds.
    public var secondsLeft: Int
    /// With port 0, as PgBouncer shows them; none if the name has none.
    public var addresses: [ByteString]

    /// Joins the row's fields.
    public init(name: ByteString, secondsLeft: Int, addresses: [ByteString]) {
        self.name = name
        self.secondsLeft = secondsLeft
        self.addresses = addresses
    }
}

/// The numbers of SHOW LISTS.
public struct ListsSnapshot: Equatable, Sendable {
    public var databases = 0
    public var users = 0
    public var peers = 0
    public var pools = 0
    public var peerPools = 0
    public var freeClients = 0
    public var usedClients = 0
    public var loginClients = 0
    public var freeServers = 0
    public var usedServers = 0
    public var dnsNames = 0
    public var dnsZones = 0
    public var dnsQueries = 0
    public var dnsPending = 0

    /// Starts at zero.
    public init() {}
}

/// The slabs of SHOW MEM, under PgBouncer's names.
public enum MemorySlab: String, CaseIterable, Sendable {
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
public struct MemorySnapshot: Equatable, Sendable {
    /// The size of an entry, in bytes.
    public var entryByteCount: Int
    public var usedCount: Int
    public var freeCount: Int

    /// Joins the numbers.
    public init(entryByteCount: Int = 0, usedCount: Int = 0, freeCount: Int = 0) {
        self.entryByteCount = entryByteCount
        self.usedCount = usedCount
        self.freeCount = freeCount
    }
}

/// Whether the pooler works, for SHOW STATE.
public enum PoolerState: String, CaseIterable, Sendable {
    case active
    case paused
    case suspended
}
