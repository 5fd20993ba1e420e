// Opening servers: resolving, connecting, logging in. When to open one is the pool's decision, what to
// say during login ServerLogin's.

internal import CLinux
internal import Digests
internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// Whether servers are opened at all now.
    var opensServers: Bool { lifecycle.opensServers && !awaitsPredecessor }

    /// Opens as many servers as the pool wants now, making room across pools where a limit is met.
    mutating func openServersIfWanted(_ pool: PoolID) {
        guard opensServers || hasStayingClients, !pools[pool].gate.isOpen, clearedPool != pool
        else { return }
        openReplicationServers(pool)
        let now = now
        while pools[pool].shared.withLock({ $0.wantsServer(now: now) }) {
            guard openServer(pool, if: { $0.wantsServer(now: now) }) else { return }
        }
    }

    /// Opens a server.
    ///
    /// - Parameters:
    ///   - client: whose own it is to be, for replication; `noSlot` for all others.
    ///   - asListener: whether it is to listen for all clients of the pool.
    ///   - isWanted: asked once more when there is room for one.
    /// - Returns: whether one is on its way now.
    @discardableResult
    mutating func openServer(
        _ pool: PoolID,
        for client: UInt32 = noSlot,
        asListener: Bool = false,
        if isWanted: (inout Pool) -> Bool
    ) -> Bool {
        let key = pools[pool].key
        guard let database = directory.configuration.database(named: key.database) else {
            let now = now
            pools[pool].shared.withLock {
                $0.loginFailed(.databaseRemoved, startedAt: now, now: now, jitter: 0)
            }
            return false
        }
        let host = host(for: database)
        guard makeRoom(for: pool, at: host, client: client) else { return false }
        let (number, now) = (shared.takeNumber(), now)
        let id = servers.insert { id in
            Server(
                id: id,
                number: number,
                pool: pool,
                host: host,
                task: .resolving,
                now: now
            )
        }
        guard let id else {
            placeIsFree(of: key, at: host)
            return false
        }
        let isOpened = pools[pool].shared.withLock { pool in
            guard isWanted(&pool) else { return false }
            pool.serverOpened(id, at: host, asListener: asListener)
            return true
        }
        guard isOpened else {
            servers.remove(id.index)
            placeIsFree(of: key, at: host)
            return false
        }
        let slot = id.index
        if asListener {
            servers[slot].isListener = true
            listenerOpened(slot)
        }
        if client != noSlot { joinForReplication(client, slot) }
        switch resolve(servers[slot].endpoint) {
        case .known(let endpoint): servers[slot].endpoint = endpoint
        case .unresolvable:
            loginFailed(slot, .serverNameUnresolved)
            return false
        case .underWay: return true
        }
        return connectServer(slot)
    }

    /// Where an endpoint is to be found; a name that is not known is asked for.
    mutating func resolve(_ endpoint: Endpoint) -> ResolvedEndpoint {
        guard case .name(let name, let port) = endpoint else { return .known(endpoint) }
        switch hosts.lookUp(name, now: now) {
        case .known(let address): return .known(.tcp(address.with(port: port)))
        case .unresolvable: return .unresolvable
        case .unknown:
            if hosts.startsResolving(name) { resolver.start(name) }
            return .underWay
        }
    }

    /// Counts a server more for a pool; where a limit is met, free servers of other pools make room.
    ///
    /// - Parameter client: whose own it is to be; then also free servers of the pool itself do.
    /// - Returns: whether there was room.
    private mutating func makeRoom(
        for pool: PoolID,
        at host: HostName,
        client: UInt32
    ) -> Bool {
        let (key, limits, now) = (pools[pool].key, pools[pool].settings, now)
        let isForReplication = client != noSlot
        let since: Microseconds? =
            isForReplication
            ? clients[client].requestTime
            : pools[pool].shared.withLock { $0.firstSharedWaitTime }
        let claim = since.map {
            Claim(of: key, at: host, since: $0, isForReplication: isForReplication, worker: id)
        }
        while true {
            let isAdmitted = shared.pools.withLock {
                $0.admitServer(
                    of: key,
                    at: host,
                    limits: limits,
                    claim: claim,
                    now: now
                )
            }
            if isAdmitted { return true }
            let lists = shared.pools.withLock {
                $0.poolsInTheWay(
                    of: key,
                    at: host,
                    limits: limits,
                    includingOwn: isForReplication
                )
            }
            var victims: [(server: ServerID, home: WorkerID)] = []
            for list in lists {
                let candidates = shared.pools.pools(list.pools).compactMap {
                    $0.longestFreeServer(servers, at: list.host)
                }
                guard let victim = candidates.first else {
                    shared.pools.markContended(now: now)
                    return false
                }
                victims.append(victim)
            }
            // There is room, but for others.
            guard let victim = victims.first else { return false }
            guard evict(victim.server, from: victim.home, .evicted, for: pool) else { return false }
        }
    }

    /// A server less is counted: those who have waited longest for its place may open one.
    func placeIsFree(of key: PoolKey, at host: HostName) {
        let (pool, worker) = shared.pools.withLock { pools in
            let claim = pools.serverClosed(of: key, at: host)
            return (claim.flatMap { pools.id(of: $0.key) }, claim?.worker)
        }
        if let pool, let worker { shared.post(.roomMade(pool), to: worker) }
    }

    /// Closes a free server, wherever it is at home, to make room for a pool.
    ///
    /// - Returns: false where only its worker can do that: then that tells when it is done.
    mutating func evict(
        _ server: ServerID,
        from home: WorkerID,
        _ reason: CloseReason,
        for pool: PoolID
    ) -> Bool {
        if home != id && !reactor.letsOthersTake {
            shared.post(.evict(server, reason, for: pool, id), to: home)
            return false
        }
        evict(server, from: home, reason)
        return true
    }

    /// Closes a free server, unless somebody has just taken it.
    mutating func evict(_ server: ServerID, from home: WorkerID, _ reason: CloseReason) {
        guard servers.take(server, from: home) else { return }
        if home != id { _ = stopReceiving(server.index, at: home) }
        adopt(poolOf: server)
        closeServer(server.index, reason)
    }

    /// Makes the pool of a server that came from elsewhere known here.
    private mutating func adopt(poolOf server: ServerID) {
        let pool = servers[server.index].pool
        for shared in shared.pools.pools([pool]) { adopt(shared) }
    }

    /// Where the next server of a database is opened.
    private func host(for database: DatabaseEntry) -> HostName {
        let (names, now) = (database.hostNames(unixSocketDir: settings.unixSocketDir), now)
        return shared.pools.withLock {
            $0.hosts.choose(
                for: database.name,
                among: names,
                isFixed: database.loadBalanceHosts == .disable,
                now: now
            )
        }
    }

    /// Names have been resolved: the servers that wait for them go on.
    mutating func resolved() {
        for answer in resolver.takeAnswers() {
            hosts.store(answer, now: now, settings: settings)
            for slot in 0..<servers.slotCount where servers.isHeld(slot) {
                guard servers[slot].task == .resolving,
                    case .name(let name, let port) = servers[slot].endpoint, name == answer.name
                else { continue }
                if case .known(let address) = hosts.lookUp(name, now: now) {
                    servers[slot].endpoint = .tcp(address.with(port: port))
                    connectServer(slot)
                } else {
                    loginFailed(slot, .serverNameUnresolved)
                }
            }
        }
        inspectPeers()
    }

    @discardableResult
    private mutating func connectServer(_ slot: UInt32) -> Bool {
        guard let descriptor = servers[slot].endpoint.connect(settings) else {
            loginFailed(slot, .serverConnectFailed)
            return false
        }
        let token = Token(.server, slot: slot, generation: servers[slot].id.generation)
        servers[slot].task = .connecting
        servers[slot].transport = Transport(
            descriptor: descriptor,
            token: token,
            isConnected: false
        )
        guard servers[slot].transport.add(to: reactor) else {
            loginFailed(slot, .serverConnectFailed)
            return false
        }
        return true
    }

    /// The connection attempt has ended, well or badly.
    mutating func serverConnected(_ slot: UInt32) {
        let descriptor = servers[slot].transport.descriptor
        guard martlet_socket_error(descriptor) == 0 else {
            return loginFailed(slot, .serverConnectFailed)
        }
        servers[slot].localAddress = SocketAddress.local(of: descriptor)
        beginLogin(to: slot)
    }

    /// Says to a server who wants what of it.
    mutating func startLogin(to slot: UInt32) {
        let pool = servers[slot].pool
        guard let database = directory.configuration.database(named: pools[pool].key.database),
            let nonce = try? unpredictableBytes(count: 18)
        else { return loginFailed(slot, .databaseRemoved) }
        servers[slot].task = .loggingIn
        servers[slot].login = ServerLogin(
            ServerAuthentication(
                user: pools[pool].key.user,
                credentials: credentials(of: pool, database),
                derivedKeys: pools[pool].shared.withLock { $0.derivedKeys },
                channelBinding: channelBinding(of: slot),
                requiresChannelBinding: tls.forServers(of: pools[pool].key.database)
                    .settings.channelBinding == .require,
                nonce: nonce
            )
        )
        servers[slot].transport.setReading(true, reactor)
        var parameters = [
            StartupParameter(name: "user", value: pools[pool].key.user),
            StartupParameter(name: "database", value: database.serverDatabaseName),
        ]
        for (name, value) in database.startupParameters {
            parameters.append(StartupParameter(name: name, value: value))
        }
        if servers[slot].replication != .none { parameters += replicationParameters(slot) }
        var writer = ByteWriter()
        writer.startupMessage(parameters)
        servers[slot].transport.send(unsafe writer.bytes.span.bytes, reactor)
        guard settings.logConnections else { return }
        logServer(
            slot,
            .info,
            "new connection to server (from \(servers[slot].localAddress.logText))"
        )
    }

    /// What the login to a server can be bound to, if it is to be.
    private func channelBinding(of slot: UInt32) -> [UInt8]? {
        let database = pools[servers[slot].pool].key.database
        switch tls.forServers(of: database).settings.channelBinding {
        case .disable: return nil
        case .prefer, .require: return servers[slot].transport.channelBinding
        }
    }

    private func credentials(of pool: PoolID, _ database: DatabaseEntry) -> Credentials {
        let learned = pools[pool].shared.withLock { $0.credentials }
        return learned == .none ? knownCredentials(of: pools[pool].key.user, database) : learned
    }

    // MARK: Login

    /// Follows the messages of a server that logs us in.
    mutating func followLogin(_ slot: UInt32, _ bytes: RawSpan) {
        var offset = 0
        while offset < bytes.byteCount {
            let header: MessageHeader
            do throws(WireError) {
                let whole = try wholeMessage(
                    of: slot,
                    in: bytes,
                    at: &offset,
                    limit: ServerLogin.messageLimit
                )
                guard let whole else { return }
                header = whole
            } catch {
                return loginFailed(slot, .serverProtocolViolation)
            }
            let body = bytes.extracting(offset - header.bodyByteCount..<offset)
            guard var login = servers[slot].login else { return }
            let action = login.received(BackendMessageType(rawValue: header.typeByte), body)
            servers[slot].login = login
            switch action {
            case .none: continue
            case .send(let answer):
                servers[slot].transport.send(unsafe answer.span.bytes, reactor)
            case .derive(let parameters):
                deriveKeys(parameters, for: .server(servers[slot].id))
            case .failed(let reason): return loginFailed(slot, reason)
            case .ready:
                let generation = servers[slot].id.generation
                if servers[slot].replication != .none {
                    return replicationLoginSucceeded(
                        slot,
                        login,
                        bytes.extracting(offset..<bytes.byteCount)
                    )
                }
                loginSucceeded(slot, login)
                // A notice, or a setting that has just changed, before anybody else gets the server.
                if offset < bytes.byteCount {
                    followAnswers(slot, bytes.extracting(offset..<bytes.byteCount))
                }
                if servers.holds(slot, generation: generation) { setUpServer(slot) }
                return
            }
        }
    }

    /// The keys have come that a server's login waits for.
    mutating func serverKeysDerived(_ slot: UInt32, _ keys: SCRAMKeys?) {
        guard var login = servers[slot].login else { return }
        let action = login.derived(keys)
        servers[slot].login = login
        switch action {
        case .send(let answer):
            servers[slot].transport.send(unsafe answer.span.bytes, reactor)
        case .failed(let reason): loginFailed(slot, reason)
        case .none, .ready, .derive: break
        }
    }

    private mutating func loginSucceeded(_ slot: UInt32, _ login: ServerLogin) {
        let pool = servers[slot].pool
        adoptLogin(slot, login)
        servers[slot].transport.keepTicket(for: servers[slot].host.host)
        servers[slot].lifetime = drawLifetime(pool)
        var fixedParameters = ByteWriter()
        for parameter in login.parameters where !SettingsStates.isTracked(parameter.name) {
            fixedParameters.parameterStatus(name: parameter.name, value: parameter.value)
        }
        let fixedParameterBytes = fixedParameters.bytes
        hostLetIn(slot)
        pools[pool].shared.withLock { pool in
            pool.loginSucceeded()
            pool.derivedKeys = login.derivedKeys
            pool.fixedParameters = fixedParameterBytes
        }
    }

    /// Somebody has logged in to a server's host.
    func hostLetIn(_ slot: UInt32) {
        let name = servers[slot].host
        shared.pools.withLock { $0.hosts.succeeded(name) }
    }

    /// Takes over what a server has said of itself.
    mutating func adoptLogin(_ slot: UInt32, _ login: ServerLogin) {
        servers[slot].login = nil
        servers[slot].task = .none
        servers[slot].cancelKey = login.cancelKey
        var state = SettingsID.empty
        for parameter in login.parameters where SettingsStates.isTracked(parameter.name) {
            let old = state
            state = states.setting(
                parameter.name,
                to: parameter.value,
                in: old,
                isReported: true
            )
            states.release(old)
        }
        servers[slot].settings = state
    }

    /// Asks a server what its host allows, if that has to be known, and then runs connect_query.
    private mutating func setUpServer(_ slot: UInt32) {
        let host = servers[slot].host
        guard case .percentage = settings.maxHostConnections,
            shared.pools.withLock({ $0.hosts.state(of: host).capacity == nil })
        else { return runConnectQuery(slot) }
        servers[slot].task = .measuring
        servers[slot].taskAnswer = []
        move(slot, to: .tested)
        sendInternal(HostLimit.question, to: slot)
    }

    /// A server has said how many connections its host has.
    mutating func measured(_ slot: UInt32, _ error: ErrorResponse?) {
        let answer = exchange(&servers[slot].taskAnswer, with: [])
        let host = servers[slot].host
        if error == nil, let capacity = HostLimit.capacity(answer: unsafe answer.span.bytes) {
            shared.pools.withLock { $0.hosts.learned(capacity: capacity, of: host) }
        } else {
            let reason = error?.message.text ?? "unreadable answer"
            logServer(
                slot,
                .warning,
                "cannot tell what max_host_connections is a share of: \(reason)"
            )
        }
        runConnectQuery(slot)
    }

    /// Runs connect_query, if there is one.
    private mutating func runConnectQuery(_ slot: UInt32) {
        let pool = servers[slot].pool
        if let database = directory.configuration.database(named: pools[pool].key.database),
            let query = database.connectQuery, !query.isEmpty
        {
            servers[slot].task = .settingUp
            move(slot, to: .tested)
            return sendInternal(query, to: slot)
        }
        serverIsSetUp(slot)
    }

    /// The newest server tells what a session of its pool starts with; it can be used now.
    ///
    /// There may be another attempt now that this one is over.
    mutating func serverIsSetUp(_ slot: UInt32) {
        let pool = servers[slot].pool
        adoptDefaults(pool, servers[slot].settings)
        servers[slot].isListener ? listenerIsReady(slot) : becomeFree(slot)
        openServersIfWanted(pool)
    }

    private mutating func adoptDefaults(_ pool: PoolID, _ state: SettingsID) {
        states.retain(state)
        let outdated = pools[pool].shared.withLock { $0.adoptDefaults(state) }
        for state in outdated { states.release(state) }
    }

    /// Each server gets a lifetime of its own, up to a tenth shorter than server_lifetime, so that
    /// those that came together do not leave together.
    private mutating func drawLifetime(_ pool: PoolID) -> Microseconds {
        let lifetime = pools[pool].settings.serverLifetime
        let share = Double.random(in: 0.9...1, using: &random)
        return Microseconds(Double(lifetime) * share)
    }

    /// Notes that a server could not be reached or refused the login.
    ///
    /// - Parameter since: when the client asked that has waited longest.
    /// - Returns: whether another host or address is of no use now.
    func attemptFailed(
        _ slot: UInt32,
        _ reason: CloseReason,
        since: Microseconds
    ) -> Bool {
        let (attempt, now) = (attempt(of: slot), now)
        let pool = servers[slot].pool
        guard let database = directory.configuration.database(named: pools[pool].key.database)
        else { return true }
        let names = database.hostNames(unixSocketDir: settings.unixSocketDir)
        let (name, longestPause) = (servers[slot].host, settings.serverLoginRetry)
        return shared.pools.withLock { pools in
            guard reason.isOfHost else {
                pools.hosts.moveOn(from: name, for: database.name, among: names)
                return true
            }
            pools.hosts.failed(attempt, reason, now: now, longestPause: longestPause)
            return pools.hosts.haveFailed(names, since: since, now: now)
        }
    }

    private func attempt(of slot: UInt32) -> HostAttempt {
        HostAttempt(
            to: servers[slot].host,
            address: servers[slot].endpoint.host,
            of: hosts.addressCount(of: servers[slot].host.host),
            start: servers[slot].connectTime
        )
    }

    /// Whether a login takes so long that it had better be made elsewhere.
    func isLoginOverdue(_ slot: UInt32) -> Bool {
        let limit = settings.serverConnectTimeout
        let age = now - servers[slot].connectTime
        if limit > 0, age >= limit { return true }
        guard age >= Self.hostPatience,
            let database = directory.configuration.database(
                named: pools[servers[slot].pool].key.database
            )
        else { return false }
        let names = database.hostNames(unixSocketDir: settings.unixSocketDir)
        let attempt = attempt(of: slot)
        return shared.pools.withLock { $0.hosts.hasAlternative(to: attempt, among: names) }
    }

    /// For how long a host may be silent while there is another one that is up, in microseconds.
    private static var hostPatience: Microseconds { .seconds(2) }

    /// A server could not be reached or refused the login: clients that have no other server to hope
    /// for, at no other host, are told why.
    mutating func loginFailed(_ slot: UInt32, _ reason: CloseReason) {
        let pool = servers[slot].pool
        if servers[slot].replication != .none { return replicationLoginFailed(slot, reason) }
        let since = pools[pool].shared.withLock { $0.firstWaitTime } ?? now
        let isHopeless = attemptFailed(slot, reason, since: since)
        let jitter = Double.random(in: 0..<1, using: &random)
        let (start, now) = (servers[slot].connectTime, now)
        pools[pool].shared.withLock { pool in
            pool.derivedKeys = nil
            guard isHopeless else { return }
            pool.loginFailed(reason, startedAt: start, now: now, jitter: jitter)
        }
        if case .serverLoginFailed = reason {
            // What clients have proved may be out of date.
            let user = pools[pool].key.user
            shared.secrets.withLock { $0.forget(user: user) }
        }
        closeServer(slot, reason)
        guard isHopeless, !reason.isTemporary else { return }
        let hopeless = pools[pool].shared.withLock {
            $0.sharedServerCount == 0 ? $0.takeAllWaiters() : []
        }
        for waiter in hopeless {
            if waiter.worker == id {
                if isWaiting(waiter.client, ticket: waiter.ticket) {
                    closeClient(waiter.client.index, Pool.repeated(reason))
                }
            } else {
                shared.post(
                    .noServer(
                        for: waiter.client,
                        ticket: waiter.ticket,
                        Pool.repeated(reason)
                    ),
                    to: waiter.worker
                )
            }
        }
    }
}
