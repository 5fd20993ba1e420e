// Clients, servers and a listener without sockets, in any order of events: whatever overtakes whatever,
// each client gets each notification of its channels once, and in order.

import PoolerCore
import PostgresWire
import TestSupport
import Testing

/// A session as PostgreSQL has it: it reads what is committed at any time, but before it says that it is
/// ready it has read everything.
private struct ModelSession {
    var channels: [ByteString] = []
    /// How much of the log it has read.
    private var position = 0
    private var isRegistered = false

    mutating func listen(_ channel: ByteString, _ log: [NotificationResponse]) {
        if !isRegistered { position = log.count }
        isRegistered = true
        if !channels.contains(channel) { channels.append(channel) }
    }

    mutating func unlisten(_ channel: ByteString?) {
        channels.removeAll { channel == nil || $0 == channel }
        if channels.isEmpty { isRegistered = false }
    }

    /// Reads at most so many entries, and gives those of its channels.
    mutating func read(
        _ log: [NotificationResponse],
        _ limit: Int = .max
    ) -> [NotificationResponse] {
        guard isRegistered else { return [] }
        let end = min(log.count, limit == .max ? .max : position + limit)
        defer { position = end }
        return log[position..<end].filter { channels.contains($0.channel) }
    }
}

private enum ListenerMessage {
    case notification(NotificationResponse)
    case ready
}

private enum HubMail {
    case ask([ByteString], ticket: UInt64)
    case remove([ByteString])
    case flush(ticket: UInt64)
}

private enum ClientMail {
    case granted(UInt64)
    case flushed(UInt64)
    case removed([ByteString])
    case notified(NotificationResponse)
}

private struct ModelClient {
    let subscriber: Subscriber
    var subscriptions = ClientSubscriptions()
    /// While a transaction, or what follows on it, is under way.
    var server: ModelSession?
    var hasAll = false
    var inbox: [ClientMail] = []
    var delivered: [NotificationResponse] = []
    /// What it would have on a session of its own, and since which length of the log.
    var own: [ByteString: Int] = [:]
    /// Entries of the log that it has to get, and those that it may get.
    var owed: [NotificationResponse] = []
    var optional: Set<NotificationResponse> = []
    var flushTicket: UInt64 = 0
    var awaited: NotificationResponse?
}

private struct Simulation {
    var random: SplitMix
    var log: [NotificationResponse] = []
    var hub = SubscriptionHub(marker: "m")
    var listener = ModelSession()
    var rounds: [ByteString] = []
    var stream: [ListenerMessage] = []
    var hubMail: [(Int, HubMail)] = []
    var clients: [ModelClient]
    var lastTicket: UInt64 = 0
    var findings: [String] = []
    var handOverCount = 0

    static let channels: [ByteString] = ["a", "b", "c"]

    init(seed: Int) {
        random = SplitMix(seed: seed)
        clients = (0..<4).map { index in
            ModelClient(
                subscriber: Subscriber(
                    client: ClientID(index: UInt32(index), generation: 1),
                    worker: WorkerID(index: UInt16(index % 2))
                )
            )
        }
        hub.opened()
        carryOut(hub.connected())
    }

    mutating func step(mayBegin: Bool = true) {
        let index = random.number(0...(clients.count - 1))
        switch random.number(0...7) {
        case 0 where mayBegin: commitNotification()
        case 1:
            for entry in listener.read(log, random.number(0...2)) {
                stream.append(.notification(entry))
            }
        case 2: executeRound()
        case 3: followListener()
        case 4: deliverHubMail()
        case 5, 6: deliverClientMail(index)
        default: if mayBegin, clients[index].server == nil { runTransaction(index) }
        }
    }

    var isQuiet: Bool {
        rounds.isEmpty && stream.isEmpty && hubMail.isEmpty
            && clients.allSatisfy { $0.inbox.isEmpty && $0.server == nil }
    }

    // MARK: PostgreSQL

    @discardableResult
    private mutating func commit(
        _ channel: ByteString,
        _ payload: ByteString
    ) -> NotificationResponse {
        let entry = NotificationResponse(processID: 0, channel: channel, payload: payload)
        for index in clients.indices where clients[index].own[channel] != nil {
            clients[index].owed.append(entry)
        }
        log.append(entry)
        return entry
    }

    private mutating func commitNotification() {
        let channel = Self.channels[random.number(0...2)]
        commit(channel, ByteString("\(log.count)"))
    }

    private mutating func executeRound() {
        guard !rounds.isEmpty else { return }
        for statement in rounds.removeFirst().text.split(separator: ";") {
            let words = statement.split(separator: " ")
            guard words.count == 2 else { continue }
            let channel = ByteString(String(words[1].dropFirst().dropLast()))
            if words[0] == "LISTEN" {
                listener.listen(channel, log)
            } else {
                listener.unlisten(channel)
            }
        }
        for entry in listener.read(log) { stream.append(.notification(entry)) }
        stream.append(.ready)
    }

    // MARK: The hub

    private mutating func followListener() {
        guard !stream.isEmpty else { return }
        switch stream.removeFirst() {
        case .ready: carryOut(hub.answered(hasFailed: false))
        case .notification(let entry):
            for (worker, audience) in hub.notified(entry) {
                for index in clients.indices
                where clients[index].subscriber.worker == worker
                    && audience.contains(clients[index].subscriber.client)
                {
                    clients[index].inbox.append(.notified(entry))
                }
            }
        }
    }

    private mutating func deliverHubMail() {
        guard !hubMail.isEmpty else { return }
        let (index, mail) = hubMail.removeFirst()
        let subscriber = clients[index].subscriber
        switch mail {
        case .ask(let channels, let ticket):
            carryOut(hub.ask(subscriber, for: channels, ticket: ticket, now: 0))
        case .remove(let channels):
            carryOut(hub.remove(channels, of: subscriber, now: 0))
            post(.removed(channels), to: subscriber)
        case .flush(let ticket): carryOut(hub.flush(subscriber, ticket: ticket))
        }
    }

    private mutating func carryOut(_ orders: [SubscriptionOrder]) {
        for order in orders {
            switch order {
            case .send(let text): rounds.append(text)
            case .granted(let subscriber, let ticket): post(.granted(ticket), to: subscriber)
            case .flushed(let subscriber, let ticket): post(.flushed(ticket), to: subscriber)
            case .close, .refused, .restored: findings.append("\(order)")
            }
        }
    }

    private mutating func post(_ mail: ClientMail, to subscriber: Subscriber) {
        guard let index = clients.firstIndex(where: { $0.subscriber == subscriber }) else { return }
        clients[index].inbox.append(mail)
    }

    // MARK: Clients

    private mutating func runTransaction(_ index: Int) {
        var server = ModelSession()
        let held = clients[index].subscriptions.channels
        clients[index].hasAll = false
        let channel = Self.channels[random.number(0...2)]
        switch random.number(0...5) {
        case 0, 1:
            server.listen(channel, log)
            if clients[index].own[channel] == nil { clients[index].own[channel] = log.count }
        case 2, 3:
            clients[index].hasAll = true
            for channel in held { server.listen(channel, log) }
            pass(server.read(log), to: index)
            let isAll = random.oneIn(3)
            server.unlisten(isAll ? nil : channel)
            for channel in isAll ? Self.channels : [channel] { giveUp(channel, index) }
        case 4:
            let entry = commit(channel, ByteString("\(log.count)"))
            guard clients[index].subscriptions.holds(channel) else { return }
            clients[index].awaited = entry
            lastTicket += 1
            clients[index].flushTicket = lastTicket
            hubMail.append((index, .flush(ticket: lastTicket)))
            clients[index].server = server
            return
        default:
            return
        }
        pass(server.read(log), to: index)
        clients[index].server = server
        settle(index)
    }

    /// What has not come by now may be dropped.
    private mutating func giveUp(_ channel: ByteString, _ index: Int) {
        guard clients[index].own.removeValue(forKey: channel) != nil else { return }
        let late = clients[index].owed.filter {
            $0.channel == channel && !clients[index].delivered.contains($0)
        }
        clients[index].optional.formUnion(late)
    }

    private mutating func settle(_ index: Int) {
        guard let server = clients[index].server else { return }
        let change = clients[index].subscriptions.change(
            byNames: server.channels,
            isComplete: clients[index].hasAll
        )
        if !change.removed.isEmpty {
            clients[index].subscriptions.remove(change.removed)
            hubMail.append((index, .remove(change.removed)))
        }
        guard !change.added.isEmpty else { return release(index) }
        lastTicket += 1
        clients[index].subscriptions.begin(
            ClientSubscriptions.HandOver(ticket: lastTicket, channels: change.added)
        )
        hubMail.append((index, .ask(change.added, ticket: lastTicket)))
    }

    private mutating func release(_ index: Int) {
        clients[index].server = nil
        deliverKept(index)
    }

    private mutating func deliverKept(_ index: Int) {
        let bytes = clients[index].subscriptions.takeKept()
        var offset = 0
        while let header = try? MessageHeader(peeking: bytes.span.bytes, at: offset, limit: 1 << 20)
        {
            let body = Array(bytes[offset + 5..<offset + header.messageByteCount])
            if let entry = try? NotificationResponse(decoding: body.span.bytes) {
                clients[index].delivered.append(entry)
            }
            offset += header.messageByteCount
        }
    }

    /// The server's notifications come to the client, as far as they are its to give.
    private mutating func pass(_ entries: [NotificationResponse], to index: Int) {
        for entry in entries {
            if entry.channel == "m" {
                if let handOver = clients[index].subscriptions.handOver,
                    entry.payload == ByteString("\(handOver.ticket)")
                {
                    clients[index].subscriptions.markerCame()
                    handOverCount += 1
                }
            } else if !clients[index].subscriptions.holds(entry.channel) {
                clients[index].delivered.append(entry)
            }
        }
    }

    private mutating func deliverClientMail(_ index: Int) {
        guard !clients[index].inbox.isEmpty else { return }
        switch clients[index].inbox.removeFirst() {
        case .granted(let ticket):
            clients[index].server?.listen("m", log)
            log.append(
                NotificationResponse(processID: 0, channel: "m", payload: ByteString("\(ticket)"))
            )
            pass(clients[index].server?.read(log) ?? [], to: index)
            if clients[index].subscriptions.handOver != nil { findings.append("no marker came") }
            release(index)
        case .flushed:
            release(index)
            if let awaited = clients[index].awaited, !clients[index].delivered.contains(awaited) {
                findings.append("client \(index) was ready before \(awaited)")
            }
        case .removed(let channels): clients[index].subscriptions.listenerRemoved(channels)
        case .notified(let entry):
            _ = clients[index].subscriptions.keep(entry, limit: .max)
            if clients[index].server == nil { deliverKept(index) }
        }
    }

    // MARK: The end

    mutating func finish() {
        for _ in 0..<100_000 where !isQuiet || hasUnread { step(mayBegin: false) }
        for (index, client) in clients.enumerated() {
            for channel in Self.channels {
                let delivered = client.delivered.filter { $0.channel == channel }
                let owed = client.owed.filter { $0.channel == channel }
                let expected = owed.filter {
                    !client.optional.contains($0) || delivered.contains($0)
                }
                if delivered != expected {
                    findings.append(
                        "client \(index), \(channel): \(delivered.map(\.payload)), "
                            + "not \(expected.map(\.payload))"
                    )
                }
            }
        }
    }

    private var hasUnread: Bool {
        var copy = listener
        return !copy.read(log).isEmpty
    }
}

@Suite struct SubscriptionSimulationTests {
    @Test func nothingIsLostAndNothingComesTwice() {
        var handOverCount = 0
        for seed in 1...60 {
            var simulation = Simulation(seed: seed)
            for _ in 0..<300 { simulation.step() }
            simulation.finish()
            handOverCount += simulation.handOverCount
            #expect(simulation.findings.isEmpty, "seed \(seed)")
        }
        #expect(handOverCount > 300)
    }
}
