// The event loop's side of the kernel, by epoll. Connections are edge-triggered, which spares the kernel a
// look at each of them in the next wait: they report again when something comes, or when they are asked
// for again because a receive may have left something. All else reports until it has been read.

internal import CLinux
internal import Glibc
internal import PoolerCore

/// Waits for events on descriptors.
@safe
struct EpollReactor: ~Copyable {
    let descriptor: Int32
    private let events: UnsafeMutablePointer<epoll_event>
    private let turn: UnsafeMutablePointer<EpollTurn>
    private static let capacity = 256

    /// - Parameter sendsTogether: whether the kernel is asked to execute several sends in one call.
    /// - Throws: `SystemError` when the kernel gives no epoll descriptor.
    init(sendsTogether: Bool) throws(SystemError) {
        let descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw SystemError.current("epoll_create1") }
        self.descriptor = descriptor
        unsafe events = .allocate(capacity: Self.capacity)
        unsafe turn = .allocate(capacity: 1)
        unsafe turn.initialize(to: EpollTurn(sendsTogether: sendsTogether))
    }

    deinit {
        Glibc.close(descriptor)
        unsafe events.deallocate()
        unsafe turn.deinitialize(count: 1)
        unsafe turn.deallocate()
    }

    func makeReceiveBuffer() -> ReceiveBuffer { unsafe ReceiveBuffer(of: turn) }

    func add(_ fd: Int32, _ token: Token, _ mask: UInt32) -> Bool {
        martlet_epoll_ctl(descriptor, EPOLL_CTL_ADD, fd, mask, token.rawValue) == 0
    }

    func update(_ fd: Int32, _ token: Token, _ mask: UInt32) {
        _ = martlet_epoll_ctl(descriptor, EPOLL_CTL_MOD, fd, mask, token.rawValue)
    }

    func remove(_ fd: Int32) {
        _ = martlet_epoll_ctl(descriptor, EPOLL_CTL_DEL, fd, 0, 0)
    }

    func send(_ bytes: RawSpan, to connection: inout Registration) {
        unsafe turn.pointee.send(bytes, to: &connection)
    }

    func flush() { unsafe turn.pointee.flush() }

    /// Sends what waits for a connection.
    /// - Returns: what it has to keep, if the kernel did not take all of it.
    func settle(_ connection: Registration) -> ShortSend? {
        unsafe turn.pointee.settle(connection)
    }

    /// Sends what the turn produced, and waits for events, for at most `timeout`.
    /// - Returns: how many there are.
    func wait(timeout: Microseconds) -> Int {
        unsafe turn.pointee.flush()
        let timeout = unsafe turn.pointee.hasShortSends ? 0 : timeout
        return max(
            0,
            Int(unsafe martlet_epoll_wait(descriptor, events, Int32(Self.capacity), timeout))
        )
    }

    func takeShortSend() -> ShortSend? { unsafe turn.pointee.takeShortSend() }

    /// Appends what was not sent.
    func appendRest(of short: ShortSend, to bytes: inout [UInt8]) {
        unsafe turn.pointee.appendRest(of: short, to: &bytes)
    }

    func finishTurn() { unsafe turn.pointee.finish() }

    /// The event at `index`, below the last result of `wait`.
    func event(at index: Int) -> ReactorEvent {
        let event = unsafe events + index
        let mask = unsafe event.pointee.events
        var flags: ReactorEvent.Flags = []
        if mask & ~EPOLLOUT.rawValue != 0 { flags.insert(.received) }
        if mask & ~(EPOLLIN.rawValue | EPOLLOUT.rawValue) != 0 { flags.insert(.ending) }
        if mask & EPOLLOUT.rawValue != 0 { flags.insert(.writable) }
        return ReactorEvent(Token(rawValue: unsafe martlet_event_token(event)), flags)
    }

    /// What a connection is to report.
    static func mask(of connection: Registration) -> UInt32 {
        EPOLLET.rawValue
            | (connection.reads ? EPOLLIN.rawValue | EPOLLRDHUP.rawValue : 0)
            | (connection.writes ? EPOLLOUT.rawValue : 0)
    }
}
