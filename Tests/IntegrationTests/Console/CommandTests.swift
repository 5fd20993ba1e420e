// The console's commands: who may give them, what they answer, what they do.

import CLibpq
import Testing

@Suite struct CommandTests {
    @Test func whoMayEnter() throws {
        try withPooler { pooler in
            try #expect(pooler.console(user: "admin").execute("SHOW POOLS").error == nil)
            let stats = try pooler.console(user: "stats")
            try #expect(stats.execute("SHOW POOLS").error == nil)
            for command in [
                "PAUSE", "RESUME", "RELOAD", "SHUTDOWN", "KILL", "SET query_timeout = 5",
            ] {
                let error = try stats.execute(command).error
                #expect(error?.severity == "ERROR")
                #expect(error?.sqlstate == "08P01")
                #expect(error?.message == "admin access needed")
            }
            let failure = try pooler.loginFailure(user: "app", database: "pgbouncer") ?? ""
            #expect(failure.contains("FATAL:  08P01: not allowed"))
        }
    }

    /// The operator on the pooler's own machine, under its own user, needs no password.
    @Test func theOwnUserOverTheUnixSocket() throws {
        try withPooler(["auth_type": "scram-sha-256"]) { pooler in
            let parameters = ["host": pooler.directory, "password": "none"]
            let console = try pooler.connect(user: "pgbouncer", database: "pgbouncer", parameters)
            try #expect(console.execute("PAUSE").tag == "PAUSE")
            try #expect(console.execute("RESUME").tag == "RESUME")
            let failure = try pooler.loginFailure(user: "pgbouncer", database: "pgbouncer")
            #expect(failure?.contains("08P01") == true)
        }
    }

    @Test func theConsoleIsAlsoCalledMartlet() throws {
        try withPooler { pooler in
            let console = try pooler.connect(user: "admin", database: "martlet")
            try #expect(console.execute("SHOW VERSION").rows.count == 1)
        }
    }

    @Test func theLoginReportsTheConsole() throws {
        try withPooler { pooler in
            let console = try pooler.console()
            #expect(console.parameter("server_version")?.hasSuffix("/bouncer") == true)
            for (name, value) in [
                ("client_encoding", "UTF8"), ("server_encoding", "UTF8"), ("DateStyle", "ISO"),
                ("TimeZone", "GMT"), ("standard_conforming_strings", "on"), ("is_superuser", "on"),
            ] {
                #expect(console.parameter(name) == value)
            }
        }
    }

    @Test(arguments: [
        ("HELLO", "invalid command 'HELLO', use SHOW HELP;"),
        ("SHOW NOTHING", "invalid command 'SHOW NOTHING', use SHOW HELP;"),
        ("PAUSE nowhere", "no such database: nowhere"),
        ("RESUME nowhere", "no such database: nowhere"),
        ("RECONNECT nowhere", "no such database: nowhere"),
        ("KILL nowhere", "no such database: nowhere"),
        ("WAIT_CLOSE nowhere", "no such database: nowhere"),
        ("DISABLE nowhere", "no such database: nowhere"),
        ("ENABLE nowhere", "no such database: nowhere"),
        ("DISABLE", "a database is required"),
        ("ENABLE", "a database is required"),
        ("PAUSE pgbouncer", "cannot pause admin db: pgbouncer"),
        ("KILL pgbouncer", "cannot kill admin db: pgbouncer"),
        ("RECONNECT pgbouncer", "cannot reconnect admin db: pgbouncer"),
        ("WAIT_CLOSE pgbouncer", "cannot wait in admin db: pgbouncer"),
        ("DISABLE pgbouncer", "cannot disable admin db: pgbouncer"),
        ("ENABLE pgbouncer", "cannot enable admin db: pgbouncer"),
        ("RESUME", "pooler is not paused/suspended"),
        ("RESUME app", "database app is not paused"),
        ("KILL_CLIENT 999999", "client not found"),
        ("KILL_CLIENT x", "invalid client pointer supplied"),
        ("SET no_such_key = 1", "SET failed"),
        ("RELOAD now", "invalid command 'RELOAD now', use SHOW HELP;"),
    ])
    func errors(command: String, message: String) throws {
        try withPooler { pooler in
            let console = try pooler.console()
            let error = try console.execute(command).error
            #expect(error?.severity == "ERROR")
            #expect(error?.sqlstate == "08P01")
            #expect(error?.message == message)
            try #expect(console.execute("SHOW STATE").error == nil)
        }
    }

    /// Drivers and exporters that always use the extended protocol work on the console too, unlike
    /// with PgBouncer, and so do comments and several commands in one message.
    @Test func whatPgBouncersConsoleRefuses() throws {
        try withPooler { pooler in
            let console = try pooler.console()
            try #expect(console.execute("SHOW STATE", []).rows.count == 3)
            try #expect(console.prepare("s", "SHOW VERSION").error == nil)
            try #expect(console.executePrepared("s").rows.count == 1)
            try #expect(console.execute("SHOW NOTHING", []).sqlstate == "08P01")
            let results = try console.executeAll("SHOW VERSION; /* and */ SHOW STATE -- now")
            #expect(results.map(\.rows.count) == [1, 3])
            try #expect(console.execute("").status == PGRES_EMPTY_QUERY)
        }
    }

    @Test func setChangesASettingUntilReload() throws {
        try withPooler { pooler in
            let console = try pooler.console()
            func value() throws -> String? {
                try console.execute("SHOW CONFIG").records
                    .first { $0["key"] == "query_wait_timeout" }?["value"]
            }
            try #expect(
                console.execute("SET query_wait_timeout = '9'").tag == "SET query_wait_timeout=9"
            )
            try #expect(value() == "9")
            try #expect(console.execute("SET query_wait_timeout TO 11;").error == nil)
            try #expect(value() == "11")
            try #expect(
                console.execute("SET query_wait_timeout = soon").error?.message == "SET failed"
            )
            try #expect(value() == "11")
            try #expect(console.execute("RELOAD").tag == "RELOAD")
            try #expect(value() == "120")
            try #expect(console.execute("SET client_encoding = 'UTF8'").tag == "SET")
        }
    }

    // MARK: - PAUSE and RESUME

    @Test func pauseWaitsForTransactionsAndHoldsTheRest() throws {
        try withPooler(["default_pool_size": "3"]) { pooler in
            let client = try pooler.connect()
            let other = try pooler.connect()
            try client.query("begin")
            let console = try pooler.console()
            try console.send("PAUSE")
            try #expect(console.isWaiting())
            try other.send("select 'after'")
            try #expect(other.isWaiting())
            try #expect(client.value("select 1") == "1")
            try client.query("commit")
            try #expect(console.receive().tag == "PAUSE")
            try #expect(other.isWaiting())
            try #expect(pooler.show("SERVERS").isEmpty)
            try #expect(pooler.show("STATE").first { $0["key"] == "paused" }?["value"] == "yes")
            try #expect(console.execute("PAUSE").error?.message == "already suspended/paused")
            try #expect(console.execute("RESUME").tag == "RESUME")
            try #expect(other.receive().value == "after")
        }
    }

    @Test func pauseOfOneDatabase() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            let other = try pooler.connect(database: "other")
            try client.query("select 1")
            let console = try pooler.console()
            try #expect(console.execute("PAUSE app").tag == "PAUSE")
            try #expect(pooler.show("DATABASES").first { $0["name"] == "app" }?["paused"] == "1")
            try client.send("select 1")
            try #expect(client.isWaiting())
            try #expect(other.value("select 1") == "1")
            try #expect(console.execute("RESUME app").tag == "RESUME")
            try #expect(client.receive().value == "1")
        }
    }

    @Test func aCancelledPauseResumes() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query("begin")
            let console = try pooler.console()
            try console.send("PAUSE")
            try #expect(console.isWaiting())
            try console.cancel()
            try eventually("the pooler goes on") { try pooler.connect().value("select 1") == "1" }
        }
    }

    // MARK: - RECONNECT, WAIT_CLOSE, KILL, DISABLE

    @Test func reconnectReplacesServers() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let clients = try pooler.connect(2)
            let busy = try clients[0].value("begin; select pg_backend_pid()")
            let idle = try clients[1].value("select pg_backend_pid()")
            let console = try pooler.console()
            try #expect(console.execute("RECONNECT").tag == "RECONNECT")
            try #expect(clients[0].value("select pg_backend_pid()") == busy)
            try eventually("the idle one is replaced") {
                try clients[1].value("select pg_backend_pid()") != idle
            }
            try console.send("WAIT_CLOSE app")
            try #expect(console.isWaiting())
            try clients[0].query("commit")
            try #expect(console.receive().tag == "WAIT_CLOSE")
            try #expect(clients[0].value("select pg_backend_pid()") != busy)
        }
    }

    @Test func killDropsADatabase() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("begin"))
            _ = try client.receiveUntilReady()
            let other = try pooler.connect(database: "other")
            let console = try pooler.console()
            try #expect(console.execute("KILL app").tag == "KILL")
            let error = try client.receiveUntilClosed().error
            #expect(error?.severity == "FATAL")
            #expect(error?.message == "database removed")
            try #expect(other.value("select 1") == "1")
            try #expect(pooler.show("SERVERS").allSatisfy { $0["database"] == "other" })
            try #expect(console.execute("RESUME app").tag == "RESUME")
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    @Test func killClient() throws {
        try withPooler { pooler in
            let victim = try pooler.rawLogin()
            let other = try pooler.connect()
            let clients = try pooler.show("CLIENTS").filter { $0["user"] == "app" }
            let ids = clients.compactMap { $0["id"].flatMap { Int($0) } }.sorted()
            let console = try pooler.console()
            try #expect(console.execute("KILL_CLIENT \(ids.first ?? 0)").tag == "KILL_CLIENT")
            try #expect(victim.receiveUntilClosed().error?.message == "admin forced disconnect")
            try #expect(other.value("select 1") == "1")
        }
    }

    @Test func disableRefusesNewLogins() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            let console = try pooler.console()
            try #expect(console.execute("DISABLE app").tag == "DISABLE")
            let failure = try pooler.loginFailure() ?? ""
            #expect(failure.contains(#"FATAL:  08P01: database "app" is disabled"#))
            try #expect(client.value("select 1") == "1")
            try #expect(console.execute("ENABLE app").tag == "ENABLE")
            try #expect(pooler.loginFailure() == nil)
        }
    }

    // MARK: - RELOAD

    @Test func reloadTakesTheNewFile() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let clients = try pooler.connect(2)
            try clients[0].query("begin")
            try clients[1].send("select 1")
            try #expect(clients[1].isWaiting())
            try pooler.rewrite {
                $0.settings["default_pool_size"] = "2"
                $0.databases["fresh"] = $0.databases["app"]
            }
            try #expect(pooler.console().execute("RELOAD").tag == "RELOAD")
            try #expect(clients[1].receive().value == "1")
            try #expect(pooler.connect(database: "fresh").value("select 1") == "1")
        }
    }

    /// A file with one wrong line changes nothing at all, whatever stands before that line.
    @Test(arguments: [
        "no_such_key = 1", "pool_mode = sometimes", "max_client_conn = many", "[unknown]",
        "garbage",
    ])
    func aBrokenFileChangesNothing(line: String) throws {
        try withPooler(["query_wait_timeout": "7"]) { pooler in
            let client = try pooler.connect()
            let console = try pooler.console()
            let before = try console.query("SHOW CONFIG")
            let databases = try console.query("SHOW DATABASES").map { $0.prefix(12) }
            let text = pooler.configuration.iniText
                .replacing("query_wait_timeout = 7", with: "query_wait_timeout = 8")
                .replacing("[users]", with: "extra = host=127.0.0.1 port=1\n[users]")
            try pooler.overwrite(ini: text + "\n" + line + "\n")
            let error = try console.execute("RELOAD").error
            #expect(error?.severity == "ERROR")
            #expect(error?.sqlstate == "F0000")
            #expect(error?.message == "RELOAD failed, see logs for additional details")
            let number = text.split(separator: "\n", omittingEmptySubsequences: false).count + 1
            #expect(pooler.log.contains("pooler.ini:\(number)"))
            try #expect(console.query("SHOW CONFIG") == before)
            try #expect(console.query("SHOW DATABASES").map { $0.prefix(12) } == databases)
            try #expect(client.value("select 1") == "1")

            try pooler.rewrite { $0.settings["query_wait_timeout"] = "9" }
            try #expect(console.execute("RELOAD").error == nil)
        }
    }

    // MARK: - SHUTDOWN

    @Test func shutdownEndsAtOnce() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query("begin")
            let console = try pooler.console()
            _ = try console.execute("SHUTDOWN")
            #expect(!console.isConnected)
            try #expect(pooler.waitForExit() == .exited(0))
        }
    }

    @Test func shutdownWaitsForClients() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            let console = try pooler.console()
            try #expect(console.execute("SHUTDOWN WAIT_FOR_CLIENTS").tag == "SHUTDOWN")
            console.close()
            try #expect(client.value("select 1") == "1")
            #expect(!pooler.hasExited)
            client.close()
            try #expect(pooler.waitForExit() == .exited(0))
        }
    }

    @Test func shutdownWaitsForServers() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query("begin")
            let console = try pooler.console()
            try #expect(console.execute("SHUTDOWN WAIT_FOR_SERVERS").tag == "SHUTDOWN")
            try #expect(client.value("select 1") == "1")
            #expect(!pooler.hasExited)
            try client.query("commit")
            try #expect(pooler.waitForExit() == .exited(0))
        }
    }
}
