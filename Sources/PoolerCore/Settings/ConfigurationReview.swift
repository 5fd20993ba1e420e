// What an operator should know of a configuration before it is used: what is risky, what has no effect,
// and where each value comes from. Nothing here refuses anything: what is wrong has been refused by
// the parser.

public import PostgresWire

/// Something in a configuration that somebody may not have meant.
public struct ConfigurationRemark: Equatable, Sendable {
    public enum Weight: String, Sendable {
        /// Somebody may get in who should not, or clients may fail.
        case warning
        /// It does nothing, or is not needed.
        case note
    }

    public let weight: Weight
    /// The setting or entry that it is about.
    public let subject: String
    public let text: String

    public init(_ weight: Weight, _ subject: String, _ text: String) {
        self.weight = weight
        self.subject = subject
        self.text = text
    }
}

/// Where the value of a setting comes from.
public enum SettingSource: Equatable, Sendable {
    case standard(Flavor)
    case file(SourceLine)
    case database(ByteString)
    case user(ByteString)

    /// For people.
    public var text: String {
        switch self {
        case .standard(let flavor): "default of [\(flavor.rawValue)]"
        case .file(let place): place.description
        case .database(let name): "[databases] \(name)"
        case .user(let name): "[users] \(name)"
        }
    }
}

extension Configuration {
    // MARK: Explain

    /// The value of every setting that holds for a user in a database, and where it comes from.
    ///
    /// - Parameters:
    ///   - database: nil for the global values.
    ///   - user: nil for a user without an entry.
    public func explained(
        database: ByteString?,
        user: ByteString?
    ) -> [(row: SettingRow, value: ByteString, source: SettingSource)] {
        let entry = database.flatMap { self.database(named: $0) }
        let account = user.flatMap { users[$0] }
        let effective = effectiveSettings(database: entry, user: user)
        return settingTable.map { row in
            var source = places[row.name].map(SettingSource.file) ?? .standard(flavor)
            if let override = row.override {
                if let entry, override.isPresent(entry.overrides) {
                    source = .database(entry.name)
                }
                if let account, override.isPresent(account.overrides) {
                    source = .user(account.name)
                }
            }
            return (row, row.value(in: effective), source)
        }
    }

    // MARK: Check

    /// What is risky or without effect.
    ///
    /// - Parameters:
    ///   - list: the users of auth_file.
    ///   - isReadableByAll: whether anybody on the machine can read a file.
    public func remarks(
        _ list: UserList,
        isReadableByAll: (String) -> Bool = { _ in false }
    ) -> [ConfigurationRemark] {
        remarksOnAccess(list, isReadableByAll) + remarksOnLimits() + remarksWithoutEffect()
            + remarksOnRules() + remarksOnUsers(list) + remarksOnPeers()
    }

    private func remarksOnAccess(
        _ list: UserList,
        _ isReadableByAll: (String) -> Bool
    ) -> [ConfigurationRemark] {
        var remarks: [ConfigurationRemark] = []
        let isOpen = settings.listenAddr.contains {
            !["127.0.0.1", "::1", "localhost"].contains($0)
        }
        if isOpen, [.any, .trust].contains(settings.authType) {
            remarks.append(
                .init(
                    .warning,
                    "auth_type",
                    "\(settings.authType.rawValue) asks for no password, and listen_addr lets other machines in"
                )
            )
        }
        if isOpen, case .plain = settings.authType {
            remarks.append(
                .init(.warning, "auth_type", "plain sends passwords in clear over the network")
            )
        }
        if settings.adminUsers.isEmpty {
            remarks.append(
                .init(
                    .note,
                    "admin_users",
                    "nobody can use the console but the pooler's own user, over the Unix socket"
                )
            )
        }
        if settings.listenAddr.isEmpty && settings.unixSocketDir.isEmpty {
            remarks.append(
                .init(.warning, "listen_addr", "empty, as unix_socket_dir is: no client gets in")
            )
        }
        if isReadableByAll(settings.authFile) {
            remarks.append(
                .init(.warning, "auth_file", "everybody on this machine can read the secrets")
            )
        }
        if databases.values.contains(where: { $0.password != nil })
            && isReadableByAll(settings.conffile)
        {
            remarks.append(
                .init(
                    .warning,
                    "conffile",
                    "it has passwords of databases, and everybody on this machine can read it"
                )
            )
        }
        for line in list.brokenLines {
            remarks.append(.init(.warning, "auth_file", "\(line)"))
        }
        return remarks
    }

    private func remarksOnLimits() -> [ConfigurationRemark] {
        var remarks: [ConfigurationRemark] = []
        if databases.isEmpty && wildcardDatabase == nil {
            remarks.append(.init(.warning, "[databases]", "there is none: every login fails"))
        }
        if settings.queryWaitTimeout == 0 {
            remarks.append(
                .init(
                    .warning,
                    "query_wait_timeout",
                    "0: a client may wait for a server for ever"
                )
            )
        }
        if settings.serverLifetime == 0 {
            remarks.append(
                .init(.warning, "server_lifetime", "0: each server is used once and closed")
            )
        }
        if settings.reservePoolSize > 0 && settings.reservePoolTimeout == 0 {
            remarks.append(
                .init(.note, "reserve_pool_size", "no effect with reserve_pool_timeout = 0")
            )
        }
        for name in databaseNames {
            let limits = effectiveSettings(database: databases[name], user: nil)
            if limits.defaultPoolSize > 0, limits.minPoolSize > limits.defaultPoolSize {
                remarks.append(
                    .init(
                        .note,
                        "[databases] \(name)",
                        "min_pool_size \(limits.minPoolSize) is more than pool_size \(limits.defaultPoolSize)"
                    )
                )
            }
            if limits.defaultPoolSize == 0 && limits.maxDBConnections == 0 {
                remarks.append(
                    .init(
                        .warning,
                        "[databases] \(name)",
                        "no limit: pool_size and max_db_connections are 0, PostgreSQL's max_connections is not"
                    )
                )
            }
        }
        return remarks
    }

    private func remarksWithoutEffect() -> [ConfigurationRemark] {
        var remarks: [ConfigurationRemark] = []
        for row in settingTable where row.topic == .compatibility && places[row.name] != nil {
            remarks.append(.init(.note, row.name, row.doc))
        }
        if settings.serverResetQueryAlways, settings.tracksSessions {
            remarks.append(
                .init(
                    .note,
                    "server_reset_query_always",
                    "not needed: what a client leaves in a session never reaches another one"
                )
            )
        }
        if settings.sessionTracking != .full {
            remarks.append(
                .init(
                    .warning,
                    "session_tracking",
                    "\(settings.sessionTracking.rawValue): clients can meet what others left in a session"
                )
            )
        }
        if !settings.ignoreStartupParameters.isEmpty {
            remarks.append(
                .init(
                    .note,
                    "ignore_startup_parameters",
                    "PostgreSQL is asked for every parameter; these are dropped all the same"
                )
            )
        }
        return remarks
    }

    private func remarksOnRules() -> [ConfigurationRemark] {
        guard settings.authType == .hba, settings.clientTLSSslmode == .disable else { return [] }
        let rules = hbaRules.rules.filter { $0.needsTLS || $0.method == .cert }
        return rules.map { rule in
            .init(
                .warning,
                "auth_hba_file",
                "line \(rule.line): nobody meets it while client_tls_sslmode is disable"
            )
        }
    }

    private func remarksOnUsers(_ list: UserList) -> [ConfigurationRemark] {
        var remarks: [ConfigurationRemark] = []
        for name in databaseNames {
            guard let user = databases[name]?.user, databases[name]?.password == nil,
                list.secrets[user] == nil
            else { continue }
            remarks.append(
                .init(
                    .warning,
                    "[databases] \(name)",
                    "no password for its user \(user), neither here nor in auth_file"
                )
            )
        }
        return remarks
    }

    private func remarksOnPeers() -> [ConfigurationRemark] {
        if settings.peerID == 0 { return remarksWithoutPeerID() }
        var remarks: [ConfigurationRemark] = []
        if peers.keys.allSatisfy({ $0 == settings.peerID }) {
            remarks.append(
                .init(.warning, "peer_id", "[peers] names no other pooler to pass requests on to")
            )
        }
        var places: [String: Int] = [:]
        for peer in sortedPeers where peer.id != settings.peerID {
            let subject = "[peers] \(peer.id)"
            if peer.id > Self.peerIDLimit {
                let text = "no pooler can have this id: peer_id goes to \(Self.peerIDLimit)"
                remarks.append(.init(.warning, subject, text))
            }
            if let other = places.updateValue(peer.id, forKey: "\(peer.host):\(peer.port)") {
                remarks.append(
                    .init(.warning, subject, "the same address as that of peer \(other)")
                )
            }
            if leadsHere(peer) {
                remarks.append(
                    .init(
                        .warning,
                        subject,
                        settings.soReuseport
                            ? "so_reuseport: this address is that of all poolers on the port; use its Unix socket"
                            : "this is the address of this pooler itself"
                    )
                )
            }
        }
        return remarks
    }

    private func remarksWithoutPeerID() -> [ConfigurationRemark] {
        var remarks: [ConfigurationRemark] = []
        if !peers.isEmpty {
            remarks.append(.init(.warning, "[peers]", "no effect without a peer_id"))
        }
        if settings.soReuseport {
            remarks.append(
                .init(
                    .warning,
                    "so_reuseport",
                    "without peer_id and [peers] a cancel request can reach another process, which drops it"
                )
            )
        }
        return remarks
    }

    /// Whether a peer's address is one at which this pooler listens, as far as the text of both says so.
    private func leadsHere(_ peer: PeerEntry) -> Bool {
        guard peer.port == settings.listenPort else { return false }
        if peer.host == settings.unixSocketDir { return true }
        let isLoopback = ["127.0.0.1", "::1", "localhost"].contains(peer.host)
        return settings.listenAddr.contains { $0 == peer.host || $0 == "*" && isLoopback }
    }
}
