// Replication connections: a client that asks for one gets a server of its own, opened for it with what
// it has asked for, and closed when either of the two goes. Nothing is tracked or replayed; their bytes
// pass as they are, for as long as the stream may last.
//
// Source: PostgreSQL documentation, section 55.4 "Streaming Replication Protocol".

internal import PoolerCore
internal import PostgresWire

extension Worker {
    // MARK: A server of one's own

    /// Gives a client that has just proved who it is a place in the queue for servers of one's own.
    mutating func awaitReplication(_ slot: UInt32) {
        guard let pool = clients[slot].pool else { return }
        if lifecycle.shutdown == .waitForServers { return closeClient(slot, .serverShuttingDown) }
        clients[slot].requestTime = now
        queueForReplication(slot, pool, isAgain: false)
        openServersIfWanted(pool)
    }

    private mutating func queueForReplication(_ slot: UInt32, _ pool: PoolID, isAgain: Bool) {
        let (client, worker, since) = (clients[slot].id, id, clients[slot].requestTime)
        clients[slot].isWaiting = true
        clients[slot].wasNotified = false
        clients[slot].ticket = pools[pool].shared.withLock {
            $0.awaitReplication(client, of: worker, since: since, isAgain: isAgain)
        }
    }

    /// Opens servers for those clients of this worker that wait for their own, as far as there is room
    /// or free servers can be closed to make some.
    mutating func openReplicationServers(_ pool: PoolID) {
        let worker = id
        let waiters = pools[pool].shared.withLock { $0.replicationWaiters(of: worker) }
        let now = now
        for waiter in waiters where isWaiting(waiter.client, ticket: waiter.ticket) {
            guard makeRoomForReplication(pool) else { return }
            // What is closed meanwhile makes room for this client, not for others.
            let outerPool = exchange(&clearedPool, with: pool)
            let isOpened = openServer(pool, for: waiter.client.index) {
                $0.admitReplication(waiter, now: now)
            }
            clearedPool = outerPool
            // One that failed at once has told its client so; the next may have better luck.
            if !isOpened && isWaiting(waiter.client, ticket: waiter.ticket) { return }
        }
    }

    /// Closes free servers of a pool that has as many as it may have.
    ///
    /// - Returns: whether there is room for another one.
    private mutating func makeRoomForReplication(_ pool: PoolID) -> Bool {
        let now = now
        let outerPool = exchange(&clearedPool, with: pool)
        defer { clearedPool = outerPool }
        while !pools[pool].shared.withLock({ $0.hasRoom(now: now) }) {
            guard let victim = pools[pool].shared.longestFreeServer(servers),
                evict(victim.server, from: victim.home, .evictedForPoolSize, for: pool)
            else { return false }
        }
        return true
    }

    /// A server has gone: the worker whose client has waited longest for one of its own can open it.
    mutating func tellReplicationOpener(_ pool: PoolID) {
        guard !pools[pool].gate.isOpen, opensServers else { return }
        let now = now
        let opener = pools[pool].shared.withLock { $0.replicationOpener(now: now) }
        if let opener, opener != id { shared.post(.roomMade(pool), to: opener) }
    }

    /// Makes a server that is being opened a client's own.
    mutating func joinForReplication(_ slot: UInt32, _ server: UInt32) {
        servers[server].replication = replicationKind(slot)
        servers[server].client = slot
        clients[slot].server = server
        clients[slot].isWaiting = false
        clients[slot].isPreparing = true
    }

    /// Which replication a client has asked for.
    func replicationKind(_ slot: UInt32) -> ReplicationKind {
        if let login = clients[slot].login { return login.plan.request.replication }
        return clients[slot].phase == .replicating && clients[slot].hasServer
            ? servers[clients[slot].server].replication : .none
    }

    // MARK: Login

    /// What a server's StartupMessage has for its client, behind what the configuration says.
    ///
    /// A physical connection knows no SET, so that this is the only place for the client's settings.
    func replicationParameters(_ server: UInt32) -> [StartupParameter] {
        let slot = servers[server].client
        guard slot != noSlot, let request = clients[slot].login?.plan.request else { return [] }
        let isNamed = request.settings.contains { $0.isApplicationName }
        var parameters = request.settings.map { parameter in
            parameter.isApplicationName
                ? nameWithHost(parameter.value, slot) : parameter
        }
        if !isNamed && settings.applicationNameAddHost {
            parameters.append(nameWithHost("app", slot))
        }
        if let options = request.options {
            parameters.append(StartupParameter(name: "options", value: options))
        }
        parameters.append(
            StartupParameter(name: "replication", value: request.replication.parameterValue)
        )
        return parameters
    }

    private func nameWithHost(_ name: ByteString, _ slot: UInt32) -> StartupParameter {
        let value =
            settings.applicationNameAddHost
            ? ByteString(name.bytes + Array(" - \(clients[slot].address.logText)".utf8)) : name
        return StartupParameter(name: "application_name", value: value)
    }

    /// A server for replication is ready for queries.
    ///
    /// - Parameter rest: what it has sent behind that.
    mutating func replicationLoginSucceeded(
        _ slot: UInt32,
        _ login: ServerLogin,
        _ rest: RawSpan
    ) {
        let pool = servers[slot].pool
        adoptLogin(slot, login)
        hostLetIn(slot)
        pools[pool].shared.withLock { pool in
            pool.loginSucceeded()
            pool.derivedKeys = login.derivedKeys
        }
        servers[slot].login = login
        let query = directory.configuration.database(named: pools[pool].key.database)?.connectQuery
        if let query, !query.isEmpty, servers[slot].replication == .logical {
            servers[slot].held = [UInt8](copying: rest)
            servers[slot].task = .settingUp
            return sendInternal(query, to: slot)
        }
        let generation = servers[slot].id.generation
        replicationBegins(slot)
        if rest.byteCount > 0, servers.holds(slot, generation: generation) {
            followAnswers(slot, rest)
        }
    }

    /// A server for replication could not be reached or refused the login.
    ///
    /// That says nothing about the other servers of its pool: only its own client is told.
    mutating func replicationLoginFailed(_ slot: UInt32, _ reason: CloseReason) {
        let pool = servers[slot].pool
        pools[pool].shared.withLock { $0.derivedKeys = nil }
        let client = servers[slot].client
        let since = client == noSlot ? now : clients[client].requestTime
        let isHopeless = attemptFailed(slot, reason, since: since)
        if client != noSlot { partForGood(client, from: slot) }
        closeServer(slot, reason)
        guard client != noSlot else { return }
        if isHopeless { return closeClient(client, Pool.repeated(reason)) }
        queueForReplication(client, pool, isAgain: true)
        openServersIfWanted(pool)
    }

    /// The client is told about its session, in its server's words; from now on they talk.
    mutating func replicationBegins(_ slot: UInt32) {
        let (pool, client) = (servers[slot].pool, servers[slot].client)
        if pools[pool].shared.withLock({ $0.isPaused }) { return waitForResume(slot) }
        let parameters = exchange(&servers[slot].login, with: nil)?.parameters ?? []
        move(slot, to: .active)
        servers[slot].hasServed = true
        servers[slot].requestTime = now
        servers[slot].lastAnswerTime = now
        pools[pool].shared.withLock { $0.replicationServerReady() }
        pools[pool].counters.clientLogins &+= 1
        pools[pool].counters.serverAssignments &+= 1
        pools[pool].counters.waitMicroseconds &+= UInt64(max(0, now - clients[client].requestTime))
        clients[client].requestTime = now
        clients[client].isPreparing = false
        clients[client].phase = .replicating
        clients[client].attachment = .none
        adoptSettings(client, from: slot)
        var writer = ByteWriter(capacity: 1_024)
        writer.authenticationRequest(.ok)
        for parameter in parameters {
            writer.parameterStatus(name: parameter.name, value: parameter.value)
        }
        writer.backendKeyData(cancelKey(of: client))
        writer.readyForQuery(.idle)
        clients[client].transport.send(unsafe writer.bytes.span.bytes, reactor)
        logClientLogin(client)
        resume(client)
    }

    /// The pool was paused while a server logged in: its client waits for another one.
    private mutating func waitForResume(_ slot: UInt32) {
        let (pool, client) = (servers[slot].pool, servers[slot].client)
        partForGood(client, from: slot)
        closeServer(slot, .paused)
        if lifecycle.shutdown == .waitForServers { return closeClient(client, .serverShuttingDown) }
        queueForReplication(client, pool, isAgain: true)
    }

    // MARK: Passing bytes on

    /// Bytes came from a client that replicates.
    mutating func clientReplicated(_ slot: UInt32, _ bytes: RawSpan) {
        if let pool = clients[slot].pool {
            pools[pool].counters.bytesReceived &+= UInt64(bytes.byteCount)
        }
        if clients[slot].held.isEmpty {
            forwardToOwnServer(slot, bytes)
        } else {
            hold(slot, bytes)
            resume(slot)
        }
    }

    /// Sends a client's messages on to the server that is its own.
    ///
    /// Their headers are looked at, so that it is known when the client leaves, and what is answered.
    mutating func forwardToOwnServer(_ slot: UInt32, _ bytes: RawSpan) {
        let (server, limit) = (clients[slot].server, settings.maxPacketSize)
        var offset = 0
        while offset < bytes.byteCount {
            switch clients[slot].machine.next(bytes, at: offset, limit: limit) {
            case .body(let end, _):
                toServer.take(offset..<end, of: bytes)
                offset = end
            case .message(let request, let header):
                if case .terminate = request {
                    flushToServer(slot, bytes)
                    return closeClient(slot, .clientCloseRequest)
                }
                startClock(server)
                if let expected = request.expectation {
                    servers[server].machine.expect(Expectation(expected, .client))
                }
                offset = passOn(header, at: offset, of: bytes, from: slot)
            case .incomplete:
                hold(slot, bytes.extracting(offset..<bytes.byteCount))
                return flushToServer(slot, bytes)
            case .protocolViolation:
                flushToServer(slot, bytes)
                return closeClient(slot, .clientProtocolViolation("bad packet header"))
            }
        }
        flushToServer(slot, bytes)
    }

    // MARK: The end

    /// Looks after a server for replication.
    ///
    /// Such a connection may last for ever: what is to be replaced is closed at once, as PgBouncer
    /// does. A stream is not a query that takes long.
    mutating func inspectReplication(_ slot: UInt32) {
        if servers[slot].isCloseNeeded {
            return closeClient(servers[slot].client, .databaseConfigurationChanged)
        }
        inspectIdleTransaction(slot)
    }

    /// The client of a server for replication goes, and with it the server.
    mutating func closeOwnServer(of slot: UInt32) {
        let server = clients[slot].server
        partForGood(slot, from: server)
        // Not behind half a message.
        if servers[server].state == .active && clients[slot].machine.isBetweenMessages {
            sendTerminate(server)
        }
        closeServer(server, .replicationClientClosed)
    }

    private mutating func partForGood(_ slot: UInt32, from server: UInt32) {
        servers[server].client = noSlot
        clients[slot].server = noSlot
        clients[slot].isPreparing = false
    }
}

extension ClientRequest {
    /// What the server answers it with.
    fileprivate var expectation: Expectation.Request? {
        switch self {
        case .query: .query
        case .sync: .sync
        case .execute: .execute
        case .extended(let request), .named(let request): request
        case .copyEnd: .copyEnd
        case .flush, .copyData, .terminate: nil
        }
    }
}
