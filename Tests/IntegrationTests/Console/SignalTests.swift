// Signals do what PgBouncer's do.

import CLibpq
import Glibc
import Testing

@Suite struct SignalTests {
    @Test func hangupReloads() throws {
        try withPooler { pooler in
            try pooler.rewrite { $0.settings["query_wait_timeout"] = "33" }
            pooler.send(signal: SIGHUP)
            try eventually("the new value counts") {
                try pooler.show("CONFIG").contains {
                    $0["key"] == "query_wait_timeout" && $0["value"] == "33"
                }
            }
        }
    }

    @Test func hangupWithABrokenFileChangesNothing() throws {
        try withPooler(["query_wait_timeout": "7"]) { pooler in
            let text = pooler.configuration.iniText
                .replacing("query_wait_timeout = 7", with: "query_wait_timeout = 8")
            try pooler.overwrite(ini: text + "\nno_such_key = 1\n")
            pooler.send(signal: SIGHUP)
            eventually("the log names the key") { pooler.log.contains("no_such_key") }
            let row = try pooler.show("CONFIG").first { $0["key"] == "query_wait_timeout" }
            #expect(row?["value"] == "7")
        }
    }

    @Test func userSignalsPauseAndResume() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query("select 1")
            pooler.send(signal: SIGUSR1)
            try eventually("paused") {
                try pooler.show("STATE").contains { $0["key"] == "paused" && $0["value"] == "yes" }
            }
            try client.send("select 1")
            try #expect(client.isWaiting())
            pooler.send(signal: SIGUSR2)
            try #expect(client.receive().value == "1")
        }
    }

    @Test func terminateWaitsForClients() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            pooler.send(signal: SIGTERM)
            eventually("nobody new comes in") { (try? RawClient(port: pooler.port)) == nil }
            try #expect(client.value("select 1") == "1")
            #expect(!pooler.hasExited)
            client.close()
            try #expect(pooler.waitForExit() == .exited(0))
        }
    }

    @Test func aSecondTerminateEndsAtOnce() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query("begin")
            pooler.send(signal: SIGTERM)
            eventually("the first is seen") { (try? RawClient(port: pooler.port)) == nil }
            pooler.send(signal: SIGTERM)
            try #expect(pooler.waitForExit() == .exited(0))
        }
    }

    @Test func interruptWaitsForServers() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            let idle = try pooler.rawLogin()
            try client.query("begin")
            pooler.send(signal: SIGINT)
            eventually("nobody new comes in") { (try? RawClient(port: pooler.port)) == nil }
            try #expect(client.value("select 1") == "1")
            try idle.send(Frontend.query("select 1"))
            try #expect(idle.receiveUntilClosed().error?.message == "server shutting down")
            #expect(!pooler.hasExited)
            try client.query("commit")
            try #expect(pooler.waitForExit() == .exited(0))
        }
    }

    @Test func quitEndsAtOnce() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query("begin")
            pooler.send(signal: SIGQUIT)
            try #expect(pooler.waitForExit() == .exited(0))
        }
    }

    @Test func brokenPipesAreIgnored() throws {
        try withPooler { pooler in
            pooler.send(signal: SIGPIPE)
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }
}
