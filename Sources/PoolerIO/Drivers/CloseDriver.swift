// The end of a client: what it holds is given back, its last error is delivered, its socket is closed.

internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// How long a client may take to read its last error, in microseconds.
    private static var drainTime: Microseconds { .seconds(2) }

    /// Ends a client: everything that it holds is given back at once.
    ///
    /// The connection stays until the client has read the error, because closing a socket with
    /// unread input resets it and the client would lose the text.
    mutating func closeClient(_ slot: UInt32, _ reason: CloseReason) {
        guard clients[slot].phase != .draining, clients[slot].phase != .departing else { return }
        logClientClosed(slot, reason)
        endWait(slot)
        if clients[slot].phase == .awaitingSecret { stopLookingUp(slot, reason) }
        let isMidAnswer =
            clients[slot].hasServer && servers[clients[slot].server].machine.isMidMessage
        if clients[slot].hasServer { abandonServer(of: slot) }
        giveBack(slot)
        if case .serverSaidWhy = reason { return drain(slot, until: now + Self.drainTime) }
        switch (reason.response, reason) {
        // The client is to read the server's last words, which have been sent to it.
        case (nil, .serverSaidWhy): break
        case (nil, _): return removeClient(slot)
        case (let response?, _):
            // An error in the middle of another message would be read as a part of it.
            if isMidAnswer { break }
            var writer = ByteWriter()
            writer.errorResponse(response)
            clients[slot].transport.send(unsafe writer.bytes.span.bytes, reactor)
        }
        drain(slot, until: now + Self.drainTime)
    }

    /// Waits until the client has read what was sent and closed its side.
    mutating func drain(_ slot: UInt32, until deadline: Microseconds) {
        clients[slot].phase = .draining
        clients[slot].held = []
        clients[slot].transport.setReading(true, reactor)
        if clients[slot].transport.isDrained { clients[slot].transport.finishSending(reactor) }
        loginQueue.add(clients[slot].id, deadline: deadline, isDraining: true)
    }

    mutating func giveBack(_ slot: UInt32) {
        if clients[slot].isCounted {
            clients[slot].isCounted = false
            if let pool = clients[slot].pool {
                let now = now
                pools[pool].shared.withLock { pool in
                    pool.clientCount -= 1
                    pool.lastUse = now
                }
            }
            let (database, user) = (clients[slot].database, clients[slot].user)
            shared.pools.withLock { $0.clientLeft(database: database, user: user) }
            connectionGone()
        }
        states.release(clients[slot].settings)
        clients[slot].settings = .empty
        states.release(clients[slot].startSettings)
        clients[slot].startSettings = .empty
        forgetStatements(of: slot)
        releaseUnnamedStatement(of: slot)
        abandonSubscriptions(of: slot)
        stopWaitingForKeys(slot)
        clients[slot].attachment = .none
    }

    /// Forgets all prepared statements of a client.
    mutating func forgetStatements(of slot: UInt32) {
        let names = exchange(&clients[slot].names, with: noSlot)
        guard names != noSlot else { return }
        for statement in statementNames[names].allSlots { statements.release(statement) }
        statementNames.remove(names)
    }

    /// Forgets a client and closes its socket.
    mutating func removeClient(_ slot: UInt32) {
        if clients[slot].foreignProcess != 0 {
            shared.foreign[cancelKeys.canonical(cancelKey(of: slot))] = nil
        }
        if clients[slot].phase != .departing, !clients[slot].isReturned, let handover {
            handover.post(TakeoverParcel(.clientLeft))
        }
        clients[slot].transport.close(reactor)
        clients.remove(slot)
        shared.loads.add(-1, to: id)
    }
}
