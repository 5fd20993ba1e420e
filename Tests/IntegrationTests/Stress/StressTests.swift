// Many clients, few servers, and an operator who does everything at once: no answer may ever reach
// a client that did not ask for it, and in the end nothing is left.

import Testing

@Suite struct StressTests {
    @Test func serversChangeHandsAllTheTime() throws {
        let plan = try StressPlan()
        print("Stress test: \(plan.seconds) s, seed \(plan.seed)")
        let databases = ["app": "dbname=app", "other": "dbname=other"]
        try withPooler(plan.settings, databases: databases) { pooler in
            let record = StressRecord()
            var staff = try StressOperator(pooler, plan, record)
            for number in 0..<plan.clientCount {
                StressClient.start(number, plan, port: pooler.port, record)
            }
            do {
                try operate(&staff, plan, record)
            } catch {
                record.find("operator: \(error)")
            }
            record.end()
            eventually("all clients have ended", within: .seconds(60)) { record.running == 0 }
            print("Stress test: \(record.summary)")
            for finding in record.findings {
                let log = finding.port.map { linesAbout($0, in: pooler.log) } ?? ""
                Issue.record("seed \(plan.seed): \(finding.text)\(log)")
            }
            checkCounts(record, pooler.log)
            try checkThatNothingIsLeft(pooler, staff)
        }
    }

    /// Until the time is up; in the middle everybody has to wait too long.
    private func operate(
        _ staff: inout StressOperator,
        _ plan: StressPlan,
        _ record: StressRecord
    ) throws {
        let half = Duration.seconds(plan.seconds) / 2
        try work(&staff, for: half, record)
        let memory = staff.pooler.residentBytes
        try staff.pauseForLong()
        try work(&staff, for: half, record)
        try eventually("everything has happened") {
            try staff.act()
            return record.hasSeenAll || record.isOver
        }
        let growth = staff.pooler.residentBytes - memory
        if growth > 32 << 20 { record.find("the pooler grew by \(growth) bytes") }
    }

    private func work(
        _ staff: inout StressOperator,
        for duration: Duration,
        _ record: StressRecord
    ) throws {
        let end = Deadline(in: duration)
        var nextVacuum = Deadline(in: .seconds(5))
        while !end.hasPassed && !record.isOver {
            try staff.act()
            if nextVacuum.hasPassed {
                try staff.vacuum()
                nextVacuum = Deadline(in: .seconds(5))
            }
        }
    }

    /// What the pooler's log says of the client with this port of its own.
    private func linesAbout(_ port: Int, in log: String) -> String {
        log.split(separator: "\n").filter { $0.contains("127.0.0.1:\(port) ") }.map { "\n  \($0)" }
            .joined()
    }

    /// Nobody was thrown out without a reason.
    private func checkCounts(_ record: StressRecord, _ log: String) {
        let ends = log.split(separator: "\n").filter {
            $0.contains("crashed?") || $0.contains("server said")
        }
        let text = ends.suffix(40).joined(separator: "\n")
        #expect(record[.lostServer] <= record[.terminatedServer], "\(text)")
        // Who is cut off in the middle of a message cannot be told which of the two it was.
        #expect(
            record[.forcedDisconnect] + record[.lostServer]
                <= record[.killedClient] + record[.terminatedServer]
        )
    }

    private func checkThatNothingIsLeft(_ pooler: Pooler, _ staff: StressOperator) throws {
        try eventually("the console is the only client") { try staff.show("CLIENTS").count == 1 }
        try eventually("no pool has a client, an active server or a cancel request") {
            try staff.show("POOLS").filter { $0["database"] != "pgbouncer" }.allSatisfy { pool in
                let counted = pool.filter { name, _ in
                    name.hasPrefix("cl_") || name.contains("active") || name.contains("cancel")
                }
                return counted.count >= 6 && counted.values.allSatisfy { $0 == "0" }
            }
        }
        try eventually("PostgreSQL knows no more connections than the pooler") {
            let count = try pooler.server.value(
                "select count(*) from pg_stat_activity where (usename, datname) in (\(StressPlan.poolList))"
            )
            return try count == String(staff.show("SERVERS").count)
        }
        let lists = try staff.show("LISTS")
        func items(_ list: String) -> String? { lists.first { $0["list"] == list }?["items"] }
        #expect(items("used_clients") == "1")
        #expect(items("login_clients") == "0")
        for (user, database) in StressPlan.pools {
            try #expect(pooler.connect(user: user, database: database).value("select 1") == "1")
        }
    }
}
