// What TLS sessions are made from: one context for all that have the same settings and certificates.
// It is made anew only when these have changed, so that tickets stay good over a RELOAD.

internal import CLinux
internal import COpenSSL
internal import PoolerCore
internal import PostgresWire

/// Certificates, keys and rules, for one side of connections.
///
/// OpenSSL lets any number of threads make sessions from a context that is no longer changed; what is
/// learnt later is behind a lock.
final class TLSContext: Sendable {
    private let pointer: TLSPointer
    /// Contexts with other certificates, for clients that ask for their names.
    private let alternatives: [TLSContext]
    /// What the certificate of this side says, if it has one.
    let certificate: CertificateFacts?
    /// Whether names of servers are compared with their certificates.
    private let checksHosts: Bool
    /// By host: what the last connection to it can be gone on from.
    private let tickets = Locked<[String: TLSTicket]>([:])

    /// How many hosts' tickets are kept.
    private static let ticketLimit = 256

    private init(
        _ builder: TLSContextBuilder,
        alternatives: [TLSContext] = [],
        checksHosts: Bool = false
    ) {
        unsafe pointer = TLSPointer(builder.context)
        unsafe SSL_CTX_up_ref(builder.context)
        certificate = builder.certificate
        self.alternatives = alternatives
        self.checksHosts = checksHosts
    }

    deinit { unsafe SSL_CTX_free(pointer.raw) }

    // MARK: Clients

    /// - Throws: what is wrong with the settings or their files.
    static func forClients(
        _ settings: ClientTLSSettings,
        _ files: TLSFiles
    ) throws(TLSFailure) -> TLSContext {
        var contexts: [TLSContext] = []
        // The first is the one that all are served by whose name is not known, and has the others.
        for index in settings.certFiles.indices.reversed() {
            let builder = try TLSContextBuilder(isForClients: true)
            try builder.setRules(
                settings.protocols,
                settings.ciphersWithoutCurves ?? settings.ciphers,
                settings.cipherSuites
            )
            try builder.setKeyExchange(curve: settings.ecdhCurve, settings.dheParams)
            try builder.use(
                certificate: settings.certFiles[index],
                key: settings.keyFiles[index],
                files
            )
            if settings.mode.verifiesPeer || !settings.caFile.isEmpty {
                try builder.trust(settings.caFile, files)
                builder.askClients(mustHaveCertificate: settings.mode.verifiesPeer)
            }
            builder.acceptProtocolName()
            let alternatives = index == 0 ? Array(contexts.reversed()) : []
            let context = TLSContext(builder, alternatives: alternatives)
            if index == 0 { context.chooseByName() }
            contexts.append(context)
        }
        guard let context = contexts.last else {
            throw TLSFailure(description: "no certificate: client_tls_cert_file is not set")
        }
        return context
    }

    /// Has OpenSSL ask which certificate a client is to see, by the name that it asks for (SNI).
    private func chooseByName() {
        guard !alternatives.isEmpty else { return }
        // A session keeps its context, and this object with it, for as long as it lives.
        let argument = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe martlet_ssl_context_on_name(
            pointer.raw,
            { ssl, _, argument in
                guard let name = unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name),
                    let argument = unsafe argument
                else { return SSL_TLSEXT_ERR_OK }
                let context = unsafe Unmanaged<TLSContext>.fromOpaque(argument)
                    .takeUnretainedValue()
                if unsafe !context.isFor(name),
                    let other = context.alternatives.first(where: { unsafe $0.isFor(name) })
                {
                    unsafe SSL_set_SSL_CTX(ssl, other.pointer.raw)
                }
                return SSL_TLSEXT_ERR_OK
            },
            argument
        )
    }

    private func isFor(_ host: UnsafePointer<CChar>) -> Bool {
        let certificate = unsafe SSL_CTX_get0_certificate(pointer.raw)
        return unsafe X509_check_host(certificate, host, 0, 0, nil) == 1
    }

    /// The certificates that clients may see.
    var certificates: [CertificateFacts] {
        ([self] + alternatives).compactMap(\.certificate)
    }

    // MARK: Servers

    /// - Throws: what is wrong with the settings or their files.
    static func forServers(
        _ settings: ServerTLSSettings,
        _ files: TLSFiles
    ) throws(TLSFailure) -> TLSContext {
        let builder = try TLSContextBuilder(isForClients: false)
        try builder.setRules(settings.protocols, settings.ciphers, settings.cipherSuites)
        if !settings.certFile.isEmpty {
            try builder.use(certificate: settings.certFile, key: settings.keyFile, files)
        }
        if settings.mode.verifiesPeer {
            try builder.trust(settings.caFile, files)
            builder.verifyServers()
        }
        try builder.offerProtocolName()
        return TLSContext(builder, checksHosts: settings.mode == .verifyFull)
    }

    /// Makes a session that is going to connect ready for a server.
    func prepare(_ ssl: OpaquePointer, for host: String) throws(TLSFailure) {
        let isAddress = SocketAddress(numeric: host, port: 0) != nil
        if !isAddress, unsafe martlet_ssl_set_name(ssl, host) != 1 {
            throw .current("\(host) cannot be the name of a server")
        }
        if checksHosts {
            let parameters = unsafe SSL_get0_param(ssl)
            unsafe X509_VERIFY_PARAM_set_hostflags(
                parameters,
                UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS)
            )
            let isSet =
                isAddress
                ? unsafe X509_VERIFY_PARAM_set1_ip_asc(parameters, host)
                : unsafe X509_VERIFY_PARAM_set1_host(parameters, host, 0)
            guard isSet == 1 else {
                throw .current("\(host) cannot be looked for in a certificate")
            }
        }
        tickets.withLock { tickets in
            guard let ticket = tickets[host] else { return }
            unsafe SSL_set_session(ssl, ticket.session.raw)
        }
    }

    /// Keeps what a server has sent for the next connection to it.
    func keepTicket(of ssl: OpaquePointer, for host: String) {
        guard let ticket = unsafe TLSTicket(ssl) else { return }
        tickets.withLock { tickets in
            if tickets.count >= Self.ticketLimit { tickets.removeAll() }
            tickets[host] = ticket
        }
    }

    func makeSession() -> OpaquePointer? { unsafe SSL_new(pointer.raw) }
}

/// What a session to a server can be gone on from.
private final class TLSTicket: Sendable {
    let session: TLSPointer

    /// - Returns: nil where the server has sent none.
    init?(_ ssl: OpaquePointer) {
        guard let session = unsafe SSL_get1_session(ssl) else { return nil }
        guard unsafe SSL_SESSION_is_resumable(session) == 1 else {
            unsafe SSL_SESSION_free(session)
            return nil
        }
        unsafe self.session = TLSPointer(session)
    }

    deinit { unsafe SSL_SESSION_free(session.raw) }
}

extension ClientTLSSettings {
    /// The ciphers up to TLS 1.2 that need no elliptic curve, if there is to be none.
    fileprivate var ciphersWithoutCurves: String? {
        ecdhCurve == "none" ? (ciphers.isEmpty ? "DEFAULT" : ciphers) + ":!kECDHE" : nil
    }
}
