import PoolerCore
import PostgresWire
import Testing

@Suite struct SettingTableTests {
    @Test func namesAreInOrderAndUnique() {
        let names = settingTable.map(\.name)
        #expect(names == Set(names).sorted())
        #expect(names.count == 118)
    }

    @Test(arguments: Flavor.allCases)
    func everyDefaultComesBackFromItsText(_ flavor: Flavor) throws {
        let defaults = Settings(flavor: flavor)
        for row in settingTable {
            var settings = defaults
            try row.set(row.value(in: defaults), in: &settings)
            #expect(settings == defaults, "\(row.name)")
            #expect(row.value(in: defaults) == row.defaultValue(flavor), "\(row.name)")
        }
    }

    @Test func everyRowWritesItsOwnPropertyOnly() throws {
        let defaults = Settings()
        for row in settingTable {
            let other = otherValue(row)
            var settings = defaults
            try row.set(other, in: &settings)
            #expect(row.value(in: settings) == other, "\(row.name)")
            for neighbour in settingTable where neighbour.name != row.name {
                #expect(
                    neighbour.value(in: settings) == neighbour.value(in: defaults),
                    "\(row.name) changed \(neighbour.name)"
                )
            }
            var copy = defaults
            row.copy(from: settings, to: &copy)
            #expect(copy == settings, "\(row.name)")
        }
    }

    @Test func everyRowRefusesWhatIsOutOfItsRangeAndKeepsItsValue() {
        for row in settingTable {
            for text in badValues(row.kind) {
                var settings = Settings()
                #expect(throws: SettingError.self, "\(row.name) = \(text)") {
                    try row.set(text, in: &settings)
                }
                #expect(settings == Settings(), "\(row.name)")
            }
        }
    }

    @Test func everyRowIsDocumentedInASentence() {
        for row in settingTable {
            #expect(row.doc.hasSuffix("."), "\(row.name)")
            #expect(!row.doc.contains("|"), "\(row.name)")
        }
    }

    @Test func theTwoFlavorsDifferWhereTheyShould() {
        let different = settingTable.filter {
            $0.defaultValue(.martlet) != $0.defaultValue(.pgbouncer)
        }
        #expect(
            different.map {
                "\($0.name) \($0.defaultValue(.martlet)) \($0.defaultValue(.pgbouncer))"
            }
                == [
                    "auth_type scram-sha-256 md5",
                    "listen_addr 127.0.0.1 ",
                    "listen_port 6543 6432",
                    "max_client_conn 10000 100",
                    "pool_mode transaction session",
                    "syslog_ident martlet pgbouncer",
                ]
        )
    }

    @Test func pgbouncerDefaultsAreThoseOfPgBouncer() {
        let expected = [
            "admin_users": "", "autodb_idle_timeout": "3600", "cancel_wait_timeout": "10",
            "disable_pqexec": "0", "dns_zone_check_period": "0", "job_name": "pgbouncer",
            "login_notify_message": "", "pool_idle_timeout": "0", "resolv_conf": "",
            "server_fast_close": "0", "so_reuseport": "0", "syslog": "0",
            "syslog_facility": "daemon", "syslog_ident": "pgbouncer", "user": "",
            "client_login_timeout": "60", "default_pool_size": "20", "dns_max_ttl": "15",
            "listen_backlog": "128", "max_packet_size": "2147483647",
            "max_prepared_statements": "200", "pkt_buf": "4096", "query_wait_notify": "5",
            "query_wait_timeout": "120", "reserve_pool_timeout": "5", "sbuf_loopcnt": "5",
            "scram_iterations": "4096", "server_check_delay": "30",
            "server_check_query": "<empty>", "server_idle_timeout": "600",
            "server_lifetime": "3600", "server_login_retry": "15",
            "server_reset_query": "DISCARD ALL", "stats_period": "60", "tcp_keepalive": "1",
            "track_extra_parameters": "IntervalStyle", "unix_socket_dir": "/tmp",
            "unix_socket_mode": "511",
        ]
        for (name, value) in expected {
            #expect(settingRow(named: name)?.defaultValue(.pgbouncer).text == value, "\(name)")
        }
    }

    @Test func onlyWhatNeedsARestartIsReported() throws {
        var changed = Settings()
        for row in settingTable {
            try row.set(otherValue(row), in: &changed)
        }
        #expect(
            settingsNeedingRestart(from: Settings(), to: changed).map(\.name) == [
                "job_name", "listen_addr", "listen_backlog", "listen_port", "pidfile", "pkt_buf",
                "resolv_conf", "so_reuseport", "track_extra_parameters", "unix_socket_dir",
                "unix_socket_group", "unix_socket_mode", "user", "workers",
            ]
        )
        #expect(settingsNeedingRestart(from: changed, to: changed).isEmpty)
    }

    @Test func overridesStandInTheSectionsOfPgBouncer() {
        func names(_ section: EntrySection) -> [String] {
            settingOverrides.filter { $0.sections.contains(section) }.map(\.name).sorted()
        }
        #expect(
            names(.databases) == [
                "isolate_custom_settings", "log_min_duration", "log_query_bytes",
                "max_db_client_connections", "max_db_connections",
                "min_pool_size", "pin_notice", "pool_mode", "pool_size", "query_wait_timeout",
                "reserve_pool_size", "reuse_unnamed_statements", "server_channel_binding",
                "server_lifetime", "server_tls13_ciphers", "server_tls_ca_file",
                "server_tls_cert_file", "server_tls_ciphers", "server_tls_key_file",
                "server_tls_negotiation", "server_tls_protocols", "server_tls_sslmode",
                "session_tracking",
            ]
        )
        #expect(
            names(.users) == [
                "client_idle_timeout", "idle_transaction_timeout", "isolate_custom_settings",
                "log_min_duration", "log_query_bytes",
                "max_user_client_connections", "max_user_connections", "pin_notice", "pool_mode",
                "pool_size", "query_timeout", "query_wait_timeout", "reserve_pool_size",
                "reuse_unnamed_statements", "session_tracking", "transaction_timeout",
            ]
        )
    }

    @Test func peersHaveAPoolSize() {
        let names = settingOverrides.filter { $0.sections.contains(.peers) }.map(\.name)
        #expect(names == ["pool_size"])
    }

    @Test func setNamesTheSettingInItsErrors() throws {
        var settings = Settings()
        #expect(try settings.set("query_timeout", to: "1.5", section: "martlet").change == .live)
        #expect(settings.queryTimeout == 1_500_000)
        #expect(
            throws: SettingError("verbose: expected a whole number from 0 to 3, found \"4\"")
        ) {
            try settings.set("verbose", to: "4", section: "martlet")
        }
        #expect(
            throws: SettingError(
                "unknown setting \"verbos\" in section [martlet]; did you mean \"verbose\"?"
            )
        ) {
            try settings.set("verbos", to: "1", section: "martlet")
        }
    }

    @Test func whenAQueryIsSlow() throws {
        var settings = Settings()
        #expect(settings.slowQueryLimit == .max)
        settings.logQueryBytes = 100
        #expect(settings.queryTextLimit == 0, "nothing is kept when nothing is logged")
        settings.logMinDuration = 0
        #expect(settings.slowQueryLimit == 0)
        #expect(settings.queryTextLimit == 100)
        settings.logMinDuration = Int(Int32.max)
        #expect(settings.slowQueryLimit == 2_147_483_647_000)
    }

    /// An acceptable value other than the default.
    private func otherValue(_ row: SettingRow) -> ByteString {
        switch row.kind {
        case .bool: row.defaultValue(.martlet) == "0" ? "1" : "0"
        case .int(let range):
            ByteString(String(range.upperBound))
        case .fileMode: "448"
        case .duration: "7.25"
        case .keyword(let words): ByteString(words[0])
        case .text, .path, .list: "other"
        case .countOrPercentage: "75%"
        case .tlsProtocols: "tlsv1.3"
        }
    }

    private func badValues(_ kind: SettingKind) -> [ByteString] {
        switch kind {
        case .bool: ["", "2", "maybe", "-1"]
        case .int(let range):
            [
                "", "x", "1x", "08", "0x", "99999999999999999999", "1.5",
                ByteString(String(range.lowerBound - 1)), ByteString(String(range.upperBound + 1)),
            ]
        case .fileMode: ["", "777", "0778", "-1", "01000"]
        case .duration:
            ["", ".", "-1", "5s", "1e3", "10000000000.1", "99999999999999999999", "1.2.3"]
        case .keyword: ["", "nonsense"]
        case .path: [ByteString([0xFF])]
        case .text, .list: []
        case .countOrPercentage: ["", "x", "-1", "0%", "101%", "5 %", "%", "99999999999"]
        case .tlsProtocols: ["", "x", "sslv3", "all,!all"]
        }
    }
}
