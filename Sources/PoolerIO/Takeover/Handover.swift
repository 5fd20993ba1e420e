// The old process's side of a takeover: what its workers give away goes out in the order in which they
// give it, on a thread of its own, and counts as theirs until the new process has said that it has it.

internal import CLinux
internal import DequeModule
internal import PoolerCore
internal import PostgresWire
internal import Synchronization

/// A takeover of this process by a new one.
final class Handover: Sendable {
    private struct State {
        var queue = Deque<TakeoverParcel>()
        var isBroken = false
        /// Sent, and not accepted.
        var underWay = Deque<TakeoverParcel>()
        var acceptedCount: UInt64 = 0
        var isEnding = false
    }

    private let channel: TakeoverChannel
    private let shared: SharedState
    private let state = Locked(State())
    /// Counts the parcels in the queue; a thread waits for them.
    private let semaphore: Int32
    let statements: TakeoverStatements
    /// How many connections each worker still has to give away.
    private let remaining: Locked<[Int]>

    /// - Parameter descriptor: the connection on which the new process has asked for TAKEOVER.
    /// - Throws: `SystemError` when the kernel gives no event descriptor.
    init(_ descriptor: Int32, _ shared: SharedState) throws(SystemError) {
        semaphore = eventfd(0, Int32(EFD_SEMAPHORE | EFD_CLOEXEC))
        guard semaphore >= 0 else {
            let error = SystemError.current("eventfd")
            close(descriptor)
            throw error
        }
        channel = TakeoverChannel(descriptor)
        statements = TakeoverStatements(shared.statements)
        self.shared = shared
        remaining = Locked(Array(repeating: 1, count: shared.mailboxes.count))
    }

    deinit {
        close(semaphore)
    }

    /// Begins to send and to receive.
    func start() {
        Thread.start { self.sendAll() }
        Thread.start { self.receiveAll() }
    }

    // MARK: Workers

    /// Gives something away.
    func post(_ parcel: TakeoverParcel) {
        let isBroken = state.withLock { state in
            if !state.isBroken { state.queue.append(parcel) }
            return state.isBroken
        }
        isBroken ? giveBack([parcel]) : wake(1)
    }

    /// The new process has gone: this one keeps what was meant for it.
    private func giveBack(_ parcels: [TakeoverParcel]) {
        shared.post(.successorLost(parcels.map { Adoption($0, statements) }), to: .chief)
    }

    private func wake(_ count: Int) { eventfd_write(semaphore, UInt64(count)) }

    /// Gives a connection away, behind the statements that it has.
    ///
    /// - Parameters:
    ///   - slots: the statements, in the store.
    ///   - pool: the pool of the connection.
    ///   - mark: the number by which the pool's statements are told apart.
    func post(
        _ parcel: TakeoverParcel,
        statements slots: [UInt32],
        of pool: PoolKey,
        mark: UInt64
    ) {
        let count: Int? = state.withLock { state in
            let before = state.queue.count
            for slot in slots {
                guard let record = shared.statements.record(of: slot, pool: pool, mark: mark),
                    statements[record.serial] == nil
                else { continue }
                shared.statements.retain(slot)
                statements[record.serial] = slot
                state.queue.append(TakeoverParcel(.statement(record)))
            }
            if state.isBroken { return nil }
            state.queue.append(parcel)
            return state.queue.count - before
        }
        if let count { wake(count) } else { giveBack([parcel]) }
    }

    /// A worker has so many connections left to give away.
    ///
    /// - Returns: whether that is news, and no worker has any.
    func setRemaining(_ count: Int, of worker: WorkerID) -> Bool {
        remaining.withLock { remaining in
            guard remaining[Int(worker.index)] != count else { return false }
            remaining[Int(worker.index)] = count
            return remaining.allSatisfy { $0 == 0 }
        }
    }

    /// Whether no worker has anything left.
    var isDone: Bool { remaining.withLock { $0.allSatisfy { $0 == 0 } } }

    /// Ends the takeover, and the process when the new one has everything.
    func end() {
        let isNew = state.withLock { state in
            defer { state.isEnding = true }
            return !state.isEnding
        }
        if isNew { post(TakeoverParcel(.end)) }
    }

    // MARK: Threads

    private func sendAll() {
        while true {
            var count: UInt64 = 0
            guard unsafe eventfd_read(semaphore, &count) == 0 else {
                if martlet_errno() == EINTR { continue }
                return channel.end()
            }
            // It is under way before it can be accepted.
            let parcel: TakeoverParcel? = state.withLock { state in
                guard !state.isBroken, let parcel = state.queue.popFirst() else { return nil }
                state.underWay.append(parcel)
                return parcel
            }
            guard let parcel else { return }
            guard channel.send(parcel) else { return channel.end() }
        }
    }

    private func receiveAll() {
        var inbox = TakeoverChannel.Inbox()
        while let parcel = try? channel.receive(&inbox) {
            switch parcel.message {
            case .ready: shared.post(.successorReady, to: .chief)
            case .accepted(let count): accepted(count)
            case .newcomer:
                shared.post(.adopt(Adoption(parcel, statements)), to: .chief)
            case .hello, .begin, .statement, .client, .pair, .server, .login, .serverLeft,
                .clientLeft, .end:
                parcel.discard()
                channel.end()
            }
        }
        inbox.discard()
        broken()
    }

    /// The new process has the first parcels of all that it has not said so of before.
    private func accepted(_ count: UInt64) {
        var parcels: [TakeoverParcel] = []
        let isOver = state.withLock { state in
            while state.acceptedCount < count, let parcel = state.underWay.popFirst() {
                state.acceptedCount += 1
                parcels.append(parcel)
            }
            return state.isEnding && state.underWay.isEmpty && state.queue.isEmpty
        }
        for parcel in parcels where !parcel.message.isHello { parcel.discard() }
        if isOver { shared.finish() }
    }

    /// The new process has gone, before it had everything: what it has not is still this one's.
    private func broken() {
        channel.end()
        let rest = state.withLock { state in
            state.isBroken = true
            defer {
                state.queue = []
                state.underWay = []
            }
            return Array(state.underWay) + Array(state.queue)
        }
        // The sending thread ends.
        wake(1)
        giveBack(rest.filter { !$0.message.isHello })
    }
}

extension TakeoverMessage {
    /// Whether a client comes with it.
    var hasClient: Bool {
        switch self {
        case .client, .pair, .login, .newcomer: true
        case .hello, .ready, .begin, .statement, .server, .serverLeft, .clientLeft, .accepted, .end:
            false
        }
    }

    /// Whether its descriptors are the listening sockets, which stay open here.
    fileprivate var isHello: Bool {
        if case .hello = self { true } else { false }
    }
}

/// A connection that has come from another process.
struct Adoption: Sendable {
    let parcel: TakeoverParcel
    let statements: TakeoverStatements

    init(_ parcel: TakeoverParcel, _ statements: TakeoverStatements) {
        self.parcel = parcel
        self.statements = statements
    }
}
