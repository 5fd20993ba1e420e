// One row for each counter: its name in each of the four SHOW commands that give statistics, how it
// is averaged, and what it means. Adding, averaging, columns and documentation iterate this table;
// a counter that is not in it does not exist for anybody outside.

/// Where a counter stands in `PoolCounters`; a key path that may be shared between threads.
public typealias CounterPath = any WritableKeyPath<PoolCounters, UInt64> & Sendable

/// How the average of a counter is formed over a period.
public enum MetricAverage: Sendable {
    /// Growth divided by the length of the period in seconds.
    case perSecond
    /// Growth divided by the growth of another counter.
    case perEvent(CounterPath)
}

/// A counter and its names.
public struct MetricRow: Sendable {
    /// The counter.
    public let counter: CounterPath
    /// The column of the total in SHOW STATS.
    public let statsTotal: String
    /// The column of the average in SHOW STATS.
    public let statsAverage: String
    /// The column in SHOW STATS_TOTALS.
    public let totalsColumn: String
    /// The column in SHOW STATS_AVERAGES.
    public let averagesColumn: String
    /// The row in SHOW TOTALS, behind `total_` or `avg_`.
    public let totalsRow: String
    /// How the average is formed.
    public let average: MetricAverage
    /// What is counted, for people.
    public let doc: String

    /// Makes a row; names that do not follow the pattern of `name` are given one by one.
    fileprivate init(
        _ name: String,
        _ counter: CounterPath,
        _ average: MetricAverage,
        _ doc: String,
        statsTotal: String? = nil,
        statsAverage: String? = nil,
        averagesColumn: String? = nil,
        totalsRow: String? = nil
    ) {
        self.counter = counter
        self.statsTotal = statsTotal ?? "total_\(name)"
        self.statsAverage = statsAverage ?? "avg_\(name)"
        self.totalsColumn = name
        self.averagesColumn = averagesColumn ?? name
        self.totalsRow = totalsRow ?? name
        self.average = average
        self.doc = doc
    }
}

/// Every counter, in the order of the columns.
///
/// The mixed prefixes are PgBouncer's; exporters address columns by them.
public let metricTable: [MetricRow] = [
    MetricRow(
        "server_assignment_count",
        \.serverAssignments,
        .perSecond,
        "Times that a server was assigned to a client."
    ),
    MetricRow("xact_count", \.transactions, .perSecond, "Transactions."),
    MetricRow("query_count", \.queries, .perSecond, "Queries."),
    MetricRow(
        "bytes_received",
        \.bytesReceived,
        .perSecond,
        "Bytes received from clients.",
        statsTotal: "total_received",
        statsAverage: "avg_recv",
        totalsRow: "client_bytes"
    ),
    MetricRow(
        "bytes_sent",
        \.bytesSent,
        .perSecond,
        "Bytes sent to clients.",
        statsTotal: "total_sent",
        statsAverage: "avg_sent",
        totalsRow: "server_bytes"
    ),
    MetricRow(
        "xact_time",
        \.transactionMicroseconds,
        .perEvent(\.transactions),
        "Microseconds in transactions, idle in transaction or executing."
    ),
    MetricRow(
        "query_time",
        \.queryMicroseconds,
        .perEvent(\.queries),
        "Microseconds in which servers executed queries."
    ),
    MetricRow(
        "wait_time",
        \.waitMicroseconds,
        .perEvent(\.serverAssignments),
        "Microseconds that clients waited for a server."
    ),
    MetricRow(
        "client_parse_count",
        \.clientParses,
        .perSecond,
        "Prepared statements created by clients.",
        averagesColumn: "avg_client_parse_count",
        totalsRow: "ps_client_parse_count"
    ),
    MetricRow(
        "server_parse_count",
        \.serverParses,
        .perSecond,
        "Prepared statements created on servers.",
        averagesColumn: "avg_server_parse_count",
        totalsRow: "ps_server_parse_count"
    ),
    MetricRow(
        "bind_count",
        \.binds,
        .perSecond,
        "Prepared statements readied for execution.",
        averagesColumn: "avg_bind_count",
        totalsRow: "ps_bind_count"
    ),
    MetricRow(
        "client_login_count",
        \.clientLogins,
        .perSecond,
        "Clients that logged in.",
        averagesColumn: "avg_client_login_count"
    ),
]

/// The counters of what is tracked of sessions, which PgBouncer does not have: columns behind all
/// others.
public let sessionMetricTable: [MetricRow] =
    [
        MetricRow(
            "pin_count",
            \.pins,
            .perSecond,
            "Servers that were bound to a client by what it left in its session."
        ),
        MetricRow(
            "pin_time",
            \.pinMicroseconds,
            .perEvent(\.pins),
            "Microseconds for which servers were bound to a client, counted when that ended."
        ),
        MetricRow(
            "replay_count",
            \.replays,
            .perSecond,
            "Servers whose settings were made to fit a client."
        ),
        MetricRow(
            "replay_wait_count",
            \.replayRoundTrips,
            .perSecond,
            "Those for which the client's request had to wait for the server's consent."
        ),
        MetricRow(
            "probe_count",
            \.probes,
            .perSecond,
            "Questions to servers about what a client has left in their session."
        ),
        MetricRow(
            "audit_count",
            \.audits,
            .perSecond,
            "Idle servers that were asked what is left in their session."
        ),
        MetricRow(
            "leak_count",
            \.leaks,
            .perSecond,
            "Idle servers that had something in their session which nobody knew of."
        ),
        MetricRow(
            "reprepare_count",
            \.repreparations,
            .perSecond,
            "Servers that had to prepare their statements anew because tables had changed."
        ),
        MetricRow(
            "notification_count",
            \.notifications,
            .perSecond,
            "Notifications sent to clients, once for each client."
        ),
        MetricRow(
            "listener_loss_count",
            \.listenerLosses,
            .perSecond,
            "Times that a listener was lost while clients depended on it."
        ),
    ]
    + zip(PinReasons.allNames, pinCounters).map { name, counter in
        MetricRow(
            "pin_count_\(name)",
            counter,
            .perSecond,
            "Servers that came to be bound to a client for the reason \(name)."
        )
    }

/// How often servers were bound for each reason, in the order of `PinReasons.all`.
let pinCounters: [CounterPath] = [
    \.temporaryPins, \.holdCursorPins, \.advisoryLockPins, \.listenPins, \.preparePins, \.loadPins,
    \.setseedPins, \.replicationPins, \.unknownPins,
]
