// A socket and what could not be sent on it yet. Sends go straight to the kernel, or with io_uring at
// the end of the turn; only what it does not take is kept, and only then is the socket watched for
// writability.

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
        reactor.close(&registration)
        isBroken = true
        unsent = nil
    }

    /// Takes the connection out of its reactor, to be added to another.
    /// - Returns: whether it has left already; otherwise `account` will tell.
    mutating func detach(from reactor: borrowing Reactor) -> Bool {
        reactor.detach(&registration)
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

    /// Sends bytes, or keeps what the kernel does not take.
    mutating func send(_ bytes: RawSpan, _ reactor: borrowing Reactor) {
        guard !bytes.isEmpty, !isBroken else { return }
        var sent = 0
        if unsent == nil {
            sent = taken(reactor.send(bytes, to: &registration))
            if sent == bytes.byteCount || isBroken { return }
            unsent = Unsent()
            reactor.want(reads: isReading, writes: true, &registration)
        }
        unsafe bytes.extracting(sent..<bytes.byteCount).withUnsafeBytes { rest in
            unsafe unsent?.bytes.append(contentsOf: rest)
        }
    }

    /// Keeps what the kernel did not take of the bytes of the last turn.
    mutating func keepRest(of short: ShortSend, _ reactor: borrowing Reactor) {
        if short.isBroken {
            isBroken = true
            return
        }
        let rest = Unsent()
        reactor.appendRest(of: short, to: &rest.bytes)
        unsent = rest
        reactor.want(reads: isReading, writes: true, &registration)
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
    func finishSending(_ reactor: borrowing Reactor) {
        reactor.finishSending(registration)
    }

    /// - Returns: how many bytes the kernel took, by the result of a send.
    private mutating func taken(_ count: Int) -> Int {
        if count >= 0 { return count }
        isBroken = count != -Int(EAGAIN) && count != -Int(EINTR)
        return 0
    }
}
