// A socket and what could not be sent on it yet. Sends go straight to the kernel; only what it does
// not take is kept, and only then is the socket watched for writability.

internal import CLinux
internal import PostgresWire

/// One end of a connection.
struct Transport: ~Copyable {
    let token: Token
    private(set) var descriptor: Int32
    private var reads = true
    /// Whether the peer can no longer be reached: what is sent goes nowhere.
    private(set) var isBroken = false
    /// What the kernel has not taken yet; nil when there is none, as nearly always.
    private var unsent: Unsent?

    private final class Unsent {
        var bytes: [UInt8] = []
        var start = 0
    }

    /// Takes over a socket that `reactor` watches for reading under `token`.
    init(descriptor: Int32, token: Token) {
        self.descriptor = descriptor
        self.token = token
    }

    /// A transport without a socket yet; what is sent on it goes nowhere.
    static var none: Transport {
        var transport = Transport(descriptor: -1, token: Token(rawValue: 0))
        transport.isBroken = true
        return transport
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// Whether the socket is received from.
    var isReading: Bool { reads }

    /// Whether everything given to `send` has gone to the kernel.
    var isDrained: Bool { unsent == nil }

    /// How many bytes wait for the peer to read.
    var unsentByteCount: Int { unsent.map { $0.bytes.count - $0.start } ?? 0 }

    /// Gives the socket away: it is no longer this transport's to close.
    mutating func takeDescriptor() -> Int32 { exchange(&descriptor, with: -1) }

    /// Sends bytes, or keeps what the kernel does not take.
    mutating func send(_ bytes: RawSpan, _ reactor: borrowing Reactor) {
        guard !bytes.isEmpty, !isBroken else { return }
        var sent = 0
        if unsent == nil {
            sent = transmit(bytes)
            if sent == bytes.byteCount || isBroken { return }
            unsent = Unsent()
            reactor.update(descriptor, token, reads: reads, writes: true)
        }
        unsafe bytes.extracting(sent..<bytes.byteCount).withUnsafeBytes { rest in
            unsafe unsent?.bytes.append(contentsOf: rest)
        }
    }

    /// Sends what was kept, now that the socket is writable.
    mutating func flush(_ reactor: borrowing Reactor) {
        guard let unsent else { return }
        let start = unsent.start
        unsent.start += unsafe unsent.bytes.withUnsafeBytes { bytes in
            unsafe transmit(
                RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[start...]))
            )
        }
        if unsent.start == unsent.bytes.count || isBroken {
            self.unsent = nil
            reactor.update(descriptor, token, reads: reads, writes: false)
        }
    }

    /// Starts or stops to receive.
    mutating func setReading(_ reads: Bool, _ reactor: borrowing Reactor) {
        guard reads != self.reads else { return }
        self.reads = reads
        reactor.update(descriptor, token, reads: reads, writes: unsent != nil)
    }

    /// Tells the peer that nothing more will come.
    func finishSending() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// - Returns: how many bytes the kernel took.
    private mutating func transmit(_ bytes: RawSpan) -> Int {
        let count = unsafe bytes.withUnsafeBytes {
            unsafe martlet_send(descriptor, $0.baseAddress, $0.count)
        }
        if count >= 0 { return count }
        isBroken = count != -Int(EAGAIN) && count != -Int(EINTR)
        return 0
    }
}
