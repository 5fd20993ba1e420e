// A user for whom some settings differ.
//
// Holds what an entry of [users] says: overrides only. Secrets are in `UserList`.

public import PostgresWire

/// An entry of [users].
public struct UserEntry: Sendable, Equatable {
    public var name: ByteString
    /// Settings that differ for this user; they win over those of a database.
    public var overrides = Overrides()

    /// Makes an entry in which nothing differs.
    public init(name: ByteString) {
        self.name = name
    }
}

extension UserEntry: ConfigurationEntry {
    static let section = EntrySection.users
    static let keys: [EntryKey<UserEntry>] = []
}
