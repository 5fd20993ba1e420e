// TLS as badly behaved clients speak it, and as other libraries do.

import CLibpq
import Foundation
import Testing

@Suite(.serialized) struct TLSWireTests {
    /// Each is described in tls.py.
    @Test(
        arguments: [
            "plain_text_behind_the_request", "hello_behind_the_request", "request_in_pieces",
            "encryption_of_the_other_kind_first", "a_request_within", "garbage", "half_a_hello",
            "gone_within_the_handshake", "one_byte_writes", "one_byte_records",
            "many_queries_in_a_record", "large_records", "truncated_record", "damaged_record",
            "plain_text_after_the_handshake", "close_notify", "terminate_is_answered", "direct",
            "direct_without_a_protocol", "asked_for_with_a_protocol", "direct_in_pieces",
            "resumption", "cancel",
        ]
    )
    func onTheWire(_ name: String) throws {
        let more = ["client_login_timeout": name == "half_a_hello" ? "1" : "60"]
        try withPooler(clientTLS("allow").merging(more) { $1 }) { pooler in
            try pooler.speakTLS(name)
            // Whatever it was, it is over, and others are served.
            try eventually("all are gone") { try pooler.show("CLIENTS").count == 1 }
            let client = try pooler.connect(verifyFull())
            try #expect(client.value("select 1") == "1")
        }
    }

    /// A failed handshake is logged once, with its reason.
    @Test func failuresAreLogged() throws {
        try withPooler(clientTLS("require")) { pooler in
            let client = try pooler.rawConnect()
            try client.send(Frontend.ssl)
            try #expect(client.receiveByte() == "S")
            try client.send([UInt8](repeating: 0x41, count: 100))
            #expect(client.isClosed())
            eventually("the failure is in the log") {
                pooler.log.contains(":\(client.localPort)") && pooler.log.contains("TLS")
            }
            let lines = pooler.log.split(separator: "\n").filter { $0.contains("handshake") }
            #expect(lines.count == 1, "\(pooler.log)")
        }
    }

    @Test func nothingIsLeftBehind() throws {
        try withPooler(clientTLS("allow")) { pooler in
            try pooler.speakTLS("many", ["100"])
            try eventually("all are gone") { try pooler.show("CLIENTS").count == 1 }
            let descriptors = pooler.descriptorCount
            // What the allocator keeps differs, but what is lost is lost every time.
            let growths = try (0..<3).map { _ in
                let before = pooler.residentBytes
                try pooler.speakTLS("many", ["400"])
                try eventually("all are gone") { try pooler.show("CLIENTS").count == 1 }
                return pooler.residentBytes - before
            }
            #expect(growths.contains { $0 < 1 << 20 }, "\(growths)")
            // Connections to servers come and go.
            #expect(pooler.descriptorCount <= descriptors + 20)
        }
    }

    /// Renegotiation is refused, as PostgreSQL refuses it.
    @Test func renegotiation() throws {
        try withPooler(clientTLS("require")) { pooler in
            let said = try pooler.openSSLClient(["-tls1_2"], input: "R\nQ\n")
            #expect(said.contains("RENEGOTIATING"), "\(said)")
            #expect(said.contains("no renegotiation"), "\(said)")
            try #expect(pooler.connect(verifyFull()).value("select 1") == "1")
        }
    }

    @Test func newKeys() throws {
        try withPooler(clientTLS("require")) { pooler in
            let said = try pooler.openSSLClient(["-tls1_3"], input: "K\nk\nQ\n")
            #expect(said.contains("KEYUPDATE") && said.contains("DONE"), "\(said)")
            #expect(!said.contains("SSL routines"), "\(said)")
        }
    }

    // MARK: - Data

    @Test func copyBothWays() throws {
        let certificates = try Certificates.shared.get()
        let server = try PostgresServer(tls: .init(certificate: certificates.server))
        defer { server.stop(signal: SIGQUIT) }
        let settings = try clientTLS("require").merging(["server_tls_sslmode": "require"]) { $1 }
        try withPooler(settings, server: server) { pooler in
            let client = try pooler.connect(verifyFull())
            try client.query("create unlogged table tls_copy (line text)")
            let before = pooler.residentBytes
            try #expect(client.execute("copy tls_copy from stdin").status == PGRES_COPY_IN)
            let line = Array(String(repeating: "w", count: 999).utf8) + [UInt8(ascii: "\n")]
            let chunk = [UInt8]((0..<1000).flatMap { _ in line })
            for _ in 0..<50 { try client.sendCopyData(chunk) }
            try client.endCopy()
            try #expect(client.receive().tag == "COPY 50000")
            try #expect(client.value("select sum(length(line)) from tls_copy") == "49950000")
            try #expect(client.execute("copy tls_copy to stdout").status == PGRES_COPY_OUT)
            try #expect(client.drainCopy() == 50_000_000)
            try #expect(client.receive().tag == "COPY 50000")
            #expect(pooler.residentBytes - before < 16 << 20)
            try #expect(
                client.value("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == "t"
            )
        }
    }

    /// Clients with and without TLS use the same servers, and what waits for one is not lost.
    @Test func mixedClients() throws {
        try withPooler(clientTLS("allow").merging(["default_pool_size": "2"]) { $1 }) { pooler in
            let clients = try (0..<12).map { number in
                try pooler.connect(number % 2 == 0 ? verifyFull() : ["sslmode": "disable"])
            }
            for _ in 0..<5 {
                for (number, client) in clients.enumerated() {
                    try client.send("select repeat('\(number % 10)', 50000 + \(number))")
                }
                for (number, client) in clients.enumerated() {
                    let expected = String(repeating: "\(number % 10)", count: 50000 + number)
                    try #expect(client.receive().rows == [[expected]])
                }
            }
        }
    }

    // MARK: - A newer libpq

    @Test func directByPsycopg() throws {
        try withPooler(clientTLS("require")) { pooler in
            let authority = try Certificates.shared.get().authority.certFile
            let outcome = try pooler.psycopg(
                "sslmode=verify-full sslnegotiation=direct sslrootcert=\(authority)",
                """
                print(connection.execute('select 1').fetchone()[0], connection.pgconn.ssl_in_use)
                connection.cancel_safe()
                """
            )
            #expect(outcome.output == "1 True\n", "\(outcome.errors)")
        }
    }
}
