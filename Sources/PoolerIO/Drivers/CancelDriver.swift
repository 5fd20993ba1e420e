// CancelRequests: each goes to the server of the client that it names, on a connection of its own. As
// long as that is under way the server goes to no other client, so that no other client's query is
// cancelled. PostgreSQL has signalled the server process by the time it closes the connection.

internal import CLinux
internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// A client connection has brought a CancelRequest.
    mutating func cancelRequested(_ key: CancelKey, by slot: UInt32) {
        // It is closed when the server has the request: that is what PQcancel waits for.
        clients[slot].phase = .draining
        let requester = Requester(client: clients[slot].id, worker: id)
        // In case it is for a client that another process still has.
        var writer = ByteWriter()
        writer.cancelRequest(key)
        clients[slot].held = writer.bytes
        if let place = shared.foreign[cancelKeys.canonical(key)] {
            return cancel(key, for: requester, by: place.worker)
        }
        switch cancelKeys.target(of: key) {
        case .client(let places): cancel(key, for: requester, by: places.worker)
        case .peer(let peer, let key) where isChief: passOn(key, to: peer, for: requester)
        case .peer(let peer, let key):
            shared.post(.cancelForPeer(peer, key, requester: requester), to: .chief)
        case .lost: cancelEnded(for: requester, .lost)
        }
    }

    private mutating func cancel(_ key: CancelKey, for requester: Requester, by worker: WorkerID) {
        if worker == id {
            cancel(key, for: requester)
        } else {
            shared.post(.cancel(key, requester: requester), to: worker)
        }
    }

    /// How cancel keys are made and read.
    var cancelKeys: CancelKeys {
        CancelKeys(workerCount: shared.mailboxes.count, peerID: settings.peerID)
    }

    /// Cancels what one of this worker's clients has asked for.
    mutating func cancel(_ key: CancelKey, for requester: Requester) {
        guard let slot = client(with: key) else { return cancelEnded(for: requester, .wrongKey) }
        if clients[slot].phase == .console {
            consoleCanceled(slot)
        } else if clients[slot].isWaiting {
            cancelWaiting(slot)
        } else if clients[slot].hasServer, hasAskedServer(slot),
            let serverKey = servers[clients[slot].server].cancelKey,
            sendCancel(serverKey, to: clients[slot].server, for: requester)
        {
            return
        }
        cancelEnded(for: requester)
    }

    /// The client of this worker that has a cancel key, if there is one.
    private func client(with key: CancelKey) -> UInt32? {
        let keys = cancelKeys
        if let place = shared.foreign[keys.canonical(key)], place.worker == id {
            let (slot, generation) = (place.client.index, place.client.generation)
            return clients.holds(slot, generation: generation) && clients[slot].isServed
                ? slot : nil
        }
        guard case .client(let places) = keys.target(of: key) else { return nil }
        return places.slots(below: UInt32(clients.slotCount)).first { slot in
            clients.isUsed(slot) && clients[slot].isServed && clients[slot].foreignProcess == 0
                && keys.has(clients[slot].cancelSecret, in: key)
        }
    }

    /// Whether there may be anything to cancel for the client's server: what the server does on the
    /// pooler's account is not the client's.
    ///
    /// A client whose own request waits behind that may have waited for long already.
    private func hasAskedServer(_ slot: UInt32) -> Bool {
        servers[clients[slot].server].task == .none || !clients[slot].isPreparing
            || !clients[slot].held.isEmpty
    }

    /// The cancel key of a client of this worker.
    func cancelKey(of slot: UInt32) -> CancelKey {
        let foreign = clients[slot].foreignProcess
        if foreign != 0 {
            return CancelKey(processID: foreign, secretKey: clients[slot].cancelSecret)
        }
        return cancelKeys.key(slot: slot, worker: id, secret: clients[slot].cancelSecret)
    }

    mutating func cancelEnded(for requester: Requester, _ failure: CancelFailure? = nil) {
        if requester.worker == id {
            cancelEnded(requester.client, failure)
        } else {
            shared.post(.cancelEnded(requester.client, failure), to: requester.worker)
        }
    }

    /// A CancelRequest has been delivered, or will never be: the connection that brought it has
    /// waited long enough.
    mutating func cancelEnded(_ client: ClientID, _ failure: CancelFailure?) {
        guard clients.holds(client.index, generation: client.generation) else { return }
        if failure == .wrongKey, shared.foreign.predecessor != nil,
            !clients[client.index].isReturned
        {
            return depart(client.index, .newcomer(isReturned: true))
        }
        if let failure { logClient(client.index, .info, "closing because: \(failure.text)") }
        removeClient(client.index)
    }

    /// A client in the queue gives up its request: the answer is what PostgreSQL would say had the
    /// request reached it.
    private mutating func cancelWaiting(_ slot: UInt32) {
        let held = exchange(&clients[slot].held, with: [])
        let bytes = unsafe held.span.bytes
        guard let end = ClientMachine.endOfRequest(bytes, limit: settings.maxPacketSize) else {
            clients[slot].held = held
            return
        }
        endWait(slot)
        clients[slot].held = [UInt8](copying: bytes.extracting(end..<held.count))
        var writer = ByteWriter()
        writer.errorResponse(
            ErrorResponse(.error, "57014", "canceling statement due to user request")
        )
        writer.readyForQuery(.idle)
        clients[slot].transport.send(unsafe writer.bytes.span.bytes, reactor)
        clients[slot].transport.setReading(true, reactor)
        resume(slot)
    }

    private mutating func sendCancel(
        _ key: CancelKey,
        to server: UInt32,
        for requester: Requester
    ) -> Bool {
        let isUnderWay = startCanceler(
            .server(servers[server].id),
            at: servers[server].endpoint,
            servers[server].transport.hasTLS ? tlsPlan(of: server) : nil,
            key,
            for: requester,
            until: settings.cancelWaitTimeout == 0 ? .max : now + settings.cancelWaitTimeout
        )
        if isUnderWay { servers[server].cancelCount += 1 }
        return isUnderWay
    }

    /// Opens a connection that carries a request.
    ///
    /// - Returns: false when that failed at once.
    mutating func startCanceler(
        _ target: Canceler.Target,
        at endpoint: Endpoint,
        _ tlsPlan: TLSPlan?,
        _ key: CancelKey,
        for requester: Requester,
        until deadline: Microseconds
    ) -> Bool {
        guard let descriptor = endpoint.connect(settings) else { return false }
        let (slot, generation) = cancelers.nextIdentity
        let token = Token(.canceler, slot: slot, generation: generation)
        var transport = Transport(descriptor: descriptor, token: token, isConnected: false)
        guard transport.add(to: reactor) else {
            transport.close(reactor)
            return false
        }
        var writer = ByteWriter()
        writer.cancelRequest(key)
        cancelers.insert(
            Canceler(
                transport: transport,
                target: target,
                request: writer.bytes,
                tlsPlan: tlsPlan,
                requester: requester,
                deadline: deadline
            )
        )
        return true
    }

    /// The connection is there, or the other side has said something or closed it.
    mutating func cancelerProgressed(
        _ slot: UInt32,
        _ event: ReactorEvent,
        _ buffer: borrowing ReceiveBuffer
    ) {
        if cancelers[slot].phase == .connecting {
            let descriptor = cancelers[slot].transport.descriptor
            guard martlet_socket_error(descriptor) == 0 else {
                return endCanceler(slot, .unreachable)
            }
            cancelers[slot].transport.setReading(true, reactor)
            return cancelerConnected(slot)
        }
        if event.isWritable { cancelers[slot].transport.flush(reactor) }
        guard event.isReadable else { return }
        switch cancelers[slot].transport.receive(event, in: buffer, reactor) {
        case .bytes(let range): cancelerReceived(slot, buffer.bytes(range), buffer)
        case .nothing: break
        case .end: endCanceler(slot)
        }
    }

    private mutating func cancelerConnected(_ slot: UInt32) {
        guard let plan = cancelers[slot].tlsPlan else { return cancelerIsReady(slot) }
        if plan.isDirect { return beginTLS(withCanceler: slot, plan) }
        cancelers[slot].phase = .askingForTLS
        var writer = ByteWriter()
        writer.sslRequest()
        cancelers[slot].transport.send(unsafe writer.bytes.span.bytes, reactor)
    }

    private mutating func cancelerReceived(
        _ slot: UInt32,
        _ bytes: RawSpan,
        _ buffer: borrowing ReceiveBuffer
    ) {
        guard let plan = cancelers[slot].tlsPlan else { return }
        if cancelers[slot].phase == .askingForTLS {
            switch SSLAnswer(bytes) {
            case .accepted: beginTLS(withCanceler: slot, plan)
            case .refused where !plan.isRequired: cancelerIsReady(slot)
            case .refused, .invalid: endCanceler(slot, .unreachable)
            }
            return
        }
        guard cancelers[slot].transport.hasTLS else { return }
        let progress = unsafe cancelers[slot].transport.open(
            bytes,
            into: buffer.plaintext,
            reactor
        )
        if progress.isEstablished { cancelerIsReady(slot) }
        switch progress.end {
        case .none: break
        case .closed: endCanceler(slot)
        case .failed: endCanceler(slot, .unreachable)
        }
    }

    private mutating func beginTLS(withCanceler slot: UInt32, _ plan: TLSPlan) {
        cancelers[slot].phase = .shakingHands
        do throws(TLSFailure) {
            try cancelers[slot].transport.startTLS(try plan.makeSession(), reactor)
        } catch {
            endCanceler(slot, .unreachable)
        }
    }

    private mutating func cancelerIsReady(_ slot: UInt32) {
        cancelers[slot].phase = .heldBack
        deliverCancel(slot)
    }

    /// Sends a request as soon as it hits what its client has asked for.
    private mutating func deliverCancel(_ slot: UInt32) {
        switch cancelers[slot].target {
        case .server(let server):
            guard servers.holds(server.index, generation: server.generation),
                servers[server.index].hasClient
            else { return endCanceler(slot) }
            guard servers[server.index].task == .none else { return }
        case .peer: logConnectionToPeer(slot)
        }
        cancelers[slot].phase = .sent
        let request = cancelers[slot].request
        cancelers[slot].transport.send(unsafe request.span.bytes, reactor)
    }

    /// A server has done what it had to do on the pooler's account: requests that were held back
    /// meanwhile go to it now.
    mutating func deliverHeldBackCancels(to server: ServerID) {
        for slot in 0..<UInt32(cancelers.slotCount)
        where cancelers.isUsed(slot) && cancelers[slot].target == .server(server)
            && cancelers[slot].phase == .heldBack
        {
            deliverCancel(slot)
        }
    }

    /// The other side has had the request, or never will: a server may go to other clients again.
    mutating func endCanceler(_ slot: UInt32, _ failure: CancelFailure? = nil) {
        let (target, requester) = (cancelers[slot].target, cancelers[slot].requester)
        cancelers[slot].transport.close(reactor)
        cancelers.remove(slot)
        let server: ServerID
        switch target {
        case .server(let id):
            server = id
            // PostgreSQL says nothing of it either.
            cancelEnded(for: requester)
        case .peer(let peer, let endpoint, let number):
            cancelEnded(for: requester, failure)
            return connectionToPeerEnded(peer, endpoint, number, failure)
        }
        guard servers.holds(server.index, generation: server.generation) else { return }
        servers[server.index].cancelCount -= 1
        if servers[server.index].cancelCount == 0, servers[server.index].state == .beingCanceled {
            becomeFree(server.index)
        }
    }
}
