import PoolerCore
import Testing

/// The queue of cancel requests for a peer.
@Suite struct PeerPoolTests {
    @Test func soManyAtOnceAndTheOthersInTurn() {
        var pool = PeerPool<Int>()
        #expect(pool.isEmpty)
        for request in 1...4 { pool.add(request, deadline: 100) }
        #expect(pool.next(limit: 2)?.request == 1)
        #expect(pool.next(limit: 2)?.request == 2)
        #expect(pool.next(limit: 2) == nil)
        #expect(pool.waitingCount == 2)
        #expect(pool.connectionCount == 2)
        pool.connectionEnded()
        #expect(pool.next(limit: 2)?.request == 3)
        #expect(pool.next(limit: 2) == nil)
        // RELOAD has given it another limit.
        #expect(pool.next(limit: 3)?.request == 4)
        for _ in 0..<3 { pool.connectionEnded() }
        #expect(pool.isEmpty)
    }

    @Test func zeroIsNoLimit() {
        var pool = PeerPool<Int>()
        for request in 1...100 { pool.add(request, deadline: 100) }
        for request in 1...100 { #expect(pool.next(limit: 0)?.request == request) }
        #expect(pool.next(limit: 0) == nil)
    }

    @Test func whoWaitsTooLongIsTaken() {
        var pool = PeerPool<Int>()
        pool.add(1, deadline: 10)
        pool.add(2, deadline: 20)
        pool.add(3, deadline: .max)
        #expect(pool.takeOverdue(now: 9).isEmpty)
        #expect(pool.takeOverdue(now: 20) == [1, 2])
        #expect(pool.takeAll() == [3])
        #expect(pool.isEmpty)
    }
}
