// The parameters of a connection URL that are about TLS, and the settings that they amount to. They mean
// what they mean to libpq; what libpq takes from files in the user's home is not looked for.
//
// Source: PostgreSQL documentation, sections 32.1.2 "Parameter Key Words" and 32.19 "SSL Support".

internal import PostgresWire

/// What a URL says about TLS.
struct TLSParameters: Sendable, Equatable {
    private var mode: TLSMode?
    private var negotiation: TLSNegotiation?
    private var channelBinding: ChannelBinding?
    /// Nil = none; `system` = those that the system trusts.
    private var rootCert: String?
    private var cert: String?
    private var key: String?
    private var minimum: Version?
    private var maximum: Version?

    /// The names that `read` knows.
    static let names = [
        "sslmode", "sslnegotiation", "channel_binding", "sslrootcert", "sslcert", "sslkey",
        "ssl_min_protocol_version", "ssl_max_protocol_version",
    ]

    /// The versions of TLS, in their order.
    private enum Version: String, SettingKeyword {
        case tls10 = "tlsv1"
        case tls11 = "tlsv1.1"
        case tls12 = "tlsv1.2"
        case tls13 = "tlsv1.3"

        var protocols: TLSProtocols {
            switch self {
            case .tls10: .tls10
            case .tls11: .tls11
            case .tls12: .tls12
            case .tls13: .tls13
            }
        }
    }

    /// Reads a parameter.
    ///
    /// - Returns: whether it is about TLS.
    /// - Throws: what was expected, without the name of the parameter.
    mutating func read(_ name: String, _ value: ByteString) throws(SettingError) -> Bool {
        switch name {
        case "sslmode": mode = try SettingCodec.keyword.parse(value)
        case "sslnegotiation": negotiation = try SettingCodec.keyword.parse(value)
        case "channel_binding": channelBinding = try SettingCodec.keyword.parse(value)
        case "sslrootcert": rootCert = try Self.path(value)
        case "sslcert": cert = try Self.path(value)
        case "sslkey": key = try Self.path(value)
        case "ssl_min_protocol_version": minimum = try Self.version(value)
        case "ssl_max_protocol_version": maximum = try Self.version(value)
        case "sslsni", "sslcompression", "sslcertmode": try Self.checkUsual(name, value)
        case "sslcrl", "sslcrldir":
            throw SettingError("Martlet reads no lists of revoked certificates")
        case "sslpassword": throw SettingError("Martlet takes keys without a passphrase only")
        default: return false
        }
        return true
    }

    /// What is taken where it asks for what happens anyway.
    private static func checkUsual(_ name: String, _ value: ByteString) throws(SettingError) {
        let usual: ByteString =
            switch name {
            case "sslsni": "1"
            case "sslcompression": "0"
            default: "allow"
            }
        guard value == usual else { throw .expected(usual.text, found: value) }
    }

    /// As in libpq, an empty value is none.
    private static func path(_ value: ByteString) throws(SettingError) -> String? {
        value.isEmpty ? nil : try SettingCodec<String>.path.parse(value)
    }

    private static func version(_ value: ByteString) throws(SettingError) -> Version? {
        value.isEmpty ? nil : try SettingCodec<Version>.keyword.parse(value)
    }

    // MARK: Settings

    /// Writes what the parameters amount to into the overrides of a database.
    ///
    /// - Throws: what makes no sense together.
    func apply(to overrides: inout Overrides) throws(SettingError) {
        let mode = try effectiveMode()
        overrides.serverTLSSslmode = mode
        overrides.serverTLSNegotiation = negotiation
        overrides.serverChannelBinding = channelBinding
        overrides.serverTLSCAFile = rootCert == Self.system ? "" : rootCert
        overrides.serverTLSCertFile = cert
        overrides.serverTLSKeyFile = key
        overrides.serverTLSProtocols = try protocols()
        if (cert == nil) != (key == nil) {
            throw SettingError("expected sslcert and sslkey together")
        }
        if negotiation == .direct, mode?.isRequired != true {
            throw SettingError(
                "sslnegotiation=direct needs sslmode=require, verify-ca or verify-full"
            )
        }
        if channelBinding == .require, mode == .disable {
            throw SettingError("channel_binding=require needs TLS, and sslmode is disable")
        }
    }

    private func effectiveMode() throws(SettingError) -> TLSMode? {
        switch (rootCert, mode) {
        case (Self.system, nil), (Self.system, .verifyFull):
            return .verifyFull
        case (Self.system, .some(let mode)):
            // Whoever has a certificate from any of these authorities would be let through.
            throw SettingError(
                "sslmode=\(mode.rawValue) is too weak with sslrootcert=system: use verify-full"
            )
        case (nil, .verifyCA):
            throw SettingError("sslmode=verify-ca needs sslrootcert")
        case (.some, .require):
            return .verifyCA
        case (_, let mode):
            return mode
        }
    }

    /// Nil where nothing is said.
    private func protocols() throws(SettingError) -> TLSProtocols? {
        guard minimum != nil || maximum != nil else { return nil }
        let order = Version.allCases
        let first = order.firstIndex(of: minimum ?? .tls12) ?? order.startIndex
        let last = maximum.flatMap { order.firstIndex(of: $0) } ?? order.endIndex - 1
        guard first <= last else {
            throw SettingError(
                "ssl_max_protocol_version is below ssl_min_protocol_version, which is "
                    + "\(order[first].rawValue)"
            )
        }
        return order[first...last].reduce(into: []) { $0.formUnion($1.protocols) }
    }

    private static let system = "system"
}
