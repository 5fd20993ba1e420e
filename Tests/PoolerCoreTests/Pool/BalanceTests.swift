import PoolerCore
import Testing

/// How connections are spread over workers.
@Suite struct BalanceTests {
    @Test func theFirstFewAreSpreadExactly() {
        for workers in 1...8 {
            var loads = [Int](repeating: 0, count: workers)
            for count in 1...workers * 4 {
                // The worst case: one worker accepts everything.
                loads[Balance.worker(forConnectionOf: 0, loads: loads)] += 1
                #expect((loads.max() ?? 0) - (loads.min() ?? 0) <= 1, "\(count) connections")
            }
        }
    }

    @Test func manyAreSpreadWithinAnEighth() {
        var loads = [0, 0, 0]
        for _ in 0..<10_000 { loads[Balance.worker(forConnectionOf: 1, loads: loads)] += 1 }
        #expect((loads.max() ?? 0) <= (loads.min() ?? 0) * 9 / 8 + 2)
    }

    @Test func whoHasAboutTheFewestKeepsWhatItAccepts() {
        #expect(Balance.worker(forConnectionOf: 1, loads: [100, 112]) == 1)
        #expect(Balance.worker(forConnectionOf: 1, loads: [100, 113]) == 0)
        #expect(Balance.worker(forConnectionOf: 0, loads: [5]) == 0)
    }
}
