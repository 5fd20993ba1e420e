import PoolerCore
import PostgresWire
import Testing

/// What is said of a configuration before it is used.
@Suite struct ConfigurationReviewTests {
    private static func parse(_ text: String) throws -> Configuration {
        try Configuration.parse(path: "p.ini", contents: Array(text.utf8)) {
            path throws(FileUnavailable) in throw FileUnavailable(reason: "no \(path)")
        }
    }

    private static func remarks(
        _ main: String,
        databases: String = "app = host=127.0.0.1",
        users: String = "",
        readable: Set<String> = []
    ) throws -> [String] {
        let text = "[databases]\n\(databases)\n[pgbouncer]\nadmin_users = a\n\(main)\n"
        let list = UserList(path: "u", contents: Array(users.utf8))
        return try parse(text).remarks(list, isReadableByAll: readable.contains).map {
            "\($0.weight.rawValue) \($0.subject)"
        }
    }

    @Test func rulesThatNobodyMeets() throws {
        var configuration = try Self.parse(
            "[databases]\napp = host=a\n[pgbouncer]\nauth_type = hba\nauth_hba_file = hba\nadmin_users = a\n"
                + "listen_addr = *"
        )
        let rules = "host all all all md5\nhostssl all all all md5"
        try configuration.readAccessFiles { _ in Array(rules.utf8) }
        #expect(
            configuration.remarks(UserList()) == [
                ConfigurationRemark(
                    .warning,
                    "auth_hba_file",
                    "line 2: nobody meets it while client_tls_sslmode is disable"
                )
            ]
        )
        configuration.settings.clientTLSSslmode = .allow
        #expect(configuration.remarks(UserList()).isEmpty)
    }

    @Test func nothingToSay() throws {
        try #expect(Self.remarks("listen_addr = *").isEmpty)
    }

    @Test(arguments: [
        ("listen_addr = 10.0.0.1\nauth_type = trust", "warning auth_type"),
        ("listen_addr = *\nauth_type = any", "warning auth_type"),
        ("listen_addr = *\nauth_type = plain", "warning auth_type"),
        ("admin_users =\nlisten_addr = *", "note admin_users"),
        ("unix_socket_dir =", "warning listen_addr"),
        ("listen_addr = *\nquery_wait_timeout = 0", "warning query_wait_timeout"),
        ("listen_addr = *\nserver_lifetime = 0", "warning server_lifetime"),
        (
            "listen_addr = *\nreserve_pool_size = 5\nreserve_pool_timeout = 0",
            "note reserve_pool_size"
        ),
        ("listen_addr = *\nmin_pool_size = 30", "note [databases] app"),
        ("listen_addr = *\ndefault_pool_size = 0", "warning [databases] app"),
        ("listen_addr = *\npkt_buf = 2048", "note pkt_buf"),
        (
            "listen_addr = *\npool_mode = transaction\nserver_reset_query_always = 1",
            "note server_reset_query_always"
        ),
        ("listen_addr = *\nsession_tracking = off", "warning session_tracking"),
        ("listen_addr = *\nso_reuseport = 1", "warning so_reuseport"),
        ("listen_addr = *\npeer_id = 1", "warning peer_id"),
        ("listen_addr = *\n[peers]\n1 = host=a", "warning [peers]"),
        (
            "listen_addr = *\npeer_id = 1\n[peers]\n1 = host=a\n20000 = host=b",
            "warning [peers] 20000"
        ),
        (
            "listen_addr = *\npeer_id = 1\n[peers]\n2 = host=a port=5\n3 = host=a port=5",
            "warning [peers] 3"
        ),
        ("listen_addr = *\npeer_id = 1\n[peers]\n2 = host=localhost", "warning [peers] 2"),
        (
            "listen_addr = *\nignore_startup_parameters = extra_float_digits",
            "note ignore_startup_parameters"
        ),
    ])
    func oneRemark(_ main: String, _ expected: String) throws {
        try #expect(Self.remarks(main) == [expected])
    }

    @Test func localTrustIsNobodysBusiness() throws {
        try #expect(Self.remarks("listen_addr = 127.0.0.1, ::1\nauth_type = trust").isEmpty)
    }

    @Test func secretsThatEverybodyCanRead() throws {
        let main = "listen_addr = *\nauth_file = u\nconffile = p.ini"
        let readable: Set = ["u", "p.ini"]
        try #expect(Self.remarks(main, readable: readable) == ["warning auth_file"])
        try #expect(
            Self.remarks(main, databases: "app = user=x password=y", readable: readable)
                == ["warning auth_file", "warning conffile"]
        )
    }

    @Test func usersWithoutPasswords() throws {
        let main = "listen_addr = *"
        let databases = "app = user=x\nshop = user=y\nlast = user=z password=s"
        try #expect(
            Self.remarks(main, databases: databases, users: "\"x\" \"s\"\nbroken")
                == ["warning auth_file", "warning [databases] shop"]
        )
    }

    @Test func noDatabases() throws {
        try #expect(Self.remarks("listen_addr = *", databases: "") == ["warning [databases]"])
    }

    // MARK: Explain

    @Test func everyValueHasItsSource() throws {
        let configuration = try Self.parse(
            """
            [databases]
            app = host=127.0.0.1 pool_size=7 pool_mode=session
            [users]
            bob = pool_mode=statement
            [pgbouncer]
            query_wait_timeout = 9
            default_pool_size = 5
            """
        )
        func find(_ name: String, _ database: ByteString?, _ user: ByteString?) -> String {
            configuration.explained(database: database, user: user)
                .filter { $0.row.name == name }
                .map { "\($0.value) \($0.source.text)" }.joined()
        }
        #expect(find("query_wait_timeout", "app", "bob") == "9 p.ini:6")
        #expect(find("default_pool_size", nil, nil) == "5 p.ini:7")
        #expect(find("default_pool_size", "app", "bob") == "7 [databases] app")
        #expect(find("pool_mode", nil, nil) == "session default of [pgbouncer]")
        #expect(find("pool_mode", "app", nil) == "session [databases] app")
        #expect(find("pool_mode", "app", "bob") == "statement [users] bob")
        #expect(find("pool_mode", nil, "eve") == "session default of [pgbouncer]")
        #expect(configuration.explained(database: nil, user: nil).count == settingTable.count)
    }
}
