// Every command of the console, on a running pooler: its tag, who may give it, by both protocols. None
// can be added without a line here.

import PoolerCore
import Testing

@Suite struct CommandTableTests {
    /// Statements that work one after the other, and their tags.
    private static let statements: [(CommandName, String, String)] = [
        (.disable, "DISABLE app", "DISABLE"), (.enable, "ENABLE app", "ENABLE"),
        (.pause, "PAUSE app", "PAUSE"), (.resume, "resume app;", "RESUME"),
        (.pause, "PAUSE", "PAUSE"), (.resume, "RESUME", "RESUME"),
        (.kill, "KILL app", "KILL"), (.resume, "RESUME app", "RESUME"),
        (.kill, "KILL", "KILL"), (.resume, "RESUME app", "RESUME"),
        (.resume, "RESUME other", "RESUME"),
        (.reconnect, "RECONNECT", "RECONNECT"), (.reconnect, "RECONNECT app", "RECONNECT"),
        (.waitClose, "WAIT_CLOSE", "WAIT_CLOSE"), (.waitClose, "WAIT_CLOSE app", "WAIT_CLOSE"),
        (.set, "SET query_timeout = 5", "SET query_timeout=5"),
        (.set, "set admin_users to 'admin, more'", "SET admin_users=admin, more"),
        (.set, "SET timezone = 'UTC'", "SET"), (.reload, "RELOAD", "RELOAD"),
        (.show, "SHOW STATE", "SHOW"), (.show, "SELECT version", "SHOW"),
        (.show, "SHOW timezone", "SHOW"),
    ]

    /// What ends or stops the pooler has tests of its own.
    private static let elsewhere: Set<CommandName> = [
        .killClient, .shutdown, .suspend, .takeOver,
    ]

    @Test func everyCommandIsHere() {
        let names = Set(Self.statements.map(\.0)).union(Self.elsewhere)
        #expect(names == Set(CommandName.allCases))
    }

    @Test(arguments: [false, true])
    func tagsAndRights(isExtended: Bool) throws {
        try withPooler { pooler in
            func execute(_ console: Connection, _ text: String) throws -> QueryResult {
                isExtended ? try console.execute(text, []) : try console.execute(text)
            }
            let (admin, stats) = (try pooler.console(), try pooler.console(user: "stats"))
            for (name, text, tag) in Self.statements {
                let result = try execute(admin, text)
                #expect(result.error == nil, "\(text)")
                #expect(result.tag == tag, "\(text)")
                let mayLook = name == .show || text.contains("timezone")
                let error = try execute(stats, text).error
                #expect(error?.message == (mayLook ? nil : "admin access needed"), "\(text)")
                #expect(error?.sqlstate == (mayLook ? nil : "08P01"), "\(text)")
            }
            for text in [
                "KILL_CLIENT 1", "SHUTDOWN", "SHUTDOWN WAIT_FOR_CLIENTS", "SUSPEND", "TAKEOVER",
            ] {
                try #expect(execute(stats, text).error?.message == "admin access needed", "\(text)")
            }
            try #expect(stats.value("SHOW timezone") == "GMT")
        }
    }

    /// Databases that only the `*` entry knows: PAUSE, DISABLE, RECONNECT and KILL take note of them.
    @Test func databasesOfTheWildcard() throws {
        try withPooler(databases: ["*": "dbname=app"]) { pooler in
            let console = try pooler.console()
            for command in ["RESUME", "ENABLE"] {
                let error = try console.execute("\(command) ghost").error
                #expect(error?.message == "no such database: ghost")
            }
            try #expect(console.execute("DISABLE ghost").error == nil)
            let row = try pooler.show("DATABASES").first { $0["name"] == "ghost" }
            #expect(row?["disabled"] == "1")
            let failure = try pooler.loginFailure(database: "ghost") ?? ""
            #expect(failure.contains(#"database "ghost" is disabled"#))
            try #expect(console.execute("ENABLE ghost").error == nil)
            try #expect(pooler.loginFailure(database: "ghost") == nil)
            try #expect(console.execute("PAUSE spirit").tag == "PAUSE")
            try #expect(console.execute("RESUME spirit").tag == "RESUME")
            let error = try console.execute("RESUME pgbouncer").error
            #expect(error?.message == "database pgbouncer is not paused")
        }
    }

    /// What the console says of itself, as PgBouncer's does.
    @Test func theConsolesOwnRows() throws {
        try withPooler { pooler in
            let console = try pooler.connect(
                user: "pgbouncer",
                database: "pgbouncer",
                ["host": pooler.directory]
            )
            eventually("both lines are there") {
                pooler.log.contains("pgbouncer access from unix socket")
                    && pooler.log.contains("):\(pooler.port) login attempt: db=pgbouncer")
            }
            let row = try #require(try console.execute("SHOW CLIENTS").records.first)
            #expect(row["addr"] == "unix")
            #expect(row["port"] == "\(pooler.port)")
            #expect(row["local_port"] == "\(pooler.port)")
            #expect((Int(row["remote_pid"] ?? "") ?? 0) > 0)
            for table in ["STATS", "STATS_TOTALS", "STATS_AVERAGES"] {
                let names = try pooler.show(table).map { $0["database"] }
                #expect(names == ["pgbouncer"])
            }
            try #expect(pooler.show("USERS").contains { $0["name"] == "pgbouncer" })
            try #expect(pooler.show("POOLS").map { $0["database"] } == ["pgbouncer"])
        }
    }

    /// A change of what only the log goes by counts at once.
    @Test func setChangesTheLog() throws {
        try withPooler { pooler in
            let console = try pooler.console()
            try #expect(console.execute("SET log_format = json").error == nil)
            try #expect(console.execute("PAUSE nowhere").error != nil)
            eventually("the error is there, in JSON") {
                pooler.log.contains(#""message":"pooler error: no such database: nowhere""#)
            }
            let failure = try console.execute("SET logfile = '/nowhere/at/all'").error
            #expect(failure?.message == "SET failed")
            #expect(failure?.detail?.contains("No such file") == true)
        }
    }

    /// Pools of a forced user are filled as soon as SET asks for it.
    @Test func setFillsForcedPools() throws {
        let password = PostgresServer.password(of: "app")
        let databases = ["forced": "dbname=app user=app password=\(password)"]
        try withPooler(databases: databases) { pooler in
            try #expect(pooler.console().execute("SET min_pool_size = 2").error == nil)
            try eventually("two servers are there") {
                try pooler.pool(database: "forced")["sv_idle"] == "2"
            }
        }
    }

    /// A change of an entry recycles the servers of that database, and of no other.
    @Test func aReloadRecyclesWhatHasChanged() throws {
        try withPooler { pooler in
            let (app, other) = (try pooler.connect(), try pooler.connect(database: "other"))
            let asked = "select pg_backend_pid() || ' ' || current_setting('application_name')"
            let (before, elsewhere) = (try app.value(asked), try other.value(asked))
            try pooler.rewrite { $0.databases["app", default: ""] += " application_name=fresh" }
            try #expect(pooler.console().execute("RELOAD").error == nil)
            try eventually("the server is another") { try app.value(asked) != before }
            try #expect(other.value(asked) == elsewhere)
            let servers = try pooler.show("SERVERS").filter { $0["database"] == "app" }
            #expect(servers.count == 1)
            #expect(pooler.log.contains("closing because: connect string changed (age="))
            try pooler.rewrite { $0.databases["app", default: ""] += " pool_size=3" }
            let kept = try app.value(asked)
            try #expect(pooler.console().execute("RELOAD").error == nil)
            try #expect(app.value(asked) == kept, "a size is no reason")
        }
    }
}
