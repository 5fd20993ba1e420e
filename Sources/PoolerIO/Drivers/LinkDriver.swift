// Joins clients and servers and parts them again. Whether and to whom is the pool's decision; here
// are the steps that a decision takes.

internal import CLinux
internal import PoolerCore
internal import PostgresWire

extension Worker {
    // MARK: A client wants a server

    /// Gets a server for a client that has none.
    ///
    /// Without a lock, if one is free at home and nobody waits.
    ///
    /// - Returns: whether the client can send now. If not it waits, or has been closed.
    mutating func acquireServer(for slot: UInt32) -> Bool {
        guard let pool = clients[slot].pool else { return false }
        if lifecycle.shutdown == .waitForServers {
            closeClient(slot, .serverShuttingDown)
            return false
        }
        clients[slot].requestTime = now
        var isChoosing = false
        if pools[pool].gate.isOpen {
            isChoosing = mayChoose(slot, pool)
            if !isChoosing, let server = takeHomeServer(pool, for: slot) {
                return link(slot, server)
            }
        }
        switch pools[pool].shared.request(
            clients[slot].id,
            of: id,
            settings: clients[slot].settings,
            isChoosing: isChoosing,
            now: now
        ) {
        case .wait(let ticket):
            clients[slot].isWaiting = true
            clients[slot].ticket = ticket
            clients[slot].wasNotified = false
            clients[slot].isChoosing = isChoosing
            if isChoosing {
                choosingClients.append(Choice(clients[slot].id, ticket: ticket, pool))
                return false
            }
            return matchInTurn(slot, pool)
        case .fail(let reason):
            closeClient(slot, reason)
            return false
        }
    }

    /// Whether it is better for a client to wait for a moment than to have a free server, because none
    /// has its settings.
    private mutating func mayChoose(_ slot: UInt32, _ pool: PoolID) -> Bool {
        pools[pool].idle.lacks(clients[slot].settings) && clients[slot].phase == .ready
            && pools[pool].tracksSettings && !pools[pool].settings.serverRoundRobin
            && !pools[pool].isolatesCustomSettings && !clients[slot].usesSequences
            && pools[pool].patienceWithServers.isWorthwhile()
    }

    private mutating func takeHomeServer(_ pool: PoolID, for slot: UInt32) -> UInt32? {
        // The one that has the values which the client has drawn from sequences.
        if clients[slot].usesSequences, let last = clients[slot].lastServer,
            servers.home(ofFree: last) == id, servers.take(last, from: id)
        {
            if isFree(last.index, ofOthersNames: slot) { return last.index }
            offer(last.index)
        }
        // Turns are taken over all servers, wherever they are.
        if pools[pool].settings.serverRoundRobin { return nil }
        let isolates = pools[pool].isolatesCustomSettings
        while let server = pools[pool].idle.take(
            preferring: clients[slot].settings,
            customNames: clients[slot].customNames,
            insisting: isolates
        ) {
            guard servers.take(server, from: id) else { continue }
            if isFree(server.index, ofOthersNames: slot) { return server.index }
            offer(server.index)
        }
        return nil
    }

    /// Whether a server knows no custom setting that a client has not touched, if that matters.
    ///
    /// It does not for a login, which asks for none.
    private func isFree(_ server: UInt32, ofOthersNames slot: UInt32) -> Bool {
        !pools[servers[server].pool].isolatesCustomSettings
            || clients[slot].customNames.isSuperset(of: servers[server].customNames)
            || clients[slot].phase == .awaitingWelcome || clients[slot].phase == .awaitingSecret
    }

    /// Has a new server opened for a client, because the one that it could have knows custom settings
    /// of others; that one makes room for it, if the pool has no more.
    private mutating func awaitNewServer(_ slot: UInt32, insteadOf server: UInt32) {
        let pool = servers[server].pool
        let (client, worker, since, now) = (clients[slot].id, id, clients[slot].requestTime, now)
        clients[slot].isWaiting = true
        clients[slot].ticket = pools[pool].shared.withLock {
            $0.awaitNewServer(client, of: worker, since: since)
        }
        openServersIfWanted(pool)
        // What is still wanted then could not be opened for a limit across pools.
        let needsRoom = pools[pool].shared.withLock {
            $0.needsRoomForNew(now: now) || $0.wantsServer(now: now)
        }
        needsRoom ? closeServer(server, .customSettingsOfOthers) : offer(server)
    }

    /// Gives free servers to those who wait, up to the client that has just begun to.
    ///
    /// - Returns: whether it can send now.
    private mutating func matchInTurn(_ slot: UInt32, _ pool: PoolID) -> Bool {
        if servedPool != pool {
            let outerPool = exchange(&servedPool, with: pool)
            defer { servedPool = outerPool }
            let client = clients[slot].id
            while let match = nextMatch(pool) {
                if match.waiter.worker == id && match.waiter.client == client {
                    guard takeIn(match) else { continue }
                    waitEnded(slot)
                    return link(slot, match.server.index)
                }
                give(match)
            }
        }
        openServersIfWanted(pool)
        return false
    }

    /// Joins a client to a free server.
    ///
    /// - Returns: whether the server is ready for the client.
    mutating func link(_ slot: UInt32, _ server: UInt32) -> Bool {
        let pool = servers[server].pool
        assert(servers[server].state.isFree && !servers[server].hasClient)
        assert(!clients[slot].hasServer && !clients[slot].isWaiting)
        if clients[slot].phase == .awaitingSecret {
            lookUp(for: slot, on: server)
            return false
        }
        guard isFree(server, ofOthersNames: slot) else {
            awaitNewServer(slot, insteadOf: server)
            return false
        }
        // A new server needs no check: its login was one.
        let isNew = !servers[server].hasServed
        let mustCheck =
            servers[server].state == .used
            || pools[pool].settings.serverCheckDelay == 0 && servers[server].hasServed
        servers[server].hasServed = true
        if clients[slot].isChoosing {
            clients[slot].isChoosing = false
            pools[pool].patienceWithServers.ended(
                wasRewarded: servers[server].settings == clients[slot].settings
            )
        }
        move(server, to: .active)
        servers[server].client = slot
        servers[server].requestTime = now
        clients[slot].server = server
        servers[server].answerCount = 0
        noteWait(of: slot, for: server)
        servers[server].isAuditDue = true
        resetEnded(server)
        servers[server].repeatableBatch.forget()
        servers[server].refusedStatement = noSlot
        if isNew { servers[server].sequenceOwner = clients[slot].number }
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

    /// Notes how long a client's request has waited for its server; a login is no request.
    private mutating func noteWait(of slot: UInt32, for server: UInt32) {
        servers[server].waitTime =
            clients[slot].phase == .ready ? now - clients[slot].requestTime : 0
    }

    /// Makes the server's settings fit its client.
    ///
    /// Values that a server has reported before go in front of the client's own messages, in the
    /// same write; those that a client asks for at login are confirmed first.
    ///
    /// - Returns: whether the client can send now.
    mutating func replaySettings(_ slot: UInt32, on server: UInt32) -> Bool {
        guard pools[servers[server].pool].tracksSettings else {
            adoptSettings(slot, from: server)
            return true
        }
        let hasOthersValues = servers[server].sequenceOwner != clients[slot].number
        if hasOthersValues { servers[server].sequenceOwner = 0 }
        let discardsSequences =
            hasOthersValues && pools[servers[server].pool].usesSequences
        guard servers[server].settings != clients[slot].settings || discardsSequences else {
            return true
        }
        let changes = states.changes(
            from: servers[server].settings,
            to: clients[slot].settings
        )
        guard !changes.isEmpty || discardsSequences else {
            adoptSettings(slot, from: server)
            return true
        }
        if discardsSequences { servers[server].sequenceOwner = clients[slot].number }
        servers[server].task = .replaying(changes)
        servers[server].replayStart = now
        servers[server].customNames.formUnion(clients[slot].customNames)
        pools[servers[server].pool].counters.replays &+= 1
        let text = InternalSQL.apply(changes, discardingSequences: discardsSequences)
        if clients[slot].phase == .ready && toServer.isEmpty
            && !changes.contains(where: { $0.canFail })
        {
            toServer.insert(internalQuery(text, to: server))
            return true
        }
        pools[servers[server].pool].counters.replayRoundTrips &+= 1
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
        noteWait(of: slot, for: clients[slot].server)
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
    mutating func internalQuery(_ text: ByteString, to server: UInt32) -> [UInt8] {
        var writer = ByteWriter()
        writer.message(.query) { $0.writeCString(text) }
        servers[server].taskError = nil
        servers[server].unnamedOwner = 0
        servers[server].machine.expect(Expectation(.query, .pooler))
        return writer.bytes
    }

    // MARK: A server is done with a client

    /// Parts a server from its client between transactions.
    ///
    /// - Parameter keepingSettings: whether the client has its own settings already; otherwise it has
    ///   the server's from now on.
    mutating func release(_ server: UInt32, keepingSettings: Bool = false) {
        let slot = part(server, keepingSettings: keepingSettings)
        if pools[servers[server].pool].settings.serverResetQueryAlways {
            resetOrFree(server)
        } else {
            becomeFree(server)
        }
        readIfWelcome(slot)
    }

    /// Takes a server from its client.
    ///
    /// - Parameter keepingSettings: as in `release`.
    /// - Returns: the client.
    mutating func part(_ server: UInt32, keepingSettings: Bool = false) -> UInt32 {
        let slot = servers[server].client
        if !keepingSettings { adoptSettings(slot, from: server) }
        detach(slot, from: server)
        return slot
    }

    private mutating func detach(_ slot: UInt32, from server: UInt32) {
        servers[server].client = noSlot
        // It was perhaps not read from because this client was slow.
        servers[server].transport.setReading(true, reactor)
        clients[slot].server = noSlot
        if clients[slot].usesSequences { clients[slot].lastServer = servers[server].id }
        clients[slot].isPreparing = false
        clients[slot].requestTime = now
        servers[server].queryStart = 0
        servers[server].transactionStart = 0
        if !servers[server].queryText.isEmpty {
            servers[server].queryText.removeAll(keepingCapacity: true)
        }
    }

    /// The client of a server goes away for good.
    mutating func abandonServer(of slot: UInt32) {
        let server = clients[slot].server
        if servers[server].replication != .none { return closeOwnServer(of: slot) }
        let isBetweenMessages = clients[slot].machine.isBetweenMessages
        let wasPreparing = clients[slot].isPreparing
        detach(slot, from: server)
        if servers[server].task == .awaitingListener {
            servers[server].task = .none
        } else if wasPreparing {
            // What the server does on its own account ends first; then it is free.
            return
        }
        if servers[server].machine.isDying {
            closeServer(server, .serverConnectionLost)
        } else if servers[server].machine.isClean && isBetweenMessages {
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
        if servers[server].isSessionTouched { return cleanSession(server) }
        let isWanted = settings.poolMode == .session || settings.serverResetQueryAlways
        guard isWanted, !settings.serverResetQuery.isEmpty else { return becomeFree(server) }
        servers[server].task = .resetting
        move(server, to: .tested)
        sendInternal(settings.serverResetQuery, to: server)
    }

    /// Gives a server that is clean to the client that waits longest, or to whoever comes.
    ///
    /// - Parameter wasKept: whether it has been kept for a moment for a client that has its settings.
    mutating func becomeFree(_ server: UInt32, wasKept: Bool = false) {
        servers[server].task = .none
        let pool = servers[server].pool
        if let reason = reasonToClose(server) { return closeServer(server, reason) }
        if servers[server].cancelCount > 0 { return move(server, to: .beingCanceled) }
        move(server, to: .idle)
        servers[server].requestTime = now
        servers[server].lastAnswerTime = now
        if !servers[server].hasServed, !pools[pool].gate.isOpen,
            let waiter = pools[pool].shared.withLock({ $0.takeWaiterForNew() })
        {
            return give(Match(server: servers[server].id, home: id, waiter: waiter))
        }
        guard servedPool != pool else { return offer(server) }
        let isAwaited = !pools[pool].gate.isOpen
        if isAwaited || pools[pool].gate.hasChoosing, giveToWaiter(server, insisting: true) {
            return
        }
        guard isAwaited else { return offer(server) }
        let now = now
        // Rather than to open one more, nobody waits for a better one.
        let wantsMore = pools[pool].shared.withLock { $0.wantsServer(now: now) }
        if !wasKept, !wantsMore, pools[pool].patienceWithClients.isWorthwhile() {
            servers[server].isKept = true
            servers[server].requestTime = martlet_monotonic_microseconds()
            keptServers.append(servers[server].id)
        } else if !giveToWaiter(server, insisting: false) {
            offer(server)
        }
    }

    /// Gives a server to the client that waits longest, or to one whom it suits better.
    ///
    /// - Parameter insisting: whether only to one that has the server's settings.
    /// - Returns: whether there was one.
    private mutating func giveToWaiter(_ server: UInt32, insisting: Bool) -> Bool {
        let pool = servers[server].pool
        let waiter = pools[pool].shared.takeWaiter(
            near: id,
            in: servers[server].settings,
            insisting: insisting
        )
        guard let waiter else { return false }
        servers[server].isKept = false
        let outerPool = exchange(&servedPool, with: pool)
        give(Match(server: servers[server].id, home: id, waiter: waiter))
        servedPool = outerPool
        serveWaiters(pool)
        return true
    }

    /// Gives servers that were kept for clients with their settings to those that have come, and to
    /// others when the moment is over.
    ///
    /// - Parameter isOver: whether it is in any case, because nothing has happened in it.
    mutating func serveFromKept(isOver: Bool) {
        var keptCount = 0
        var index = 0
        // Not `for`: a server may come free, and be kept, while another is given away.
        while index < keptServers.count {
            let (id, slot) = (keptServers[index], keptServers[index].index)
            index += 1
            guard servers.holds(slot, generation: id.generation), servers[slot].isKept else {
                continue
            }
            let pool = servers[slot].pool
            if giveToWaiter(slot, insisting: true) {
                pools[pool].patienceWithClients.ended(wasRewarded: true)
            } else if isOver || timeLeft(toKeep: slot) == 0 {
                pools[pool].patienceWithClients.ended(wasRewarded: false)
                servers[slot].isKept = false
                becomeFree(slot, wasKept: true)
            } else {
                keptServers[keptCount] = id
                keptCount += 1
            }
        }
        keptServers.removeSubrange(keptCount...)
    }

    /// How long a server that is kept may still be kept.
    func timeLeft(toKeep server: UInt32) -> Microseconds {
        pools[servers[server].pool].replayTime.left(since: servers[server].requestTime, now: now)
    }

    /// Lets clients that have waited in vain for servers with their settings have any.
    ///
    /// - Parameter isOver: as in `serveFromKept`.
    mutating func endChoices(isOver: Bool) {
        var leftCount = 0
        var index = 0
        // Not `for`: as above.
        while index < choosingClients.count {
            let choice = choosingClients[index]
            index += 1
            guard isWaiting(choice.client, ticket: choice.ticket) else { continue }
            if isOver || timeLeft(for: choice) == 0 {
                let worker = id
                pools[choice.pool].shared.withLock {
                    $0.settle(choice.client, of: worker, ticket: choice.ticket)
                }
                serveWaiters(choice.pool)
                openServersIfWanted(choice.pool)
            } else {
                choosingClients[leftCount] = choice
                leftCount += 1
            }
        }
        choosingClients.removeSubrange(leftCount...)
    }

    /// How long a client may still wait for a server with its settings.
    func timeLeft(for choice: Choice) -> Microseconds {
        pools[choice.pool].replayTime.left(since: choice.start, now: now)
    }

    /// Why a server that has become free is not to be used again.
    private func reasonToClose(_ server: UInt32) -> CloseReason? {
        if servers[server].isCloseNeeded { return .serverCloseNeeded }
        if servers[server].machine.isUncertain { return .uncertainState }
        if servers[server].machine.isDying { return .serverConnectionLost }
        if isOverLifetime(server) { return .serverLifetimeOver }
        let pool = servers[server].pool
        if pools[pool].gate.isOpen { return nil }
        let (isNew, now) = (!servers[server].hasServed, now)
        let (reason, isContended, since) = pools[pool].shared.withLock {
            ($0.reasonToCloseFree(isNew: isNew, now: now), $0.isContended, $0.firstSharedWaitTime)
        }
        guard reason == nil, isContended, !isNew else { return reason }
        let (key, host) = (pools[pool].key, servers[server].host)
        let mustYield = shared.pools.withLock {
            $0.mustYield(key, at: host, since: since, now: now)
        }
        return mustYield ? .evicted : nil
    }

    /// Lets any worker take a free server, and sees to those who began to wait meanwhile.
    ///
    /// After this the server may be another worker's.
    mutating func offer(_ server: UInt32) {
        let pool = servers[server].pool
        servers[server].isKept = false
        servers[server].transport.settle(reactor)
        pools[pool].idle.insert(
            servers[server].id,
            settings: servers[server].settings,
            customNames: servers[server].customNames
        )
        servers.free(server)
        if !pools[pool].gate.isOpen { serveWaiters(pool) }
    }

    /// Hands free servers to waiting clients, the longest waiting first.
    ///
    /// A client that needs its server for a moment only frees it again before the next is looked
    /// at: that is left to the loop that runs already, because thousands of clients can wait.
    mutating func serveWaiters(_ pool: PoolID) {
        guard servedPool != pool else { return }
        let outerPool = exchange(&servedPool, with: pool)
        defer { servedPool = outerPool }
        while let match = nextMatch(pool) { give(match) }
    }

    // MARK: The queue

    /// Whether a client of this worker waits under a ticket.
    func isWaiting(_ client: ClientID, ticket: UInt32) -> Bool {
        clients.holds(client.index, generation: client.generation)
            && clients[client.index].isWaiting && clients[client.index].ticket == ticket
    }

    /// Takes a client out of its pool's queue.
    mutating func endWait(_ slot: UInt32) {
        guard clients[slot].isWaiting, let pool = clients[slot].pool else { return }
        let (client, ticket) = (clients[slot].id, clients[slot].ticket)
        let worker = id
        // If it has been given a server already, that goes to the next when it arrives.
        _ = pools[pool].shared.withLock { $0.leave(client, of: worker, ticket: ticket) }
        clients[slot].isChoosing = false
        waitEnded(slot)
    }

    mutating func waitEnded(_ slot: UInt32) {
        guard clients[slot].isWaiting, let pool = clients[slot].pool else { return }
        clients[slot].isWaiting = false
        pools[pool].counters.waitMicroseconds &+= UInt64(max(0, now - clients[slot].requestTime))
    }

    /// Puts a client whose server died before it was used back to the head of the queue.
    ///
    /// It has waited since it asked for the first server: the limit of its wait still holds.
    mutating func waitAgain(_ slot: UInt32) {
        let server = clients[slot].server
        let since = clients[slot].requestTime
        detach(slot, from: server)
        clients[slot].isWaiting = true
        clients[slot].requestTime = since
        rejoin(slot)
    }

    mutating func rejoin(_ slot: UInt32) {
        guard let pool = clients[slot].pool else { return }
        let (client, worker, since) = (clients[slot].id, id, clients[slot].requestTime)
        clients[slot].ticket = pools[pool].shared.withLock {
            $0.putBack(client, of: worker, since: since)
        }
    }

    /// Changes what a server is counted as.
    mutating func move(_ server: UInt32, to state: ServerState) {
        let old = exchange(&servers[server].state, with: state)
        guard old.isCounted || state.isCounted else { return }
        pools[servers[server].pool].shared.withLock { $0.serverMoved(from: old, to: state) }
    }

    /// Has a server replaced as soon as it is free.
    mutating func requireClose(_ server: UInt32) {
        guard !servers[server].isCloseNeeded else { return }
        servers[server].isCloseNeeded = true
        pools[servers[server].pool].shared.withLock { $0.outdatedCount += 1 }
    }
}

/// A client's wait for a server with its settings.
struct Choice {
    let client: ClientID
    let ticket: UInt32
    let pool: PoolID
    let start: Microseconds

    init(_ client: ClientID, ticket: UInt32, _ pool: PoolID) {
        self.client = client
        self.ticket = ticket
        self.pool = pool
        start = martlet_monotonic_microseconds()
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
