// The values of all settings, as the rest of the pooler reads them.
//
// This file holds values only. What a setting is called in a file, which values it takes and what
// it means is its row in `settingTable`; nothing here parses, checks or prints.

public import PostgresWire

/// One value for every setting; the initial values are the defaults of a `[martlet]` section.
///
/// A property is its setting's name in camel case, described by the setting's row in
/// `settingTable`. Durations are `Microseconds`, whatever unit the file uses; sizes are bytes.
/// Empty texts and lists mean "none". Defaults of a `[pgbouncer]` section: `Settings(flavor:
/// .pgbouncer)`.
public struct Settings: Sendable, Equatable {
    // Process.
    /// The file that RELOAD reads.
    public var conffile = ""
    public var ioBackend = IOBackend.auto
    public var logfile = ""
    public var pidfile = ""
    /// The user of the operating system to run as; empty: the one who starts it.
    public var user = ""
    /// 0 means one for each core.
    public var workers = 0

    // Network.
    public var listenAddr = ["127.0.0.1"]
    public var listenPort = 6543
    public var listenBacklog = 128
    public var unixSocketDir = "/tmp"
    public var unixSocketMode = 0o777
    public var unixSocketGroup = ""
    public var soReuseport = false
    /// Which of several poolers behind one address this is; 0 for one alone.
    public var peerID = 0
    public var tcpDeferAccept = true
    public var tcpKeepalive = true
    public var tcpKeepcnt = 0
    /// In seconds, as the socket option wants it.
    public var tcpKeepidle = 0
    /// In seconds, as the socket option wants it.
    public var tcpKeepintvl = 0
    /// In milliseconds, as the socket option wants it.
    public var tcpUserTimeout = 0
    public var tcpSocketBuffer = 0
    public var maxPacketSize = 2_147_483_647
    public var dnsMaxTTL: Microseconds = .seconds(15)
    public var dnsNXDomainTTL: Microseconds = .seconds(15)

    // Pooling and limits.
    public var sessionTracking = SessionTracking.full
    /// Whether a client gets only servers that know no custom setting which it has not touched.
    public var isolateCustomSettings = false
    public var reuseUnnamedStatements = false
    /// Whether a client is told when it keeps its server.
    public var pinNotice = false
    /// The most servers of a pool that may be bound to a client; 0 = all.
    public var maxPinned = 0
    /// How long a server may be bound to a client that does nothing; 0 = for ever.
    public var pinTimeout: Microseconds = 0
    public var auditInterval: Microseconds = .seconds(1)
    /// Whether channels are listened to by one server for all clients of a pool.
    public var sharedListener = true
    /// The most that is kept for a client that listens and does not read, in bytes.
    public var notificationQueue = 1_048_576
    public var notificationLoss = NotificationLoss.notice
    public var poolMode = PoolMode.transaction
    public var defaultPoolSize = 20
    public var minPoolSize = 0
    public var reservePoolSize = 0
    public var reservePoolTimeout: Microseconds = .seconds(5)
    public var maxClientConn = 10_000
    public var maxDBConnections = 0
    public var maxDBClientConnections = 0
    /// For each host, over all pools.
    public var maxHostConnections = HostLimit.none
    public var maxUserConnections = 0
    public var maxUserClientConnections = 0
    public var serverRoundRobin = false
    public var maxPreparedStatements = 200
    public var ignoreStartupParameters: [ByteString] = []
    public var trackExtraParameters: [ByteString] = ["IntervalStyle"]
    public var applicationNameAddHost = false
    public var disablePqexec = false
    public var loginNotifyMessage = ""

    // Server connections.
    public var serverResetQuery: ByteString = "DISCARD ALL"
    public var serverResetQueryAlways = false
    public var serverCheckQuery = ServerCheckQuery.emptyQuery
    public var serverCheckDelay: Microseconds = .seconds(30)
    public var serverLifetime: Microseconds = .seconds(3600)
    public var serverIdleTimeout: Microseconds = .seconds(600)
    public var serverConnectTimeout: Microseconds = .seconds(15)
    public var serverLoginRetry: Microseconds = .seconds(15)
    public var autodbIdleTimeout: Microseconds = .seconds(3600)
    public var poolIdleTimeout: Microseconds = 0
    public var serverFastClose = false

    // Timeouts.
    public var clientLoginTimeout: Microseconds = .seconds(60)
    public var clientIdleTimeout: Microseconds = 0
    public var queryTimeout: Microseconds = 0
    public var queryWaitTimeout: Microseconds = .seconds(120)
    public var queryWaitNotify: Microseconds = .seconds(5)
    public var cancelWaitTimeout: Microseconds = .seconds(10)
    public var idleTransactionTimeout: Microseconds = 0
    public var transactionTimeout: Microseconds = 0

    // Authentication.
    public var authType = AuthType.scramSHA256
    public var authFile = ""
    public var authHBAFile = ""
    public var authIdentFile = ""
    /// Empty for none: then auth_query is not used.
    public var authUser: ByteString = ""
    public var authQuery: ByteString =
        """
        SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE rolpassword END \
        FROM pg_catalog.pg_authid WHERE rolname=$1 AND rolcanlogin
        """
    /// Empty for the client's own.
    public var authDBName: ByteString = ""
    public var authQueryTTL: Microseconds = .seconds(1)
    public var scramIterations = 4096
    public var adminUsers: [ByteString] = []
    public var statsUsers: [ByteString] = []

    // Logging.
    public var logConnections = true
    public var logDisconnections = true
    public var logPoolerErrors = true
    /// In milliseconds; -1 means that no query is logged.
    public var logMinDuration = -1
    /// The most bytes of a query's text in a line of the log.
    public var logQueryBytes = 0
    public var logStats = true
    public var statsPeriod: Microseconds = .seconds(60)
    public var verbose = 0
    public var logFormat = LogFormat.pgbouncer
    public var syslog = false
    public var suspendTimeout: Microseconds = .seconds(10)
    public var syslogIdent = "martlet"
    public var syslogFacility = SyslogFacility.daemon

    // Accepted for PgBouncer's sake, without effect.
    public var dnsZoneCheckPeriod: Microseconds = 0
    public var jobName = "pgbouncer"
    public var pktBuf = 4096
    public var resolvConf = ""
    public var sbufLoopcnt = 5

    // TLS; `clientTLS` and `serverTLS` put them together.
    public var clientTLS13Ciphers = ""
    public var clientTLSCAFile = ""
    public var clientTLSCertFile: [String] = []
    public var clientTLSCiphers = "default"
    public var clientTLSDheparams = TLSDHEParams.auto
    public var clientTLSEcdhcurve = "auto"
    public var clientTLSKeyFile: [String] = []
    public var clientTLSProtocols = TLSProtocols.secure
    public var clientTLSSslmode = TLSMode.disable
    public var serverChannelBinding = ChannelBinding.prefer
    public var serverTLS13Ciphers = ""
    public var serverTLSCAFile = ""
    public var serverTLSCertFile = ""
    public var serverTLSCiphers = "default"
    public var serverTLSKeyFile = ""
    public var serverTLSNegotiation = TLSNegotiation.postgres
    public var serverTLSProtocols = TLSProtocols.secure
    public var serverTLSSslmode = TLSMode.prefer

    /// Makes the settings of an empty section of `flavor`.
    public init(flavor: Flavor = .martlet) {
        guard flavor == .pgbouncer else { return }
        for row in settingTable {
            row.applyPgBouncerDefault(&self)
        }
    }

    /// Whether what clients leave in their servers' sessions is tracked: not where a client keeps its
    /// server anyway.
    public var tracksSessions: Bool {
        if case .session = poolMode { return false }
        if case .full = sessionTracking { return true }
        return false
    }

    /// Whether settings follow a client to other servers: not where a client keeps its server anyway,
    /// except for those that it asks for at login.
    public var tracksSettings: Bool {
        if case .session = poolMode { return true }
        if case .off = sessionTracking { return false }
        return true
    }

    /// How long a query takes that is logged; nothing takes the longest time when none is.
    public var slowQueryLimit: Microseconds {
        logMinDuration < 0 ? .max : Microseconds(logMinDuration) * 1_000
    }

    /// How many bytes of a query's text are kept while it runs.
    public var queryTextLimit: Int { logMinDuration < 0 ? 0 : logQueryBytes }

    /// Whether prepared statements are tracked: not where a client keeps its server anyway.
    public var tracksStatements: Bool {
        guard maxPreparedStatements > 0 else { return false }
        if case .session = poolMode { return false }
        return true
    }
}
