// Where received bytes stand: with epoll the one buffer of the loop, into which every connection
// receives; with io_uring the buffers that the kernel fills.

internal import CLinux

/// What a receive brought.
enum Received {
    /// These bytes of the buffer.
    case bytes(Range<Int>)
    /// Nothing yet.
    case nothing
    /// The peer has closed its side, or the connection is broken.
    case end
}

/// Memory that belongs to the loop, reused all the time.
@safe
struct ReceiveBuffer: ~Copyable {
    static let capacity = 65_536
    private let memory: UnsafeMutableRawBufferPointer
    /// The size of each of the kernel's buffers; 0 for one buffer that is owned.
    private let stride: Int
    /// What TLS records have been opened into: those of one receive.
    let plaintext: UnsafeMutableRawBufferPointer

    /// A buffer for epoll.
    init() {
        unsafe memory = .allocate(byteCount: Self.capacity, alignment: 64)
        stride = 0
        unsafe plaintext = Self.makePlaintext(for: Self.capacity)
    }

    /// A view of memory that must outlive it.
    init(viewing memory: UnsafeMutableRawBufferPointer, stride: Int) {
        unsafe self.memory = unsafe memory
        self.stride = stride
        unsafe plaintext = Self.makePlaintext(for: stride)
    }

    private static func makePlaintext(for capacity: Int) -> UnsafeMutableRawBufferPointer {
        .allocate(byteCount: capacity + TLSSession.slack, alignment: 64)
    }

    deinit {
        unsafe plaintext.deallocate()
        if stride == 0 { unsafe memory.deallocate() }
    }

    /// Takes what an event brings, or with epoll what the socket has, up to the capacity.
    func receive(_ event: ReactorEvent, from fd: Int32) -> Received {
        if stride > 0 {
            if event.result > 0 {
                let start = Int(event.buffer) * stride
                return .bytes(start..<start + Int(event.result))
            }
            return event.isEnd ? .end : .nothing
        }
        return receive(from: fd)
    }

    /// Whether `receive(from:)` can be used: with epoll.
    var receivesAtOnce: Bool { stride == 0 }

    /// Takes what the socket has, up to the capacity, without having been told that there is something.
    func receive(from fd: Int32) -> Received {
        let count = unsafe martlet_recv(fd, memory.baseAddress, Self.capacity)
        if count > 0 { return .bytes(0..<count) }
        if count == -Int(EAGAIN) || count == -Int(EINTR) { return .nothing }
        return .end
    }

    /// Received bytes: until the next receive with epoll, to the end of the turn with io_uring.
    @_lifetime(borrow self)
    func bytes(_ range: Range<Int>) -> RawSpan {
        let slice = unsafe UnsafeRawBufferPointer(rebasing: memory[range])
        return unsafe _overrideLifetime(RawSpan(_unsafeBytes: slice), borrowing: self)
    }

    /// How many bytes of records can be opened at once.
    var recordLimit: Int { unsafe plaintext.count - TLSSession.slack }

    /// The first bytes of `plaintext`: until the next records are opened.
    @_lifetime(borrow self)
    func opened(_ count: Int) -> RawSpan {
        let slice = unsafe UnsafeRawBufferPointer(rebasing: plaintext[..<count])
        return unsafe _overrideLifetime(RawSpan(_unsafeBytes: slice), borrowing: self)
    }
}
