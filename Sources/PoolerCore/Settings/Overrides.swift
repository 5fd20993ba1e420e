// The settings that may also stand in an entry of [databases] or [users].
//
// Holds values only; which entry takes which key is the `override` column of `settingTable`.

import PostgresWire

/// Values that replace global ones for one database or user; nil means "as globally".
package struct Overrides: Sendable, Equatable {
    package var poolMode: PoolMode?
    /// Replaces `default_pool_size`; 0 = unlimited.
    package var poolSize: Int?
    package var minPoolSize: Int?
    package var reservePoolSize: Int?
    package var maxDBConnections: Int?
    package var maxDBClientConnections: Int?
    package var maxUserConnections: Int?
    package var maxUserClientConnections: Int?
    package var serverLifetime: Microseconds?
    package var clientIdleTimeout: Microseconds?
    package var queryTimeout: Microseconds?
    package var queryWaitTimeout: Microseconds?
    package var idleTransactionTimeout: Microseconds?
    package var transactionTimeout: Microseconds?

    /// Makes overrides that replace nothing.
    package init() {}

    /// Writes the values that are present over those of `settings`.
    package func apply(to settings: inout Settings) {
        // Most entries override nothing, and this runs at every login.
        guard self != Overrides() else { return }
        for override in settingOverrides {
            override.apply(self, &settings)
        }
    }
}

/// A section whose entries may override settings.
package enum EntrySection: String, Sendable, CaseIterable {
    case databases
    case users
}

/// The `override` column of a row: under which name a setting may stand in which entries.
package struct SettingOverride: Sendable {
    /// The key in an entry.
    package let name: String
    /// Other spellings of the key.
    package let aliases: [String]
    /// Whose entries take the key.
    package let sections: [EntrySection]
    /// Reads the key's value into the overrides of an entry.
    let store: @Sendable (ByteString, inout Overrides) throws(SettingError) -> Void
    /// Writes the value, if present, over the global one.
    let apply: @Sendable (Overrides, inout Settings) -> Void

    var allNames: [String] { [name] + aliases }
}
