import PoolerCore
import PostgresWire
import Testing

@Suite struct StatsPeriodTests {
    private static let second: Int64 = 1_000_000

    private static func totals(_ scale: UInt64) -> [DatabaseTotals] {
        var counters = PoolCounters()
        counters.serverAssignments = 10 * scale
        counters.transactions = 20 * scale
        counters.queries = 40 * scale
        counters.bytesReceived = 1_000 * scale
        counters.bytesSent = 2_000 * scale
        counters.transactionMicroseconds = 600 * scale
        counters.queryMicroseconds = 1_000 * scale
        counters.waitMicroseconds = 70 * scale
        counters.clientParses = 5 * scale
        counters.serverParses = 3 * scale
        counters.binds = 9 * scale
        counters.clientLogins = 2 * scale
        return [DatabaseTotals(database: "app", totals: counters)]
    }

    @Test func averagesCoverTheTimeSinceTheLastPeriodButOne() throws {
        var period = StatsPeriod(startedAt: 0)
        period.periodEnded(Self.totals(1), now: 60 * Self.second)
        period.periodEnded(Self.totals(61), now: 120 * Self.second)
        // Since the mark at 60 s: 120 units in 90 s.
        let row = try #require(period.snapshot(Self.totals(121), now: 150 * Self.second).first)
        #expect(row.database == "app")
        #expect(row.totals == Self.totals(121)[0].totals)
        #expect(row.averages.serverAssignments == 13)
        #expect(row.averages.transactions == 26)
        #expect(row.averages.queries == 53)
        #expect(row.averages.bytesReceived == 1_333)
        #expect(row.averages.bytesSent == 2_666)
        #expect(row.averages.transactionMicroseconds == 30)
        #expect(row.averages.queryMicroseconds == 25)
        #expect(row.averages.waitMicroseconds == 7)
        #expect(row.averages.clientParses == 6)
        #expect(row.averages.serverParses == 4)
        #expect(row.averages.binds == 12)
        #expect(row.averages.clientLogins == 2)
    }

    @Test func theFirstMomentGivesNoAbsurdRate() {
        let period = StatsPeriod(startedAt: 500)
        #expect(period.overall(Self.totals(1), now: 500).averages.queries == 40)
    }

    @Test func overallAddsBeforeItDivides() {
        let period = StatsPeriod(startedAt: 0)
        var one = PoolCounters()
        one.transactions = 1
        one.transactionMicroseconds = 10
        var three = PoolCounters()
        three.transactions = 3
        three.transactionMicroseconds = 90
        let overall = period.overall(
            [
                DatabaseTotals(database: "a", totals: one),
                DatabaseTotals(database: "b", totals: three),
            ],
            now: 0
        )
        #expect(overall.totals.transactions == 4)
        #expect(overall.averages.transactions == 4)
        #expect(overall.averages.transactionMicroseconds == 25)
    }

    @Test func aNewDatabaseCountsFromZeroAndAForgottenOneLeaves() {
        var period = StatsPeriod(startedAt: 0)
        period.periodEnded(Self.totals(50), now: Self.second)
        period.periodEnded([], now: 2 * Self.second)
        period.periodEnded([], now: 3 * Self.second)
        let rows = period.snapshot(Self.totals(1), now: 4 * Self.second)
        #expect(rows.map(\.averages.queries) == [20])
    }

    @Test func noTimeAndNoEventsGiveZero() {
        #expect(StatsPeriod.averages(of: Self.totals(1)[0].totals, over: 0) == PoolCounters())
        #expect(StatsPeriod.averages(of: Self.totals(1)[0].totals, over: -5) == PoolCounters())
        var waited = PoolCounters()
        waited.waitMicroseconds = 9
        #expect(StatsPeriod.averages(of: waited, over: 1) == PoolCounters())
    }

    @Test func hugeCountsSaturate() {
        var counters = PoolCounters()
        for metric in metricTable { counters[keyPath: metric.counter] = .max }
        #expect(StatsPeriod.averages(of: counters, over: 1).bytesSent == .max)
        #expect(
            StatsPeriod.averages(of: counters, over: 2_000_000).bytesSent
                == UInt64.max / 2_000_000 * 1_000_000
        )
    }

    @Test func theLogLine() {
        var row = StatsSnapshot()
        row.averages = CountersTests.counters(1)
        #expect(
            row.logText
                == "stats: 2 xacts/s, 3 queries/s, 9 client parses/s, 10 server parses/s, "
                + "11 binds/s, in 4 B/s, out 5 B/s, xact 6 us, query 7 us, wait 8 us"
        )
    }
}
