// Effects of settings that no other suite is about.

import Foundation
import Glibc
import PostgresWire
import Testing

@Suite struct SettingEffectTests {
    /// autodb_idle_timeout.
    @Test func autodbIdleTimeout() throws {
        let settings = ["autodb_idle_timeout": "1", "server_idle_timeout": "1"]
        try withPooler(settings, databases: ["*": "dbname=app"]) { pooler in
            func isShown() throws -> Bool {
                try pooler.show("DATABASES").contains { $0["name"] == "ghost" }
            }
            let client = try pooler.connect(database: "ghost")
            try #expect(client.value("select current_database()") == "app")
            try #expect(isShown())
            client.close()
            try eventually("it is forgotten") { try !isShown() }
            try #expect(!pooler.show("STATS").contains { $0["database"] == "ghost" })
            try #expect(pooler.connect(database: "ghost").value("select 1") == "1")
        }
    }

    /// cancel_wait_timeout: a server that takes no cancel request keeps nobody waiting for ever.
    @Test func cancelWaitTimeout() throws {
        let server = try PostgresServer()
        defer { server.stop() }
        try withPooler(["cancel_wait_timeout": "3"], server: server) { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("select pg_backend_pid()"))
            let row = try client.receiveUntilReady().rows.first
            let backend = try #require(row?.first ?? nil)
            let status = try String(contentsOfFile: "/proc/\(backend)/status", encoding: .utf8)
            let line = status.split(separator: "\n").first { $0.hasPrefix("PPid:") } ?? ""
            let number = line.dropFirst(5).trimmingCharacters(in: .whitespaces)
            let postmaster = try #require(pid_t(number))
            try client.send(Frontend.query("select pg_sleep(1000)"))
            try eventually("it runs") { try pooler.pool()["sv_active"] == "1" }
            kill(postmaster, SIGSTOP)
            defer { kill(postmaster, SIGCONT) }
            let request = try pooler.rawConnect()
            let (process, key) = (client.processID, client.secretKey)
            try request.send(Frontend.cancel(processID: process, secretKey: key))
            try eventually("it is under way") { try pooler.pool()["cl_active_cancel_req"] == "1" }
            try eventually("it is given up") { try pooler.pool()["cl_active_cancel_req"] == "0" }
            try #expect(pooler.pool()["sv_active"] == "1")
        }
    }

    /// dns_max_ttl, dns_nxdomain_ttl.
    @Test func namesAreRemembered() throws {
        let port = try PostgresServer.shared.get().port
        let databases = [
            "named": "host=localhost port=\(port) dbname=app",
            "nowhere": "host=nowhere.invalid port=\(port)",
        ]
        let settings = ["dns_max_ttl": "700", "dns_nxdomain_ttl": "9"]
        try withPooler(settings, databases: databases) { pooler in
            try #expect(pooler.show("DNS_HOSTS").isEmpty)
            try #expect(pooler.connect(database: "named").value("select 1") == "1")
            let failure = try pooler.loginFailure(database: "nowhere") ?? ""
            #expect(failure.contains("server DNS lookup failed"))
            let hosts = try pooler.show("DNS_HOSTS")
            try #require(hosts.map { $0["hostname"] } == ["localhost", "nowhere.invalid"])
            #expect((600...700).contains(Int(hosts[0]["ttl"] ?? "") ?? 0))
            #expect(hosts[0]["addrs"]?.contains("127.0.0.1:0") == true)
            #expect((0...9).contains(Int(hosts[1]["ttl"] ?? "") ?? -1))
            #expect(hosts[1]["addrs"] == "")
            let lists = try pooler.show("LISTS").first { $0["list"] == "dns_names" }
            #expect(lists?["items"] == "2")
            try #expect(pooler.show("DNS_ZONES").isEmpty)
        }
    }

    /// ignore_startup_parameters.
    @Test func ignoreStartupParameters() throws {
        let settings = ["ignore_startup_parameters": "extra_float_digits, nonsense"]
        for (settings, value) in [([:], "-3"), (settings, "1")] {
            try withPooler(settings) { pooler in
                let client = try pooler.rawConnect()
                var parameters = [
                    ("user", "app"), ("database", "app"), ("extra_float_digits", "-3"),
                ]
                if !settings.isEmpty { parameters.append(("nonsense", "1")) }
                try client.send(Frontend.startup(parameters))
                _ = try client.finishLogin()
                try client.send(Frontend.query("show extra_float_digits"))
                try #expect(client.receiveUntilReady().rows == [[value]])
            }
        }
    }

    /// log_connections, log_disconnections, log_pooler_errors.
    @Test(arguments: [true, false])
    func whatIsLogged(isWanted: Bool) throws {
        let names = ["log_connections", "log_disconnections", "log_pooler_errors"]
        let settings = Dictionary(uniqueKeysWithValues: names.map { ($0, isWanted ? "1" : "0") })
        try withPooler(settings) { pooler in
            let client = try pooler.connect()
            try client.query("select 1")
            client.close()
            _ = try pooler.loginFailure(database: "nowhere")
            let console = try pooler.console()
            try console.query("RECONNECT")
            try #expect(console.execute("NONSENSE").error != nil)
            try pooler.settle()
            let server = "app/app@127.0.0.1:\(pooler.server.port)"
            for text in [
                "\(server) new connection to server (from", "\(server) closing because: ",
                "login attempt: db=app user=app tls=no",
                "closing because: client close request (age=", "WARNING C-0x",
                "pooler error: no such database: nowhere",
                "pooler error: invalid command 'NONSENSE', use SHOW HELP;",
            ] {
                #expect(pooler.log.contains(text) == isWanted, "\(text)")
            }
        }
    }

    /// log_stats, stats_period.
    @Test func statisticsAreLogged() throws {
        let line = "LOG stats: "
        try withPooler(["stats_period": "1"]) { pooler in
            eventually("a period ends") { pooler.log.contains(line) }
            try #expect(pooler.console().execute("SET log_stats = 0").error == nil)
            try pooler.settle()
            let count = pooler.log.components(separatedBy: line).count
            pause(.seconds(3))
            #expect(pooler.log.components(separatedBy: line).count <= count + 1)
        }
    }

    /// max_db_client_connections.
    @Test func maxDBClientConnections() throws {
        let databases = ["more": "dbname=app max_db_client_connections=2"]
        try withPooler(["max_db_client_connections": "1"], databases: databases) { pooler in
            _ = try pooler.connect()
            _ = try pooler.connect(database: "other")
            let message = "client connections exceeded (max_db_client_connections)"
            let failure = try pooler.loginFailure() ?? ""
            #expect(failure.contains("FATAL:  08P01: \(message)"))
            _ = try pooler.connect(database: "more")
            _ = try pooler.connect(user: "other", database: "more")
            try #expect(pooler.loginFailure(database: "more")?.contains(message) == true)
            let row = try pooler.show("DATABASES").first { $0["name"] == "more" }
            #expect(row?["max_client_connections"] == "2")
            #expect(row?["current_client_connections"] == "2")
        }
    }

    /// max_packet_size.
    @Test func maxPacketSize() throws {
        try withPooler(["max_packet_size": "2000"]) { pooler in
            let client = try pooler.rawLogin()
            let long = String(repeating: " ", count: 1_900)
            try client.send(Frontend.query("select 1" + long))
            try #expect(client.receiveUntilReady().rows == [["1"]])
            try client.send(Frontend.query("select 1" + long + long))
            let error = try client.receiveUntilClosed().error
            #expect(error?.severity == "FATAL")
            #expect(error?.message.hasPrefix("bad packet header") == true)
        }
    }

    /// scram_iterations.
    @Test func scramIterations() throws {
        try withPooler(["auth_type": "scram-sha-256", "scram_iterations": "5003"]) { pooler in
            let client = try pooler.rawConnect()
            try client.send(Frontend.startup([("user", "app"), ("database", "app")]))
            _ = try client.receive()
            let first = Array("n,,n=,r=0123456789".utf8)
            let body = Frontend.string("SCRAM-SHA-256") + Frontend.integer(first.count) + first
            try client.send(Frontend.message("p", body))
            let answer = try client.receive()
            #expect(String(decoding: answer.body, as: UTF8.self).hasSuffix(",i=5003"))
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    /// server_reset_query_always.
    @Test func serverResetQueryAlways() throws {
        for always in ["0", "1"] {
            let settings = [
                "server_reset_query": "insert into reset_runs values (1)",
                "server_reset_query_always": always, "default_pool_size": "1",
            ]
            let server = try PostgresServer.shared.get()
            try server.query("drop table if exists reset_runs")
            try server.query("create table reset_runs (n int); grant all on reset_runs to app")
            try withPooler(settings) { pooler in
                let client = try pooler.connect()
                for _ in 1...3 { try client.query("select 1") }
                client.close()
                try eventually("the server is free") { try pooler.pool()["sv_idle"] == "1" }
                // It runs after a login, too, for which the server was asked.
                let count = try Int(server.value("select count(*) from reset_runs") ?? "") ?? -1
                #expect(always == "1" ? count >= 3 : count == 0)
            }
            try server.query("drop table reset_runs")
        }
    }

    /// unix_socket_mode, unix_socket_group.
    @Test func whoMayUseTheUnixSocket() throws {
        let group = getegid() == 0 ? 1 : getegid()
        let settings = ["unix_socket_mode": "0750", "unix_socket_group": "\(group)"]
        try withPooler(settings) { pooler in
            var status = stat()
            try #require(stat("\(pooler.directory)/.s.PGSQL.\(pooler.port)", &status) == 0)
            #expect(status.st_mode & 0o777 == 0o750)
            #expect(status.st_gid == group)
        }
    }

    /// verbose.
    @Test func moreCanBeLogged() throws {
        for (verbose, isLogged) in [("0", false), ("1", true)] {
            try withPooler(["verbose": verbose, "auth_type": "scram-sha-256"]) { pooler in
                _ = try pooler.loginFailure(["password": "wrong"])
                try pooler.settle()
                #expect(pooler.log.contains(" DEBUG ") == isLogged)
            }
        }
    }
}
