import PoolerCore
import PostgresWire
import Testing

@Suite struct ShowTableTests {
    private static let stats = """
        database:t total_server_assignment_count:n total_xact_count:n total_query_count:n \
        total_received:n total_sent:n total_xact_time:n total_query_time:n total_wait_time:n \
        total_client_parse_count:n total_server_parse_count:n total_bind_count:n \
        total_client_login_count:n avg_server_assignment_count:n avg_xact_count:n avg_query_count:n \
        avg_recv:n avg_sent:n avg_xact_time:n avg_query_time:n avg_wait_time:n \
        avg_client_parse_count:n avg_server_parse_count:n avg_bind_count:n avg_client_login_count:n \
        total_pin_count:n total_pin_time:n total_replay_count:n total_replay_wait_count:n \
        total_probe_count:n total_audit_count:n total_leak_count:n total_reprepare_count:n \
        total_notification_count:n total_listener_loss_count:n \(pinCounts("total_"))
        """

    private static func pinCounts(_ prefix: String) -> String {
        PinReasons.allNames.map { "\(prefix)pin_count_\($0):n" }.joined(separator: " ")
    }

    private static let sockets = """
        type:t user:t database:t replication:t state:t addr:t port:i local_addr:t local_port:i \
        connect_time:t request_time:t wait:i wait_us:i close_needed:i ptr:t link:t remote_pid:i tls:t \
        application_name:t prepared_statements:i id:i
        """
    private static let buffers = """
        recv_pos:i pkt_pos:i pkt_remain:i send_pos:i send_remain:i pkt_avail:i send_avail:i
        """

    /// Names, order and types as observed on PgBouncer, and behind them columns of our own.
    private static let expectations: [(ShowKind, String)] = [
        (.activeSockets, sockets + " " + buffers),
        (.clients, sockets + " worker:i pins:t"),
        (.config, "key:t value:t default:t changeable:t"),
        (
            .databases,
            """
            name:t host:t port:i database:t force_user:t pool_size:i min_pool_size:i \
            reserve_pool_size:i server_lifetime:i pool_mode:t load_balance_hosts:t \
            max_connections:i current_connections:i max_client_connections:i \
            current_client_connections:i paused:i disabled:i
            """
        ),
        (.dnsHosts, "hostname:t ttl:b addrs:t"),
        (.dnsZones, "zonename:t serial:b count:i"),
        (.help, ""),
        (
            .hosts,
            """
            host:t port:i state:t current_connections:i max_connections:i server_connections:i \
            last_error:t
            """
        ),
        (.lists, "list:t items:i"),
        (.memory, "name:t size:i used:i free:i memtotal:i"),
        (.peers, "peer_id:i host:t port:i pool_size:i"),
        (
            .peerPools,
            "peer_id:i cl_active_cancel_req:i cl_waiting_cancel_req:i sv_active_cancel:i sv_login:i"
        ),
        (.pins, "database:t user:t server:t client:t reasons:t since:t statement:t"),
        (
            .pools,
            """
            database:t user:t cl_active:i cl_waiting:i cl_active_cancel_req:i \
            cl_waiting_cancel_req:i sv_active:i sv_active_cancel:i sv_being_canceled:i sv_idle:i \
            sv_used:i sv_tested:i sv_login:i maxwait:i maxwait_us:i pool_mode:t load_balance_hosts:t \
            sv_pinned:i sv_listening:i
            """
        ),
        (.servers, sockets + " worker:i pins:t"),
        (.sockets, sockets + " " + buffers),
        (.state, "key:t value:t"),
        (.stats, stats),
        (
            .statsAverages,
            """
            database:t server_assignment_count:n xact_count:n query_count:n bytes_received:n \
            bytes_sent:n xact_time:n query_time:n wait_time:n avg_client_parse_count:n \
            avg_server_parse_count:n avg_bind_count:n avg_client_login_count:n pin_count:n \
            pin_time:n replay_count:n replay_wait_count:n probe_count:n audit_count:n \
            leak_count:n reprepare_count:n notification_count:n listener_loss_count:n \
            \(pinCounts(""))
            """
        ),
        (
            .statsTotals,
            """
            database:t server_assignment_count:n xact_count:n query_count:n bytes_received:n \
            bytes_sent:n xact_time:n query_time:n wait_time:n client_parse_count:n \
            server_parse_count:n bind_count:n client_login_count:n pin_count:n pin_time:n \
            replay_count:n replay_wait_count:n probe_count:n audit_count:n leak_count:n \
            reprepare_count:n notification_count:n listener_loss_count:n \
            \(pinCounts(""))
            """
        ),
        (
            .tls,
            """
            setting:t file:t subject:t issuer:t serial:t hosts:t not_before:t not_after:t \
            days_left:i
            """
        ),
        (.totals, "name:t value:n"),
        (
            .users,
            """
            name:t pool_size:t reserve_pool_size:t pool_mode:t max_user_connections:i \
            current_connections:i max_user_client_connections:i current_client_connections:i
            """
        ),
        (.version, "version:t"),
    ]

    private func letter(_ type: ColumnType) -> String {
        switch type {
        case .text: "t"
        case .int4: "i"
        case .int8: "b"
        case .numeric: "n"
        case .bytea: "y"
        }
    }

    @Test(arguments: expectations)
    func columns(_ kind: ShowKind, _ expected: String) {
        let columns = kind.definition.columns.map { "\($0.name):\(letter($0.type))" }
        #expect(columns.joined(separator: " ") == expected)
    }

    @Test func everyTableIsExpected() {
        #expect(Self.expectations.map(\.0) == ShowKind.allCases)
    }

    @Test func tablesAskForNoMoreThanTheyShow() {
        let expected: [ShowKind: SnapshotParts] = [
            .activeSockets: [.clients, .servers], .clients: .clients, .config: .settings,
            .databases: .databases, .dnsHosts: .hosts, .dnsZones: [], .help: [],
            .hosts: .serverHosts, .lists: .lists, .memory: .memory, .peers: .peers,
            .peerPools: .peers, .pins: .servers, .pools: .pools,
            .servers: .servers, .sockets: [.clients, .servers], .state: .state,
            .stats: .statistics, .statsAverages: .statistics, .statsTotals: .statistics,
            .tls: .certificates,
            .totals: .overall, .users: .users, .version: [],
        ]
        for kind in ShowKind.allCases { #expect(kind.definition.parts == expected[kind]) }
    }

    private func row(_ kind: ShowKind, _ snapshot: ConsoleSnapshot, _ index: Int = 0) -> [ShowValue]
    {
        let rows = kind.definition.values(snapshot)
        return index < rows.count ? rows[index] : []
    }

    @Test(
        arguments: [
            (-3 * 86_400, -3, "has expired"), (-1, 0, "has expired"), (0, 0, "has expired"),
            (3_600, 0, "expires in 0 days"), (29 * 86_400 + 1, 29, "expires in 29 days"),
            (30 * 86_400, 30, nil),
        ] as [(Int64, Int64, String?)]
    )
    func certificatesExpire(secondsLeft: Int64, daysLeft: Int64, warning: String?) {
        let now = Timestamp(unixMicroseconds: 1_800_000_000_000_000)
        let certificate = CertificateSnapshot(
            setting: "client_tls_cert_file",
            file: "/etc/server.crt",
            subject: "CN=db",
            issuer: "CN=CA",
            serialNumber: "0A",
            hosts: "DNS:db",
            start: Timestamp(unixMicroseconds: 0),
            end: Timestamp(unixMicroseconds: now.unixMicroseconds + secondsLeft * 1_000_000),
            now: now
        )
        var snapshot = ConsoleSnapshot()
        snapshot.certificates = [certificate]
        #expect(row(.tls, snapshot).last == .integer(daysLeft))
        if let warning {
            #expect(certificate.warning?.contains("/etc/server.crt") == true)
            #expect(certificate.warning?.contains(warning) == true)
        } else {
            #expect(certificate.warning == nil)
        }
    }

    @Test func aClient() {
        var client = SocketSnapshot(.client(.waiting))
        client.user = "app"
        client.database = "shop"
        client.address = "10.0.0.7"
        client.port = 41_000
        client.localAddress = "10.0.0.1"
        client.localPort = 6_543
        client.connectTime = Timestamp(unixMicroseconds: 0)
        client.waitMicroseconds = 3_000_004
        client.pointer = 0xAB_CDEF
        client.applicationName = "psql"
        client.preparedStatementCount = 2
        client.id = 99
        client.worker = 2
        var snapshot = ConsoleSnapshot()
        snapshot.clients = [client]
        let expected: [ShowValue] = [
            .text("C"), .text("app"), .text("shop"), .text("none"), .text("waiting"),
            .text("10.0.0.7"), .integer(41_000), .text("10.0.0.1"), .integer(6_543),
            .text("1970-01-01 00:00:00 UTC"), .null, .integer(3), .integer(4), .integer(0),
            .text("0xabcdef"), .text(""), .integer(0), .text(""), .text("psql"), .integer(2),
            .integer(99), .integer(2), .text(""),
        ]
        #expect(row(.clients, snapshot) == expected)
        #expect(row(.sockets, snapshot)[4] == .text("cl_waiting"))
        #expect(row(.sockets, snapshot).count == 28)
        #expect(row(.activeSockets, snapshot).isEmpty)
    }

    @Test func aServer() {
        var server = SocketSnapshot(.server(.active))
        server.link = 0x10
        server.isCloseNeeded = true
        server.remoteProcessID = 4_711
        server.buffers.sendRemaining = 5
        var snapshot = ConsoleSnapshot()
        snapshot.servers = [server]
        let row = row(.servers, snapshot)
        #expect(row[0] == .text("S"))
        #expect(row[13] == .integer(1))
        #expect(row[15] == .text("0x10"))
        #expect(row[16] == .integer(4_711))
        #expect(self.row(.activeSockets, snapshot)[25] == .integer(5))
    }

    @Test(
        arguments: [
            (.client(.active), "active", "cl_active"), (.client(.idle), "idle", "cl_active"),
            (.client(.waiting), "waiting", "cl_waiting"), (.client(.login), nil, "cl_login"),
            (.client(.activeCancelRequest), "active_cancel_req", "cl_active_cancel_req"),
            (.client(.waitingCancelRequest), "waiting_cancel_req", "cl_waiting_cancel_req"),
            (.server(.active), "active", "sv_active"), (.server(.idle), "idle", "sv_idle"),
            (.server(.used), "used", "sv_used"), (.server(.tested), "tested", "sv_tested"),
            (.server(.new), "new", "sv_login"),
            (.server(.activeCancel), "active_cancel", "sv_active_cancel"),
            (.server(.beingCanceled), "being_canceled", "sv_being_canceled"),
        ] as [(SocketSnapshot.State, String?, String)]
    )
    func states(_ state: SocketSnapshot.State, _ name: String?, _ listName: String) {
        var snapshot = ConsoleSnapshot()
        snapshot.clients = [SocketSnapshot(state)]
        let plain = row(.clients, snapshot)
        #expect(plain.isEmpty ? name == nil : plain[4] == .text(ByteString(name ?? "")))
        #expect(row(.sockets, snapshot)[4] == .text(ByteString(listName)))
    }

    @Test func aPool() {
        var pool = PoolSnapshot(database: "shop", user: "app")
        pool.clientActive = 1
        pool.clientWaiting = 2
        pool.clientActiveCancelRequest = 3
        pool.clientWaitingCancelRequest = 4
        pool.serverActive = 5
        pool.serverActiveCancel = 6
        pool.serverBeingCanceled = 7
        pool.serverIdle = 8
        pool.serverUsed = 9
        pool.serverTested = 10
        pool.serverLogin = 11
        pool.maxWaitMicroseconds = 12_000_013
        pool.serverPinned = 14
        pool.serverListening = 15
        var snapshot = ConsoleSnapshot()
        snapshot.pools = [pool]
        let expected: [ShowValue] =
            [.text("shop"), .text("app")] + (1...13).map { .integer($0) }
            + [.text("transaction"), .null, .integer(14), .integer(15)]
        #expect(row(.pools, snapshot) == expected)
    }

    @Test func aDatabase() {
        var database = DatabaseSnapshot(name: "shop")
        database.poolSize = 1
        database.minPoolSize = 2
        database.reservePoolSize = 3
        database.serverLifetime = 4
        database.maxConnections = 5
        database.currentConnections = 6
        database.maxClientConnections = 7
        database.currentClientConnections = 8
        database.isDisabled = true
        var snapshot = ConsoleSnapshot()
        snapshot.databases = [database]
        let expected: [ShowValue] = [
            .text("shop"), .null, .integer(5_432), .text("shop"), .null, .integer(1), .integer(2),
            .integer(3), .integer(4), .null, .null, .integer(5), .integer(6), .integer(7),
            .integer(8), .integer(0), .integer(1),
        ]
        #expect(row(.databases, snapshot) == expected)
    }

    @Test func aUser() {
        var user = UserSnapshot(name: "app")
        user.poolSize = 7
        user.maxUserConnections = 1
        user.currentConnections = 2
        user.maxUserClientConnections = 3
        user.currentClientConnections = 4
        var snapshot = ConsoleSnapshot()
        snapshot.users = [user]
        let expected: [ShowValue] = [
            .text("app"), .text("        7"), .text(""), .null, .integer(1), .integer(2),
            .integer(3),
            .integer(4),
        ]
        #expect(row(.users, snapshot) == expected)
    }

    @Test func statistics() {
        var snapshot = ConsoleSnapshot()
        snapshot.statistics = [
            StatsSnapshot(
                database: "shop",
                totals: CountersTests.counters(1),
                averages: CountersTests.counters(101)
            )
        ]
        let totals = (1...12).map { ShowValue.natural($0) }
        let averages = (101...112).map { ShowValue.natural($0) }
        let ofSessions = (13...31).map { ShowValue.natural($0) }
        let sessionAverages = (113...131).map { ShowValue.natural($0) }
        #expect(row(.stats, snapshot) == [.text("shop")] + totals + averages + ofSessions)
        #expect(row(.statsTotals, snapshot) == [.text("shop")] + totals + ofSessions)
        #expect(row(.statsAverages, snapshot) == [.text("shop")] + averages + sessionAverages)
    }

    @Test func totals() {
        var snapshot = ConsoleSnapshot()
        snapshot.overall.totals = CountersTests.counters(1)
        snapshot.overall.averages = CountersTests.counters(101)
        let names = [
            "server_assignment_count", "xact_count", "query_count", "client_bytes", "server_bytes",
            "xact_time", "query_time", "wait_time", "ps_client_parse_count",
            "ps_server_parse_count", "ps_bind_count", "client_login_count",
        ]
        let ofSessions =
            [
                "pin_count", "pin_time", "replay_count", "replay_wait_count", "probe_count",
                "audit_count", "leak_count", "reprepare_count", "notification_count",
                "listener_loss_count",
            ] + PinReasons.allNames.map { "pin_count_\($0)" }
        let figures =
            ["total_", "avg_"].flatMap { prefix in names.map { ByteString(prefix + $0) } }
            + ofSessions.map { ByteString("total_\($0)") }
        let values = Array(1...12) + Array(101...112) + Array(13...31) as [UInt64]
        let expected = zip(figures, values).map { [ShowValue.text($0), .natural($1)] }
        #expect(ShowKind.totals.definition.values(snapshot) == expected)
    }

    private func names(_ kind: ShowKind) -> [ShowValue] {
        kind.definition.values(ConsoleSnapshot()).map { $0[0] }
    }

    @Test func lists() {
        #expect(
            names(.lists)
                == [
                    "databases", "users", "peers", "pools", "peer_pools", "free_clients",
                    "used_clients", "login_clients", "free_servers", "used_servers", "dns_names",
                    "dns_zones", "dns_queries", "dns_pending",
                ].map { .text($0) }
        )
        var snapshot = ConsoleSnapshot()
        snapshot.lists.usedClients = 3
        #expect(row(.lists, snapshot, 6) == [.text("used_clients"), .integer(3)])
    }

    @Test func memory() {
        #expect(
            names(.memory)
                == [
                    "user_cache", "credentials_cache", "db_cache", "peer_cache", "peer_pool_cache",
                    "pool_cache", "outstanding_request_cache", "server_cache", "client_cache",
                    "iobuf_cache", "var_list_cache", "server_prepared_statement_cache",
                ].map { .text($0) }
        )
        var snapshot = ConsoleSnapshot()
        snapshot.memory[.users] = MemorySnapshot(entryByteCount: 100, usedCount: 3, freeCount: 4)
        let numbers: [ShowValue] = [.integer(100), .integer(3), .integer(4), .integer(700)]
        #expect(row(.memory, snapshot) == [.text("user_cache")] + numbers)
        snapshot.memory[.users]?.usedCount = .max
        #expect(row(.memory, snapshot)[4] == .integer(Int64(Int32.max)))
    }

    @Test func state() {
        var snapshot = ConsoleSnapshot()
        snapshot.state = .paused
        let rows = ShowKind.state.definition.values(snapshot)
        #expect(
            rows
                == [("active", "no"), ("paused", "yes"), ("suspended", "no")].map {
                    [.text($0.0), .text($0.1)]
                }
        )
    }

    @Test func configuration() {
        var snapshot = ConsoleSnapshot()
        snapshot.settings = [
            SettingSnapshot(key: "a", value: "1", defaultValue: nil, isChangeable: true),
            SettingSnapshot(key: "b", value: nil, defaultValue: "2", isChangeable: false),
        ]
        #expect(row(.config, snapshot) == [.text("a"), .text("1"), .null, .text("yes")])
        #expect(row(.config, snapshot, 1) == [.text("b"), .null, .text("2"), .text("no")])
    }

    @Test func versionNamesPgBouncerFirst() {
        #expect(row(.version, ConsoleSnapshot()) == [.text("PgBouncer 1.25.2 (Martlet 0.1.0)")])
    }
}
