// What the console's SHOW commands see: a copy of the state of every connection and pool, made only
// for the parts that a command asks for. Each worker copies what it has, the chief adds them up.

internal import CLinux
internal import PoolerCore
internal import PostgresWire

/// What one worker, or all together, have for a SHOW command.
struct WorkerSnapshot: Sendable {
    /// Servers by state, for one pool.
    struct PoolPart: Sendable {
        var servers: [ServerState: Int] = [:]
        var cancelRequestCount = 0
    }

    var clients: [SocketSnapshot] = []
    var servers: [SocketSnapshot] = []
    var pools: [PoolID: PoolPart] = [:]
    var consoleClientCount = 0
    var totals: [DatabaseTotals] = []
    var usedClientCount = 0
    var freeClientCount = 0
    var loginClientCount = 0
    var pendingNameCount = 0
    var bufferCount = 0
    var hosts: [HostSnapshot] = []

    static func += (left: inout WorkerSnapshot, right: WorkerSnapshot) {
        left.clients += right.clients
        left.servers += right.servers
        for (id, part) in right.pools {
            for (state, count) in part.servers {
                left.pools[id, default: PoolPart()].servers[state, default: 0] += count
            }
            left.pools[id, default: PoolPart()].cancelRequestCount += part.cancelRequestCount
        }
        left.consoleClientCount += right.consoleClientCount
        for entry in right.totals {
            guard let index = left.totals.firstIndex(where: { $0.database == entry.database })
            else {
                left.totals.append(entry)
                continue
            }
            var sum = left.totals[index].totals
            sum += entry.totals
            left.totals[index] = DatabaseTotals(database: entry.database, totals: sum)
        }
        left.usedClientCount += right.usedClientCount
        left.freeClientCount += right.freeClientCount
        left.loginClientCount += right.loginClientCount
        left.pendingNameCount = max(left.pendingNameCount, right.pendingNameCount)
        left.bufferCount += right.bufferCount
        // Each worker resolves names for itself, mostly the same ones.
        for host in right.hosts {
            guard let index = left.hosts.firstIndex(where: { $0.name == host.name }) else {
                left.hosts.append(host)
                continue
            }
            if left.hosts[index].secondsLeft < host.secondsLeft { left.hosts[index] = host }
        }
    }
}

extension Worker {
    /// Copies what this worker has of the state that a SHOW command needs.
    mutating func snapshot(_ parts: SnapshotParts) -> WorkerSnapshot {
        var snapshot = WorkerSnapshot()
        if parts.contains(.clients) { snapshot.clients = clientSnapshots() }
        if !parts.isDisjoint(with: [.servers, .pools]) { copyServers(parts, to: &snapshot) }
        if !parts.isDisjoint(with: [.statistics, .overall]) { snapshot.totals = databaseTotals() }
        snapshot.consoleClientCount = consoleClientCount
        snapshot.usedClientCount = clients.count
        snapshot.freeClientCount = clients.freeCount
        if parts.contains(.lists) {
            snapshot.loginClientCount = clientSnapshots().count { $0.state == .client(.login) }
        }
        snapshot.pendingNameCount = hosts.pendingCount
        snapshot.bufferCount = 1
        if !parts.isDisjoint(with: [.hosts, .lists]) { snapshot.hosts = hosts.rows(now: now) }
        return snapshot
    }

    /// What a SHOW command sees, from what all workers have.
    func consoleSnapshot(_ parts: SnapshotParts, _ all: WorkerSnapshot) -> ConsoleSnapshot {
        var snapshot = ConsoleSnapshot()
        snapshot.clients = all.clients
        if parts.contains(.servers) { snapshot.servers = all.servers }
        if parts.contains(.pools) { snapshot.pools = poolSnapshots(all) }
        if parts.contains(.databases) { snapshot.databases = databaseSnapshots(all) }
        if parts.contains(.users) { snapshot.users = userSnapshots() }
        if parts.contains(.serverHosts) { snapshot.serverHosts = serverHostSnapshots() }
        if parts.contains(.peers) {
            snapshot.peers = peerSnapshots()
            snapshot.peerPools = peerPoolSnapshots()
        }
        if parts.contains(.certificates) { snapshot.certificates = tls.certificates() }
        if parts.contains(.statistics) {
            // The console has a row, as in PgBouncer, although nothing of it is counted.
            let console = DatabaseTotals(database: "pgbouncer", totals: PoolCounters())
            snapshot.statistics = statistics.period.snapshot(all.totals + [console], now: now)
        }
        if parts.contains(.overall) {
            snapshot.overall = statistics.period.overall(all.totals, now: now)
        }
        if parts.contains(.settings) { snapshot.settings = settingSnapshots() }
        if parts.contains(.lists) { snapshot.lists = listsSnapshot(all) }
        snapshot.hosts = all.hosts.sorted { $0.name < $1.name }
        if parts.contains(.memory) { snapshot.memory = memorySnapshot(all) }
        if parts.contains(.state) {
            snapshot.state =
                lifecycle.isSuspended ? .suspended : lifecycle.isPaused ? .paused : .active
        }
        return snapshot
    }

    /// A moment of the loop's clock as a time of day.
    private func timestamp(_ moment: Microseconds) -> Timestamp {
        Timestamp(unixMicroseconds: martlet_unix_microseconds() - now + moment)
    }

    // MARK: Connections

    private func clientSnapshots() -> [SocketSnapshot] {
        var rows: [SocketSnapshot] = []
        for slot in 0..<UInt32(clients.slotCount)
        where clients.isUsed(slot) && clients[slot].phase != .draining {
            rows.append(clientSnapshot(slot))
        }
        return rows
    }

    private func clientSnapshot(_ slot: UInt32) -> SocketSnapshot {
        var row = SocketSnapshot(.client(clientState(slot)))
        let local = SocketAddress.local(of: clients[slot].transport.descriptor)
        row.user = clients[slot].user
        row.database = clients[slot].database
        row.address = ByteString(clients[slot].address.host)
        let isUnix = clients[slot].address.isUnix
        row.port = isUnix ? settings.listenPort : Int(clients[slot].address.port)
        if isUnix { row.remoteProcessID = Int(clients[slot].address.port) }
        row.localAddress = ByteString(local.host)
        row.localPort = local.isUnix ? settings.listenPort : Int(local.port)
        row.connectTime = timestamp(clients[slot].connectTime)
        row.requestTime = timestamp(clients[slot].requestTime)
        if clients[slot].isWaiting {
            row.waitMicroseconds = UInt64(max(0, now - clients[slot].requestTime))
        }
        row.pointer = clients[slot].number
        row.tls = clients[slot].transport.tlsSummary
        row.replication = replicationKind(slot)
        if clients[slot].hasServer {
            row.link = servers[clients[slot].server].number
            row.pins = servers[clients[slot].server].pins
        }
        row.applicationName =
            states.value(of: "application_name", in: clients[slot].settings) ?? ""
        if clients[slot].names != noSlot {
            row.preparedStatementCount = statementNames[clients[slot].names].count
        }
        row.id = Int(clients[slot].number)
        row.worker = Int(id.index)
        row.buffers.packetAvailable = clients[slot].held.count
        row.buffers.sendAvailable = clients[slot].transport.unsentByteCount
        return row
    }

    private func clientState(_ slot: UInt32) -> SocketSnapshot.ClientState {
        switch clients[slot].phase {
        case .startup, .shakingHands, .authenticating, .awaitingSecret, .leaving: .login
        case .console: .active
        // Its server is still logging in.
        case .awaitingWelcome where replicationKind(slot) != .none: .waiting
        case .awaitingWelcome, .ready, .replicating, .departing, .draining:
            clients[slot].isWaiting ? .waiting : clients[slot].hasServer ? .active : .idle
        }
    }

    private mutating func copyServers(_ parts: SnapshotParts, to snapshot: inout WorkerSnapshot) {
        for slot in 0..<servers.slotCount {
            let wasFree = servers.takeFree(slot)
            guard wasFree || servers.isHeld(slot) else { continue }
            if parts.contains(.servers) { snapshot.servers.append(serverSnapshot(slot)) }
            let pool = servers[slot].pool
            snapshot.pools[pool, default: .init()].servers[servers[slot].state, default: 0] += 1
            if wasFree { offer(slot) }
        }
        for slot in 0..<UInt32(cancelers.slotCount) where cancelers.isUsed(slot) {
            guard case .server(let server) = cancelers[slot].target,
                servers.holds(server.index, generation: server.generation)
            else { continue }
            snapshot.pools[servers[server.index].pool, default: .init()].cancelRequestCount += 1
        }
    }

    private func serverSnapshot(_ slot: UInt32) -> SocketSnapshot {
        var row = SocketSnapshot(.server(Self.shownState(servers[slot].state)))
        let pool = servers[slot].pool
        row.user = pools[pool].key.user
        row.database = pools[pool].key.database
        row.address = ByteString(servers[slot].endpoint.host)
        row.port = servers[slot].endpoint.port
        row.localAddress = ByteString(servers[slot].localAddress.host)
        row.localPort = Int(servers[slot].localAddress.port)
        row.connectTime = timestamp(servers[slot].connectTime)
        row.requestTime = timestamp(servers[slot].requestTime)
        row.isCloseNeeded = servers[slot].isCloseNeeded
        row.replication = servers[slot].replication
        row.pointer = servers[slot].number
        row.tls = servers[slot].transport.tlsSummary
        if servers[slot].hasClient { row.link = clients[servers[slot].client].number }
        row.remoteProcessID = Int(servers[slot].cancelKey?.processID ?? 0)
        row.applicationName =
            states.value(of: "application_name", in: servers[slot].settings) ?? ""
        row.preparedStatementCount = servers[slot].statements.count
        row.id = Int(servers[slot].number)
        row.worker = Int(id.index)
        row.pins = servers[slot].pins
        row.isListener = servers[slot].isListener
        if !row.pins.isEmpty {
            row.pinTime = timestamp(servers[slot].pinTime)
            row.pinStatement = servers[slot].pinStatement
        }
        row.buffers.packetAvailable = servers[slot].held.count
        row.buffers.sendAvailable = servers[slot].transport.unsentByteCount
        return row
    }

    private static func shownState(_ state: ServerState) -> SocketSnapshot.ServerState {
        switch state {
        case .login: .new
        case .idle: .idle
        case .used: .used
        case .tested: .tested
        case .active: .active
        case .beingCanceled: .beingCanceled
        }
    }

    // MARK: Pools

    private func poolSnapshots(_ all: WorkerSnapshot) -> [PoolSnapshot] {
        var rows = shared.pools.pools().map { poolSnapshot($0, all.pools[$0.id] ?? .init()) }
        var console = PoolSnapshot(database: "pgbouncer", user: "pgbouncer")
        console.clientActive = all.consoleClientCount
        console.poolMode = "statement"
        if console.clientActive > 0 { rows.append(console) }
        return rows
    }

    private func poolSnapshot(_ pool: SharedPool, _ part: WorkerSnapshot.PoolPart) -> PoolSnapshot {
        var row = PoolSnapshot(database: pool.key.database, user: pool.key.user)
        let (waitingCount, clientCount, first, mode) = pool.withLock {
            (
                $0.waiterCount + $0.replicationLoginCount, $0.clientCount, $0.firstWaitTime,
                $0.settings.poolMode
            )
        }
        let counts = serverCounts(pool, part)
        (row.serverPinned, row.serverListening) = pool.withLock {
            ($0.pinnedCount, $0.listenerCount)
        }
        row.clientWaiting = waitingCount
        row.clientActive = clientCount - waitingCount
        row.serverActive = counts[.active] ?? 0
        row.serverIdle = counts[.idle] ?? 0
        row.serverUsed = counts[.used] ?? 0
        row.serverTested = counts[.tested] ?? 0
        row.serverLogin = counts[.login] ?? 0
        row.serverBeingCanceled = counts[.beingCanceled] ?? 0
        row.clientActiveCancelRequest = part.cancelRequestCount
        row.serverActiveCancel = part.cancelRequestCount
        if let first { row.maxWaitMicroseconds = UInt64(max(0, now - first)) }
        row.poolMode = ByteString(mode.rawValue)
        if let database = directory.configuration.database(named: pool.key.database),
            database.hosts.count > 1
        {
            row.loadBalanceHosts = ByteString(database.loadBalanceHosts.rawValue)
        }
        return row
    }

    /// How many servers a pool has in each state.
    ///
    /// A server that moved while the workers reported could be in two reports or in none: that is made
    /// good from what the pool itself knows.
    private func serverCounts(
        _ pool: SharedPool,
        _ part: WorkerSnapshot.PoolPart
    ) -> [ServerState: Int] {
        let servers = servers
        var (counts, freeCount) = pool.withLock { pool in
            (
                [ServerState.login: pool.loginCount, .tested: pool.testedCount],
                pool.servers.count { servers.isFreeOrPassed($0) }
            )
        }
        let all = pool.withLock { $0.serverCount - $0.listenerCount }
        counts[.beingCanceled] = min(part.servers[.beingCanceled] ?? 0, all)
        freeCount = min(freeCount, all)
        counts[.used] = min(part.servers[.used] ?? 0, freeCount)
        counts[.idle] = freeCount - (counts[.used] ?? 0)
        counts[.active] = max(0, all - counts.values.reduce(0, +))
        return counts
    }

    private var consoleClientCount: Int {
        (0..<UInt32(clients.slotCount)).count {
            clients.isUsed($0) && clients[$0].phase == .console
        }
    }

    // MARK: Databases and users

    private func databaseSnapshots(_ all: WorkerSnapshot) -> [DatabaseSnapshot] {
        let configuration = directory.configuration
        var names = configuration.databaseNames
        let known = Set(names)
        names += shared.pools.withLock { $0.databaseNames }.filter { !known.contains($0) }
        var console = DatabaseSnapshot(name: "pgbouncer")
        console.port = settings.listenPort
        console.database = "pgbouncer"
        console.forceUser = "pgbouncer"
        console.poolSize = 2
        console.poolMode = "statement"
        console.currentClientConnections = all.consoleClientCount
        return names.compactMap { databaseSnapshot($0) } + [console]
    }

    private func databaseSnapshot(_ name: ByteString) -> DatabaseSnapshot? {
        let configuration = directory.configuration
        guard let entry = configuration.database(named: name) else { return nil }
        let effective = configuration.effectiveSettings(database: entry, user: nil)
        let state = shared.pools.withLock { $0.state(ofDatabase: name) }
        var row = DatabaseSnapshot(name: name)
        row.host = entry.hosts.isEmpty ? nil : ByteString(entry.hosts.joined(separator: ","))
        row.port = entry.port
        row.database = entry.serverDatabaseName
        row.forceUser = entry.user
        row.poolSize = effective.defaultPoolSize
        row.minPoolSize = effective.minPoolSize
        row.reservePoolSize = effective.reservePoolSize
        row.serverLifetime = Int(effective.serverLifetime / 1_000_000)
        row.poolMode = entry.overrides.poolMode.map { ByteString($0.rawValue) }
        if entry.hosts.count > 1 {
            row.loadBalanceHosts = ByteString(entry.loadBalanceHosts.rawValue)
        }
        row.maxConnections = effective.maxDBConnections
        row.currentConnections = state.serverCount
        row.maxClientConnections = effective.maxDBClientConnections
        row.currentClientConnections = state.clientCount
        row.isPaused = state.isPaused || lifecycle.isPaused
        row.isDisabled = state.isDisabled
        return row
    }

    private func serverHostSnapshots() -> [ServerHostSnapshot] {
        let configuration = directory.configuration
        let entries =
            Array(configuration.databases.values)
            + [configuration.wildcardDatabase].compactMap(\.self)
        let directories = settings.unixSocketDir
        var names = Set(entries.flatMap { $0.hostNames(unixSocketDir: directories) })
        let hosts = shared.pools.withLock { $0.hosts }
        names.formUnion(hosts.names)
        return names.sorted { ($0.host, $0.port) < ($1.host, $1.port) }.map { name in
            let state = hosts.state(of: name)
            let limit = settings.maxHostConnections.serverCount(capacity: state.capacity)
            return ServerHostSnapshot(name: name, state: state, limit: limit ?? 0)
        }
    }

    private func userSnapshots() -> [UserSnapshot] {
        var names = Set(directory.userNames + directory.configuration.userNames + ["pgbouncer"])
        for pool in shared.pools.pools() { names.insert(pool.key.user) }
        return names.sorted().map { name in
            let overrides = directory.configuration.users[name]?.overrides ?? Overrides()
            let state = shared.pools.withLock { $0.state(ofUser: name) }
            var row = UserSnapshot(name: name)
            row.poolSize = overrides.poolSize
            row.reservePoolSize = overrides.reservePoolSize
            row.poolMode = overrides.poolMode.map { ByteString($0.rawValue) }
            row.maxUserConnections = overrides.maxUserConnections ?? settings.maxUserConnections
            row.currentConnections = state.serverCount
            row.maxUserClientConnections =
                overrides.maxUserClientConnections ?? settings.maxUserClientConnections
            row.currentClientConnections = state.clientCount
            return row
        }
    }

    private func settingSnapshots() -> [SettingSnapshot] {
        settingTable.map { row in
            SettingSnapshot(
                key: ByteString(row.name),
                value: row.value(in: settings),
                defaultValue: row.defaultValue(directory.configuration.flavor),
                isChangeable: row.change == .live
            )
        }
    }

    // MARK: Counts

    private func listsSnapshot(_ all: WorkerSnapshot) -> ListsSnapshot {
        var lists = ListsSnapshot()
        lists.databases = databaseSnapshots(all).count
        lists.users = userSnapshots().count
        lists.peers = directory.configuration.peers.count
        lists.pools = poolSnapshots(all).count
        lists.peerPools = peerPoolSnapshots().count
        lists.freeClients = all.freeClientCount
        lists.usedClients = all.usedClientCount
        lists.loginClients = all.loginClientCount
        lists.freeServers = servers.freeCount
        lists.usedServers = Int(servers.slotCount) - servers.freeCount
        lists.dnsNames = all.hosts.count
        lists.dnsPending = all.pendingNameCount
        return lists
    }

    private func memorySnapshot(_ all: WorkerSnapshot) -> [MemorySlab: MemorySnapshot] {
        [
            .clients: MemorySnapshot(
                entryByteCount: MemoryLayout<Client>.stride,
                usedCount: all.usedClientCount,
                freeCount: all.freeClientCount
            ),
            .servers: MemorySnapshot(
                entryByteCount: MemoryLayout<Server>.stride,
                usedCount: Int(servers.slotCount) - servers.freeCount,
                freeCount: servers.freeCount
            ),
            .pools: MemorySnapshot(
                entryByteCount: MemoryLayout<Pool>.stride,
                usedCount: shared.pools.pools().count
            ),
            .users: MemorySnapshot(
                entryByteCount: MemoryLayout<UserState>.stride,
                usedCount: directory.userNames.count
            ),
            .databases: MemorySnapshot(
                entryByteCount: MemoryLayout<DatabaseEntry>.stride,
                usedCount: directory.configuration.databaseNames.count
            ),
            .peers: MemorySnapshot(
                entryByteCount: MemoryLayout<PeerEntry>.stride,
                usedCount: directory.configuration.peers.count
            ),
            .peerPools: MemorySnapshot(
                entryByteCount: MemoryLayout<PeerPool<PeerRequest>>.stride,
                usedCount: peerPools.count
            ),
            .buffers: MemorySnapshot(
                entryByteCount: ReceiveBuffer.capacity,
                usedCount: all.bufferCount
            ),
            .parameterLists: MemorySnapshot(
                entryByteCount: 64,
                usedCount: states.count
            ),
            .serverPreparedStatements: MemorySnapshot(
                entryByteCount: 48,
                usedCount: statements.count
            ),
        ]
    }
}
