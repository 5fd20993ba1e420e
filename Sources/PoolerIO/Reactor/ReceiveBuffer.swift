// Where received bytes stand: with epoll the memory of the loop, into which its connections receive one
// behind the other; with io_uring the buffers that the kernel fills.

internal import CLinux

/// What a receive brought.
enum Received {
    /// These bytes of the buffer.
    case bytes(Range<Int>)
    /// Nothing yet.
    case nothing
    /// The peer has closed its side, or the connection is broken.
    case end

    /// What a result says that is not a number of bytes: 0, or a negated errno.
    static func without(result: Int) -> Received {
        result == -Int(EAGAIN) || result == -Int(EINTR) ? .nothing : .end
    }
}

/// Memory that belongs to the loop, reused all the time.
@safe
struct ReceiveBuffer: ~Copyable {
    /// How much is received at once, in bytes; with io_uring less.
    static let capacity = 65_536
    private let memory: UnsafeMutableRawBufferPointer
    /// The size of each of the kernel's buffers; 0 without io_uring.
    private let stride: Int
    /// With epoll, whose memory it is.
    private let turn: UnsafeMutablePointer<EpollTurn>?
    /// What TLS records have been opened into: those of one receive.
    let plaintext: UnsafeMutableRawBufferPointer

    /// Memory of its own, for somebody who has no loop.
    init() {
        unsafe memory = .allocate(byteCount: Self.capacity, alignment: 64)
        stride = 0
        unsafe turn = nil
        unsafe plaintext = Self.makePlaintext(for: Self.capacity)
    }

    /// A view of what an epoll loop receives; the loop must outlive it.
    init(of turn: UnsafeMutablePointer<EpollTurn>) {
        unsafe memory = unsafe turn.pointee.memory
        stride = 0
        unsafe self.turn = unsafe turn
        unsafe plaintext = Self.makePlaintext(for: Self.capacity)
    }

    /// A view of memory that must outlive it.
    init(viewing memory: UnsafeMutableRawBufferPointer, stride: Int) {
        unsafe self.memory = unsafe memory
        self.stride = stride
        unsafe turn = nil
        unsafe plaintext = Self.makePlaintext(for: stride)
    }

    private static func makePlaintext(for capacity: Int) -> UnsafeMutableRawBufferPointer {
        .allocate(byteCount: capacity + TLSSession.slack, alignment: 64)
    }

    deinit {
        unsafe plaintext.deallocate()
        if unsafe stride == 0 && turn == nil { unsafe memory.deallocate() }
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

    /// Whether the socket may have more than what an event has brought, without another event.
    func leavesMore(than received: Received, of event: ReactorEvent) -> Bool {
        guard stride == 0, case .bytes(let range) = received else { return false }
        return range.count == Self.capacity || event.isEnding
    }

    /// Whether `receive(from:)` can be used: with epoll.
    var receivesAtOnce: Bool { unsafe turn != nil }

    /// Takes what the socket has, up to the capacity, without having been told that there is something.
    func receive(from fd: Int32) -> Received {
        if let turn = unsafe turn { return unsafe turn.pointee.receive(from: fd) }
        let count = unsafe martlet_recv(fd, memory.baseAddress, Self.capacity)
        return count > 0 ? .bytes(0..<count) : .without(result: count)
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
