// A pool's listener: the server connection that listens to the channels of all its clients. It lives in
// one worker, which follows from the pool's id, whatever workers its clients belong to. Who gets what
// is SubscriptionHub's to say.

internal import Logging
internal import PoolerCore
internal import PostgresWire

/// What a client's worker wants of the listener of its pool.
enum SubscriptionRequest: Sendable {
    case ask(Subscriber, [ByteString], ticket: UInt64)
    case giveUp(Subscriber, ticket: UInt64)
    /// No marker will come for what has been granted.
    case serveAtOnce(ticket: UInt64)
    case remove(Subscriber, [ByteString])
    case leave(Subscriber)
    case flush(Subscriber, ticket: UInt64)
    /// The listener may be needed anew.
    case look
}

/// What the listener has for a client.
enum ListenerReply: Sendable {
    /// The listener listens, to the server at this place.
    case granted(ticket: UInt64, at: Endpoint)
    case refused(ticket: UInt64)
    case flushed(ticket: UInt64)
    /// Nothing more comes of these.
    case removed([ByteString])
    /// Notifications may have been lost; it listens again.
    case restored
    /// Notifications may have been lost; the client is not to go on.
    case cutOff
}

/// A notification, with the client that seems to have sent it.
struct ReceivedNotification: Sendable {
    let message: NotificationResponse
    let sender: Int32?
}

/// The listener of a pool, where it is at home.
struct PoolListener {
    var hub: SubscriptionHub
    var server: UInt32?
}

extension Worker {
    /// How long a listener is kept that nobody needs, at most.
    private static var lingerLimit: Microseconds { .seconds(60) }
    /// How often a listener that hears nothing is asked whether it is still there.
    private static var checkPeriod: Microseconds { .seconds(30) }
    /// The longest message that a listener may send, in bytes.
    private static var listenerMessageLimit: Int { 1 << 20 }

    // MARK: Requests

    /// Tells the worker that has the pool's listener what one of this worker's clients wants.
    ///
    /// By mail, even to itself: the answer shall not come in the middle of something else.
    func tellListener(_ request: SubscriptionRequest, of pool: PoolID) {
        let home = pool.index % shared.mailboxes.count
        shared.post(.subscription(request, pools[pool].shared), to: WorkerID(index: UInt16(home)))
    }

    /// Does what a client's worker wants of the listener.
    mutating func subscriptionWanted(_ request: SubscriptionRequest, _ sharedPool: SharedPool) {
        let pool = sharedPool.id
        if poolListeners[pool] == nil {
            switch request {
            case .flush(let subscriber, let ticket):
                return reply(.flushed(ticket: ticket), to: subscriber)
            case .remove(let subscriber, let channels):
                return reply(.removed(channels), to: subscriber)
            case .giveUp, .serveAtOnce, .leave, .look: return
            case .ask: break
            }
            adopt(sharedPool)
            poolListeners[pool] = PoolListener(
                hub: SubscriptionHub(marker: shared.markerChannel)
            )
        }
        let now = now
        let orders: [SubscriptionOrder]? =
            switch request {
            case .ask(let subscriber, let channels, let ticket):
                poolListeners[pool]?.hub.ask(subscriber, for: channels, ticket: ticket, now: now)
            case .giveUp(let subscriber, let ticket):
                poolListeners[pool]?.hub.giveUp(ticket, of: subscriber, now: now)
            case .serveAtOnce(let ticket): serveAtOnce(ticket, pool)
            case .remove(let subscriber, let channels):
                poolListeners[pool]?.hub.remove(channels, of: subscriber, now: now)
            case .leave(let subscriber):
                poolListeners[pool]?.hub.leave(subscriber, now: now)
            case .flush(let subscriber, let ticket):
                poolListeners[pool]?.hub.flush(subscriber, ticket: ticket)
            case .look: []
            }
        carryOut(orders ?? [], pool)
        if case .remove(let subscriber, let channels) = request {
            reply(.removed(channels), to: subscriber)
        }
        openListenerIfNeeded(pool)
    }

    private mutating func serveAtOnce(_ ticket: UInt64, _ pool: PoolID) -> [SubscriptionOrder] {
        poolListeners[pool]?.hub.serveAtOnce(ticket)
        return []
    }

    private func reply(_ reply: ListenerReply, to subscriber: Subscriber) {
        shared.post(.listenerReply(reply, for: subscriber.client), to: subscriber.worker)
    }

    private mutating func carryOut(_ orders: [SubscriptionOrder], _ pool: PoolID) {
        for order in orders {
            switch order {
            case .send(let text): sendToListener(text, pool)
            case .close:
                if let server = poolListeners[pool]?.server { closeServer(server, .listenerUnused) }
            case .granted(let subscriber, let ticket):
                guard let server = poolListeners[pool]?.server else { continue }
                reply(.granted(ticket: ticket, at: servers[server].endpoint), to: subscriber)
            case .refused(let subscriber, let ticket):
                reply(.refused(ticket: ticket), to: subscriber)
            case .flushed(let subscriber, let ticket):
                reply(.flushed(ticket: ticket), to: subscriber)
            case .restored(let subscribers):
                if let server = poolListeners[pool]?.server {
                    logServer(
                        server,
                        .warning,
                        "listens again; \(subscribers.count) clients may have missed notifications"
                    )
                }
                for subscriber in subscribers { reply(.restored, to: subscriber) }
            }
        }
    }

    private mutating func sendToListener(_ text: ByteString, _ pool: PoolID) {
        guard let server = poolListeners[pool]?.server else { return }
        var writer = ByteWriter()
        writer.message(.query) { $0.writeCString(text) }
        servers[server].requestTime = now
        servers[server].transport.send(unsafe writer.bytes.span.bytes, reactor)
    }

    // MARK: The connection

    /// Opens a listener where clients wait for one.
    mutating func openListenerIfNeeded(_ pool: PoolID) {
        guard let listener = poolListeners[pool], listener.hub.needsListener,
            opensServers, pools.contains(pool)
        else { return }
        let (isPaused, time) = pools[pool].shared.withLock { ($0.isPaused, $0.nextAttemptTime) }
        guard !isPaused, now >= time else { return }
        poolListeners[pool]?.hub.opened()
        openServer(pool, asListener: true) { _ in true }
        guard poolListeners[pool]?.server == nil, poolListeners[pool]?.hub.phase == .opening else {
            return
        }
        let now = now
        carryOut(poolListeners[pool]?.hub.couldNotOpen(now: now) ?? [], pool)
    }

    /// A server that is to be the listener of its pool is being opened.
    mutating func listenerOpened(_ slot: UInt32) {
        poolListeners[servers[slot].pool]?.server = slot
    }

    /// The listener has logged in.
    mutating func listenerIsReady(_ slot: UInt32) {
        let pool = servers[slot].pool
        servers[slot].task = .listening
        move(slot, to: .active)
        shared.notifiers.listenersChanged(by: 1)
        servers[slot].lastAnswerTime = now
        carryOut(poolListeners[pool]?.hub.connected() ?? [], pool)
    }

    /// The listener has been closed, for whatever reason.
    ///
    /// - Parameter wasReady: whether it had logged in.
    mutating func listenerClosed(_ pool: PoolID, wasReady: Bool) {
        guard var listener = poolListeners[pool] else { return }
        listener.server = nil
        let orders: [SubscriptionOrder]
        if wasReady {
            shared.notifiers.listenersChanged(by: -1)
            orders = listener.hub.lost()
            let served = listener.hub.servedSubscribers
            if !served.isEmpty {
                pools[pool].counters.listenerLosses &+= 1
                if case .disconnect = settings.notificationLoss {
                    for subscriber in served { reply(.cutOff, to: subscriber) }
                }
            }
        } else {
            orders = listener.hub.couldNotOpen(now: now)
        }
        poolListeners[pool] = listener
        carryOut(orders, pool)
        // Not at once: whoever closes it may be about to close more.
        shared.post(.subscription(.look, pools[pool].shared), to: id)
    }

    /// Looks after a listener a few times a second.
    mutating func inspectListener(_ slot: UInt32) {
        if servers[slot].isCloseNeeded { return closeServer(slot, .serverCloseNeeded) }
        let pool = servers[slot].pool
        if poolListeners[pool]?.hub.awaitsAnswer == true {
            let limit = max(settings.serverConnectTimeout, .seconds(15))
            if now - servers[slot].requestTime >= limit { closeServer(slot, .checkFailed) }
        } else if now - max(servers[slot].lastAnswerTime, servers[slot].requestTime)
            >= Self.checkPeriod
        {
            carryOut(poolListeners[pool]?.hub.check() ?? [], pool)
        }
    }

    /// Looks after the listeners that are at home here, and those who wait for one.
    mutating func inspectListeners() {
        let idleLimit = settings.serverIdleTimeout
        let linger = idleLimit > 0 ? min(idleLimit, Self.lingerLimit) : Self.lingerLimit
        for pool in Array(poolListeners.keys) {
            carryOut(poolListeners[pool]?.hub.timePassed(now: now, linger: linger) ?? [], pool)
            openListenerIfNeeded(pool)
        }
    }

    /// The listeners of these pools are closed (PAUSE), or may be opened again.
    mutating func setListening(_ isListening: Bool, of affected: [PoolID]) {
        for pool in affected {
            if isListening {
                openListenerIfNeeded(pool)
            } else if let server = poolListeners[pool]?.server {
                closeServer(server, .paused)
            }
        }
    }

    // MARK: What the listener says

    /// Follows what a listener sends.
    mutating func followListener(_ slot: UInt32, _ bytes: RawSpan) {
        let generation = servers[slot].id.generation
        var offset = 0
        while offset < bytes.byteCount {
            let header: MessageHeader
            do throws(WireError) {
                let whole = try wholeMessage(
                    of: slot,
                    in: bytes,
                    at: &offset,
                    limit: Self.listenerMessageLimit
                )
                guard let whole else { return }
                header = whole
            } catch {
                return closeServer(slot, .serverProtocolViolation)
            }
            let body = bytes.extracting(offset - header.bodyByteCount..<offset)
            listenerSaid(slot, BackendMessageType(rawValue: header.typeByte), body)
            guard servers.holds(slot, generation: generation) else { return }
        }
    }

    private mutating func listenerSaid(
        _ slot: UInt32,
        _ type: BackendMessageType,
        _ body: RawSpan
    ) {
        let pool = servers[slot].pool
        switch type {
        case .notificationResponse:
            guard let message = try? NotificationResponse(decoding: body) else { return }
            let audience = poolListeners[pool]?.hub.notified(message) ?? [:]
            guard !audience.isEmpty else { return }
            let notification = received(message, from: slot)
            for (worker, clients) in audience {
                shared.post(.notified(clients, notification), to: worker)
            }
        case .errorResponse:
            servers[slot].taskError =
                (try? ErrorResponse(decoding: body))
                ?? ErrorResponse(.error, "XX000", "unreadable error")
        case .readyForQuery:
            servers[slot].lastAnswerTime = now
            let error = exchange(&servers[slot].taskError, with: nil)
            if let error { logServer(slot, .warning, "listener: \(error.message)") }
            carryOut(poolListeners[pool]?.hub.answered(hasFailed: error != nil) ?? [], pool)
        default: break
        }
    }

    /// A notification, with the client that seems to have sent it.
    func received(_ message: NotificationResponse, from slot: UInt32) -> ReceivedNotification {
        let endpoint = servers[slot].endpoint
        return ReceivedNotification(
            message: message,
            sender: shared.notifiers.client(on: message.processID, at: endpoint)
        )
    }
}
