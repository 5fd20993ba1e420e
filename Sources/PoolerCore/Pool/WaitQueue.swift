// The clients of a pool that wait for a server, of all workers, in the order in which they came. A
// place is found by its ticket without a search, because tickets are consecutive.
//
// Workers read their clocks once in each turn of their loops, so that waits that began within the same
// moment have no order. Of those a server goes to one of its own worker: that spares the move. To have
// one with the settings that it has spares a query, which is worth a somewhat longer moment.

internal import DequeModule

/// A place in the queue of clients that wait for a server.
public struct Waiter: Equatable, Sendable {
    public let client: ClientID
    public let worker: WorkerID
    /// Tells apart the times that a client waited.
    public let ticket: UInt32
    public let since: Microseconds
    /// The state of its session; only compared.
    public let settings: SettingsID

    public init(
        client: ClientID,
        worker: WorkerID,
        ticket: UInt32,
        since: Microseconds,
        settings: SettingsID = .empty
    ) {
        self.client = client
        self.worker = worker
        self.ticket = ticket
        self.since = since
        self.settings = settings
    }
}

/// Who waits, the longest waiting first.
public struct WaitQueue: Sendable {
    private struct Place {
        let waiter: Waiter
        var isChoosing = false
        var isEmpty = false
    }

    /// The first place is never empty.
    private var places = Deque<Place>()
    /// The ticket of the first place, or of the next one to come.
    private var firstTicket: UInt32 = 1
    /// The number of clients that wait.
    public private(set) var count = 0
    /// How many of them could have a free server, but rather have one with their settings.
    public private(set) var choosingCount = 0
    /// How often the client that waits longest has been passed over.
    private var overtakenCount = 0

    public init() {}

    public var isEmpty: Bool { count == 0 }

    /// The client that waits longest.
    public var first: Waiter? { places.first?.waiter }

    /// Everybody who waits, the longest waiting first.
    public var all: [Waiter] { places.filter { !$0.isEmpty }.map(\.waiter) }

    /// Adds a client at the end.
    ///
    /// - Parameter isChoosing: whether it waits only for a server with its settings, until it settles
    ///   for any.
    /// - Returns: its ticket.
    public mutating func join(
        _ client: ClientID,
        of worker: WorkerID,
        since: Microseconds,
        settings: SettingsID = .empty,
        isChoosing: Bool = false
    ) -> UInt32 {
        let ticket = firstTicket &+ UInt32(truncatingIfNeeded: places.count)
        places.append(
            Place(
                waiter: Waiter(
                    client: client,
                    worker: worker,
                    ticket: ticket,
                    since: since,
                    settings: settings
                ),
                isChoosing: isChoosing
            )
        )
        count += 1
        if isChoosing { choosingCount += 1 }
        return ticket
    }

    /// A client that was choosing takes any server from now on, if it still stands there.
    public mutating func settle(_ client: ClientID, of worker: WorkerID, ticket: UInt32) {
        guard let index = index(of: client, worker, ticket), places[index].isChoosing else {
            return
        }
        places[index].isChoosing = false
        choosingCount -= 1
    }

    /// Adds a client before everybody else.
    ///
    /// - Returns: its ticket.
    public mutating func rejoin(
        _ client: ClientID,
        of worker: WorkerID,
        since: Microseconds
    ) -> UInt32 {
        firstTicket &-= 1
        places.prepend(
            Place(
                waiter: Waiter(client: client, worker: worker, ticket: firstTicket, since: since)
            )
        )
        count += 1
        return firstTicket
    }

    /// Takes the client that waits longest.
    public mutating func next() -> Waiter? {
        guard let first = places.first?.waiter else { return nil }
        empty(0)
        return first
    }

    /// Takes the client that waits longest, or one that has waited as long but for a moment, if a server
    /// of `worker` in the state `settings` suits it better.
    ///
    /// - Parameter insisting: whether to take only one that has these settings, as long as the client
    ///   that waits longest has not been passed over too often.
    public mutating func next(
        near worker: WorkerID,
        in settings: SettingsID,
        insisting: Bool = false
    ) -> Waiter? {
        guard let first = places.first?.waiter else { return nil }
        guard overtakenCount < Self.overtakenLimit else { return next() }
        var best = 0
        var bestFit = Self.fit(first, worker, settings, after: 0)
        for index in 1..<max(1, min(places.count, Self.nearbyDepth)) {
            if bestFit == Self.bestFit { break }
            let waiter = places[index].waiter
            let delay = waiter.since - first.since
            if delay > Self.momentForSettings { break }
            let fit = Self.fit(waiter, worker, settings, after: delay)
            if fit > bestFit, !places[index].isEmpty { (best, bestFit) = (index, fit) }
        }
        if insisting, bestFit < Self.fitOfSettings { return nil }
        if best > 0 { overtakenCount += 1 }
        let waiter = places[best].waiter
        empty(best)
        return waiter
    }

    /// How well a server suits a waiter: settings count for more than the worker.
    private static func fit(
        _ waiter: Waiter,
        _ worker: WorkerID,
        _ settings: SettingsID,
        after delay: Microseconds
    ) -> Int {
        (waiter.settings == settings ? fitOfSettings : 0)
            + (waiter.worker == worker && delay <= momentForWorker ? 1 : 0)
    }

    private static let fitOfSettings = 2
    private static let bestFit = 3
    /// Waits that began closer to one another than this began at the same time, in microseconds.
    private static let momentForWorker: Microseconds = 100
    /// By how much later a client may have come that gets a server before another, in microseconds,
    /// because it has the server's settings.
    ///
    /// Replaying them takes about a tenth of a millisecond.
    private static let momentForSettings: Microseconds = 5_000
    /// How often the client that waits longest can be passed over.
    private static let overtakenLimit = 8
    /// How many places are looked at.
    private static let nearbyDepth = 16

    /// Takes a client out of the queue.
    ///
    /// - Returns: whether it still stood there.
    public mutating func leave(_ client: ClientID, of worker: WorkerID, ticket: UInt32) -> Bool {
        guard let index = index(of: client, worker, ticket) else { return false }
        empty(index)
        return true
    }

    /// Where a client stands.
    private func index(of client: ClientID, _ worker: WorkerID, _ ticket: UInt32) -> Int? {
        let index = Int(ticket &- firstTicket)
        guard index < places.count, !places[index].isEmpty,
            places[index].waiter.client == client, places[index].waiter.worker == worker
        else { return nil }
        return index
    }

    private mutating func empty(_ index: Int) {
        places[index].isEmpty = true
        count -= 1
        if places[index].isChoosing { choosingCount -= 1 }
        while let first = places.first, first.isEmpty {
            places.removeFirst()
            firstTicket &+= 1
            overtakenCount = 0
        }
    }
}
