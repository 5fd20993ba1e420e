// A socket and what could not be sent on it yet. Sends go to the kernel at the end of the turn; only what
// it does not take is kept, and only then is the socket watched for writability. With TLS what is sent
// becomes records first, and what is received has to be opened.

internal import CLinux
internal import Glibc
internal import PostgresWire

/// One end of a connection.
struct Transport: ~Copyable {
    private var registration: Registration
    /// Whether the peer can no longer be reached: what is sent goes nowhere.
    private(set) var isBroken = false
    /// What the kernel has not taken yet; nil when there is none, as nearly always.
    private var unsent: Unsent?
    private var tls: TLSSession?

    private final class Unsent {
        var bytes: [UInt8] = []
        var start = 0
    }

    /// Takes over a socket.
    /// - Parameter isConnected: whether it is received from, once it is added to a reactor, or it is to
    ///   be told when it is connected.
    init(descriptor: Int32, token: Token, isConnected: Bool = true) {
        registration = Registration(
            descriptor: descriptor,
            token: token,
            reads: isConnected,
            writes: !isConnected
        )
    }

    /// A transport without a socket yet; what is sent on it goes nowhere.
    static var none: Transport {
        var transport = Transport(descriptor: -1, token: Token(rawValue: 0))
        transport.isBroken = true
        return transport
    }

    /// A socket that is in a reactor is closed by `close`; this is for the end of the process.
    deinit {
        if descriptor >= 0 { Glibc.close(descriptor) }
    }

    var token: Token { registration.token }

    var descriptor: Int32 { registration.descriptor }

    /// Whether the socket is received from.
    var isReading: Bool { registration.reads }

    /// Whether everything given to `send` has gone to the kernel, as far as is known.
    var isDrained: Bool { unsent == nil }

    /// Whether TLS has begun: what is received are records.
    var hasTLS: Bool { tls != nil }

    /// How many bytes wait for the peer to read.
    var unsentByteCount: Int { unsent.map { $0.bytes.count - $0.start } ?? 0 }

    /// Those bytes.
    var unsentBytes: [UInt8] { unsent.map { Array($0.bytes[$0.start...]) } ?? [] }

    /// Has the socket watched.
    /// - Returns: whether the kernel accepted it.
    mutating func add(to reactor: borrowing Reactor) -> Bool { reactor.add(&registration) }

    /// Keeps the books about an event, before it is handled.
    /// - Returns: whether the connection has left its reactor.
    @inline(__always)
    mutating func account(for event: ReactorEvent, _ reactor: borrowing Reactor) -> Bool {
        reactor.account(for: event, of: &registration)
    }

    /// Closes the socket, after what has been sent.
    mutating func close(_ reactor: borrowing Reactor) {
        guard descriptor >= 0 else { return }
        finishTLS(reactor)
        settle(reactor)
        reactor.close(&registration)
        isBroken = true
        unsent = nil
    }

    /// Takes the connection out of its reactor, to be added to another.
    /// - Returns: whether it has left already; otherwise `account` will tell.
    mutating func detach(from reactor: borrowing Reactor) -> Bool {
        settle(reactor)
        return reactor.detach(&registration)
    }

    /// Adds a connection that has left its reactor to another, under another name.
    /// - Returns: whether the kernel accepted it.
    mutating func attach(to reactor: borrowing Reactor, as token: Token) -> Bool {
        registration.rename(token)
        return reactor.add(&registration)
    }

    /// Gives away the socket of a connection that has left its reactor.
    mutating func takeDescriptor() -> Int32 {
        defer { registration.forgetDescriptor() }
        return descriptor
    }

    /// Takes what an event brings.
    func receive(
        _ event: ReactorEvent,
        in buffer: borrowing ReceiveBuffer,
        _ reactor: borrowing Reactor
    ) -> Received {
        let received = buffer.receive(event, from: descriptor)
        if buffer.leavesMore(than: received, of: event) { reactor.askAgain(registration) }
        return received
    }

    /// Sends bytes, or keeps what the kernel does not take.
    mutating func send(_ bytes: RawSpan, _ reactor: borrowing Reactor) {
        if tls == nil { return transmit(bytes, reactor) }
        guard !bytes.isEmpty, !isBroken else { return }
        let isSealed = tls?.send(bytes, reactor.channel) ?? false
        transmitRecords(reactor)
        if !isSealed { isBroken = true }
    }

    /// Sends bytes as they are.
    private mutating func transmit(_ bytes: RawSpan, _ reactor: borrowing Reactor) {
        guard !bytes.isEmpty, !isBroken else { return }
        guard unsent != nil else { return reactor.send(bytes, to: &registration) }
        unsafe bytes.withUnsafeBytes { unsafe unsent?.bytes.append(contentsOf: $0) }
    }

    /// Keeps what the kernel did not take of the bytes of the last turn.
    mutating func keepRest(of short: ShortSend, _ reactor: borrowing Reactor) {
        registration.outboxEntry = .max
        if short.isBroken {
            isBroken = true
            return
        }
        let rest = Unsent()
        reactor.appendRest(of: short, to: &rest.bytes)
        unsent = rest
        reactor.want(reads: isReading, writes: true, &registration)
    }

    /// Sends what waits for the end of the turn, before somebody else uses the socket.
    @inline(__always)
    mutating func settle(_ reactor: borrowing Reactor) {
        if let short = reactor.settle(registration) { keepRest(of: short, reactor) }
    }

    /// Sends what was kept, now that the socket is writable.
    mutating func flush(_ reactor: borrowing Reactor) {
        guard let unsent else { return }
        let start = unsent.start
        unsent.start += unsafe unsent.bytes.withUnsafeBytes { bytes in
            unsafe taken(
                registration.transmit(
                    RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[start...]))
                )
            )
        }
        if unsent.start == unsent.bytes.count || isBroken { self.unsent = nil }
        reactor.want(reads: isReading, writes: self.unsent != nil, &registration)
    }

    /// Starts or stops to receive.
    mutating func setReading(_ reads: Bool, _ reactor: borrowing Reactor) {
        guard reads != isReading else { return }
        reactor.want(reads: reads, writes: unsent != nil, &registration)
    }

    /// Tells the peer that nothing more will come, after what has been sent.
    mutating func finishSending(_ reactor: borrowing Reactor) {
        finishTLS(reactor)
        settle(reactor)
        if unsent == nil { reactor.finishSending(registration) }
    }

    /// - Returns: how many bytes the kernel took, by the result of a send.
    private mutating func taken(_ count: Int) -> Int {
        if count >= 0 { return count }
        isBroken = count != -Int(EAGAIN) && count != -Int(EINTR)
        return 0
    }

    // MARK: TLS

    /// Waits for the peer to begin with TLS: whatever comes from now on are records.
    mutating func awaitTLS(_ session: consuming TLSSession) {
        tls = consume session
    }

    /// Begins with TLS.
    /// - Throws: when that fails at once.
    mutating func startTLS(
        _ session: consuming TLSSession,
        _ reactor: borrowing Reactor
    ) throws(TLSFailure) {
        let progress = session.start(reactor.channel)
        tls = consume session
        transmitRecords(reactor)
        if case .failed(let failure) = progress.end { throw failure }
    }

    /// Opens records: all of them have been taken then.
    /// - Parameter plaintext: gets what they contain.
    mutating func open(
        _ records: RawSpan,
        into plaintext: UnsafeMutableRawBufferPointer,
        _ reactor: borrowing Reactor
    ) -> TLSProgress {
        let progress = unsafe tls?.receive(records, into: plaintext, reactor.channel)
        transmitRecords(reactor)
        return progress ?? TLSProgress()
    }

    /// Protocol, cipher and group; empty without TLS.
    var tlsSummary: ByteString { asked { $0.summary } ?? "" }

    /// What the log says about TLS that has begun.
    var tlsText: String {
        asked { "TLS\($0.isResumed ? " with a ticket" : ""): \($0.summary)" } ?? ""
    }

    /// What the peer's certificate says, if it sent one that is trusted.
    var peerCertificate: CertificateFacts? { asked { $0.peerCertificate } ?? nil }

    /// The hash of the server's certificate, for channel binding.
    var channelBinding: [UInt8]? { asked { $0.channelBinding } ?? nil }

    /// Whether the peer has named PostgreSQL's protocol (ALPN).
    var hasProtocolName: Bool { asked { $0.hasProtocolName } ?? false }

    /// Keeps what a server has sent for going on with TLS on another connection.
    func keepTicket(for host: String) { _ = asked { $0.keepTicket(for: host) } }

    private func asked<Answer>(_ question: (borrowing TLSSession) -> Answer) -> Answer? {
        switch tls {
        case .some(let session): question(session)
        case nil: nil
        }
    }

    /// Takes the TLS connection, for whoever gets the descriptor.
    mutating func takeTLS() -> TLSPassenger? {
        switch tls.take() {
        case .some(let session): TLSPassenger(session)
        case nil: nil
        }
    }

    /// Sends the records that a session has made.
    private mutating func transmitRecords(_ reactor: borrowing Reactor) {
        transmit(reactor.channel.output, reactor)
        reactor.channel.reset()
    }

    private mutating func finishTLS(_ reactor: borrowing Reactor) {
        guard tls != nil else { return }
        tls?.finish(reactor.channel)
        transmitRecords(reactor)
    }
}
