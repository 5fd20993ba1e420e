// Settings that PostgreSQL reports follow their client from server to server.

import CLibpq
import Testing

@Suite struct ServerParameterTests {
    private static let zones = [
        "Asia/Tokyo", "Europe/Paris", "America/Lima", "UTC", "Asia/Kolkata", "Africa/Cairo",
    ]

    /// Six clients on two servers: each finds its own settings in every transaction.
    @Test(arguments: [
        ("TimeZone", zones),
        ("application_name", ["a", "b b", "c'c", "d\\d", "é", ""]),
        (
            "DateStyle",
            ["ISO, DMY", "SQL, MDY", "German, DMY", "Postgres, YMD", "ISO, MDY", "SQL, DMY"]
        ),
        (
            "IntervalStyle",
            ["postgres", "iso_8601", "sql_standard", "postgres_verbose", "postgres", "iso_8601"]
        ),
        ("client_encoding", ["LATIN1", "UTF8", "LATIN9", "WIN1252", "SQL_ASCII", "UTF8"]),
        ("standard_conforming_strings", ["on", "off", "on", "off", "on", "off"]),
    ])
    func settingsFollowTheirClient(setting: String, values: [String]) throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let clients = try pooler.connect(values.count)
            for (client, value) in zip(clients, values) {
                let literal = value.replacing("'", with: "''").replacing("\\", with: "\\\\")
                try client.query("set \(setting) = E'\(literal)'")
            }
            let show = "select current_setting('\(setting)')"
            let expected = try clients.map { try $0.value(show) }
            for round in 0..<3 {
                // One client holds a server, so that the others meet both.
                let holder = clients[round]
                try holder.query("begin")
                let found = try clients.map { try $0.value(show) }
                #expect(found == expected)
                try holder.query("commit")
            }
            #expect(clients.map { $0.parameter(setting) } == expected)
            #expect(Set(expected) == Set(setting == "application_name" ? expected : values))
        }
    }

    /// application_name_add_host.
    @Test(arguments: [
        ("shop", "shop"), (nil, "app"), ("caf\u{e9}", "caf??"),
        (String(repeating: "x", count: 80), String(repeating: "x", count: 63)),
    ])
    func theApplicationNameTellsWhereItsClientIs(name: String?, prefix: String) throws {
        try withPooler(["application_name_add_host": "1", "default_pool_size": "2"]) { pooler in
            let one = try pooler.connect(name.map { ["application_name": $0] } ?? [:])
            let two = try pooler.connect(["application_name": "two", "options": "-c work_mem=8MB"])
            let three = try pooler.connect(["options": "-c work_mem=8MB"])
            let own = "select application_name from pg_stat_activity where pid = pg_backend_pid()"
            for holder in [two, three, two] {
                try holder.query("begin")
                let found = try #require(try one.value(own))
                if prefix.count < 63 {
                    #expect(found.hasPrefix("\(prefix) - 127.0.0.1:"))
                } else {
                    #expect(found == prefix, "as much as PostgreSQL takes")
                }
                try #expect(one.value("show application_name") == found)
                #expect(one.parameter("application_name") == found)
                try holder.query("commit")
            }
            try #expect(two.value(own)?.hasPrefix("two - 127.0.0.1:") == true)
            try #expect(three.value(own)?.hasPrefix("app - 127.0.0.1:") == true)
            try #expect(two.value("show work_mem") == "8MB")
            let ports = try [two, three].map {
                try $0.value("show application_name")?.split(separator: ":").last
            }
            #expect(ports[0] != ports[1])
            // What a client sets is its own affair, and RESET gives what it began with.
            let start = try two.value(own)
            try two.query("set application_name = 'later'")
            try three.query("begin")
            try #expect(two.value(own) == "later")
            try #expect(two.value("show application_name") == "later")
            try two.query("reset application_name")
            try #expect(two.value(own) == start)
        }
    }

    @Test func theApplicationNameIsSeenInPgStatActivity() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let clients = try (0..<4).map { try pooler.connect(["application_name": "app-\($0)"]) }
            let own = "select application_name from pg_stat_activity where pid = pg_backend_pid()"
            for _ in 0..<2 {
                for (number, client) in clients.enumerated() {
                    try #expect(client.value(own) == "app-\(number)")
                    #expect(client.parameter("application_name") == "app-\(number)")
                }
            }
        }
    }

    @Test func startupParametersAreHonoured() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.rawConnect()
            try client.send(
                Frontend.startup([
                    ("user", "app"), ("database", "app"), ("TimeZone", "Asia/Tokyo"),
                    ("DateStyle", "German"), ("client_encoding", "latin1"),
                    ("application_name", "raw"),
                ])
            )
            let reported = try client.finishLogin().filter { $0.type == "S" }
            #expect(
                reported.contains {
                    $0.body == Frontend.string("TimeZone") + Frontend.string("Asia/Tokyo")
                }
            )
            let other = try pooler.connect()
            try #expect(other.value("show timezone") == "UTC")
            try client.send(
                Frontend.query(
                    "select current_setting('timezone'), current_setting('datestyle'), current_setting('client_encoding'), current_setting('application_name')"
                )
            )
            let rows = try client.receiveUntilReady().rows
            #expect(rows == [["Asia/Tokyo", "German, DMY", "LATIN1", "raw"]])
            try #expect(other.value("show timezone") == "UTC")
        }
    }

    /// A login that asks for a part of a DateStyle does not get the rest from the server's last client.
    @Test(arguments: [("ISO", "ISO, MDY"), ("DMY", "ISO, DMY"), ("SQL", "SQL, MDY")])
    func aPartOfADateStyleAtLogin(part: String, whole: String) throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let other = try pooler.connect()
            try other.query("set datestyle = 'Postgres, YMD'")
            let client = try pooler.rawConnect()
            try client.send(
                Frontend.startup([("user", "app"), ("database", "app"), ("DateStyle", part)])
            )
            let reported = try client.finishLogin().filter { $0.type == "S" }
            #expect(
                reported.contains {
                    $0.body == Frontend.string("DateStyle") + Frontend.string(whole)
                }
            )
            try client.send(Frontend.query("show datestyle"))
            let rows = try client.receiveUntilReady().rows
            #expect(rows == [[whole]])
            try #expect(other.value("show datestyle") == "Postgres, YMD")
        }
    }

    /// At login the client learns what PostgreSQL tells its own clients.
    @Test func theLoginReportsWhatTheServerReports() throws {
        try withPooler { pooler in
            let server = try PostgresServer.shared.get()
            let direct = try server.connect(user: "app")
            defer { direct.close() }
            for _ in 0..<2 {
                let client = try pooler.connect()
                for name in [
                    "server_version", "server_encoding", "client_encoding", "DateStyle", "TimeZone",
                    "integer_datetimes", "IntervalStyle", "is_superuser",
                    "standard_conforming_strings", "session_authorization",
                    "default_transaction_read_only", "in_hot_standby",
                ] {
                    #expect(client.parameter(name) == direct.parameter(name), "\(name)")
                }
            }
        }
    }

    @Test func resetGivesTheServersDefault() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            let other = try pooler.connect()
            try client.query("set timezone = 'Asia/Tokyo'")
            try other.query("select 1")
            try client.query("reset timezone")
            #expect(client.parameter("TimeZone") == "UTC")
            try other.query("set timezone = 'Europe/Paris'")
            try #expect(client.value("show timezone") == "UTC")
            try #expect(other.value("show timezone") == "Europe/Paris")
        }
    }

    @Test func aRollbackTakesTheSettingBack() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            let other = try pooler.connect()
            try client.query("begin; set timezone = 'Asia/Tokyo'")
            #expect(client.parameter("TimeZone") == "Asia/Tokyo")
            try client.query("rollback")
            #expect(client.parameter("TimeZone") == "UTC")
            try client.query("begin; set local timezone = 'Asia/Tokyo'; commit")
            try other.query("select 1")
            try #expect(client.value("show timezone") == "UTC")
            try #expect(other.value("show timezone") == "UTC")
        }
    }

    /// A client never hears of settings that another one made on its server.
    @Test func otherClientsChangesAreNotReported() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let quiet = try pooler.rawLogin()
            let loud = try pooler.connect()
            for zone in Self.zones {
                try loud.query("set timezone = '\(zone)'")
                try quiet.send(Frontend.query("select 1"))
                try #expect(quiet.receiveUntilReady().types == ["T", "D", "C", "Z"])
            }
        }
    }

    /// A report that no statement of the client caused (here: the operator's) reaches the client
    /// in whose transaction it comes, and nobody is disturbed.
    @Test func aReportOutOfTheBlue() throws {
        let server = try PostgresServer()
        defer { server.stop() }
        try withPooler(["default_pool_size": "1"], server: server) { pooler in
            let client = try pooler.connect()
            try client.query("begin")
            try server.query("alter system set intervalstyle = 'iso_8601'")
            try server.query("select pg_reload_conf()")
            try eventually("the report comes with a query") {
                try client.query("select 1")
                return client.parameter("IntervalStyle") == "iso_8601"
            }
            try client.query("commit")
            try #expect(pooler.connect().value("select 1") == "1")
            try server.query("alter system reset intervalstyle")
            try server.query("select pg_reload_conf()")
            try #expect(client.value("select 1") == "1")
        }
    }

    @Test func anImpossibleStartupValueIsRefused() throws {
        try withPooler { pooler in
            let witness = try pooler.connect()
            let client = try pooler.rawConnect()
            try client.send(
                Frontend.startup([("user", "app"), ("database", "app"), ("TimeZone", "Nowhere")])
            )
            try client.send(Frontend.query("select 1"))
            let errors = try client.receiveUntilClosed().error
            #expect(errors?.severity == "FATAL")
            try #expect(witness.value("show timezone") == "UTC")
        }
    }
}
