// Averages over the recent past. Every stats_period the owner hands in the totals; asked at any
// moment, the averages cover the time since the period before the current one began, so between one
// and two periods, as PgBouncer's do. It reads no clock and keeps no running sums.
//
//     older ---- stats_period ---- newer ---- up to stats_period ---- now
//       |<------------------- what an average covers --------------------->|

public import PostgresWire

/// The totals of one database.
public struct DatabaseTotals: Equatable, Sendable {
    /// The database as clients name it.
    public let database: ByteString
    /// Its running totals, over all its pools and all workers.
    public let totals: PoolCounters

    /// Joins a name and its totals.
    public init(database: ByteString, totals: PoolCounters) {
        self.database = database
        self.totals = totals
    }
}

/// A row of SHOW STATS: totals and averages of one database, or of all.
public struct StatsSnapshot: Equatable, Sendable {
    /// The database; empty for all together.
    public var database: ByteString
    /// The running totals.
    public var totals: PoolCounters
    /// The averages, each in the field of its total.
    public var averages: PoolCounters

    /// Joins a database's figures.
    public init(
        database: ByteString = "",
        totals: PoolCounters = PoolCounters(),
        averages: PoolCounters = PoolCounters()
    ) {
        self.database = database
        self.totals = totals
        self.averages = averages
    }
}

/// Remembers the totals of the last two period ends.
public struct StatsPeriod: Sendable {
    private struct Mark {
        var microseconds: Int64
        var totals: [ByteString: PoolCounters] = [:]
    }

    private var older: Mark
    private var newer: Mark

    /// Starts counting.
    ///
    /// - Parameter now: microseconds of a clock that only goes forward; every later `now` is of the
    ///   same clock. The first averages are over one second more than has passed, as PgBouncer's,
    ///   so that the first moments give no absurd rates.
    public init(startedAt now: Int64) {
        self.newer = Mark(microseconds: now)
        self.older = Mark(microseconds: now &- 1_000_000)
    }

    /// Takes the totals at the end of a period; a database that is not in them is forgotten.
    public mutating func periodEnded(_ totals: [DatabaseTotals], now: Int64) {
        older = newer
        newer = Mark(microseconds: now)
        for entry in totals {
            newer.totals[entry.database, default: PoolCounters()] += entry.totals
        }
    }

    /// Totals and averages of each database, in the order given.
    public func snapshot(_ totals: [DatabaseTotals], now: Int64) -> [StatsSnapshot] {
        totals.map { entry in
            let growth = entry.totals - (older.totals[entry.database] ?? PoolCounters())
            return StatsSnapshot(
                database: entry.database,
                totals: entry.totals,
                averages: Self.averages(of: growth, over: now &- older.microseconds)
            )
        }
    }

    /// Totals and averages of all databases together.
    public func overall(_ totals: [DatabaseTotals], now: Int64) -> StatsSnapshot {
        var sum = PoolCounters()
        var growth = PoolCounters()
        for entry in totals {
            sum += entry.totals
            growth += entry.totals - (older.totals[entry.database] ?? PoolCounters())
        }
        return StatsSnapshot(
            totals: sum,
            averages: Self.averages(of: growth, over: now &- older.microseconds)
        )
    }

    /// Averages of what was counted within `microseconds`; all zero when that is not positive.
    public static func averages(of growth: PoolCounters, over microseconds: Int64) -> PoolCounters {
        guard microseconds > 0 else { return PoolCounters() }
        var averages = PoolCounters()
        for metric in metricTable {
            let count = growth[keyPath: metric.counter]
            switch metric.average {
            case .perSecond:
                averages[keyPath: metric.counter] = perSecond(count, over: UInt64(microseconds))
            case .perEvent(let events):
                let eventCount = growth[keyPath: events]
                averages[keyPath: metric.counter] = eventCount == 0 ? 0 : count / eventCount
            }
        }
        return averages
    }

    private static func perSecond(_ count: UInt64, over microseconds: UInt64) -> UInt64 {
        let (scaled, overflow) = count.multipliedReportingOverflow(by: 1_000_000)
        if !overflow { return scaled / microseconds }
        let (rate, tooLarge) = (count / microseconds).multipliedReportingOverflow(by: 1_000_000)
        return tooLarge ? .max : rate
    }
}

extension StatsSnapshot {
    /// The line that log_stats writes and the service manager shows, as PgBouncer words it.
    public var logText: String {
        """
        stats: \(averages.transactions) xacts/s, \(averages.queries) queries/s, \
        \(averages.clientParses) client parses/s, \(averages.serverParses) server parses/s, \
        \(averages.binds) binds/s, in \(averages.bytesReceived) B/s, \
        out \(averages.bytesSent) B/s, xact \(averages.transactionMicroseconds) us, \
        query \(averages.queryMicroseconds) us, wait \(averages.waitMicroseconds) us
        """
    }
}
