// The event loop's side of the kernel, by epoll. Level-triggered: a descriptor that has not been read
// empty reports again, so nothing is lost when only one buffer is read at a time.

internal import CLinux
internal import Glibc
internal import PoolerCore

/// Waits for events on descriptors.
@safe
struct EpollReactor: ~Copyable {
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
        Glibc.close(descriptor)
        unsafe events.deallocate()
    }

    func add(_ fd: Int32, _ token: Token, _ mask: UInt32) -> Bool {
        martlet_epoll_ctl(descriptor, EPOLL_CTL_ADD, fd, mask, token.rawValue) == 0
    }

    func update(_ fd: Int32, _ token: Token, _ mask: UInt32) {
        _ = martlet_epoll_ctl(descriptor, EPOLL_CTL_MOD, fd, mask, token.rawValue)
    }

    func remove(_ fd: Int32) {
        _ = martlet_epoll_ctl(descriptor, EPOLL_CTL_DEL, fd, 0, 0)
    }

    /// Waits for events, for at most `timeout`.
    /// - Returns: how many there are.
    func wait(timeout: Microseconds) -> Int {
        max(0, Int(unsafe martlet_epoll_wait(descriptor, events, Int32(Self.capacity), timeout)))
    }

    /// The event at `index`, below the last result of `wait`.
    func event(at index: Int) -> ReactorEvent {
        let event = unsafe events + index
        let mask = unsafe event.pointee.events
        var flags: ReactorEvent.Flags = []
        if mask & ~EPOLLOUT.rawValue != 0 { flags.insert(.received) }
        if mask & EPOLLOUT.rawValue != 0 { flags.insert(.writable) }
        return ReactorEvent(Token(rawValue: unsafe martlet_event_token(event)), flags)
    }

    static func mask(reads: Bool, writes: Bool) -> UInt32 {
        (reads ? EPOLLIN.rawValue : 0) | (writes ? EPOLLOUT.rawValue : 0)
    }
}
