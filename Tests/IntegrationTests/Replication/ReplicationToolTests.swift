// PostgreSQL's own programs replicate through the pooler: backups, receivers, a subscription, a standby.

import Foundation
import Testing

extension ReplicationSuite {
    @Suite(.serialized) struct ReplicationToolTests {
        private static func withPooler(
            _ settings: [String: String] = [:],
            sourceLocation: SourceLocation = #_sourceLocation,
            _ body: (Pooler) throws -> Void
        ) throws {
            try IntegrationTests.withPooler(
                ["auth_type": "scram-sha-256"].merging(settings) { $1 },
                server: Replication.server.get(),
                sourceLocation: sourceLocation,
                body
            )
        }

        @Test func identifySystemInPsql() throws {
            try Self.withPooler { pooler in
                for kind in ["database", "true"] {
                    let outcome = try run(
                        ["psql", "-X", "-A", "-t", "replication=\(kind)", "-c", "IDENTIFY_SYSTEM"],
                        environment: Replication.environment(pooler)
                    )
                    #expect(outcome.succeeded, "\(outcome.errors)")
                    #expect(
                        outcome.output.split(separator: "|", omittingEmptySubsequences: false).count
                            == 4
                    )
                }
            }
        }

        @Test(arguments: ["stream", "fetch", "none"])
        func aBaseBackup(_ walMethod: String) throws {
            try Self.withPooler { pooler in
                let folder = try ScratchDirectory.make("backup")
                let outcome = try run(
                    ["pg_basebackup", "-D", folder, "-c", "fast", "-X", walMethod],
                    environment: Replication.environment(pooler)
                )
                #expect(outcome.succeeded, "\(outcome.errors)")
                #expect(Replication.files(in: folder).contains("backup_manifest"))
                if walMethod != "none" {
                    let check = try run([PostgresServer.binary("pg_verifybackup"), folder])
                    #expect(check.succeeded, "\(check.errors)")
                }
                try eventually("its servers are closed") {
                    try pooler.show("SERVERS").allSatisfy { $0["replication"] == "none" }
                }
            }
        }

        @Test(arguments: [true, false])
        func pgReceiveWAL(withSlot: Bool) throws {
            try Self.withPooler { pooler in
                let folder = try ScratchDirectory.make("received")
                let environment = Replication.environment(pooler)
                let slot = ["--slot", "receiving"]
                if withSlot {
                    let made = try run(
                        ["pg_receivewal", "--create-slot"] + slot,
                        environment: environment
                    )
                    #expect(made.succeeded, "\(made.errors)")
                }
                let receiver = try ChildProcess(
                    ["pg_receivewal", "-D", folder, "--no-loop", "-s", "1"]
                        + (withSlot ? slot : []),
                    environment: environment,
                    output: folder + "-log"
                )
                try eventually("it streams") {
                    try pooler.server.value("select state from pg_stat_replication") == "streaming"
                }
                try pooler.server.query("select pg_logical_emit_message(false, 'x', 'x')")
                try pooler.server.query("select pg_switch_wal()")
                eventually("a segment is complete") {
                    Replication.files(in: folder).contains { !$0.hasSuffix(".partial") }
                }
                #expect(receiver.stop(signal: SIGINT) == .exited(0))
                if withSlot {
                    let dropped = try run(
                        ["pg_receivewal", "--drop-slot"] + slot,
                        environment: environment
                    )
                    #expect(dropped.succeeded, "\(dropped.errors)")
                }
            }
        }

        @Test func pgRecvLogical() throws {
            try Self.withPooler { pooler in
                let folder = try ScratchDirectory.make("logical")
                let environment = Replication.environment(pooler)
                let common = ["pg_recvlogical", "--slot", "decoding", "-d", "app"]
                let made = try run(
                    common + ["--create-slot", "-P", "test_decoding"],
                    environment: environment
                )
                #expect(made.succeeded, "\(made.errors)")
                try pooler.server.query("create table if not exists decoded (n int)")
                let receiver = try ChildProcess(
                    common + [
                        "--start", "--no-loop", "-f", folder + "/changes", "-F", "1", "-s", "1",
                    ],
                    environment: environment,
                    output: folder + "/log"
                )
                let writer = try pooler.connect(user: "postgres")
                for number in 1...50 { try writer.query("insert into decoded values (\(number))") }
                eventually("all changes arrive") {
                    let text = try? String(contentsOfFile: folder + "/changes", encoding: .utf8)
                    return text?.contains("INSERT: n[integer]:50") == true
                }
                let text = try String(contentsOfFile: folder + "/changes", encoding: .utf8)
                #expect(text.split(separator: "INSERT: n[integer]:").count == 51)
                #expect(receiver.stop(signal: SIGINT) == .exited(0))
                let dropped = try run(common + ["--drop-slot"], environment: environment)
                #expect(dropped.succeeded, "\(dropped.errors)")
            }
        }

        /// A subscription in the same cluster, whose slot is made beforehand: it could not be made while
        /// CREATE SUBSCRIPTION is a transaction that the slot waits for.
        @Test func aSubscription() throws {
            try Self.withPooler { pooler in
                let (source, target) = (
                    try pooler.server.superuser(), try pooler.server.superuser(database: "other")
                )
                defer {
                    source.close()
                    target.close()
                }
                try source.query("create table subscribed (n int primary key, word text)")
                try source.query(
                    "insert into subscribed select g, 'old' from generate_series(1, 500) g"
                )
                try source.query("create publication everything for table subscribed")
                try source.query(
                    "select pg_create_logical_replication_slot('subscribed', 'pgoutput')"
                )
                try target.query("create table subscribed (n int primary key, word text)")
                try target.query(
                    """
                    create subscription copying connection
                        '\(Replication.connectionString(pooler)) dbname=app'
                        publication everything with (slot_name = subscribed, create_slot = false)
                    """
                )
                let copied = "select count(*) filter (where word = 'old') from subscribed"
                try eventually("the table is copied") { try target.value(copied) == "500" }
                try source.query(
                    "insert into subscribed select g, 'new' from generate_series(501, 900) g"
                )
                try source.query("update subscribed set word = 'changed' where n <= 10")
                try source.query("delete from subscribed where n = 900")
                let sum =
                    "select count(*) || ' ' || count(*) filter (where word = 'changed') from subscribed"
                try eventually("changes follow") { try target.value(sum) == "899 10" }
                try #expect(pooler.show("SERVERS").contains { $0["replication"] == "logical" })
                // The subscription is dropped over such a connection, too, and its slot with it.
                try target.query("drop subscription copying")
                try #expect(
                    source.value(
                        "select count(*) from pg_replication_slots where slot_name = 'subscribed'"
                    )
                        == "0"
                )
                try source.query("drop publication everything; drop table subscribed")
                try target.query("drop table subscribed")
            }
        }

        @Test func aStandby() throws {
            try Self.withPooler { pooler in
                let server = pooler.server
                try server.query("create table if not exists standing_by (n int)")
                let standby = try Standby(of: pooler, slot: "standby")
                defer { standby.stop() }
                eventually("the standby answers") { standby.value("select 1") == "1" }
                #expect(standby.value("select pg_is_in_recovery()") == "t")
                try server.query("insert into standing_by select generate_series(1, 1000)")
                eventually("it follows") {
                    standby.value("select count(*) from standing_by") == "1000"
                }
                #expect(standby.value("select status from pg_stat_wal_receiver") == "streaming")
                try #expect(pooler.show("SERVERS").contains { $0["replication"] == "physical" })
                // It comes again by itself.
                try #expect(pooler.console().execute("RECONNECT").error == nil)
                try server.query("insert into standing_by select generate_series(1, 1000)")
                eventually("it follows again") {
                    standby.value("select count(*) from standing_by") == "2000"
                }
                standby.stop()
                try eventually("its slot is free") {
                    let free =
                        "select not active from pg_replication_slots where slot_name = 'standby'"
                    return try server.value(free) == "t"
                }
                try server.query("select pg_drop_replication_slot('standby')")
            }
        }
    }
}
