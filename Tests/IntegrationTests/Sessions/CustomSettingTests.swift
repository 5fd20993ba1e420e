// Custom settings: NULL in a session that has never heard of them, '' in one that has.

import Testing

@Suite struct CustomSettingTests {
    private static let question = "select current_setting('app.tenant', true)"

    /// Two servers are free; the one used last has been told the name by somebody else.
    @Test func aServerThatKnowsNoOthersNamesIsPreferred() throws {
        try withPooler(["default_pool_size": "2", "workers": "1"]) { pooler in
            let (one, two, holder) = (
                try pooler.connect(), try pooler.connect(), try pooler.connect()
            )
            try holder.query("begin")
            try one.query("set app.tenant = 'one'")
            try holder.query("commit")
            for _ in 0..<3 {
                try #expect(one.value(Self.question) == "one")
                try #expect(two.value(Self.question) == nil)
                try #expect(two.execute("show app.tenant").sqlstate == "42704")
                try #expect(one.value("show app.tenant") == "one")
            }
            // What it has touched itself it knows wherever it goes, and without a value.
            try one.query("discard all")
            try holder.query("begin")
            try #expect(one.value(Self.question) == "")
            try holder.query("commit; begin")
            try #expect(one.value(Self.question) == "")
        }
    }

    /// DISCARD ALL makes nobody touch what others have.
    ///
    /// The server is free when the first client wants one: nobody asks it anything.
    @Test func whatOthersHaveTouchedIsNotAdopted() throws {
        try withPooler(["default_pool_size": "1", "audit_interval": "0"]) { pooler in
            let (one, two) = (try pooler.connect(), try pooler.connect())
            try one.query("set app.tenant = 'one'")
            try #expect(two.value(Self.question) == "")
            try two.query("discard all")
            try two.query("select 1")
            try pooler.settle()
            try pooler.console().query("set default_pool_size = 2")
            try one.query("begin")
            try #expect(two.value(Self.question) == nil)
        }
    }

    /// SET LOCAL leaves nothing but the name, and that stays with the session.
    @Test func settingLocallyIsTouching() throws {
        try withPooler(["default_pool_size": "2", "workers": "1"]) { pooler in
            let (one, holder) = (try pooler.connect(), try pooler.connect())
            try pooler.connect().query("set app.tenant = 'another'")
            try one.query("begin; set local app.tenant = 'local'; commit")
            for _ in 0..<2 {
                try #expect(one.value(Self.question) == "")
                try holder.query("begin")
                try #expect(one.value(Self.question) == "")
                try holder.query("commit")
            }
        }
    }

    // MARK: isolate_custom_settings

    /// There is one server, and everybody finds it as if it were new.
    @Test func isolatedClientsNeverMeetTheNamesOfOthers() throws {
        let settings = ["default_pool_size": "1", "isolate_custom_settings": "1"]
        try withPooler(settings) { pooler in
            let (one, two) = (try pooler.connect(), try pooler.connect())
            try one.query("set app.tenant = 'one'")
            let process = try one.value("select pg_backend_pid()")
            for _ in 0..<3 {
                try #expect(two.value(Self.question) == nil)
                try two.query("begin")
                try #expect(two.execute("show app.tenant").sqlstate == "42704")
                try two.query("rollback")
                try #expect(one.value("show app.tenant") == "one")
            }
            try #expect(two.value("select pg_backend_pid()") != process)
            // Whoever touches it needs no other server any more.
            try two.query("set app.tenant = 'two'")
            let last = try two.value("select pg_backend_pid()")
            for _ in 0..<3 {
                try #expect(one.value("show app.tenant") == "one")
                try #expect(two.value("show app.tenant") == "two")
            }
            try #expect(one.value("select pg_backend_pid()") == last)
            #expect(pooler.log.contains("knows custom settings of others"))
            try #expect(pooler.pool()["cl_waiting"] == "0")
        }
    }

    /// Where there are servers enough, each kind of client keeps its own.
    @Test func isolatedServersAreNotReplacedWithoutNeed() throws {
        let settings = [
            "default_pool_size": "2", "workers": "1", "isolate_custom_settings": "1",
            "audit_interval": "0",
        ]
        try withPooler(settings) { pooler in
            let (one, two) = (try pooler.connect(), try pooler.connect())
            try one.query("set app.tenant = 'one'")
            var processes: Set<String?> = []
            for _ in 0..<5 {
                try #expect(two.value(Self.question) == nil)
                processes.insert(try two.value("select pg_backend_pid()"))
                try #expect(one.value(Self.question) == "one")
                processes.insert(try one.value("select pg_backend_pid()"))
            }
            #expect(processes.count == 2)
            #expect(!pooler.log.contains("knows custom settings of others"))
        }
    }

    @Test func isolationIsForThoseWhoWantIt() throws {
        let entry = "dbname=app isolate_custom_settings=1"
        try withPooler(["default_pool_size": "1"], databases: ["apart": entry]) { pooler in
            for (database, expected) in [("apart", nil), ("app", "")] {
                try pooler.connect(database: database).query("set app.tenant = 'one'")
                try #expect(pooler.connect(database: database).value(Self.question) == expected)
            }
        }
    }

    /// Servers are taken from all sides, and nobody waits for ever or meets another's name.
    @Test func isolatedClientsInACrowd() throws {
        let settings = ["default_pool_size": "3", "isolate_custom_settings": "1"]
        try withPooler(settings) { pooler in
            let clients = try pooler.connect(12)
            for (number, client) in clients.enumerated() where number % 2 == 0 {
                try client.query("set app.tenant = '\(number)'")
            }
            for round in 0..<10 {
                for client in clients { try client.send("begin; \(Self.question); commit") }
                for (number, client) in clients.enumerated() {
                    let value = try client.receiveAll()[1].rows
                    let expected = number % 2 == 0 ? "\(number)" : nil
                    #expect(value == [[expected]], "round \(round)")
                }
            }
            try #expect(Int(pooler.pool()["sv_idle"] ?? "") ?? 0 <= 3)
        }
    }
}
