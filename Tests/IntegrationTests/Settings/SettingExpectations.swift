// What is expected of every setting, written by hand beside the pooler's own table: its values, its
// defaults, when a change takes effect, in which entries it can stand, and which test sees its effect.

import Foundation

/// What is expected of one setting.
struct SettingExpectation {
    enum Values: Equatable {
        case bool, seconds, secondsAtLeast(Int), word, text, fileMode, countOrPercentage, protocols
        case number(ClosedRange<Int>)

        /// A value that is not taken, and how the error about it begins.
        var badValue: (text: String, message: String)? {
            switch self {
            case .bool: ("2", "expected 0 or 1, found \"2\"")
            case .seconds: ("5s", "expected a number of seconds from 0 to 10000000000, such as")
            case .secondsAtLeast(let least):
                ("0", "expected a number of seconds from \(least) to 10000000000, such as")
            case .word: ("nonsense", "expected ")
            case .text: nil
            case .protocols: ("sslv3", "expected secure, all, or some of tlsv1.0 to tlsv1.3, found")
            case .countOrPercentage:
                ("0%", "expected a whole number, or a percentage from 1% to 100%")
            case .fileMode: ("777", "expected an octal number from 0 to 0777")
            case .number(let range):
                (
                    "\(range.lowerBound - 1)",
                    "expected a whole number from \(range.lowerBound) to \(range.upperBound), found"
                )
            }
        }
    }

    let name: String
    let values: Values
    let isLive: Bool
    /// `databases`, `users`, `peers`: the sections whose entries take it.
    let sections: Set<String>
    /// The test that sees its effect, as `Suite.test`; nil for what has none, which has to be
    /// documented.
    let test: String?
    let pgbouncerDefault: String
    let martletDefault: String

    /// All of them, in alphabetical order.
    static let all = table.split(separator: "\n").map { SettingExpectation(String($0)) }

    /// Reads `name values live|start entries test = default / default of [martlet]`.
    private init(_ line: String) {
        let halves = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let words = halves[0].split(separator: " ").map(String.init)
        precondition(words.count == 5 && halves.count == 2, line)
        name = words[0]
        values = Self.values(words[1])
        isLive = words[2] == "live"
        sections = Set(
            [("d", "databases"), ("u", "users"), ("p", "peers")].filter { words[3].contains($0.0) }
                .map(\.1)
        )
        test = words[4] == "-" ? nil : words[4]
        let defaults = String(halves[1]).components(separatedBy: " / ")
        pgbouncerDefault = defaults[0].trimmingCharacters(in: .whitespaces)
        martletDefault = (defaults.last ?? "").trimmingCharacters(in: .whitespaces)
    }

    private static func values(_ word: String) -> Values {
        switch word {
        case "bool": return .bool
        case "seconds": return .seconds
        case "word": return .word
        case "text": return .text
        case "mode": return .fileMode
        case "limit": return .countOrPercentage
        case "protocols": return .protocols
        default: break
        }
        let parts = word.components(separatedBy: "...")
        if parts.count == 2, let low = Int(parts[0]), let high = Int(parts[1]) {
            return .number(low...high)
        }
        if parts.count == 2, let least = Int(parts[0]), parts[1] == "s" {
            return .secondsAtLeast(least)
        }
        preconditionFailure("values: \(word)")
    }

    /// The names, and where their effects are seen.
    ///
    /// 2147483647 is the largest number of a C int.
    private static let table = """
        admin_users text live - CommandTests.whoMayEnter =
        application_name_add_host bool live - ServerParameterTests.theApplicationNameTellsWhereItsClientIs = 0
        audit_interval seconds live - AuditTests.nobodyIsAskedWhereThatIsSwitchedOff = 1
        auth_dbname text live - AuthQueryTests.everyMethod =
        auth_file text live - ClientAuthenticationTests.aUserListReadAgain =
        auth_hba_file text live - HBARuleTests.theFirstRuleThatFitsDecides =
        auth_ident_file text live - HBARuleTests.peersAreUsersOfTheSystem =
        auth_query text live - AuthQueryTests.aQueryThatDoesNotServe = \(authQuery)
        auth_query_ttl seconds live - AuthQueryTests.loginsShareAQuestion = 1
        auth_type word live - ClientAuthenticationTests.theRightPassword = md5 / scram-sha-256
        auth_user text live - AuthQueryTests.scramFromOneEndToTheOther =
        autodb_idle_timeout seconds live - SettingEffectTests.autodbIdleTimeout = 3600
        cancel_wait_timeout seconds live - SettingEffectTests.cancelWaitTimeout = 10
        client_idle_timeout seconds live u TimeoutTests.clientIdleTimeout = 0
        client_login_timeout seconds live - BrokenClientTests.silentConnectionsEndAtLoginTimeout = 60
        client_tls13_ciphers text live - ClientModeTests.ciphersAndGroups =
        client_tls_ca_file text live - ClientModeTests.whoGetsIn =
        client_tls_cert_file text live - ClientModeTests.certificatesByName =
        client_tls_ciphers text live - ClientModeTests.ciphersAndGroups = default
        client_tls_dheparams word live - ClientModeTests.exchangeOverFiniteFields = auto
        client_tls_ecdhcurve text live - ClientModeTests.ciphersAndGroups = auto
        client_tls_key_file text live - ClientModeTests.certificatesByName =
        client_tls_protocols protocols live - ClientModeTests.versions = secure
        client_tls_sslmode word live - ClientModeTests.whoGetsIn = disable
        conffile text live - ProcessTests.theFileCanBeAnother =
        default_pool_size 0...2147483647 live dup LimitTests.defaultPoolSize = 20
        disable_pqexec bool live - ProcessTests.simpleQueriesCanBeForbidden = 0
        dns_max_ttl seconds live - SettingEffectTests.namesAreRemembered = 15
        dns_nxdomain_ttl seconds live - SettingEffectTests.namesAreRemembered = 15
        dns_zone_check_period seconds live - - = 0
        idle_transaction_timeout seconds live u TimeoutTests.idleTransactionTimeout = 0
        ignore_startup_parameters text live - SettingEffectTests.ignoreStartupParameters =
        io_backend word start - StartTests.theBackendIsNamed = auto
        isolate_custom_settings bool live du CustomSettingTests.isolatedClientsInACrowd = 0
        job_name text start - - = pgbouncer
        listen_addr text start - StartTests.theSectionsDefaults = / 127.0.0.1
        listen_backlog 0...2147483647 start - SocketOptionsTests.theBacklogIsTheListeners = 128
        listen_port 1...65535 start - StartTests.theSectionsDefaults = 6432 / 6543
        log_connections bool live - SettingEffectTests.whatIsLogged = 1
        log_disconnections bool live - SettingEffectTests.whatIsLogged = 1
        log_format word live - ProcessTests.linesInJSON = pgbouncer
        log_min_duration -1...2147483647 live du SlowQueryTests.timesAreToldApart = -1
        log_pooler_errors bool live - SettingEffectTests.whatIsLogged = 1
        log_query_bytes 0...1024 live du SlowQueryTests.textsAreLoggedIfWanted = 0
        log_stats bool live - SettingEffectTests.statisticsAreLogged = 1
        logfile text live - ProcessTests.theLogFileIsOpenedAgain =
        login_notify_message text live - ProcessTests.aMessageAtLogin =
        max_client_conn 0...2147483647 live - LimitTests.maxClientConnections = 100 / 10000
        max_db_client_connections 0...2147483647 live d SettingEffectTests.maxDBClientConnections = 0
        max_db_connections 0...2147483647 live d LimitTests.maxDBConnectionsCountsAllUsers = 0
        max_host_connections limit live - LimitTests.maxHostConnectionsCountsAllPools = 0
        max_packet_size 1024...4294967295 live - SettingEffectTests.maxPacketSize = 2147483647
        max_pinned 0...2147483647 live - PinTests.tooManyPinsAreRefused = 0
        max_prepared_statements 0...2147483647 live - PreparedStatementTests.thousandsOfStatements = 200
        max_user_client_connections 0...2147483647 live u SharedPoolTests.clientLimitsHoldForAllWorkersTogether = 0
        max_user_connections 0...2147483647 live u LimitTests.maxUserConnectionsOfAUser = 0
        min_pool_size 0...2147483647 live d LimitTests.theMinimumIsKept = 0
        notification_loss word live - ListenerTests.clientsAreEndedAfterALossIfThatIsWanted = notice
        notification_queue 1024...2147483647 live - ListenerTests.whoDoesNotReadIsDisconnected = 1048576
        peer_id 0...16383 live - PeerTests.poolersThatShareAPortCancelForOneAnother = 0
        pidfile text start - ProcessTests.aDaemon =
        pin_notice bool live du PinTests.clientsAreToldOfPins = 0
        pin_timeout seconds live - PinTests.idlePinsEndAtPinTimeout = 0
        pkt_buf 0...2147483647 start - - = 4096
        pool_idle_timeout seconds live - ProcessTests.unusedPoolsAreForgotten = 0
        pool_mode word live du PoolModeTests.modesOfDatabaseAndUser = session / transaction
        query_timeout seconds live u TimeoutTests.queryTimeout = 0
        query_wait_notify seconds live - TimeoutTests.aWaitingClientIsTold = 5
        query_wait_timeout seconds live du TimeoutTests.queryWaitTimeout = 120
        reserve_pool_size 0...2147483647 live du LimitTests.theReserveHelpsAfterItsTimeout = 0
        reserve_pool_timeout seconds live - LimitTests.theReserveHelpsAfterItsTimeout = 5
        resolv_conf text start - - =
        reuse_unnamed_statements bool live du UnnamedReuseTests.whatComesAgainIsPreparedOnceForAll = 0
        sbuf_loopcnt 0...2147483647 live - - = 5
        scram_iterations 1...10000000 live - SettingEffectTests.scramIterations = 4096
        server_channel_binding word live d ServerModeTests.channelBinding = prefer
        server_check_delay seconds live - ServerLifeTests.theCheckQueryRunsAfterItsDelay = 30
        server_check_query text live - ServerLifeTests.aFailingCheckQueryReplacesTheServer = <empty>
        server_connect_timeout seconds live - ServerLifeTests.serverConnectTimeout = 15
        server_fast_close bool live - ProcessTests.serversCanBeReplacedFast = 0
        server_idle_timeout seconds live - ServerLifeTests.serverIdleTimeout = 600
        server_lifetime seconds live d ServerLifeTests.serverLifetime = 3600
        server_login_retry seconds live - DeadServerTests.anOutageFailsFastAndHealsByItself = 15
        server_reset_query text live - PoolModeTests.anEmptyResetQueryResetsNothing = DISCARD ALL
        server_reset_query_always bool live - SettingEffectTests.serverResetQueryAlways = 0
        server_round_robin bool live - TransactionTests.idleServersAreTakenRoundRobin = 0
        server_tls13_ciphers text live d ServerModeTests.ciphers =
        server_tls_ca_file text live d ServerModeTests.serversWithTLS =
        server_tls_cert_file text live d ServerModeTests.certificatesForTheServer =
        server_tls_ciphers text live d ServerModeTests.ciphers = default
        server_tls_key_file text live d ServerModeTests.certificatesForTheServer =
        server_tls_negotiation word live d ServerModeTests.directToAnOldServer = postgres
        server_tls_protocols protocols live d TLSReloadTests.serversAreReplaced = secure
        server_tls_sslmode word live d ServerModeTests.serversWithTLS = prefer
        session_tracking word live du PinTests.trackingCanBeSwitchedOff = full
        shared_listener bool live - ListenerTests.withoutAListenerServersArePinned = 1
        so_reuseport bool start - ProcessTests.aSharedPort = 0
        stats_period 1...s live - SettingEffectTests.statisticsAreLogged = 60
        stats_users text live - CommandTests.whoMayEnter =
        suspend_timeout seconds live - SuspendTests.stragglersAreDropped = 10
        syslog bool live - SyslogTests.linesReachTheSystemsLog = 0
        syslog_facility word live - SyslogTests.linesReachTheSystemsLog = daemon
        syslog_ident text live - SyslogTests.linesReachTheSystemsLog = pgbouncer / martlet
        tcp_defer_accept bool live - BrokenClientTests.silentConnectionsAreNobodysBusiness = 1
        tcp_keepalive bool live - SocketOptionsTests.acceptedSocketsTakeOverTheSettings = 1
        tcp_keepcnt 0...127 live - SocketOptionsTests.acceptedSocketsTakeOverTheSettings = 0
        tcp_keepidle 0...32767 live - SocketOptionsTests.acceptedSocketsTakeOverTheSettings = 0
        tcp_keepintvl 0...32767 live - SocketOptionsTests.everyOptionOfTheSettings = 0
        tcp_socket_buffer 0...2147483647 live - SocketOptionsTests.everyOptionOfTheSettings = 0
        tcp_user_timeout 0...2147483647 live - SocketOptionsTests.acceptedSocketsTakeOverTheSettings = 0
        track_extra_parameters text start - - = IntervalStyle
        transaction_timeout seconds live u TimeoutTests.transactionTimeout = 0
        unix_socket_dir text start - CommandTests.theOwnUserOverTheUnixSocket = /tmp
        unix_socket_group text start - SettingEffectTests.whoMayUseTheUnixSocket =
        unix_socket_mode mode start - SettingEffectTests.whoMayUseTheUnixSocket = 511
        user text start - ProcessTests.itBecomesAnotherUser =
        verbose 0...3 live - SettingEffectTests.moreCanBeLogged = 0
        workers 0...256 start - SharedPoolTests.connectionsAreSpreadEvenly = 0
        """

    private static let authQuery = """
        SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE rolpassword END \
        FROM pg_catalog.pg_authid WHERE rolname=$1 AND rolcanlogin
        """
}
