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
        let target = VirtualProcess(key.processID, workerCount: shared.mailboxes.count)
        if target.worker == id {
            cancel(key, for: requester)
        } else {
            shared.post(.cancel(key, requester: requester), to: target.worker)
        }
    }

    /// Cancels what one of this worker's clients has asked for.
    mutating func cancel(_ key: CancelKey, for requester: Requester) {
        let slot = VirtualProcess(key.processID, workerCount: shared.mailboxes.count).slot
        guard clients.isUsed(slot),
            clients[slot].isServed, clients[slot].cancelSecret == key.secretKey
        else {
            return cancelEnded(for: requester, hasFailed: true)
        }
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
        let process = VirtualProcess(slot: slot, worker: id)
        return CancelKey(
            processID: process.number(workerCount: shared.mailboxes.count),
            secretKey: clients[slot].cancelSecret
        )
    }

    private mutating func cancelEnded(for requester: Requester, hasFailed: Bool = false) {
        if requester.worker == id {
            cancelEnded(requester.client, hasFailed: hasFailed)
        } else {
            shared.post(.cancelEnded(requester.client, hasFailed: hasFailed), to: requester.worker)
        }
    }

    /// A CancelRequest has been delivered, or will never be: the connection that brought it has
    /// waited long enough.
    mutating func cancelEnded(_ client: ClientID, hasFailed: Bool) {
        guard clients.holds(client.index, generation: client.generation) else { return }
        if hasFailed {
            logClient(client.index, .info, "closing because: failed cancel request")
        }
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
        guard let descriptor = servers[server].endpoint.connect(settings) else { return false }
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
                server: servers[server].id,
                request: writer.bytes,
                requester: requester,
                deadline: settings.cancelWaitTimeout == 0
                    ? .max : now + settings.cancelWaitTimeout
            )
        )
        servers[server].cancelCount += 1
        return true
    }

    /// The connection to the server is there, or the server has closed it.
    mutating func cancelerProgressed(
        _ slot: UInt32,
        _ event: ReactorEvent,
        _ buffer: borrowing ReceiveBuffer
    ) {
        if cancelers[slot].phase == .connecting {
            let descriptor = cancelers[slot].transport.descriptor
            guard martlet_socket_error(descriptor) == 0 else { return endCanceler(slot) }
            cancelers[slot].phase = .heldBack
            cancelers[slot].transport.setReading(true, reactor)
            deliverCancel(slot)
        } else {
            if event.isWritable { cancelers[slot].transport.flush(reactor) }
            if event.isReadable,
                case .end = buffer.receive(event, from: cancelers[slot].transport.descriptor)
            {
                endCanceler(slot)
            }
        }
    }

    /// Sends a request as soon as it hits what its client has asked for.
    private mutating func deliverCancel(_ slot: UInt32) {
        let server = cancelers[slot].server
        guard servers.holds(server.index, generation: server.generation),
            servers[server.index].hasClient
        else { return endCanceler(slot) }
        guard servers[server.index].task == .none else { return }
        cancelers[slot].phase = .sent
        let request = cancelers[slot].request
        cancelers[slot].transport.send(unsafe request.span.bytes, reactor)
    }

    /// A server has done what it had to do on the pooler's account: requests that were held back
    /// meanwhile go to it now.
    mutating func deliverHeldBackCancels(to server: ServerID) {
        for slot in 0..<UInt32(cancelers.slotCount)
        where cancelers.isUsed(slot) && cancelers[slot].server == server
            && cancelers[slot].phase == .heldBack
        {
            deliverCancel(slot)
        }
    }

    /// The server has had the request, or never will: it may go to other clients again.
    mutating func endCanceler(_ slot: UInt32) {
        let server = cancelers[slot].server
        let requester = cancelers[slot].requester
        cancelers[slot].transport.close(reactor)
        cancelers.remove(slot)
        cancelEnded(for: requester)
        guard servers.holds(server.index, generation: server.generation) else { return }
        servers[server.index].cancelCount -= 1
        if servers[server.index].cancelCount == 0, servers[server.index].state == .beingCanceled {
            becomeFree(server.index)
        }
    }
}
