// Why a connection ends: one case each, with the words that clients and the log get. The words are
// PgBouncer's wherever it has them, because scripts and drivers match on them.

public import PostgresWire

/// Why a client or server connection is closed.
public enum CloseReason: Equatable, Sendable {
    // The client's doing.
    case clientCloseRequest
    case clientUnexpectedEOF
    case clientProtocolViolation(String)
    case clientLoginTimeout
    case clientLoginTimeoutServerDown
    case clientIdleTimeout
    case clientRefused(ErrorResponse)
    case clientTLSFailed(String)

    // The server's doing.
    /// The client has the server's last words already.
    case serverSaidWhy
    case serverConnectionLost
    case serverProtocolViolation
    case serverConnectFailed
    case serverConnectTimeout
    case serverNameUnresolved
    case serverLoginFailed(ErrorResponse)
    case serverTLSFailed(String)

    // Timeouts of a client that has or waits for a server.
    case queryTimeout
    case queuedQueryTimeout
    case queryWaitTimeout
    case idleTransactionTimeout
    case transactionTimeout
    case serverLoginFailing(String)

    // The pooler's doing.
    case adminForcedDisconnect
    case databaseRemoved
    case poolerShuttingDown
    case serverShuttingDown
    /// SUSPEND: something of the client's was half through for too long.
    case suspendTimeout
    case transactionInStatementMode
    /// disable_pqexec.
    case simpleQueryDisabled
    /// server_fast_close.
    case serverFastClose
    case settingsRejected
    /// A server for replication is to be replaced (RECONNECT, RELOAD): its client has to come again.
    case databaseConfigurationChanged
    /// max_pinned; the reasons why the client needs its server.
    case tooManyPinned(PinReasons)
    /// pin_timeout.
    case pinTimeout(PinReasons)
    /// notification_queue.
    case tooManyNotifications
    /// notification_loss.
    case notificationsLost

    // Only servers: no client hears of these.
    case serverLifetimeOver
    case serverIdleTimeout
    case serverCloseNeeded
    case evicted
    case listenerUnused
    /// Made room for a server for replication.
    case evictedForPoolSize
    /// The client of a server for replication has left.
    case replicationClientClosed
    case tooManyServers
    /// isolate_custom_settings.
    case customSettingsOfOthers
    case paused
    case obsoleteSettings
    case clientLeftInTransaction
    case clientLeftInQuery
    case resetFailed
    case checkFailed
    case uncertainState

    /// What the log line and the client's FATAL say.
    public var text: String {
        switch self {
        case .clientCloseRequest: "client close request"
        case .clientUnexpectedEOF: "client unexpected eof"
        case .clientProtocolViolation(let text): text
        case .clientLoginTimeout: "client_login_timeout"
        case .clientLoginTimeoutServerDown: "client_login_timeout (server down)"
        case .clientIdleTimeout: "client_idle_timeout"
        case .clientRefused(let response): response.message.text
        case .clientTLSFailed(let text): "TLS handshake failed: \(text)"
        case .serverSaidWhy, .serverConnectionLost: "server conn crashed?"
        case .serverProtocolViolation: "broken server packet"
        case .serverConnectFailed: "connect failed"
        case .serverConnectTimeout: "connect timeout"
        case .serverNameUnresolved: "server DNS lookup failed"
        case .serverLoginFailed(let response): response.message.text
        case .serverTLSFailed(let text): "server TLS failed: \(text)"
        case .queryTimeout: "query timeout"
        case .queuedQueryTimeout: "query_timeout"
        case .queryWaitTimeout: "query_wait_timeout"
        case .idleTransactionTimeout: "idle transaction timeout"
        case .transactionTimeout: "transaction timeout"
        case .serverLoginFailing(let cause):
            "server login has been failing, cached error: \(cause) (server_login_retry)"
        case .adminForcedDisconnect: "admin forced disconnect"
        case .databaseRemoved: "database removed"
        case .poolerShuttingDown: "pooler is shutting down"
        case .serverShuttingDown: "server shutting down"
        case .suspendTimeout: "suspend_timeout"
        case .transactionInStatementMode:
            "transaction blocks not allowed in statement pooling mode"
        case .simpleQueryDisabled: "PQexec disallowed"
        case .serverFastClose: "server connection closed for maintenance (server_fast_close)"
        case .settingsRejected: "invalid server parameter"
        case .databaseConfigurationChanged: "database configuration changed"
        case .tooManyPinned(let reasons):
            "session needs a server of its own (\(reasons.text)), too many do (max_pinned)"
        case .pinTimeout(let reasons):
            "session keeps its server (\(reasons.text)) and is idle (pin_timeout)"
        case .tooManyNotifications: "too many notifications are unread (notification_queue)"
        case .notificationsLost: "notifications may have been lost (notification_loss)"
        case .serverLifetimeOver: "server lifetime over"
        case .serverIdleTimeout: "server idle timeout"
        case .serverCloseNeeded: "close_needed"
        case .evicted: "evicted"
        case .listenerUnused: "nobody listens"
        case .evictedForPoolSize: "evicted for pool_size"
        case .replicationClientClosed: "replication client was closed"
        case .tooManyServers: "too many servers in the pool"
        case .customSettingsOfOthers: "knows custom settings of others"
        case .paused: "pause mode"
        case .obsoleteSettings: "connect string changed"
        case .clientLeftInTransaction: "client disconnect while server was not ready"
        case .clientLeftInQuery: "client disconnected with query in progress"
        case .resetFailed: "reset query failed"
        case .checkFailed: "test query failed"
        case .uncertainState: "unclean server"
        }
    }

    /// What the client is told, or nil when it is gone or ended the connection itself.
    public var response: ErrorResponse? {
        switch self {
        case .clientCloseRequest, .clientUnexpectedEOF, .clientTLSFailed, .serverSaidWhy: nil
        case .clientRefused(let response), .serverLoginFailed(let response): response
        default: ErrorResponse(.fatal, .protocolViolation, text)
        }
    }

    /// Whether it is not about one client: no other can expect more of the same servers.
    public var isOfAllClients: Bool {
        switch self {
        case .serverConnectFailed, .serverConnectTimeout, .serverNameUnresolved,
            .serverTLSFailed, .serverLoginFailed, .serverLoginFailing, .databaseRemoved,
            .poolerShuttingDown,
            .serverShuttingDown:
            true
        default: false
        }
    }

    /// Whether the server said that it will be there soon (57P03, cannot_connect_now), or ended this one
    /// connection before it had logged in (57P01 and 57P02, somebody's command or a crash), which says
    /// nothing about the next.
    public var isTemporary: Bool {
        guard case .serverLoginFailed(let response) = self else { return false }
        return ["57P01", "57P02", "57P03"].contains(response.sqlState)
    }

    /// Whether a login that failed for this reason may succeed at another host: it was not reached, or
    /// lets nobody in for now.
    public var isOfHost: Bool {
        guard case .serverLoginFailed(let response) = self else { return self != .databaseRemoved }
        return isTemporary || response.sqlState == "53300"
    }

    /// Whether the log has it as the pooler's error, beside the line about the disconnect.
    public var isPoolerError: Bool { response != nil }
}
