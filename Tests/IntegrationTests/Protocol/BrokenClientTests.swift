// Clients that break the protocol: a clear error or a closed connection, nobody else disturbed,
// nothing kept. Every line of what can go wrong before and after login.

import TestSupport
import Testing

@Suite(.serialized) struct BrokenClientTests {
    private static let hugeLengths = [0x7fff_ffff, 0xffff_ffff, 0x8000_0000, 10_001, 100_000]
    private static let tinyLengths = [0, 1, 3, 4, 7]

    @Test(arguments: hugeLengths + tinyLengths)
    func aStartupOfImpossibleLength(length: Int) throws {
        try withPooler { pooler in
            let client = try pooler.rawConnect()
            try client.send(Frontend.integer(length) + Frontend.integer(3 << 16))
            #expect(client.isClosed())
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    @Test func aLongStartupWithinTheLimit() throws {
        try withPooler { pooler in
            let client = try pooler.rawConnect()
            let name = String(repeating: "n", count: 9_000)
            try client.send(
                Frontend.startup([("user", "app"), ("database", "app"), ("application_name", name)])
            )
            try client.finishLogin()
            try client.send(Frontend.query("select 1"))
            try #expect(client.receiveUntilReady().error == nil)
        }
    }

    @Test func whatIsNoPostgresClientAtAll() throws {
        try withPooler { pooler in
            let http = Array("GET / HTTP/1.1\r\nHost: pooler\r\n\r\n".utf8)
            let tls: [UInt8] = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]
            for bytes in [
                http, tls, Array("SSH-2.0-OpenSSH_9.2\r\n".utf8), [0, 0, 0, 0, 0, 0, 0, 0],
            ] {
                let client = try pooler.rawConnect()
                try client.send(bytes)
                #expect(client.isClosed())
            }
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    @Test func randomBytes() throws {
        try withPooler { pooler in
            let witness = try pooler.connect()
            var generator = SeededGenerator(seed: 20_261_121)
            for _ in 0..<150 {
                let client = try RawClient(port: pooler.port)
                defer { client.reset() }
                if Bool.random(using: &generator) { try client.login(user: "app", database: "app") }
                let count = Int.random(in: 1...3_000, using: &generator)
                let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
                try? client.send(bytes)
                _ = client.isSilent(for: .milliseconds(1))
            }
            try #expect(witness.value("select 1") == "1")
            #expect(pooler.hasExited == false)
        }
    }

    /// Real messages with random damage come closer to the parsers than random bytes.
    @Test func damagedMessages() throws {
        try withPooler(["default_pool_size": "4"]) { pooler in
            let witness = try pooler.connect()
            var generator = SeededGenerator(seed: 6_543)
            let session =
                Frontend.parse("s", "select $1::int") + Frontend.describe("S", "s")
                + Frontend.bind("s", ["1"]) + Frontend.execute() + Frontend.close("S", "s")
                + Frontend.sync + Frontend.query("select 1") + Frontend.query("begin; rollback")
            for _ in 0..<150 {
                let client = try RawClient(port: pooler.port)
                defer { client.reset() }
                try client.login(user: "app", database: "app")
                var bytes = session
                for _ in 0...2 {
                    let position = Int.random(in: 0..<bytes.count, using: &generator)
                    bytes[position] = UInt8.random(in: 0...255, using: &generator)
                }
                try? client.send(bytes)
                _ = client.isSilent(for: .milliseconds(2))
            }
            try #expect(witness.value("select 1") == "1")
            eventually("damaged sessions hold no server") {
                (try? pooler.pool()["sv_active"]) == "0"
            }
        }
    }

    @Test func messagesBeforeLogin() throws {
        try withPooler(["auth_type": "md5"]) { pooler in
            let first = try pooler.rawConnect()
            try first.send(Frontend.query("select 1"))
            #expect(first.isClosed())
            for message in [
                Frontend.query("select 1"), Frontend.sync, Frontend.parse("", "select 1"),
            ] {
                let client = try pooler.rawConnect()
                try client.send(Frontend.startup([("user", "app"), ("database", "app")]))
                try #expect(client.receive().type == "R")
                try client.send(message)
                #expect(client.isClosed())
            }
        }
    }

    /// A second startup packet, an unknown type, a password out of time.
    @Test(arguments: [
        Frontend.message("?"), Frontend.message("z", [1, 2, 3]),
        Frontend.message("p", Frontend.string("secret")),
        Frontend.startup([("user", "app"), ("database", "app")]),
        [UInt8(ascii: "Q")] + Frontend.integer(3), [UInt8(ascii: "Q")] + Frontend.integer(-1),
        [UInt8(ascii: "S")] + Frontend.integer(0),
        [UInt8(ascii: "P")] + Frontend.integer(0x8000_0000),
    ])
    func aMessageNobodyExpects(bytes: [UInt8]) throws {
        try withPooler { pooler in
            let witness = try pooler.connect()
            let client = try pooler.rawLogin()
            try client.send(bytes)
            let error = try client.receiveUntilClosed().error
            #expect(error?.severity == "FATAL")
            #expect(error?.sqlstate == "08P01")
            try #expect(witness.value("select 1") == "1")
        }
    }

    /// Bodies that do not hold what their message says; the connection ends or PostgreSQL refuses.
    @Test(arguments: [
        Frontend.message("P"), Frontend.message("P", [65, 66]), Frontend.message("B"),
        Frontend.message("B", [0]), Frontend.message("B", Frontend.string("") + [115]),
        Frontend.message("D"), Frontend.message("D", [83]), Frontend.message("D", [0, 0]),
        Frontend.message("C"), Frontend.message("C", [83, 115]), Frontend.message("E"),
        Frontend.message("E", [0, 0]), Frontend.message("Q"), Frontend.message("Q", [115]),
        Frontend.message("F", [0]), Frontend.message("S", [1]), Frontend.message("H", [1]),
    ])
    func aBrokenBody(bytes: [UInt8]) throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let witness = try pooler.connect()
            let client = try pooler.rawLogin()
            try client.send(bytes + Frontend.sync)
            var messages: [WireMessage] = []
            do {
                repeat { messages.append(try client.receive()) } while messages.last?.type != "Z"
            } catch is ConnectionEnded {}
            #expect(messages.error?.sqlstate == "08P01")
            try #expect(witness.value("select 1") == "1")
            client.close()
            try eventually("the server is free") { try pooler.pool()["sv_active"] == "0" }
        }
    }

    /// PostgreSQL ignores COPY messages outside of COPY.
    @Test func copyMessagesOutsideCopy() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send(
                Frontend.message("d", [1, 2]) + Frontend.message("c")
                    + Frontend.message("f", Frontend.string("why")) + Frontend.query("select 1")
            )
            try #expect(client.receiveUntilReady().types == ["T", "D", "C", "Z"])
        }
    }

    /// Memory is charged as bytes arrive, not as lengths announce.
    @Test func announcedAndNeverSent() throws {
        try withPooler(["default_pool_size": "20"]) { pooler in
            let witness = try pooler.connect()
            try witness.query("select 1")
            func announce() throws -> Int {
                for type in "QPBdSE" {
                    let client = try pooler.rawLogin()
                    let header = [type.asciiValue ?? 0] + Frontend.integer(250 << 20)
                    try client.send(header + [UInt8](repeating: 65, count: 1000))
                }
                try #expect(witness.value("select 1") == "1")
                return pooler.residentBytes
            }
            // What the first connections cost depends on the allocator.
            let before = try announce()
            try #expect(announce() - before < 5 << 20)
        }
    }

    @Test func leavingInTheMiddleOfAMessage() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let witness = try pooler.connect()
            for message in [
                Frontend.query("select 1"), Frontend.parse("s", "select 1"), Frontend.bind("s"),
            ] {
                for count in [1, 4, 5, message.count - 1] {
                    let client = try pooler.rawLogin()
                    try client.send(Array(message.prefix(count)))
                    client.close()
                    try #expect(witness.value("select 1") == "1")
                }
            }
        }
    }

    /// A client that says "no more from me" still gets the answers to what it asked.
    @Test func answersAfterTheClientsLastByte() throws {
        try withPooler { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("select 'last'"))
            try client.send(Frontend.terminate)
            client.finishWriting()
            #expect(client.isClosed())
        }
    }

    @Test func silentConnectionsEndAtLoginTimeout() throws {
        let settings = [
            "client_login_timeout": "1", "auth_type": "scram-sha-256", "tcp_defer_accept": "0",
        ]
        try withPooler(settings) { pooler in
            let silent = try pooler.rawConnect()
            let half = try pooler.rawConnect()
            try half.send(Array(Frontend.startup([("user", "app")]).prefix(9)))
            let asked = try pooler.rawConnect()
            try asked.send(Frontend.startup([("user", "app"), ("database", "app")]))
            try #expect(asked.receive().type == "R")
            let encrypted = try pooler.rawConnect()
            try encrypted.send(Frontend.ssl)
            try #expect(encrypted.receiveByte() == "N")
            for client in [silent, half, asked, encrypted] {
                #expect(client.isClosed())
            }
            #expect(pooler.log.contains("client_login_timeout"))
            try eventually("others get in, in time on a busy machine, too") {
                try pooler.loginFailure() == nil
            }
        }
    }

    /// The kernel keeps who says nothing to itself.
    @Test func silentConnectionsAreNobodysBusiness() throws {
        try withPooler(["client_login_timeout": "1"]) { pooler in
            let silent = try (0..<3).map { _ in try pooler.rawConnect() }
            let witness = try pooler.connect()
            #expect(silent[0].isSilent(for: .seconds(2)))
            #expect(!pooler.log.contains("client_login_timeout"))
            try silent[1].send(Frontend.ssl)
            try #expect(silent[1].receiveByte() == "N")
            try #expect(witness.value("select 1") == "1")
        }
    }

    @Test func thousandsOfConnectionsLeaveNothing() throws {
        try withPooler { pooler in
            let witness = try pooler.connect()
            func storm(_ count: Int) throws {
                for number in 0..<count {
                    let client = try RawClient(port: pooler.port)
                    switch number % 5 {
                    case 0: client.close()
                    case 1: client.reset()
                    case 2:
                        try client.send(Frontend.startup([("user", "app"), ("database", "app")]))
                        client.reset()
                    case 3:
                        try client.login(user: "app", database: "app")
                        try client.send(Frontend.query("select 1"))
                        client.reset()
                    default:
                        try client.login(user: "app", database: "app")
                        try client.send(Frontend.query("select 1"))
                        _ = try client.receiveUntilReady()
                        try client.send(Frontend.terminate)
                        client.close()
                    }
                }
                try #expect(witness.value("select 1") == "1")
                try eventually("all of them are gone") { try pooler.pool()["cl_active"] == "1" }
            }
            try storm(500)
            let descriptors = pooler.descriptorCount
            // How many of them there are at once differs, but what is lost is lost in every storm.
            let growths = try (0..<3).map { _ in
                let before = pooler.residentBytes
                try storm(1_000)
                return pooler.residentBytes - before
            }
            #expect(growths.contains { $0 < 600 << 10 }, "\(growths)")
            // The pool may have opened servers.
            eventually("their descriptors are closed") {
                pooler.descriptorCount <= descriptors + 20
            }
        }
    }

    @Test func twoThousandIdleClients() throws {
        let count = DescriptorLimit.connectionCount(upTo: 2_000)
        let settings = ["max_client_conn": "3000", "default_pool_size": "2"]
        try withPooler(settings) { pooler in
            // Whoever is logged in sees a pooler that has opened what it needs itself.
            let first = try pooler.rawLogin()
            defer { first.close() }
            let before = pooler.descriptorCount
            let clients = try (0..<count).map { _ in try pooler.rawLogin() }
            #expect(pooler.descriptorCount >= before + count)
            for client in clients.prefix(50) { try client.send(Frontend.query("select 1")) }
            for client in clients.prefix(50) {
                try #expect(client.receiveUntilReady().rows == [["1"]])
            }
            for client in clients { client.close() }
            eventually("their descriptors are closed") { pooler.descriptorCount <= before + 5 }
        }
    }
}

/// The same numbers in every run.
private struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let mixed = (state ^ (state >> 33)) &* 0xff51_afd7_ed55_8ccd
        return mixed ^ (mixed >> 29)
    }
}
