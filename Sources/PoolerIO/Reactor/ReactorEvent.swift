// What a turn of the event loop brings, in the shape of completions: bytes that have been received,
// rather than a socket to receive from. With epoll the bytes are fetched when the event is handled.

internal import CLinux

/// What has happened to a connection, or to another thing that is watched.
struct ReactorEvent {
    let token: Token
    private let flags: Flags
    /// With io_uring, what a receive gave: a number of bytes, or a negated errno.
    let result: Int32
    /// With io_uring, the buffer that has the bytes.
    let buffer: UInt32

    struct Flags: OptionSet {
        let rawValue: UInt8

        static let received = Flags(rawValue: 1)
        static let writable = Flags(rawValue: 2)
        /// The kernel no longer receives for the connection.
        static let last = Flags(rawValue: 4)
        static let detached = Flags(rawValue: 8)
        static let ending = Flags(rawValue: 16)
    }

    init(_ token: Token, _ flags: Flags, result: Int32 = 0, buffer: UInt32 = 0) {
        self.token = token
        self.flags = flags
        self.result = result
        self.buffer = buffer
    }

    /// There are bytes or an end to be taken with `ReceiveBuffer.receive`, or what is watched has
    /// something to be read.
    var isReadable: Bool { flags.contains(.received) }
    /// The socket is connected, or takes bytes again.
    var isWritable: Bool { flags.contains(.writable) }
    /// With epoll: the peer sends no more than what has come, or the connection is broken.
    var isEnding: Bool { flags.contains(.ending) }
    /// The kernel no longer receives for the connection, until it is asked again.
    var isLast: Bool { flags.contains(.last) }
    /// A connection that was not received from has left the loop.
    var isDetached: Bool { flags.contains(.detached) }

    /// Whether a receive says that the connection has ended: `result` of io_uring.
    var isEnd: Bool {
        result == 0 || result < 0 && ![-ECANCELED, -ENOBUFS, -EAGAIN, -EINTR].contains(result)
    }
}

/// A send of the last turn of which the kernel took only a part.
struct ShortSend {
    let token: Token
    /// Where the bytes are, until the turn is finished.
    let entry: UInt32
    /// How many bytes went out, or a negated errno when the connection is broken.
    let result: Int32

    var isBroken: Bool { result < 0 && result != -EAGAIN && result != -EINTR }
    var sentByteCount: Int { max(0, Int(result)) }
}
