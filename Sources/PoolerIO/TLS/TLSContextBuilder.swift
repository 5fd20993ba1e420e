// Setting up OpenSSL's contexts. OpenSSL's own defaults hold where the settings say nothing.

internal import COpenSSL
internal import PoolerCore
internal import PostgresWire

/// A context that is being set up.
@safe
final class TLSContextBuilder {
    let context: OpaquePointer
    private(set) var certificate: CertificateFacts?

    /// The protocol's name in ALPN, as it goes over the wire (PostgreSQL documentation, 53.2.11).
    private static let protocolName: [UInt8] = Array("\u{A}postgresql".utf8)

    /// - Throws: when there is no memory.
    init(isForClients: Bool) throws(TLSFailure) {
        let method = unsafe isForClients ? TLS_server_method() : TLS_client_method()
        guard let context = unsafe SSL_CTX_new(method) else { throw .current("no TLS context") }
        unsafe self.context = unsafe context
        unsafe martlet_ssl_context_set_mode(context, Int(SSL_MODE_RELEASE_BUFFERS))
        unsafe SSL_CTX_set_options(
            context,
            UInt64(martlet_ssl_no_renegotiation | martlet_ssl_server_preference)
        )
        unsafe martlet_ssl_context_disable_cache(context)
        // Clients with a certificate can go on from a ticket only in a context that has a name.
        guard isForClients else { return }
        let name = Self.protocolName
        unsafe SSL_CTX_set_session_id_context(context, name, UInt32(name.count))
        unsafe SSL_CTX_set_num_tickets(context, 1)
    }

    deinit { unsafe SSL_CTX_free(context) }

    // MARK: Rules

    func setRules(
        _ protocols: TLSProtocols,
        _ ciphers: String,
        _ cipherSuites: String
    ) throws(TLSFailure) {
        unsafe martlet_ssl_context_allow_all_versions(context)
        let versions: [(TLSProtocols, UInt64)] = [
            (.tls10, martlet_ssl_no_tls1_0), (.tls11, martlet_ssl_no_tls1_1),
            (.tls12, martlet_ssl_no_tls1_2), (.tls13, martlet_ssl_no_tls1_3),
        ]
        for (version, option) in versions where !protocols.contains(version) {
            unsafe SSL_CTX_set_options(context, option)
        }
        if !ciphers.isEmpty, unsafe SSL_CTX_set_cipher_list(context, ciphers) != 1 {
            throw .current("no such ciphers: \(ciphers)", about: ciphers)
        }
        if !cipherSuites.isEmpty, unsafe SSL_CTX_set_ciphersuites(context, cipherSuites) != 1 {
            throw .current("no such cipher suites", about: cipherSuites)
        }
    }

    func setKeyExchange(curve: String, _ dheParams: TLSDHEParams) throws(TLSFailure) {
        if !["auto", "none", ""].contains(curve),
            unsafe martlet_ssl_context_set_groups(context, curve) != 1
        {
            throw .current("no such curve", about: curve)
        }
        let choice =
            switch dheParams {
            case .none: 0
            case .auto: 1
            // 1,024 bits, whatever the certificate has.
            case .legacy: 2
            }
        unsafe martlet_ssl_context_set_dh_auto(context, choice)
    }

    /// Takes clients that name PostgreSQL's protocol, or none; others mean another service.
    func acceptProtocolName() {
        unsafe SSL_CTX_set_alpn_select_cb(
            context,
            { _, chosen, chosenCount, offered, offeredCount, _ in
                unsafe TLSContextBuilder.choose(chosen, chosenCount, offered, offeredCount)
            },
            nil
        )
    }

    private static func choose(
        _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
        _ chosenCount: UnsafeMutablePointer<UInt8>?,
        _ offered: UnsafePointer<UInt8>?,
        _ offeredCount: UInt32
    ) -> Int32 {
        let list = unsafe UnsafeBufferPointer(start: offered, count: Int(offeredCount))
        var start = 0
        while start < list.count {
            let count = unsafe Int(list[start])
            let end = start + 1 + count
            guard end <= list.count else { break }
            if unsafe list[start..<end].elementsEqual(protocolName) {
                unsafe chosen?.pointee = list.baseAddress.map { unsafe $0 + start + 1 }
                unsafe chosenCount?.pointee = UInt8(count)
                return SSL_TLSEXT_ERR_OK
            }
            start = end
        }
        return SSL_TLSEXT_ERR_ALERT_FATAL
    }

    func offerProtocolName() throws(TLSFailure) {
        let name = Self.protocolName
        guard unsafe SSL_CTX_set_alpn_protos(context, name, UInt32(name.count)) == 0 else {
            throw .current("ALPN is not available")
        }
    }

    // MARK: Certificates

    /// Shows the peer a certificate.
    func use(certificate path: String, key keyPath: String, _ files: TLSFiles) throws(TLSFailure) {
        let chain = try files.certificates(in: path)
        guard let leaf = chain.first else {
            throw TLSFailure(description: "\(path): no certificate in it")
        }
        guard unsafe SSL_CTX_use_certificate(context, leaf.pointer) == 1 else {
            throw .current("not usable", about: path)
        }
        for certificate in chain.dropFirst() {
            guard unsafe martlet_ssl_context_add_chain(context, certificate.pointer) == 1 else {
                throw .current("not usable", about: path)
            }
        }
        let key = unsafe try files.key(in: keyPath)
        defer { unsafe EVP_PKEY_free(key) }
        guard unsafe SSL_CTX_use_PrivateKey(context, key) == 1,
            unsafe SSL_CTX_check_private_key(context) == 1
        else { throw .current("does not belong to \(path)", about: keyPath) }
        self.certificate = unsafe CertificateFacts(leaf.pointer)
    }

    /// Trusts those certificates that the ones in a file have signed; without a file, those that the
    /// system trusts.
    func trust(_ path: String, _ files: TLSFiles) throws(TLSFailure) {
        if path.isEmpty {
            guard unsafe SSL_CTX_set_default_verify_paths(context) == 1 else {
                throw .current("the certificates of the system are not to be had")
            }
            return
        }
        let authorities = try files.certificates(in: path)
        let store = unsafe SSL_CTX_get_cert_store(context)
        for authority in authorities {
            guard unsafe X509_STORE_add_cert(store, authority.pointer) == 1,
                unsafe SSL_CTX_add_client_CA(context, authority.pointer) == 1
            else { throw .current("not usable", about: path) }
        }
    }

    /// Asks clients for certificates.
    ///
    /// Where they need not have one, one that is not trusted is as good as none.
    func askClients(mustHaveCertificate: Bool) {
        if mustHaveCertificate {
            unsafe SSL_CTX_set_verify(
                context,
                SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT | SSL_VERIFY_CLIENT_ONCE,
                nil
            )
        } else {
            unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE) { _, _ in
                1
            }
        }
    }

    func verifyServers() {
        unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
    }
}

extension TLSFailure {
    /// What OpenSSL has last said about a thing.
    static func current(_ otherwise: String, about thing: String) -> TLSFailure {
        TLSFailure(description: "\(thing): \(current(otherwise))")
    }
}
