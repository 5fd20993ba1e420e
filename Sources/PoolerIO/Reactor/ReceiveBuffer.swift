// The one buffer of an event loop into which every connection receives.

internal import CLinux

/// What a receive brought.
enum Received {
    /// So many bytes stand at the start of the buffer.
    case bytes(Int)
    /// Nothing yet.
    case nothing
    /// The peer has closed its side, or the connection is broken.
    case end
}

/// Memory that belongs to the loop, reused for every receive.
@safe
struct ReceiveBuffer: ~Copyable {
    static let capacity = 65_536
    private let memory: UnsafeMutableRawBufferPointer

    init() {
        unsafe memory = .allocate(byteCount: Self.capacity, alignment: 64)
    }

    deinit {
        unsafe memory.deallocate()
    }

    /// Receives what a socket has, up to the capacity.
    func receive(from fd: Int32) -> Received {
        let count = unsafe martlet_recv(fd, memory.baseAddress, Self.capacity)
        if count > 0 { return .bytes(count) }
        if count == -Int(EAGAIN) || count == -Int(EINTR) { return .nothing }
        return .end
    }

    /// The first `count` bytes, until the next receive.
    @_lifetime(borrow self)
    func bytes(_ count: Int) -> RawSpan {
        let slice = unsafe UnsafeRawBufferPointer(rebasing: memory[..<count])
        return unsafe _overrideLifetime(RawSpan(_unsafeBytes: slice), borrowing: self)
    }
}
