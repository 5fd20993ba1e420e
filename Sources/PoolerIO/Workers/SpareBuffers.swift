// Memory for the bytes that wait: a client that finds no free server sets its first packet aside, and
// under load that happens all the time. Emptied memory is kept for the next client rather than freed.

/// Memory that is free for bytes that wait.
struct SpareBuffers {
    private var buffers: [[UInt8]] = []

    /// Together at most a megabyte is kept.
    private static let countLimit = 256
    private static let capacityLimit = 4_096

    /// Memory to append to, with or without capacity.
    mutating func take() -> [UInt8] {
        buffers.popLast() ?? []
    }

    /// Gives memory back whose contents are no longer needed.
    mutating func giveBack(_ buffer: consuming [UInt8]) {
        guard buffer.capacity > 0, buffer.capacity <= Self.capacityLimit,
            buffers.count < Self.countLimit
        else { return }
        buffer.removeAll(keepingCapacity: true)
        buffers.append(buffer)
    }
}
