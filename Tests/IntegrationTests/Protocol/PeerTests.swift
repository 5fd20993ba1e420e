// Several poolers behind one address: a cancel request reaches its query whichever of them gets it.

import Foundation
import Testing

@Suite struct PeerTests {
    /// Two poolers that know one another as 1 and 2.
    ///
    /// - Parameters:
    ///   - address: what [peers] says of a pooler.
    private static func withPeers(
        _ settings: [String: String] = [:],
        sharingAPort: Bool = false,
        address: (Pooler) -> String = { "host=\($0.directory) port=\($0.port)" },
        _ body: (Pooler, Pooler) throws -> Void
    ) throws {
        var settings = settings
        if sharingAPort {
            settings["so_reuseport"] = "1"
            settings["listen_port"] = String(Ports.free())
        }
        try withPooler(settings.merging(["peer_id": "1"]) { $1 }) { first in
            try withPooler(settings.merging(["peer_id": "2"]) { $1 }) { second in
                for pooler in [first, second] {
                    eventually("the pooler listens") { pooler.log.contains("process up") }
                    try pooler.rewrite {
                        $0.peers = ["1": address(first), "2": address(second)]
                    }
                    let console = try pooler.connect(
                        user: "admin",
                        database: "pgbouncer",
                        ["host": pooler.directory]
                    )
                    try console.query("RELOAD")
                    console.close()
                }
                try body(first, second)
            }
        }
    }

    /// Has a client run a statement that waits, and cancels it by way of another pooler.
    private static func cancel(_ client: RawClient, _ server: PostgresServer, by other: Pooler)
        throws
    {
        let gate = try Gate(server)
        try client.send(Frontend.query(gate.statement))
        try gate.waitForClients(1)
        let request = try other.rawConnect()
        try request.send(
            Frontend.cancel(processID: client.processID, secretKey: client.secretKey)
        )
        try #expect(client.receiveUntilReady().error?.sqlstate == "57014")
        #expect(request.isClosed())
    }

    /// The kernel chooses which process gets the connection with the request.
    @Test func poolersThatShareAPortCancelForOneAnother() throws {
        try Self.withPeers(sharingAPort: true) { first, second in
            let gate = try Gate(first.server)
            for round in 0..<50 {
                let client = try first.connect()
                try client.send(gate.statement)
                try gate.waitForClients(1)
                try client.cancel()
                try #expect(client.receive().sqlstate == "57014", "round \(round)")
                client.close()
            }
            let passedOn = [first, second].map { pooler in
                pooler.log.components(separatedBy: "new connection to server (from unix").count - 1
            }
            #expect(passedOn.allSatisfy { $0 > 0 }, "passed on: \(passedOn)")
        }
    }

    @Test(arguments: ["unix", "127.0.0.1", "localhost"])
    func aRequestIsPassedOn(host: String) throws {
        let address = { (pooler: Pooler) in
            "host=\(host == "unix" ? pooler.directory : host) port=\(pooler.port)"
        }
        try Self.withPeers(address: address) { first, second in
            let client = try first.rawLogin()
            let others = try (0..<5).map { _ in try second.rawLogin() }
            for _ in 0..<3 {
                try Self.cancel(client, first.server, by: second)
                try Self.cancel(others[3], first.server, by: first)
                try Self.cancel(client, first.server, by: first)
            }
            let shown = host == "unix" ? "unix" : "127.0.0.1"
            eventually("the log tells of it") {
                second.log.contains(": peer-1@\(shown):\(first.port) new connection to server")
                    && second.log.contains("closing because: successfully sent cancel request")
            }
        }
    }

    /// Each believes that the other is 3: the request comes to an end.
    @Test func aRequestDoesNotGoRoundForEver() throws {
        try withPooler(["peer_id": "1"]) { first in
            try withPooler(["peer_id": "2"]) { second in
                for (pooler, other) in [(first, second), (second, first)] {
                    try pooler.rewrite { $0.peers = ["3": "host=127.0.0.1 port=\(other.port)"] }
                    try pooler.console().query("RELOAD")
                }
                let request = try first.rawConnect()
                try request.send(
                    Frontend.cancel(processID: 0x0003_0001, secretKey: [1, 2, 3, 0xFF])
                )
                #expect(request.isClosed())
                eventually("it has been given up") {
                    second.log.contains("because its TTL was exhausted")
                }
                // Passed on three times, with two lines each.
                eventually("all is in the logs") {
                    [first, second].map { pooler in
                        pooler.log.components(separatedBy: "peer-3@").count - 1
                    } == [4, 2]
                }
            }
        }
    }

    @Test func aRequestForNobodyIsDropped() throws {
        try Self.withPeers { first, _ in
            let request = try first.rawConnect()
            try request.send(
                Frontend.cancel(processID: 0x0009_0001, secretKey: [1, 2, 3, 0xFF])
            )
            #expect(request.isClosed())
            eventually("the log says why") {
                first.log.contains("could not find peer to forward request to")
            }
        }
    }

    /// A peer that never closes the connection: so many requests as pool_size are under way, the others
    /// wait, none for longer than cancel_wait_timeout.
    @Test func aSilentPeerHoldsNobodyForLong() throws {
        let hole = try BlackHole()
        defer { hole.close() }
        try withPooler([
            "peer_id": "1", "cancel_wait_timeout": "3", "server_tls_sslmode": "disable",
        ]) { pooler in
            try pooler.rewrite {
                $0.peers = ["2": "host=127.0.0.1 port=\(hole.port) pool_size=2"]
            }
            try pooler.console().query("RELOAD")
            let requests = try (0..<5).map { _ in try pooler.rawConnect() }
            for request in requests {
                try request.send(
                    Frontend.cancel(processID: 0x0002_0001, secretKey: [1, 2, 3, 0xFF])
                )
            }
            try eventually("two are under way, and three wait") {
                try pooler.show("PEER_POOLS") == [
                    [
                        "peer_id": "2", "cl_active_cancel_req": "2", "cl_waiting_cancel_req": "3",
                        "sv_active_cancel": "2", "sv_login": "0",
                    ]
                ]
            }
            let lists = try pooler.show("LISTS")
            #expect(lists.contains(["list": "peers", "items": "1"]))
            #expect(lists.contains(["list": "peer_pools", "items": "1"]))
            for request in requests { #expect(request.isClosed()) }
            try eventually("nothing is left") { try pooler.show("PEER_POOLS").isEmpty }
            #expect(pooler.log.contains("closing because: cancel_wait_timeout"))
            try #expect(
                pooler.show("PEERS") == [
                    [
                        "peer_id": "2", "host": "127.0.0.1", "port": String(hole.port),
                        "pool_size": "2",
                    ]
                ]
            )
        }
    }

    @Test(arguments: ["host=127.0.0.1 port=1", "host=/nowhere", "host=nowhere.invalid"])
    func aPeerThatIsNotThere(address: String) throws {
        try withPooler(["peer_id": "1", "cancel_wait_timeout": "0"]) { pooler in
            try pooler.rewrite { $0.peers = ["2": address] }
            try pooler.console().query("RELOAD")
            let request = try pooler.rawConnect()
            try request.send(
                Frontend.cancel(processID: 0x0002_0001, secretKey: [1, 2, 3, 0xFF])
            )
            #expect(request.isClosed())
            eventually("the log says why") {
                pooler.log.contains("because its peer cannot be reached")
            }
        }
    }
}
