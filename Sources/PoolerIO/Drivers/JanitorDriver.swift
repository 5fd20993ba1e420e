// What time does to connections: a few times a second everything that can be overdue is looked at.
// Idle clients are not: what they cost does not depend on how many there are, unless
// client_idle_timeout is set.

internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// Looks after everything that depends on time.
    mutating func tick() {
        if isAcceptPaused {
            isAcceptPaused = false
            watchListeners(true)
        }
        // Nobody is to blame for what is not done while the pooler is suspended.
        if isSuspended {
            mustAdvanceLifecycle = isChief
            return
        }
        closeOverdueLogins()
        for slot in 0..<UInt32(cancelers.slotCount)
        where cancelers.isUsed(slot) && cancelers[slot].deadline <= now {
            endCanceler(slot, .timeout)
        }
        inspectPeers()
        inspectServers()
        if isChief {
            shared.pools.markContended(now: now)
            for pool in shared.pools.pools() { adopt(pool) }
        }
        for pool in pools.ids { inspectPool(pool) }
        inspectListeners()
        closeIdleClients()
        if isChief {
            advanceStatistics()
            warnOfExpiry()
            mustAdvanceLifecycle = true
            if let period = supervisor.watchdogPeriod, now - lastSignOfLife >= period {
                lastSignOfLife = now
                supervisor.isAlive()
            }
        }
    }

    /// Says once a day which certificates are about to expire.
    private mutating func warnOfExpiry() {
        guard now >= nextExpiryWarning else { return }
        nextExpiryWarning = now + .seconds(86_400)
        for warning in tls.certificates().compactMap(\.warning) { log.warning("\(warning)") }
    }

    private mutating func closeOverdueLogins() {
        var queue = exchange(&loginQueue, with: LoginQueue())
        queue.prune { client in
            guard clients.holds(client.index, generation: client.generation) else { return true }
            switch clients[client.index].phase {
            case .startup, .shakingHands, .authenticating, .awaitingSecret, .awaitingWelcome,
                .leaving:
                return false
            case .ready, .replicating, .console, .departing, .draining: return true
            }
        }
        loginQueue = queue
        while let client = loginQueue.takeOverdueLogin(now: now) {
            guard clients.holds(client.index, generation: client.generation) else { continue }
            switch clients[client.index].phase {
            case .startup, .shakingHands, .authenticating, .leaving:
                closeClient(client.index, .clientLoginTimeout)
            case .awaitingSecret, .awaitingWelcome:
                closeClient(client.index, .clientLoginTimeoutServerDown)
            case .ready, .replicating, .console, .departing, .draining: continue
            }
        }
        while let client = loginQueue.takeOverdueDrain(now: now) {
            if clients.holds(client.index, generation: client.generation) {
                removeClient(client.index)
            }
        }
    }

    // MARK: Servers

    /// Looks after the servers that are here.
    ///
    /// The free ones are noted anew meanwhile, so that what the pools of this worker know of them
    /// does not grow.
    private mutating func inspectServers() {
        for pool in pools.ids { pools[pool].idle.removeAll() }
        for slot in 0..<servers.slotCount {
            if servers.isHeld(slot) {
                inspectServer(slot)
            } else if servers.takeFree(slot) {
                let generation = servers[slot].id.generation
                inspectIdleServer(slot)
                if servers.holds(slot, generation: generation), !auditIfDue(slot) { offer(slot) }
            }
        }
    }

    private mutating func inspectServer(_ slot: UInt32) {
        switch servers[slot].state {
        case .login:
            if isLoginOverdue(slot) { loginFailed(slot, .serverConnectTimeout) }
        case .idle, .used: break
        case .active where servers[slot].task == .listening: inspectListener(slot)
        case .active where servers[slot].task == .awaitingListener: break
        case .active where servers[slot].task == .departing: break
        case .active where servers[slot].task != .none:
            inspectTask(slot, since: max(servers[slot].requestTime, servers[slot].lastAnswerTime))
        case .active:
            servers[slot].replication == .none ? inspectLink(slot) : inspectReplication(slot)
        case .tested: inspectTask(slot, since: servers[slot].lastAnswerTime)
        case .beingCanceled: break
        }
    }

    /// A server that does not answer the pooler's own queries is as good as dead.
    private mutating func inspectTask(_ slot: UInt32, since start: Microseconds) {
        let limit = settings.serverConnectTimeout
        if limit > 0, now - start >= max(limit, .seconds(15)) { serverFailed(slot, .checkFailed) }
    }

    private mutating func inspectIdleServer(_ slot: UInt32) {
        let pool = servers[slot].pool
        let idleTime = now - servers[slot].requestTime
        if servers[slot].isCloseNeeded { return closeServer(slot, .serverCloseNeeded) }
        let (isNew, now) = (!servers[slot].hasServed, now)
        let (reason, count) = pools[pool].shared.withLock {
            ($0.reasonToCloseFree(isNew: isNew, now: now), $0.serverCount)
        }
        if let reason { return closeServer(slot, reason) }
        if isOverLifetime(slot) { return replaceServer(slot) }
        let idleLimit = settings.serverIdleTimeout
        if idleLimit > 0, idleTime >= idleLimit,
            count > pools[pool].settings.minPoolSize
        {
            return closeServer(slot, .serverIdleTimeout)
        }
        if servers[slot].state == .idle, settings.serverCheckQuery.queryText != nil,
            idleTime >= max(settings.serverCheckDelay, 1)
        {
            move(slot, to: .used)
        }
    }

    /// Whether a server is older than it may get.
    func isOverLifetime(_ slot: UInt32) -> Bool {
        let lifetime = servers[slot].lifetime
        if lifetime == 0 {
            // server_lifetime = 0: one use.
            return pools[servers[slot].pool].settings.serverLifetime == 0
                && servers[slot].requestTime > servers[slot].connectTime
        }
        return now - servers[slot].connectTime >= lifetime
    }

    /// Closes an old server and opens a new one in the background, if the pool is in use.
    private mutating func replaceServer(_ slot: UInt32) {
        let pool = servers[slot].pool
        closeServer(slot, .serverLifetimeOver)
        let servers = servers
        let isBusy = pools[pool].shared.withLock { pool in
            !pool.servers.isEmpty && pool.servers.allSatisfy { servers.home(ofFree: $0) == nil }
        }
        if isBusy && opensServers { openServer(pool) { _ in true } }
    }

    /// The timeouts of a client that has a server.
    private mutating func inspectLink(_ slot: UInt32) {
        let client = servers[slot].client
        guard client != noSlot else { return }
        let limits = pools[servers[slot].pool].settings
        let queryStart = servers[slot].queryStart
        let transactionStart = servers[slot].transactionStart
        if limits.queryTimeout > 0, queryStart > 0, now - queryStart >= limits.queryTimeout {
            return closeClient(client, .queryTimeout)
        }
        if limits.transactionTimeout > 0, transactionStart > 0,
            now - transactionStart >= limits.transactionTimeout
        {
            return closeClient(client, .transactionTimeout)
        }
        if limits.pinTimeout > 0, !servers[slot].pins.isEmpty, servers[slot].machine.isClean,
            now - servers[slot].lastAnswerTime >= limits.pinTimeout
        {
            return closeClient(client, .pinTimeout(servers[slot].pins))
        }
        if servers[slot].isCloseNeeded, settings.serverFastClose, servers[slot].machine.isClean,
            case .session = limits.poolMode
        {
            return closeClient(client, .serverFastClose)
        }
        inspectIdleTransaction(slot)
    }

    /// Closes the client of a server in whose transaction nothing has happened for too long.
    mutating func inspectIdleTransaction(_ slot: UInt32) {
        let limit = pools[servers[slot].pool].settings.idleTransactionTimeout
        guard limit > 0, servers[slot].machine.isSettled,
            servers[slot].machine.transactionStatus != .idle,
            now - servers[slot].lastAnswerTime >= limit
        else { return }
        closeClient(servers[slot].client, .idleTransactionTimeout)
    }

    // MARK: Pools

    private mutating func inspectPool(_ pool: PoolID) {
        if !pools[pool].gate.isOpen { inspectWaiters(pool) }
        openServersIfWanted(pool)
        guard isChief else { return }
        let (now, shared) = (now, pools[pool].shared)
        let (clientCount, isBelowMinimum) = shared.withLock {
            ($0.clientCount, $0.isBelowMinimum(now: now))
        }
        let database = directory.configuration.database(named: pools[pool].key.database)
        let isWanted = clientCount > 0 || database?.user == pools[pool].key.user
        let hosts = database?.hostNames(unixSocketDir: settings.unixSocketDir) ?? []
        // No other pool's server is closed for it: that pool may have a minimum too.
        let (key, limits) = (pools[pool].key, pools[pool].settings)
        if isWanted && opensServers && isBelowMinimum
            && self.shared.pools.withLock({ pools in
                hosts.contains { pools.hasRoom(for: key, at: $0, limits: limits) }
            })
        {
            openServer(pool) { $0.isBelowMinimum(now: now) }
        }
        forgetIfUnused(shared)
    }

    /// A pool that nobody uses goes after pool_idle_timeout; of a database that only the `*` entry knows,
    /// after autodb_idle_timeout.
    private mutating func forgetIfUnused(_ pool: SharedPool) {
        let isKnown = directory.configuration.databases[pool.key.database] != nil
        let limits = [settings.poolIdleTimeout, isKnown ? 0 : settings.autodbIdleTimeout]
        guard let limit = limits.filter({ $0 > 0 }).min() else { return }
        let now = now
        var unused: [SettingsID] = []
        let isForgotten = shared.pools.forget(pool) { pool in
            guard pool.clientCount == 0, pool.serverCount == 0, now - pool.lastUse >= limit else {
                return false
            }
            unused = Array(pool.confirmedLogins.values) + (pool.defaults.map { [$0] } ?? [])
            return true
        }
        guard isForgotten else { return }
        for state in unused { states.release(state) }
        shared.surveys[pool.key.database] = nil
        issue(.forgetPool(pool))
    }

    /// Databases with a forced user have their servers before the first client comes.
    mutating func makeForcedPools() {
        let configuration = directory.configuration
        for name in configuration.databaseNames {
            guard let database = configuration.database(named: name), let user = database.user
            else {
                continue
            }
            let settings = configuration.effectiveSettings(database: database, user: user)
            guard settings.minPoolSize > 0 else { continue }
            adopt(
                shared.pools.pool(for: PoolKey(database: name, user: user), settings: settings)
            )
        }
    }

    private mutating func inspectWaiters(_ pool: PoolID) {
        let limits = pools[pool].settings
        let (waiters, worker) = (pools[pool].shared.withLock { $0.allWaiters }, id)
        for waiter in waiters
        where waiter.worker == worker && isWaiting(waiter.client, ticket: waiter.ticket) {
            let waitTime = now - waiter.since
            let slot = waiter.client.index
            if limits.queryWaitTimeout > 0, waitTime >= limits.queryWaitTimeout {
                closeClient(slot, .queryWaitTimeout)
            } else if limits.queryTimeout > 0, waitTime >= limits.queryTimeout {
                closeClient(slot, .queuedQueryTimeout)
            } else if limits.queryWaitNotify > 0, waitTime >= limits.queryWaitNotify,
                !clients[slot].wasNotified, clients[slot].phase == .ready
            {
                notifyWaiter(slot)
            }
        }
    }

    private mutating func notifyWaiter(_ slot: UInt32) {
        clients[slot].wasNotified = true
        var writer = ByteWriter()
        writer.noticeResponse(
            ErrorResponse(
                .notice,
                .successfulCompletion,
                "No server connection available in postgres backend, client being queued"
            )
        )
        clients[slot].transport.send(unsafe writer.bytes.span.bytes, reactor)
    }

    // MARK: Idle clients

    private mutating func closeIdleClients() {
        guard directory.hasIdleTimeouts else { return }
        for slot in 0..<UInt32(clients.slotCount)
        where clients.isUsed(slot) && clients[slot].phase == .ready {
            guard !clients[slot].hasServer, !clients[slot].isWaiting, let pool = clients[slot].pool
            else { continue }
            let limit = pools[pool].settings.clientIdleTimeout
            if limit > 0, now - clients[slot].requestTime >= limit {
                closeClient(slot, .clientIdleTimeout)
            }
        }
    }
}
