// What the console's SHOW commands see: a copy of the state of every connection and pool, made only
// for the parts that a command asks for.

internal import CLinux
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// Copies the state that a SHOW command needs.
    func snapshot(_ parts: SnapshotParts) -> ConsoleSnapshot {
        var snapshot = ConsoleSnapshot()
        if parts.contains(.clients) { snapshot.clients = clientSnapshots() }
        if parts.contains(.servers) { snapshot.servers = serverSnapshots() }
        if parts.contains(.pools) { snapshot.pools = poolSnapshots() }
        if parts.contains(.databases) { snapshot.databases = databaseSnapshots() }
        if parts.contains(.users) { snapshot.users = userSnapshots() }
        if parts.contains(.statistics) {
            snapshot.statistics = statistics.period.snapshot(databaseTotals(), now: now)
        }
        if parts.contains(.overall) {
            snapshot.overall = statistics.period.overall(databaseTotals(), now: now)
        }
        if parts.contains(.settings) { snapshot.settings = settingSnapshots() }
        if parts.contains(.lists) { snapshot.lists = listsSnapshot() }
        if parts.contains(.memory) { snapshot.memory = memorySnapshot() }
        if parts.contains(.state) { snapshot.state = lifecycle.isPaused ? .paused : .active }
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
        row.port = Int(clients[slot].address.port)
        row.localAddress = ByteString(local.host)
        row.localPort = local.isUnix ? settings.listenPort : Int(local.port)
        row.connectTime = timestamp(clients[slot].connectTime)
        row.requestTime = timestamp(clients[slot].requestTime)
        if clients[slot].isWaiting {
            row.waitMicroseconds = UInt64(max(0, now - clients[slot].requestTime))
        }
        row.pointer = clients[slot].number
        if clients[slot].hasServer {
            row.link = servers[clients[slot].server].number
            row.remoteProcessID = Int(servers[clients[slot].server].cancelKey?.processID ?? 0)
        }
        row.applicationName =
            states.value(of: "application_name", in: clients[slot].settings) ?? ""
        if clients[slot].names != noSlot {
            row.preparedStatementCount = statementNames[clients[slot].names].count
        }
        row.id = Int(clients[slot].number)
        row.buffers.packetAvailable = clients[slot].held.count
        row.buffers.sendAvailable = clients[slot].transport.unsentByteCount
        return row
    }

    private func clientState(_ slot: UInt32) -> SocketSnapshot.ClientState {
        switch clients[slot].phase {
        case .startup, .authenticating: .login
        case .console: .active
        case .awaitingWelcome, .ready, .draining:
            clients[slot].isWaiting ? .waiting : clients[slot].hasServer ? .active : .idle
        }
    }

    private func serverSnapshots() -> [SocketSnapshot] {
        var rows: [SocketSnapshot] = []
        for slot in 0..<UInt32(servers.slotCount) where servers.isUsed(slot) {
            rows.append(serverSnapshot(slot))
        }
        return rows
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
        row.pointer = servers[slot].number
        if servers[slot].hasClient { row.link = clients[servers[slot].client].number }
        row.remoteProcessID = Int(servers[slot].cancelKey?.processID ?? 0)
        row.applicationName =
            states.value(of: "application_name", in: servers[slot].settings) ?? ""
        row.preparedStatementCount = servers[slot].statements.count
        row.id = Int(servers[slot].number)
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

    private func poolSnapshots() -> [PoolSnapshot] {
        var rows = pools.ids.map { poolSnapshot($0) }
        var console = PoolSnapshot(database: "pgbouncer", user: "pgbouncer")
        console.clientActive = consoleClientCount
        console.poolMode = "statement"
        if console.clientActive > 0 { rows.append(console) }
        return rows
    }

    private func poolSnapshot(_ id: PoolID) -> PoolSnapshot {
        let key = pools[id].key
        var row = PoolSnapshot(database: key.database, user: key.user)
        row.clientWaiting = pools[id].waitingCount
        row.clientActive = pools[id].clientCount - pools[id].waitingCount
        row.serverActive = pools[id].serverCount(.active)
        row.serverIdle = pools[id].serverCount(.idle)
        row.serverUsed = pools[id].serverCount(.used)
        row.serverTested = pools[id].serverCount(.tested)
        row.serverLogin = pools[id].serverCount(.login)
        row.serverBeingCanceled = pools[id].serverCount(.beingCanceled)
        for slot in 0..<UInt32(cancelers.slotCount) where cancelers.isUsed(slot) {
            let server = cancelers[slot].server
            guard servers.holds(server.index, generation: server.generation),
                servers[server.index].pool == id
            else { continue }
            row.clientActiveCancelRequest += 1
            row.serverActiveCancel += 1
        }
        if let first = pools[id].allWaiters.first(where: { isWaiting($0) }) {
            row.maxWaitMicroseconds = UInt64(max(0, now - first.since))
        }
        row.poolMode = ByteString(pools[id].settings.poolMode.rawValue)
        if let database = directory.configuration.database(named: key.database),
            database.hosts.count > 1
        {
            row.loadBalanceHosts = ByteString(database.loadBalanceHosts.rawValue)
        }
        return row
    }

    private var consoleClientCount: Int {
        (0..<UInt32(clients.slotCount)).count {
            clients.isUsed($0) && clients[$0].phase == .console
        }
    }

    // MARK: Databases and users

    private func databaseSnapshots() -> [DatabaseSnapshot] {
        let configuration = directory.configuration
        var names = configuration.databaseNames
        for pool in pools.ids where !names.contains(pools[pool].key.database) {
            names.append(pools[pool].key.database)
        }
        var console = DatabaseSnapshot(name: "pgbouncer")
        console.port = settings.listenPort
        console.database = "pgbouncer"
        console.forceUser = "pgbouncer"
        console.poolSize = 2
        console.poolMode = "statement"
        console.currentClientConnections = consoleClientCount
        return names.compactMap { databaseSnapshot($0) } + [console]
    }

    private func databaseSnapshot(_ name: ByteString) -> DatabaseSnapshot? {
        let configuration = directory.configuration
        guard let entry = configuration.database(named: name) else { return nil }
        let effective = configuration.effectiveSettings(database: entry, user: nil)
        let state = pools.state(ofDatabase: name)
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

    private func userSnapshots() -> [UserSnapshot] {
        var names = Set(directory.userNames + directory.configuration.userNames)
        for pool in pools.ids { names.insert(pools[pool].key.user) }
        return names.sorted().map { name in
            let overrides = directory.configuration.users[name]?.overrides ?? Overrides()
            let state = pools.state(ofUser: name)
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

    private func listsSnapshot() -> ListsSnapshot {
        var lists = ListsSnapshot()
        lists.databases = databaseSnapshots().count
        lists.users = userSnapshots().count
        lists.pools = poolSnapshots().count
        lists.freeClients = clients.freeCount
        lists.usedClients = clients.count
        lists.loginClients = clientSnapshots().count { $0.state == .client(.login) }
        lists.freeServers = servers.freeCount
        lists.usedServers = servers.count
        lists.dnsNames = hosts.count
        lists.dnsPending = hosts.pendingCount
        return lists
    }

    private func memorySnapshot() -> [MemorySlab: MemorySnapshot] {
        [
            .clients: MemorySnapshot(
                entryByteCount: MemoryLayout<Client>.stride,
                usedCount: clients.count,
                freeCount: clients.freeCount
            ),
            .servers: MemorySnapshot(
                entryByteCount: MemoryLayout<Server>.stride,
                usedCount: servers.count,
                freeCount: servers.freeCount
            ),
            .pools: MemorySnapshot(
                entryByteCount: MemoryLayout<Pool>.stride,
                usedCount: pools.ids.count,
                freeCount: 0
            ),
            .users: MemorySnapshot(
                entryByteCount: MemoryLayout<UserState>.stride,
                usedCount: directory.userNames.count,
                freeCount: 0
            ),
            .databases: MemorySnapshot(
                entryByteCount: MemoryLayout<DatabaseEntry>.stride,
                usedCount: directory.configuration.databaseNames.count,
                freeCount: 0
            ),
            .buffers: MemorySnapshot(
                entryByteCount: ReceiveBuffer.capacity,
                usedCount: 1,
                freeCount: 0
            ),
            .parameterLists: MemorySnapshot(
                entryByteCount: 64,
                usedCount: states.count,
                freeCount: 0
            ),
            .serverPreparedStatements: MemorySnapshot(
                entryByteCount: 48,
                usedCount: statements.count,
                freeCount: 0
            ),
        ]
    }
}
