import PoolerCore
import PostgresWire
import TestSupport
import Testing

/// A client, a model of PostgreSQL and the machine between them, each as fast as chance will have it.
@Suite struct ServerSimulationTests {
    @Test(arguments: 0..<60)
    func theMachineAgreesWithTheServer(_ seed: Int) {
        var random = SplitMix(seed: seed)
        var server = ModelServer()
        var follower = AnswerFollower()
        var outbox: [ModelServer.Sent] = []
        var programCount = 0
        while programCount < 40 || !outbox.isEmpty || !server.inbox.isEmpty || !server.wire.isEmpty
        {
            switch random.number(0...2) {
            case 0:
                if outbox.isEmpty && programCount < 40 {
                    outbox = random.program()
                    programCount += 1
                }
                Self.send(&outbox, random.number(1...4), to: &server, &follower)
            case 1:
                for _ in 0..<random.number(1...4) { server.step() }
            default:
                follower.receive(server.takeBytes(random.number(1...60)))
            }
            // Released too early, the server would give one client's answers to another.
            if follower.machine.isClean {
                #expect(server.isAtRest && server.status == .idle, "seed \(seed)")
            }
            guard follower.notes.last != .violation else { break }
        }
        #expect(follower.forwarded == server.forClient, "seed \(seed)")
        #expect(!follower.notes.contains(.violation), "seed \(seed)")
        #expect(follower.holdsNothing && !follower.machine.owesClient, "seed \(seed)")
        #expect(follower.machine.isClean == (server.status == .idle), "seed \(seed)")
        #expect(follower.machine.transactionStatus == server.status, "seed \(seed)")
    }

    private static func send(
        _ outbox: inout [ModelServer.Sent],
        _ count: Int,
        to server: inout ModelServer,
        _ follower: inout AnswerFollower
    ) {
        for sent in outbox.prefix(count) {
            server.send(sent.request, sent.route)
            if let request = sent.request.expectation {
                follower.send([Expectation(request, sent.route)])
            }
        }
        outbox.removeFirst(min(count, outbox.count))
    }

    /// Messages in any order, and bytes that are none: the machine never traps, and what it says does
    /// not depend on how they arrive.
    @Test(arguments: 0..<16)
    func noBytesTrap(_ seed: Int) {
        var random = SplitMix(seed: seed)
        for _ in 0..<200 {
            let requests = (0..<random.number(0...6)).map { _ in random.request() }
            let bytes = random.answers()
            let pieces = random.pieces(of: bytes, upTo: 20)
            var whole = AnswerFollower()
            whole.send(requests)
            whole.receive(bytes)
            var inPieces = AnswerFollower()
            inPieces.send(requests)
            for piece in pieces { inPieces.receive(piece) }
            #expect(whole.notes == inPieces.notes, "seed \(seed): \(requests) \(bytes)")
            #expect(whole.forwarded == inPieces.forwarded, "seed \(seed): \(requests) \(bytes)")
        }
    }

    /// Requests and answers that come as they will.
    @Test(arguments: 0..<16)
    func noOrderTraps(_ seed: Int) {
        var random = SplitMix(seed: seed)
        for _ in 0..<100 {
            var follower = AnswerFollower()
            if random.oneIn(3) { follower.becomeUncertain() }
            for _ in 0..<20 {
                follower.send([random.request()])
                follower.receive(random.answers())
                #expect(!(follower.machine.isClean && follower.machine.isUncertain))
            }
        }
    }
}

extension SplitMix {
    fileprivate mutating func request() -> Expectation {
        let kinds: [Expectation.Request] = [
            .query, .sync, .bind, .describe, .execute, .copyEnd, .parse, .close,
        ]
        let kind = number(0...7)
        // Only Parse and Close are answered by the pooler.
        let routes: [Expectation.Route] = [.client, .pooler, .synthetic]
        let route = routes[number(0...(kind >= 6 ? 2 : kind == 5 ? 0 : 1))]
        let statement = oneIn(2) ? UInt32(number(0...5)) : Expectation.noStatement
        return Expectation(kinds[kind], route, statement: statement)
    }

    fileprivate mutating func answers() -> [UInt8] {
        let messages = [
            Wire.parseComplete, Wire.bindComplete, Wire.closeComplete, Wire.noData,
            Wire.portalSuspended, Wire.emptyQueryResponse, Wire.copyInResponse, Wire.row("1"),
            Wire.notice, Wire.rowDescription, Wire.complete("SET"), Wire.complete("DISCARD ALL"),
            Wire.ready(), Wire.ready(.inTransaction), Wire.error("no"),
            Wire.parameterStatus("a", "b"),
        ]
        var bytes: [UInt8] = []
        for _ in 0..<number(0...8) { bytes += messages[number(0...15)] }
        // Zeros stay: messages above 64 KB are another test's.
        if oneIn(4), let place = bytes.indices.randomElement(using: &self), bytes[place] != 0 {
            bytes[place] = UInt8(truncatingIfNeeded: next())
        }
        return bytes
    }
}
