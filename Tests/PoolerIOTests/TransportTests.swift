import Glibc
import TestSupport
import Testing

@testable import PoolerCore
@testable import PoolerIO

/// What a connection can rely on, whatever the backend is.
@Suite struct TransportTests {
    @Test(arguments: backends)
    func bytesComeInAndGoOut(_ backend: ReactorChoice) throws {
        var loop = try Loop(backend)
        let connection = try loop.connect(0)
        connection.peerSends([1, 2, 3])
        try loop.turn { _ in connection.received == [1, 2, 3] }
        connection.send([4, 5], loop.reactor)
        loop.turn(timeout: 0)
        #expect(connection.peerReceives() == [4, 5])
    }

    /// Sends of several connections in turns, some of received bytes and some of others.
    @Test(arguments: backends)
    func manySendsInATurnKeepTheirOrder(_ backend: ReactorChoice) throws {
        var loop = try Loop(backend)
        let connections = try (0..<3).map { try loop.connect($0, tcp: true) }
        var expected: [[UInt8]] = [[], [], []]
        for round in 0..<700 {
            for (index, connection) in connections.enumerated() {
                let bytes = pattern(1 + (round * 7 + index) % 90, seed: round)
                connection.send(bytes, loop.reactor)
                expected[index] += bytes
            }
        }
        let large = pattern(200_000)
        connections[1].send(large, loop.reactor)
        expected[1] += large
        connections[1].send([9], loop.reactor)
        expected[1].append(9)
        for (index, connection) in connections.enumerated() {
            var received: [UInt8] = []
            try loop.turn { _ in
                received += connection.peerReceives() ?? []
                return received.count >= expected[index].count
            }
            #expect(received == expected[index])
        }
    }

    @Test(arguments: backends)
    func aSlowReaderGetsEverythingInOrder(_ backend: ReactorChoice) throws {
        var loop = try Loop(backend)
        let connection = try loop.connect(0)
        connection.limitSendBuffer(4_096)
        var expected: [UInt8] = []
        var received: [UInt8] = []
        for round in 0..<40 {
            for part in 0..<3 {
                let bytes = pattern(5_000 * part + 77, seed: round)
                connection.send(bytes, loop.reactor)
                expected += bytes
            }
            loop.turn(timeout: 0)
            received += connection.peerReceives(3_000) ?? []
        }
        loop.turn(timeout: 0)
        #expect(!connection.isDrained)
        #expect(connection.unsentByteCount > 0)
        try loop.turn { _ in
            received += connection.peerReceives(30_000) ?? []
            return connection.isDrained && received.count == expected.count
        }
        #expect(received == expected)
        // The next send is an ordinary one again.
        connection.send([1], loop.reactor)
        loop.turn(timeout: 0)
        #expect(connection.peerReceives() == [1])
    }

    /// Two megabytes from one connection to another, while the reader is slow; received bytes are
    /// sent from where they are.
    @Test(arguments: backends)
    func forwardingKeepsEveryByte(_ backend: ReactorChoice) throws {
        var loop = try Loop(backend)
        let source = try loop.connect(0, tcp: true)
        let target = try loop.connect(1, tcp: true)
        source.echoTo = target
        let bytes = pattern(2_000_000)
        var (sent, received) = (0, [UInt8]())
        try loop.turn { loop in
            sent += source.peerSends(bytes[sent...].prefix(300_000))
            source.transport.setReading(target.transport.isDrained, loop.reactor)
            received += target.peerReceives(40_000) ?? []
            return received.count >= bytes.count
        }
        #expect(received == bytes)
    }

    /// A part of what was received is on its way while the rest waits, and others receive.
    @Test(arguments: backends, [(40_000, false), (40_000, true), (20, false), (20, true)])
    func piecesAreKeptUntilTheyAreSent(
        _ backend: ReactorChoice,
        _ how: (pieceByteCount: Int, isSlow: Bool)
    ) throws {
        var loop = try Loop(backend)
        let sources = try (0..<8).map { try loop.connect($0) }
        let targets = try (8..<16).map { try loop.connect($0) }
        for (index, source) in sources.enumerated() {
            source.echoTo = targets[index]
            source.pieceByteCount = how.pieceByteCount
            if how.isSlow { targets[index].limitSendBuffer(4_096) }
            #expect(source.peerSends(pattern(60_000, seed: index)[...]) == 60_000)
        }
        for (index, target) in targets.enumerated() {
            var received: [UInt8] = []
            try loop.turn { _ in
                received += target.peerReceives() ?? []
                return received.count >= 60_000
            }
            #expect(received == pattern(60_000, seed: index))
        }
    }

    /// Large and small, received and made, to quick and slow readers, in whatever order it comes.
    @Test(arguments: backends, [1, 2, 3] as [UInt64])
    func everybodyGetsTheirBytesInOrder(_ backend: ReactorChoice, _ seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        var loop = try Loop(backend)
        let sources = try (0..<6).map { try loop.connect($0) }
        let targets = try (6..<12).map { try loop.connect($0) }
        var received = targets.map { _ in [UInt8]() }
        for (index, source) in sources.enumerated() {
            source.echoTo = targets[index]
            if index % 2 == 0 { targets[index].limitSendBuffer(4_096) }
        }
        for round in 0..<120 {
            for source in sources where random.oneIn(2) {
                source.pieceByteCount = [7, 300, 5_000, 40_000, 1 << 20][random.number(0...4)]
                let size = [10, 500, 20_000, 70_000][random.number(0...3)]
                source.peerSends(
                    pattern(random.number(1...size), seed: round)[...]
                )
            }
            for (index, target) in targets.enumerated() where random.oneIn(2) {
                let size = [1, 90, 3_000, 45_000][random.number(0...3)]
                let bytes = pattern(random.number(1...size), seed: index)
                target.send(bytes, loop.reactor)
                target.sent += bytes
                if random.oneIn(10) {
                    target.transport.settle(loop.reactor)
                }
            }
            loop.turn(timeout: 0)
            for (index, target) in targets.enumerated() where random.oneIn(2) {
                received[index] += target.peerReceives(index % 2 == 0 ? 9_000 : 200_000) ?? []
            }
        }
        try loop.turn { _ in
            for (index, target) in targets.enumerated() {
                received[index] += target.peerReceives() ?? []
            }
            return targets.enumerated().allSatisfy {
                $1.isDrained && received[$0].count >= $1.sent.count
            }
        }
        for (index, target) in targets.enumerated() { #expect(received[index] == target.sent) }
    }

    /// More is received in one turn than there are buffers for.
    @Test(arguments: backends)
    func exhaustedBuffersAreNoLoss(_ backend: ReactorChoice) throws {
        var loop = try Loop(backend)
        let connections = try (0..<40).map { try loop.connect($0) }
        let bytes = pattern(150_000)
        for connection in connections { connection.peerSends(bytes[...]) }
        let sent = connections.map { connection in connection.peerSends([7]) }
        try loop.turn { _ in connections.allSatisfy { $0.received.count >= 150_000 } }
        for (index, connection) in connections.enumerated() {
            #expect(connection.received.prefix(150_000) == bytes[...])
            #expect(connection.received.count <= 150_000 + sent[index])
            #expect(!connection.hasEnded)
        }
    }

    /// What has come before the end is not lost, and neither is the end, however much it is.
    @Test(arguments: backends, [3, 65_536, 150_000])
    func everythingIsReceivedBeforeTheEnd(_ backend: ReactorChoice, _ count: Int) throws {
        var loop = try Loop(backend)
        let connection = try loop.connect(0, tcp: true)
        let bytes = pattern(count)
        let sent = connection.peerSends(bytes[...])
        connection.peerFinishes()
        try loop.turn { _ in connection.hasEnded }
        #expect(sent > 0)
        #expect(connection.received == Array(bytes.prefix(sent)))
    }

    /// Much is sent to one connection in one turn, and more behind what it does not take; then it leaves.
    @Test(arguments: backends)
    func whatFellShortInTheMiddleOfATurnComesFirst(_ backend: ReactorChoice) throws {
        var loop = try Loop(backend)
        var other = try Loop(backend)
        let (slow, quick) = (try loop.connect(0), try loop.connect(1))
        loop.turn(timeout: 0)
        slow.limitSendBuffer(4_096)
        var expected: [UInt8] = []
        for size in [50_000, 7, 40_000, 60_000, 9] {
            let bytes = pattern(size, seed: size)
            slow.send(bytes, loop.reactor)
            quick.send([UInt8(size % 256)], loop.reactor)
            expected += bytes
        }
        if slow.transport.detach(from: loop.reactor) { slow.hasLeft = true }
        try loop.turn { _ in slow.hasLeft }
        #expect(quick.peerReceives() == [80, 7, 64, 96, 9])
        loop.connections[0] = nil
        other.connections[5] = slow
        let token = Token(.client, slot: 5, generation: 1)
        let isAttached = slow.transport.attach(to: other.reactor, as: token)
        #expect(isAttached)
        var received: [UInt8] = []
        try other.turn { _ in
            received += slow.peerReceives(10_000) ?? []
            return received.count >= expected.count
        }
        #expect(received == expected)
    }

    @Test(arguments: backends)
    func nobodyIsReadAgainstTheirWill(_ backend: ReactorChoice) throws {
        var loop = try Loop(backend)
        let connection = try loop.connect(0)
        loop.turn(timeout: 0)
        connection.transport.setReading(false, loop.reactor)
        loop.turn(timeout: 20)
        loop.turn(timeout: 0)
        connection.peerSends([1, 2, 3])
        #expect(loop.turn(timeout: 50) == 0)
        #expect(connection.received.isEmpty)
        connection.transport.setReading(true, loop.reactor)
        try loop.turn { _ in connection.received == [1, 2, 3] }
        // Changed its mind within one turn.
        connection.transport.setReading(false, loop.reactor)
        connection.transport.setReading(true, loop.reactor)
        connection.peerSends([4])
        try loop.turn { _ in connection.received == [1, 2, 3, 4] }
        connection.transport.setReading(false, loop.reactor)
        loop.turn(timeout: 20)
        connection.transport.setReading(true, loop.reactor)
        connection.transport.setReading(false, loop.reactor)
        connection.transport.setReading(true, loop.reactor)
        connection.peerSends([5])
        try loop.turn { _ in connection.received == [1, 2, 3, 4, 5] }
    }

    @Test(arguments: backends)
    func anEndIsToldOnce(_ backend: ReactorChoice) throws {
        var loop = try Loop(backend)
        let connection = try loop.connect(0)
        connection.peerSends([1])
        shutdown(connection.peer, Int32(SHUT_WR))
        try loop.turn { _ in connection.hasEnded }
        #expect(connection.received == [1])
        if backend.isEpoll { connection.transport.setReading(false, loop.reactor) }
        #expect(loop.turn(timeout: 30) == 0)
        // What is sent still arrives.
        connection.send([2], loop.reactor)
        loop.turn(timeout: 0)
        #expect(connection.peerReceives() == [2])
    }

    @Test(arguments: backends)
    func aBrokenConnectionIsNotSpunOn(_ backend: ReactorChoice) throws {
        var loop = try Loop(backend)
        let connection = try loop.connect(0)
        connection.limitSendBuffer(4_096)
        connection.transport.setReading(false, loop.reactor)
        connection.send(pattern(500_000), loop.reactor)
        loop.turn(timeout: 0)
        loop.turn(timeout: 0)
        #expect(!connection.isDrained)
        shutdown(connection.peer, Int32(SHUT_RDWR))
        // With epoll it shows as an end, which drivers answer by closing.
        try loop.turn { _ in connection.isBroken || connection.hasEnded }
        guard !backend.isEpoll else { return }
        #expect(connection.isDrained)
        connection.send([1], loop.reactor)
        #expect(loop.turn(timeout: 30) == 0)
    }

    @Test(arguments: backends, [false, true])
    func closingComesAfterWhatWasSent(_ backend: ReactorChoice, _ tcp: Bool) throws {
        var loop = try Loop(backend)
        let connection = try loop.connect(0, tcp: tcp)
        loop.turn(timeout: 0)
        connection.send([1, 2], loop.reactor)
        connection.send([3], loop.reactor)
        connection.transport.close(loop.reactor)
        #expect(connection.descriptor == -1)
        loop.turn(timeout: 0)
        loop.turn(timeout: 0)
        // All is on its way now, without another turn.
        var received: [UInt8] = []
        while let part = try connection.peerAwaits() { received += part }
        #expect(received == [1, 2, 3])
    }

    @Test(arguments: backends, [false, true])
    func finishingComesAfterWhatWasSent(_ backend: ReactorChoice, _ isSlow: Bool) throws {
        var loop = try Loop(backend)
        let connection = try loop.connect(0)
        loop.turn(timeout: 0)
        let bytes = pattern(isSlow ? 400_000 : 300)
        if isSlow { connection.limitSendBuffer(4_096) }
        connection.send(bytes, loop.reactor)
        if connection.isDrained { connection.transport.finishSending(loop.reactor) }
        loop.turn(timeout: 0)
        var received: [UInt8] = []
        var hasEnded = false
        var hasFinished = !isSlow
        try loop.turn { loop in
            if let part = connection.peerReceives() { received += part } else { hasEnded = true }
            if connection.isDrained, !hasFinished {
                hasFinished = true
                connection.transport.finishSending(loop.reactor)
            }
            return hasEnded
        }
        #expect(received == bytes)
        // The other direction is open.
        connection.peerSends([1])
        try loop.turn { _ in connection.received == [1] }
    }

    /// The next connection in a slot gets nothing of its predecessor.
    @Test(arguments: backends)
    func aSlotIsUsedAgain(_ backend: ReactorChoice) throws {
        var loop = try Loop(backend)
        for generation in UInt32(1)...200 {
            let connection = try loop.connect(0, generation: generation)
            connection.peerSends([UInt8(generation % 250)])
            if generation % 3 != 0 { loop.turn(timeout: 0) }
            connection.send([2], loop.reactor)
            connection.peerSends([9])
            connection.transport.close(loop.reactor)
            let next = try loop.connect(0, generation: generation + 1_000)
            next.send([3], loop.reactor)
            next.peerSends([UInt8(generation % 251)])
            try loop.turn { _ in next.received == [UInt8(generation % 251)] }
            #expect(next.peerReceives() == [3])
            next.transport.close(loop.reactor)
        }
        loop.turn(timeout: 0)
        #expect(loop.turn(timeout: 20) == 0 || !backend.isEpoll)
    }

    @Test(arguments: backends, [false, true])
    func aConnectionMovesToAnotherLoop(_ backend: ReactorChoice, _ reads: Bool) throws {
        var loop = try Loop(backend)
        var other = try Loop(backend)
        let connection = try loop.connect(3)
        loop.turn(timeout: 0)
        if !reads {
            connection.transport.setReading(false, loop.reactor)
            loop.turn(timeout: 20)
        }
        connection.send([1, 2, 3], loop.reactor)
        connection.peerSends([4, 5])
        let hasLeft = connection.transport.detach(from: loop.reactor)
        try loop.turn { _ in hasLeft || connection.hasLeft }
        #expect(connection.peerReceives() == [1, 2, 3])
        connection.peerSends([6])
        #expect(loop.turn(timeout: 20) == 0)
        loop.connections[3] = nil
        other.connections[8] = connection
        let token = Token(.client, slot: 8, generation: 5)
        let isAttached = connection.transport.attach(to: other.reactor, as: token)
        #expect(isAttached)
        connection.transport.setReading(true, other.reactor)
        try other.turn { _ in connection.received == [4, 5, 6] }
        connection.send([7], other.reactor)
        other.turn(timeout: 0)
        #expect(connection.peerReceives() == [7])
    }

    /// Neither a busy loop nor a whole millisecond.
    @Test(arguments: backends)
    func aWaitCanBeShort(_ backend: ReactorChoice) throws {
        var loop = try Loop(backend)
        let clock = ContinuousClock()
        var shortest = Duration.seconds(1)
        var earlyCount = 0
        func wait(_ loop: borrowing Loop) {
            let time = clock.measure {
                let count = loop.reactor.wait(timeout: 200)
                #expect(count == 0)
                loop.reactor.finishTurn()
            }
            if time < .microseconds(200) { earlyCount += 1 }
            shortest = min(shortest, time)
        }
        for _ in 0..<20 { wait(loop) }
        // What the kernel still does for a ring of another test on this thread interrupts a wait.
        #expect(earlyCount < 10)
        // On a busy machine it takes a while until others do not keep it waiting.
        try loop.turn { loop in
            wait(loop)
            return shortest < .milliseconds(1)
        }
    }

    @Test(arguments: backends)
    func whatIsWatchedReportsUntilItIsRead(_ backend: ReactorChoice) throws {
        let loop = try Loop(backend)
        var ends: [Int32] = [-1, -1]
        #expect(pipe(&ends) == 0)
        defer { for fd in ends { Glibc.close(fd) } }
        let token = Token(.resolver, slot: 0)
        func turn() -> Int {
            let count = loop.reactor.wait(timeout: .milliseconds(20))
            loop.reactor.finishTurn()
            return count
        }
        var isWatched = loop.reactor.watch(ends[0], token, isShared: true)
        #expect(isWatched)
        var byte: UInt8 = 1
        #expect(turn() == 0)
        write(ends[1], &byte, 1)
        for _ in 0..<3 { #expect(turn() == 1) }
        let event = loop.reactor.event(at: 0)
        #expect(event.token == token)
        read(ends[0], &byte, 1)
        #expect(turn() == 0)
        write(ends[1], &byte, 1)
        loop.reactor.unwatch(ends[0], token)
        #expect(turn() == 0)
        isWatched = loop.reactor.watch(ends[0], token)
        #expect(isWatched)
        #expect(turn() == 1)
    }

    /// More operations in a turn than the rings have room for.
    @Test(arguments: backends)
    func thousandsCloseInOneTurn(_ backend: ReactorChoice) throws {
        var loop = try Loop(backend)
        let count = DescriptorLimit.connectionCount(upTo: 3_000, descriptors: 2)
        let connections = try (0..<count).map { try loop.connect($0) }
        loop.turn(timeout: 0)
        for connection in connections { connection.peerSends([1]) }
        try loop.turn { _ in connections.allSatisfy { $0.received == [1] } }
        for connection in connections {
            connection.send([2], loop.reactor)
            connection.transport.close(loop.reactor)
        }
        var counts = [0, 0, 0]
        loop.connections = [:]
        var open = connections
        try loop.turn { _ in
            open.removeAll { connection in
                guard let part = connection.peerReceives() else { return true }
                counts[Int(part.first ?? 0)] += part.count
                return false
            }
            return open.isEmpty
        }
        #expect(counts == [0, 0, count])
    }
}
