// What a pool counts. Plain integers that the owner of a connection adds to as it works; everything
// that reads them (SHOW STATS and its relatives, log lines) goes through MetricTable. Counting
// decides nothing.

/// The running totals of a pool, a database or the whole pooler; or, in the same fields, averages.
///
/// Numbers only grow, until the pool they belong to is forgotten. All arithmetic wraps or
/// saturates: a counter must never stop the pooler.
public struct PoolCounters: Equatable, BitwiseCopyable, Sendable {
    /// How often a server was assigned to a client.
    public var serverAssignments: UInt64 = 0
    /// Transactions that ended.
    public var transactions: UInt64 = 0
    /// Queries that ended: one for each simple Query, one for each Sync.
    public var queries: UInt64 = 0
    /// Bytes received from clients.
    public var bytesReceived: UInt64 = 0
    /// Bytes sent to clients.
    public var bytesSent: UInt64 = 0
    /// Time spent in transactions, active or idle, in microseconds.
    public var transactionMicroseconds: UInt64 = 0
    /// Time spent in queries, in microseconds.
    public var queryMicroseconds: UInt64 = 0
    /// Time that clients waited for a server, in microseconds.
    public var waitMicroseconds: UInt64 = 0
    /// Parse messages for named statements received from clients.
    public var clientParses: UInt64 = 0
    /// Parse messages for named statements sent to servers.
    public var serverParses: UInt64 = 0
    /// Bind messages for named statements.
    public var binds: UInt64 = 0
    /// Clients that completed their login.
    public var clientLogins: UInt64 = 0
    /// Servers that were bound to their client by what it left in the session.
    public var pins: UInt64 = 0
    /// Time for which servers were so bound, in microseconds.
    public var pinMicroseconds: UInt64 = 0
    /// Times that a server's session was made to fit its client.
    public var replays: UInt64 = 0
    /// Those for which the client's request had to wait.
    public var replayRoundTrips: UInt64 = 0
    /// Questions to servers about what a client has left in their session.
    public var probes: UInt64 = 0
    /// Idle servers that were asked what is left in their session.
    public var audits: UInt64 = 0
    /// Those that had something which nobody knew of.
    public var leaks: UInt64 = 0
    /// Times that a server has refused to execute a statement prepared before tables changed.
    public var repreparations: UInt64 = 0
    /// Notifications sent to clients, once for each client.
    public var notifications: UInt64 = 0
    /// Times that a listener was lost while clients depended on it.
    public var listenerLosses: UInt64 = 0

    /// How often servers came to be bound for each of the reasons, in the order of `PinReasons.all`.
    public var temporaryPins: UInt64 = 0
    public var holdCursorPins: UInt64 = 0
    public var advisoryLockPins: UInt64 = 0
    public var listenPins: UInt64 = 0
    public var preparePins: UInt64 = 0
    public var loadPins: UInt64 = 0
    public var setseedPins: UInt64 = 0
    public var replicationPins: UInt64 = 0
    public var unknownPins: UInt64 = 0

    /// Starts at zero.
    public init() {}

    /// Counts that a server is bound for these reasons from now on.
    public mutating func count(pinnedBy reasons: PinReasons) {
        guard !reasons.isEmpty else { return }
        for (reason, counter) in zip(PinReasons.all, pinCounters) where reasons.contains(reason) {
            self[keyPath: counter] &+= 1
        }
    }

    /// Adds every counter of `right`.
    public static func += (left: inout PoolCounters, right: PoolCounters) {
        for metric in metricTable + sessionMetricTable {
            left[keyPath: metric.counter] &+= right[keyPath: metric.counter]
        }
    }

    /// What was counted since `right` was taken.
    ///
    /// Where a total shrank, because a pool was forgotten in between, the difference is zero.
    public static func - (left: PoolCounters, right: PoolCounters) -> PoolCounters {
        var difference = PoolCounters()
        for metric in metricTable + sessionMetricTable {
            let (later, earlier) = (left[keyPath: metric.counter], right[keyPath: metric.counter])
            difference[keyPath: metric.counter] = later > earlier ? later - earlier : 0
        }
        return difference
    }
}
