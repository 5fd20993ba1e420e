// Everything the operator configured, and what holds for a given database and user.
//
// A configuration is a value: a reload makes a new one from the file and swaps it in, so a bad file
// changes nothing. Reading one from text is in ConfigurationParser.swift and ConnectionURL.swift.

public import PostgresWire

/// The whole configuration of the pooler.
public struct Configuration: Sendable, Equatable {
    /// Whose defaults hold.
    public var flavor: Flavor
    /// The global settings.
    public var settings: Settings
    /// The places of the global settings that the file has, by name.
    public internal(set) var places: [String: SourceLine] = [:]
    /// The databases by the name clients use, without the `*` entry.
    public private(set) var databases: [ByteString: DatabaseEntry] = [:]
    /// The names of `databases` in the order of the file.
    public private(set) var databaseNames: [ByteString] = []
    /// The `*` entry, for names that `databases` lacks.
    public private(set) var wildcardDatabase: DatabaseEntry?
    /// The users for whom settings differ.
    public private(set) var users: [ByteString: UserEntry] = [:]
    /// The names of `users` in the order of the file.
    public private(set) var userNames: [ByteString] = []
    /// Other poolers behind the same address, by their peer_id.
    public private(set) var peers: [Int: PeerEntry] = [:]
    /// Users who may log in beside those of auth_file, with their secrets: that of a connection
    /// URL.
    public var inlineUsers = UserList()
    /// What auth_hba_file and auth_ident_file say.
    public var hbaRules = HBARules()
    public var identMaps = IdentMaps()

    /// Makes a configuration without databases, with the defaults of `flavor`.
    public init(flavor: Flavor = .martlet) {
        self.flavor = flavor
        self.settings = Settings(flavor: flavor)
    }

    /// Adds a database, or replaces the one of that name; `*` is the entry for unknown names.
    public mutating func add(_ database: DatabaseEntry) {
        if database.name == Self.wildcardName {
            wildcardDatabase = database
        } else if databases.updateValue(database, forKey: database.name) == nil {
            databaseNames.append(database.name)
        }
    }

    /// Adds a user, or replaces the one of that name.
    public mutating func add(_ user: UserEntry) {
        if users.updateValue(user, forKey: user.name) == nil {
            userNames.append(user.name)
        }
    }

    /// Adds a peer, or replaces the one of that id.
    public mutating func add(_ peer: PeerEntry) {
        peers[peer.id] = peer
    }

    /// The peers in the order of their ids.
    public var sortedPeers: [PeerEntry] { peers.values.sorted { $0.id < $1.id } }

    /// How many cancel requests may be under way to a peer at once; 0 means any number.
    public func poolSize(of peer: PeerEntry) -> Int {
        peer.overrides.poolSize ?? settings.defaultPoolSize
    }

    /// The database that a client means by `name`: its entry, or one made from the `*` entry.
    ///
    /// Returns nil if there is neither. The console's names are not databases and never found.
    public func database(named name: ByteString) -> DatabaseEntry? {
        if let entry = databases[name] { return entry }
        guard var entry = wildcardDatabase, !Self.consoleNames.contains(name), !name.isEmpty,
            name.count <= LengthLimit.databaseName
        else { return nil }
        entry.name = name
        return entry
    }

    /// The name of the database through which a client gets that asks for physical replication.
    ///
    /// Such a connection has no database; PostgreSQL ignores the name, and standbys and PostgreSQL's
    /// own tools give `replication`. Where there is no such entry, and all databases are on the same
    /// server, it is the first.
    public func databaseName(forPhysicalReplication name: ByteString) -> ByteString {
        guard database(named: name) == nil, !Self.consoleNames.contains(name),
            let first = databaseNames.first.flatMap({ databases[$0] }),
            databases.values.allSatisfy({ $0.hosts == first.hosts && $0.port == first.port })
        else { return name }
        return first.name
    }

    /// The settings that hold for a user in a database: the user's over the database's over the
    /// global ones.
    ///
    /// `pool_size` of an entry becomes `defaultPoolSize` here. Makes a copy of all settings: call
    /// it when a pool is made or a client logs in, not for every message.
    public func effectiveSettings(database: DatabaseEntry?, user: ByteString?) -> Settings {
        var result = settings
        if let database { database.overrides.apply(to: &result) }
        if let user, let entry = users[user] { entry.overrides.apply(to: &result) }
        return result
    }

    /// This configuration as it takes effect in a pooler that runs with `running`.
    ///
    /// - Parameter running: The configuration in effect.
    /// - Returns: The configuration to use now, in which settings that need a restart keep their
    ///   running values, and the rows of those that would have changed.
    public func reloaded(
        over running: Configuration
    ) -> (configuration: Configuration, needingRestart: [SettingRow]) {
        var result = self
        let rows = settingsNeedingRestart(from: running.settings, to: settings)
        for row in rows {
            row.copy(from: running.settings, to: &result.settings)
        }
        return (result, rows)
    }

    /// The largest peer_id.
    public static let peerIDLimit = 16_383

    /// The name of the database entry that serves unknown names.
    public static let wildcardName: ByteString = "*"

    /// The database names at which the console answers; no database can have them.
    public static let consoleNames: Set<ByteString> = ["martlet", "pgbouncer"]
}

/// The settings that differ and take effect only at a restart.
public func settingsNeedingRestart(from old: Settings, to new: Settings) -> [SettingRow] {
    settingTable.filter { $0.change == .restart && $0.value(in: old) != $0.value(in: new) }
}
