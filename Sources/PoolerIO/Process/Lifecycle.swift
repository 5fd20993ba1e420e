// Whether the pooler runs, pauses or ends.

internal import PoolerCore

/// What the pooler as a whole is doing.
struct Lifecycle: Sendable {
    /// How the pooler is to end.
    enum Shutdown: Sendable {
        /// When all clients have left (SIGTERM).
        case waitForClients
        /// When all servers have been released (SIGINT).
        case waitForServers
    }

    /// Whether PAUSE without a database is in force.
    var isPaused = false
    /// Whether SUSPEND is in force.
    var isSuspended = false
    var shutdown: Shutdown?
    /// Whether another process takes over: this one takes no more clients.
    var isHandingOver = false

    var isShuttingDown: Bool { shutdown != nil }

    /// Whether the clients that there are can still get new servers.
    var opensServers: Bool { shutdown != .waitForServers && !isHandingOver }
}
