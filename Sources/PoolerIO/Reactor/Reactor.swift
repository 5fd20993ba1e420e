// The event loop's side of the kernel, by epoll. Level-triggered: a descriptor that has not been read
// empty reports again, so nothing is lost when only one buffer is read at a time.

internal import CLinux

/// What has happened to a registered object.
struct ReactorEvent {
    let token: Token
    /// There are bytes, an end of stream or an error to be received.
    let isReadable: Bool
    let isWritable: Bool
}

/// Waits for events on descriptors.
@safe
struct Reactor: ~Copyable {
    let descriptor: Int32
    private let events: UnsafeMutablePointer<epoll_event>
    private static let capacity = 256

    /// - Throws: `SystemError` when the kernel gives no epoll descriptor.
    init() throws(SystemError) {
        let descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw SystemError.current("epoll_create1") }
        self.descriptor = descriptor
        unsafe events = .allocate(capacity: Self.capacity)
    }

    deinit {
        close(descriptor)
        unsafe events.deallocate()
    }

    /// Starts to watch a descriptor.
    /// - Parameter isExclusive: whether only one of the loops that watch it is to be woken.
    /// - Returns: whether the kernel accepted it.
    func add(
        _ fd: Int32,
        _ token: Token,
        reads: Bool = true,
        writes: Bool = false,
        isExclusive: Bool = false
    ) -> Bool {
        martlet_epoll_ctl(
            descriptor,
            EPOLL_CTL_ADD,
            fd,
            Self.mask(reads, writes) | (isExclusive ? EPOLLEXCLUSIVE.rawValue : 0),
            token.rawValue
        ) == 0
    }

    /// Stops to watch a descriptor, in the loop that `epoll` belongs to.
    static func remove(_ fd: Int32, from epoll: Int32) {
        _ = martlet_epoll_ctl(epoll, EPOLL_CTL_DEL, fd, 0, 0)
    }

    /// Changes what a descriptor is watched for.
    func update(_ fd: Int32, _ token: Token, reads: Bool, writes: Bool) {
        _ = martlet_epoll_ctl(
            descriptor,
            EPOLL_CTL_MOD,
            fd,
            Self.mask(reads, writes),
            token.rawValue
        )
    }

    /// Waits for events.
    /// - Parameter timeout: in milliseconds; 0 does not wait.
    /// - Returns: how many there are.
    mutating func wait(timeout: Int32) -> Int {
        max(0, Int(unsafe martlet_epoll_wait(descriptor, events, Int32(Self.capacity), timeout)))
    }

    /// The event at `index`, below the last result of `wait`.
    func event(at index: Int) -> ReactorEvent {
        let event = unsafe events + index
        let mask = unsafe event.pointee.events
        return ReactorEvent(
            token: Token(rawValue: unsafe martlet_event_token(event)),
            isReadable: mask & ~EPOLLOUT.rawValue != 0,
            isWritable: mask & EPOLLOUT.rawValue != 0
        )
    }

    private static func mask(_ reads: Bool, _ writes: Bool) -> UInt32 {
        (reads ? EPOLLIN.rawValue : 0) | (writes ? EPOLLOUT.rawValue : 0)
    }
}
