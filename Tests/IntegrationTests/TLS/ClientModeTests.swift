// client_tls_sslmode, every value against every kind of client, as PgBouncer's manual describes it.

import Foundation
import Testing

@Suite(.serialized) struct ClientModeTests {
    private static let modes = [
        "disable", "allow", "prefer", "require", "verify-ca", "verify-full",
    ]

    /// What a client has to do with TLS.
    private enum Client: CaseIterable {
        case plain, withoutCertificate, good, expired, strange

        func parameters(_ certificates: Certificates) -> [String: String] {
            let certificate: Certificate? =
                switch self {
                case .plain, .withoutCertificate: nil
                case .good: certificates.client
                case .expired: certificates.expiredClient
                case .strange: certificates.strangeClient
                }
            let parameters = certificate?.parameters ?? ["sslcert": "", "sslkey": ""]
            return parameters.merging(["sslmode": self == .plain ? "disable" : "require"]) { $1 }
        }

        /// Whether it gets in.
        func isTaken(_ mode: String) -> Bool {
            switch self {
            case .plain: ["disable", "allow", "prefer"].contains(mode)
            // A certificate that nobody demands and that does not verify counts as none.
            case .withoutCertificate, .expired, .strange:
                ["allow", "prefer", "require"].contains(mode)
            case .good: mode != "disable"
            }
        }
    }

    @Test(arguments: modes) func whoGetsIn(_ mode: String) throws {
        let certificates = try Certificates.shared.get()
        try withPooler(clientTLS(mode)) { pooler in
            for client in Client.allCases {
                let parameters = client.parameters(certificates)
                guard client.isTaken(mode) else {
                    let failure = try pooler.loginFailure(parameters)
                    #expect(failure != nil, "\(client)")
                    guard client == .plain || mode == "disable" else { continue }
                    let reason =
                        mode == "disable" ? "server does not support SSL" : "SSL required"
                    #expect(failure?.contains(reason) == true, "\(failure ?? "")")
                    continue
                }
                let connection = try pooler.connect(parameters)
                try #expect(connection.value("select 1") == "1", "\(client)")
                #expect((connection.tlsVersion != nil) == (client != .plain), "\(client)")
            }
        }
    }

    /// What is between the two ends of a connection cannot pass for one.
    @Test func whatTheClientVerifies() throws {
        let certificates = try Certificates.shared.get()
        let shown = [
            (certificates.server, true), (certificates.rsa, true), (certificates.chained, true),
            (certificates.expired, false), (certificates.elsewhere, false),
            (certificates.strange, false), (certificates.selfSigned, false),
        ]
        for (certificate, isVerified) in shown {
            try withPooler(clientTLS("allow", certificate)) { pooler in
                let failure = try pooler.loginFailure(verifyFull())
                #expect((failure == nil) == isVerified, "\(certificate.certFile): \(failure ?? "")")
            }
        }
    }

    /// The console is served like any database, also where TLS is demanded.
    @Test func theConsole() throws {
        try withPooler(clientTLS("require")) { pooler in
            let client = try pooler.connect(verifyFull())
            try client.query("select 1")
            let console = try pooler.connect(user: "admin", database: "pgbouncer", verifyFull())
            let rows = try console.execute("SHOW CLIENTS").records
            #expect(rows.count == 2)
            #expect(rows.allSatisfy { $0["tls"]?.hasPrefix("TLSv1.3") == true }, "\(rows)")
        }
    }

    /// Nobody listens on a Unix socket, so that there is no TLS either.
    @Test func unixSockets() throws {
        try withPooler(clientTLS("verify-full")) { pooler in
            let client = try pooler.connect(["host": pooler.directory])
            try #expect(client.value("select 1") == "1")
            #expect(client.tlsVersion == nil)
        }
    }

    @Test func versions() throws {
        let allowed = [
            ("secure", ["1.2", "1.3"]), ("tlsv1.3", ["1.3"]), ("tlsv1.2", ["1.2"]),
            ("all,!tlsv1.3", ["1.0", "1.1", "1.2"]), ("all,!tlsv1.2", ["1.0", "1.1", "1.3"]),
        ]
        for (protocols, expected) in allowed {
            let more = [
                "client_tls_protocols": protocols, "client_tls_ciphers": "ALL:@SECLEVEL=0",
            ]
            try withPooler(clientTLS("require").merging(more) { $1 }) { pooler in
                try pooler.speakTLS("versions", expected)
            }
        }
    }

    @Test func ciphersAndGroups() throws {
        let more = [
            "client_tls_ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305",
            "client_tls13_ciphers": "TLS_AES_128_GCM_SHA256", "client_tls_ecdhcurve": "P-384",
        ]
        try withPooler(clientTLS("require").merging(more) { $1 }) { pooler in
            let newer = try pooler.openSSLClient()
            #expect(newer.contains("Cipher is TLS_AES_128_GCM_SHA256"), "\(newer)")
            #expect(newer.contains("ECDH, secp384r1, 384 bits"), "\(newer)")
            let older = try pooler.openSSLClient(["-tls1_2"])
            #expect(older.contains("Cipher is ECDHE-ECDSA-CHACHA20-POLY1305"), "\(older)")
            let others = try pooler.openSSLClient([
                "-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384",
            ])
            #expect(others.contains("handshake failure"), "\(others)")
        }
    }

    @Test(arguments: [("auto", "DH, 2048 bits"), ("legacy", "DH, 1024 bits"), ("none", nil)])
    func exchangeOverFiniteFields(_ parameters: String, _ expected: String?) throws {
        let certificate = try Certificates.shared.get().rsa
        let more = ["client_tls_dheparams": parameters, "client_tls_ciphers": "DHE:@SECLEVEL=0"]
        try withPooler(clientTLS("require", certificate).merging(more) { $1 }) { pooler in
            let said = try pooler.openSSLClient(["-tls1_2", "-cipher", "DHE:@SECLEVEL=0"])
            #expect(said.contains(expected ?? "handshake failure"), "\(said)")
        }
    }

    /// A client is shown the certificate for the host that it asks for.
    @Test func certificatesByName() throws {
        let certificates = try Certificates.shared.get()
        var settings = try clientTLS("require")
        settings["client_tls_cert_file"] =
            "\(certificates.server.certFile), \(certificates.shop.certFile)"
        settings["client_tls_key_file"] =
            "\(certificates.server.keyFile), \(certificates.shop.keyFile)"
        try withPooler(settings) { pooler in
            let (server, shop) = (certificates.server.certFile, certificates.shop.certFile)
            try pooler.speakTLS(
                "names",
                [
                    "shop.example", shop, "SHOP.example", shop, "localhost", server,
                    "nowhere.example", server,
                ]
            )
            try #expect(pooler.shownCertificate(["-noservername"]) == certificates.server.text)
        }
    }
}
