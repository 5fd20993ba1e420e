// The operator of a stress test: looks at everything and disturbs everybody, on the console.

import TestSupport
import Testing

struct StressOperator {
    let pooler: Pooler
    let plan: StressPlan
    let record: StressRecord
    let console: Connection
    private let server: Connection
    private var random: SplitMix

    private static let tables = [
        "ACTIVE_SOCKETS", "CLIENTS", "CONFIG", "DATABASES", "LISTS", "MEM", "POOLS", "SERVERS",
        "SOCKETS", "STATE", "STATS", "STATS_AVERAGES", "STATS_TOTALS", "TOTALS", "USERS",
    ]

    init(_ pooler: Pooler, _ plan: StressPlan, _ record: StressRecord) throws {
        self.pooler = pooler
        self.plan = plan
        self.record = record
        console = try pooler.console()
        server = try pooler.server.superuser()
        random = plan.random(for: -1)
        for (_, database) in StressPlan.pools {
            let owner = try pooler.server.superuser(database: database)
            defer { owner.close() }
            try owner.query("create unlogged table if not exists stress_rows (tag text, n int)")
            try owner.query("grant all on stress_rows to public")
        }
    }

    /// One random command, and a look at what it must have done.
    mutating func act() throws {
        switch random.number(0...19) {
        case 0:
            let milliseconds = random.number(0...150)
            try pauseAndResume { pause(.milliseconds(milliseconds)) }
        case 1: try reload()
        case 2: try reconnect()
        case 3, 4, 5: try killAClient()
        case 6, 7: try terminateAServer()
        default: try look()
        }
        pause(.milliseconds(random.number(5...40)))
    }

    /// So long that clients in the queue give up.
    func pauseForLong() throws {
        try pauseAndResume {
            pause(.milliseconds(plan.queryWaitTimeout * 1_000 + 700))
            eventually("a client has waited too long") { record[.queryWaitTimeout] > 0 }
        }
    }

    /// Rows left by COPY and rolled back would make each look at the table slower.
    func vacuum() throws {
        for (_, database) in StressPlan.pools {
            let owner = try pooler.server.superuser(database: database)
            defer { owner.close() }
            try owner.query("vacuum stress_rows")
        }
    }

    func show(_ table: String) throws -> [[String: String]] {
        let result = try command("SHOW \(table)")
        record.count(.show)
        return result.records
    }

    /// A command that must not fail.
    @discardableResult
    private func command(_ text: String) throws -> QueryResult {
        let result = try console.execute(text)
        if let error = result.error { record.find("\(text): \(error)") }
        return result
    }

    private mutating func look() throws {
        let table = Self.tables[random.number(0...(Self.tables.count - 1))]
        _ = try show(table)
        for pool in try show("POOLS") where pool["database"] != "pgbouncer" {
            checkLimits(of: pool)
        }
    }

    /// A pool never has more servers than it may, nor more clients than there are.
    func checkLimits(of pool: [String: String]) {
        let servers = ["sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login"]
            .map { Int(pool[$0] ?? "") ?? -1 }
        let clients = ["cl_active", "cl_waiting"].map { Int(pool[$0] ?? "") ?? -1 }
        let clientLimit = plan.clientCount * 2
        if (servers + clients).contains(where: { $0 < 0 })
            || servers.reduce(0, +) > plan.poolSizes.upperBound
            || clients.reduce(0, +) > clientLimit
        {
            record.find("SHOW POOLS counts what cannot be: \(pool)")
        }
    }

    private func pauseAndResume(meanwhile: () -> Void) throws {
        try command("PAUSE")
        for server in try show("SERVERS") {
            record.find("paused, and there is a server: \(server)")
        }
        meanwhile()
        try command("RESUME")
        record.count(.pause)
    }

    private mutating func reload() throws {
        let size = random.number(plan.poolSizes)
        try pooler.rewrite { $0.settings["default_pool_size"] = String(size) }
        try command("RELOAD")
        record.count(.reload)
    }

    private mutating func reconnect() throws {
        try command("RECONNECT")
        if random.oneIn(2) { try command("WAIT_CLOSE") }
        record.count(.reconnect)
    }

    private mutating func killAClient() throws {
        let clients = try show("CLIENTS").filter { $0["database"] != "pgbouncer" }
        guard let client = clients.randomElement(using: &random), let id = client["ptr"] else {
            return
        }
        // Counted before: the client may hear of it first. It may also have left by itself.
        record.count(.killedClient)
        let error = try console.execute("KILL_CLIENT \(id)").error
        if let error, error.message != "client not found" {
            record.find("KILL_CLIENT \(id): \(error)")
        }
    }

    private func terminateAServer() throws {
        record.count(.terminatedServer)
        try server.query(
            """
            select pg_terminate_backend(pid) from pg_stat_activity
            where (usename, datname) in (\(StressPlan.poolList))
                and state is not null
            order by random() limit 1
            """
        )
    }
}
