// What a client asks for with the parameter `replication` of its StartupMessage. PostgreSQL serves such
// a connection by a WAL sender, which knows other commands, and streams for as long as both sides live.
//
// Source: PostgreSQL documentation, section 55.4 "Streaming Replication Protocol".

public import PostgresWire

/// Whether a connection is for replication, and for which.
public enum ReplicationKind: UInt8, Sendable {
    case none
    /// Of a database's changes; SQL is understood, too.
    case logical
    /// Of the whole cluster; the database does not matter.
    case physical

    /// Reads the value of the parameter.
    ///
    /// As in PostgreSQL: `database`, or a truth value, of which the beginning is enough.
    ///
    /// - Returns: nil where PostgreSQL has neither.
    public init?(_ value: ByteString) {
        if value.isText("database") {
            self = .logical
        } else if let isWanted = Self.truth(of: value.lowercasedASCII) {
            self = isWanted ? .physical : .none
        } else {
            return nil
        }
    }

    private static func truth(of value: ByteString) -> Bool? {
        guard !value.isEmpty else { return nil }
        // "o" could be both.
        if value.isText("o") { return nil }
        let begins = { (word: StaticString) in isBeginning(value, of: word) }
        if begins("true") || begins("yes") || begins("on") || value.isText("1") { return true }
        if begins("false") || begins("no") || begins("off") || value.isText("0") { return false }
        return nil
    }

    private static func isBeginning(_ value: ByteString, of word: StaticString) -> Bool {
        "\(word)".utf8.starts(with: value.bytes)
    }

    /// As SHOW CLIENTS and SHOW SERVERS have it.
    public var text: ByteString {
        switch self {
        case .none: "none"
        case .logical: "logical"
        case .physical: "physical"
        }
    }

    /// As a StartupMessage has it.
    public var parameterValue: ByteString {
        switch self {
        case .none: "false"
        case .logical: "database"
        case .physical: "true"
        }
    }
}
