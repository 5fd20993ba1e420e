// Replication connections as clients of the pooler see them: a server of one's own, whose bytes pass.

import CLibpq
import Foundation
import Testing

extension ReplicationSuite {
    @Suite(.serialized) struct ReplicationTests {
        private static func withPooler(
            _ settings: [String: String] = [:],
            databases: [String: String] = [:],
            sourceLocation: SourceLocation = #_sourceLocation,
            _ body: (Pooler) throws -> Void
        ) throws {
            try IntegrationTests.withPooler(
                settings,
                databases: databases,
                server: Replication.server.get(),
                sourceLocation: sourceLocation,
                body
            )
        }

        private static func replicate(
            _ pooler: Pooler,
            _ kind: String = "database",
            _ more: [String: String] = [:]
        ) throws -> Connection {
            try pooler.connect(user: "postgres", ["replication": kind].merging(more) { $1 })
        }

        /// A raw client with a server of its own.
        private static func rawReplicate(_ pooler: Pooler, _ kind: String) throws -> RawClient {
            let client = try pooler.rawConnect()
            let parameters = [
                ("user", "postgres"), ("database", "app"), ("replication", kind),
            ]
            try client.send(Frontend.startup(parameters))
            try client.finishLogin()
            return client
        }

        /// How many WAL senders and other sessions of the pooler the server has.
        private static func sessionCount(_ pooler: Pooler) throws -> String? {
            try pooler.server.value(
                """
                select count(*) from pg_stat_activity where pid <> pg_backend_pid()
                    and backend_type in ('client backend', 'walsender')
                """
            )
        }

        // MARK: Login

        /// In an HBA file `replication` means physical connections, and `all` does not.
        @Test func rulesForReplication() throws {
            let rules = try ScratchFile(
                "hba.conf",
                """
                host replication postgres 127.0.0.1/32 reject
                host all         all      127.0.0.1/32 trust
                """
            )
            let settings = ["auth_type": "hba", "auth_hba_file": rules.path]
            try Self.withPooler(settings) { pooler in
                func failure(_ kind: String) throws -> String? {
                    try pooler.loginFailure(user: "postgres", ["replication": kind])
                }
                try #expect(failure("database") == nil)
                try #expect(failure("true") != nil)
                try rules.write(
                    """
                    host replication postgres 127.0.0.1/32 trust
                    host all         admin    127.0.0.1/32 trust
                    """
                )
                try pooler.console().query("RELOAD")
                try #expect(failure("true") == nil)
                try #expect(failure("database") != nil)
            }
        }

        @Test(arguments: ["database", "true", "1", "ON", "yes", "t"])
        func aClientThatAsksForReplicationGetsIt(_ kind: String) throws {
            try Self.withPooler { pooler in
                let client = try Self.replicate(
                    pooler,
                    kind,
                    ["application_name": "rep", "options": "-c enable_seqscan=off -c work_mem=7MB"]
                )
                let row = try client.query("IDENTIFY_SYSTEM").first ?? []
                #expect(row.count == 4)
                #expect((row.last ?? nil) == (kind == "database" ? "app" : nil))
                try #expect(client.value("SHOW application_name") == "rep")
                try #expect(client.value("SHOW enable_seqscan") == "off")
                try #expect(client.value("SHOW work_mem") == "7MB")
                #expect(client.parameter("application_name") == "rep")
                let expected = kind == "database" ? "logical" : "physical"
                for table in ["CLIENTS", "SERVERS"] {
                    let rows = try pooler.show(table).filter { $0["user"] == "postgres" }
                    #expect(rows.map { $0["replication"] } == [expected])
                    #expect(rows.map { $0["state"] } == ["active"])
                    #expect(rows.map { $0["application_name"] } == ["rep"])
                }
            }
        }

        @Test(arguments: ["0", "false", "n", "off"])
        func aClientThatDoesNotGetsAnyServer(_ kind: String) throws {
            try Self.withPooler { pooler in
                let client = try Self.replicate(pooler, kind)
                try #expect(client.value("select 1") == "1")
                try #expect(pooler.show("SERVERS").map { $0["replication"] } == ["none"])
            }
        }

        @Test func theErrorsArePostgreSQLs() throws {
            try Self.withPooler { pooler in
                for (user, kind) in [("app", "database"), ("app", "true"), ("postgres", "maybe")] {
                    let words = { (port: Int) -> String in
                        do {
                            var parameters = pooler.parameters(user: user)
                            parameters["port"] = String(port)
                            parameters["replication"] = kind
                            try Connection(parameters).close()
                            return "none"
                        } catch let failure as ConnectionFailed {
                            // Without the place in PostgreSQL's source.
                            let error = failure.description.split(separator: "FATAL:").last ?? ""
                            return String(error.prefix { $0 != "\n" })
                        }
                    }
                    let (ours, theirs) = (try words(pooler.port), try words(pooler.server.port))
                    #expect(ours == theirs)
                    // Other clients of the pool have nothing to do with it.
                    try #expect(pooler.connect(user: user).value("select 1") == "1")
                }
            }
        }

        /// A physical connection has no database: PostgreSQL's tools call it `replication`.
        @Test func aPhysicalConnectionNeedsNoEntryOfItsOwn() throws {
            try Self.withPooler { pooler in
                let client = try pooler.connect(
                    user: "postgres",
                    database: "replication",
                    ["replication": "true"]
                )
                try #expect(client.query("IDENTIFY_SYSTEM").count == 1)
                let failure = try pooler.loginFailure(
                    user: "postgres",
                    database: "replication",
                    ["replication": "database"]
                )
                #expect(failure?.contains("no such database: replication") == true)
            }
        }

        // MARK: A server of one's own

        @Test(arguments: ["database", "true"])
        func itsServerGoesWithTheClient(_ kind: String) throws {
            try Self.withPooler(["pool_mode": "transaction"]) { pooler in
                let ordinary = try pooler.connect(user: "postgres")
                try #expect(ordinary.value("select 1") == "1")
                let before = try Self.sessionCount(pooler)
                let polite = try Self.replicate(pooler, kind)
                let rude = try Self.replicate(pooler, kind)
                try #expect(polite.query("IDENTIFY_SYSTEM").count == 1)
                try #expect(rude.query("IDENTIFY_SYSTEM").count == 1)
                try #expect(pooler.pool(user: "postgres")["sv_active"] == "2")
                polite.close()
                rude.vanish()
                try eventually("its servers are closed") { try Self.sessionCount(pooler) == before }
                try #expect(ordinary.value("select 1") == "1")
                try eventually("the books balance") {
                    let pool = try pooler.pool(user: "postgres")
                    return pool["sv_active"] == "0" && pool["cl_active"] == "1"
                }
                #expect(pooler.log.contains("closing because: replication client was closed"))
            }
        }

        /// SQL on a logical connection: a session of one's own, in which nothing is tracked.
        @Test func aLogicalConnectionIsASession() throws {
            try Self.withPooler(["default_pool_size": "3"]) { pooler in
                let client = try Self.replicate(pooler)
                let process = try client.value("select pg_backend_pid()")
                try client.query("set app.x = '1'")
                try client.query("create temp table t as select 1 as n")
                try client.query("begin")
                try client.query("select 1")
                try client.query("commit")
                for _ in 0..<3 {
                    try #expect(client.value("select current_setting('app.x')") == "1")
                }
                try #expect(client.value("select n from t") == "1")
                try #expect(client.value("select pg_backend_pid()") == process)
                try #expect(client.execute("select 1/0").error?.sqlstate == "22012")
                try #expect(pooler.show("PINS").isEmpty)
            }
        }

        @Test func theyCountForThePool() throws {
            try Self.withPooler(["default_pool_size": "2"]) { pooler in
                let first = try Self.replicate(pooler)
                let second = try Self.replicate(pooler, "true")
                let third = pooler.startConnecting(user: "postgres", ["replication": "database"])
                try? third.finishConnecting(within: .milliseconds(300))
                try pooler.waitForQueue(of: 1, user: "postgres")
                try #expect(
                    pooler.show("CLIENTS").filter { $0["state"] == "waiting" }.map {
                        $0["replication"]
                    }
                        == ["logical"]
                )
                // Nor is there a server for anybody else.
                let ordinary = pooler.startConnecting(user: "postgres")
                try? ordinary.finishConnecting(within: .milliseconds(300))
                try pooler.waitForQueue(of: 2, user: "postgres")
                first.close()
                try third.finishConnecting()
                try #expect(third.value("select 3") == "3")
                second.close()
                try ordinary.finishConnecting()
                try #expect(ordinary.value("select 4") == "4")
            }
        }

        @Test(arguments: [
            ["default_pool_size": "2"], ["default_pool_size": "20", "max_db_connections": "2"],
            ["default_pool_size": "20", "max_user_connections": "2"],
        ])
        func oneFreeServerMakesRoom(_ settings: [String: String]) throws {
            try Self.withPooler(settings) { pooler in
                let clients = [
                    try pooler.connect(user: "postgres"), try pooler.connect(user: "postgres"),
                ]
                for client in clients { try client.send("begin; select 1") }
                for client in clients { try #expect(client.receive().error == nil) }
                for client in clients { try client.query("commit") }
                let before = try Self.sessionCount(pooler)
                let replicating = try Self.replicate(pooler)
                try #expect(replicating.value("select 1") == "1")
                let evictions = pooler.log.split(separator: "closing because: evicted").count - 1
                #expect(evictions == 1)
                try #expect(Self.sessionCount(pooler) == before)
                try #expect(clients[0].value("select 1") == "1")
            }
        }

        /// Clients that have waited longer are served first, those that came later are not.
        @Test func aBusyPoolMakesRoomInTurn() throws {
            try Self.withPooler(["default_pool_size": "1"]) { pooler in
                let busy = try pooler.connect(user: "postgres")
                let (earlier, later) = (
                    try pooler.connect(user: "postgres"), try pooler.connect(user: "postgres")
                )
                try busy.query("begin")
                try earlier.send("begin; select 'earlier'")
                try pooler.waitForQueue(of: 1, user: "postgres")
                let replicating = pooler.startConnecting(user: "postgres", ["replication": "true"])
                try? replicating.finishConnecting(within: .milliseconds(100))
                try pooler.waitForQueue(of: 2, user: "postgres")
                try later.send("select 'later'")
                try pooler.waitForQueue(of: 3, user: "postgres")
                try busy.query("commit")
                try #expect(earlier.receive().value == "earlier")
                try earlier.query("commit")
                try replicating.finishConnecting()
                try #expect(replicating.query("IDENTIFY_SYSTEM").count == 1)
                try #expect(later.isWaiting())
                replicating.close()
                try #expect(later.receive().value == "later")
            }
        }

        // MARK: Streams

        /// Everything about a stream: it begins, lasts over the pooler's timeouts, and ends from our side.
        @Test func aLogicalStreamLastsUntilItIsEnded() throws {
            let settings = [
                "query_timeout": "1", "client_idle_timeout": "1", "transaction_timeout": "1",
                "server_idle_timeout": "1", "server_lifetime": "1",
            ]
            try Self.withPooler(settings) { pooler in
                let server = pooler.server
                try server.query("create table if not exists streamed (n int)")
                let client = try Self.rawReplicate(pooler, "database")
                let create = "CREATE_REPLICATION_SLOT streaming TEMPORARY LOGICAL test_decoding"
                try client.send(Frontend.query(create))
                try #expect(client.receiveUntilReady().error == nil)
                try client.send(Frontend.query("START_REPLICATION SLOT streaming LOGICAL 0/0"))
                try #expect(client.receive(until: "W").types == ["W"])
                pause(.seconds(2))
                try server.query("insert into streamed values (42)")
                var changes = ""
                while !changes.contains("COMMIT") {
                    let message = try client.receive()
                    #expect(message.type == "d")
                    if message.body.first == UInt8(ascii: "w") {
                        changes += String(decoding: message.body.dropFirst(25), as: UTF8.self)
                    }
                }
                #expect(changes.contains("table public.streamed: INSERT: n[integer]:42"))
                try #expect(pooler.show("SERVERS").map { $0["state"] } == ["active"])
                try client.send(Frontend.message("c"))
                let end = try client.receiveUntilReady().filter { $0.type != "d" }
                #expect(end.types == ["c", "C", "C", "Z"])
                try client.send(Frontend.query("select 'still here'"))
                try #expect(client.receiveUntilReady().rows == [["still here"]])
            }
        }

        /// What is sent to a client that does not read is bounded, and nothing of it is lost.
        @Test(arguments: [1, 3])
        func aSlowReaderSlowsItsStreamOnly(workers: Int) throws {
            try Self.withPooler(["workers": String(workers)]) { pooler in
                let server = pooler.server
                let client = try pooler.rawConnect()
                client.limitReceiveBuffer(65_536)
                try client.send(
                    Frontend.startup([
                        ("user", "postgres"), ("database", "app"), ("replication", "true"),
                    ])
                )
                try client.finishLogin()
                // What is written but not flushed yet cannot be asked for.
                let start = try server.value("select pg_current_wal_flush_lsn()") ?? ""
                try client.send(Frontend.query("START_REPLICATION PHYSICAL \(start)"))
                _ = try client.receive(until: "W")
                let before = pooler.residentBytes
                try server.query(
                    "select pg_logical_emit_message(false, 'x', repeat('x', 60000000))"
                )
                let end = try server.value("select pg_current_wal_insert_lsn()") ?? ""
                // All of it is flushed, so that it can be sent.
                try server.query("select pg_switch_wal()")
                eventually("the stream is stuck") { !client.isSilent(for: .milliseconds(100)) }
                pause(.milliseconds(700))
                #expect(pooler.residentBytes - before < 8 << 20)
                // Others go on.
                try #expect(pooler.connect(user: "postgres").value("select 1") == "1")
                let distance = try server.value("select pg_wal_lsn_diff('\(end)', '\(start)')")
                let wanted = Int(Double(distance ?? "") ?? 0)
                #expect(wanted > 60_000_000)
                var received = 0
                while received < wanted {
                    let message = try client.receive()
                    #expect(message.type == "d")
                    if message.body.first == UInt8(ascii: "w") {
                        received += message.body.count - 25
                    }
                }
                #expect(pooler.residentBytes - before < 8 << 20)
            }
        }

        @Test func theEndOfTheServerIsHeard() throws {
            try Self.withPooler { pooler in
                let client = try Self.rawReplicate(pooler, "true")
                try client.send(Frontend.query("IDENTIFY_SYSTEM"))
                let row = try client.receiveUntilReady().rows.first
                let position = row.flatMap { $0[2] } ?? ""
                try client.send(Frontend.query("START_REPLICATION PHYSICAL \(position)"))
                _ = try client.receive(until: "W")
                try pooler.server.query(
                    "select pg_terminate_backend(pid) from pg_stat_replication"
                )
                let end = try client.receiveUntilClosed().filter { $0.type != "d" }
                #expect(end.types == ["E"])
                #expect(end.error?.sqlstate == "57P01")
                try eventually("nothing is left") {
                    try pooler.pool(user: "postgres")["cl_active"] == "0"
                }
            }
        }

        @Test func aCancelRequestReachesIt() throws {
            try Self.withPooler { pooler in
                let client = try Self.replicate(pooler)
                try client.send("select pg_sleep(60)")
                try #expect(client.isWaiting())
                try client.cancel()
                try #expect(client.receive().error?.sqlstate == "57014")
            }
        }

        // MARK: The operator

        /// A stream would last for ever: what is to be replaced is closed, and the client comes again.
        @Test(arguments: ["RECONNECT", "KILL app", "KILL_CLIENT"])
        func theOperatorEndsStreams(_ command: String) throws {
            try Self.withPooler { pooler in
                let client = try Self.rawReplicate(pooler, "database")
                let number = try pooler.show("CLIENTS").first { $0["replication"] == "logical" }?[
                    "id"
                ]
                let console = try pooler.console()
                let text = command == "KILL_CLIENT" ? "\(command) \(number ?? "")" : command
                try #expect(console.execute(text).error == nil)
                let words = try client.receiveUntilClosed().error?.message
                let expected = [
                    "RECONNECT": "database configuration changed", "KILL app": "database removed",
                    "KILL_CLIENT": "admin forced disconnect",
                ]
                #expect(words == expected[command])
                try #expect(console.execute("WAIT_CLOSE").error == nil)
                try eventually("its server is closed") {
                    try pooler.show("SERVERS").isEmpty
                }
            }
        }

        @Test func aPauseWaitsForStreams() throws {
            try Self.withPooler { pooler in
                let client = try Self.replicate(pooler)
                let console = try pooler.console()
                try console.send("PAUSE")
                try #expect(console.isWaiting())
                try #expect(client.value("select 1") == "1")
                let next = pooler.startConnecting(user: "postgres", ["replication": "database"])
                try? next.finishConnecting(within: .milliseconds(200))
                try pooler.waitForQueue(of: 1, user: "postgres")
                client.close()
                try #expect(console.receive().error == nil)
                try #expect(console.execute("RESUME").error == nil)
                try next.finishConnecting()
                try #expect(next.value("select 2") == "2")
            }
        }

        @Test func whoWaitsForTooLongIsTold() throws {
            try Self.withPooler(["default_pool_size": "1", "query_wait_timeout": "1"]) { pooler in
                _ = try Self.replicate(pooler)
                let failure = try pooler.loginFailure(user: "postgres", ["replication": "database"])
                #expect(failure?.contains("query_wait_timeout") == true)
            }
        }

        @Test func anEmptyServerIsToldAtOnce() throws {
            let gone = "host=127.0.0.1 port=\(Ports.free()) dbname=app"
            try Self.withPooler(databases: ["gone": gone]) { pooler in
                let failure = try pooler.loginFailure(
                    user: "postgres",
                    database: "gone",
                    ["replication": "database"]
                )
                #expect(failure?.contains("connect failed") == true)
            }
        }

        /// connect_query runs where SQL is understood.
        @Test func connectQuery() throws {
            let server = try Replication.server.get()
            let entry =
                "host=127.0.0.1 port=\(server.port) dbname=app connect_query='set work_mem = ''9MB'''"
            try Self.withPooler(databases: ["app": entry]) { pooler in
                try #expect(Self.replicate(pooler).value("show work_mem") == "9MB")
                try #expect(Self.replicate(pooler, "true").value("SHOW work_mem") == "4MB")
            }
        }
    }
}
