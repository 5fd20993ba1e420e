// What an event loop needs of the kernel, by either of two ways: epoll (EpollReactor) or io_uring
// (UringReactor). The drivers do not know which. Both work in turns: `wait` brings events, which are
// handled; what that sends has gone out when the next `wait` has begun.

internal import CLinux
internal import Glibc
internal import PoolerCore

/// Watches connections and other descriptors for one event loop, and sends for it.
struct Reactor: ~Copyable {
    private enum Backend: ~Copyable {
        case epoll(EpollReactor)
        case uring(UringReactor)
    }

    private let backend: Backend
    /// What the TLS connections of the loop read from and write to.
    let channel = TLSChannel()

    /// - Throws: `SystemError` when the kernel does not give what the backend needs.
    init(_ choice: ReactorChoice) throws(SystemError) {
        switch choice {
        case .epoll(let sendsTogether):
            backend = .epoll(try EpollReactor(sendsTogether: sendsTogether))
        case .uring(let isDeferred): backend = .uring(try UringReactor(isDeferred: isDeferred))
        }
    }

    /// Makes the calling thread the one that uses the reactor; what was added before is kept.
    /// - Throws: `SystemError` when the kernel refuses it.
    func start() throws(SystemError) {
        switch backend {
        case .epoll: return
        case .uring(let uring): try uring.start()
        }
    }

    /// The epoll descriptor, for other threads that remove a connection; -1 with io_uring.
    var epollDescriptor: Int32 {
        switch backend {
        case .epoll(let epoll): epoll.descriptor
        case .uring: -1
        }
    }

    /// Whether another thread can take a connection out of this loop; otherwise the loop has to do so.
    var letsOthersTake: Bool {
        switch backend {
        case .epoll: true
        case .uring: false
        }
    }

    /// Takes a connection out of another thread's loop.
    static func remove(_ fd: Int32, fromEpoll descriptor: Int32) {
        _ = martlet_epoll_ctl(descriptor, EPOLL_CTL_DEL, fd, 0, 0)
    }

    /// Where received bytes will stand; it must not outlive the reactor.
    func makeReceiveBuffer() -> ReceiveBuffer {
        switch backend {
        case .epoll(let epoll): epoll.makeReceiveBuffer()
        case .uring(let uring): uring.makeReceiveBuffer()
        }
    }

    // MARK: Descriptors that are not connections

    /// Reports when there is something to be read, again and again until it has been read.
    /// - Parameter isShared: whether several loops watch it: it is enough to wake one.
    /// - Returns: whether the kernel accepted it.
    func watch(_ fd: Int32, _ token: Token, isShared: Bool = false) -> Bool {
        switch backend {
        case .epoll(let epoll):
            return epoll.add(
                fd,
                token,
                EPOLLIN.rawValue | (isShared ? EPOLLEXCLUSIVE.rawValue : 0)
            )
        case .uring(let uring):
            uring.watch(fd, token, isShared: isShared)
            return true
        }
    }

    /// Stops to watch a descriptor, which can then be closed or watched again.
    func unwatch(_ fd: Int32, _ token: Token) {
        switch backend {
        case .epoll(let epoll): epoll.remove(fd)
        case .uring(let uring): uring.unwatch(token)
        }
    }

    // MARK: Connections

    /// Takes a connection into the loop, for what it wants; also one that another loop had.
    /// - Returns: whether the kernel accepted it.
    func add(_ connection: inout Registration) -> Bool {
        switch backend {
        case .epoll(let epoll):
            return epoll.add(
                connection.descriptor,
                connection.token,
                EpollReactor.mask(of: connection)
            )
        case .uring(let uring):
            uring.adjust(&connection)
            return true
        }
    }

    /// Changes what a connection is told of.
    ///
    /// With io_uring bytes may come although they are no longer wanted: those that the kernel had
    /// received already.
    func want(reads: Bool, writes: Bool, _ connection: inout Registration) {
        connection.want(reads: reads, writes: writes)
        switch backend {
        case .epoll: askAgain(connection)
        case .uring(let uring): uring.adjust(&connection)
        }
    }

    /// Makes a connection report what it wants to be told of once more, with epoll.
    func askAgain(_ connection: Registration) {
        switch backend {
        case .epoll(let epoll):
            epoll.update(connection.descriptor, connection.token, EpollReactor.mask(of: connection))
        case .uring: return
        }
    }

    /// Sends bytes on a connection.
    ///
    /// They go out at the next `wait` at the latest; `takeShortSend` tells if not all of them did.
    func send(_ bytes: RawSpan, to connection: inout Registration) {
        switch backend {
        case .epoll(let epoll): epoll.send(bytes, to: &connection)
        case .uring(let uring): uring.send(bytes, to: &connection)
        }
    }

    /// Sends what the turn has produced so far, with epoll: what comes next takes long.
    func flush() {
        switch backend {
        case .epoll(let epoll): epoll.flush()
        case .uring: return
        }
    }

    /// Sends what waits for a connection, with epoll: then it can be closed or leave the loop at once.
    ///
    /// With io_uring those do not come before what has been sent anyway.
    /// - Returns: what the connection has to keep, if the kernel did not take all of it.
    @inline(__always)
    func settle(_ connection: Registration) -> ShortSend? {
        switch backend {
        case .epoll(let epoll): epoll.settle(connection)
        case .uring: nil
        }
    }

    /// Tells the peer that nothing more will come, after what has been sent; to be settled before.
    func finishSending(_ connection: Registration) {
        switch backend {
        case .epoll: shutdown(connection.descriptor, Int32(SHUT_WR))
        case .uring(let uring): uring.finishSending(connection)
        }
    }

    /// Closes a connection's socket, after what has been sent; to be settled before.
    func close(_ connection: inout Registration) {
        switch backend {
        case .epoll: Glibc.close(connection.descriptor)
        case .uring(let uring): uring.close(connection)
        }
        connection.forgetDescriptor()
    }

    /// Makes a connection leave the loop without closing it; to be settled before.
    ///
    /// Bytes may still come until it has left. Then it can be renamed and added to another loop.
    /// - Returns: whether it has left already; otherwise `account` tells when it has.
    func detach(_ connection: inout Registration) -> Bool {
        switch backend {
        case .epoll(let epoll):
            epoll.remove(connection.descriptor)
            return true
        case .uring(let uring):
            uring.detach(&connection)
            return false
        }
    }

    /// Has to be told of each event of a connection before it is handled.
    /// - Returns: whether the connection has left the loop with this event.
    @inline(__always)
    func account(for event: ReactorEvent, of connection: inout Registration) -> Bool {
        switch backend {
        case .epoll: return false
        case .uring(let uring): return uring.account(for: event, of: &connection)
        }
    }

    // MARK: Turns

    /// Waits for events; everything that was sent goes out.
    /// - Parameter timeout: how long at most; 0 does not wait, nor does less than a millisecond with
    ///   epoll on a kernel before Linux 5.11.
    /// - Returns: how many there are.
    func wait(timeout: Microseconds) -> Int {
        switch backend {
        case .epoll(let epoll): epoll.wait(timeout: timeout)
        case .uring(let uring): uring.wait(timeout: timeout)
        }
    }

    /// The event at `index`, below the last result of `wait`.
    func event(at index: Int) -> ReactorEvent {
        switch backend {
        case .epoll(let epoll): epoll.event(at: index)
        case .uring(let uring): uring.event(at: index)
        }
    }

    /// A send of the last turn that fell short; all of them have to be taken before `finishTurn`.
    func takeShortSend() -> ShortSend? {
        switch backend {
        case .epoll(let epoll): epoll.takeShortSend()
        case .uring(let uring): uring.takeShortSend()
        }
    }

    /// Appends those bytes that a send left over.
    func appendRest(of short: ShortSend, to bytes: inout [UInt8]) {
        switch backend {
        case .epoll(let epoll): epoll.appendRest(of: short, to: &bytes)
        case .uring(let uring): uring.appendRest(of: short, to: &bytes)
        }
    }

    /// Ends the last turn: to be called after `wait`, when the short sends have been taken, and before
    /// the new events are handled.
    func finishTurn() {
        switch backend {
        case .epoll(let epoll): epoll.finishTurn()
        case .uring(let uring): uring.finishTurn()
        }
    }
}

extension Registration {
    /// Sends bytes at once.
    /// - Returns: how many the kernel took, or a negated errno.
    func transmit(_ bytes: RawSpan) -> Int {
        unsafe bytes.withUnsafeBytes {
            unsafe martlet_send(descriptor, $0.baseAddress, $0.count)
        }
    }
}
