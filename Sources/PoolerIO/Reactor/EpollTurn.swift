// What a turn of an epoll loop receives and sends. Sends wait until the loop is about to wait, and are then
// executed one behind the other: a system call for each would let those that it wakes take the core
// at once, in the middle of the turn. Where the kernel has io_submit they are one call.

internal import CLinux
internal import Glibc
internal import PoolerCore

/// The memory and the sends of one turn.
@safe
struct EpollTurn: ~Copyable {
    /// Received bytes: they stay where they are as long as a send needs them.
    let memory: UnsafeMutableRawBufferPointer
    private var usedByteCount = 0
    private var outbox: Outbox
    private var waitingByteCount = 0
    private var shortSends: [ShortSend] = []
    private let batch: OpaquePointer?
    private let results: UnsafeMutablePointer<Int64>

    /// How much may wait: more would not stay in the cores' caches.
    private static let byteLimit = 32_768
    private static let entryLimit = 64
    /// Fewer sends are cheaper one by one.
    private static let fewestTogether = 3

    /// - Parameter sendsTogether: whether the kernel is asked for io_submit.
    init(sendsTogether: Bool) {
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: 4 * ReceiveBuffer.capacity,
            alignment: 64
        )
        unsafe self.memory = unsafe memory
        outbox = unsafe Outbox(stable: UnsafeRawBufferPointer(memory))
        unsafe results = .allocate(capacity: Self.entryLimit)
        unsafe batch = unsafe sendsTogether ? Self.openBatch() : nil
    }

    private static func openBatch() -> OpaquePointer? {
        var batch: OpaquePointer?
        return unsafe martlet_batch_open(UInt32(entryLimit), &batch) == 0 ? batch : nil
    }

    /// Whether the kernel executes several sends in one call, for so many loops.
    ///
    /// It does not where that is forbidden, or where others on this machine have used up what there is
    /// (`fs.aio-max-nr`).
    static func canSendTogether(loopCount: Int) -> Bool {
        var batches: [OpaquePointer] = unsafe []
        defer { for index in unsafe batches.indices { unsafe martlet_batch_close(batches[index]) } }
        for _ in 0..<loopCount {
            guard let batch = unsafe openBatch() else { return false }
            unsafe batches.append(batch)
        }
        return true
    }

    deinit {
        if let batch = unsafe batch { unsafe martlet_batch_close(batch) }
        unsafe results.deallocate()
        unsafe memory.deallocate()
    }

    /// Takes what a socket has, up to a limit.
    mutating func receive(from fd: Int32) -> Received {
        if unsafe memory.count - usedByteCount < ReceiveBuffer.capacity { flush() }
        // Only here: after a flush in the middle of a receive's bytes the rest of them may still be sent.
        if outbox.waitingCount == 0 { usedByteCount = 0 }
        let start = usedByteCount
        let place = unsafe memory.baseAddress.map { unsafe $0 + start }
        let count = unsafe martlet_recv(fd, place, ReceiveBuffer.capacity)
        guard count > 0 else { return .without(result: count) }
        usedByteCount += (count + 63) & ~63
        return .bytes(start..<start + count)
    }

    mutating func send(_ bytes: RawSpan, to connection: inout Registration) {
        outbox.add(bytes, for: &connection)
        waitingByteCount += bytes.byteCount
        if waitingByteCount >= Self.byteLimit || outbox.waitingCount >= Self.entryLimit { flush() }
    }

    /// Sends what waits.
    mutating func flush() {
        let range = outbox.handedOverCount..<outbox.entries.count
        guard !range.isEmpty else { return }
        outbox.prepare()
        if let batch = unsafe batch, range.count >= Self.fewestTogether {
            for index in range { unsafe outbox.submit(index, to: batch) }
            unsafe martlet_batch_execute(batch, results)
            for index in range { unsafe sent(index, Int(results[index - range.lowerBound])) }
        } else {
            for index in range { sent(index, outbox.transmit(index)) }
        }
        waitingByteCount = 0
        shortSends.isEmpty ? outbox.reset() : outbox.handedOver()
    }

    /// - Parameter count: how many bytes the kernel took, or a negated errno.
    private mutating func sent(_ index: Int, _ count: Int) {
        let entry = outbox.entries[index]
        if count == entry.byteCount { return }
        outbox.keepRest(of: index, after: max(0, count))
        let result = Int32(truncatingIfNeeded: min(0, count))
        shortSends.append(ShortSend(token: entry.token, entry: UInt32(index), result: result))
    }

    /// Sends what waits for a connection.
    /// - Returns: what it has to keep, if the kernel did not take all of it.
    mutating func settle(_ connection: Registration) -> ShortSend? {
        guard outbox.isBehind(connection) else { return nil }
        flush()
        guard outbox.isBehind(connection),
            let index = shortSends.firstIndex(where: { $0.token == connection.token })
        else { return nil }
        return shortSends.remove(at: index)
    }

    var hasShortSends: Bool { !shortSends.isEmpty }

    mutating func takeShortSend() -> ShortSend? { shortSends.popLast() }

    /// Appends what was not sent.
    func appendRest(of short: ShortSend, to bytes: inout [UInt8]) {
        outbox.append(of: Int(short.entry), after: short.sentByteCount, to: &bytes)
    }

    /// Forgets what fell short: it has been taken.
    mutating func finish() {
        if outbox.waitingCount == 0 { outbox.reset() }
    }
}
