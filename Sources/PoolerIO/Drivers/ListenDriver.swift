// Clients that listen. A LISTEN runs on the client's server, as it was sent; when the transaction is
// over, the server tells what it listens to, and that is handed over to the pool's listener, from which
// the client gets its notifications from then on.
//
//     client's server:  LISTEN a ... COMMIT | names? |            | LISTEN m; NOTIFY m | UNLISTEN *
//     listener:                                      | LISTEN a   |        m           |
//     a's notifications come from:          the server ...................m  the listener ........
//
// Where a client has channels with the listener, a server that is to run something about channels
// listens to them first, and is asked afterwards.

internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// A client of this worker, as listeners know it.
    private func subscriber(_ slot: UInt32) -> Subscriber {
        Subscriber(client: clients[slot].id, worker: id)
    }

    /// The process number that a client of this worker was told at login.
    func processNumber(of slot: UInt32) -> Int32 {
        let foreign = clients[slot].foreignProcess
        if foreign != 0 { return foreign }
        return cancelKeys.processID(slot: slot, worker: id)
    }

    /// Listens to what a client has listened to in another process.
    ///
    /// What has come between is lost, of which the client is told.
    mutating func adoptChannels(_ channels: [ByteString], of slot: UInt32) {
        let ticket = shared.takeTicket()
        clients[slot].subscriptions = subscriptions.nextIdentity.slot
        subscriptions.insert(ClientSubscriptions(adopting: channels, ticket: ticket))
        askForAdopted(slot, ticket)
    }

    private func askForAdopted(_ slot: UInt32, _ ticket: UInt64) {
        guard let pool = clients[slot].pool else { return }
        let channels = subscriptions[clients[slot].subscriptions].channels
        tellListener(.ask(subscriber(slot), channels, ticket: ticket), of: pool)
    }

    /// The listener has answered for a client that has come from another process.
    private mutating func adoptedChannelsAnswered(_ slot: UInt32, isGranted: Bool) {
        let entry = clients[slot].subscriptions
        let ticket = subscriptions[entry].adoptionTicket
        guard isGranted, let pool = clients[slot].pool else {
            // There is no server to fall back on: it tries until it can.
            subscriptions[entry].adoptionTicket = shared.takeTicket()
            return askForAdopted(slot, subscriptions[entry].adoptionTicket)
        }
        subscriptions[entry].adoptionTicket = 0
        subscriptions[entry].owesNotice = true
        tellListener(.serveAtOnce(ticket: ticket), of: pool)
        deliverNotifications(to: slot)
    }

    // MARK: Before a statement

    /// Sees to what a client's message may do to its channels, before it is sent to its server.
    ///
    /// - Returns: false when it has to wait, for an answer of the listener or of the server.
    mutating func prepareChannels(
        for request: ClientRequest,
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Bool {
        let server = clients[slot].server
        guard pools[servers[server].pool].tracksSessions else { return true }
        let effects = effects(of: request, header, at: offset, of: bytes, from: slot)
        if !effects.isDisjoint(with: .mayNotify), !expectNotifications(from: server, by: slot) {
            return false
        }
        let end = offset + header.messageByteCount
        if lacksChannels(server, of: slot),
            !effects.isDisjoint(with: .needsChannels)
                || beginsBatch(request, on: server)
                    && batchNeedsChannels(behind: end, of: bytes, from: slot)
        {
            guard !servers[server].machine.owesClient else {
                // Only between transactions. Within a batch nothing can be awaited.
                guard servers[server].machine.endsWithReady else { return true }
                clients[slot].isHeldBack = true
                return false
            }
            ensureChannels(on: server, of: slot, among: bytes)
        }
        // The server has to be asked what became of them.
        if !effects.isDisjoint(with: .dropsChannels) { servers[server].doubts.add(.listen) }
        return true
    }

    /// Whether a message is the first of those up to the next Sync.
    private func beginsBatch(_ request: ClientRequest, on server: UInt32) -> Bool {
        switch request {
        case .extended, .named:
            !servers[server].machine.owesClient || servers[server].machine.endsWithReady
        case .query, .sync, .flush, .execute, .copyData, .copyEnd, .terminate: false
        }
    }

    /// Whether what stands behind the first message of a batch needs the client's channels.
    ///
    /// Once the batch has begun it is too late. What has not arrived may need them.
    private func batchNeedsChannels(
        behind start: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Bool {
        var offset = start
        while let header = try? MessageHeader(peeking: bytes, at: offset, limit: Int(Int32.max)) {
            let request: ClientRequest? =
                switch FrontendMessageType(rawValue: header.typeByte) {
                case .parse: .extended(.parse)
                case .bind: .named(.bind)
                case .query, .functionCall: .query
                case .sync: .sync
                default: nil
                }
            if let request {
                let effects = effects(of: request, header, at: offset, of: bytes, from: slot)
                if !effects.isDisjoint(with: .needsChannels) { return true }
                if request == .sync { return false }
            }
            offset += header.messageByteCount
        }
        return true
    }

    private func effects(
        of request: ClientRequest,
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> SessionEffects {
        let start = offset + MessageHeader.byteCount
        let end = offset + header.messageByteCount
        guard end <= bytes.byteCount else { return [] }
        let body = bytes.extracting(start..<end)
        switch request {
        case .query:
            guard FrontendMessageType(rawValue: header.typeByte) == .query else { return .opaque }
            return effects(ofText: body, from: slot)
        case .extended(.parse), .named(.parse):
            guard let nameEnd = body.indexOfZero(from: 0) else { return [] }
            return effects(ofText: body.extracting(nameEnd + 1..<body.byteCount), from: slot)
        case .extended(.bind): return clients[slot].unnamedEffects
        case .named(.bind):
            let names = clients[slot].names
            guard names != noSlot, let portalEnd = body.indexOfZero(from: 0),
                let nameEnd = body.indexOfZero(from: portalEnd + 1),
                let entry = statementNames[names].entry(
                    named: body.extracting(portalEnd + 1..<nameEnd)
                )
            else { return clients[slot].unnamedEffects }
            return statementNames[names].effects(of: entry)
        case .sync, .execute, .extended, .named, .copyData, .copyEnd, .flush, .terminate: return []
        }
    }

    private func effects(ofText text: RawSpan, from slot: UInt32) -> SessionEffects {
        guard let end = text.indexOfZero(from: 0) else { return [] }
        return StatementClassifier.effects(
            of: text.extracting(0..<end),
            rules: clients[slot].scanRules
        )
    }

    /// The client may send notifications now, and will recognise them as its own.
    ///
    /// Those of another client that has had the server before must have come by then.
    ///
    /// - Returns: false when that has to be awaited.
    private mutating func expectNotifications(from server: UInt32, by slot: UInt32) -> Bool {
        let entry = clients[slot].subscriptions
        guard subscriptions[entry].listens, let process = servers[server].cancelKey?.processID,
            subscriptions[entry].notifyingProcess != process
        else { return true }
        if !servers[server].isNotifierFlushed, servers[server].notifier != clients[slot].number {
            // What was put in front of the client's messages goes first.
            guard servers[server].task == .none else { return true }
            awaitFlush(server)
            return false
        }
        subscriptions[entry].notifyingProcess = process
        noteNotifier(server)
        return true
    }

    /// Notes that the client of a server may notify.
    mutating func noteNotifier(_ server: UInt32) {
        let slot = servers[server].client
        servers[server].isNotifierFlushed = false
        guard servers[server].notifier != clients[slot].number,
            let process = servers[server].cancelKey?.processID
        else { return }
        servers[server].notifier = clients[slot].number
        shared.notifiers.note(processNumber(of: slot), on: process, at: servers[server].endpoint)
    }

    private func lacksChannels(_ server: UInt32, of slot: UInt32) -> Bool {
        !servers[server].hasAllChannels
            && !subscriptions[clients[slot].subscriptions].channels.isEmpty
    }

    /// Has a server listen to all that its client listens to, so that what the client says of its
    /// channels next means what it would mean on a connection of its own.
    private mutating func ensureChannels(
        on server: UInt32,
        of slot: UInt32,
        among bytes: RawSpan
    ) {
        guard servers[server].machine.transactionStatus == .idle else { return }
        let channels = subscriptions[clients[slot].subscriptions].channels
        servers[server].hasChannels = true
        servers[server].hasAllChannels = true
        toServer.insert(internalQuery(InternalSQL.listen(channels), to: server), among: bytes)
    }

    // MARK: After a transaction

    /// Hands over to the listener what a server listens to on its client's account.
    ///
    /// - Parameter names: what the server has said that it listens to.
    /// - Returns: whether the server is still needed for that.
    mutating func handOverChannels(_ server: UInt32, _ names: [ByteString]) -> Bool {
        let slot = servers[server].client
        let isComplete = servers[server].hasAllChannels
        servers[server].hasChannels = !names.isEmpty
        if names.isEmpty { servers[server].hasAllChannels = false }
        let names = names.filter { $0 != shared.markerChannel }
        var change = ClientSubscriptions.Change(added: names)
        if clients[slot].subscriptions != noSlot {
            change = subscriptions[clients[slot].subscriptions].change(
                byNames: names,
                isComplete: isComplete
            )
            removeChannels(change.removed, of: slot)
        }
        guard !change.added.isEmpty else { return false }
        guard canHandOver(change.added, of: slot) else {
            setPins(server, servers[server].pins.union(.listen))
            return false
        }
        if clients[slot].subscriptions == noSlot {
            clients[slot].subscriptions = subscriptions.nextIdentity.slot
            subscriptions.insert(ClientSubscriptions())
        }
        let ticket = shared.takeTicket()
        subscriptions[clients[slot].subscriptions].begin(
            ClientSubscriptions.HandOver(ticket: ticket, channels: change.added)
        )
        suspend(server)
        tellListener(
            .ask(subscriber(slot), change.added, ticket: ticket),
            of: servers[server].pool
        )
        return true
    }

    /// Whether a client can get these channels from the listener: what that gets is in the encoding that
    /// sessions begin with.
    private func canHandOver(_ added: [ByteString], of slot: UInt32) -> Bool {
        let entry = clients[slot].subscriptions
        let count = entry == noSlot ? 0 : subscriptions[entry].channels.count
        guard count + added.count <= ClientSubscriptions.channelLimit,
            let pool = clients[slot].pool, pools[pool].settings.sharedListener,
            let defaults = defaults(of: pool)
        else { return false }
        defer { states.release(defaults) }
        let encoding = states.value(of: "client_encoding", in: clients[slot].settings)
        return encoding == states.value(of: "client_encoding", in: defaults)
    }

    /// A server does nothing until the listener has answered.
    private mutating func suspend(_ server: UInt32) {
        servers[server].task = .awaitingListener
        clients[servers[server].client].isPreparing = true
    }

    /// Has a server that is done with its client's channels forget them.
    mutating func unlisten(_ server: UInt32) {
        setPins(server, servers[server].pins.subtracting(.listen))
        servers[server].task = .unlistening
        clients[servers[server].client].isPreparing = true
        sendInternal("UNLISTEN *", to: server)
    }

    /// A server has forgotten its client's channels, or has not.
    mutating func channelsForgotten(_ server: UInt32, _ error: ErrorResponse?) {
        servers[server].hasChannels = false
        servers[server].hasAllChannels = false
        if error != nil { requireClose(server) }
        guard servers[server].hasClient else { return resetOrFree(server) }
        stayOrRelease(server)
    }

    /// A server has notified the marker channel, and with the marker all that came before it has been
    /// sent to the client.
    mutating func channelsHandedOver(_ server: UInt32, _ error: ErrorResponse?) {
        guard servers[server].hasClient else { return resetOrFree(server) }
        let entry = clients[servers[server].client].subscriptions
        guard entry != noSlot, subscriptions[entry].handOver != nil else { return unlisten(server) }
        declineHandOver(server, error?.message.text ?? "no marker came")
    }

    /// The listener could take over, but must not.
    private mutating func declineHandOver(_ server: UInt32, _ cause: String) {
        let slot = servers[server].client
        logServer(server, .warning, "channels stay with their server: \(cause)")
        if let handOver = subscriptions[clients[slot].subscriptions].handOver {
            tellListener(
                .giveUp(subscriber(slot), ticket: handOver.ticket),
                of: servers[server].pool
            )
        }
        keepChannels(server)
    }

    /// The listener does not take over: the server stays with its client, as long as that listens.
    private mutating func keepChannels(_ server: UInt32) {
        let slot = servers[server].client
        subscriptions[clients[slot].subscriptions].abandonHandOver()
        forgetSubscriptionsIfEmpty(of: slot)
        setPins(server, servers[server].pins.union(.listen))
        stayOrRelease(server)
    }

    private mutating func removeChannels(_ removed: [ByteString], of slot: UInt32) {
        guard !removed.isEmpty, let pool = clients[slot].pool else { return }
        subscriptions[clients[slot].subscriptions].remove(removed)
        tellListener(.remove(subscriber(slot), removed), of: pool)
    }

    private mutating func forgetSubscriptionsIfEmpty(of slot: UInt32) {
        guard subscriptions[clients[slot].subscriptions].isEmpty else { return }
        subscriptions.remove(clients[slot].subscriptions)
        clients[slot].subscriptions = noSlot
    }

    /// A client goes away for good.
    mutating func abandonSubscriptions(of slot: UInt32) {
        guard clients[slot].subscriptions != noSlot, let pool = clients[slot].pool else { return }
        subscriptions.remove(clients[slot].subscriptions)
        clients[slot].subscriptions = noSlot
        tellListener(.leave(subscriber(slot)), of: pool)
    }

    // MARK: What a client has notified itself

    /// Whether a client's ReadyForQuery has to wait for what it may have notified itself: PostgreSQL
    /// sends that first.
    func mustAwaitOwnNotifications(_ slot: UInt32) -> Bool {
        let entry = clients[slot].subscriptions
        return entry != noSlot && subscriptions[entry].notifyingProcess != 0
            && !clients[slot].isPreparing
    }

    /// A ReadyForQuery has been kept back.
    mutating func keepReady(of slot: UInt32) {
        subscriptions[clients[slot].subscriptions].keepsReady = true
    }

    /// A transaction is over: what has come meanwhile is delivered, and what the client may have notified
    /// itself is asked for, if its ReadyForQuery waits for that.
    ///
    /// The server is nobody else's meanwhile, so that what it has sent is known to be its client's.
    ///
    /// - Returns: whether something is awaited.
    mutating func awaitOwnNotifications(_ server: UInt32) -> Bool {
        let slot = servers[server].client
        guard subscriptions[clients[slot].subscriptions].keepsReady else {
            deliverNotifications(to: slot)
            return false
        }
        if servers[server].task == .none { awaitFlush(server) }
        return true
    }

    private mutating func awaitFlush(_ server: UInt32) {
        let slot = servers[server].client
        let ticket = shared.takeTicket()
        subscriptions[clients[slot].subscriptions].flushTicket = ticket
        suspend(server)
        tellListener(.flush(subscriber(slot), ticket: ticket), of: servers[server].pool)
    }

    // MARK: What the listener says

    /// The listener has something for a client of this worker.
    mutating func listenerReplied(_ reply: ListenerReply, to client: ClientID) {
        let slot = client.index
        guard clients.holds(slot, generation: client.generation),
            clients[slot].subscriptions != noSlot
        else { return }
        let entry = clients[slot].subscriptions
        switch reply {
        case .granted(let ticket, _) where ticket == subscriptions[entry].adoptionTicket:
            adoptedChannelsAnswered(slot, isGranted: true)
        case .refused(let ticket) where ticket == subscriptions[entry].adoptionTicket:
            adoptedChannelsAnswered(slot, isGranted: false)
        case .granted(let ticket, let endpoint):
            guard let server = awaitingServer(of: slot),
                subscriptions[entry].handOver?.ticket == ticket
            else { return }
            guard servers[server].endpoint == endpoint else {
                servers[server].task = .none
                return declineHandOver(server, "the listener is elsewhere")
            }
            servers[server].task = .handingOver
            sendInternal(
                InternalSQL.mark(shared.markerChannel, with: ticket),
                to: server
            )
        case .refused(let ticket):
            guard let server = awaitingServer(of: slot),
                subscriptions[entry].handOver?.ticket == ticket
            else { return }
            servers[server].task = .none
            keepChannels(server)
        case .flushed(let ticket):
            guard let server = awaitingServer(of: slot),
                subscriptions[entry].flushTicket == ticket
            else { return }
            subscriptions[entry].flushTicket = 0
            servers[server].task = .none
            clients[slot].isPreparing = false
            // What others have sent from there has come.
            servers[server].isNotifierFlushed = true
            if subscriptions[entry].keepsReady {
                ownNotificationsCame(slot, on: server)
            } else {
                resume(slot)
            }
        case .removed(let channels):
            subscriptions[entry].listenerRemoved(channels)
            forgetSubscriptionsIfEmpty(of: slot)
        case .restored:
            subscriptions[entry].owesNotice = true
            deliverNotifications(to: slot)
        case .cutOff: closeClient(slot, .notificationsLost)
        }
    }

    /// The server of a client that waits for the listener.
    private func awaitingServer(of slot: UInt32) -> UInt32? {
        guard clients[slot].hasServer else { return nil }
        let server = clients[slot].server
        return servers[server].task == .awaitingListener ? server : nil
    }

    private mutating func ownNotificationsCame(_ slot: UInt32, on server: UInt32) {
        let client = clients[slot].id
        giveKeptReady(to: slot)
        if servers[server].machine.isClean { becameQuiet(server) }
        guard clients.holds(slot, generation: client.generation) else { return }
        readIfWelcome(slot)
        resume(slot)
    }

    /// Gives a client the ReadyForQuery that has been kept back, behind all notifications.
    mutating func giveKeptReady(to slot: UInt32) {
        let entry = clients[slot].subscriptions
        guard entry != noSlot, subscriptions[entry].keepsReady else { return }
        subscriptions[entry].keepsReady = false
        subscriptions[entry].notifyingProcess = 0
        // What has come may be of channels that the session has just given up: then it is delivered
        // when it is certain what is left.
        let server = clients[slot].server
        if server == noSlot || servers[server].doubts.effects.isDisjoint(with: .dropsChannels) {
            sendKept(slot)
        }
        var writer = ByteWriter()
        writer.readyForQuery(.idle)
        clients[slot].transport.send(unsafe writer.bytes.span.bytes, reactor)
        forgetSubscriptionsIfEmpty(of: slot)
    }

    /// A notification has come for clients of this worker.
    mutating func notified(_ all: Set<ClientID>, _ notification: ReceivedNotification) {
        for client in all {
            let slot = client.index
            guard clients.holds(slot, generation: client.generation),
                clients[slot].subscriptions != noSlot
            else { continue }
            let entry = clients[slot].subscriptions
            var message = notification.message
            message.processID = sender(
                of: notification,
                for: slot,
                own: subscriptions[entry].notifyingProcess
            )
            if subscriptions[entry].keep(message, limit: settings.notificationQueue) {
                deliverNotifications(to: slot)
            } else {
                closeClient(slot, .tooManyNotifications)
            }
        }
    }

    /// The process number under which a client knows the sender of a notification: of its own it is
    /// certain, others are taken for the client that last may have notified from there.
    private func sender(
        of notification: ReceivedNotification,
        for slot: UInt32,
        own process: Int32
    ) -> Int32 {
        let number = processNumber(of: slot)
        if notification.message.processID == process { return number }
        return notification.sender.flatMap { $0 == number ? nil : $0 }
            ?? notification.message.processID
    }

    /// Sends a client the notifications that have been kept for it, if it is between transactions and
    /// reads.
    mutating func deliverNotifications(to slot: UInt32) {
        let entry = clients[slot].subscriptions
        guard entry != noSlot, clients[slot].phase == .ready, clients[slot].transport.isDrained,
            subscriptions[entry].hasKept || subscriptions[entry].owesNotice
        else { return }
        if clients[slot].hasServer {
            let server = clients[slot].server
            // What has come may be of channels that the session has just given up.
            guard servers[server].doubts.isEmpty, !servers[server].machine.isMidMessage,
                !servers[server].machine.owesClient,
                servers[server].machine.transactionStatus == .idle,
                !subscriptions[entry].keepsReady, !subscriptions[entry].isHandingOverKept
            else { return }
        }
        sendKept(slot)
    }

    private mutating func sendKept(_ slot: UInt32) {
        let entry = clients[slot].subscriptions
        var bytes = takeKept(of: slot)
        if exchange(&subscriptions[entry].owesNotice, with: false) {
            var writer = ByteWriter()
            writer.noticeResponse(
                ErrorResponse(
                    .notice,
                    "01000",
                    "notifications may have been lost",
                    detail:
                        "The connection that listens for this session was lost; it listens again."
                )
            )
            bytes += writer.bytes
        }
        guard !bytes.isEmpty else { return }
        if let pool = clients[slot].pool {
            pools[pool].counters.bytesSent &+= UInt64(bytes.count)
        }
        clients[slot].transport.send(unsafe bytes.span.bytes, reactor)
        if !clients[slot].hasServer { waitForReader(slot) }
    }

    /// Takes what has been kept for a client, and counts it.
    private mutating func takeKept(of slot: UInt32) -> [UInt8] {
        let entry = clients[slot].subscriptions
        if let pool = clients[slot].pool {
            pools[pool].counters.notifications &+= UInt64(subscriptions[entry].keptCount)
        }
        return subscriptions[entry].takeKept()
    }

    // MARK: What a server of a client's sends

    /// A client's server has sent a notification.
    mutating func serverNotified(_ server: UInt32, _ message: RawSpan, among bytes: RawSpan) {
        let pool = servers[server].pool
        let slot = servers[server].client
        let body = message.extracting(MessageHeader.byteCount..<message.byteCount)
        let entry = clients[slot].subscriptions
        guard pools[pool].tracksSessions,
            pools[pool].settings.sharedListener || entry != noSlot,
            var notification = try? NotificationResponse(decoding: body)
        else {
            pools[pool].counters.notifications &+= 1
            return toClient.insert([UInt8](copying: message), among: bytes)
        }
        if notification.channel == shared.markerChannel {
            if entry != noSlot, let handOver = subscriptions[entry].handOver,
                notification.payload == ByteString(String(handOver.ticket))
            {
                subscriptions[entry].markerCame()
            }
            return
        }
        // The listener has it, too.
        if entry != noSlot, subscriptions[entry].holds(notification.channel) { return }
        // It is between transactions; but what is kept may be of channels that it has just given up.
        if entry != noSlot, subscriptions[entry].hasKept, servers[server].doubts.isEmpty,
            !subscriptions[entry].isHandingOverKept
        {
            toClient.insert(takeKept(of: slot), among: bytes)
        }
        pools[pool].counters.notifications &+= 1
        let own = servers[server].cancelKey?.processID ?? 0
        notification.processID = sender(
            of: received(notification, from: server),
            for: slot,
            own: own
        )
        var writer = ByteWriter()
        writer.notificationResponse(notification)
        toClient.insert(writer.bytes, among: bytes)
    }
}
