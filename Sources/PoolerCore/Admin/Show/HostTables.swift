// SHOW HOSTS, which PgBouncer does not have: where the servers are.

import PostgresWire

extension ShowDefinition {
    static let hosts = ShowDefinition(
        "The hosts of the databases, whether they answer, and how many servers each has.",
        parts: .serverHosts,
        columns: hostColumns
    ) { $0.serverHosts }
}

private let hostColumns: [ShowColumn<ServerHostSnapshot>] = [
    .text("host", "As [databases] names it, or the folder of the Unix socket.") {
        ByteString($0.name.host)
    },
    .int4("port", "The port.") { $0.name.port },
    .text("state", "up, or down when nobody could log in at the last attempt.") {
        $0.state.isDown ? "down" : "up"
    },
    .int4("current_connections", "Servers of all pools.") { $0.state.serverCount },
    .int4("max_connections", "max_host_connections as a number; 0 for no limit.") { $0.limit },
    .int4("server_connections", "What PostgreSQL has for others than superusers; 0 if not asked.") {
        $0.state.capacity ?? 0
    },
    .text("last_error", "Why the last attempt failed, until one succeeds.") {
        $0.state.failure.map { ByteString($0.text) }
    },
]
