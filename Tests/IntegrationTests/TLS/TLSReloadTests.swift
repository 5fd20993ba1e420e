// RELOAD where certificates have changed: for who comes next, and without harm to who is there.

import Foundation
import Testing

@Suite(.serialized) struct TLSReloadTests {
    /// The files of a pooler, whose contents can change.
    private static func copy(_ certificate: Certificate, to directory: String) throws -> Certificate
    {
        let copy = Certificate(certFile: directory + "/own.crt", keyFile: directory + "/own.key")
        for (source, target) in [
            (certificate.certFile, copy.certFile), (certificate.keyFile, copy.keyFile),
        ] {
            try? FileManager.default.removeItem(atPath: target)
            try FileManager.default.copyItem(atPath: source, toPath: target)
        }
        return copy
    }

    @Test func anotherCertificateInTheSameFile() throws {
        let certificates = try Certificates.shared.get()
        let directory = try ScratchDirectory.make("own")
        let own = try Self.copy(certificates.server, to: directory)
        try withPooler(clientTLS("require", own)) { pooler in
            try #expect(pooler.shownCertificate() == certificates.server.text)
            let client = try pooler.connect(verifyFull())
            try client.query("begin")
            _ = try Self.copy(certificates.renewed, to: directory)
            try #expect(pooler.shownCertificate() == certificates.server.text, "not by itself")
            let console = try pooler.connect(user: "admin", database: "pgbouncer", verifyFull())
            try #expect(console.execute("RELOAD").tag == "RELOAD")
            try #expect(pooler.shownCertificate() == certificates.renewed.text)
            try client.query("select 1")
            try client.query("commit")
            try #expect(pooler.connect(verifyFull()).value("select 1") == "1")
        }
    }

    @Test func sessionsEndWithTheirCertificate() throws {
        let certificates = try Certificates.shared.get()
        let directory = try ScratchDirectory.make("own")
        let own = try Self.copy(certificates.server, to: directory)
        try withPooler(clientTLS("require", own)) { pooler in
            _ = try Self.copy(certificates.renewed, to: directory)
            try pooler.speakTLS("reload_ends_sessions")
        }
    }

    @Test func filesThatCannotBeUsed() throws {
        let certificates = try Certificates.shared.get()
        let directory = try ScratchDirectory.make("own")
        let own = try Self.copy(certificates.server, to: directory)
        try withPooler(clientTLS("require", own)) { pooler in
            let client = try pooler.connect(verifyFull())
            let console = try pooler.connect(user: "admin", database: "pgbouncer", verifyFull())
            let good = try String(contentsOfFile: own.certFile, encoding: .utf8)
            let broken = [
                ("nonsense", own.certFile), (try certificates.shop.text, own.certFile),
                ("", own.keyFile), ("-----BEGIN PRIVATE KEY-----\nAAAA\n", own.keyFile),
            ]
            for (text, file) in broken {
                try text.write(toFile: file, atomically: false, encoding: .utf8)
                let error = try console.execute("RELOAD").error
                let said = "\(error?.message ?? "") \(error?.detail ?? "")"
                #expect(error != nil, "\(text)")
                #expect(said.contains(own.certFile) || said.contains(own.keyFile), "\(said)")
                #expect(pooler.log.contains("nothing changed: TLS: \(directory)"), "\(text)")
                try #expect(pooler.shownCertificate() == certificates.server.text)
                try #expect(client.value("select 1") == "1")
                _ = try Self.copy(certificates.server, to: directory)
            }
            #expect(try String(contentsOfFile: own.certFile, encoding: .utf8) == good)
            try FileManager.default.removeItem(atPath: own.keyFile)
            try #expect(console.execute("RELOAD").error != nil)
            try #expect(pooler.shownCertificate() == certificates.server.text)
            _ = try Self.copy(certificates.renewed, to: directory)
            try #expect(console.execute("RELOAD").tag == "RELOAD")
            try #expect(pooler.shownCertificate() == certificates.renewed.text)
        }
    }

    @Test func theModeIsChanged() throws {
        try withPooler(clientTLS("disable")) { pooler in
            let plain = try pooler.connect(["sslmode": "disable"])
            try #expect(pooler.loginFailure(verifyFull()) != nil)
            try pooler.rewrite { $0.settings["client_tls_sslmode"] = "require" }
            try #expect(pooler.console().execute("RELOAD").tag == "RELOAD")
            try #expect(
                pooler.loginFailure(["sslmode": "disable"])?.contains("SSL required") == true
            )
            let client = try pooler.connect(verifyFull())
            try #expect(plain.value("select 1") == "1", "who is there may stay")
            let console = try pooler.connect(user: "admin", database: "pgbouncer", verifyFull())
            try #expect(console.execute("SET client_tls_sslmode = 'disable'").error == nil)
            try #expect(pooler.loginFailure(verifyFull()) != nil)
            try #expect(client.value("select 1") == "1")
        }
    }

    /// An authority that is no longer trusted is so for those who come from now on.
    @Test func anAuthorityIsRemoved() throws {
        let certificates = try Certificates.shared.get()
        try withPooler(clientTLS("verify-ca")) { pooler in
            let parameters = try verifyFull().merging(certificates.client.parameters) { $1 }
            let client = try pooler.connect(parameters)
            try pooler.rewrite {
                $0.settings["client_tls_ca_file"] = certificates.stranger.certFile
            }
            pooler.send(signal: SIGHUP)
            try eventually("the authority is another") {
                try pooler.loginFailure(parameters) != nil
            }
            let other = try verifyFull().merging(certificates.strangeClient.parameters) { $1 }
            try #expect(pooler.loginFailure(other) == nil)
            try #expect(client.value("select 1") == "1")
        }
    }

    /// Connections to servers are made anew where what holds for them has changed.
    @Test func serversAreReplaced() throws {
        let certificates = try Certificates.shared.get()
        let server = try PostgresServer(tls: .init(certificate: certificates.server))
        defer { server.stop(signal: SIGQUIT) }
        try withPooler(["server_tls_sslmode": "require"], server: server) { pooler in
            let client = try pooler.connect()
            let asked = "select pid || version from pg_stat_ssl where pid = pg_backend_pid()"
            let before = try client.value(asked)
            try #expect(client.value(asked) == before)
            try pooler.console().query("RELOAD")
            try #expect(client.value(asked) == before, "nothing has changed")
            try client.query("begin")
            try #expect(client.value(asked) == before)
            try pooler.rewrite { $0.settings["server_tls_protocols"] = "tlsv1.2" }
            try pooler.console().query("RELOAD")
            try #expect(client.value(asked) == before, "within a transaction")
            try client.query("commit")
            try #expect(client.value(asked)?.hasSuffix("TLSv1.2") == true)
        }
    }

    @Test func aPoolerThatCannotStart() throws {
        let certificates = try Certificates.shared.get()
        var settings = try clientTLS("require")
        settings["client_tls_key_file"] = certificates.shop.keyFile
        let error = #expect(throws: SpawnFailed.self) {
            try withPoolerThatMayNotStart(settings)
        }
        #expect(error?.description.contains(certificates.shop.keyFile) == true)
    }

    private func withPoolerThatMayNotStart(_ settings: [String: String]) throws {
        _ = try Pooler(
            settings,
            databases: [:],
            users: [:],
            secrets: Pooler.secrets,
            server: PostgresServer.shared.get()
        )
    }
}
