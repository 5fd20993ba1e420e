// The names of the SHOW tables, and which definition belongs to each.

/// A table that SHOW knows.
///
/// FDS is not among them yet.
public enum ShowKind: String, CaseIterable, Sendable {
    case activeSockets = "ACTIVE_SOCKETS"
    case clients = "CLIENTS"
    case config = "CONFIG"
    case databases = "DATABASES"
    case dnsHosts = "DNS_HOSTS"
    case dnsZones = "DNS_ZONES"
    case help = "HELP"
    case hosts = "HOSTS"
    case lists = "LISTS"
    case memory = "MEM"
    case peers = "PEERS"
    case peerPools = "PEER_POOLS"
    case pins = "PINS"
    case pools = "POOLS"
    case servers = "SERVERS"
    case sockets = "SOCKETS"
    case state = "STATE"
    case stats = "STATS"
    case statsAverages = "STATS_AVERAGES"
    case statsTotals = "STATS_TOTALS"
    case tls = "TLS"
    case totals = "TOTALS"
    case users = "USERS"
    case version = "VERSION"

    /// The table's columns, rows and role.
    public var definition: ShowDefinition {
        switch self {
        case .activeSockets: .activeSockets
        case .clients: .clients
        case .config: .config
        case .databases: .databases
        case .dnsHosts: .dnsHosts
        case .dnsZones: .dnsZones
        case .help: .help
        case .hosts: .hosts
        case .lists: .lists
        case .memory: .memory
        case .peers: .peers
        case .peerPools: .peerPools
        case .pins: .pins
        case .pools: .pools
        case .servers: .servers
        case .sockets: .sockets
        case .state: .state
        case .stats: .stats
        case .statsAverages: .statsAverages
        case .statsTotals: .statsTotals
        case .tls: .tls
        case .totals: .totals
        case .users: .users
        case .version: .version
        }
    }
}
