// What an event loop has to know of a connection beside its socket. It is a part of the connection's
// record, so that neither backend needs a table of its own.

/// A connection as its event loop sees it.
///
/// It owns nothing: `Reactor.close` closes the socket.
struct Registration {
    private(set) var token: Token
    private(set) var descriptor: Int32
    /// Where in the outbox of this turn the connection's bytes are, if they are there.
    var outboxEntry = UInt32.max
    var state: State

    struct State: OptionSet {
        let rawValue: UInt8

        /// What the connection wants to be told of.
        static let reads = State(rawValue: 1)
        static let writes = State(rawValue: 2)
        /// io_uring: what the kernel has been asked and has not answered for the last time.
        static let isReceiving = State(rawValue: 4)
        static let isCanceling = State(rawValue: 8)
        static let isPolling = State(rawValue: 16)
        /// It leaves this loop as soon as the kernel receives for it no more.
        static let isDetaching = State(rawValue: 32)
        /// While it is not received from: its end has to be noticed all the same.
        static let isWatchingEnd = State(rawValue: 64)
    }

    /// - Parameters:
    ///   - reads: whether it is received from, once it is added to a loop.
    ///   - writes: whether its loop is to tell when it can be written to.
    init(descriptor: Int32, token: Token, reads: Bool = true, writes: Bool = false) {
        self.descriptor = descriptor
        self.token = token
        state = []
        if reads { state.insert(.reads) }
        if writes { state.insert(.writes) }
    }

    var reads: Bool { state.contains(.reads) }
    var writes: Bool { state.contains(.writes) }

    /// Changes what the connection wants to be told of.
    mutating func want(reads: Bool, writes: Bool) {
        state.subtract([.reads, .writes])
        if reads { state.insert(.reads) }
        if writes { state.insert(.writes) }
    }

    /// Gives the connection another name, when it is in no loop.
    mutating func rename(_ token: Token) {
        self.token = token
        outboxEntry = .max
    }

    /// Says that the socket is somebody else's now, or closed.
    mutating func forgetDescriptor() {
        descriptor = -1
    }
}
