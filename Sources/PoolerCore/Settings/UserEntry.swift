// A user for whom some settings differ.
//
// Holds what an entry of [users] says: overrides only. Secrets are in `UserList`.

package import PostgresWire

/// An entry of [users].
package struct UserEntry: Sendable, Equatable {
    package var name: ByteString
    /// Settings that differ for this user; they win over those of a database.
    package var overrides = Overrides()

    /// Makes an entry in which nothing differs.
    package init(name: ByteString) {
        self.name = name
    }
}

extension UserEntry: ConfigurationEntry {
    static let section = EntrySection.users
    static let keys: [EntryKey<UserEntry>] = []
}
