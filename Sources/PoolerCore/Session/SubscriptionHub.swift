// Who listens to what in one pool, and what the pool's listener has to do for it: one server
// connection that listens to every channel of every client. It knows connections by their ids only.
//
// Queries to the listener go out one at a time, in *rounds*: each round has all LISTEN and UNLISTEN that
// have come to be needed since the last one. The answer to a round also says that everything has been
// delivered that was committed before the round was sent, because PostgreSQL sends a session what it
// has for it before it says ReadyForQuery; a round without statements is asked for that alone.
//
// A client that has listened on a server of its own (it *asks* for a place) keeps that server until the
// listener listens too (the place is *granted*). Then the server notifies the hub's marker channel. The
// order of notifications is the same for all sessions: what is behind the marker comes to the client
// from the listener (the client is *served*), what is before it from the server.

public import PostgresWire

/// A client, wherever it is.
public struct Subscriber: Hashable, BitwiseCopyable, Sendable {
    public let client: ClientID
    public let worker: WorkerID

    public init(client: ClientID, worker: WorkerID) {
        self.client = client
        self.worker = worker
    }
}

/// What a hub wants to have done.
public enum SubscriptionOrder: Equatable, Sendable {
    /// Send this Query to the listener.
    case send(ByteString)
    /// Close the listener: nobody needs it, or it cannot do its work.
    case close
    /// The listener listens to what this subscriber asked for.
    case granted(Subscriber, ticket: UInt64)
    /// It does not, and will not.
    case refused(Subscriber, ticket: UInt64)
    /// Everything has been delivered that was committed when this subscriber asked.
    case flushed(Subscriber, ticket: UInt64)
    /// The listener listens again, and these may have missed something.
    case restored([Subscriber])
}

/// The clients by worker.
public typealias Audience = [WorkerID: Set<ClientID>]

/// The subscriptions of a pool.
public struct SubscriptionHub: Sendable {
    /// What the listener is doing.
    public enum Phase: Equatable, Sendable {
        /// There is none.
        case closed
        /// It is connecting or logging in.
        case opening
        case listening
    }

    private struct Request {
        let subscriber: Subscriber
        var channels: [ByteString]
        let since: Microseconds
        var isGranted = false
    }

    private struct Entry {
        var served: Set<ByteString> = []
        /// One is asked for at a time, but markers of earlier ones may still be on their way.
        var tickets: [UInt64] = []
    }

    private struct Channel {
        var audience: Audience = [:]
        /// How many are served or ask for it.
        var holderCount = 0
    }

    private struct Round {
        var listens: [ByteString] = []
        var unlistens: [ByteString] = []
        var flushes: [Flush] = []
        var isFirst = false
    }

    private struct Flush {
        let subscriber: Subscriber
        let ticket: UInt64
    }

    /// The channel of the markers, of which nobody else knows.
    public let marker: ByteString
    public private(set) var phase = Phase.closed
    private var entries: [Subscriber: Entry] = [:]
    private var channels: [ByteString: Channel] = [:]
    private var requests: [UInt64: Request] = [:]
    /// The requests that have not been answered, in order.
    private var asking: [UInt64] = []
    /// What the listener is known to listen to, without the marker.
    private var listened: Set<ByteString> = []
    /// Channels for which there may be something to do.
    private var changed: Set<ByteString> = []
    private var round: Round?
    private var flushes: [Flush] = []
    /// Who may have missed something since the listener was lost.
    private var missed: Set<Subscriber> = []
    private var unusedSince: Microseconds = 0

    /// The most statements of a round.
    private static let roundLimit = 1_000
    /// How long a client waits for a listener before it keeps its server instead.
    private static let patience: Microseconds = .seconds(3)

    public init(marker: ByteString) {
        self.marker = marker
    }

    /// The number of clients.
    public var subscriberCount: Int { entries.count }

    /// The number of channels.
    public var channelCount: Int { channels.count }

    /// Whether there should be a listener and is none.
    public var needsListener: Bool { phase == .closed && !channels.isEmpty }

    /// Whether an answer of the listener's is awaited.
    public var awaitsAnswer: Bool { round != nil }

    // MARK: What clients want

    /// A client wants to be served these channels, to which its server listens.
    public mutating func ask(
        _ subscriber: Subscriber,
        for wanted: [ByteString],
        ticket: UInt64,
        now: Microseconds
    ) -> [SubscriptionOrder] {
        entries[subscriber, default: Entry()].tickets.append(ticket)
        requests[ticket] = Request(subscriber: subscriber, channels: wanted, since: now)
        for channel in wanted { hold(channel) }
        asking.append(ticket)
        return grants() + nextRound()
    }

    /// A client's session listens to these no more.
    public mutating func remove(
        _ removed: [ByteString],
        of subscriber: Subscriber,
        now: Microseconds
    ) -> [SubscriptionOrder] {
        guard let entry = entries[subscriber] else { return [] }
        for channel in removed {
            if entry.served.contains(channel) { stopServing(channel, subscriber) }
            for ticket in entry.tickets {
                guard let place = requests[ticket]?.channels.firstIndex(of: channel) else {
                    continue
                }
                requests[ticket]?.channels.remove(at: place)
                drop(channel)
            }
        }
        forgetIfEmpty(subscriber)
        noteUse(now)
        return nextRound()
    }

    /// A client does not want any more what it last asked for.
    public mutating func giveUp(
        _ ticket: UInt64,
        of subscriber: Subscriber,
        now: Microseconds
    ) -> [SubscriptionOrder] {
        guard requests[ticket]?.subscriber == subscriber else { return [] }
        forget(ticket)
        forgetIfEmpty(subscriber)
        noteUse(now)
        return nextRound()
    }

    /// A client has gone.
    public mutating func leave(_ subscriber: Subscriber, now: Microseconds) -> [SubscriptionOrder] {
        guard let entry = entries[subscriber] else { return [] }
        for ticket in entry.tickets { forget(ticket) }
        for channel in entry.served { stopServing(channel, subscriber) }
        entries[subscriber] = nil
        missed.remove(subscriber)
        noteUse(now)
        return nextRound()
    }

    /// A client waits until everything that is committed by now has been delivered.
    public mutating func flush(
        _ subscriber: Subscriber,
        ticket: UInt64
    ) -> [SubscriptionOrder] {
        guard phase == .listening else { return [.flushed(subscriber, ticket: ticket)] }
        flushes.append(Flush(subscriber: subscriber, ticket: ticket))
        return nextRound()
    }

    /// Finds out whether a listener that has said nothing for long is still there.
    public mutating func check() -> [SubscriptionOrder] {
        guard phase == .listening, round == nil else { return [] }
        round = Round()
        return [.send("")]
    }

    // MARK: The listener

    /// A listener is being opened.
    public mutating func opened() {
        phase = .opening
    }

    /// There can be no listener now: clients keep their servers.
    public mutating func couldNotOpen(now: Microseconds) -> [SubscriptionOrder] {
        phase = .closed
        return refuseAsking()
    }

    /// The listener has logged in.
    public mutating func connected() -> [SubscriptionOrder] {
        phase = .listening
        listened = []
        changed = Set(channels.keys)
        round = nil
        return nextRound(isFirst: true)
    }

    /// The listener has answered a round.
    ///
    /// - Parameter hasFailed: whether with an error; then nothing of the round has happened.
    public mutating func answered(hasFailed: Bool) -> [SubscriptionOrder] {
        guard let round = exchange(&round, with: nil) else { return [] }
        var orders = round.flushes.map {
            SubscriptionOrder.flushed($0.subscriber, ticket: $0.ticket)
        }
        if hasFailed {
            let failed = Set(round.listens)
            orders += refuseAsking { !failed.isDisjoint(with: $0) }
            // If that did not free it of what it cannot do, it has to begin anew.
            let isStuck = round.listens.contains { channels[$0] != nil }
            if round.isFirst || round.listens.isEmpty || isStuck { return orders + [.close] }
        } else {
            listened.formUnion(round.listens)
            orders += grants()
            if !missed.isEmpty && channels.keys.allSatisfy({ listened.contains($0) }) {
                orders.append(.restored(Array(exchange(&missed, with: []))))
            }
        }
        return orders + nextRound()
    }

    /// A notification has come to the listener.
    ///
    /// - Returns: who gets it.
    public mutating func notified(_ notification: NotificationResponse) -> Audience {
        if notification.channel == marker {
            markerCame(notification.payload)
            return [:]
        }
        return channels[notification.channel]?.audience ?? [:]
    }

    /// The connection of the listener has ended.
    ///
    /// Who was about to be served is served by the next one, because it may be that its server does not
    /// listen any more.
    public mutating func lost() -> [SubscriptionOrder] {
        let wasListening = phase == .listening
        phase = .closed
        listened = []
        changed = []
        let all = (round?.flushes ?? []) + flushes
        round = nil
        flushes = []
        for (ticket, request) in requests where request.isGranted { serve(ticket) }
        if wasListening {
            for (subscriber, entry) in entries where !entry.served.isEmpty {
                missed.insert(subscriber)
            }
        }
        return all.map { .flushed($0.subscriber, ticket: $0.ticket) }
    }

    /// Everybody who has to do without a listener now.
    public var servedSubscribers: [Subscriber] {
        entries.filter { !$0.value.served.isEmpty }.map(\.key)
    }

    /// Time has passed.
    ///
    /// - Parameter linger: how long a listener is kept that nobody needs.
    public mutating func timePassed(
        now: Microseconds,
        linger: Microseconds
    ) -> [SubscriptionOrder] {
        var orders = refuseAsking(since: now - Self.patience)
        if phase == .listening, channels.isEmpty, round == nil, now - unusedSince >= linger {
            orders.append(.close)
        }
        return orders
    }

    // MARK: Rounds

    private mutating func nextRound(isFirst: Bool = false) -> [SubscriptionOrder] {
        guard phase == .listening, round == nil else { return [] }
        var next = Round(isFirst: isFirst)
        var text: [UInt8] = []
        if isFirst {
            text += Array(Self.firstWords.utf8)
            text += Array("LISTEN ".utf8) + InternalSQL.quotedIdentifier(marker).bytes
        }
        for channel in changed.sorted().prefix(Self.roundLimit) {
            changed.remove(channel)
            let isWanted = channels[channel] != nil
            guard isWanted != listened.contains(channel) else { continue }
            if !text.isEmpty { text.append(UInt8(ascii: ";")) }
            text += Array((isWanted ? "LISTEN " : "UNLISTEN ").utf8)
            text += InternalSQL.quotedIdentifier(channel).bytes
            if isWanted {
                next.listens.append(channel)
            } else {
                next.unlistens.append(channel)
                listened.remove(channel)
            }
        }
        next.flushes = exchange(&flushes, with: [])
        guard !text.isEmpty || !next.flushes.isEmpty else { return [] }
        round = next
        return [.send(ByteString(text))]
    }

    /// No timeout ends a session that only listens.
    private static let firstWords = """
        SELECT pg_catalog.set_config(name,'0',false) FROM pg_catalog.pg_settings WHERE name \
        OPERATOR(pg_catalog.=) ANY (ARRAY['statement_timeout','idle_session_timeout']);
        """

    private mutating func grants() -> [SubscriptionOrder] {
        var orders: [SubscriptionOrder] = []
        for ticket in asking {
            guard phase == .listening, let request = requests[ticket],
                request.channels.allSatisfy({ listened.contains($0) })
            else { continue }
            requests[ticket]?.isGranted = true
            orders.append(.granted(request.subscriber, ticket: ticket))
        }
        asking.removeAll { requests[$0]?.isGranted != false }
        return orders
    }

    private mutating func refuseAsking(
        since limit: Microseconds = .max,
        _ isMeant: ([ByteString]) -> Bool = { _ in true }
    ) -> [SubscriptionOrder] {
        var orders: [SubscriptionOrder] = []
        for ticket in asking {
            guard let request = requests[ticket], request.since <= limit, isMeant(request.channels)
            else { continue }
            forget(ticket)
            forgetIfEmpty(request.subscriber)
            orders.append(.refused(request.subscriber, ticket: ticket))
        }
        return orders
    }

    // MARK: Books

    private mutating func hold(_ channel: ByteString) {
        channels[channel, default: Channel()].holderCount += 1
        if !listened.contains(channel) { changed.insert(channel) }
    }

    private mutating func drop(_ channel: ByteString) {
        channels[channel]?.holderCount -= 1
        guard channels[channel]?.holderCount == 0 else { return }
        channels[channel] = nil
        changed.insert(channel)
    }

    private mutating func stopServing(_ channel: ByteString, _ subscriber: Subscriber) {
        entries[subscriber]?.served.remove(channel)
        channels[channel]?.audience[subscriber.worker]?.remove(subscriber.client)
        if channels[channel]?.audience[subscriber.worker]?.isEmpty == true {
            channels[channel]?.audience[subscriber.worker] = nil
        }
        drop(channel)
    }

    private mutating func forget(_ ticket: UInt64) {
        guard let request = requests.removeValue(forKey: ticket) else { return }
        entries[request.subscriber]?.tickets.removeAll { $0 == ticket }
        asking.removeAll { $0 == ticket }
        for channel in request.channels { drop(channel) }
    }

    private mutating func markerCame(_ payload: ByteString) {
        guard let ticket = UInt64(payload.text), requests[ticket]?.isGranted == true else { return }
        serve(ticket)
    }

    /// A client that has been granted a place has nothing to get from a server of its own: it is
    /// served from now on.
    public mutating func serveAtOnce(_ ticket: UInt64) {
        if requests[ticket]?.isGranted == true { serve(ticket) }
    }

    private mutating func serve(_ ticket: UInt64) {
        guard let request = requests.removeValue(forKey: ticket) else { return }
        let subscriber = request.subscriber
        entries[subscriber]?.tickets.removeAll { $0 == ticket }
        for channel in request.channels {
            if entries[subscriber]?.served.insert(channel).inserted == false {
                drop(channel)
                continue
            }
            channels[channel]?.audience[subscriber.worker, default: []].insert(subscriber.client)
        }
        forgetIfEmpty(subscriber)
    }

    private mutating func forgetIfEmpty(_ subscriber: Subscriber) {
        guard let entry = entries[subscriber], entry.served.isEmpty, entry.tickets.isEmpty else {
            return
        }
        entries[subscriber] = nil
        missed.remove(subscriber)
    }

    private mutating func noteUse(_ now: Microseconds) {
        if channels.isEmpty { unusedSince = now }
    }
}
