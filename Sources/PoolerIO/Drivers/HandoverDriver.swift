// A takeover as the old process sees it: connections go to the new process one by one, each as soon as it
// is quiet. Clients without a server can always go; a client with one when the server owes nothing and is
// not in the middle of something for the pooler, be it in a transaction; a server without a client when
// it is free. What cannot be moved stays until it ends: also connections with TLS, whose keys are in this
// process only.

internal import CLinux
internal import Logging
internal import PoolerCore
internal import PostgresWire

/// A client that is leaving its event loop for another process.
struct Departure {
    enum Kind {
        /// It begins again.
        case newcomer(isReturned: Bool)
        case login(isAuthenticated: Bool)
        case client
        case pair(server: UInt32)
    }

    let kind: Kind
    /// Where it goes; nil for the process that this one takes over from.
    let handover: Handover?
    /// How many of its connections have not left yet.
    var missingCount: Int
}

extension Worker {
    // MARK: The chief

    /// A client of the console has asked for everything that this process has.
    mutating func takeOver(_ slot: UInt32) -> ConsoleOutcome? {
        guard isOwner(slot) else { return .failed(.adminAccessNeeded) }
        if lifecycle.isShuttingDown { return .failed(.shuttingDown) }
        guard successor == nil, shared.foreign.predecessor == nil else {
            return .failed(.takeoverUnderWay)
        }
        clients[slot].phase = .leaving
        if clients[slot].transport.detach(from: reactor) { successorArrived(slot) }
        return nil
    }

    /// The connection to the process that takes over has left the event loop.
    mutating func successorArrived(_ slot: UInt32) {
        let descriptor = clients[slot].transport.takeDescriptor()
        removeClient(slot)
        let sockets = listeners.map(\.descriptor).filter { $0 >= 0 }
        do throws(SystemError) {
            let handover = try Handover(descriptor, shared)
            handover.post(
                TakeoverParcel(
                    .hello(
                        version: TakeoverMessage.version,
                        generation: shared.generation + 1,
                        listenerCount: sockets.count
                    ),
                    sockets
                )
            )
            successor = handover
            handover.start()
            log.info("takeover: another process takes over")
        } catch {
            log.error("takeover: \(error)")
        }
    }

    /// The new process can take over: this one takes no more clients.
    mutating func successorIsReady() {
        guard successor != nil, !lifecycle.isHandingOver else { return }
        lifecycle.isHandingOver = true
        if issue(.lifecycle(lifecycle), sequel: .beginHandover) != nil { beginHandover() }
    }

    /// No worker accepts any more.
    mutating func beginHandover() {
        guard let successor, lifecycle.isHandingOver else { return }
        let heldBack = shared.pools.withLock { $0.heldBackDatabases }
        successor.post(
            TakeoverParcel(
                .begin(
                    BeginRecord(
                        nextNumber: shared.takeNumber(),
                        clientCount: shared.loads.total,
                        isPaused: lifecycle.isPaused,
                        pausedDatabases: heldBack.paused,
                        disabledDatabases: heldBack.disabled,
                        pools: shared.pools.pools().map { record(of: $0) }
                    )
                )
            )
        )
        log.info("takeover: the other process has begun to take clients")
        shared.isChiefWaiting = true
        issue(.handOver(successor))
    }

    private func record(of pool: SharedPool) -> PoolRecord {
        let key = pool.key
        let target = directory.configuration.database(named: key.database)?.target ?? ""
        let (record, defaults) = pool.withLock { pool in
            if let defaults = pool.defaults { states.retain(defaults) }
            let record = PoolRecord(
                key: PoolKeyRecord(key),
                target: target,
                credentials: CredentialsRecord(pool.credentials),
                fixedParameters: pool.fixedParameters,
                defaults: nil,
                customNames: pool.customNames.sorted(),
                serverCount: pool.sharedServerCount + pool.replicationCount
            )
            return (record, pool.defaults)
        }
        guard let defaults else { return record }
        defer { states.release(defaults) }
        var complete = record
        complete.defaults = states.records(of: defaults)
        return complete
    }

    /// The new process has gone: what it has not taken goes on here.
    mutating func successorIsLost(_ adoptions: [Adoption]) {
        if successor != nil {
            successor = nil
            log.warning("takeover: the other process has gone; this one goes on with what it has")
            lifecycle.isHandingOver = false
            issue(.lifecycle(lifecycle))
            issue(.handOver(nil))
            PIDFile.rewrite(settings.pidfile, log)
        }
        for adoption in adoptions {
            guard adoption.parcel.message.descriptorCount > 0 else { continue }
            let worker =
                adoption.parcel.message.hasClient
                ? shared.loads.place(acceptedBy: id) : shared.nextServerHome()
            shared.post(.adopt(adoption), to: worker)
        }
    }

    /// Where another process has taken over, the files are its own.
    mutating func leaveFilesIfHandedOver() {
        guard handover != nil else { return }
        for index in listeners.indices { listeners[index].isPassed = true }
    }

    // MARK: Every worker

    /// Gives away what can go now.
    mutating func handOver() {
        guard let handover else { return }
        var remaining = 0
        var stayingPools: Set<PoolID> = []
        for slot in 0..<UInt32(clients.slotCount) where clients.isUsed(slot) {
            switch clients[slot].phase {
            case .console, .draining: continue
            case _ where clients[slot].transport.hasTLS:
                if let pool = clients[slot].pool { stayingPools.insert(pool) }
            case .startup: depart(slot, .newcomer(isReturned: false))
            case .awaitingWelcome: departInLogin(slot, isAuthenticated: true)
            case .awaitingSecret: departInLogin(slot, isAuthenticated: false)
            case .ready: departIfQuiet(slot)
            case .shakingHands, .authenticating, .replicating, .leaving, .departing: break
            }
            remaining += 1
        }
        hasStayingClients = !stayingPools.isEmpty
        for slot in 0..<servers.slotCount {
            if servers.isHeld(slot) {
                if !servers[slot].isListener { remaining += 1 }
            } else if servers.takeFree(slot) {
                if stayingPools.contains(servers[slot].pool) {
                    offer(slot)
                } else {
                    remaining += 1
                    departFree(slot)
                }
            }
        }
        if handover.setRemaining(remaining, of: id) { connectionGone() }
    }

    private mutating func departIfQuiet(_ slot: UInt32) {
        guard !clients[slot].hasServer else { return departWithServer(slot) }
        guard !clients[slot].isPreparing, !clients[slot].isHeldBack else { return }
        endWait(slot)
        deliverNotifications(to: slot)
        depart(slot, .client)
    }

    private mutating func departWithServer(_ slot: UInt32) {
        let server = clients[slot].server
        guard !clients[slot].isBlocked, clients[slot].machine.isBetweenMessages,
            clients[slot].unnamedPending.isEmpty,
            servers[server].task == .none, servers[server].machine.canMove,
            servers[server].replication == .none, servers[server].held.isEmpty,
            servers[server].cancelCount == 0, servers[server].transport.isDrained,
            servers[server].startChanges.isEmpty, servers[server].probe == nil,
            servers[server].awaitedDescriptions.isEmpty, !servers[server].transport.hasTLS,
            clients[slot].subscriptions == noSlot
                || subscriptions[clients[slot].subscriptions].canMove
        else { return }
        servers[server].task = .departing
        depart(slot, .pair(server: server))
        if servers[server].transport.detach(from: reactor) { serverDeparted(server) }
    }

    /// A client that waits for the pooler before it has been let in.
    private mutating func departInLogin(_ slot: UInt32, isAuthenticated: Bool) {
        guard !clients[slot].hasServer, let plan = clients[slot].login?.plan,
            plan.request.replication == .none
        else { return }
        if isAuthenticated {
            endWait(slot)
        } else {
            stopLookingUp(slot, .clientCloseRequest)
        }
        depart(slot, .login(isAuthenticated: isAuthenticated))
    }

    /// Takes a client out of the event loop, to send it to another process.
    mutating func depart(_ slot: UInt32, _ kind: Departure.Kind) {
        let missingCount = if case .pair = kind { 2 } else { 1 }
        departures[slot] = Departure(
            kind: kind,
            handover: handover,
            missingCount: missingCount
        )
        clients[slot].phase = .departing
        if clients[slot].transport.detach(from: reactor) { clientDeparted(slot) }
    }

    private mutating func departFree(_ slot: UInt32) {
        guard servers[slot].destination == nil, servers[slot].cancelCount == 0 else { return }
        if servers[slot].isCloseNeeded || servers[slot].transport.hasTLS {
            return closeServer(slot, .serverCloseNeeded)
        }
        servers[slot].task = .departing
        departingServers[slot] = handover
        if servers[slot].transport.detach(from: reactor) { serverDeparted(slot) }
    }

    /// A client has left the event loop.
    mutating func clientDeparted(_ slot: UInt32) {
        departures[slot]?.missingCount -= 1
        sendIfDeparted(slot)
    }

    /// A server has left the event loop.
    mutating func serverDeparted(_ slot: UInt32) {
        guard servers[slot].hasClient else {
            let parcel = TakeoverParcel(
                .server(record(ofServer: slot)),
                [servers[slot].transport.takeDescriptor()]
            )
            post(parcel, statementsOf: noSlot, slot, to: departingServers[slot])
            departingServers[slot] = nil
            return serverHasGone(slot)
        }
        let client = servers[slot].client
        departures[client]?.missingCount -= 1
        sendIfDeparted(client)
    }

    private mutating func sendIfDeparted(_ slot: UInt32) {
        guard let departure = departures[slot], departure.missingCount == 0 else { return }
        departures[slot] = nil
        let descriptor = clients[slot].transport.takeDescriptor()
        switch departure.kind {
        case .newcomer(let isReturned):
            let parcel = TakeoverParcel(
                .newcomer(record(ofNewcomer: slot, isReturned: isReturned)),
                [descriptor]
            )
            if isReturned {
                _ = shared.foreign.predecessor?.forward(parcel)
                parcel.discard()
            } else {
                departure.handover?.post(parcel)
            }
        case .login(let isAuthenticated):
            let record = record(ofLogin: slot, isAuthenticated: isAuthenticated)
            departure.handover?.post(TakeoverParcel(.login(record), [descriptor]))
        case .client:
            post(
                TakeoverParcel(.client(record(ofClient: slot)), [descriptor]),
                statementsOf: slot,
                noSlot,
                to: departure.handover
            )
        case .pair(let server):
            let other = servers[server].transport.takeDescriptor()
            post(
                TakeoverParcel(
                    .pair(record(ofClient: slot), record(ofServer: server)),
                    [descriptor, other]
                ),
                statementsOf: slot,
                server,
                to: departure.handover
            )
            servers[server].client = noSlot
            clients[slot].server = noSlot
            serverHasGone(server)
        }
        clientHasGone(slot)
    }

    /// Gives a connection away, and before it the statements that it has.
    private func post(
        _ parcel: TakeoverParcel,
        statementsOf client: UInt32,
        _ server: UInt32,
        to handover: Handover?
    ) {
        guard let handover else { return parcel.discard() }
        var slots: [UInt32] = []
        let pool: PoolID
        if client != noSlot, let own = clients[client].pool {
            pool = own
            if clients[client].names != noSlot {
                slots += statementNames[clients[client].names].all.map(\.slot)
            }
            if clients[client].unnamedStatement != noSlot {
                slots.append(clients[client].unnamedStatement)
            }
        } else {
            pool = servers[server].pool
        }
        if server != noSlot {
            slots += servers[server].statements.all.map(\.slot)
            slots += servers[server].ownStatements.names.compactMap {
                servers[server].ownStatements[$0]?.slot
            }
        }
        handover.post(
            parcel,
            statements: slots,
            of: pools[pool].key,
            mark: pools[pool].statementMark
        )
    }

    private mutating func clientHasGone(_ slot: UInt32) {
        giveBack(slot)
        removeClient(slot)
    }

    private mutating func serverHasGone(_ slot: UInt32) {
        if !servers[slot].pins.isEmpty {
            pools[servers[slot].pool].shared.withLock { $0.pinnedCount -= 1 }
        }
        forgetServer(slot, nil)
    }
}
