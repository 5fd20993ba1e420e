import PoolerCore
import Testing

/// When a server is kept for a client that has its settings.
@Suite struct PatienceTests {
    @Test func serversAreKeptAsLongAsThatPays() {
        var patience = Patience()
        for round in 0..<1_000 {
            let isWorthwhile = patience.isWorthwhile()
            #expect(isWorthwhile)
            patience.ended(wasRewarded: round % 3 == 0)
        }
    }

    @Test func whatNeverPaysIsTriedNowAndThen() {
        var patience = Patience()
        var keptCount = 0
        for _ in 0..<1_600 where patience.isWorthwhile() {
            keptCount += 1
            patience.ended(wasRewarded: false)
        }
        #expect((95...115).contains(keptCount))
    }

    @Test func theMomentIsShort() {
        #expect(Patience.timeLeft(since: 1_000, now: 1_000) == 100)
        #expect(Patience.timeLeft(since: 1_000, now: 1_060) == 40)
        #expect(Patience.timeLeft(since: 1_000, now: 1_100) == 0)
        #expect(Patience.timeLeft(since: 1_000, now: 9_000) == 0)
        // The turn began before it came free.
        #expect(Patience.timeLeft(since: 1_000, now: 990) == 100)
    }

    @Test func itIsLearnedAnew() {
        var patience = Patience()
        for _ in 0..<100 where patience.isWorthwhile() { patience.ended(wasRewarded: false) }
        for _ in 0..<100 where patience.isWorthwhile() { patience.ended(wasRewarded: true) }
        for _ in 0..<5 {
            let isWorthwhile = patience.isWorthwhile()
            #expect(isWorthwhile)
        }
    }
}
