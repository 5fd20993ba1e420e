// Who is who: small values that name a connection or a pool without holding on to it.

/// Names a client connection: a slot, and the number of times the slot was given out before.
public struct ClientID: Hashable, BitwiseCopyable, Sendable {
    /// The slot, counted from 0.
    public let index: UInt32
    /// Tells apart the connections that used the same slot one after the other.
    public let generation: UInt32

    @inlinable
    public init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }
}

/// Names a server connection: a slot, and the number of times the slot was given out before.
public struct ServerID: Hashable, BitwiseCopyable, Sendable {
    /// The slot, counted from 0.
    public let index: UInt32
    /// Tells apart the connections that used the same slot one after the other.
    public let generation: UInt32

    @inlinable
    public init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }
}

/// Names a worker: one event loop on its own thread.
public struct WorkerID: Hashable, BitwiseCopyable, Sendable {
    /// Counted from 0.
    public let index: UInt16

    @inlinable
    public init(index: UInt16) {
        self.index = index
    }

    /// The most workers that there can be.
    public static let limit = 256

    /// The worker that also keeps house: signals, console, statistics.
    public static let chief = WorkerID(index: 0)
}

/// Names a pool: its place in `Pools`.
public struct PoolID: Hashable, BitwiseCopyable, Sendable {
    public let index: Int

    public init(index: Int) {
        self.index = index
    }
}
