import PoolerCore
import PostgresWire
import Testing

/// Reads a configuration that is expected to be acceptable.
private func read(
    _ text: String,
    files: [String: String] = [:]
) throws(ConfigurationError) -> Configuration {
    try Configuration.parse(path: "pooler.ini", contents: Array(text.utf8)) {
        path throws(FileUnavailable) in
        guard let text = files[path] else { throw FileUnavailable(reason: "No such file") }
        return Array(text.utf8)
    }
}

/// The error of a configuration that is expected to be refused.
private func error(_ text: String, files: [String: String] = [:]) -> String? {
    do {
        _ = try read(text, files: files)
        return nil
    } catch {
        return error.description
    }
}

@Suite struct ConfigurationSettingsTests {
    @Test(arguments: Flavor.allCases)
    func theMainSectionDecidesTheDefaults(_ flavor: Flavor) throws {
        let configuration = try read("[\(flavor.rawValue)]")
        #expect(configuration == Configuration(flavor: flavor))
        #expect(configuration.settings == Settings(flavor: flavor))
    }

    @Test func readsAnUnchangedPgBouncerFile() throws {
        let configuration = try read(
            """
            [databases]
            * = host=/run/postgresql
            [users]
            [pgbouncer]
            logfile = /var/log/pgbouncer.log
            pidfile = /run/pgbouncer.pid
            listen_addr = localhost, ::1
            listen_port = 6432
            unix_socket_dir = /run/postgresql
            auth_type = md5
            auth_file = /etc/pgbouncer/userlist.txt
            admin_users = admin, root
            ignore_startup_parameters = extra_float_digits
            server_lifetime = 0.5
            """
        )
        #expect(configuration.settings.listenAddr == ["localhost", "::1"])
        #expect(configuration.settings.adminUsers == ["admin", "root"])
        #expect(configuration.settings.poolMode == .session)
        #expect(configuration.settings.serverLifetime == 500_000)
        #expect(configuration.wildcardDatabase?.hosts == ["/run/postgresql"])
        #expect(configuration.databaseNames == [])
    }

    @Test func aRepeatedMainSectionDoesNotReset() throws {
        let text = """
            [pgbouncer]
            max_client_conn = 7
            %include more.ini
            [pgbouncer]
            verbose = 1
            """
        let settings = try read(text, files: ["more.ini": "[pgbouncer]\nlisten_port = 1"]).settings
        #expect(settings.maxClientConn == 7)
        #expect(settings.listenPort == 1)
        #expect(settings.verbose == 1)
    }

    @Test func theLastOfEqualKeysCounts() throws {
        #expect(try read("[martlet]\nverbose = 1\nverbose = 2").settings.verbose == 2)
    }

    @Test(arguments: [
        (
            "[pgbouncer]\nmax_client_con = 1",
            "pooler.ini:2: unknown setting \"max_client_con\" in section [pgbouncer]; "
                + "did you mean \"max_client_conn\"?"
        ),
        (
            "[martlet]\n\nListen_Port = 1",
            "pooler.ini:3: unknown setting \"Listen_Port\" in section [martlet]; "
                + "did you mean \"listen_port\"?"
        ),
        ("[martlet]\nxyz = 1", "pooler.ini:2: unknown setting \"xyz\" in section [martlet]"),
        (
            "[martlet]\nlisten_port = 99999",
            "pooler.ini:2: listen_port: expected a whole number from 1 to 65535, found \"99999\""
        ),
        (
            "[martlet]\nverbose = 1 ; more",
            "pooler.ini:2: verbose: expected a whole number from 0 to 3, found \"1 ; more\""
        ),
        (
            "[martlet]\nauth_ldap_options = x",
            "pooler.ini:2: setting \"auth_ldap_options\" is not supported: Martlet has no LDAP"
        ),
        (
            "[database]\n[martlet]",
            "pooler.ini:1: unknown section \"database\"; did you mean [databases]?"
        ),
        ("[martlet]\n[other]", "pooler.ini:2: unknown section \"other\""),
        (
            "[martlet]\n[peers]\none = host=a",
            "pooler.ini:3: expected a peer_id from 1 to 65535 as name, found \"one\""
        ),
        ("[martlet]\n[peers]\n1 = port=1", "pooler.ini:3: peer 1: expected a host"),
        (
            "[martlet]\n[peers]\n1 = host=a,b",
            "pooler.ini:3: peer 1: host: expected one host, found \"a,b\""
        ),
        (
            "[martlet]\n[peers]\n1 = host=a dbname=b",
            "pooler.ini:3: peer 1: unknown key \"dbname\" in section [peers]"
        ),
        ("verbose = 1\n[martlet]", "pooler.ini:1: \"verbose\" stands before the first section"),
        ("", "pooler.ini: expected a section [martlet] or [pgbouncer], found none"),
        ("[databases]", "pooler.ini: expected a section [martlet] or [pgbouncer], found none"),
        (
            "[martlet]\n[databases]\n[pgbouncer]",
            "pooler.ini:3: sections [martlet] and [pgbouncer] exclude each other"
        ),
    ])
    func saysWhatIsWrongAndWhere(_ text: String, _ message: String) {
        #expect(error(text) == message)
    }

    @Test func peersAreRead() throws {
        let configuration = try read(
            "[martlet]\ndefault_pool_size = 7\npeer_id = 1\n[peers]\n2 = host=/run/b pool_size=3\n"
                + "1 = host=a port=1\n2 = host=/run/c port=6543 pool_size=3\n65535 = host=@d"
        )
        #expect(configuration.settings.peerID == 1)
        let peers = configuration.sortedPeers
        #expect(peers.map(\.id) == [1, 2, 65_535])
        #expect(peers.map(\.host) == ["a", "/run/c", "@d"])
        #expect(peers.map(\.port) == [1, 6543, 6432])
        #expect(peers.map { configuration.poolSize(of: $0) } == [7, 3, 7])
    }

    @Test func anErrorInAnIncludeNamesTheInclude() {
        #expect(
            error("[martlet]\n%include more.ini", files: ["more.ini": "\nverbose = 9"])
                == "more.ini:2: verbose: expected a whole number from 0 to 3, found \"9\""
        )
    }

    @Test func aReloadKeepsWhatNeedsARestart() throws {
        let running = try read("[martlet]\nlisten_port = 1\nverbose = 1\n[databases]\na = port=1")
        let fresh = try read("[martlet]\nlisten_port = 2\nverbose = 2\n[databases]\nb = port=1")
        let (configuration, needingRestart) = fresh.reloaded(over: running)
        #expect(needingRestart.map(\.name) == ["listen_port"])
        #expect(configuration.settings.listenPort == 1)
        #expect(configuration.settings.verbose == 2)
        #expect(configuration.databaseNames == ["b"])
        #expect(fresh.reloaded(over: fresh).needingRestart.isEmpty)
    }
}

@Suite struct ConfigurationEntryTests {
    @Test func readsEveryKeyOfADatabase() throws {
        let configuration = try read(
            """
            [martlet]
            [databases]
            shop = dbname=real host=a,b port=6000 user=forced password='it''s' pool_size=1 \
            min_pool_size=2 reserve_pool=3 max_db_connections=4 max_db_client_connections=5 \
            pool_mode=Session query_wait_timeout=6 server_lifetime=7 load_balance_hosts=disable \
            connect_query='select 1' client_encoding=latin1 datestyle='ISO, DMY' timezone=UTC \
            application_name=app
            """
        )
        var expected = DatabaseEntry(name: "shop")
        expected.dbname = "real"
        expected.hosts = ["a", "b"]
        expected.port = 6000
        expected.user = "forced"
        expected.password = "it's"
        expected.loadBalanceHosts = .disable
        expected.connectQuery = "select 1"
        expected.clientEncoding = "latin1"
        expected.dateStyle = "ISO, DMY"
        expected.timeZone = "UTC"
        expected.applicationName = "app"
        expected.overrides.poolSize = 1
        expected.overrides.minPoolSize = 2
        expected.overrides.reservePoolSize = 3
        expected.overrides.maxDBConnections = 4
        expected.overrides.maxDBClientConnections = 5
        expected.overrides.poolMode = .session
        expected.overrides.queryWaitTimeout = .seconds(6)
        expected.overrides.serverLifetime = .seconds(7)
        let entry = try #require(configuration.databases["shop"])
        #expect(entry == expected)
        #expect(
            entry.startupParameters.map { "\($0.name)=\($0.value)" } == [
                "client_encoding=latin1", "DateStyle=ISO, DMY", "TimeZone=UTC",
                "application_name=app",
            ]
        )
    }

    @Test func readsEveryKeyOfAUser() throws {
        let configuration = try read(
            """
            [martlet]
            [users]
            "the batch" = pool_mode=statement pool_size=1 reserve_pool_size=2 max_user_connections=3 \
            max_user_client_connections=4 query_timeout=5 query_wait_timeout=6 \
            idle_transaction_timeout=7 transaction_timeout=8 client_idle_timeout=9.5
            """
        )
        var expected = UserEntry(name: "the batch")
        expected.overrides.poolMode = .statement
        expected.overrides.poolSize = 1
        expected.overrides.reservePoolSize = 2
        expected.overrides.maxUserConnections = 3
        expected.overrides.maxUserClientConnections = 4
        expected.overrides.queryTimeout = .seconds(5)
        expected.overrides.queryWaitTimeout = .seconds(6)
        expected.overrides.idleTransactionTimeout = .seconds(7)
        expected.overrides.transactionTimeout = .seconds(8)
        expected.overrides.clientIdleTimeout = 9_500_000
        #expect(configuration.users == ["the batch": expected])
        #expect(configuration.userNames == ["the batch"])
    }

    @Test func anEmptyEntryHasPgBouncersDefaults() throws {
        let entry = try #require(try read("[martlet]\n[databases]\na =").databases["a"])
        #expect(entry == DatabaseEntry(name: "a"))
        #expect(entry.port == 5432)
        #expect(entry.hosts == [])
        #expect(entry.serverDatabaseName == "a")
        #expect(entry.startupParameters.isEmpty)
    }

    @Test func theLastEntryOfANameCountsAsAWhole() throws {
        let text = "[martlet]\n[databases]\na = port=1 user=x\nb =\na = port=2"
        let configuration = try read(text)
        #expect(configuration.databaseNames == ["a", "b"])
        #expect(configuration.databases["a"]?.port == 2)
        #expect(configuration.databases["a"]?.user == nil)
    }

    @Test func unknownNamesGetTheWildcard() throws {
        let configuration = try read("[martlet]\n[databases]\na = port=1\n* = port=2")
        #expect(configuration.database(named: "a")?.port == 1)
        let other = configuration.database(named: "other")
        #expect(other?.name == "other")
        #expect(other?.serverDatabaseName == "other")
        #expect(other?.port == 2)
        #expect(configuration.database(named: "pgbouncer") == nil)
        #expect(configuration.database(named: "martlet") == nil)
        #expect(configuration.database(named: "") == nil)
        #expect(
            configuration.database(named: ByteString(String(repeating: "x", count: 64))) == nil
        )
        let fixed = try read("[martlet]\n[databases]\n* = dbname=real")
        #expect(fixed.database(named: "x")?.serverDatabaseName == "real")
        #expect(try read("[martlet]").database(named: "x") == nil)
    }

    @Test(arguments: [
        (
            "a = port=0",
            "database \"a\": port: expected a whole number from 1 to 65535, found \"0\""
        ),
        (
            "a = port=x",
            "database \"a\": port: expected a whole number from 1 to 65535, found \"x\""
        ),
        ("pgbouncer = ", "database name \"pgbouncer\" is reserved for the console"),
        ("martlet = ", "database name \"martlet\" is reserved for the console"),
        (" = host=a", "expected the name of a database before \"=\""),
        (
            "a = pol_size=1",
            "database \"a\": unknown key \"pol_size\" in section [databases]; "
                + "did you mean \"pool_size\"?"
        ),
        (
            "a = default_pool_size=1",
            "database \"a\": unknown key \"default_pool_size\" in section [databases]"
        ),
        (
            "a = auth_dbname=pgbouncer",
            "database \"a\": auth_dbname: database name \"pgbouncer\" is reserved for the console"
        ),
        ("a = host", "database \"a\": expected key=value pairs: no \"=\" after \"host\""),
        ("a = password='x", "database \"a\": password: the quoted value has no closing quote"),
        (
            "a = pool_mode=x",
            "database \"a\": pool_mode: expected session, transaction or statement, found \"x\""
        ),
    ])
    func refusesBadDatabases(_ line: String, _ message: String) {
        #expect(error("[martlet]\n[databases]\n\(line)") == "pooler.ini:3: \(message)")
    }

    @Test(arguments: [
        ("a = host=x", "user \"a\": unknown key \"host\" in section [users]"),
        (
            "a = pool_size=-2",
            "user \"a\": pool_size: expected a whole number from 0 to 2147483647, found \"-2\""
        ),
        (" = ", "expected the name of a user before \"=\""),
    ])
    func refusesBadUsers(_ line: String, _ message: String) {
        #expect(error("[martlet]\n[users]\n\(line)") == "pooler.ini:3: \(message)")
    }

    @Test func namesAndSecretsHavePgBouncersLimits() {
        func text(_ length: Int) -> String { String(repeating: "x", count: length) }
        let head = "[martlet]\n[databases]\n"
        #expect(error(head + "\(text(63)) =") == nil)
        #expect(
            error(head + "\(text(64)) =")?.contains("expected at most 63 bytes, found 64") == true
        )
        #expect(error(head + "a = user=\(text(127))") == nil)
        #expect(error(head + "a = user=\(text(128))")?.contains("at most 127 bytes") == true)
        #expect(error(head + "a = password=\(text(65530))") == nil)
        let message = error(head + "a = password=\(text(65531))")
        #expect(
            message
                == "pooler.ini:3: database \"a\": password: expected at most 65530 bytes, found 65531"
        )
        #expect(error("[martlet]\n[users]\n\(text(128)) =")?.contains("at most 127 bytes") == true)
    }

    /// A physical connection has no database.
    @Test func physicalReplicationGoesToTheOnlyServer() throws {
        func name(_ name: ByteString, _ databases: [String]) throws -> ByteString {
            try read((["[martlet]", "[databases]"] + databases).joined(separator: "\n"))
                .databaseName(forPhysicalReplication: name)
        }
        let one = ["b = host=h", "a = host=h pool_size=3"]
        #expect(try name("replication", one) == "b")
        #expect(try name("a", one) == "a", "where there is one of that name")
        #expect(try name("replication", one + ["c = host=g"]) == "replication")
        #expect(try name("replication", one + ["c = host=h port=6000"]) == "replication")
        #expect(try name("replication", one + ["* = host=g"]) == "replication")
        #expect(try name("pgbouncer", one) == "pgbouncer")
        #expect(try name("replication", []) == "replication")
    }

    @Test func aUserWinsOverADatabaseOverTheGlobalValue() throws {
        let configuration = try read(
            """
            [martlet]
            default_pool_size = 1
            query_wait_timeout = 10
            query_timeout = 5
            [databases]
            d = pool_size=2 query_wait_timeout=20 pool_mode=session
            e =
            [users]
            u = pool_size=3 query_timeout=0
            v = query_wait_timeout=0
            """
        )
        func settings(_ database: ByteString, _ user: ByteString) -> Settings {
            configuration.effectiveSettings(database: configuration.databases[database], user: user)
        }
        #expect(settings("d", "u").defaultPoolSize == 3)
        #expect(settings("d", "v").defaultPoolSize == 2)
        #expect(settings("e", "v").defaultPoolSize == 1)
        #expect(settings("d", "u").queryWaitTimeout == .seconds(20))
        #expect(settings("d", "v").queryWaitTimeout == 0)
        #expect(settings("e", "u").queryWaitTimeout == .seconds(10))
        #expect(settings("d", "u").queryTimeout == 0)
        #expect(settings("d", "v").queryTimeout == .seconds(5))
        #expect(settings("d", "u").poolMode == .session)
        #expect(settings("e", "u").poolMode == .transaction)
        #expect(settings("e", "w") == configuration.settings)
        #expect(
            configuration.effectiveSettings(database: nil, user: nil) == configuration.settings
        )
    }

    @Test func everyOverrideReachesItsSettingUnderEachOfItsNames() throws {
        for row in settingTable {
            guard let override = row.override else { continue }
            let words = [
                "pool_mode": "statement", "session_tracking": "off",
                "server_tls_negotiation": "direct",
                "isolate_custom_settings": "1", "pin_notice": "1",
                "reuse_unnamed_statements": "1", "server_channel_binding": "disable",
                "server_tls_protocols": "tlsv1.3", "server_tls_sslmode": "verify-full",
            ]
            // What makes sense only together with another key.
            let others = [
                "server_tls_cert_file": "server_tls_key_file=3",
                "server_tls_key_file": "server_tls_cert_file=3",
                "server_tls_negotiation": "server_tls_sslmode=require",
            ]
            let value = words[row.name] ?? "3"
            for section in override.sections where section != .peers {
                for name in [override.name] + override.aliases {
                    let entry = "[\(section.rawValue)]\nd = \(name)=\(value) \(others[name] ?? "")"
                    let configuration = try read("[martlet]\n\(entry)")
                    let effective = configuration.effectiveSettings(
                        database: configuration.databases["d"],
                        user: "d"
                    )
                    #expect(row.value(in: effective).text == value, "\(name) in \(section)")
                }
            }
        }
    }

    @Test func minusOneMeansAsGloballyAndANegativeTimePracticallyForever() throws {
        let text =
            "[martlet]\n[databases]\na = pool_size=-1 max_db_connections=0 query_wait_timeout=-1"
        let overrides = try #require(try read(text).databases["a"]?.overrides)
        #expect(overrides.poolSize == nil)
        #expect(overrides.maxDBConnections == 0)
        #expect(overrides.queryWaitTimeout == longestDuration)
    }

    @Test func connectionsSurviveAReloadThatDoesNotConcernThem() throws {
        func entry(_ text: String) throws -> DatabaseEntry {
            try #require(try read("[martlet]\n[databases]\na = \(text)").databases["a"])
        }
        let before = try entry("host=x")
        for same in ["host=x", "host=x pool_size=3", "host=x password=p", "dbname=a host=x"] {
            #expect(try entry(same).connectsLike(before), "\(same)")
        }
        for other in [
            "host=y", "host=x port=1", "host=x dbname=b", "host=x user=u", "",
            "host=x timezone=UTC", "host=x application_name=a",
        ] {
            #expect(try !entry(other).connectsLike(before), "\(other)")
        }
    }
}
