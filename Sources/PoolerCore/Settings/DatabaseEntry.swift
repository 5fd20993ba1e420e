// A database as clients name it: where it really is, and what differs there.
//
// Holds what an entry of [databases] says. Looking up an entry, and what holds in the end, is
// `Configuration`.

public import PostgresWire

/// An entry of [databases].
public struct DatabaseEntry: Sendable, Equatable {
    /// The name clients use; `*` in the entry for unknown names.
    public var name: ByteString
    /// The name on the server; nil = the name clients use.
    public var dbname: ByteString?
    /// Host names, addresses, folders of Unix sockets (`/…`) or abstract sockets (`@…`);
    /// empty = a Unix socket in unix_socket_dir.
    public var hosts: [String] = []
    public var port = 5432
    /// Log in to the server as this user whoever the client is; nil = as the client's user.
    public var user: ByteString?
    /// The password of `user`; nil = its secret in the auth_file.
    public var password: ByteString?
    /// Who asks where for the secrets of users who are not in the auth_file, and how; nil = as globally.
    public var authUser: ByteString?
    public var authQuery: ByteString?
    public var authDBName: ByteString?
    public var loadBalanceHosts = LoadBalanceHosts.roundRobin
    /// Run on every new server connection; its errors are only logged.
    public var connectQuery: ByteString?
    // Sent to the server at login.
    public var clientEncoding: ByteString?
    public var dateStyle: ByteString?
    public var timeZone: ByteString?
    public var applicationName: ByteString?
    /// Settings that differ for this database.
    public var overrides = Overrides()

    /// Makes the entry of a database of the same name on the Unix socket in unix_socket_dir.
    public init(name: ByteString) {
        self.name = name
    }

    /// The name of the database on the server.
    public var serverDatabaseName: ByteString { dbname ?? name }

    /// Parameters of the entry for the server's StartupMessage, beside user and database.
    public var startupParameters: [(name: ByteString, value: ByteString)] {
        let parameters: [(ByteString, ByteString?)] = [
            ("client_encoding", clientEncoding), ("DateStyle", dateStyle),
            ("TimeZone", timeZone), ("application_name", applicationName),
        ]
        return parameters.compactMap { name, value in value.map { (name, $0) } }
    }

    /// Whether server connections made for `other` may go on serving this entry after a reload.
    public func connectsLike(_ other: DatabaseEntry) -> Bool {
        serverDatabaseName == other.serverDatabaseName && hosts == other.hosts && port == other.port
            && user == other.user && loadBalanceHosts == other.loadBalanceHosts
            && connectQuery == other.connectQuery
            && startupParameters.elementsEqual(other.startupParameters, by: ==)
    }
}

extension DatabaseEntry: ConfigurationEntry {
    static let section = EntrySection.databases

    /// The keys that only databases have, in the order of their documentation.
    public static let keys: [EntryKey<DatabaseEntry>] = [
        .text("dbname", \.dbname, doc: "Name on the server; the entry's name if absent."),
        EntryKey(
            name: "host",
            doc: "Host name, address, folder of a Unix socket or `@abstract` name, or several "
                + "separated by commas; the Unix socket in unix_socket_dir if absent."
        ) { text, entry throws(SettingError) in
            entry.hosts = try SettingCodec.list.parse(text)
        },
        EntryKey(name: "port", doc: "Port on the server, 5432 if absent.") {
            text,
            entry throws(SettingError) in
            entry.port = try SettingCodec.int(1...65535).parse(text)
        },
        .text(
            "user",
            \.user,
            atMost: LengthLimit.userName,
            doc: "Log in to the server as this user whoever the client is."
        ),
        .text(
            "password",
            \.password,
            atMost: LengthLimit.secret,
            doc: "Password of `user`; its secret in the auth_file if absent."
        ),
        .text(
            "auth_user",
            \.authUser,
            atMost: LengthLimit.userName,
            doc: "User who runs auth_query for clients of this database."
        ),
        .text(
            "auth_query",
            \.authQuery,
            doc: "Query for the secrets of users who are not in the auth_file."
        ),
        EntryKey(name: "auth_dbname", doc: "Database in which auth_query runs.") {
            text,
            entry throws(SettingError) in
            let name = try SettingCodec<ByteString>.databaseName.parse(text)
            entry.authDBName = name.isEmpty ? nil : name
        },
        EntryKey(
            name: "load_balance_hosts",
            doc: "How one of several hosts is chosen: `round-robin`, or `disable` to stay with one."
        ) { text, entry throws(SettingError) in
            entry.loadBalanceHosts = try SettingCodec.keyword.parse(text)
        },
        .text(
            "connect_query",
            \.connectQuery,
            doc: "Statement to run on every new server connection."
        ),
        .text(
            "client_encoding",
            \.clientEncoding,
            doc: "client_encoding of new server connections."
        ),
        .text("datestyle", \.dateStyle, doc: "DateStyle of new server connections."),
        .text("timezone", \.timeZone, doc: "TimeZone of new server connections."),
        .text(
            "application_name",
            \.applicationName,
            doc: "application_name of new server connections."
        ),
    ]
}

extension EntryKey<DatabaseEntry> {
    /// A text; an empty one counts as absent.
    fileprivate static func text(
        _ name: String,
        _ keyPath: any WritableKeyPath<DatabaseEntry, ByteString?> & Sendable,
        atMost limit: Int = .max,
        doc: String
    ) -> EntryKey {
        EntryKey(name: name, doc: doc) { text, entry throws(SettingError) in
            let value = try checkLength(text, atMost: limit)
            entry[keyPath: keyPath] = value.isEmpty ? nil : value
        }
    }
}
