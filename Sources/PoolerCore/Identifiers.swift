// Who is who: small values that name a connection or a pool without holding on to it.

/// Names a client connection: a slot, and the number of times the slot was given out before.
package struct ClientID: Hashable, BitwiseCopyable, Sendable {
    /// The slot, counted from 0.
    package let index: UInt32
    /// Tells apart the connections that used the same slot one after the other.
    package let generation: UInt32

    @inlinable
    package init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }
}

/// Names a server connection: a slot, and the number of times the slot was given out before.
package struct ServerID: Hashable, BitwiseCopyable, Sendable {
    /// The slot, counted from 0.
    package let index: UInt32
    /// Tells apart the connections that used the same slot one after the other.
    package let generation: UInt32

    @inlinable
    package init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }
}

/// Names a pool: its place in `Pools`.
package struct PoolID: Hashable, BitwiseCopyable, Sendable {
    package let index: Int

    package init(index: Int) {
        self.index = index
    }
}
