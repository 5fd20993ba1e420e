// What is to hold for TLS towards clients and towards servers, put together from the settings of
// client_tls_* and server_tls_*.
//
// Decides which combinations make no sense, from their text alone. Whether the files exist and fit
// together is only known to who opens them, and nothing here does.

import PostgresWire

/// How much TLS there is to be, and what is verified; more with every case.
public enum TLSMode: String, SettingKeyword {
    /// None.
    case disable
    /// Clients: if they ask for it. Servers: as `prefer`.
    case allow
    /// Clients: if they ask for it. Servers: if they have it.
    case prefer
    /// Always, and without it no connection.
    case require
    /// Always, and with a certificate of the other side that a known authority has signed.
    case verifyCA = "verify-ca"
    /// As `verify-ca`; to servers also with the name of the host in the certificate.
    case verifyFull = "verify-full"

    /// Whether there is no connection without TLS.
    public var isRequired: Bool {
        switch self {
        case .disable, .allow, .prefer: false
        case .require, .verifyCA, .verifyFull: true
        }
    }

    /// Whether the other side needs a certificate that can be verified.
    public var verifiesPeer: Bool {
        switch self {
        case .disable, .allow, .prefer, .require: false
        case .verifyCA, .verifyFull: true
        }
    }
}

/// A set of versions of TLS.
public struct TLSProtocols: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let tls10 = TLSProtocols(rawValue: 1)
    public static let tls11 = TLSProtocols(rawValue: 2)
    public static let tls12 = TLSProtocols(rawValue: 4)
    public static let tls13 = TLSProtocols(rawValue: 8)
    public static let secure: TLSProtocols = [.tls12, .tls13]
    public static let all: TLSProtocols = [.tls10, .tls11, .tls12, .tls13]

    private static let versions: [(name: String, protocols: TLSProtocols)] = [
        ("tlsv1.0", .tls10), ("tlsv1.1", .tls11), ("tlsv1.2", .tls12), ("tlsv1.3", .tls13),
    ]
    private static let groups: [(name: String, protocols: TLSProtocols)] = [
        ("secure", .secure), ("default", .secure), ("all", .all), ("legacy", .all),
        ("tlsv1", .all),
    ]

    /// Reads a list as PgBouncer does: from left to right, `!` takes away, from all if it comes first.
    ///
    /// Returns nil for a word that names no version, and for a list that leaves none.
    init?(settingText text: ByteString) {
        var result: TLSProtocols = []
        let separators = [UInt8(ascii: ","), UInt8(ascii: ":")]
        for item in text.lowercasedASCII.bytes.split(whereSeparator: separators.contains) {
            var word = trimmed(item)
            let isRemoved = word.first == UInt8(ascii: "!")
            if isRemoved { word = trimmed(word.dropFirst()) }
            let name = String(decoding: word, as: UTF8.self)
            guard let named = (Self.versions + Self.groups).first(where: { $0.name == name }) else {
                return nil
            }
            if isRemoved {
                result = (result.isEmpty ? .all : result).subtracting(named.protocols)
            } else {
                result.formUnion(named.protocols)
            }
        }
        guard !result.isEmpty else { return nil }
        self = result
    }

    /// The list as it stands in a file.
    var settingText: ByteString {
        if let group = Self.groups.first(where: { $0.protocols == self }) {
            return ByteString(group.name)
        }
        let names = Self.versions.filter { contains($0.protocols) }.map(\.name)
        return ByteString(names.joined(separator: ","))
    }
}

/// How TLS begins on a connection to a server.
public enum TLSNegotiation: String, SettingKeyword {
    /// With an SSLRequest, which the server answers.
    case postgres
    /// At once, as PostgreSQL has it since version 17.
    case direct
}

/// Whether SCRAM is to be bound to the TLS connection: as libpq's parameter of this name.
public enum ChannelBinding: String, SettingKeyword {
    case disable, prefer, require
}

/// The ephemeral Diffie-Hellman key exchange of TLS 1.2 and older.
public enum TLSDHEParams: String, SettingKeyword {
    /// There is none.
    case none
    /// As strong as the certificate's key.
    case auto
    /// With 1024 bits, for clients that know no more.
    case legacy
}

/// What holds for TLS towards clients.
public struct ClientTLSSettings: Hashable, Sendable {
    public var mode: TLSMode
    public var protocols: TLSProtocols
    /// One file for each certificate with its chain; the first is that of clients that name no host.
    public var certFiles: [String]
    /// The key of each certificate, in the same order.
    public var keyFiles: [String]
    /// Who signs the certificates of clients; empty = whom the system trusts.
    public var caFile: String
    /// In OpenSSL's syntax, up to TLS 1.2; empty = the library's own.
    public var ciphers: String
    /// In OpenSSL's syntax, of TLS 1.3; empty = the library's own.
    public var cipherSuites: String
    /// `auto`, `none`, or names as OpenSSL has them, separated by colons.
    public var ecdhCurve: String
    public var dheParams: TLSDHEParams
}

/// What holds for TLS towards a server.
public struct ServerTLSSettings: Hashable, Sendable {
    public var mode: TLSMode
    public var negotiation: TLSNegotiation
    public var protocols: TLSProtocols
    /// The certificate for servers that ask for one; empty = none.
    public var certFile: String
    public var keyFile: String
    /// Who signs the certificates of servers; empty = whom the system trusts.
    public var caFile: String
    /// In OpenSSL's syntax, up to TLS 1.2; empty = the library's own.
    public var ciphers: String
    /// In OpenSSL's syntax, of TLS 1.3; empty = the library's own.
    public var cipherSuites: String
    public var channelBinding: ChannelBinding
}

extension Settings {
    /// What holds for TLS towards clients.
    public var clientTLS: ClientTLSSettings {
        ClientTLSSettings(
            mode: clientTLSSslmode,
            protocols: clientTLSProtocols,
            certFiles: clientTLSCertFile,
            keyFiles: clientTLSKeyFile,
            caFile: clientTLSCAFile,
            ciphers: openSSLCiphers(clientTLSCiphers),
            cipherSuites: clientTLS13Ciphers,
            ecdhCurve: clientTLSEcdhcurve,
            dheParams: clientTLSDheparams
        )
    }

    /// What holds for TLS towards servers: of these settings, which are those of one database where
    /// they come from `Configuration.effectiveSettings`.
    public var serverTLS: ServerTLSSettings {
        ServerTLSSettings(
            mode: serverTLSSslmode,
            negotiation: serverTLSNegotiation,
            protocols: serverTLSProtocols,
            certFile: serverTLSCertFile,
            keyFile: serverTLSKeyFile,
            caFile: serverTLSCAFile,
            ciphers: openSSLCiphers(serverTLSCiphers),
            cipherSuites: serverTLS13Ciphers,
            channelBinding: serverChannelBinding
        )
    }

    /// What makes no sense about the settings of TLS towards clients, and the setting that says so.
    public var clientTLSProblem: (setting: String, text: String)? {
        let mode = clientTLSSslmode
        if case .disable = mode { return nil }
        if clientTLSKeyFile.isEmpty || clientTLSCertFile.isEmpty {
            let text =
                "to allow TLS connections from clients, client_tls_key_file and "
                + "client_tls_cert_file must be set"
            return ("client_tls_sslmode", text)
        }
        let (keys, certificates) = (clientTLSKeyFile.count, clientTLSCertFile.count)
        if keys != certificates {
            let text =
                "expected a key for each certificate of client_tls_cert_file: there are "
                + "\(keys) keys and \(certificates) certificates"
            return ("client_tls_key_file", text)
        }
        if case .verifyFull = mode, clientTLSCAFile.isEmpty {
            return ("client_tls_sslmode", "verify-full requires client_tls_ca_file")
        }
        return nil
    }

    /// What makes no sense about the settings of TLS towards servers, and the setting that says so.
    public var serverTLSProblem: (setting: String, text: String)? {
        if case .disable = serverTLSSslmode {
            guard case .require = serverChannelBinding else { return nil }
            return (
                "server_channel_binding", "require needs TLS, and server_tls_sslmode is disable"
            )
        }
        if serverTLSCertFile.isEmpty != serverTLSKeyFile.isEmpty {
            let setting =
                serverTLSCertFile.isEmpty ? "server_tls_key_file" : "server_tls_cert_file"
            return (setting, "server_tls_cert_file and server_tls_key_file must be set together")
        }
        if case .direct = serverTLSNegotiation, !serverTLSSslmode.isRequired {
            let text =
                "direct needs server_tls_sslmode = require, verify-ca or verify-full: "
                + "without a question there is no answer that the server has no TLS"
            return ("server_tls_negotiation", text)
        }
        return nil
    }
}

extension Configuration {
    /// Checks what the settings of TLS say together, globally and for each database.
    ///
    /// - Throws: The first thing that makes no sense; where the file has the setting, with its line.
    public func checkTLS() throws(SettingError) {
        if let problem = tlsProblem { throw SettingError("\(problem.setting): \(problem.text)") }
    }

    /// The first thing about TLS that makes no sense, and the global setting or the entry about
    /// which it is.
    var tlsProblem: (setting: String, text: String)? {
        if let problem = settings.clientTLSProblem ?? settings.serverTLSProblem { return problem }
        let entries =
            databaseNames.compactMap { databases[$0] } + [wildcardDatabase].compactMap(\.self)
        for entry in entries {
            let effective = effectiveSettings(database: entry, user: nil)
            guard let problem = effective.serverTLSProblem else { continue }
            let name = quotedForMessage(entry.name)
            return ("database \(name)", "\(problem.setting): \(problem.text)")
        }
        return nil
    }
}

extension SettingCodec<TLSProtocols> {
    static let tlsProtocols = SettingCodec(kind: .tlsProtocols) { text throws(SettingError) in
        guard let value = TLSProtocols(settingText: text) else {
            throw .expected("secure, all, or some of tlsv1.0 to tlsv1.3", found: text)
        }
        return value
    } render: {
        $0.settingText
    }
}

/// PgBouncer's words for the ciphers that the library thinks good, which OpenSSL does not know.
private func openSSLCiphers(_ text: String) -> String {
    switch ByteString(text).lowercasedASCII.text {
    case "default", "secure", "fast", "normal": ""
    case "all", "insecure": "ALL"
    case "compat", "legacy": "ALL:!aNULL:!eNULL"
    default: text
    }
}
