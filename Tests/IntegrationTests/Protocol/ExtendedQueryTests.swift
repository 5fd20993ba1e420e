// The extended query protocol as libpq speaks it: parameters, statements, pipelines, Flush.

import CLibpq
import Testing

@Suite struct ExtendedQueryTests {
    @Test func parameters() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            let result = try client.execute(
                "select $1::int + 1, $2::text, $3::text",
                ["41", nil, "é"]
            )
            #expect(result.rows == [["42", nil, "é"]])
        }
    }

    @Test func anErrorInEachStepLeavesTheSessionUsable() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try #expect(client.execute("selec $1", ["1"]).sqlstate == "42601")
            try #expect(client.execute("select $1::int", ["x"]).sqlstate == "22P02")
            try #expect(client.execute("select 1 / $1::int", ["0"]).sqlstate == "22012")
            try #expect(client.execute("select $1::int", ["5"]).value == "5")
        }
    }

    @Test func describeTellsParametersAndColumns() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try #expect(client.prepare("d", "select $1::int as a, $2::text as b").error == nil)
            let description = try client.describePrepared("d")
            #expect(description.parameterTypes == [23, 25])
            #expect(
                description.columns == [Column(name: "a", type: 23), Column(name: "b", type: 25)]
            )
        }
    }

    /// The unnamed statement stays until the next unnamed Parse, also across Syncs, and two
    /// clients that share one server each keep their own.
    @Test func theUnnamedStatementBelongsToTheClient() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let one = try pooler.connect()
            let two = try pooler.connect()
            try #expect(one.prepare("", "select 'one', $1").error == nil)
            try #expect(two.prepare("", "select 'two', $1").error == nil)
            try #expect(one.executePrepared("", ["a"]).rows == [["one", "a"]])
            try #expect(two.executePrepared("", ["b"]).rows == [["two", "b"]])
            try #expect(one.executePrepared("", ["c"]).rows == [["one", "c"]])
        }
    }

    /// A client that has no unnamed statement does not find a stranger's; if it leaves before the
    /// pooler's own request for that is answered, nobody else suffers.
    @Test func aStrangersUnnamedStatementIsNotThere() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let owner = try pooler.connect()
            try #expect(owner.prepare("", "select 'mine'").error == nil)
            let stranger = try pooler.rawLogin()
            try stranger.send(Frontend.bind("", []) + Frontend.sync)
            try #expect(stranger.receiveUntilReady().error?.sqlstate == "26000")
            try #expect(owner.executePrepared("", []).rows == [["mine"]])
            try stranger.send(Frontend.bind("", []))
            pause(.milliseconds(50))
            stranger.close()
            try #expect(owner.value("select 2") == "2")
            #expect(pooler.hasExited == false)
        }
    }

    @Test func aPipelineOfManySyncs() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let client = try pooler.connect()
            try client.enterPipeline()
            for number in 1...300 {
                try client.send("select $1::int", ["\(number)"])
                try client.sync()
            }
            for number in 1...300 {
                try #expect(client.nextPipelineResult().value == "\(number)")
                try #expect(client.nextPipelineResult().status == PGRES_PIPELINE_SYNC)
            }
            try client.exitPipeline()
            try #expect(client.value("select 1") == "1")
        }
    }

    @Test func anErrorInTheMiddleOfAPipelineSkipsToItsSync() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.enterPipeline()
            try client.send("select 1", [])
            try client.send("select 1/0", [])
            try client.send("select 3", [])
            try client.sync()
            try client.send("select 4", [])
            try client.sync()
            try #expect(client.nextPipelineResult().value == "1")
            try #expect(client.nextPipelineResult().sqlstate == "22012")
            try #expect(client.nextPipelineResult().status == PGRES_PIPELINE_ABORTED)
            try #expect(client.nextPipelineResult().status == PGRES_PIPELINE_SYNC)
            try #expect(client.nextPipelineResult().value == "4")
            try #expect(client.nextPipelineResult().status == PGRES_PIPELINE_SYNC)
            try client.exitPipeline()
        }
    }

    /// Flush brings the answer without a Sync; the server stays with the client until its Sync.
    @Test func flushAnswersBeforeSync() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            let other = try pooler.connect()
            try client.enterPipeline()
            try client.send("select 'early'", [])
            try client.flushRequest()
            try #expect(client.nextPipelineResult().value == "early")
            try other.send("select 'late'")
            try #expect(other.isWaiting())
            try client.sync()
            try #expect(client.nextPipelineResult().status == PGRES_PIPELINE_SYNC)
            try #expect(other.receive().value == "late")
        }
    }

    @Test func aTransactionInsideAPipeline() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            try client.enterPipeline()
            for statement in ["begin", "select pg_backend_pid()", "commit"] {
                try client.send(statement, [])
                try client.sync()
            }
            var tags: [String] = []
            for _ in 0..<3 {
                tags.append(try client.nextPipelineResult().tag)
                try #expect(client.nextPipelineResult().status == PGRES_PIPELINE_SYNC)
            }
            #expect(tags == ["BEGIN", "SELECT 1", "COMMIT"])
        }
    }

    @Test func aMegabyteParameter() throws {
        try withPooler { pooler in
            let text = String(repeating: "m", count: 1 << 20)
            let result = try pooler.connect().execute("select length($1), md5($1)", [text])
            #expect(result.value == "\(1 << 20)")
        }
    }
}
