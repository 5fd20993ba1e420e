// log_min_duration and log_query_bytes: lines about queries that take long.

import Foundation
import Testing

@Suite struct SlowQueryTests {
    /// The lines about slow queries, each from `slow query: ` on.
    private static func lines(_ pooler: Pooler) throws -> [String] {
        try pooler.settle()
        return pooler.log.split(separator: "\n").compactMap { line in
            line.range(of: "slow query: ").map { String(line[$0.lowerBound...]) }
        }
    }

    private static func milliseconds(_ name: String, _ line: String) -> Double {
        let word = line.split(separator: " ").first { $0.hasPrefix("\(name)=") }
        return word.flatMap { Double($0.dropFirst(name.count + 1)) } ?? -1
    }

    @Test func timesAreToldApart() throws {
        try withPooler(["log_min_duration": "200", "default_pool_size": "1"]) { pooler in
            let owner = try pooler.connect()
            let waiter = try pooler.connect()
            try owner.query("select 1")
            let pid = try owner.value("begin; select pg_backend_pid()")
            try waiter.send("select pg_sleep(0.3)")
            try pooler.waitForQueue(of: 1)
            pause(.milliseconds(500))
            try owner.query("commit")
            try #expect(waiter.receive().error == nil)
            let lines = try Self.lines(pooler)
            // On a busy machine the owner's queries may be slow, too.
            #expect(lines.allSatisfy { Self.milliseconds("query", $0) >= 200 }, "\(lines)")
            let line = try #require(lines.last)
            #expect(Self.milliseconds("wait", line) >= 400)
            #expect(Self.milliseconds("server", line) >= 290)
            let sum = Self.milliseconds("wait", line) + Self.milliseconds("server", line)
            #expect(abs(Self.milliseconds("query", line) - sum) < 0.01)
            #expect(line.hasSuffix("server_pid=\(pid ?? "")"), "without the text")
        }
    }

    /// The second query of a transaction has not waited, nor has one whose client did nothing before.
    @Test func onlyTheFirstQueryWaits() throws {
        let settings = ["log_min_duration": "0", "pool_mode": "session"]
        try withPooler(settings) { pooler in
            let client = try pooler.connect()
            pause(.milliseconds(300))
            let times = try (1...3).map { _ in
                try duration { try client.query("select 1") } / .milliseconds(1)
            }
            let lines = try Self.lines(pooler)
            #expect(lines.count == 3)
            // The pooler looks at the clock once in a turn.
            for (line, time) in zip(lines, times) {
                #expect((0..<time + 100).contains(Self.milliseconds("wait", line)), "\(line)")
            }
        }
    }

    @Test func textsAreLoggedIfWanted() throws {
        let users = ["other": "log_query_bytes=0"]
        let databases = ["quiet": "dbname=app log_min_duration=100000"]
        let settings = ["log_min_duration": "0", "log_query_bytes": "12"]
        try withPooler(settings, databases: databases, users: users) { pooler in
            let client = try pooler.connect()
            try client.query("select 'first'\n, 2")
            try #expect(client.execute("select $1::text", ["hidden value"]).value != nil)
            try #expect(client.prepare("named", "select  'named'").error == nil)
            try #expect(client.executePrepared("named").value == "named")
            try #expect(client.executePrepared("named").value == "named")
            let texts = try Self.lines(pooler).compactMap {
                $0.components(separatedBy: " text: ").last
            }
            #expect(
                texts.filter { $0.hasPrefix("select") } == [
                    "select 'firs", "select $1::t", "select  'nam", "select  'nam", "select  'nam",
                ]
            )
            let count = texts.count
            try pooler.connect(database: "quiet").query("select 'quiet'")
            try #expect(Self.lines(pooler).count == count)
            try pooler.connect(user: "other").query("select 'nothing'")
            try #expect(!Self.lines(pooler).contains { $0.contains("nothing") })
            try #expect(Self.lines(pooler).count > count)
            #expect(!pooler.log.contains("hidden value"))
        }
    }

    @Test func numbersInJSON() throws {
        let settings = ["log_format": "json", "log_min_duration": "50", "log_query_bytes": "100"]
        try withPooler(settings) { pooler in
            try pooler.connect().query("select pg_sleep(0.06), '\"\\'")
            try pooler.settle()
            let line = pooler.log.split(separator: "\n").first { $0.contains("slow query") }
            let object = try #require(
                try JSONSerialization.jsonObject(with: Data((line ?? "").utf8)) as? [String: Any]
            )
            #expect((object["query_ms"] as? Double ?? 0) >= 50)
            #expect((object["server_ms"] as? Double ?? 0) >= 50)
            #expect(object["wait_ms"] is Double)
            #expect(object["server_pid"] is Int)
            #expect(object["text"] as? String == "select pg_sleep(0.06), '\"\\'")
            #expect(object["database"] as? String == "app")
            #expect(object["message"] as? String == "slow query")
        }
    }
}
