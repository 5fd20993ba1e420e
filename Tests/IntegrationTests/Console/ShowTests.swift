// SHOW on the console: the columns exporters rely on, and counts that are exact.

import CLibpq
import Testing

@Suite struct ShowTests {
    private static let types: [Character: UInt32] = ["t": 25, "i": 23, "b": 20, "n": 1700]

    /// Name and type letter of each column, in order.
    ///
    /// Martlet may add columns after them.
    static let columns: [(String, String)] = [
        ("VERSION", "version:t"),
        (
            "STATS",
            """
            database:t total_server_assignment_count:n total_xact_count:n total_query_count:n \
            total_received:n total_sent:n total_xact_time:n total_query_time:n total_wait_time:n \
            total_client_parse_count:n total_server_parse_count:n total_bind_count:n \
            total_client_login_count:n avg_server_assignment_count:n avg_xact_count:n \
            avg_query_count:n avg_recv:n avg_sent:n avg_xact_time:n avg_query_time:n \
            avg_wait_time:n avg_client_parse_count:n avg_server_parse_count:n avg_bind_count:n \
            avg_client_login_count:n
            """
        ),
        (
            "STATS_TOTALS",
            """
            database:t server_assignment_count:n xact_count:n query_count:n bytes_received:n \
            bytes_sent:n xact_time:n query_time:n wait_time:n client_parse_count:n \
            server_parse_count:n bind_count:n client_login_count:n
            """
        ),
        (
            "STATS_AVERAGES",
            """
            database:t server_assignment_count:n xact_count:n query_count:n bytes_received:n \
            bytes_sent:n xact_time:n query_time:n wait_time:n avg_client_parse_count:n \
            avg_server_parse_count:n avg_bind_count:n avg_client_login_count:n
            """
        ),
        ("TOTALS", "name:t value:n"),
        (
            "POOLS",
            """
            database:t user:t cl_active:i cl_waiting:i cl_active_cancel_req:i \
            cl_waiting_cancel_req:i sv_active:i sv_active_cancel:i sv_being_canceled:i sv_idle:i \
            sv_used:i sv_tested:i sv_login:i maxwait:i maxwait_us:i pool_mode:t \
            load_balance_hosts:t
            """
        ),
        ("CLIENTS", connection),
        ("SERVERS", connection),
        (
            "SOCKETS",
            connection
                + """
                 recv_pos:i pkt_pos:i pkt_remain:i send_pos:i send_remain:i pkt_avail:i send_avail:i
                """
        ),
        (
            "DATABASES",
            """
            name:t host:t port:i database:t force_user:t pool_size:i min_pool_size:i \
            reserve_pool_size:i server_lifetime:i pool_mode:t load_balance_hosts:t \
            max_connections:i current_connections:i max_client_connections:i \
            current_client_connections:i paused:i disabled:i
            """
        ),
        (
            "USERS",
            """
            name:t pool_size:t reserve_pool_size:t pool_mode:t max_user_connections:i \
            current_connections:i max_user_client_connections:i current_client_connections:i
            """
        ),
        (
            "HOSTS",
            """
            host:t port:i state:t current_connections:i max_connections:i server_connections:i \
            last_error:t
            """
        ),
        ("LISTS", "list:t items:i"),
        ("CONFIG", "key:t value:t default:t changeable:t"),
        ("MEM", "name:t size:i used:i free:i memtotal:i"),
        ("STATE", "key:t value:t"),
    ]

    private static let connection = """
        type:t user:t database:t replication:t state:t addr:t port:i local_addr:t local_port:i \
        connect_time:t request_time:t wait:i wait_us:i close_needed:i ptr:t link:t remote_pid:i \
        tls:t application_name:t prepared_statements:i id:i
        """

    @Test(arguments: columns)
    func columnsAndTypes(what: String, description: String) throws {
        try withPooler { pooler in
            try pooler.connect().query("select 1")
            let result = try pooler.console().execute("SHOW \(what)")
            let expected = description.split(separator: " ").map { column in
                let parts = column.split(separator: ":")
                return Column(name: String(parts[0]), type: Self.types[parts[1].first ?? "t"] ?? 0)
            }
            #expect(result.tag == "SHOW")
            #expect(Array(result.columns.prefix(expected.count)) == expected)
            #expect(!result.rows.isEmpty)
        }
    }

    @Test func versionStateAndHelp() throws {
        try withPooler { pooler in
            let console = try pooler.console()
            try #expect(
                console.query("SHOW STATE") == [
                    ["active", "yes"], ["paused", "no"], ["suspended", "no"],
                ]
            )
            try #expect(console.execute("show version;").rows.count == 1)
            try #expect(console.execute("SELECT version").rows.count == 1)
            let help = try console.execute("SHOW HELP")
            #expect(help.rows.isEmpty && help.tag == "SHOW")
            #expect(console.notices.first?.message == "Console usage")
            #expect(console.notices.first?.detail?.contains("SHOW") == true)
        }
    }

    @Test func rowsOfListsTotalsAndMemory() throws {
        try withPooler { pooler in
            try pooler.connect().query("select 1")
            let lists = try pooler.show("LISTS")
            #expect(
                lists.map { $0["list"] } == [
                    "databases", "users", "peers", "pools", "peer_pools", "free_clients",
                    "used_clients", "login_clients", "free_servers", "used_servers", "dns_names",
                    "dns_zones", "dns_queries", "dns_pending",
                ]
            )
            let items = Dictionary(lists.map { ($0["list"] ?? "", $0["items"] ?? "") }) { $1 }
            #expect(items["pools"] == "2")
            #expect(items["used_servers"] == "1")
            #expect(items["used_clients"] == "2")
            let names = [
                "server_assignment_count", "xact_count", "query_count", "client_bytes",
                "server_bytes", "xact_time", "query_time", "wait_time", "ps_client_parse_count",
                "ps_server_parse_count", "ps_bind_count", "client_login_count",
            ]
            let totals = try pooler.show("TOTALS").map { $0["name"] ?? "" }
            let ofSessions = [
                "pin_count", "pin_time", "replay_count", "replay_wait_count", "probe_count",
                "audit_count", "leak_count", "reprepare_count",
                "notification_count", "listener_loss_count",
            ]
            let reasons = [
                "temporary", "hold_cursor", "advisory_lock", "listen", "prepare", "load", "setseed",
                "replication", "unknown",
            ]
            #expect(
                totals == names.map { "total_\($0)" } + names.map { "avg_\($0)" }
                    + ofSessions.map { "total_\($0)" } + reasons.map { "total_pin_count_\($0)" }
            )
            let memory = try pooler.show("MEM")
            #expect(memory.contains { $0["name"] == "client_cache" })
        }
    }

    @Test func configurationIsShownAsItIs() throws {
        try withPooler(["query_wait_timeout": "7", "default_pool_size": "3"]) { pooler in
            let rows = try pooler.show("CONFIG")
            let values = Dictionary(rows.map { ($0["key"] ?? "", $0) }) { $1 }
            #expect(values["query_wait_timeout"]?["value"] == "7")
            #expect(values["query_wait_timeout"]?["default"] == "120")
            #expect(values["query_wait_timeout"]?["changeable"] == "yes")
            #expect(values["default_pool_size"]?["value"] == "3")
            #expect(values["listen_port"]?["changeable"] == "no")
            #expect(values["pool_mode"]?["value"] == "transaction")
            let keys = rows.compactMap { $0["key"] }
            #expect(keys == keys.sorted())
        }
    }

    @Test func databasesAndUsers() throws {
        try withPooler(databases: ["small": "dbname=app pool_size=2 pool_mode=session"]) { pooler in
            let databases = try pooler.show("DATABASES")
            let small = databases.first { $0["name"] == "small" }
            #expect(small?["database"] == "app")
            #expect(small?["pool_size"] == "2")
            #expect(small?["pool_mode"] == "session")
            #expect(small?["port"] == "\(pooler.server.port)")
            #expect(databases.contains { $0["name"] == "pgbouncer" })
            let users = try pooler.show("USERS").compactMap { $0["name"] }
            #expect(Set(users).isSuperset(of: ["app", "other", "admin"]))
        }
    }

    @Test func clientsAndServersAreLinked() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let owner = try pooler.connect(["application_name": "owner"])
            let waiter = try pooler.connect(["application_name": "waiter"])
            let idle = try pooler.connect(["application_name": "idle"])
            let server = try owner.value("begin; select pg_backend_pid()")
            try waiter.send("select 1")
            try eventually("one waits") { try pooler.pool()["cl_waiting"] == "1" }

            let clients = try pooler.show("CLIENTS").filter { $0["database"] == "app" }
            let byName = Dictionary(clients.map { ($0["application_name"] ?? "", $0) }) { $1 }
            #expect(byName["owner"]?["state"] == "active")
            #expect(byName["waiter"]?["state"] == "waiting")
            let servers = try pooler.show("SERVERS")
            #expect(servers.count == 1)
            #expect(servers.first?["state"] == "active")
            #expect(servers.first?["remote_pid"] == server)
            #expect(servers.first?["link"] == byName["owner"]?["ptr"])
            #expect(byName["owner"]?["link"] == servers.first?["ptr"])
            #expect(byName["idle"]?["link"] == "")
            #expect(clients.allSatisfy { $0["type"] == "C" && $0["addr"] == "127.0.0.1" })
            #expect(Set(clients.compactMap { $0["id"] }).count == 3)

            let pool = try pooler.pool()
            #expect(pool["cl_active"] == "2")
            #expect(pool["sv_active"] == "1")
            #expect(pool["sv_idle"] == "0")
            try owner.query("commit")
            try #expect(waiter.receive().value == "1")
            try #expect(idle.value("select 1") == "1")
            try eventually("the server is free") { try pooler.pool()["sv_idle"] == "1" }
        }
    }

    @Test func maxwaitGrows() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let owner = try pooler.connect()
            let waiter = try pooler.connect()
            try owner.query("begin")
            var seconds = 0
            let time = try duration {
                try waiter.send("select 1")
                try eventually("a second has been waited") {
                    seconds = try Int(pooler.pool()["maxwait"] ?? "") ?? 0
                    return seconds > 0
                }
            }
            #expect(.seconds(seconds) < time + .milliseconds(400))
            try owner.query("commit")
            try #expect(waiter.receive().value == "1")
            try #expect(pooler.pool()["maxwait"] == "0")
        }
    }

    private static func totals(_ pooler: Pooler) throws -> [String: Int] {
        let row = try pooler.show("STATS_TOTALS").first { $0["database"] == "app" } ?? [:]
        return row.compactMapValues { Int($0) }
    }

    @Test func countsAreExact() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            func run(_ bytes: [UInt8]) throws -> Int {
                try client.send(bytes)
                return try client.receiveUntilReady().reduce(0) { $0 + 5 + $1.body.count }
            }
            _ = try run(Frontend.query("select 1"))
            let before = try Self.totals(pooler)
            let query = Frontend.query("select 'count me'")
            let extended =
                Frontend.parse("", "select 1") + Frontend.bind("") + Frontend.execute()
                + Frontend.sync
            var (sent, received) = (0, 0)
            for _ in 0..<10 {
                received += try run(query)
                sent += query.count
            }
            for _ in 0..<7 {
                received += try run(extended)
                sent += extended.count
            }
            for statement in ["begin", "select 1", "select 2", "commit"] {
                received += try run(Frontend.query(statement))
                sent += Frontend.query(statement).count
            }
            let after = try Self.totals(pooler)
            func difference(_ key: String) -> Int { (after[key] ?? 0) - (before[key] ?? 0) }
            #expect(difference("xact_count") == 10 + 7 + 1)
            #expect(difference("query_count") == 10 + 7 + 4)
            #expect(difference("server_assignment_count") == 10 + 7 + 1)
            #expect(difference("bytes_received") == sent)
            #expect(difference("bytes_sent") == received)
        }
    }

    @Test func timesAreMicroseconds() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            try client.query("select 1")
            let before = try Self.totals(pooler)
            let start = ContinuousClock.now
            try client.query("select pg_sleep(0.3)")
            try client.query("begin; select 1")
            let waiter = try pooler.connect()
            let wait = try duration {
                try waiter.send("select 1")
                try pooler.waitForQueue(of: 1)
                pause(.milliseconds(300))
                try client.query("commit")
                try #expect(waiter.receive().value == "1")
            }
            // The pooler looks at the clock once in a turn.
            let tolerance = Duration.milliseconds(400)
            let most = (ContinuousClock.now - start + tolerance) / .microseconds(1)
            let mostWaited = (wait + tolerance) / .microseconds(1)
            let after = try Self.totals(pooler)
            func difference(_ key: String) -> Int { (after[key] ?? 0) - (before[key] ?? 0) }
            func value(_ key: String) -> Double { Double(difference(key)) }
            #expect((290_000...most).contains(value("query_time")))
            #expect((590_000...most).contains(value("xact_time")))
            #expect((250_000...mostWaited).contains(value("wait_time")))
        }
    }

    @Test func preparedStatementsAreCounted() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let clients = try pooler.connect(2)
            try clients[0].query("select 1")
            let before = try Self.totals(pooler)
            for client in clients {
                try #expect(client.prepare("s", "select $1::int").error == nil)
                for _ in 0..<5 { try #expect(client.executePrepared("s", ["1"]).value == "1") }
            }
            let after = try Self.totals(pooler)
            func difference(_ key: String) -> Int { (after[key] ?? 0) - (before[key] ?? 0) }
            #expect(difference("client_parse_count") == 2)
            #expect(difference("server_parse_count") == 1)
            #expect(difference("bind_count") == 10)
        }
    }
}
