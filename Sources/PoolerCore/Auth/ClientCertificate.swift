// What the certificate of a client is worth: what it says, what can be asked of it, and whether it
// meets that. Whether it can be believed has been decided when the TLS connection was made.
//
// Source: PostgreSQL documentation, section 21.12 "Certificate Authentication".

public import PostgresWire

/// What the certificate of a client says, once it has been found good.
public struct ClientCertificate: Equatable, Sendable {
    /// The attribute CN of the subject; empty if it has none.
    public let commonName: ByteString
    /// The whole subject, in the form of RFC 2253: `CN=ada,OU=ops,O=Example`.
    public let distinguishedName: ByteString

    public init(commonName: ByteString, distinguishedName: ByteString) {
        self.commonName = commonName
        self.distinguishedName = distinguishedName
    }
}

/// What is asked of a client's certificate.
public enum CertificateDemand: Equatable, Sendable {
    /// That there is one: clientcert=verify-ca.
    case verified
    /// That a name in it is the user's, or one that a map of auth_ident_file lets be the user.
    case name(CertificateName, map: ByteString?)
}

/// Which name in a certificate counts: the option clientname.
public enum CertificateName: Sendable {
    case commonName
    case distinguishedName
}

/// Why a client's certificate is not enough.
public enum CertificateFailure: Equatable, Sendable {
    case notEncrypted
    case missing
    /// It has no name, or one that no user can have.
    case noName
    case wrongName
    case unknownUser

    /// For the log, PgBouncer's where PgBouncer has one.
    var logText: String {
        switch self {
        case .notEncrypted: "TLS connection required"
        case .missing: "TLS client certificate required"
        case .noName: "TLS certificate has no name of a user"
        case .wrongName: "TLS certificate name mismatch"
        case .unknownUser: "TLS certificate of an unknown user"
        }
    }
}

extension Configuration {
    /// Why a client's certificate is not what is asked of it; nil if it is.
    func failure(of login: HBALogin, under demand: CertificateDemand) -> CertificateFailure? {
        guard login.isEncrypted else { return .notEncrypted }
        guard let certificate = login.certificate else { return .missing }
        guard case .name(let part, let map) = demand else { return nil }
        let name =
            switch part {
            case .commonName: certificate.commonName
            case .distinguishedName: certificate.distinguishedName
            }
        guard !name.isEmpty, !name.bytes.contains(0) else { return .noName }
        let isUser = identMaps.allows(systemUser: name, toBe: login.user, by: map)
        return isUser ? nil : .wrongName
    }
}
