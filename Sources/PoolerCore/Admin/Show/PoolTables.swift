// SHOW POOLS, DATABASES and USERS: what is configured and how full it is. Names, order and types are
// PgBouncer's.

import PostgresWire

extension ShowDefinition {
    static let pools = ShowDefinition(
        "One row for each pool: a database and a user.",
        parts: .pools,
        columns: poolColumns
    ) { $0.pools }

    static let databases = ShowDefinition(
        "The configured databases, and those made from `*` so far.",
        parts: .databases,
        columns: databaseColumns
    ) { $0.databases }

    static let users = ShowDefinition(
        "The users that are known.",
        parts: .users,
        columns: userColumns
    ) { $0.users }
}

private let poolColumns: [ShowColumn<PoolSnapshot>] = [
    .text("database", "The database name.") { $0.database },
    .text("user", "The user name.") { $0.user },
    .int4("cl_active", "Clients that have a server or need none.") { $0.clientActive },
    .int4("cl_waiting", "Clients that wait for a server.") { $0.clientWaiting },
    .int4("cl_active_cancel_req", "Cancel requests sent on, the server has yet to close.") {
        $0.clientActiveCancelRequest
    },
    .int4("cl_waiting_cancel_req", "Cancel requests yet to be sent on.") {
        $0.clientWaitingCancelRequest
    },
    .int4("sv_active", "Servers that have a client.") { $0.serverActive },
    .int4("sv_active_cancel", "Servers that carry a cancel request.") { $0.serverActiveCancel },
    .int4("sv_being_canceled", "Servers held back until a cancel request is over.") {
        $0.serverBeingCanceled
    },
    .int4("sv_idle", "Servers that can be assigned at once.") { $0.serverIdle },
    .int4("sv_used", "Servers idle for so long that they are checked first.") { $0.serverUsed },
    .int4("sv_tested", "Servers that run the check or reset query.") { $0.serverTested },
    .int4("sv_login", "Servers that are connecting or logging in.") { $0.serverLogin },
    .int4("maxwait", "How long the first client in the queue has waited, in seconds.") {
        Int($0.maxWaitMicroseconds / 1_000_000)
    },
    .int4("maxwait_us", "The microseconds of that.") { Int($0.maxWaitMicroseconds % 1_000_000) },
    .text("pool_mode", "session, transaction or statement.") { $0.poolMode },
    .text("load_balance_hosts", "How hosts are chosen; null without a list of hosts.") {
        $0.loadBalanceHosts
    },
    .int4("sv_pinned", "Servers that stay with their client between transactions.") {
        $0.serverPinned
    },
    .int4("sv_listening", "1 when a server listens for all clients that LISTEN; in no other count.")
    {
        $0.serverListening
    },
]

private let databaseColumns: [ShowColumn<DatabaseSnapshot>] = [
    .text("name", "The name that clients use.") { $0.name },
    .text("host", "Where the server is; null for the Unix socket.") { $0.host },
    .int4("port", "The server's port.") { $0.port },
    .text("database", "The name on the server.") { $0.database },
    .text("force_user", "The user of all server connections, when configured.") { $0.forceUser },
    .int4("pool_size", "The most servers of a pool.") { $0.poolSize },
    .int4("min_pool_size", "The fewest servers of a pool.") { $0.minPoolSize },
    .int4("reserve_pool_size", "Servers that a pool may add when clients wait too long.") {
        $0.reservePoolSize
    },
    .int4("server_lifetime", "When servers are replaced, in seconds.") { $0.serverLifetime },
    .text("pool_mode", "The database's own mode, or null.") { $0.poolMode },
    .text("load_balance_hosts", "How hosts are chosen; null without a list of hosts.") {
        $0.loadBalanceHosts
    },
    .int4("max_connections", "The most servers of all its pools; 0 for no limit.") {
        $0.maxConnections
    },
    .int4("current_connections", "Servers there are.") { $0.currentConnections },
    .int4("max_client_connections", "The most clients; 0 for no limit.") {
        $0.maxClientConnections
    },
    .int4("current_client_connections", "Clients there are.") { $0.currentClientConnections },
    .int4("paused", "1 after PAUSE.") { $0.isPaused ? 1 : 0 },
    .int4("disabled", "1 after DISABLE.") { $0.isDisabled ? 1 : 0 },
]

private let userColumns: [ShowColumn<UserSnapshot>] = [
    .text("name", "The user name.") { $0.name },
    .text("pool_size", "The user's own pool_size, or empty.") { rightAligned($0.poolSize) },
    .text("reserve_pool_size", "The user's own reserve_pool_size, or empty.") {
        rightAligned($0.reservePoolSize)
    },
    .text("pool_mode", "The user's own mode, or null.") { $0.poolMode },
    .int4("max_user_connections", "The most servers; 0 for no limit.") { $0.maxUserConnections },
    .int4("current_connections", "Servers there are.") { $0.currentConnections },
    .int4("max_user_client_connections", "The most clients; 0 for no limit.") {
        $0.maxUserClientConnections
    },
    .int4("current_client_connections", "Clients there are.") { $0.currentClientConnections },
]

/// A size as PgBouncer gives it in SHOW USERS: text, right-aligned in nine columns, or nothing.
private func rightAligned(_ size: Int?) -> ByteString {
    guard let size else { return "" }
    let digits = String(size)
    return ByteString(String(repeating: " ", count: max(0, 9 - digits.count)) + digits)
}
