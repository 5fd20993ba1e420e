// What TLS there is in a configuration, made together: all of it can be had, or nothing is changed.

internal import CLinux
internal import Digests
internal import PoolerCore
internal import PostgresWire

/// What connections with TLS are made from.
///
/// It says itself what holds, so that settings that were changed since, and could not be put into effect,
/// change nothing.
final class TLSContexts: Sendable {
    private let client: ClientTLS?
    private let databases: [ByteString: ServerTLS]
    /// For databases that only `*` names, and for peers.
    private let others: ServerTLS
    private let peers: ServerTLS

    /// - Parameter old: the contexts so far; those stay of which nothing has changed.
    /// - Throws: what is wrong with the settings or their files.
    init(
        for configuration: Configuration,
        replacing old: TLSContexts? = nil,
        _ files: TLSFiles
    ) throws(TLSFailure) {
        client = try ClientTLS.make(configuration.settings.clientTLS, old?.client, files)
        var known = old.map { Array($0.databases.values) + [$0.others, $0.peers] } ?? []
        func make(_ database: DatabaseEntry?) throws(TLSFailure) -> ServerTLS {
            let settings = configuration.effectiveSettings(database: database, user: nil)
            let server = try ServerTLS.make(settings.serverTLS, known, files)
            known.append(server)
            return server
        }
        var databases: [ByteString: ServerTLS] = [:]
        for name in configuration.databaseNames {
            databases[name] = try make(configuration.database(named: name))
        }
        others = try make(configuration.wildcardDatabase)
        peers = try make(nil)
        self.databases = databases
    }

    /// What connections of clients are made from; nil where they cannot have TLS.
    var forClients: TLSContext? { client?.context }

    /// Whether clients of another machine have to have TLS.
    var isRequiredOfClients: Bool { client?.settings.mode.isRequired ?? false }

    /// What holds for the servers of a database.
    func forServers(of database: ByteString) -> ServerTLS { databases[database] ?? others }

    /// How a connection to a server begins with TLS; nil if it has none.
    ///
    /// - Parameters:
    ///   - database: the server's; nil for a peer.
    ///   - host: its name or address as the configuration has it.
    func plan(of database: ByteString?, to host: String, at endpoint: Endpoint) -> TLSPlan? {
        if case .unix = endpoint { return nil }
        let server = database.map { forServers(of: $0) } ?? peers
        return server.context.map { TLSPlan($0, server.settings, host: host) }
    }

    /// The certificates that the pooler shows, as they are now.
    func certificates() -> [CertificateSnapshot] {
        let now = Timestamp(unixMicroseconds: martlet_unix_microseconds())
        var all: [CertificateSnapshot] = []
        if let client {
            for (file, facts) in zip(client.settings.certFiles, client.context.certificates) {
                all.append(facts.snapshot(of: file, by: "client_tls_cert_file", now))
            }
        }
        var files: Set<String> = []
        for server in Array(databases.values) + [others, peers] {
            let file = server.settings.certFile
            guard let facts = server.context?.certificate, files.insert(file).inserted else {
                continue
            }
            all.append(facts.snapshot(of: file, by: "server_tls_cert_file", now))
        }
        return all
    }
}

/// TLS with clients.
private final class ClientTLS: Sendable {
    let settings: ClientTLSSettings
    let context: TLSContext
    private let digests: [Digest32]

    private init(_ settings: ClientTLSSettings, _ context: TLSContext, _ digests: [Digest32]) {
        self.settings = settings
        self.context = context
        self.digests = digests
    }

    /// - Returns: nil where there is none.
    static func make(
        _ settings: ClientTLSSettings,
        _ old: ClientTLS?,
        _ files: TLSFiles
    ) throws(TLSFailure) -> ClientTLS? {
        if case .disable = settings.mode { return nil }
        let digests = try files.digests(
            of: settings.certFiles + settings.keyFiles + [settings.caFile]
        )
        if let old, old.settings == settings, old.digests == digests { return old }
        return ClientTLS(settings, try .forClients(settings, files), digests)
    }
}

/// What holds for TLS with the servers of a database: another object as soon as anything has changed.
final class ServerTLS: Sendable {
    let settings: ServerTLSSettings
    /// Nil where there is none.
    let context: TLSContext?
    private let digests: [Digest32]

    private init(_ settings: ServerTLSSettings, _ context: TLSContext?, _ digests: [Digest32]) {
        self.settings = settings
        self.context = context
        self.digests = digests
    }

    fileprivate static func make(
        _ settings: ServerTLSSettings,
        _ known: [ServerTLS],
        _ files: TLSFiles
    ) throws(TLSFailure) -> ServerTLS {
        let isDisabled = settings.mode == .disable
        let digests =
            isDisabled
            ? []
            : try files.digests(of: [settings.certFile, settings.keyFile, settings.caFile])
        let same = known.first { $0.settings == settings && $0.digests == digests }
        if let same { return same }
        return ServerTLS(
            settings,
            isDisabled ? nil : try .forServers(settings, files),
            digests
        )
    }
}

/// How a connection to a server begins with TLS.
struct TLSPlan: Sendable {
    private let context: TLSContext
    private let host: String
    /// Whether it begins at once, without a question.
    let isDirect: Bool
    /// Whether there is no connection without TLS.
    let isRequired: Bool

    fileprivate init(_ context: TLSContext, _ settings: ServerTLSSettings, host: String) {
        self.context = context
        self.host = host
        isDirect = settings.negotiation == .direct
        isRequired = settings.mode.isRequired
    }

    /// - Throws: when the host's name cannot be used.
    func makeSession() throws(TLSFailure) -> TLSSession {
        try TLSSession(connecting: context, to: host)
    }
}
