// A takeover as the new process sees it: connections come from the old one, and go on here as if they
// had always been here. The same is done by the old process with what the new one has not taken.

internal import CLinux
internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// Takes a connection that has come from another process; it has been counted for this worker.
    mutating func adopt(_ adoption: Adoption) {
        let descriptors = adoption.parcel.descriptors
        switch adoption.parcel.message {
        case .client(let client):
            guard let slot = adopt(client, descriptors[0], adoption.statements) else { return }
            goOn(slot, client)
        case .pair(let client, let server):
            adopt(client, server, descriptors, adoption.statements)
        case .server(let server):
            guard let slot = adopt(server, descriptors[0], adoption.statements) else { return }
            freeAdopted(slot, server)
        case .login(let login): adopt(login, descriptors[0])
        case .newcomer(let newcomer):
            adopt(newcomer, descriptors[0])
        case .hello, .ready, .begin, .statement, .serverLeft, .clientLeft, .accepted, .end:
            adoption.parcel.discard()
        }
    }

    // MARK: Clients

    private mutating func adopt(_ newcomer: NewcomerRecord, _ descriptor: Int32) {
        // One that came to the chief as a CancelRequest is nobody's yet.
        if newcomer.isReturned { shared.loads.add(1, to: id) }
        let address = SocketAddress(newcomer.address)
        guard let slot = addClient(descriptor, address, number: newcomer.number) else { return }
        guard !newcomer.held.isEmpty else { return }
        clients[slot].isReturned = newcomer.isReturned
        clients[slot].held = newcomer.held
        continueLogin(slot)
    }

    private mutating func adopt(_ record: LoginRecord, _ descriptor: Int32) {
        let address = SocketAddress(record.address)
        guard let slot = addClient(descriptor, address, number: record.number) else { return }
        clients[slot].cancelSecret = record.cancelSecret
        clients[slot].held = record.held
        clients[slot].transport.send(unsafe record.unsent.span.bytes, reactor)
        continueLogin(
            slot,
            database: record.database,
            user: record.user,
            settings: record.settings.map { StartupParameter(name: $0.name, value: $0.value) },
            isAuthenticated: record.isAuthenticated
        )
    }

    private mutating func adopt(
        _ record: ClientRecord,
        _ descriptor: Int32,
        _ known: TakeoverStatements
    ) -> UInt32? {
        let address = SocketAddress(record.address)
        guard let slot = addClient(descriptor, address, number: record.number) else { return nil }
        let pool = enterPool(record.pool.key)
        clients[slot].pool = pool.id
        clients[slot].database = pool.key.database
        clients[slot].user = record.user == pool.key.user ? pool.key.user : record.user
        shared.pools.withLock {
            $0.clientAdopted(database: pool.key.database, user: record.user)
        }
        clients[slot].isCounted = true
        clients[slot].phase = .ready
        clients[slot].cancelSecret = record.cancelKey.secretKey
        clients[slot].foreignProcess = record.cancelKey.processID
        shared.foreign[cancelKeys.canonical(record.cancelKey)] = ClientPlace(
            client: clients[slot].id,
            worker: id
        )
        clients[slot].connectTime = record.connectTime
        clients[slot].requestTime = record.requestTime
        clients[slot].settings = states.state(of: record.settings)
        clients[slot].startSettings = states.state(of: record.startSettings)
        clients[slot].watchesResets = mustWatchForResets(of: slot)
        clients[slot].scanRules = states.scanRules(of: clients[slot].settings)
        clients[slot].usesSequences = record.usesSequences
        if record.usesSequences { pools[pool.id].usesSequences = true }
        clients[slot].hasOwnAnswers = record.hasOwnAnswers
        if !record.customNames.isEmpty {
            clients[slot].customNames = pool.withLock {
                $0.customNameBook.set(adopting: record.customNames)
            }
        }
        adoptStatements(record, of: slot, known)
        if !record.channels.isEmpty { adoptChannels(record.channels, of: slot) }
        clients[slot].held = record.held
        return slot
    }

    /// The pool of a connection that another process has let in, with one client more.
    private mutating func enterPool(_ key: PoolKey, clientCount: Int = 1) -> SharedPool {
        let configuration = directory.configuration
        while true {
            let pool = shared.pools.pool(
                for: key,
                settings: configuration.effectiveSettings(
                    database: configuration.database(named: key.database),
                    user: key.user
                )
            )
            // It can be forgotten in just this moment.
            let hasEntered = pool.withLock { pool in
                if !pool.isForgotten { pool.clientCount += clientCount }
                return !pool.isForgotten
            }
            guard hasEntered else { continue }
            adopt(pool)
            return pool
        }
    }

    private mutating func adoptStatements(
        _ record: ClientRecord,
        of slot: UInt32,
        _ known: TakeoverStatements
    ) {
        for item in record.statements {
            guard let statement = known[item.serial] else { continue }
            statements.retain(statement)
            if clients[slot].names == noSlot {
                clients[slot].names = statementNames.nextIdentity.slot
                statementNames.insert(ClientStatements())
            }
            _ = statementNames[clients[slot].names].insert(
                name: item.name,
                slot: statement,
                serial: item.serial,
                effects: item.effects,
                text: item.text,
                bodyByteCount: item.bodyByteCount
            )
        }
        clients[slot].unnamedEffects = record.unnamedEffects
        guard let unnamed = record.unnamed, let statement = known[unnamed.serial] else { return }
        statements.retain(statement)
        clients[slot].unnamedStatement = statement
        clients[slot].canReuseUnnamed = record.canReuseUnnamed
        clients[slot].isUnnamedReused = record.isUnnamedReused
    }

    /// Goes on with what a client has sent, and what it has not been sent.
    private mutating func goOn(_ slot: UInt32, _ record: ClientRecord) {
        clients[slot].transport.send(unsafe record.unsent.span.bytes, reactor)
        waitForReader(slot)
        guard let pool = clients[slot].pool,
            directory.configuration.database(named: pools[pool].key.database) != nil
        else { return closeClient(slot, .databaseRemoved) }
        resume(slot)
    }

    // MARK: Servers

    private mutating func adopt(
        _ record: ServerRecord,
        _ descriptor: Int32,
        _ known: TakeoverStatements
    ) -> UInt32? {
        let key = record.pool.key
        let pool = enterPool(key, clientCount: 0)
        let (number, now) = (shared.takeNumber(), now)
        let id = servers.insert { id in
            Server(
                id: id,
                number: number,
                pool: pool.id,
                host: record.host,
                task: .none,
                now: now
            )
        }
        shared.takeForeignSeat(of: pool)
        guard let id else {
            close(descriptor)
            return nil
        }
        shared.pools.withLock { $0.serversAdopted(of: key, at: record.host, count: 1) }
        let slot = id.index
        pool.withLock { $0.serverAdopted(id, at: record.host) }
        fill(slot, from: record, pool, known)
        let token = Token(.server, slot: slot, generation: id.generation)
        servers[slot].transport = Transport(descriptor: descriptor, token: token)
        guard servers[slot].transport.add(to: reactor) else {
            closeServer(slot, .serverConnectionLost)
            return nil
        }
        if record.isCloseNeeded || !shared.isForeignTargetSame(key) { requireClose(slot) }
        return slot
    }

    private mutating func fill(
        _ slot: UInt32,
        from record: ServerRecord,
        _ pool: SharedPool,
        _ known: TakeoverStatements
    ) {
        servers[slot].state = .active
        servers[slot].endpoint = Endpoint(record.endpoint)
        servers[slot].localAddress = SocketAddress(record.localAddress)
        servers[slot].cancelKey = record.cancelKey
        servers[slot].machine = ServerMachine(
            settledIn: record.transactionStatus,
            hasChangedSchema: record.hasChangedSchema
        )
        servers[slot].settings = states.state(of: record.settings)
        if !record.customNames.isEmpty {
            servers[slot].customNames = pool.withLock {
                $0.customNameBook.set(adopting: record.customNames)
            }
        }
        let generation = shared.schemaGeneration
        for item in record.statements {
            guard let statement = known[item.serial], !servers[slot].statements.contains(statement)
            else { continue }
            statements.retain(statement)
            servers[slot].statements.insert(
                statement,
                of: item.isCurrent ? generation : generation &- 1
            )
            if !item.isFit { servers[slot].statements.becameUnfit(statement) }
        }
        for item in record.ownStatements {
            guard let statement = known[item.serial] else { continue }
            statements.retain(statement)
            servers[slot].ownStatements[item.name] = OwnStatement(slot: statement, text: item.text)
        }
        servers[slot].unnamedOwner = record.unnamedOwner
        servers[slot].sequenceOwner = record.sequenceOwner
        servers[slot].doubts = record.doubts
        servers[slot].pins = record.pins
        if !record.pins.isEmpty { pool.withLock { $0.pinnedCount += 1 } }
        servers[slot].pinTime = record.pinTime
        servers[slot].pinStatement = record.pinStatement
        servers[slot].isPinNoticed = record.isPinNoticed
        servers[slot].hasChannels = record.hasChannels
        servers[slot].hasAllChannels = record.hasAllChannels
        servers[slot].answerCount = record.answerCount
        servers[slot].queryStart = record.queryStart
        servers[slot].transactionStart = record.transactionStart
        servers[slot].isAuditDue = record.isAuditDue
        servers[slot].hasServed = record.hasServed
        servers[slot].connectTime = record.connectTime
        servers[slot].requestTime = record.requestTime
        servers[slot].lastAnswerTime = record.lastAnswerTime
        servers[slot].lifetime = record.lifetime
    }

    private mutating func freeAdopted(_ slot: UInt32, _ record: ServerRecord) {
        let key = record.pool.key
        guard directory.configuration.database(named: key.database) != nil else {
            return closeServer(slot, .databaseRemoved)
        }
        servers[slot].state = .idle
        let generation = servers[slot].id.generation
        if !record.held.isEmpty { serverReceived(slot, unsafe record.held.span.bytes) }
        guard servers.holds(slot, generation: generation) else { return }
        becomeFree(slot)
    }

    // MARK: Both

    private mutating func adopt(
        _ client: ClientRecord,
        _ server: ServerRecord,
        _ descriptors: [Int32],
        _ known: TakeoverStatements
    ) {
        let serverSlot = adopt(server, descriptors[1], known)
        guard let slot = adopt(client, descriptors[0], known) else {
            if let serverSlot { closeServer(serverSlot, .uncertainState) }
            return
        }
        guard let serverSlot else {
            return closeClient(slot, .serverConnectionLost)
        }
        servers[serverSlot].client = slot
        clients[slot].server = serverSlot
        let id = clients[slot].id
        if !server.held.isEmpty { serverReceived(serverSlot, unsafe server.held.span.bytes) }
        if clients.holds(slot, generation: id.generation), clients[slot].phase == .ready {
            goOn(slot, client)
        }
    }

    // MARK: The other process

    /// The old process takes no more clients: this one does.
    mutating func predecessorBegun(isPaused: Bool) {
        awaitsPredecessor = false
        if isPaused, isChief, !lifecycle.isPaused { setPaused(true, database: nil) }
        watchListeners(true)
    }

    /// The old process has gone.
    ///
    /// If it has not even begun, clients find nobody else.
    mutating func predecessorIsGone() {
        guard awaitsPredecessor else { return }
        awaitsPredecessor = false
        watchListeners(true)
    }
}
