// What one client of the pool listens to: the channels of its session, as its servers have told, and
// the notifications that have come for it while it was in a transaction or did not read.
//
// A channel is *held* when the pool's listener delivers it. One that the client has just asked for is
// *wanted* until it has been handed over from the server that ran the LISTEN: up to a marker among the
// notifications the client gets what that server sends, behind it what the listener sends.

public import PostgresWire

/// The channels and waiting notifications of a client.
public struct ClientSubscriptions: Sendable {
    /// A hand-over that is under way.
    public struct HandOver: Equatable, Sendable {
        /// Tells it from all others; the payload of its marker.
        public let ticket: UInt64
        public let channels: [ByteString]

        public init(ticket: UInt64, channels: [ByteString]) {
            self.ticket = ticket
            self.channels = channels
        }
    }

    /// What the listener delivers, in the order in which the client asked for it.
    public private(set) var channels: [ByteString] = []
    private var heldSet: Set<ByteString> = []
    public private(set) var handOver: HandOver?
    private var wantedSet: Set<ByteString> = []
    /// Channels that the listener may still take for the client's, by how often it has been told that
    /// they are not.
    private var leaving: [ByteString: Int] = [:]
    /// The process of the server on which the client may have notified since its notifications were
    /// last known to have arrived; 0 when there is none.
    public var notifyingProcess: Int32 = 0
    /// What is awaited of the listener: everything that was sent before this was asked for.
    ///
    /// 0 for nothing.
    public var flushTicket: UInt64 = 0
    /// Whether a ReadyForQuery is kept back until then.
    public var keepsReady = false
    /// Whether the client has to be told that it may have missed something.
    public var owesNotice = false
    private var queue: [NotificationResponse] = []
    private var queueByteCount = 0

    /// The most channels that one client may have with the listener.
    public static let channelLimit = 1_000

    public init() {}

    /// Goes on for a client that has come from another process, whose listener delivered these.
    ///
    /// - Parameter ticket: under which this process's listener has been asked for them.
    public init(adopting channels: [ByteString], ticket: UInt64) {
        self.channels = channels
        heldSet = Set(channels)
        adoptionTicket = ticket
    }

    /// Under which ticket the listener has been asked for what another process delivered; 0 when that
    /// is over.
    public var adoptionTicket: UInt64 = 0

    /// Whether another process could go on with it.
    public var canMove: Bool { handOver == nil && flushTicket == 0 && !keepsReady }

    /// Whether nothing is left that the client's session has to do with channels.
    public var isEmpty: Bool {
        !listens && queue.isEmpty && leaving.isEmpty && notifyingProcess == 0 && flushTicket == 0
            && !keepsReady
    }

    /// Whether the client has channels, or is about to.
    public var listens: Bool { !channels.isEmpty || handOver != nil }

    // MARK: Channels

    /// What a server has told about the channels of the session.
    public struct Change: Equatable, Sendable {
        public var added: [ByteString] = []
        public var removed: [ByteString] = []

        public init(added: [ByteString]) {
            self.added = added
        }
    }

    /// What the session has gained and lost, by what a server listens to on its account.
    ///
    /// - Parameter isComplete: whether the server had all of the client's channels before; otherwise it
    ///   had none, and has only what is new.
    public func change(byNames names: [ByteString], isComplete: Bool) -> Change {
        var change = Change(added: names.filter { !heldSet.contains($0) })
        if isComplete {
            let found = Set(names)
            change.removed = channels.filter { !found.contains($0) }
        }
        return change
    }

    /// Begins to hand `channels` over to the listener.
    public mutating func begin(_ handOver: HandOver) {
        self.handOver = handOver
        wantedSet = Set(handOver.channels)
    }

    /// The server has come to the marker: from here on the listener's notifications count.
    public mutating func markerCame() {
        guard let handOver else { return }
        for channel in handOver.channels where heldSet.insert(channel).inserted {
            channels.append(channel)
        }
        abandonHandOver()
    }

    /// The listener does not take the channels over.
    public mutating func abandonHandOver() {
        handOver = nil
        wantedSet = []
    }

    /// The session listens to these no more; what has come of them meanwhile is dropped, and what comes
    /// until the listener knows.
    public mutating func remove(_ removed: [ByteString]) {
        for channel in removed { leaving[channel, default: 0] += 1 }
        heldSet.subtract(removed)
        channels.removeAll { !heldSet.contains($0) }
        queue.removeAll { !heldSet.contains($0.channel) }
        queueByteCount = queue.reduce(0) { $0 + Self.byteCount(of: $1) }
    }

    /// The listener knows that the session does not listen to these.
    public mutating func listenerRemoved(_ removed: [ByteString]) {
        for channel in removed {
            guard let count = leaving[channel] else { continue }
            leaving[channel] = count > 1 ? count - 1 : nil
        }
    }

    /// Whether the listener delivers a channel to the client.
    public func holds(_ channel: ByteString) -> Bool { heldSet.contains(channel) }

    // MARK: Notifications

    /// Keeps a notification from the listener.
    ///
    /// - Parameter limit: how much may be kept, in bytes.
    /// - Returns: false when that is too much.
    public mutating func keep(_ notification: NotificationResponse, limit: Int) -> Bool {
        let channel = notification.channel
        guard leaving[channel] == nil, heldSet.contains(channel) || wantedSet.contains(channel)
        else { return true }
        queue.append(notification)
        queueByteCount += Self.byteCount(of: notification)
        return queueByteCount <= limit
    }

    /// How much is kept, in bytes.
    public var keptByteCount: Int { queueByteCount }

    /// How many notifications are kept.
    public var keptCount: Int { queue.count }

    /// Whether anything is kept.
    public var hasKept: Bool { !queue.isEmpty }

    /// Whether something is kept of a channel that is being handed over: what its server sends comes
    /// before it.
    public var isHandingOverKept: Bool {
        handOver != nil && queue.contains { wantedSet.contains($0.channel) }
    }

    /// Takes everything that was kept, as messages in order.
    public mutating func takeKept() -> [UInt8] {
        var writer = ByteWriter(capacity: queueByteCount)
        for notification in queue { writer.notificationResponse(notification) }
        queue = []
        queueByteCount = 0
        return writer.bytes
    }

    private static func byteCount(of notification: NotificationResponse) -> Int {
        MessageHeader.byteCount + 6 + notification.channel.count + notification.payload.count
    }
}
