// Several clients with different sessions on two or three servers at the same time: what each sees
// must be its own.

import TestSupport
import Testing

@Suite struct SessionTenantTests {
    /// Enough that no server is two times in a row with the same client.
    private static let tenantCount = 8
    /// So many transactions, or more, show something.
    private static let leastCount = 51

    @Test(arguments: [false, true])
    func everyTenantFindsItsOwnSession(killsServers: Bool) throws {
        // A pinned client keeps its server; a third server keeps the others going.
        let settings = ["default_pool_size": "3", "server_lifetime": "1"]
        try run(SessionFamily.chosen, settings, killsServers: killsServers)
    }

    /// Otherwise a finding on shared servers would prove nothing.
    @Test(arguments: [false, true])
    func tenantsExpectWhatAServerOfTheirOwnGives(killsServers: Bool) throws {
        let settings = ["default_pool_size": "20", "pool_mode": "session"]
        try run(
            SessionFamily.all,
            settings,
            killsServers: killsServers
        )
    }

    private func run(
        _ families: Set<SessionFamily>,
        _ settings: [String: String],
        killsServers: Bool
    ) throws {
        let plan = try StressPlan()
        try SessionDatabase.withDatabase { database in
            try database.reset()
            let name = database.name
            try withPooler(settings, databases: [name: "dbname=\(name)"]) { pooler in
                let tenancy = SessionTenancy(
                    families: families.sorted(),
                    seed: plan.seed,
                    port: pooler.port,
                    database: name,
                    killsServers: killsServers,
                    record: StressRecord()
                )
                for number in 1...Self.tenantCount { SessionTenant.start(number, tenancy) }
                try operate(tenancy, plan, pooler)
                tenancy.record.end()
                eventually("all tenants have ended", within: .seconds(60)) {
                    tenancy.record.running == 0
                }
                if !tenancy.record.findings.isEmpty { print(pooler.log) }
                for finding in tenancy.record.findings {
                    Issue.record("seed \(plan.seed): \(finding.text)")
                }
                #expect(tenancy.record[.transaction] >= Self.leastCount)
                #expect(killsServers || tenancy.record[.lostServer] == 0)
                try eventually("no server is taken") {
                    try pooler.pool(user: "trusty", database: name)["sv_active"] == "0"
                }
            }
        }
    }

    /// Until the time is up; kills a server every now and then.
    private func operate(_ tenancy: SessionTenancy, _ plan: StressPlan, _ pooler: Pooler) throws {
        var random = plan.random(for: -1)
        let end = Deadline(in: .seconds(plan.seconds) / 4)
        let limit = Deadline(in: .seconds(plan.seconds) + .patience)
        // On a busy machine it takes longer until there is something to see.
        while !end.hasPassed || tenancy.record[.transaction] < Self.leastCount {
            if limit.hasPassed || tenancy.record.isOver { return }
            pause(.milliseconds(random.number(20...120)))
            guard tenancy.killsServers else { continue }
            try pooler.server.query(
                """
                select pg_terminate_backend(pid) from (
                    select pid from pg_stat_activity
                    where datname = '\(tenancy.database)' and usename = 'trusty'
                    order by pid limit 1 offset \(random.number(0...2))
                ) as one
                """
            )
            tenancy.record.count(.terminatedServer)
        }
    }
}
