// RESET gives what the client began with, not what its server did.

import Testing

@Suite struct ResetTests {
    private static func login(_ pooler: Pooler) throws -> Connection {
        try pooler.connect([
            "options": "-c TimeZone=Asia/Tokyo -c work_mem=3MB -c app.start=here"
        ])
    }

    @Test(arguments: ["transaction", "session"])
    func resetGivesWhatTheClientBeganWith(mode: String) throws {
        try withPooler(["pool_mode": mode]) { pooler in
            let client = try Self.login(pooler)
            for reset in ["reset timezone", "reset all", "discard all", "set timezone to default"] {
                try client.query("set timezone = 'UTC'")
                #expect(client.parameter("TimeZone") == "UTC")
                try client.query(reset)
                #expect(client.parameter("TimeZone") == "Asia/Tokyo")
                try #expect(client.value("show timezone") == "Asia/Tokyo")
                try #expect(client.value("show work_mem") == "3MB")
                try #expect(client.value("show app.start") == "here")
            }
        }
    }

    /// Nobody sets it, but it is reported.
    @Test(arguments: ["transaction", "session"])
    func theClientHearsWhetherItIsASuperuser(mode: String) throws {
        try withPooler(["pool_mode": mode]) { pooler in
            let client = try pooler.connect(
                user: "postgres",
                ["options": "-c work_mem=3MB"]
            )
            for reset in ["reset role", "reset all; reset role", "discard all"] {
                try client.query("set role pg_monitor")
                #expect(client.parameter("is_superuser") == "off")
                try client.query(reset)
                #expect(client.parameter("is_superuser") == "on")
            }
        }
    }

    /// Also before the transaction ends, and as the transaction ends.
    @Test func resetInABlockIsPartOfIt() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let client = try Self.login(pooler)
            try client.query("set timezone = 'UTC'; set app.start = 'elsewhere'")
            try client.query("begin")
            try client.query("reset all")
            try #expect(client.value("show timezone") == "Asia/Tokyo")
            try #expect(client.value("show app.start") == "here")
            try client.query("rollback")
            #expect(client.parameter("TimeZone") == "UTC")
            try #expect(client.value("show app.start") == "elsewhere")
            try client.query("begin; set local timezone = 'Europe/Paris'")
            _ = try client.execute("reset timezone", [])
            try #expect(client.value("show timezone") == "Asia/Tokyo")
            try client.query("commit")
            try #expect(client.value("show timezone") == "Asia/Tokyo")
        }
    }

    /// An empty value that a client has given is no RESET, whatever else is reset with it.
    @Test func whatIsSetToNothingIsNotReset() throws {
        try withPooler { pooler in
            let client = try Self.login(pooler)
            try client.query("reset work_mem; set app.start = ''")
            try #expect(client.value("show app.start") == "")
            try client.query("reset app.start")
            try #expect(client.value("show app.start") == "here")
        }
    }

    /// A statement that only says RESET resets nothing.
    @Test(arguments: ["transaction", "session"])
    func whatIsOnlyPreparedResetsNothing(mode: String) throws {
        try withPooler(["pool_mode": mode]) { pooler in
            let client = try Self.login(pooler)
            try client.query("set timezone = 'UTC'")
            _ = try client.prepare("later", "reset timezone")
            try #expect(client.value("show timezone") == "UTC")
        }
    }

    /// An error behind RESET in the same batch undoes it, but not DISCARD ALL.
    @Test(
        arguments: ["transaction", "session"],
        [("reset timezone", "UTC"), ("discard all", "Asia/Tokyo")]
    )
    func errorsUndoWhatTheyCan(mode: String, reset: (text: String, timeZone: String)) throws {
        try withPooler(["pool_mode": mode]) { pooler in
            let client = try Self.login(pooler)
            try client.query("set timezone = 'UTC'")
            try client.enterPipeline()
            for text in [reset.text, "select 1/0"] { try client.send(text, []) }
            try client.sync()
            try #expect(client.nextPipelineResult().error == nil)
            try #expect(client.nextPipelineResult().error?.sqlstate == "22012")
            _ = try client.nextPipelineResult()
            try client.exitPipeline()
            try #expect(client.value("show timezone") == reset.timeZone)
            #expect(client.parameter("TimeZone") == reset.timeZone)
        }
    }

    /// What is sent behind a RESET without waiting for its answer comes to no harm.
    @Test func whatFollowsAtOnceIsAnswered() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try Self.login(pooler)
            try client.query("set timezone = 'UTC'")
            try client.enterPipeline()
            for text in ["reset timezone", "select 1"] {
                try client.send(text, [])
                try client.sync()
            }
            try #expect(client.nextPipelineResult().error == nil)
            _ = try client.nextPipelineResult()
            try #expect(client.nextPipelineResult().value == "1")
            _ = try client.nextPipelineResult()
            try client.exitPipeline()
            try #expect(client.value("show timezone") == "Asia/Tokyo")
            #expect(client.parameter("TimeZone") == "Asia/Tokyo")
        }
    }
}
