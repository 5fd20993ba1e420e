// The values of all settings, as the rest of the pooler reads them.
//
// This file holds values only. What a setting is called in a file, which values it takes and what
// it means is its row in `settingTable`; nothing here parses, checks or prints.

package import PostgresWire

/// One value for every setting; the initial values are the defaults of a `[martlet]` section.
///
/// A property is its setting's name in camel case, described by the setting's row in
/// `settingTable`. Durations are `Microseconds`, whatever unit the file uses; sizes are bytes.
/// Empty texts and lists mean "none". Defaults of a `[pgbouncer]` section: `Settings(flavor:
/// .pgbouncer)`.
package struct Settings: Sendable, Equatable {
    // Process.
    package var logfile = ""
    package var pidfile = ""

    // Network.
    package var listenAddr = ["127.0.0.1"]
    package var listenPort = 6543
    package var listenBacklog = 128
    package var unixSocketDir = "/tmp"
    package var unixSocketMode = 0o777
    package var unixSocketGroup = ""
    package var tcpKeepalive = true
    package var tcpKeepcnt = 0
    /// In seconds, as the socket option wants it.
    package var tcpKeepidle = 0
    /// In seconds, as the socket option wants it.
    package var tcpKeepintvl = 0
    /// In milliseconds, as the socket option wants it.
    package var tcpUserTimeout = 0
    package var tcpSocketBuffer = 0
    package var maxPacketSize = 2_147_483_647
    package var dnsMaxTTL: Microseconds = .seconds(15)
    package var dnsNXDomainTTL: Microseconds = .seconds(15)

    // Pooling and limits.
    package var poolMode = PoolMode.transaction
    package var defaultPoolSize = 20
    package var minPoolSize = 0
    package var reservePoolSize = 0
    package var reservePoolTimeout: Microseconds = .seconds(5)
    package var maxClientConn = 10_000
    package var maxDBConnections = 0
    package var maxDBClientConnections = 0
    package var maxUserConnections = 0
    package var maxUserClientConnections = 0
    package var serverRoundRobin = false
    package var maxPreparedStatements = 200
    package var ignoreStartupParameters: [ByteString] = []
    package var trackExtraParameters: [ByteString] = ["IntervalStyle"]
    package var applicationNameAddHost = false

    // Server connections.
    package var serverResetQuery: ByteString = "DISCARD ALL"
    package var serverResetQueryAlways = false
    package var serverCheckQuery = ServerCheckQuery.emptyQuery
    package var serverCheckDelay: Microseconds = .seconds(30)
    package var serverLifetime: Microseconds = .seconds(3600)
    package var serverIdleTimeout: Microseconds = .seconds(600)
    package var serverConnectTimeout: Microseconds = .seconds(15)
    package var serverLoginRetry: Microseconds = .seconds(15)
    package var autodbIdleTimeout: Microseconds = .seconds(3600)

    // Timeouts.
    package var clientLoginTimeout: Microseconds = .seconds(60)
    package var clientIdleTimeout: Microseconds = 0
    package var queryTimeout: Microseconds = 0
    package var queryWaitTimeout: Microseconds = .seconds(120)
    package var queryWaitNotify: Microseconds = .seconds(5)
    package var cancelWaitTimeout: Microseconds = .seconds(10)
    package var idleTransactionTimeout: Microseconds = 0
    package var transactionTimeout: Microseconds = 0

    // Authentication.
    package var authType = AuthType.scramSHA256
    package var authFile = ""
    package var scramIterations = 4096
    package var adminUsers: [ByteString] = []
    package var statsUsers: [ByteString] = []

    // Logging.
    package var logConnections = true
    package var logDisconnections = true
    package var logPoolerErrors = true
    package var logStats = true
    package var statsPeriod: Microseconds = .seconds(60)
    package var verbose = 0

    // Accepted for PgBouncer's sake, without effect.
    package var pktBuf = 4096
    package var sbufLoopcnt = 5

    /// Makes the settings of an empty section of `flavor`.
    package init(flavor: Flavor = .martlet) {
        guard flavor == .pgbouncer else { return }
        for row in settingTable {
            row.applyPgBouncerDefault(&self)
        }
    }
}
