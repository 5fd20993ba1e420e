// One TLS connection, without its socket: records in, plaintext out, and the other way round. Whose bytes
// go where is Transport's business.

internal import COpenSSL
internal import PoolerCore
internal import PostgresWire

/// Why a TLS connection cannot go on, for the log.
struct TLSFailure: Error, CustomStringConvertible {
    let description: String
}

/// What records have brought.
struct TLSProgress {
    enum End {
        case none
        /// The peer has said that it sends no more.
        case closed
        case failed(TLSFailure)
    }

    /// Whether the handshake has ended with these records.
    var isEstablished = false
    /// How many bytes of plaintext there are.
    var plaintextCount = 0
    var end = End.none
}

/// A TLS connection.
///
/// It belongs to one owner, and so to one thread at a time; it may go to another thread, as OpenSSL keeps
/// nothing of a session in a thread. That is why it can be sent.
@safe
struct TLSSession: ~Copyable, @unchecked Sendable {
    private let ssl: OpaquePointer
    private let bio: OpaquePointer
    private let context: TLSContext
    /// Whether application data can be sent.
    private(set) var isEstablished = false
    private var hasFailed = false

    /// A session for a connection that a client has opened.
    ///
    /// - Throws: when there is no memory.
    init(accepting context: TLSContext) throws(TLSFailure) {
        let (ssl, bio) = unsafe try Self.make(context)
        unsafe self.ssl = unsafe ssl
        unsafe self.bio = unsafe bio
        self.context = context
        unsafe SSL_set_accept_state(ssl)
    }

    /// A session for a connection to a server.
    ///
    /// - Parameter host: the server's name or address as the configuration has it: it is sent, if it is a
    ///   name, and is looked for in the certificate, if the context asks for that.
    /// - Throws: when there is no memory, or the name cannot be one.
    init(connecting context: TLSContext, to host: String) throws(TLSFailure) {
        let (ssl, bio) = unsafe try Self.make(context)
        do throws(TLSFailure) {
            unsafe try context.prepare(ssl, for: host)
        } catch {
            unsafe SSL_free(ssl)
            throw error
        }
        unsafe self.ssl = unsafe ssl
        unsafe self.bio = unsafe bio
        self.context = context
        unsafe SSL_set_connect_state(ssl)
    }

    private static func make(
        _ context: TLSContext
    ) throws(TLSFailure) -> (ssl: OpaquePointer, bio: OpaquePointer) {
        guard let ssl = unsafe context.makeSession() else { throw .current("no TLS session") }
        guard let bio = unsafe TLSChannel.makeBIO() else {
            unsafe SSL_free(ssl)
            throw .current("no TLS session")
        }
        unsafe SSL_set_bio(ssl, bio, bio)
        return unsafe (ssl, bio)
    }

    deinit { unsafe SSL_free(ssl) }

    /// Begins the handshake of a session that connects.
    mutating func start(_ channel: borrowing TLSChannel) -> TLSProgress {
        unsafe receive(
            RawSpan(),
            into: UnsafeMutableRawBufferPointer(start: nil, count: 0),
            channel
        )
    }

    /// Takes what the peer has sent: all of it, where the session goes on.
    ///
    /// - Parameters:
    ///   - records: what was received; any part of records.
    ///   - plaintext: gets what they contain; larger than `records` by at least `TLSSession.slack`.
    ///   - channel: gets what has to be sent, also after a failure.
    mutating func receive(
        _ records: RawSpan,
        into plaintext: UnsafeMutableRawBufferPointer,
        _ channel: borrowing TLSChannel
    ) -> TLSProgress {
        var progress = TLSProgress()
        guard !hasFailed else {
            progress.end = .closed
            return progress
        }
        let wasEstablished = isEstablished
        let (isDone, count, end) = unsafe channel.serve(bio, records) {
            unsafe Self.take(ssl, wasEstablished, plaintext)
        }
        isEstablished = isDone
        progress.isEstablished = isDone && !wasEstablished
        progress.plaintextCount = count
        progress.end = end
        if case .failed = end { hasFailed = true }
        return progress
    }

    /// How much more plaintext than records a receive may bring, in bytes: a record of which all but the
    /// last bytes came before.
    static let slack = 20_480

    private static func take(
        _ ssl: OpaquePointer,
        _ wasEstablished: Bool,
        _ plaintext: UnsafeMutableRawBufferPointer
    ) -> (isEstablished: Bool, count: Int, end: TLSProgress.End) {
        ERR_clear_error()
        if !wasEstablished {
            let status = unsafe SSL_do_handshake(ssl)
            guard status == 1 else { return (false, 0, unsafe end(ssl, status)) }
        }
        var total = 0
        while true {
            guard total < plaintext.count, let start = plaintext.baseAddress else {
                return (true, total, .failed(TLSFailure(description: "records out of bounds")))
            }
            var count = 0
            let status = unsafe SSL_read_ex(ssl, start + total, plaintext.count - total, &count)
            guard status == 1 else { return (true, total, unsafe end(ssl, status)) }
            total += count
        }
    }

    private static func end(_ ssl: OpaquePointer, _ status: Int32) -> TLSProgress.End {
        switch unsafe SSL_get_error(ssl, status) {
        case SSL_ERROR_WANT_READ: .none
        case SSL_ERROR_ZERO_RETURN: .closed
        default: .failed(unsafe failure(ssl))
        }
    }

    private static func failure(_ ssl: OpaquePointer) -> TLSFailure {
        let verdict = unsafe SSL_get_verify_result(ssl)
        let failure = TLSFailure.current("TLS error")
        guard verdict != X509_V_OK, unsafe SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER != 0 else {
            return failure
        }
        let text = unsafe String(cString: X509_verify_cert_error_string(verdict))
        return TLSFailure(description: "\(failure): \(text)")
    }

    /// Makes records of bytes; they are in the channel's output then.
    ///
    /// - Returns: false when the connection is broken.
    mutating func send(_ bytes: RawSpan, _ channel: borrowing TLSChannel) -> Bool {
        guard isEstablished, !hasFailed else { return false }
        let isSent = unsafe bytes.withUnsafeBytes { bytes in
            unsafe channel.serve(bio, RawSpan()) {
                ERR_clear_error()
                var count = 0
                return unsafe SSL_write_ex(ssl, bytes.baseAddress, bytes.count, &count) == 1
            }
        }
        if !isSent { hasFailed = true }
        return isSent
    }

    /// Says that no more will be sent; that is in the channel's output then.
    mutating func finish(_ channel: borrowing TLSChannel) {
        guard isEstablished, !hasFailed else { return }
        unsafe channel.serve(bio, RawSpan()) {
            ERR_clear_error()
            unsafe SSL_shutdown(ssl)
        }
    }

    // MARK: What was agreed

    /// Protocol, cipher and group, as PgBouncer shows them.
    var summary: ByteString {
        guard isEstablished else { return "" }
        var text = unsafe String(cString: SSL_get_version(ssl))
        text += unsafe "/" + String(cString: SSL_CIPHER_get_name(SSL_get_current_cipher(ssl)))
        let group = unsafe martlet_ssl_group(ssl)
        if group > 0, let name = unsafe OBJ_nid2sn(group & 0xFFFF) {
            text += unsafe "/ECDH=" + String(cString: name)
        }
        return ByteString(text)
    }

    /// Whether the peer has named PostgreSQL's protocol (ALPN).
    var hasProtocolName: Bool {
        var name: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        unsafe SSL_get0_alpn_selected(ssl, &name, &count)
        return count > 0
    }

    /// Whether it goes on where an earlier one ended, without certificates.
    var isResumed: Bool { unsafe SSL_session_reused(ssl) == 1 }

    /// What the peer's certificate says, if it sent one that is trusted.
    var peerCertificate: CertificateFacts? {
        guard unsafe SSL_get_verify_result(ssl) == X509_V_OK,
            let certificate = unsafe SSL_get0_peer_certificate(ssl)
        else { return nil }
        return unsafe CertificateFacts(certificate)
    }

    /// The hash of the server's certificate that tls-server-end-point stands for (RFC 5929, section 4).
    var channelBinding: [UInt8]? {
        let certificate =
            unsafe SSL_is_server(ssl) == 1
            ? SSL_get_certificate(ssl) : SSL_get0_peer_certificate(ssl)
        return unsafe certificate.flatMap { unsafe CertificateFacts.endPointHash(of: $0) }
    }

    /// Keeps what the server has sent for going on from here with another connection.
    func keepTicket(for host: String) {
        unsafe context.keepTicket(of: ssl, for: host)
    }
}

extension TLSFailure {
    /// What OpenSSL has last said, or something else where it says nothing.
    static func current(_ otherwise: String) -> TLSFailure {
        let code = ERR_peek_last_error()
        ERR_clear_error()
        guard code != 0, let text = unsafe ERR_reason_error_string(code) else {
            return TLSFailure(description: otherwise)
        }
        return TLSFailure(description: unsafe String(cString: text))
    }
}

/// A TLS connection on its way from one worker to another.
final class TLSPassenger: Sendable {
    private let seat: Locked<TLSSeat>

    init(_ session: consuming TLSSession) { seat = Locked(TLSSeat(session)) }

    /// The connection; it can be taken once.
    func take() -> TLSSession? { seat.withLock { $0.session.take() } }
}

private struct TLSSeat: ~Copyable {
    var session: TLSSession?

    init(_ session: consuming TLSSession) { self.session = consume session }
}
