// How workers talk: each has a mailbox, which it empties before it looks at the events of its own
// connections. A post wakes a worker only if it sleeps.

internal import CLinux
internal import PoolerCore
internal import PostgresWire
internal import Synchronization

/// What one worker tells another.
///
/// What can come with every transaction is a few words long. The rest is elsewhere in memory (`indirect`),
/// because a piece of mail is as long as the longest, and is copied.
enum Mail: Sendable {
    /// A new connection, which is yours.
    indirect case connection(descriptor: Int32, peer: SocketAddress)
    /// A client that wants the console; only the chief has it.
    indirect case console(ConsoleArrival)
    /// A free server, which is yours now, for your client that waits under this ticket.
    case server(ServerID, for: ClientID, ticket: UInt32)
    /// Your client that waits under this ticket will get no server.
    indirect case noServer(for: ClientID, ticket: UInt32, CloseReason)
    /// The server for your client that waits under this ticket was lost on its way.
    case serverLost(for: ClientID, ticket: UInt32)
    /// Clients of others wait, and you have free servers of this pool.
    case serveWaiters(PoolID)
    /// A free server of yours is in the way of a pool of the sender's.
    indirect case evict(ServerID, CloseReason, for: PoolID, WorkerID)
    /// There may be room for a server of this pool now.
    case roomMade(PoolID)
    /// A CancelRequest for one of your clients.
    indirect case cancel(CancelKey, requester: Requester)
    /// A CancelRequest for a client of a peer, to the chief.
    indirect case cancelForPeer(Int, CancelKey, requester: Requester)
    /// The CancelRequest that your client brought has been delivered, or will never be.
    case cancelEnded(ClientID, CancelFailure?)
    /// A database has been asked what in it can change a session unseen; or that is not known any more.
    indirect case surveyed(database: ByteString, Survey?)
    /// Something to do for all workers, from the chief.
    indirect case order(Order, number: UInt64)
    /// Your order has been carried out.
    indirect case report(OrderReport, number: UInt64)
    /// What a client of the sender's wants of the listener of a pool, which is at home with you.
    indirect case subscription(SubscriptionRequest, SharedPool)
    /// What the listener has for a client of yours.
    indirect case listenerReply(ListenerReply, for: ClientID)
    /// A notification for clients of yours.
    indirect case notified(Set<ClientID>, ReceivedNotification)
    /// A connection from another process, which is yours now.
    indirect case adopt(Adoption)
    /// To the chief: the process that takes over has all that it needs to go on.
    case successorReady
    /// To the chief: that process has gone; this is what it has not taken.
    indirect case successorLost([Adoption])
    /// The process that is being taken over takes no more clients.
    case predecessorBegun(isPaused: Bool)
    /// That process has gone.
    case predecessorGone
    /// To the chief: a client or server has gone, which somebody may wait for.
    case connectionGone
}

/// A connection that brought a CancelRequest.
struct Requester: Sendable {
    let client: ClientID
    let worker: WorkerID
}

/// A client connection on its way to the console.
struct ConsoleArrival: Sendable {
    let descriptor: Int32
    let peer: SocketAddress
    let number: UInt64
    /// What it has sent so far, from its StartupMessage on.
    let received: [UInt8]
    let tls: TLSPassenger?
}

/// What the other workers have put into a worker's mailbox.
final class Mailbox: Sendable {
    private let mail = Locked<[Mail]>([])
    private let hasMail = Atomic(false)
    private let isAsleep = Atomic(false)
    /// Readable when the worker was woken.
    let wakeup: Int32

    /// - Throws: `SystemError` when the kernel gives no event descriptor.
    init() throws(SystemError) {
        wakeup = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        guard wakeup >= 0 else { throw SystemError.current("eventfd") }
    }

    deinit {
        close(wakeup)
    }

    /// Adds a piece of mail; the worker reads it soon.
    func post(_ piece: Mail) {
        mail.withLock { $0.append(piece) }
        wake()
    }

    /// Sees to it that the worker does not sleep, even if it is just about to.
    func wake() {
        hasMail.store(true, ordering: .sequentiallyConsistent)
        if isAsleep.exchange(false, ordering: .sequentiallyConsistent) { eventfd_write(wakeup, 1) }
    }

    /// Takes all mail, in the order in which it was posted.
    ///
    /// - Parameter inbox: gets it; its memory becomes the mailbox's.
    func take(into inbox: inout [Mail]) {
        inbox.removeAll(keepingCapacity: true)
        guard hasMail.exchange(false, ordering: .sequentiallyConsistent) else { return }
        mail.withLock { swap(&$0, &inbox) }
    }

    /// The worker is about to wait for events.
    ///
    /// - Returns: false when there is mail, so that it must not sleep.
    func prepareToSleep() -> Bool {
        isAsleep.store(true, ordering: .sequentiallyConsistent)
        return !hasMail.load(ordering: .sequentiallyConsistent)
    }

    /// The worker has events, or was woken.
    func wokeUp() {
        isAsleep.store(false, ordering: .relaxed)
    }

    /// Empties the event descriptor.
    func acknowledge() {
        var count: UInt64 = 0
        unsafe eventfd_read(wakeup, &count)
    }
}
