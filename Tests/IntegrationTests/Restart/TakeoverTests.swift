// martlet -R: a new process takes over what the running one has, and clients notice nothing.

import Foundation
import Glibc
import TestSupport
import Testing

@Suite(.serialized) struct TakeoverTests {
    /// Several takeovers under load: no transaction fails, and the books balance.
    @Test(arguments: ["simple", "extended", "prepared"])
    func underLoad(mode: String) throws {
        let database = try LoadDatabase("takeover_\(mode)")
        try withPooler(
            ["default_pool_size": "4", "auth_type": "scram-sha-256"],
            databases: [database.name: ""]
        ) { pooler in
            try database.fill(pooler)
            let output = pooler.directory + "/pgbench"
            let load = try ChildProcess(
                ["pgbench", "-n", "-c", "12", "-j", "2", "-T", "600", "-M", mode],
                environment: database.environment(pooler),
                output: output
            )
            let client = try pooler.connect(database: database.name)
            func waitForLoad() throws {
                let before = try client.value("select count(*) from pgbench_history") ?? ""
                try eventually("the load goes on") {
                    let isMore = "select count(*) > \(before) + 50 from pgbench_history"
                    return try client.value(isMore) == "t"
                }
            }
            try waitForLoad()
            for _ in 0..<3 { try pooler.takeOver() }
            try waitForLoad()
            #expect(!load.hasExited)
            load.endPgbench()
            let status = try load.waitForExit(within: .patience)
            let text = try String(contentsOfFile: output, encoding: .utf8)
            #expect(status == .exited(0), "\(text)")
            #expect(text.contains("number of failed transactions: 0"))
            #expect(!text.contains("error"), "\(text)")
            let books = """
                select (select sum(bbalance) from pgbench_branches) = sum(delta)
                    and (select sum(tbalance) from pgbench_tellers) = sum(delta)
                    and (select sum(abalance) from pgbench_accounts) = sum(delta)
                    and count(*) > 100 from pgbench_history
                """
            try #expect(client.value(books) == "t")
            let servers = try pooler.show("SERVERS").filter { $0["database"] == database.name }
            #expect(servers.count <= 4)
        }
    }

    /// What a session has, it has after two takeovers; with other worker counts, too.
    @Test(arguments: [["1", "3"], ["3", "1"]])
    func sessionsGoOn(workerCounts: [String]) throws {
        try withPooler([
            "default_pool_size": "8", "workers": workerCounts[0], "isolate_custom_settings": "1",
        ]) { pooler in
            let setting = try pooler.connect(["options": "-c statement_timeout=77s"])
            try setting.query("set work_mem = '77MB'; set timezone = 'Asia/Tokyo'")
            try setting.query("set app.tenant = 'seven'")
            let preparing = try pooler.connect()
            _ = try preparing.prepare("seven", "select $1::int + 7")
            try #expect(preparing.executePrepared("seven", ["1"]).rows == [["8"]])
            try preparing.query("prepare sql_seven as select 77")
            let temporary = try pooler.connect()
            try temporary.query("create temporary table mine as select 7 as seven")
            let locking = try pooler.connect()
            try locking.query("select pg_advisory_lock(777)")
            let transaction = try pooler.connect()
            try transaction.query("begin; create table takeover_open (n int)")
            let process = try transaction.value("select pg_backend_pid()")
            let failed = try pooler.connect()
            try failed.query("begin")
            _ = try failed.execute("select 1/0")
            let ids = try pooler.show("CLIENTS").map { $0["id"] }

            for count in [workerCounts[1], workerCounts[0]] {
                try pooler.rewrite { $0.settings["workers"] = count }
                try pooler.takeOver()

                try #expect(setting.value("show work_mem") == "77MB")
                try #expect(setting.value("show timezone") == "Asia/Tokyo")
                try #expect(setting.value("show statement_timeout") == "77s")
                try #expect(setting.value("show app.tenant") == "seven")
                try #expect(preparing.executePrepared("seven", ["2"]).rows == [["9"]])
                try #expect(preparing.value("execute sql_seven") == "77")
                try #expect(temporary.value("select seven from mine") == "7")
                try #expect(transaction.value("select pg_backend_pid()") == process)
                try #expect(failed.execute("select 1").sqlstate == "25P02")
                let other = try pooler.connect()
                try #expect(other.value("select pg_try_advisory_lock(777)") == "f")
                try #expect(other.value("select current_setting('app.tenant', true)") == nil)
                try #expect(other.value("show statement_timeout") == "0")
                let pins = try pooler.show("PINS")
                #expect(pins.count == 2, "\(pins)")
            }
            let now = try pooler.show("CLIENTS").map { $0["id"] }
            #expect(ids.filter { now.contains($0) }.count >= 6)
            try setting.query("reset work_mem")
            try #expect(setting.value("show work_mem") == "4MB")
            try setting.query("reset all")
            try #expect(setting.value("show statement_timeout") == "77s")
            try transaction.query("insert into takeover_open values (1); commit")
            try #expect(setting.value("select count(*) from takeover_open") == "1")
            try setting.query("drop table takeover_open")
            try failed.query("rollback")
            try #expect(failed.value("select 1") == "1")
            try locking.query("select pg_advisory_unlock(777)")
        }
    }

    /// A query that runs is finished by the old process, and its client moves afterwards.
    @Test func aLongQueryIsFinished() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let slow = try pooler.connect()
            let gate = try Gate(pooler.server)
            try slow.send(gate.statement)
            try gate.waitForClients(1)
            let old = try pooler.startTakeover()
            eventually("the new process takes clients") {
                pooler.log.contains("has begun to take clients")
            }
            // It keeps to the limit that the old one's server counts for.
            let others = try pooler.connect(2)
            for other in others { try other.send("select pg_backend_pid()") }
            let pids = try others.map { try $0.receive().rows[0][0] }
            #expect(pids[0] == pids[1])
            // One after the other; and a signal does not hurry the old process.
            try #expect(pooler.takeOverInVain() == .exited(1))
            #expect(pooler.log.contains("a takeover is under way"))
            old.send(signal: SIGTERM)
            eventually("the old process has the signal") {
                pooler.log.contains("got SIGTERM")
            }
            #expect(!old.hasExited)
            try gate.open()
            try #expect(slow.receive().sqlstate == nil)
            let status = try old.waitForExit(within: .patience)
            #expect(status == .exited(0))
            try #expect(slow.value("select 1") == "1")
        }
    }

    /// A cancel request that the new process gets reaches the query that the old one still has, and
    /// a key of the old process means its client for ever.
    @Test func cancelRequestsFindTheirWay() throws {
        try withPooler { pooler in
            let slow = try pooler.connect()
            var gate = try Gate(pooler.server)
            try slow.send(gate.statement)
            try gate.waitForClients(1)
            let old = try pooler.startTakeover()
            eventually("the new process takes clients") {
                pooler.log.contains("has begun to take clients")
            }
            try slow.cancel()
            try #expect(slow.receive().sqlstate == "57014")
            let status = try old.waitForExit(within: .patience)
            #expect(status == .exited(0))
            gate = try Gate(pooler.server)
            try slow.send(gate.statement)
            try gate.waitForClients(1)
            try slow.cancel()
            try #expect(slow.receive().sqlstate == "57014")
        }
    }

    /// Clients in the queue keep their places, in the new process.
    @Test func waitingClientsMove() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let owner = try pooler.connect()
            try owner.query("begin")
            let waiting = try pooler.connect(3)
            for client in waiting { try client.send("select 1") }
            try pooler.waitForQueue(of: 3)
            try pooler.takeOver()
            try pooler.waitForQueue(of: 3)
            try owner.query("commit")
            for client in waiting { try #expect(client.receive().rows == [["1"]]) }
        }
    }

    /// Who listens goes on listening, and is told that something may have been missed meanwhile.
    @Test func listenersMove() throws {
        try withPooler { pooler in
            let client = ListeningClient(try pooler.rawLogin())
            try client.listen("news")
            for number in 1...2 {
                try pooler.takeOver()
                while client.notices.count < number { try client.receive() }
                #expect(client.notices.last?.message == "notifications may have been lost")
                try pooler.server.superuser(database: "app").query("notify news, '\(number)'")
                while client.waiting.count < number { try client.receive() }
                #expect(client.waiting.last?.notification == "news \(number)")
            }
        }
    }

    /// A client whose login waits for a server waits on in the new process.
    @Test func loginsMove() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let owner = try pooler.connect()
            try owner.query("begin")
            let late = try pooler.rawConnect()
            try late.send(
                Frontend.startup([
                    ("user", "app"), ("database", "app"), ("work_mem", "77MB"),
                ])
            )
            try pooler.waitForQueue(of: 1)
            try pooler.takeOver()
            try pooler.waitForQueue(of: 1)
            try owner.query("commit")
            try late.finishLogin()
            try late.send(Frontend.query("show work_mem"))
            try #expect(late.receiveUntilReady().rows == [["77MB"]])
        }
    }

    /// A configuration that cannot be used leaves the running process alone.
    @Test func aBadConfigurationChangesNothing() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query("begin")
            try pooler.overwrite(ini: "[pgbouncer]\nlisten_port = none\n")
            try #expect(pooler.takeOverInVain() == .exited(1))
            #expect(!pooler.hasExited)
            try client.query("commit")
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    /// The new process dies in the middle: the old one goes on with what it has.
    @Test func theNewProcessIsKilled() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let slow = try pooler.connect()
            let gate = try Gate(pooler.server)
            try slow.send(gate.statement)
            try gate.waitForClients(1)
            let old = try pooler.startTakeover()
            eventually("the new process takes clients") {
                pooler.log.contains("has begun to take clients")
            }
            pooler.send(signal: SIGKILL)
            _ = try pooler.waitForExit()
            pooler.goBack(to: old)
            eventually("the old process goes on") {
                pooler.log.contains("this one goes on")
            }
            try #expect(pooler.connect().value("select 1") == "1")
            try gate.open()
            try #expect(slow.receive().sqlstate == nil)
            try #expect(slow.value("select 1") == "1")
            try pooler.takeOver()
            try #expect(slow.value("select 1") == "1")
        }
    }

    /// What is paused stays so.
    @Test func pausesHold() throws {
        try withPooler { pooler in
            let console = try pooler.console()
            try console.query("pause app")
            let client = pooler.startConnecting()
            try pooler.takeOver()
            let newConsole = try pooler.console()
            let databases = try pooler.show("DATABASES")
            #expect(databases.first { $0["name"] == "app" }?["paused"] == "1")
            try newConsole.query("resume app")
            try client.finishConnecting()
            try #expect(client.value("select 1") == "1")
        }
    }

    @Test func onlyTheOwnerCanAskForIt() throws {
        try withPooler { pooler in
            let console = try pooler.console()
            let result = try console.execute("takeover")
            #expect(result.error?.message == "admin access needed")
        }
    }

    /// With -R and without anybody to take over from, a process starts as usual.
    @Test func withoutAProcessToTakeOver() throws {
        try withPooler { pooler in
            pooler.send(signal: SIGTERM)
            _ = try pooler.waitForExit()
            _ = try pooler.startTakeover()
            eventually("it has started") {
                pooler.log.contains("no process is running, starting normally")
                    && (try? pooler.connect().value("select 1")) == "1"
            }
        }
    }

    /// Without -R the Unix socket of a process that runs is left alone.
    @Test func withoutTheOptionTheSocketIsInUse() throws {
        try withPooler { pooler in
            let second = try run(Pooler.command + [pooler.directory + "/pooler.ini"])
            #expect(second.status == .exited(1))
            #expect(second.errors.contains("unix socket is in use, cannot continue"))
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }
}
