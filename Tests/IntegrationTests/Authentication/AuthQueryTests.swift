// auth_query: users who are not in auth_file, whose secrets the database names.

import Testing

@Suite struct AuthQueryTests {
    /// A role of its own for a test, which a login leaves behind.
    private static func makeRole(
        _ name: String,
        password: String,
        _ method: String = "scram-sha-256",
        options: String = ""
    ) throws {
        let connection = try PostgresServer.shared.get().superuser()
        defer { connection.close() }
        try connection.query("set password_encryption = '\(method)'")
        try connection.query("create role \"\(name)\" login password '\(password)' \(options)")
    }

    private static let secrets = [
        "postgres": "unused", "admin": "admin-secret", "stats": "stats-secret",
    ]
    /// The server side has its own user and password where only the client's login counts.
    private static let forced = "user=clear password=\(PostgresServer.password(of: "clear"))"

    private static func withLookups(
        _ settings: [String: String] = [:],
        databases: [String: String] = [:],
        secrets: [String: String] = secrets,
        server: PostgresServer? = nil,
        _ body: (Pooler) throws -> Void
    ) throws {
        let defaults = ["auth_type": "scram-sha-256", "auth_user": "postgres"]
        try withPooler(
            defaults.merging(settings) { $1 },
            databases: databases,
            secrets: secrets,
            server: server,
            body
        )
    }

    private func failure(
        _ pooler: Pooler,
        _ user: String,
        _ password: String = "x",
        database: String = "app"
    ) throws -> String {
        try pooler.loginFailure(user: user, database: database, ["password": password]) ?? ""
    }

    /// The keys that a login shows open the server, too.
    @Test func scramFromOneEndToTheOther() throws {
        try Self.makeRole("aq_scram", password: "pencil")
        try Self.withLookups { pooler in
            for _ in 0..<3 {
                let client = try pooler.connect(user: "aq_scram", ["password": "pencil"])
                try #expect(client.value("select current_user") == "aq_scram")
            }
            try #expect(failure(pooler, "aq_scram", "wrong").contains("SASL authentication failed"))
            let users = try pooler.show("POOLS").map { $0["user"] }
            #expect(users.contains("postgres") && users.contains("aq_scram"))
        }
    }

    @Test(arguments: [
        ("plain", "scram-sha-256"), ("plain", "md5"), ("md5", "md5"), ("md5", "scram-sha-256"),
        ("scram-sha-256", "scram-sha-256"),
    ])
    func everyMethod(type: String, stored: String) throws {
        let user = "aq_\(type)_\(stored)"
        try Self.makeRole(user, password: "pencil", stored)
        let databases = ["app": Self.forced, "lookup": "dbname=app"]
        let settings = ["auth_type": type, "auth_dbname": "lookup"]
        try Self.withLookups(settings, databases: databases) { pooler in
            for _ in 0..<2 {
                let client = try pooler.connect(user: user, ["password": "pencil"])
                try #expect(client.value("select current_user") == "clear")
            }
            try #expect(failure(pooler, user, "wrong").contains("authentication failed"))
            #expect(!pooler.log.contains("pencil") && !pooler.log.contains("SCRAM-SHA-256$"))
        }
    }

    @Test func trustNeedsAUserWhoIsThere() throws {
        try Self.makeRole("aq_trust", password: "pencil")
        let databases = ["app": Self.forced, "lookup": "dbname=app"]
        let settings = ["auth_type": "trust", "auth_dbname": "lookup"]
        try Self.withLookups(settings, databases: databases) { pooler in
            try #expect(failure(pooler, "aq_trust") == "")
            try #expect(failure(pooler, "aq_nobody").contains("FATAL:  08P01: no such user"))
        }
    }

    @Test func whoCannotLogIn() throws {
        try Self.makeRole("aq_expired", password: "pencil", options: "valid until '2020-01-01'")
        try PostgresServer.shared.get().query("create role aq_nologin password 'pencil'")
        try PostgresServer.shared.get().query("create role aq_bare login")
        try Self.withLookups { pooler in
            for user in ["aq_expired", "aq_bare"] {
                let failure = try failure(pooler, user, "pencil")
                #expect(failure.contains("SASL authentication failed"), "\(failure)")
            }
            for user in ["aq_nologin", "aq_nobody", "x' or 1=1 --", "\"", "$1", "é"] {
                let failure = try failure(pooler, user, "pencil")
                #expect(failure.contains("FATAL:  08P01: no such user"), "\(user): \(failure)")
            }
            #expect(pooler.log.contains("login failed: db=app user=aq_nologin"))
        }
    }

    /// Whoever auth_file has is not asked for.
    @Test func theFileGoesFirst() throws {
        let settings = ["auth_query": "select 'app', 'other' from nowhere"]
        let secrets = Self.secrets.merging(["app": PostgresServer.password(of: "app")]) { $1 }
        try Self.withLookups(settings, secrets: secrets) { pooler in
            try #expect(pooler.loginFailure() == nil)
            try #expect(failure(pooler, "other").contains("bouncer config error"))
        }
    }

    @Test(arguments: [
        ("select nonsense from $1", "syntax error"), ("select 1 where $1 = 'x'", "no"),
        ("select $1::text", "expected 2 columns from auth_query, not 1"),
        ("select $1::text, 'x', 'y'", "expected 2 columns from auth_query, not 3"),
        ("select null::text, $1::text", "null user name"),
        ("select 'root', $1::text", "asked for \"app\", got \"root\""),
        ("select $1::text, 'x' from generate_series(1, 2)", "expected 1 row, not 2"),
        ("select 1/0, $1::text", "division by zero"),
        ("select $1::text, $2::text", "bind message supplies 1 parameters"),
    ])
    func aQueryThatDoesNotServe(query: String, words: String) throws {
        try Self.withLookups(["auth_query": query]) { pooler in
            for _ in 0..<2 {
                let failure = try failure(pooler, "app")
                if words == "no" {
                    #expect(failure.contains("no such user"))
                } else {
                    #expect(failure.contains("FATAL:  08P01: bouncer config error"), "\(failure)")
                    #expect(pooler.log.contains("auth_query for app/postgres failed: "))
                    #expect(pooler.log.contains(words), "\(pooler.log)")
                }
            }
            try #expect(pooler.loginFailure(user: "postgres", ["password": "unused"]) == nil)
        }
    }

    @Test func aDatabaseCanHaveItsOwn() throws {
        let databases = [
            "app": Self.forced
                + " auth_user=app auth_query='select $1::text, ''first'' where $1 <> ''x'''"
                + " auth_dbname=other",
            "other": "",
            "gone": "dbname=app auth_dbname=nowhere",
        ]
        let secrets = Self.secrets.merging(["app": PostgresServer.password(of: "app")]) { $1 }
        try Self.withLookups(databases: databases, secrets: secrets) { pooler in
            try #expect(failure(pooler, "anybody", "first") == "")
            try #expect(failure(pooler, "anybody", "second").contains("SASL authentication failed"))
            try #expect(failure(pooler, "x", "first").contains("no such user"))
            let pools = try pooler.show("POOLS").map {
                "\($0["database"] ?? "")/\($0["user"] ?? "")"
            }
            #expect(pools.contains("other/app") && !pools.contains("app/app"), "\(pools)")
            try #expect(
                failure(pooler, "anybody", "first", database: "gone")
                    .contains("bouncer config error")
            )
            #expect(pooler.log.contains(#"authentication database "nowhere" is not configured"#))
            try pooler.console().query("DISABLE other")
            let failure = try failure(pooler, "somebody", "first")
            #expect(failure.contains(#"authentication database "other" is disabled"#), "\(failure)")
        }
    }

    // MARK: Changes

    /// An answer is kept for a moment, but not beyond the first failure.
    @Test func aNewPasswordIsNoticed() throws {
        try Self.makeRole("aq_change", password: "first")
        let server = try PostgresServer.shared.get()
        try Self.withLookups(["auth_query_ttl": "600"]) { pooler in
            try #expect(failure(pooler, "aq_change", "first") == "")
            try server.query("alter role aq_change password 'second'")
            // The old answer still stands.
            try #expect(failure(pooler, "aq_change", "second").contains("SASL"))
            let client = try pooler.connect(user: "aq_change", ["password": "second"])
            try #expect(client.value("select 1") == "1")
            try #expect(failure(pooler, "aq_change", "first").contains("SASL"))
            // A server that is opened from now on takes the new one.
            try pooler.console().query("RECONNECT")
            try #expect(client.value("select 1") == "1")
        }
        try server.query("alter role aq_change password 'third'")
        try Self.withLookups(["auth_query_ttl": "0"]) { pooler in
            try #expect(failure(pooler, "aq_change", "third") == "")
            try server.query("alter role aq_change password 'fourth'")
            try #expect(failure(pooler, "aq_change", "fourth") == "")
            try #expect(failure(pooler, "aq_change", "third").contains("SASL"))
            try server.query("alter role aq_change nologin")
            try #expect(failure(pooler, "aq_change", "fourth").contains("no such user"))
        }
    }

    // MARK: Many at once

    /// Begins to log in with a password in clear, all in one packet.
    private static func start(_ pooler: Pooler, _ user: String) throws -> RawClient {
        let client = try pooler.rawConnect()
        let startup = Frontend.startup([("user", user), ("database", "app")])
        try client.send(startup + Frontend.message("p", Frontend.string("pencil")))
        return client
    }

    /// A query that counts how often it runs and takes its time.
    private static func slowQuery(_ sequence: String, seconds: Double) throws -> String {
        let server = try PostgresServer.shared.get()
        try server.query("create sequence \(sequence)")
        return "select $1::text, 'pencil' from (select nextval('\(sequence)')"
            + ", pg_sleep(\(seconds)) offset 0) s"
    }

    @Test func loginsShareAQuestion() throws {
        let query = try Self.slowQuery("aq_shared", seconds: 1)
        let databases = ["app": Self.forced, "lookup": "dbname=app"]
        let settings = [
            "auth_query": query, "auth_dbname": "lookup", "workers": "2", "auth_query_ttl": "600",
            "auth_type": "plain",
        ]
        try Self.withLookups(settings, databases: databases) { pooler in
            let clients = try (0..<40).map { _ in try Self.start(pooler, "ada") }
            for client in clients { try client.finishLogin() }
            let count = try PostgresServer.shared.get().value("select last_value from aq_shared")
            #expect(["1", "2"].contains(count))
            try #expect(failure(pooler, "ada", "pencil") == "")
        }
    }

    /// More users than the pool of auth_user has servers.
    @Test func aFullPoolIsWaitedFor() throws {
        let query = try Self.slowQuery("aq_full", seconds: 0.05)
        let databases = ["app": Self.forced, "lookup": "dbname=app pool_size=1"]
        let settings = ["auth_query": query, "auth_dbname": "lookup", "auth_type": "plain"]
        try Self.withLookups(settings, databases: databases) { pooler in
            let clients = try (0..<12).map { try Self.start(pooler, "user\($0)") }
            for client in clients { try client.finishLogin() }
            let pool = try pooler.pool(user: "postgres", database: "lookup")
            #expect(pool["cl_waiting"] == "0", "\(pool)")
            try #expect(pooler.show("SERVERS").count { $0["database"] == "lookup" } == 1)
        }
    }

    /// Who stands in the queue for others can leave.
    @Test func whoWaitsCanLeave() throws {
        let query = try Self.slowQuery("aq_leave", seconds: 0)
        let databases = ["app": Self.forced, "lookup": "dbname=app"]
        let settings = ["auth_query": query, "auth_dbname": "lookup", "workers": "1"]
        try Self.withLookups(settings, databases: databases) { pooler in
            let console = try pooler.console()
            try console.query("PAUSE lookup")
            let startup = Frontend.startup([("user", "ada"), ("database", "app")])
            let first = try pooler.rawConnect()
            try first.send(startup)
            try pooler.waitForQueue(of: 1, user: "postgres", database: "lookup")
            let others = try (0..<3).map { _ in try pooler.rawConnect() }
            for other in others { try other.send(startup) }
            try pooler.settle()
            first.close()
            others[0].close()
            try eventually("the next takes the place") {
                let logins = try pooler.show("LISTS").first { $0["list"] == "login_clients" }
                return try logins?["items"] == "2"
                    && pooler.pool(user: "postgres", database: "lookup")["cl_waiting"] == "1"
            }
            try console.query("RESUME lookup")
            for other in others.dropFirst() { try #expect(other.receive().type == "R") }
        }
    }

    // MARK: What goes wrong

    @Test func aServerThatIsNotThere() throws {
        let server = try PostgresServer()
        defer { server.stop() }
        try Self.withLookups(server: server) { pooler in
            server.stop()
            for round in 0..<2 {
                let clients = try (0..<20).map { try Self.start(pooler, "user\($0 / 2)") }
                for client in clients {
                    let text = try client.receiveUntilClosed().error?.message ?? ""
                    #expect(text.contains("cached error: connect failed"), "\(round): \(text)")
                }
            }
            try server.start()
            try eventually("the server is back") {
                try failure(pooler, "app", PostgresServer.password(of: "app")) == ""
            }
        }
    }

    @Test func anAnswerThatDoesNotCome() throws {
        let query = try Self.slowQuery("aq_never", seconds: 8)
        let settings = ["auth_query": query, "client_login_timeout": "1"]
        try Self.withLookups(settings) { pooler in
            let clients = try (0..<3).map { _ in try Self.start(pooler, "ada") }
            for client in clients {
                let text = try client.receiveUntilClosed().error?.message ?? ""
                #expect(text == "client_login_timeout (server down)")
            }
            try eventually("others get in, in time on a busy machine, too") {
                try pooler.loginFailure(user: "postgres", ["password": "unused"]) == nil
            }
        }
    }

    /// The server ends in the middle of the question: another is asked.
    @Test func aServerThatDies() throws {
        try PostgresServer.shared.get().query("create sequence aq_dies")
        let query =
            "select $1::text, 'pencil' from"
            + " (select case nextval('aq_dies') when 1 then pg_sleep(60) end offset 0) s"
        let databases = ["app": Self.forced, "lookup": "dbname=app"]
        let settings = ["auth_query": query, "auth_dbname": "lookup", "auth_type": "plain"]
        try Self.withLookups(settings, databases: databases) { pooler in
            let client = try Self.start(pooler, "ada")
            let server = try PostgresServer.shared.get()
            let backends = """
                select count(pg_terminate_backend(pid)) from pg_stat_activity
                where query like '%aq_dies%pg_sleep%' and state = 'active'
                and pid <> pg_backend_pid()
                """
            try eventually("the question is asked") { try server.value(backends) == "1" }
            try client.finishLogin()
        }
    }

    @Test func anAuthUserWithoutASecret() throws {
        try Self.withLookups(["auth_user": "app"]) { pooler in
            #expect(pooler.log.contains(#"auth_user "app" is not in auth_file"#))
            let failure = try failure(pooler, "other")
            #expect(failure.contains("wrong password type"), "\(failure)")
        }
    }

    /// Clients of the same pool leave nothing behind that the question could meet.
    @Test func theQuestionMeetsNoLeftovers() throws {
        let server = try PostgresServer.shared.get()
        for (schema, password) in [("public", "right"), ("evil", "wrong")] {
            try server.query("create schema if not exists \(schema)")
            try server.query("grant usage on schema \(schema) to public")
            try server.query(
                """
                create function \(schema).aq_secret(text, out text, out text)
                as $$ select $1, '\(password)' $$ language sql
                """
            )
        }
        let databases = ["app": Self.forced, "lookup": "dbname=app pool_size=1"]
        let settings = [
            "auth_user": "app", "auth_dbname": "lookup", "auth_query_ttl": "0",
            "auth_query": "select * from aq_secret($1)",
        ]
        let secrets = Self.secrets.merging(["app": PostgresServer.password(of: "app")]) { $1 }
        try Self.withLookups(settings, databases: databases, secrets: secrets) { pooler in
            let client = try pooler.connect(database: "lookup")
            try client.query("set search_path to evil")
            for _ in 0..<2 {
                try #expect(failure(pooler, "ada", "right") == "")
                try #expect(client.value("show search_path") == "evil")
                try #expect(failure(pooler, "ada", "wrong").contains("SASL"))
            }
        }
    }

    /// What a client sends too early waits for its turn.
    @Test func whoTalksTooEarly() throws {
        let databases = ["app": Self.forced, "lookup": "dbname=app"]
        let settings = [
            "auth_type": "plain", "auth_dbname": "lookup",
            "auth_query": "select $1::text, 'pencil'",
        ]
        try Self.withLookups(settings, databases: databases) { pooler in
            let client = try pooler.rawConnect()
            let startup = Frontend.startup([("user", "ada"), ("database", "app")])
            try client.send(startup + Frontend.message("p", Frontend.string("pencil")))
            try client.finishLogin()
            let flood = try pooler.rawConnect()
            try flood.send(startup + [UInt8](repeating: 65, count: 1_000_000))
            let messages = try flood.receiveUntilClosed()
            #expect(messages.contains { $0.type == "E" })
        }
    }

    @Test func rulesAndQuestions() throws {
        try Self.makeRole("aq_rule", password: "pencil")
        let rules = try ScratchFile(
            "hba.conf",
            """
            host pgbouncer all 127.0.0.1/32 trust
            host app aq_rule 127.0.0.1/32 md5
            host app postgres 127.0.0.1/32 trust
            host app aq_nobody 127.0.0.1/32 scram-sha-256
            host app aq_trust2 127.0.0.1/32 trust
            """
        )
        let settings = ["auth_type": "hba", "auth_hba_file": rules.path]
        try Self.withLookups(settings) { pooler in
            let client = try pooler.connect(user: "aq_rule", ["password": "pencil"])
            try #expect(client.value("select current_user") == "aq_rule")
            try #expect(failure(pooler, "aq_rule").contains("SASL authentication failed"))
            try #expect(failure(pooler, "aq_nobody").contains("no such user"))
            try #expect(failure(pooler, "other").contains("no authentication method is found"))
        }
    }
}
