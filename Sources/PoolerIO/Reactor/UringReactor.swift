// The event loop's side of the kernel, by io_uring: one system call for each turn of the loop, which
// sends what the turn produced and brings what has been received meanwhile.
//
// A turn:
//
//     wait        hand over the outbox, then the closes; wait; take the completions
//     takeShortSend   the rest of a send goes into the memory of its connection
//     finishTurn  now the outbox and the buffers of the last turn can be used again
//     events      the new ones; their bytes stay where they are until the next finishTurn
//
// Receives are multishot, from a ring of buffers that the connections share. A send is executed while
// it is handed over (MSG_DONTWAIT), and is reported only when it fails or falls short.

internal import CLinux
internal import Glibc
internal import PoolerCore

/// Waits for completions.
///
/// Used by one thread: the one that called `start`.
@safe
struct UringReactor: ~Copyable {
    /// How many buffers there are to receive into, and how large they are.
    struct Buffers {
        /// A power of two, at most 32,768.
        var count = 256
        /// In bytes.
        var size = 16_384
    }

    @unsafe
    private struct State: ~Copyable {
        let ring: OpaquePointer
        let buffers: UnsafeMutableRawBufferPointer
        let completions: UnsafeMutablePointer<martlet_completion>
        var outbox: Outbox
        var events: [ReactorEvent] = []
        var shortSends: [ShortSend] = []
        /// The buffers whose bytes the last turn handled, and those of this one.
        var handled: [UInt16] = []
        var filled: [UInt16] = []
        var closings: [Closing] = []
        var shutdowns: [Shutdown] = []
        var watches: [Watch] = []
    }

    private struct Closing {
        let registration: Registration
    }

    private struct Shutdown {
        let descriptor: Int32
        let entry: Int
    }

    /// A descriptor that is not a connection.
    private struct Watch {
        let token: Token
        let descriptor: Int32
        let isShared: Bool
        var isPolling: Bool
    }

    /// What a completion is of: the top four bits of the slot in its label.
    private enum Operation: UInt64 {
        case receive = 0
        case pollWritable = 1
        case watch = 2
        /// The rest of the slot is the entry of the outbox.
        case send = 3
        /// Cancel, close: nobody waits for it.
        case other = 4
        case detach = 5
        case pollEnd = 6
    }

    private let state: UnsafeMutablePointer<State>
    let bufferSize: Int

    private static let submissionCapacity: UInt32 = 256
    /// The kernel's table for finding what is to be cancelled grows with it, up to this.
    private static let completionCapacity = 8_192
    private static let operationShift: UInt64 = 28

    /// - Parameter isDeferred: whether the kernel shall work for the ring only while the loop waits
    ///   (Linux 6.1); without it, io_uring costs no less than epoll.
    /// - Throws: `SystemError` when the kernel has no such ring, or forbids it.
    init(isDeferred: Bool, buffers: Buffers = Buffers()) throws(SystemError) {
        let ring = unsafe try Self.openRing(isDeferred: isDeferred)
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: buffers.count * buffers.size,
            alignment: 4_096
        )
        // Touched now, so that what a connection costs later is its own.
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
        let addStatus = unsafe martlet_ring_add_buffers(
            ring,
            memory.baseAddress,
            UInt32(buffers.count),
            UInt32(buffers.size)
        )
        guard addStatus == 0 else {
            unsafe martlet_ring_close(ring)
            unsafe memory.deallocate()
            throw SystemError(call: "io_uring_register(PBUF_RING)", code: -addStatus)
        }
        bufferSize = buffers.size
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(
            to: State(
                ring: ring,
                buffers: memory,
                completions: .allocate(capacity: Self.completionCapacity),
                outbox: Outbox(stable: UnsafeRawBufferPointer(memory))
            )
        )
    }

    deinit {
        unsafe martlet_ring_close(state.pointee.ring)
        unsafe state.pointee.buffers.deallocate()
        unsafe state.pointee.completions.deallocate()
        unsafe state.deinitialize(count: 1)
        unsafe state.deallocate()
    }

    private static func openRing(isDeferred: Bool) throws(SystemError) -> OpaquePointer {
        var ring: OpaquePointer?
        var status: Int32 = 0
        // A ring that was closed a moment ago still counts as locked memory.
        for _ in 0..<50 {
            status = unsafe martlet_ring_open(
                submissionCapacity,
                UInt32(completionCapacity),
                isDeferred ? 1 : 0,
                &ring
            )
            if status != -ENOMEM { break }
            usleep(2_000)
        }
        guard status == 0, let ring = unsafe ring else {
            throw SystemError(call: "io_uring_setup", code: -status)
        }
        return unsafe ring
    }

    /// Opens rings all at once, to see whether there may be so many.
    static func tryOut(ringCount: Int, isDeferred: Bool) throws(SystemError) {
        var rings: [OpaquePointer] = unsafe []
        defer { for index in unsafe rings.indices { unsafe martlet_ring_close(rings[index]) } }
        for _ in 0..<ringCount { unsafe rings.append(try openRing(isDeferred: isDeferred)) }
    }

    /// Makes the calling thread the one that uses the ring.
    func start() throws(SystemError) {
        let status = unsafe martlet_ring_enable(state.pointee.ring)
        guard status == 0 else {
            throw SystemError(call: "io_uring_register(ENABLE_RINGS)", code: -status)
        }
    }

    func makeReceiveBuffer() -> ReceiveBuffer {
        unsafe ReceiveBuffer(viewing: state.pointee.buffers, stride: bufferSize)
    }

    // MARK: Descriptors that are not connections

    /// - Parameter isShared: whether other loops watch it, too, and one of them is enough.
    func watch(_ fd: Int32, _ token: Token, isShared: Bool) {
        unsafe state.pointee.watches.append(
            Watch(
                token: token,
                descriptor: fd,
                isShared: isShared,
                isPolling: false
            )
        )
        unsafe poll(state.pointee.watches.count - 1)
    }

    func unwatch(_ token: Token) {
        guard let index = watchIndex(token) else { return }
        let watch = unsafe state.pointee.watches.remove(at: index)
        if watch.isPolling { cancel(.watch, watch.token) }
    }

    private func watchIndex(_ token: Token) -> Int? {
        unsafe state.pointee.watches.firstIndex { $0.token == token }
    }

    private func poll(_ index: Int) {
        makeSpace()
        let watch = unsafe state.pointee.watches[index]
        var events = EPOLLIN.rawValue
        if watch.isShared { events |= EPOLLEXCLUSIVE.rawValue }
        unsafe martlet_ring_poll(
            state.pointee.ring,
            watch.descriptor,
            events,
            Self.label(.watch, watch.token)
        )
        unsafe state.pointee.watches[index].isPolling = true
    }

    // MARK: Connections

    /// Makes the kernel do what a connection wants.
    func adjust(_ connection: inout Registration) {
        if connection.writes && !connection.state.contains(.isPolling) {
            makeSpace()
            unsafe martlet_ring_poll(
                state.pointee.ring,
                connection.descriptor,
                EPOLLOUT.rawValue,
                Self.label(.pollWritable, connection.token)
            )
            connection.state.insert(.isPolling)
        }
        watchEnd(of: &connection, !connection.reads && !connection.state.contains(.isReceiving))
        if connection.reads != connection.state.contains(.isReceiving) {
            if connection.reads {
                makeSpace()
                unsafe martlet_ring_receive(
                    state.pointee.ring,
                    connection.descriptor,
                    Self.label(.receive, connection.token)
                )
                connection.state.insert(.isReceiving)
            } else if !connection.state.contains(.isCanceling) {
                // What has been received already may still come.
                cancel(.receive, connection.token)
                connection.state.insert(.isCanceling)
            }
        }
    }

    /// Starts or stops to look out for a broken connection, as epoll does of itself.
    private func watchEnd(of connection: inout Registration, _ isWanted: Bool) {
        guard isWanted != connection.state.contains(.isWatchingEnd) else { return }
        if isWanted {
            makeSpace()
            unsafe martlet_ring_poll(
                state.pointee.ring,
                connection.descriptor,
                0,
                Self.label(.pollEnd, connection.token)
            )
            connection.state.insert(.isWatchingEnd)
        } else {
            cancel(.pollEnd, connection.token)
            connection.state.remove(.isWatchingEnd)
        }
    }

    /// Keeps the books about a connection's event, before it is handled.
    /// - Returns: whether the connection has left the loop.
    func account(for event: ReactorEvent, of connection: inout Registration) -> Bool {
        if event.isWritable { connection.state.remove(.isPolling) }
        guard event.isLast || event.isDetached else { return false }
        connection.state.subtract([.isReceiving, .isCanceling])
        if connection.state.contains(.isDetaching) {
            connection.state.subtract([.isDetaching, .isPolling])
            return true
        }
        if event.result > 0 || !event.isEnd { adjust(&connection) }
        return false
    }

    func send(_ bytes: RawSpan, to connection: inout Registration) {
        unsafe state.pointee.outbox.add(bytes, for: &connection)
    }

    func finishSending(_ connection: Registration) {
        if unsafe state.pointee.outbox.holds(connection.outboxEntry, for: connection.token) {
            unsafe state.pointee.shutdowns.append(
                Shutdown(
                    descriptor: connection.descriptor,
                    entry: Int(connection.outboxEntry)
                )
            )
        } else {
            shutdown(connection.descriptor, Int32(SHUT_WR))
        }
    }

    func close(_ connection: Registration) {
        unsafe state.pointee.closings.append(Closing(registration: connection))
        unsafe state.pointee.shutdowns.removeAll { $0.descriptor == connection.descriptor }
    }

    /// Stops everything that the kernel does for a connection; the end of it is an event.
    func detach(_ connection: inout Registration) {
        connection.state.insert(.isDetaching)
        watchEnd(of: &connection, false)
        if connection.state.contains(.isPolling) { cancel(.pollWritable, connection.token) }
        if connection.state.contains(.isReceiving) {
            if connection.state.insert(.isCanceling).inserted {
                cancel(.receive, connection.token)
            }
        } else {
            makeSpace()
            unsafe martlet_ring_nop(state.pointee.ring, Self.label(.detach, connection.token))
        }
    }

    // MARK: Turns

    /// Hands over what the turn produced and waits for completions.
    /// - Returns: how many events there are.
    func wait(timeout: Microseconds) -> Int {
        unsafe state.pointee.events.removeAll(keepingCapacity: true)
        submitSends()
        let canceledCount = submitClosings()
        // A connection that ends with this turn shall not wait for others.
        enter(
            timeout: unsafe state.pointee.shutdowns.isEmpty ? timeout : 0,
            wanted: 1 + canceledCount
        )
        takeCompletions()
        return unsafe state.pointee.events.count
    }

    func event(at index: Int) -> ReactorEvent { unsafe state.pointee.events[index] }

    func takeShortSend() -> ShortSend? { unsafe state.pointee.shortSends.popLast() }

    /// Appends what was not sent.
    func appendRest(of short: ShortSend, to bytes: inout [UInt8]) {
        unsafe state.pointee.outbox.append(
            of: Int(short.entry),
            after: short.sentByteCount,
            to: &bytes
        )
    }

    /// Uses again what the last turn held on to.
    func finishTurn() {
        while let last = unsafe state.pointee.shutdowns.popLast() {
            // What fell short is sent first; its driver finishes then.
            if unsafe !state.pointee.outbox.entries[last.entry].hasFailed {
                shutdown(last.descriptor, Int32(SHUT_WR))
            }
        }
        unsafe state.pointee.outbox.reset()
        let count = unsafe state.pointee.handled.count
        for index in 0..<count {
            unsafe martlet_ring_recycle_buffer(
                state.pointee.ring,
                UInt32(state.pointee.handled[index])
            )
        }
        if count > 0 {
            unsafe martlet_ring_publish_buffers(state.pointee.ring)
            unsafe state.pointee.handled.removeAll(keepingCapacity: true)
        }
        unsafe swap(&state.pointee.handled, &state.pointee.filled)
    }

    private func submitSends() {
        let count = unsafe state.pointee.outbox.entries.count
        unsafe state.pointee.outbox.prepare()
        for index in 0..<count {
            makeSpace()
            unsafe state.pointee.outbox.submit(
                index,
                to: state.pointee.ring,
                label: Self.label(.send, Token(rawValue: UInt64(index)))
            )
        }
    }

    /// A socket stays open as long as the kernel receives from it: that is cancelled first.
    /// - Returns: how many receives are cancelled: each gives a completion, that of the receive or, where
    ///   there was none any more, that of the cancel. Nobody has to wake up for those.
    private func submitClosings() -> UInt32 {
        var canceledCount: UInt32 = 0
        let count = unsafe state.pointee.closings.count
        for index in 0..<count {
            let connection = unsafe state.pointee.closings[index].registration
            if connection.state.contains(.isReceiving) {
                cancel(.receive, connection.token)
                canceledCount += 1
            }
            if connection.state.contains(.isPolling) { cancel(.pollWritable, connection.token) }
            if connection.state.contains(.isWatchingEnd) { cancel(.pollEnd, connection.token) }
            makeSpace()
            unsafe martlet_ring_close_file(
                state.pointee.ring,
                connection.descriptor,
                Self.label(.other, connection.token)
            )
        }
        unsafe state.pointee.closings.removeAll(keepingCapacity: true)
        return canceledCount
    }

    private func cancel(_ operation: Operation, _ token: Token) {
        makeSpace()
        unsafe martlet_ring_cancel(
            state.pointee.ring,
            Self.label(operation, token),
            Self.label(.other, token)
        )
    }

    private static func label(_ operation: Operation, _ token: Token) -> UInt64 {
        assert(token.slot < 1 << 28)
        return token.rawValue | operation.rawValue << operationShift
    }

    /// Makes room for one more operation.
    private func makeSpace() {
        if unsafe martlet_ring_space(state.pointee.ring) == 0 { enter(timeout: -1) }
    }

    /// Enters the kernel until it has taken every operation.
    /// - Parameter wanted: how many completions to wait for.
    private func enter(timeout: Microseconds, wanted: UInt32 = 1) {
        while true {
            let status = unsafe martlet_ring_enter(state.pointee.ring, timeout, wanted)
            if unsafe martlet_ring_space(state.pointee.ring) == Self.submissionCapacity { return }
            // Out of memory for a moment, or interrupted; anything else is an error of ours.
            precondition(
                status >= 0 || [-EINTR, -EAGAIN, -EBUSY, -ENOMEM, -ETIME].contains(status),
                "io_uring_enter"
            )
        }
    }

    private func takeCompletions() {
        while true {
            let count = unsafe Int(
                martlet_ring_take(
                    state.pointee.ring,
                    state.pointee.completions,
                    UInt32(Self.completionCapacity)
                )
            )
            for index in 0..<count { unsafe take(state.pointee.completions[index]) }
            guard unsafe martlet_ring_has_overflow(state.pointee.ring) != 0 else { return }
            enter(timeout: 0)
        }
    }

    private func take(_ completion: martlet_completion) {
        let mask: UInt64 = 0xF << Self.operationShift
        let token = Token(rawValue: completion.label & ~mask)
        let (result, flags) = (completion.result, completion.flags)
        switch Operation(rawValue: (completion.label & mask) >> Self.operationShift) {
        case .receive:
            let buffer = flags >> 16
            if flags & martlet_completion_has_buffer != 0 {
                unsafe state.pointee.filled.append(UInt16(truncatingIfNeeded: buffer))
            }
            let isLast = flags & martlet_completion_more == 0
            unsafe state.pointee.events.append(
                ReactorEvent(
                    token,
                    isLast ? [.received, .last] : .received,
                    result: result,
                    buffer: buffer
                )
            )
        case .pollWritable:
            guard result != -ECANCELED else { return }
            unsafe state.pointee.events.append(ReactorEvent(token, .writable))
        case .pollEnd:
            guard result != -ECANCELED else { return }
            // As a receive that has come to the end.
            unsafe state.pointee.events.append(ReactorEvent(token, .received))
        case .watch:
            guard result != -ECANCELED, let index = watchIndex(token) else { return }
            unsafe state.pointee.watches[index].isPolling = false
            poll(index)
            unsafe state.pointee.events.append(ReactorEvent(token, .received))
        case .send:
            let index = Int(token.slot)
            unsafe state.pointee.outbox.markFailed(index)
            unsafe state.pointee.shortSends.append(
                ShortSend(
                    token: state.pointee.outbox.entries[index].token,
                    entry: UInt32(index),
                    result: result
                )
            )
        case .detach:
            unsafe state.pointee.events.append(ReactorEvent(token, .detached))
        case .other, nil:
            return
        }
    }
}
