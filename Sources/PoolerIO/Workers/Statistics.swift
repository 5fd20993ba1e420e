// The periods over which averages are formed, and the log line at the end of each.

internal import CLinux
internal import Logging
internal import PoolerCore
internal import PostgresWire

/// When the statistics were last taken.
struct Statistics {
    var period: StatsPeriod
    var periodEnd: Microseconds
}

extension Worker {
    /// What each database has counted in this worker so far.
    func databaseTotals() -> [DatabaseTotals] {
        var names: [ByteString] = []
        var totals: [ByteString: PoolCounters] = [:]
        for pool in pools.ids {
            let name = pools[pool].key.database
            if totals[name] == nil { names.append(name) }
            totals[name, default: PoolCounters()] += pools[pool].counters
        }
        return names.map { DatabaseTotals(database: $0, totals: totals[$0] ?? PoolCounters()) }
    }

    /// Ends a period when it is over.
    mutating func advanceStatistics() {
        guard now >= statistics.periodEnd else { return }
        statistics.periodEnd = now + max(settings.statsPeriod, .seconds(1))
        if let report = issue(.report(.statistics), sequel: .endPeriod) {
            endPeriod(report.snapshot.totals)
        }
    }

    /// All workers have told what they counted in a period.
    mutating func endPeriod(_ totals: [DatabaseTotals]) {
        let text = statistics.period.overall(totals, now: now).logText
        if settings.logStats { log.info("\(text)") }
        supervisor.status(text)
        statistics.period.periodEnded(totals, now: now)
    }
}
