import PoolerCore
import Testing

/// When a server or a client waits for one with its settings.
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

    @Test func theMomentIsAsLongAsAReplay() {
        var time = ReplayTime()
        #expect(time.left(since: 1_000, now: 1_000) == 100)
        #expect(time.left(since: 1_000, now: 1_060) == 40)
        #expect(time.left(since: 1_000, now: 1_100) == 0)
        #expect(time.left(since: 1_000, now: 9_000) == 0)
        // The turn began before it came free.
        #expect(time.left(since: 1_000, now: 990) == 100)
        for _ in 0..<100 { time.add(2_000) }
        #expect((1_980...2_000).contains(time.left(since: 1_000, now: 1_000)))
        for _ in 0..<100 { time.add(40) }
        #expect((40...47).contains(time.left(since: 1_000, now: 1_000)))
    }

    /// Nobody waits for long, or without end, whatever the clock says.
    @Test func noReplayCountsForTooMuch() {
        var time = ReplayTime()
        for wrong in [Microseconds.max, .min, -5] {
            for _ in 0..<100 { time.add(wrong) }
            #expect((0...5_000).contains(time.left(since: 1_000, now: 1_000)))
        }
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
