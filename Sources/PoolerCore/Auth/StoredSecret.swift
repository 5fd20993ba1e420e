// What the pooler knows of a user beforehand, from auth_file, and what it knows after a login. The
// text of auth_file is classified here and nowhere else.

internal import Digests
public import PostgresWire

/// A user's entry in auth_file.
public enum StoredSecret: Equatable, Sendable, Redacted {
    case plain(ByteString)
    case md5(MD5Secret)
    case scram(SCRAMSecret)
    /// The user exists, but no password can be right: the text is empty or a broken SCRAM secret.
    case unusable

    /// How a secret is kept.
    public enum Kind: Sendable {
        case plain
        case md5
        case scram
    }

    /// Classifies the text of auth_file.
    ///
    /// A text that starts like a SCRAM secret and is none is unusable. PgBouncer would take it for a
    /// plain password, so that whoever reads the broken line could log in with it.
    public init(classifying text: ByteString) {
        if text.isEmpty {
            self = .unusable
        } else if let secret = MD5Secret(parsing: text) {
            self = .md5(secret)
        } else if let secret = SCRAMSecret(parsing: text) {
            self = .scram(secret)
        } else if text.bytes.starts(with: "\(SCRAMSecret.scheme)$".utf8) {
            self = .unusable
        } else {
            self = .plain(text)
        }
    }

    /// How the secret is kept; nil when it is unusable.
    public var kind: Kind? {
        switch self {
        case .plain: .plain
        case .md5: .md5
        case .scram: .scram
        case .unusable: nil
        }
    }
}

/// What the pooler can show to a server on behalf of a user.
public enum Credentials: Equatable, Sendable, Redacted {
    case none
    case plain(ByteString)
    case md5(MD5Secret)
    case scram(SCRAMKeys)

    /// What the stored secret is worth by itself.
    ///
    /// A SCRAM secret verifies but cannot log in: the keys have to come from a client's proof.
    public init(_ secret: StoredSecret) {
        switch secret {
        case .plain(let password): self = .plain(password)
        case .md5(let secret): self = .md5(secret)
        case .scram, .unusable: self = .none
        }
    }
}
