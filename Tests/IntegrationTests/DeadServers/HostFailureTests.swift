// Databases with several hosts of which one fails, and hosts that fail alone: how long clients wait until
// they are served or told, and that nobody is told anything while another host works.

import Foundation
import Testing

@Suite(.serialized) struct HostFailureTests {
    /// How a host can fail.
    enum Failure: CaseIterable {
        case refusing
        /// It accepts, and never says anything.
        case silent
        /// Its queue of connections is full.
        case full
    }

    private static let modes = ["round-robin", "disable"]

    /// A port at which two hosts can listen.
    private static func withTwoHosts(
        _ settings: [String: String] = [:],
        mode: String = "round-robin",
        names: String = "127.0.0.2,127.0.0.3",
        _ body: (Pooler, HostProxy, HostProxy) throws -> Void
    ) throws {
        let (server, port) = (try PostgresServer.shared.get(), Ports.free())
        let first = try HostProxy("127.0.0.2", port: port, to: server.port)
        let second = try HostProxy("127.0.0.3", port: port, to: server.port)
        defer {
            first.refuse()
            second.refuse()
        }
        let entry = "host=\(names) port=\(port) dbname=app load_balance_hosts=\(mode)"
        try withPooler(settings, databases: ["app": entry]) { try body($0, first, second) }
    }

    /// What a new client is told, at login or with its first query; nil when all is well.
    private static func failure(_ pooler: Pooler) throws -> String? {
        if let failure = try pooler.loginFailure() { return failure }
        let client = try Connection(pooler.parameters())
        defer { client.close() }
        return try client.execute("select 1").error?.description
    }

    /// One of two hosts has never been there: nobody is told of it, whatever else is in the pool.
    @Test(arguments: modes, Failure.allCases)
    func aDeadHostBesideOneThatWorks(mode: String, failure: Failure) throws {
        try Self.withTwoHosts(mode: mode, names: "127.0.0.4,127.0.0.3") { pooler, _, second in
            var full: FullBacklog?
            var dead: HostProxy?
            switch failure {
            case .refusing: break
            case .full: full = try FullBacklog("127.0.0.4", port: second.port)
            case .silent:
                dead = try HostProxy("127.0.0.4", port: second.port, to: pooler.server.port)
                dead?.fallSilent()
            }
            defer { dead?.refuse() }
            let time = try duration {
                let clients = (0..<12).map { _ in pooler.startConnecting() }
                for client in clients { try client.finishConnecting() }
                for client in clients { try client.send("begin; select 1") }
                for client in clients { try #expect(client.receive().error == nil) }
                for client in clients { try client.query("commit") }
            }
            print("dead beside one that works: \(mode) \(failure): \(time)")
            #expect(time < (failure == .refusing ? .seconds(5) : .seconds(12)))
            withExtendedLifetime(full) {}
        }
    }

    /// The host in use goes; the other one takes over, and back again.
    @Test(arguments: modes)
    func theOtherHostTakesOver(mode: String) throws {
        try Self.withTwoHosts(mode: mode) { pooler, first, second in
            let clients = try pooler.connect(4)
            for client in clients { try client.query("select 1") }
            for leaving in [first, second, first] {
                leaving.refuse()
                try eventually("its servers have gone") {
                    try pooler.show("SERVERS").allSatisfy { $0["addr"] != leaving.address }
                }
                for client in clients {
                    try #expect(client.value("select 1") == "1")
                }
                let newcomer = try pooler.connect()
                try #expect(newcomer.value("select 1") == "1")
                newcomer.close()
                try leaving.start()
                try #expect(clients[0].value("select 2") == "2")
                // For so long its failure would count.
                pause(.milliseconds(200))
            }
        }
    }

    /// Replication has a server of its own, and hosts of the same list.
    @Test func replicationFindsTheOtherHost() throws {
        try Self.withTwoHosts(names: "127.0.0.4,127.0.0.3") { pooler, _, _ in
            for _ in 0..<4 {
                let client = try pooler.connect(user: "postgres", ["replication": "database"])
                try #expect(client.execute("IDENTIFY_SYSTEM").error == nil)
                client.close()
            }
        }
    }

    /// `localhost` may be two addresses, of which one refuses.
    @Test func aNameWithAnAddressThatRefuses() throws {
        let server = try PostgresServer.shared.get()
        let entry = "host=localhost port=\(server.port) dbname=app"
        try withPooler(databases: ["app": entry]) { pooler in
            let clients = (0..<8).map { _ in pooler.startConnecting() }
            for client in clients {
                try client.finishConnecting()
                try #expect(client.value("select 1") == "1")
            }
        }
    }

    /// All hosts are gone: clients are told soon, and served soon when one is back.
    @Test func allHostsAreGone() throws {
        try Self.withTwoHosts(["server_login_retry": "1"]) { pooler, first, second in
            try pooler.connect().query("select 1")
            first.refuse()
            second.refuse()
            let time = try duration {
                try #expect(Self.failure(pooler)?.contains("08P01") == true)
            }
            #expect(time < .seconds(3))
            try second.start()
            let recovery = try duration {
                try eventually("somebody is served") { try Self.failure(pooler) == nil }
            }
            #expect(recovery < .seconds(5))
        }
    }

    /// A host alone that does not answer: its clients are told after server_connect_timeout.
    @Test(arguments: [Failure.silent, .full])
    func aHostAloneThatDoesNotAnswer(failure: Failure) throws {
        let port = Ports.free()
        let full = failure == .full ? try FullBacklog("127.0.0.4", port: port) : nil
        let silent =
            failure == .silent
            ? try HostProxy("127.0.0.4", port: port, to: PostgresServer.shared.get().port) : nil
        silent?.fallSilent()
        defer { silent?.refuse() }
        let settings = ["server_connect_timeout": "2"]
        let entry = "host=127.0.0.4 port=\(port) dbname=app"
        try withPooler(settings, databases: ["app": entry]) { pooler in
            let time = try duration {
                let failure = try pooler.loginFailure() ?? ""
                #expect(failure.contains("connect timeout"))
            }
            #expect(time > .milliseconds(1900))
            #expect(time < .seconds(10))
            withExtendedLifetime(full) {}
        }
    }
}
