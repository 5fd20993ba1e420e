// Joins clients and servers and parts them again. Whether and to whom is the pool's decision; here
// are the steps that a decision takes.

internal import PoolerCore
internal import PostgresWire

extension Worker {
    // MARK: A client wants a server

    /// Gets a server for a client that has none.
    ///
    /// - Returns: whether the client can send now. If not it waits, or has been closed.
    mutating func acquireServer(for slot: UInt32) -> Bool {
        guard let pool = clients[slot].pool else { return false }
        if lifecycle.shutdown == .waitForServers {
            closeClient(slot, .serverShuttingDown)
            return false
        }
        clients[slot].requestTime = now
        switch pools[pool].request(clients[slot].id, preferring: clients[slot].settings, now: now) {
        case .assign(let server):
            return link(slot, server.index)
        case .wait(let ticket):
            clients[slot].isWaiting = true
            clients[slot].ticket = ticket
            clients[slot].wasNotified = false
            openServersIfWanted(pool)
            return false
        case .fail(let reason):
            closeClient(slot, reason)
            return false
        }
    }

    /// Joins a client to a free server.
    ///
    /// - Returns: whether the server is ready for the client.
    private mutating func link(_ slot: UInt32, _ server: UInt32) -> Bool {
        let pool = servers[server].pool
        // A new server needs no check: its login was one.
        let mustCheck =
            servers[server].state == .used
            || pools[pool].settings.serverCheckDelay == 0 && servers[server].hasServed
        servers[server].hasServed = true
        move(server, to: .active)
        servers[server].client = slot
        servers[server].requestTime = now
        clients[slot].server = server
        pools[pool].counters.serverAssignments &+= 1
        if clients[slot].phase == .awaitingWelcome { adoptLoginSettings(slot, on: server) }
        if mustCheck, let text = pools[pool].settings.serverCheckQuery.queryText {
            clients[slot].isPreparing = true
            servers[server].task = .checking
            sendInternal(text, to: server)
            return false
        }
        return replaySettings(slot, on: server)
    }

    /// Makes the server's settings fit its client.
    ///
    /// Values that a server has reported before go in front of the client's own messages, in the
    /// same write; those that a client asks for at login are confirmed first.
    ///
    /// - Returns: whether the client can send now.
    mutating func replaySettings(_ slot: UInt32, on server: UInt32) -> Bool {
        guard servers[server].settings != clients[slot].settings else { return true }
        let changes = states.changes(
            from: servers[server].settings,
            to: clients[slot].settings
        )
        guard !changes.isEmpty else {
            adoptSettings(slot, from: server)
            return true
        }
        servers[server].task = .replaying(changes)
        let text = InternalSQL.apply(changes)
        if clients[slot].phase == .ready && toServer.isEmpty {
            toServer.insert(internalQuery(text, to: server))
            return true
        }
        clients[slot].isPreparing = true
        sendInternal(text, to: server)
        return false
    }

    /// The client's session now has the settings that its server has.
    mutating func adoptSettings(_ slot: UInt32, from server: UInt32) {
        guard clients[slot].settings != servers[server].settings else { return }
        states.retain(servers[server].settings)
        states.release(clients[slot].settings)
        clients[slot].settings = servers[server].settings
    }

    /// The client's server is ready for it: what it held back goes on.
    mutating func serverIsReady(for slot: UInt32) {
        clients[slot].isPreparing = false
        if clients[slot].phase == .awaitingWelcome {
            completeLogin(slot)
        } else if clients[slot].held.isEmpty {
            flushToServer(slot, RawSpan())
        } else {
            resume(slot)
        }
    }

    /// Sends a query of the pooler's own.
    mutating func sendInternal(_ text: ByteString, to server: UInt32) {
        let message = internalQuery(text, to: server)
        servers[server].transport.send(unsafe message.span.bytes, reactor)
    }

    /// A query of the pooler's own, which has to be sent to the server next.
    private mutating func internalQuery(_ text: ByteString, to server: UInt32) -> [UInt8] {
        var writer = ByteWriter()
        writer.message(.query) { $0.writeCString(text) }
        servers[server].taskError = nil
        servers[server].unnamedOwner = 0
        servers[server].machine.expect(Expectation(.query, .pooler))
        return writer.bytes
    }

    // MARK: A server is done with a client

    /// Parts a server from its client between transactions.
    mutating func release(_ server: UInt32) {
        let slot = servers[server].client
        adoptSettings(slot, from: server)
        detach(slot, from: server)
        if pools[servers[server].pool].settings.serverResetQueryAlways {
            resetOrFree(server)
        } else {
            becomeFree(server)
        }
        readIfWelcome(slot)
    }

    private mutating func detach(_ slot: UInt32, from server: UInt32) {
        servers[server].client = noSlot
        // It was perhaps not read from because this client was slow.
        servers[server].transport.setReading(true, reactor)
        clients[slot].server = noSlot
        clients[slot].isPreparing = false
        clients[slot].requestTime = now
        servers[server].queryStart = 0
        servers[server].transactionStart = 0
    }

    /// The client of a server goes away for good.
    mutating func abandonServer(of slot: UInt32) {
        let server = clients[slot].server
        let isBetweenMessages = clients[slot].machine.isBetweenMessages
        let wasPreparing = clients[slot].isPreparing
        detach(slot, from: server)
        // What the server does on its own account ends first; then it is free.
        if wasPreparing { return }
        if servers[server].machine.isClean && isBetweenMessages {
            resetOrFree(server)
        } else if servers[server].machine.isSettled && isBetweenMessages
            && !servers[server].machine.isUncertain
        {
            servers[server].task = .rollingBack
            move(server, to: .tested)
            sendInternal("ROLLBACK", to: server)
        } else if servers[server].machine.isSettled {
            closeServer(server, .uncertainState)
        } else {
            closeServer(server, .clientLeftInQuery)
        }
    }

    /// Runs server_reset_query where it is called for, and then frees the server.
    mutating func resetOrFree(_ server: UInt32) {
        let settings = pools[servers[server].pool].settings
        let isWanted = settings.poolMode == .session || settings.serverResetQueryAlways
        guard isWanted, !settings.serverResetQuery.isEmpty else { return becomeFree(server) }
        servers[server].task = .resetting
        move(server, to: .tested)
        sendInternal(settings.serverResetQuery, to: server)
    }

    /// Gives a server that is clean to the client that waits longest, or to nobody.
    mutating func becomeFree(_ server: UInt32) {
        servers[server].task = .none
        let pool = servers[server].pool
        if let reason = reasonToClose(server) { return closeServer(server, reason) }
        if servers[server].cancelCount > 0 { return move(server, to: .beingCanceled) }
        move(server, to: .idle)
        servers[server].requestTime = now
        servers[server].lastAnswerTime = now
        serveWaiters(pool)
    }

    /// Why a server that has become free is not to be used again.
    private func reasonToClose(_ server: UInt32) -> CloseReason? {
        if servers[server].isCloseNeeded { return .serverCloseNeeded }
        if pools[servers[server].pool].isPaused { return .paused }
        if servers[server].machine.isUncertain { return .uncertainState }
        if isOverLifetime(server) { return .serverLifetimeOver }
        if pools[servers[server].pool].surplus > 0 { return .tooManyServers }
        return nil
    }

    /// Hands free servers to waiting clients, the longest waiting first.
    ///
    /// A client that needs its server for a moment only frees it again before the next is looked
    /// at: that is left to the loop that runs already, because thousands of clients can wait.
    mutating func serveWaiters(_ pool: PoolID) {
        guard servedPool != pool else { return }
        let outerPool = exchange(&servedPool, with: pool)
        defer { servedPool = outerPool }
        while pools[pool].hasWork, let server = pools[pool].availableServer {
            guard let waiter = pools[pool].takeWaiter() else { return }
            guard isWaiting(waiter) else { continue }
            let slot = waiter.client.index
            endWait(slot)
            if link(slot, server.index) { serverIsReady(for: slot) }
        }
    }

    /// Whether the client still stands in its place in the queue.
    func isWaiting(_ waiter: Waiter) -> Bool {
        clients.holds(waiter.client.index, generation: waiter.client.generation)
            && clients[waiter.client.index].isWaiting
            && clients[waiter.client.index].ticket == waiter.ticket
    }

    /// Takes a client out of its pool's queue.
    mutating func endWait(_ slot: UInt32) {
        guard clients[slot].isWaiting, let pool = clients[slot].pool else { return }
        clients[slot].isWaiting = false
        pools[pool].waitEnded()
        pools[pool].counters.waitMicroseconds &+= UInt64(max(0, now - clients[slot].requestTime))
        // The first place must be that of a client that waits: its time opens the reserve.
        while let first = pools[pool].firstWaiter, !isWaiting(first) {
            _ = pools[pool].takeWaiter()
        }
    }

    /// Puts a client whose server died before it was used back to the head of the queue.
    ///
    /// It has waited since it asked for the first server: the limit of its wait still holds.
    mutating func waitAgain(_ slot: UInt32) {
        let server = clients[slot].server
        let since = clients[slot].requestTime
        detach(slot, from: server)
        guard let pool = clients[slot].pool else { return }
        clients[slot].ticket &+= 1
        clients[slot].isWaiting = true
        clients[slot].requestTime = since
        pools[pool].putBack(
            Waiter(client: clients[slot].id, ticket: clients[slot].ticket, since: since)
        )
    }

    /// Changes what a server is counted as.
    mutating func move(_ server: UInt32, to state: ServerState) {
        let old = exchange(&servers[server].state, with: state)
        guard old != state else { return }
        pools[servers[server].pool].move(
            servers[server].id,
            from: old,
            to: state,
            settings: servers[server].settings
        )
    }
}

extension ServerCheckQuery {
    /// The query to send, or nil for no check.
    var queryText: ByteString? {
        switch self {
        case .none: nil
        case .emptyQuery: ""
        case .query(let text): text
        }
    }
}
