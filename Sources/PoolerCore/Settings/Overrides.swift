// The settings that may also stand in an entry of [databases], [users] or [peers].
//
// Holds values only; which entry takes which key is the `override` column of `settingTable`.

import PostgresWire

/// Values that replace global ones for one database, user or peer; nil means "as globally".
public struct Overrides: Sendable, Equatable {
    public var poolMode: PoolMode?
    public var sessionTracking: SessionTracking?
    public var isolateCustomSettings: Bool?
    public var pinNotice: Bool?
    public var reuseUnnamedStatements: Bool?
    /// Replaces `default_pool_size`; 0 = unlimited.
    public var poolSize: Int?
    public var minPoolSize: Int?
    public var reservePoolSize: Int?
    public var maxDBConnections: Int?
    public var maxDBClientConnections: Int?
    public var maxUserConnections: Int?
    public var maxUserClientConnections: Int?
    public var serverLifetime: Microseconds?
    public var clientIdleTimeout: Microseconds?
    public var queryTimeout: Microseconds?
    public var queryWaitTimeout: Microseconds?
    public var idleTransactionTimeout: Microseconds?
    public var transactionTimeout: Microseconds?
    public var logMinDuration: Int?
    public var logQueryBytes: Int?
    public var serverChannelBinding: ChannelBinding?
    public var serverTLS13Ciphers: String?
    public var serverTLSCAFile: String?
    public var serverTLSCertFile: String?
    public var serverTLSCiphers: String?
    public var serverTLSKeyFile: String?
    public var serverTLSNegotiation: TLSNegotiation?
    public var serverTLSProtocols: TLSProtocols?
    public var serverTLSSslmode: TLSMode?

    /// Makes overrides that replace nothing.
    public init() {}

    /// Writes the values that are present over those of `settings`.
    public func apply(to settings: inout Settings) {
        // Most entries override nothing, and this runs at every login.
        guard self != Overrides() else { return }
        for override in settingOverrides {
            override.apply(self, &settings)
        }
    }
}

/// A section whose entries may override settings.
public enum EntrySection: String, Sendable, CaseIterable {
    case databases
    case users
    case peers
}

/// The `override` column of a row: under which name a setting may stand in which entries.
public struct SettingOverride: Sendable {
    /// The key in an entry.
    public let name: String
    /// Other spellings of the key.
    public let aliases: [String]
    /// Whose entries take the key.
    public let sections: [EntrySection]
    /// Reads the key's value into the overrides of an entry.
    let store: @Sendable (ByteString, inout Overrides) throws(SettingError) -> Void
    /// Writes the value, if present, over the global one.
    let apply: @Sendable (Overrides, inout Settings) -> Void
    /// Whether there is a value.
    public let isPresent: @Sendable (Overrides) -> Bool

    var allNames: [String] { [name] + aliases }
}
