// SHOW CONFIG, LISTS, MEM, STATE, VERSION and HELP: the pooler as a whole.

import PostgresWire

extension ShowDefinition {
    static let config = ShowDefinition(
        "Every setting.",
        parts: .settings,
        columns: settingColumns
    ) { $0.settings }

    static let lists = ShowDefinition(
        "How many there are of each thing.",
        parts: .lists,
        columns: listColumns
    ) { snapshot in
        listRows.map { List(name: $0.name, count: $0.count(snapshot.lists)) }
    }

    static let memory = ShowDefinition(
        "Memory of each kind of entry.",
        parts: .memory,
        columns: memoryColumns
    ) { snapshot in
        MemorySlab.allCases.map { slab in
            Slab(slab: slab, content: snapshot.memory[slab] ?? MemorySnapshot())
        }
    }

    static let state = ShowDefinition(
        "Whether the pooler is active, paused or suspended.",
        parts: .state,
        columns: stateColumns
    ) { snapshot in
        PoolerState.allCases.map { StateRow(state: $0, holds: $0 == snapshot.state) }
    }

    static let version = ShowDefinition(
        "The version.",
        parts: [],
        columns: versionColumns
    ) { _ in [MartletVersion.consoleText] }

    static let dnsHosts = ShowDefinition(
        "The host names of servers that have been resolved.",
        parts: .hosts,
        columns: hostColumns
    ) { $0.hosts }

    static let dnsZones = ShowDefinition(
        "No rows: addresses are asked of the system, which does not tell of zones.",
        parts: [],
        columns: zoneColumns
    ) { _ in [] }

    static let help = ShowDefinition(
        "The commands, as a notice.",
        parts: [],
        columns: [] as [ShowColumn<Never>]
    ) { _ in [] }
}

private let settingColumns: [ShowColumn<SettingSnapshot>] = [
    .text("key", "The name of the setting.") { $0.key },
    .text("value", "Its value.") { $0.value },
    .text("default", "Its default.") { $0.defaultValue },
    .text("changeable", "yes when RELOAD and SET change it, no when only a restart does.") {
        $0.isChangeable ? "yes" : "no"
    },
]

private let hostColumns: [ShowColumn<HostSnapshot>] = [
    .text("hostname", "The name.") { $0.name },
    .int8("ttl", "For how many seconds its addresses still count.") { $0.secondsLeft },
    .text("addrs", "Its addresses, separated by commas.") {
        ByteString(Array($0.addresses.map(\.bytes).joined(separator: ",".utf8)))
    },
]

/// What a row of SHOW DNS_ZONES would be made of.
private struct Zone: Sendable {
    let name: String
    let serial: Int
    let count: Int
}

private let zoneColumns: [ShowColumn<Zone>] = [
    .text("zonename", "The zone.") { ByteString($0.name) },
    .int8("serial", "Its serial number.") { $0.serial },
    .int4("count", "How many host names are in it.") { $0.count },
]

private struct List: Sendable {
    let name: String
    let count: Int
}

private let listColumns: [ShowColumn<List>] = [
    .text("list", "What is counted.") { ByteString($0.name) },
    .int4("items", "How many there are.") { $0.count },
]

private let listRows: [(name: String, count: @Sendable (ListsSnapshot) -> Int)] = [
    ("databases", { $0.databases }),
    ("users", { $0.users }),
    ("peers", { $0.peers }),
    ("pools", { $0.pools }),
    ("peer_pools", { $0.peerPools }),
    ("free_clients", { $0.freeClients }),
    ("used_clients", { $0.usedClients }),
    ("login_clients", { $0.loginClients }),
    ("free_servers", { $0.freeServers }),
    ("used_servers", { $0.usedServers }),
    ("dns_names", { $0.dnsNames }),
    ("dns_zones", { $0.dnsZones }),
    ("dns_queries", { $0.dnsQueries }),
    ("dns_pending", { $0.dnsPending }),
]

private struct Slab: Sendable {
    let slab: MemorySlab
    let content: MemorySnapshot
}

private let memoryColumns: [ShowColumn<Slab>] = [
    .text("name", "What the entries hold.") { ByteString($0.slab.rawValue) },
    .int4("size", "Bytes of one entry.") { $0.content.entryByteCount },
    .int4("used", "Entries in use.") { $0.content.usedCount },
    .int4("free", "Entries kept for later.") { $0.content.freeCount },
    .int4("memtotal", "Bytes of all entries.") { $0.content.totalByteCount },
]

private struct StateRow: Sendable {
    let state: PoolerState
    let holds: Bool
}

private let stateColumns: [ShowColumn<StateRow>] = [
    .text("key", "active, paused or suspended.") { ByteString($0.state.rawValue) },
    .text("value", "yes or no.") { $0.holds ? "yes" : "no" },
]

private let versionColumns: [ShowColumn<String>] = [
    .text("version", "PgBouncer's version that the console follows, and our own.") {
        ByteString($0)
    }
]

extension MemorySnapshot {
    /// The bytes of all entries; the largest number there is when that would overflow.
    fileprivate var totalByteCount: Int {
        let (count, countOverflow) = usedCount.addingReportingOverflow(freeCount)
        let (total, overflow) = count.multipliedReportingOverflow(by: entryByteCount)
        return countOverflow || overflow ? .max : total
    }
}
