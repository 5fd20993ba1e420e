// The types of settings whose values are words.
//
// Each type lists its words once, as the file spells them; comparison ignores case, as in
// PgBouncer.

public import PostgresWire

/// Whose defaults hold, decided by the name of the main section of the file.
public enum Flavor: String, Sendable, CaseIterable {
    /// Defaults for new installations: section `[martlet]`.
    case martlet
    /// PgBouncer's defaults, for its files used unchanged: section `[pgbouncer]`.
    case pgbouncer
}

/// A value chosen from a fixed list of words.
public protocol SettingKeyword: Sendable, Equatable, CaseIterable, RawRepresentable
where RawValue == String {
    /// Words that PgBouncer knows and the pooler refuses, and why.
    static var unsupportedKeywords: [String: String] { get }
}

extension SettingKeyword {
    public static var unsupportedKeywords: [String: String] { [:] }
}

/// How the event loop talks to the kernel.
public enum IOBackend: String, SettingKeyword {
    /// io_uring where the kernel has all that makes it pay, else epoll.
    case auto
    case epoll
    case ioUring = "io_uring"
}

/// When a server connection goes back to its pool.
public enum PoolMode: String, SettingKeyword {
    /// After the client has disconnected.
    case session
    /// After each transaction.
    case transaction
    /// After each query; transactions of several statements are refused.
    case statement
}

/// How much of a client's session follows it from server to server.
public enum SessionTracking: String, SettingKeyword {
    /// All of it; where nothing else is right, the server stays with its client.
    case full
    /// The settings that PostgreSQL reports, and those asked for at login.
    case reported
    /// Nothing, not even what is asked for at login.
    case off
}

/// What becomes of clients that may have missed notifications.
public enum NotificationLoss: String, SettingKeyword {
    /// They are told by a NOTICE, and go on.
    case notice
    /// They are disconnected, as if their own connection had been lost.
    case disconnect
}

/// How lines of the log are written.
public enum LogFormat: String, SettingKeyword {
    /// As PgBouncer writes them.
    case pgbouncer
    /// One object in a line.
    case json
}

/// Under what the system's log files the lines.
public enum SyslogFacility: String, SettingKeyword {
    case auth, authpriv, daemon, user
    case local0, local1, local2, local3, local4, local5, local6, local7
}

/// How clients prove who they are.
public enum AuthType: String, SettingKeyword {
    /// Anybody may log in under any name.
    case any
    /// Any user who is known may log in, without a password.
    case trust
    /// The password in clear.
    case plain
    /// A salted MD5 hash of the password, or SCRAM for users whose stored secret is SCRAM.
    case md5
    /// SCRAM-SHA-256.
    case scramSHA256 = "scram-sha-256"
    /// The client's certificate, whose common name is the user's.
    case cert
    /// As the rules of auth_hba_file have it.
    case hba

    public static let unsupportedKeywords = [
        "ldap": "Martlet has no LDAP", "pam": "Martlet has no PAM",
    ]
}

/// How a new server connection chooses among several hosts.
public enum LoadBalanceHosts: String, SettingKeyword {
    /// The next host for every connection.
    case roundRobin = "round-robin"
    /// The same host until a connection to it fails.
    case disable
}

/// How a server that was idle for a while is checked before it is used again.
public enum ServerCheckQuery: Sendable, Equatable {
    /// Not at all (an empty value in the file).
    case none
    /// With an empty Query message (`<empty>` in the file).
    case emptyQuery
    /// With this statement.
    case query(ByteString)

    /// The value as it stands in a file.
    public var settingText: ByteString {
        switch self {
        case .none: ""
        case .emptyQuery: "<empty>"
        case .query(let text): text
        }
    }

    /// Reads the value of `server_check_query`; any text has a meaning.
    public init(settingText: ByteString) {
        switch settingText {
        case "": self = .none
        case "<empty>": self = .emptyQuery
        default: self = .query(settingText)
        }
    }
}
