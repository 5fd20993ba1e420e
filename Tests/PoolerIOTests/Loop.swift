// An event loop without a pooler: connections over socket pairs, whose other ends the test holds.

import Glibc

@testable import PoolerCore
@testable import PoolerIO

/// Reactor and receive buffer, and what they have brought so far.
struct Loop: ~Copyable {
    let reactor: Reactor
    let buffer: ReceiveBuffer
    /// By slot.
    var connections: [Int: Connection] = [:]

    final class Connection {
        var transport: Transport
        let peer: Int32
        var received: [UInt8] = []
        var hasEnded = false
        var hasLeft = false
        var sendsFellShort = 0
        /// What is done with bytes; they are collected in any case.
        var echoTo: Connection?
        var pieceByteCount = 1 << 20
        /// What was echoed to it, and all that a test adds.
        var sent: [UInt8] = []

        init(_ transport: consuming Transport, peer: Int32) {
            self.transport = transport
            self.peer = peer
        }

        deinit { Glibc.close(peer) }
    }

    init(_ choice: ReactorChoice) throws {
        let reactor = try Reactor(choice)
        try reactor.start()
        buffer = reactor.makeReceiveBuffer()
        self.reactor = reactor
    }

    /// A connection that is received from.
    mutating func connect(_ slot: Int, generation: UInt32 = 1, tcp: Bool = false) throws
        -> Connection
    {
        let (near, far) = try Self.pair(tcp: tcp)
        let token = Token(.client, slot: UInt32(slot), generation: generation)
        var transport = Transport(descriptor: near, token: token)
        guard transport.add(to: reactor) else { throw LoopError(what: "add") }
        let connection = Connection(transport, peer: far)
        connections[slot] = connection
        return connection
    }

    /// One turn, as `Worker.run` does it.
    /// - Parameter timeout: in milliseconds.
    /// - Returns: the number of events.
    @discardableResult
    mutating func turn(timeout: Microseconds = 100) -> Int {
        let count = reactor.wait(timeout: timeout * 1_000)
        while let short = reactor.takeShortSend() {
            guard let connection = find(short.token) else { continue }
            connection.sendsFellShort += 1
            connection.transport.keepRest(of: short, reactor)
        }
        reactor.finishTurn()
        for index in 0..<count { handle(reactor.event(at: index)) }
        return count
    }

    /// Turns until something holds, at most for a minute: the machine may be busy.
    mutating func turn(until isDone: (borrowing Loop) -> Bool) throws {
        let clock = ContinuousClock()
        let end = clock.now + .seconds(60)
        while !isDone(self) {
            guard clock.now < end else { throw LoopError(what: "nothing happened in a minute") }
            turn(timeout: 20)
        }
    }

    private func find(_ token: Token) -> Connection? {
        guard let connection = connections[Int(token.slot)], connection.transport.token == token
        else { return nil }
        return connection
    }

    private mutating func handle(_ event: ReactorEvent) {
        guard let connection = find(event.token) else { return }
        let hasLeft = connection.transport.account(for: event, reactor)
        if event.isWritable { connection.transport.flush(reactor) }
        if event.isReadable {
            switch connection.transport.receive(event, in: buffer, reactor) {
            case .bytes(let range):
                let bytes = buffer.bytes(range)
                connection.received += bytes.withUnsafeBytes { Array($0) }
                connection.echoTo?.sent += bytes.withUnsafeBytes { Array($0) }
                for start in stride(from: 0, to: bytes.byteCount, by: connection.pieceByteCount) {
                    let end = min(start + connection.pieceByteCount, bytes.byteCount)
                    connection.echoTo?.transport.send(bytes.extracting(start..<end), reactor)
                }
            case .nothing: break
            case .end: connection.hasEnded = true
            }
        }
        if hasLeft { connection.hasLeft = true }
    }

    /// Two connected sockets that do not block.
    static func pair(tcp: Bool) throws -> (Int32, Int32) {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue)
        if !tcp {
            var pair: [Int32] = [-1, -1]
            guard socketpair(AF_UNIX, type, 0, &pair) == 0 else { throw LoopError(what: "pair") }
            return (pair[0], pair[1])
        }
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { Glibc.close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let near = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let status = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, size) | listen(listener, 1)
                    | getsockname(listener, address, &size) | Glibc.connect(near, address, size)
            }
        }
        let far = accept(listener, nil, nil)
        guard status == 0, far >= 0 else { throw LoopError(what: "connect") }
        for fd in [near, far] { _ = fcntl(fd, F_SETFL, O_NONBLOCK) }
        return (near, far)
    }
}

extension Loop.Connection {
    // Not the transport itself: `#expect` copies what it is asked about.
    var isDrained: Bool { transport.isDrained }
    var isBroken: Bool { transport.isBroken }
    var unsentByteCount: Int { transport.unsentByteCount }
    var descriptor: Int32 { transport.descriptor }

    func send(_ bytes: [UInt8], _ reactor: borrowing Reactor) {
        transport.send(bytes.span.bytes, reactor)
    }

    /// What has come at the other end; nil at its end.
    func peerReceives(_ limit: Int = 65_536) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = recv(peer, &bytes, limit, 0)
        if count == 0 { return nil }
        return Array(bytes.prefix(max(0, count)))
    }

    /// What comes at the other end while the loop stands still; nil at its end.
    func peerAwaits() throws -> [UInt8]? {
        var entry = pollfd(fd: peer, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 60_000) == 1 else { throw LoopError(what: "nothing came") }
        return peerReceives()
    }

    /// - Returns: how many bytes were sent.
    @discardableResult
    func peerSends(_ bytes: ArraySlice<UInt8>) -> Int {
        bytes.withUnsafeBytes {
            max(0, Glibc.send(peer, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)))
        }
    }

    /// The peer sends nothing more.
    func peerFinishes() { shutdown(peer, Int32(SHUT_WR)) }

    func limitSendBuffer(_ size: Int32) {
        var size = size
        setsockopt(transport.descriptor, SOL_SOCKET, SO_SNDBUF, &size, 4)
    }
}

struct LoopError: Error {
    let what: String
}

private let epolls: [ReactorChoice] = [.epoll(sendsTogether: true), .epoll(sendsTogether: false)]

extension ReactorChoice {
    var isEpoll: Bool {
        if case .epoll = self { true } else { false }
    }
}

/// Both backends; io_uring only where it works.
let backends: [ReactorChoice] = {
    switch try? ReactorChoice.make(.ioUring).choice {
    case .uring(isDeferred: true): epolls + [.uring(isDeferred: true), .uring(isDeferred: false)]
    case .uring(isDeferred: false): epolls + [.uring(isDeferred: false)]
    case .epoll, nil: epolls
    }
}()

/// Bytes that show if any of them is missing or has changed places.
func pattern(_ count: Int, seed: Int = 0) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 + seed) &* 2_654_435_761 >> 13) }
}
