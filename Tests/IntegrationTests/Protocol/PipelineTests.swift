// Pipelines with errors in the middle, message by message: what the server skips and what the pooler
// put in between must come out as on a private session.

import TestSupport
import Testing

@Suite struct PipelineTests {
    private static func run(_ statement: String) -> [UInt8] {
        Frontend.bind(statement) + Frontend.execute()
    }

    /// Nobody else's unnamed statement is executed, whatever was skipped before.
    @Test func theUnnamedStatementIsNeverAnothersOne() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let first = try pooler.rawLogin()
            let second = try pooler.rawLogin()
            func ask(_ client: RawClient, _ bytes: [UInt8]) throws -> [[String?]] {
                try client.send(bytes + Frontend.sync)
                return try client.receiveUntilReady().rows
            }
            let stranger = Frontend.parse("", "select 666")
            _ = try ask(first, Frontend.parse("", "select 1"))
            _ = try ask(second, stranger)
            // Behind an error, so that it is not prepared again.
            _ = try ask(first, Frontend.bind("missing") + Self.run(""))
            try #expect(ask(first, Self.run("")) == [["1"]])

            _ = try ask(second, stranger)
            let batches = Frontend.bind("missing") + Frontend.parse("", "select 2") + Frontend.sync
            try first.send(batches + Self.run("") + Frontend.sync)
            _ = try first.receiveUntilReady()
            try #expect(first.receiveUntilReady().rows != [["666"]])

            _ = try ask(first, Frontend.parse("", "nonsense"))
            _ = try ask(second, stranger)
            try #expect(ask(first, Self.run("")) == [])
        }
    }

    /// What was skipped in one batch is there in the next, although that is under way already.
    @Test func batchesBehindAnErrorFindTheirStatements() throws {
        let settings = ["default_pool_size": "1", "max_prepared_statements": "2"]
        try withPooler(settings) { pooler in
            let client = try pooler.rawLogin()
            for number in 0..<4 {
                try client.send(Frontend.parse("s\(number)", "select \(number)") + Frontend.sync)
                _ = try client.receiveUntilReady()
            }
            var generator = SplitMix(seed: 1)
            for round in 0..<100 {
                var bytes: [UInt8] = []
                var expected: [[String?]] = []
                for _ in 0..<6 {
                    var hasFailed = false
                    for _ in 0..<Int.random(in: 1...4, using: &generator) {
                        if Int.random(in: 0..<3, using: &generator) == 0 {
                            bytes += Frontend.bind("missing")
                            hasFailed = true
                        } else {
                            let number = Int.random(in: 0..<4, using: &generator)
                            bytes += Self.run("s\(number)")
                            if !hasFailed { expected.append(["\(number)"]) }
                        }
                    }
                    bytes += Frontend.sync
                }
                try client.send(bytes)
                let rows = try (0..<6).flatMap { _ in try client.receiveUntilReady().rows }
                #expect(rows == expected, "round \(round)")
            }
        }
    }

    @Test func namesAreForgottenBehindDeallocateAll() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.parse("s", "select 1") + Frontend.sync)
            _ = try client.receiveUntilReady()
            try client.send(
                Frontend.query("deallocate all") + Self.run("s") + Frontend.sync
                    + Frontend.parse("s", "select 2") + Self.run("s") + Frontend.sync
            )
            try #expect(client.receiveUntilReady().types == ["C", "Z"])
            try #expect(client.receiveUntilReady().types == ["E", "Z"])
            try #expect(client.receiveUntilReady().types == ["1", "2", "D", "C", "Z"])
        }
    }

    /// Within one batch, too, and on a server that did not have them when the batch began.
    @Test(arguments: ["deallocate all", "discard all"], [Frontend.sync, []])
    func namesMeanNothingBehindTheirEnd(statement: String, between: [UInt8]) throws {
        let end = Frontend.parse("", statement) + Self.run("") + between
        let uses: [(messages: [UInt8], answer: String)] = [
            (Frontend.parse("", "execute q") + Self.run(""), "12E"),
            (Frontend.parse("", "execute s") + Self.run(""), "12E"),
            (Self.run("q"), "E"), (Self.run("s"), "E"), (Frontend.describe("S", "s"), "E"),
            (Frontend.close("S", "s"), "3"),
            (Frontend.parse("s", "select 2") + Self.run("s"), "12DC"),
            (Frontend.parse("q", "select 2") + Self.run("q"), "12DC"),
        ]
        try withPooler(["default_pool_size": "1"]) { pooler in
            for (messages, answer) in uses {
                for hasMoved in [false, true] {
                    let client = try pooler.rawLogin()
                    let start = Frontend.parse("s", "select 1") + Frontend.sync
                    try client.send(start + Frontend.query("prepare q as select 1"))
                    _ = try (0..<2).map { _ in try client.receiveUntilReady() }
                    if hasMoved { try pooler.console().query("reconnect") }
                    try client.send(end + messages + Frontend.sync)
                    var received = try client.receiveUntilReady()
                    if !between.isEmpty { received += try client.receiveUntilReady() }
                    let types = String(received.filter { $0.type != "S" }.types)
                    #expect(types == (between.isEmpty ? "12C" : "12CZ") + answer + "Z")
                    #expect(received.error.map { $0.sqlstate == "26000" } ?? true)
                    client.close()
                }
            }
            try #expect(pooler.show("PINS").isEmpty)
        }
    }

    /// SQL finds the client's statements behind the end of a failed transaction in the same batch.
    @Test func statementsAreThereAgainBehindTheEndOfAFailedTransaction() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.rawLogin()
            let execution = Frontend.parse("", "execute s") + Self.run("") + Frontend.sync
            let steps: [(bytes: [UInt8], answer: String)] = [
                (Frontend.parse("s", "select 1") + Frontend.sync, "1Z"),
                (Frontend.query("begin"), "CZ"), (Frontend.query("select 1/0"), "EZ"),
                (Frontend.parse("", "select 1") + Self.run("") + execution, "EZ"),
                (Frontend.parse("", "rollback") + Self.run("") + execution, "12C12DCZ"),
            ]
            for (bytes, answer) in steps {
                try client.send(bytes)
                try #expect(String(client.receiveUntilReady().types) == answer)
            }
        }
    }

    /// In a failed transaction PostgreSQL refuses every Parse; what it has prepared stays.
    @Test func aRefusedParseLosesNothing() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.rawLogin()
            func ask(_ bytes: [UInt8]) throws -> [Character] {
                try client.send(bytes)
                return try client.receiveUntilReady().types
            }
            _ = try ask(Frontend.parse("a", "select 41") + Frontend.sync)
            for end in [[], Frontend.parse("", "rollback") + Self.run("")] {
                _ = try ask(Frontend.query("begin"))
                _ = try ask(Frontend.query("select nonsense"))
                let isRefused = end.isEmpty
                let answer = try ask(end + Frontend.parse("b", "select 41") + Frontend.sync)
                #expect(answer == (isRefused ? ["E", "Z"] : ["1", "2", "C", "1", "Z"]))
                _ = try ask(Frontend.query("rollback"))
                try #expect(ask(Self.run("a") + Frontend.sync) == ["2", "D", "C", "Z"])
            }
        }
    }

    /// Preparing a client's statement again on another server fails: that is an ordinary error.
    @Test func aStatementThatNoLongerParsesIsAnError() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.rawLogin()
            func ask(_ bytes: [UInt8]) throws -> [Character] {
                try client.send(bytes)
                return try client.receiveUntilReady().types
            }
            _ = try ask(Frontend.query("create table reparsed (i int)"))
            _ = try ask(Frontend.parse("s", "select i from reparsed") + Frontend.sync)
            _ = try ask(Frontend.query("drop table reparsed"))
            try pooler.console().query("reconnect")
            for _ in 0..<2 { try #expect(ask(Self.run("s") + Frontend.sync) == ["E", "Z"]) }
        }
    }

    /// A client leaves while the unnamed statement, which it does not have, is being closed for it.
    @Test func leavingBehindABindOfNothing() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            for _ in 0..<20 {
                let client = try pooler.rawLogin()
                try client.send(Frontend.query("select pg_sleep(0.02)") + Self.run(""))
                pause(.milliseconds(5))
                client.close()
            }
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("select 1"))
            try #expect(client.receiveUntilReady().rows == [["1"]])
        }
    }

    /// Every way to cut a pipeline with errors and evictions in two gives the same answers.
    @Test func everyCutGivesTheSameAnswers() throws {
        let settings = ["default_pool_size": "1", "max_prepared_statements": "2"]
        try withPooler(settings) { pooler in
            var pipeline: [UInt8] = []
            for number in 0..<4 {
                pipeline += Frontend.parse("s\(number)", "select \(number) + $1::int")
                pipeline += Frontend.bind("s\(number)", ["10"]) + Frontend.execute()
            }
            pipeline += Frontend.sync + Frontend.bind("s1", ["x"]) + Frontend.execute()
            pipeline += Frontend.parse("t", "select 9") + Frontend.close("S", "s0") + Frontend.sync
            pipeline += Frontend.bind("s0", ["2"]) + Frontend.execute() + Frontend.close("S", "s0")
            pipeline += Frontend.parse("s0", "select 100") + Self.run("s0") + Frontend.sync
            pipeline += Self.run("t") + Frontend.sync
            let expected = "12DC12DC12DC12DCZEZ2DC312DCZEZ"
            for cut in 0..<pipeline.count {
                let client = try pooler.rawLogin()
                try client.send(Array(pipeline[..<cut]))
                if cut > 0 { pause(.milliseconds(2)) }
                try client.send(Array(pipeline[cut...]))
                let answers = try (0..<4).flatMap { _ in try client.receiveUntilReady() }
                #expect(String(answers.types) == expected, "cut at \(cut)")
                client.close()
            }
        }
    }
}
