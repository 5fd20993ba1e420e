// The cancel requests for one peer: so many connections at once carry one each, and the others wait.
// Opening connections, and what a request is, are the caller's.

internal import DequeModule

/// What is under way to a peer.
public struct PeerPool<Request: Sendable>: Sendable {
    private var waiting = Deque<(request: Request, deadline: Microseconds)>()
    /// The number of connections, each with a request.
    public private(set) var connectionCount = 0

    public init() {}

    /// The number of requests that wait for a connection.
    public var waitingCount: Int { waiting.count }

    public var isEmpty: Bool { waiting.isEmpty && connectionCount == 0 }

    /// Adds a request behind all others.
    ///
    /// - Parameter deadline: never before that of one that was added earlier.
    public mutating func add(_ request: Request, deadline: Microseconds) {
        waiting.append((request, deadline))
    }

    /// Takes the request that gets a connection now, if there is one and a connection more is within
    /// the limit.
    ///
    /// - Parameter limit: 0 means any number.
    public mutating func next(limit: Int) -> (request: Request, deadline: Microseconds)? {
        guard limit == 0 || connectionCount < limit, let next = waiting.popFirst() else {
            return nil
        }
        connectionCount += 1
        return next
    }

    /// A connection has gone, and its request with it.
    public mutating func connectionEnded() {
        connectionCount -= 1
    }

    /// Takes those that have waited for too long.
    public mutating func takeOverdue(now: Microseconds) -> [Request] {
        var overdue: [Request] = []
        while let first = waiting.first, first.deadline <= now {
            overdue.append(first.request)
            waiting.removeFirst()
        }
        return overdue
    }

    /// Takes all that wait, because the peer cannot be reached.
    public mutating func takeAll() -> [Request] {
        let all = waiting.map(\.request)
        waiting.removeAll()
        return all
    }
}
