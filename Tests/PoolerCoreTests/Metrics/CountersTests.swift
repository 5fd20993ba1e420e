import PoolerCore
import Testing

@Suite struct CountersTests {
    /// Counters that differ in every field, so that a mixed-up field shows.
    static func counters(_ first: UInt64) -> PoolCounters {
        var counters = PoolCounters()
        for (index, metric) in (metricTable + sessionMetricTable).enumerated() {
            counters[keyPath: metric.counter] = first + UInt64(index)
        }
        return counters
    }

    @Test func pinsAreCountedByReason() {
        var counters = PoolCounters()
        counters.count(pinnedBy: [.temporary, .unknown])
        counters.count(pinnedBy: .temporary)
        counters.count(pinnedBy: [])
        #expect(counters.temporaryPins == 2)
        #expect(counters.unknownPins == 1)
        let all = PinReasons.all.reduce(into: PoolCounters()) { $0.count(pinnedBy: $1) }
        let rows = sessionMetricTable.filter { $0.totalsColumn.hasPrefix("pin_count_") }
        #expect(rows.map(\.totalsColumn) == PinReasons.allNames.map { "pin_count_\($0)" })
        #expect(rows.allSatisfy { all[keyPath: $0.counter] == 1 })
    }

    @Test func everyCounterHasOneRow() {
        let metrics = metricTable + sessionMetricTable
        #expect(MemoryLayout<PoolCounters>.size == metrics.count * MemoryLayout<UInt64>.size)
        #expect(Set(metrics.map(\.totalsColumn)).count == metrics.count)
        var counters = Self.counters(1)
        for metric in metrics { counters[keyPath: metric.counter] = 0 }
        #expect(counters == PoolCounters())
    }

    @Test func additionAndSubtractionAreInverse() {
        var sum = Self.counters(100)
        sum += Self.counters(7)
        #expect(sum - Self.counters(7) == Self.counters(100))
    }

    @Test func aShrinkingTotalGivesZero() {
        #expect(Self.counters(1) - Self.counters(2) == PoolCounters())
    }

    @Test func additionWraps() {
        var counters = PoolCounters()
        counters.queries = .max
        counters += counters
        #expect(counters.queries == UInt64.max - 1)
    }
}
