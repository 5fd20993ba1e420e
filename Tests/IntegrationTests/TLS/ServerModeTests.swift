// server_tls_sslmode, every value against every kind of server, and what else a server can demand.

import Foundation
import Testing

@Suite(.serialized) struct ServerModeTests {
    private static let modes = [
        "disable", "allow", "prefer", "require", "verify-ca", "verify-full",
    ]

    /// A database for each mode, with what else its entry says.
    private static func databases(_ entry: String) throws -> [String: String] {
        let authority = try Certificates.shared.get().authority.certFile
        return Dictionary(
            uniqueKeysWithValues: modes.map { mode in
                let tls = "server_tls_sslmode=\(mode) server_tls_ca_file=\(authority)"
                return ("tls_\(mode)", "dbname=app \(tls) \(entry)")
            }
        )
    }

    /// By the mode: whether the server has TLS on its connection, nil if there is none.
    private static func found(_ pooler: Pooler, user: String = "app") throws -> [Bool?] {
        try modes.map { mode in
            do {
                let client = try pooler.connect(user: user, database: "tls_\(mode)")
                let isOn = try client.value(
                    "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
                )
                return isOn == "t"
            } catch is ConnectionFailed {
                return nil
            } catch is QueryFailed {
                return nil
            }
        }
    }

    private static let quick = ["query_wait_timeout": "20", "server_connect_timeout": "10"]

    @Test func aServerWithoutTLS() throws {
        try withPooler(Self.quick, databases: Self.databases("")) { pooler in
            try #expect(Self.found(pooler) == [false, false, false, nil, nil, nil])
            try #expect(pooler.connect(database: "app").value("select 1") == "1")
        }
    }

    @Test func serversWithTLS() throws {
        let certificates = try Certificates.shared.get()
        let server = try PostgresServer(tls: .init(certificate: certificates.server))
        defer { server.stop(signal: SIGQUIT) }
        // With modes that differ from the others: verify-ca and verify-full.
        let shown: [(Certificate, ca: Bool?, full: Bool?)] = [
            (certificates.server, true, true), (certificates.rsa, true, true),
            (certificates.chained, true, true), (certificates.elsewhere, true, nil),
            (certificates.expired, nil, nil), (certificates.strange, nil, nil),
            (certificates.selfSigned, nil, nil),
        ]
        for (certificate, verified, named) in shown {
            try server.show(certificate)
            try withPooler(Self.quick, databases: Self.databases(""), server: server) { pooler in
                // The server takes nobody without TLS.
                let expected = [nil, true, true, true, verified, named]
                try #expect(
                    Self.found(pooler) == expected,
                    "\(certificate.certFile): \(pooler.log)"
                )
            }
        }
    }

    /// The name in the certificate is that of the entry, whatever its address is.
    @Test func theNameOfTheHost() throws {
        let certificates = try Certificates.shared.get()
        let server = try PostgresServer(tls: .init(certificate: certificates.server))
        defer { server.stop(signal: SIGQUIT) }
        let entry = "host=localhost port=\(server.port) dbname=app server_tls_sslmode=verify-full"
        let settings = ["server_tls_ca_file": certificates.authority.certFile]
        try withPooler(settings, databases: ["named": entry], server: server) { pooler in
            try #expect(pooler.connect(database: "named").value("select 1") == "1")
        }
    }

    @Test func certificatesForTheServer() throws {
        let certificates = try Certificates.shared.get()
        let server = try PostgresServer(
            tls: .init(
                certificate: certificates.server,
                authority: certificates.authority,
                option: "clientcert=verify-full"
            )
        )
        defer { server.stop(signal: SIGQUIT) }
        func entry(_ certificate: Certificate) -> String {
            "dbname=app server_tls_cert_file=\(certificate.certFile) "
                + "server_tls_key_file=\(certificate.keyFile)"
        }
        let databases = [
            "good": entry(certificates.client), "expired": entry(certificates.expiredClient),
            "strange": entry(certificates.strangeClient), "none": "dbname=app",
        ]
        let settings = Self.quick.merging(["server_tls_sslmode": "require"]) { $1 }
        try withPooler(settings, databases: databases, server: server) { pooler in
            try #expect(pooler.connect(database: "good").value("select 1") == "1")
            for name in ["expired", "strange", "none"] {
                let failure = try pooler.loginFailure(database: name)
                #expect(failure != nil, "\(name)")
            }
        }
    }

    /// Whoever would sit between the two cannot bind the proof of the password to both connections.
    @Test func channelBinding() throws {
        let certificates = try Certificates.shared.get()
        let tls = try PostgresServer(tls: .init(certificate: certificates.server))
        defer { tls.stop(signal: SIGQUIT) }
        let databases = [
            "bound": "dbname=app server_channel_binding=require",
            "unbound": "dbname=app server_channel_binding=disable",
        ]
        try withPooler(Self.quick, databases: databases, server: tls) { pooler in
            try #expect(pooler.connect(database: "bound").value("select 1") == "1")
            try #expect(pooler.connect(database: "unbound").value("select 1") == "1")
            // Nothing is bound where the server wants no such proof.
            let failure = try pooler.loginFailure(user: "trusty", database: "bound")
            #expect(failure?.contains("channel binding") == true, "\(failure ?? "")")
        }
        try withPooler(Self.quick, databases: databases) { pooler in
            let failure = try pooler.loginFailure(database: "bound")
            #expect(failure?.contains("channel binding") == true, "\(failure ?? "")")
            try #expect(pooler.connect(database: "unbound").value("select 1") == "1")
        }
    }

    @Test func ciphers() throws {
        let certificates = try Certificates.shared.get()
        let server = try PostgresServer(tls: .init(certificate: certificates.server))
        defer { server.stop(signal: SIGQUIT) }
        let older = "ECDHE-ECDSA-CHACHA20-POLY1305"
        let newer = "TLS_AES_128_GCM_SHA256"
        let databases = [
            "older": "dbname=app server_tls_protocols=tlsv1.2 server_tls_ciphers=\(older)",
            "newer": "dbname=app server_tls13_ciphers=\(newer)",
        ]
        try withPooler(["server_tls_sslmode": "require"], databases: databases, server: server) {
            pooler in
            let asked = "select cipher from pg_stat_ssl where pid = pg_backend_pid()"
            try #expect(pooler.connect(database: "older").value(asked) == older)
            try #expect(pooler.connect(database: "newer").value(asked) == newer)
        }
    }

    /// A request to cancel takes the way of the connection that it is about.
    @Test func cancel() throws {
        let certificates = try Certificates.shared.get()
        let server = try PostgresServer(tls: .init(certificate: certificates.server))
        defer { server.stop(signal: SIGQUIT) }
        let settings = [
            "server_tls_sslmode": "verify-full",
            "server_tls_ca_file": certificates.authority.certFile,
        ]
        try withPooler(settings, server: server) { pooler in
            let client = try pooler.connect()
            try client.query("select 1")
            try client.send("select pg_sleep(60)")
            try eventually("the query runs") {
                try server.value(
                    "select count(*) from pg_stat_activity where query like '%pg_sleep(60)' and state = 'active' and usename = 'app'"
                ) == "1"
            }
            try client.cancel()
            try #expect(client.receive().sqlstate == "57014")
            try #expect(client.value("select 1") == "1")
        }
    }

    /// A server that has no direct TLS is not waited for.
    @Test func directToAnOldServer() throws {
        let certificates = try Certificates.shared.get()
        let server = try PostgresServer(tls: .init(certificate: certificates.server))
        defer { server.stop(signal: SIGQUIT) }
        let version = try Int(server.value("show server_version_num") ?? "") ?? 0
        let entry = "dbname=app server_tls_sslmode=require server_tls_negotiation=direct"
        try withPooler(Self.quick, databases: ["direct": entry], server: server) { pooler in
            let failure = try pooler.loginFailure(database: "direct")
            #expect((failure == nil) == (version >= 170_000), "\(failure ?? "")")
        }
    }
}
