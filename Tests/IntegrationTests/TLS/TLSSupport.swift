// A pooler with TLS for its clients, and the programs that look at it from outside.

import Foundation
import Testing

/// What stands in the settings of a pooler for TLS towards clients.
func clientTLS(
    _ mode: String,
    _ certificate: Certificate? = nil
) throws -> [String: String] {
    let certificates = try Certificates.shared.get()
    let shown = certificate ?? certificates.server
    return [
        "client_tls_sslmode": mode, "client_tls_cert_file": shown.certFile,
        "client_tls_key_file": shown.keyFile,
        "client_tls_ca_file": certificates.authority.certFile,
    ]
}

/// libpq's parameters of a client that lets nobody else pass for the pooler.
func verifyFull() throws -> [String: String] {
    ["sslmode": "verify-full", "sslrootcert": try Certificates.shared.get().authority.certFile]
}

extension Pooler {
    /// What `openssl s_client` says about a connection, to which it gives some input.
    func openSSLClient(_ options: [String] = [], input: String = "Q\n") throws -> String {
        let outcome = try run(
            ["openssl", "s_client", "-starttls", "postgres", "-connect", "127.0.0.1:\(port)"]
                + options,
            input: input,
            within: .patience
        )
        return outcome.output + outcome.errors
    }

    /// The certificate that a new connection sees.
    func shownCertificate(_ options: [String] = []) throws -> String? {
        try Certificate.first(in: openSSLClient(options))
    }

    /// Runs a case of tls.py; what it says is a failure.
    func speakTLS(
        _ name: String,
        _ arguments: [String] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let outcome = try run(
            [
                "python3", checkout + "/Tests/Conformance/tls.py", name, String(port),
                try Certificates.shared.get().authority.certFile,
            ] + arguments
        )
        #expect(outcome.succeeded, "\(name): \(outcome.errors)", sourceLocation: sourceLocation)
    }

    /// Runs a script with psycopg, whose libpq is newer than the system's, in `connection`.
    func psycopg(_ parameters: String, _ script: String) throws -> CommandOutcome {
        let python = try run([checkout + "/Scripts/python-with-psycopg"])
        try #require(python.succeeded, "\(python.errors)")
        let address =
            "host=127.0.0.1 port=\(port) user=app dbname=app password=app-secret \(parameters)"
        return try run(
            [
                python.output.trimmingCharacters(in: .newlines), "-c",
                "import psycopg\nconnection = psycopg.connect('''\(address)''')\n\(script)",
            ]
        )
    }
}

private let checkout = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path
