// Certificates for one run of the tests, made by the openssl program when the first test needs them.
//
// Two authorities: `authority`, which everybody trusts who is told to, and `stranger`, which nobody
// does. Keys have no passphrase and are for their owner's eyes only, as libpq and PostgreSQL want.

import Foundation
import Glibc

/// A certificate and its key, in PEM.
struct Certificate: Sendable {
    let certFile: String
    let keyFile: String

    /// The certificate as PEM has it, without what may stand round it.
    var text: String {
        get throws {
            try Certificate.first(in: String(contentsOfFile: certFile, encoding: .utf8)) ?? ""
        }
    }

    /// libpq's parameters of a client that has it.
    var parameters: [String: String] { ["sslcert": certFile, "sslkey": keyFile] }

    /// The first certificate in a text.
    static func first(in text: String) -> String? {
        guard let begin = text.range(of: "-----BEGIN CERTIFICATE-----"),
            let end = text.range(of: "-----END CERTIFICATE-----")
        else { return nil }
        return String(text[begin.lowerBound..<end.upperBound])
    }
}

struct Certificates: Sendable {
    static let shared = Result { try Certificates() }

    let authority: Certificate
    let stranger: Certificate

    // Of servers: for 127.0.0.1, ::1 and localhost, but for `elsewhere` and `shop`.
    let server: Certificate
    /// As `server`, a year later.
    let renewed: Certificate
    /// As `server`, with a key of RSA.
    let rsa: Certificate
    let expired: Certificate
    /// For elsewhere.example.
    let elsewhere: Certificate
    /// For shop.example.
    let shop: Certificate
    /// Signed by `stranger`.
    let strange: Certificate
    let selfSigned: Certificate
    /// Signed by an authority below `authority`, whose certificate stands behind it in the file.
    let chained: Certificate

    // Of clients: for the user app.
    let client: Certificate
    let expiredClient: Certificate
    let strangeClient: Certificate

    private init() throws {
        let workshop = Workshop(directory: try ScratchDirectory.make("certificates"))
        chmod(workshop.directory, 0o755)
        let authority = try workshop.authority("authority")
        let stranger = try workshop.authority("stranger")
        let middle = try workshop.authority("middle", by: authority)
        let here = "IP:127.0.0.1,IP:::1,DNS:localhost"
        self.authority = authority
        self.stranger = stranger
        server = try workshop.make("server", here, by: authority)
        renewed = try workshop.make("renewed", here, by: authority)
        rsa = try workshop.make("rsa", here, by: authority, key: ["rsa:2048"])
        expired = try workshop.make("expired", here, by: authority, days: -1)
        elsewhere = try workshop.make("elsewhere", "DNS:elsewhere.example", by: authority)
        shop = try workshop.make("shop", "DNS:shop.example", by: authority)
        strange = try workshop.make("strange", here, by: stranger)
        selfSigned = try workshop.selfSigned("self-signed", here)
        chained = try workshop.make("chained", here, by: middle)
        try workshop.append(middle, to: chained)
        client = try workshop.make("client", commonName: "app", by: authority)
        expiredClient = try workshop.make(
            "expired-client",
            commonName: "app",
            by: authority,
            days: -1
        )
        strangeClient = try workshop.make("strange-client", commonName: "app", by: stranger)
    }
}

private struct Workshop {
    let directory: String

    private static let curve = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]

    func authority(_ name: String, by signer: Certificate? = nil) throws -> Certificate {
        let extensions = "basicConstraints=critical,CA:TRUE"
        guard let signer else {
            return try signItself(name, extensions)
        }
        return try make(name, commonName: name, extensions, by: signer)
    }

    func selfSigned(_ name: String, _ names: String) throws -> Certificate {
        try signItself(name, "subjectAltName=\(names)")
    }

    /// A certificate of a server.
    func make(
        _ name: String,
        _ names: String,
        by signer: Certificate,
        days: Int = 365,
        key: [String] = Workshop.curve
    ) throws -> Certificate {
        let extensions = "subjectAltName=\(names)"
        return try make(name, commonName: name, extensions, by: signer, days: days, key: key)
    }

    func make(
        _ name: String,
        commonName: String,
        _ extensions: String? = nil,
        by signer: Certificate,
        days: Int = 365,
        key: [String] = Workshop.curve
    ) throws -> Certificate {
        let made = certificate(name)
        let request = "\(directory)/\(name).csr"
        try openSSL(
            ["req", "-new", "-newkey"] + key
                + [
                    "-nodes", "-keyout", made.keyFile, "-out", request, "-subj",
                    "/CN=\(commonName)",
                ]
                + (extensions.map { ["-addext", $0] } ?? [])
        )
        try openSSL([
            "x509", "-req", "-in", request, "-out", made.certFile, "-CA", signer.certFile, "-CAkey",
            signer.keyFile, "-days", String(days), "-copy_extensions", "copy",
        ])
        return made
    }

    func append(_ certificate: Certificate, to other: Certificate) throws {
        try [other, certificate].map { try $0.text }.joined(separator: "\n")
            .write(toFile: other.certFile, atomically: false, encoding: .utf8)
    }

    private func signItself(_ name: String, _ extensions: String) throws -> Certificate {
        let made = certificate(name)
        try openSSL(
            ["req", "-x509", "-newkey"] + Workshop.curve
                + [
                    "-nodes", "-keyout", made.keyFile, "-out", made.certFile, "-days", "365",
                    "-subj", "/CN=\(name)", "-addext", extensions,
                ]
        )
        return made
    }

    private func certificate(_ name: String) -> Certificate {
        Certificate(certFile: "\(directory)/\(name).crt", keyFile: "\(directory)/\(name).key")
    }

    private func openSSL(_ arguments: [String]) throws {
        let outcome = try run(["openssl"] + arguments)
        guard outcome.succeeded else {
            throw SpawnFailed(description: "openssl \(arguments[0]): \(outcome.errors)")
        }
    }
}
