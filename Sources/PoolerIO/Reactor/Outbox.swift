// What a turn of a loop sends. A connection has at most one send at a time, so that its bytes cannot
// change places: what is sent to it again in the same turn becomes another segment of that send.
// Received bytes are sent from where the kernel put them; all others are copied.
//
//     entries:   [ connection A: 2 segments ][ connection B: 1 segment ] ...
//     segments:  [ A ][ B ][ A ] ...       chained by index
//     bytes:     where they were received, or the arena

internal import CLinux

/// The sends of one turn, kept until the kernel has executed them and said which fell short.
@safe
struct Outbox: ~Copyable {
    /// What is to be sent to one connection.
    struct Entry {
        let token: Token
        let descriptor: Int32
        fileprivate let first: UInt32
        fileprivate var last: UInt32
        fileprivate(set) var segmentCount = 1
        fileprivate(set) var byteCount: Int
        /// It was not sent as a whole: what is added now waits behind the rest.
        fileprivate(set) var hasFailed = false
    }

    @unsafe
    private struct Segment {
        let base: UnsafeRawPointer
        var count: Int
        var next = UInt32.max
    }

    private(set) var entries: [Entry] = []
    /// How many of them the kernel has been given, in the middle of a turn.
    private(set) var handedOverCount = 0
    private var segments: [Segment] = unsafe []
    private var arena = Arena()
    /// Memory that needs no copy: it stays as it is until the kernel has been given what is in it.
    private let stable: UnsafeRawBufferPointer
    private var messages = UnsafeMutableBufferPointer<msghdr>.allocate(capacity: 64)
    private var vectors = UnsafeMutableBufferPointer<iovec>.allocate(capacity: 256)
    private var messageCount = 0
    private var vectorCount = 0

    /// A message has at most 1,024 segments (UIO_MAXIOV); long before that they are joined.
    private static let segmentLimit = 512

    init(stable: UnsafeRawBufferPointer) {
        unsafe self.stable = unsafe stable
    }

    deinit {
        unsafe messages.deallocate()
        unsafe vectors.deallocate()
    }

    /// Whether bytes for a connection are waiting in the entry that it remembers.
    func holds(_ entry: UInt32, for token: Token) -> Bool {
        Int(entry) < entries.count && entries[Int(entry)].token.rawValue == token.rawValue
    }

    /// How many entries the kernel has not been given yet.
    var waitingCount: Int { entries.count - handedOverCount }

    /// Whether bytes for a connection are here that have not gone out.
    func isBehind(_ registration: Registration) -> Bool {
        let index = Int(registration.outboxEntry)
        return holds(registration.outboxEntry, for: registration.token)
            && (index >= handedOverCount || entries[index].hasFailed)
    }

    /// Adds bytes for a connection, behind those that it has here already.
    mutating func add(_ bytes: RawSpan, for registration: inout Registration) {
        unsafe bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            guard isBehind(registration) else {
                registration.outboxEntry = UInt32(entries.count)
                let place = unsafe isStable(base) ? base : arena.copy(base, bytes.count)
                let segment = unsafe append(place, bytes.count)
                entries.append(
                    Entry(
                        token: registration.token,
                        descriptor: registration.descriptor,
                        first: segment,
                        last: segment,
                        byteCount: bytes.count
                    )
                )
                return
            }
            unsafe add(base, bytes.count, to: Int(registration.outboxEntry))
        }
    }

    private mutating func add(_ base: UnsafeRawPointer, _ count: Int, to index: Int) {
        if entries[index].segmentCount == Self.segmentLimit { join(index) }
        entries[index].byteCount += count
        let last = Int(entries[index].last)
        // What fell short is kept longer than the bytes that were received.
        let isStable = unsafe isStable(base) && !entries[index].hasFailed
        if !isStable,
            unsafe arena.extend(segments[last].base + segments[last].count, from: base, count)
        {
            unsafe segments[last].count += count
            return
        }
        let segment = unsafe append(isStable ? base : arena.copy(base, count), count)
        unsafe segments[Int(entries[index].last)].next = segment
        entries[index].last = segment
        entries[index].segmentCount += 1
    }

    /// - Parameter place: where the bytes stay until the turn is finished.
    private mutating func append(_ place: UnsafeRawPointer, _ count: Int) -> UInt32 {
        unsafe segments.append(Segment(base: place, count: count))
        return unsafe UInt32(segments.count - 1)
    }

    private func isStable(_ base: UnsafeRawPointer) -> Bool {
        guard let start = unsafe stable.baseAddress else { return false }
        return unsafe base >= start && base < start + stable.count
    }

    /// Makes one segment out of those of an entry, in the arena.
    /// - Parameter skipped: how many of the first bytes are left out.
    private mutating func join(_ index: Int, after skipped: Int = 0) {
        var bytes: [UInt8] = []
        append(of: index, after: skipped, to: &bytes)
        let first = Int(entries[index].first)
        unsafe bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            unsafe segments[first] = unsafe Segment(
                base: arena.copy(base, bytes.count),
                count: bytes.count
            )
        }
        entries[index].last = entries[index].first
        entries[index].segmentCount = 1
        entries[index].byteCount = bytes.count
    }

    /// Appends the bytes of an entry, except for the first ones.
    func append(of index: Int, after skipped: Int, to bytes: inout [UInt8]) {
        var skipped = skipped
        var segment = entries[index].first
        for _ in 0..<entries[index].segmentCount {
            let base = unsafe segments[Int(segment)].base
            let count = unsafe segments[Int(segment)].count
            if skipped < count {
                unsafe bytes.append(
                    contentsOf: UnsafeRawBufferPointer(
                        start: base + skipped,
                        count: count - skipped
                    )
                )
            }
            skipped = max(0, skipped - count)
            unsafe segment = segments[Int(segment)].next
        }
    }

    /// Remembers that an entry was not sent as a whole.
    mutating func markFailed(_ index: Int) {
        entries[index].hasFailed = true
    }

    /// Keeps what was not sent of an entry, and no longer needs the memory where it was received.
    mutating func keepRest(of index: Int, after sentByteCount: Int) {
        join(index, after: sentByteCount)
        markFailed(index)
    }

    /// Goes on with the turn, after the kernel was given every entry.
    mutating func handedOver() {
        handedOverCount = entries.count
    }

    /// Makes room to describe every entry to the kernel.
    mutating func prepare() {
        messageCount = 0
        vectorCount = 0
        if unsafe segments.count > vectors.count {
            unsafe vectors.deallocate()
            unsafe vectors = .allocate(capacity: segments.count * 2)
        }
        if unsafe entries.count > messages.count {
            unsafe messages.deallocate()
            unsafe messages = .allocate(capacity: entries.count * 2)
        }
    }

    /// Asks a ring to send an entry; `prepare` made the room for it.
    mutating func submit(_ index: Int, to ring: OpaquePointer, label: UInt64) {
        let entry = entries[index]
        if entry.segmentCount == 1 {
            let segment = unsafe segments[Int(entry.first)]
            unsafe martlet_ring_send(ring, entry.descriptor, segment.base, segment.count, label)
            return
        }
        var message = unsafe msghdr()
        unsafe message.msg_iov = describe(entry)
        unsafe message.msg_iovlen = entry.segmentCount
        unsafe messages[messageCount] = unsafe message
        unsafe martlet_ring_send_message(
            ring,
            entry.descriptor,
            messages.baseAddress.map { unsafe $0 + messageCount },
            label
        )
        messageCount += 1
    }

    /// Adds an entry to a batch; `prepare` made the room for it.
    mutating func submit(_ index: Int, to batch: OpaquePointer) {
        let entry = entries[index]
        if entry.segmentCount == 1 {
            let segment = unsafe segments[Int(entry.first)]
            unsafe martlet_batch_add(batch, entry.descriptor, segment.base, segment.count)
        } else {
            unsafe martlet_batch_add_vectors(
                batch,
                entry.descriptor,
                describe(entry),
                Int32(entry.segmentCount)
            )
        }
    }

    /// Sends an entry at once; `prepare` made the room for it.
    /// - Returns: how many bytes the kernel took, or a negated errno.
    mutating func transmit(_ index: Int) -> Int {
        let entry = entries[index]
        if entry.segmentCount == 1 {
            let segment = unsafe segments[Int(entry.first)]
            return unsafe martlet_send(entry.descriptor, segment.base, segment.count)
        }
        return unsafe martlet_send_vectors(
            entry.descriptor,
            describe(entry),
            Int32(entry.segmentCount)
        )
    }

    /// Says where the segments of an entry are.
    private mutating func describe(_ entry: Entry) -> UnsafeMutablePointer<iovec>? {
        let vectors = unsafe vectors.baseAddress.map { unsafe $0 + vectorCount }
        var index = entry.first
        for place in 0..<entry.segmentCount {
            let segment = unsafe segments[Int(index)]
            let base = unsafe UnsafeMutableRawPointer(mutating: segment.base)
            unsafe vectors?[place] = unsafe iovec(iov_base: base, iov_len: segment.count)
            unsafe index = segment.next
        }
        vectorCount += entry.segmentCount
        return unsafe vectors
    }

    /// Forgets everything: the kernel has executed it, and what fell short was taken back.
    mutating func reset() {
        entries.removeAll(keepingCapacity: true)
        handedOverCount = 0
        unsafe segments.removeAll(keepingCapacity: true)
        arena.reset()
    }
}

/// Memory for the bytes of one turn, that do not move until it is reset.
@safe
private struct Arena: ~Copyable {
    private var chunks: [UnsafeMutableRawPointer] = unsafe []
    /// Chunks of their own for what is larger than a chunk.
    private var large: [UnsafeMutableRawPointer] = unsafe []
    private var current = 0
    private var used = 0

    private static let chunkSize = 65_536
    /// How many chunks are kept from one turn to the next.
    private static let keptCount = 4

    deinit {
        for index in unsafe chunks.indices { unsafe chunks[index].deallocate() }
        for index in unsafe large.indices { unsafe large[index].deallocate() }
    }

    mutating func copy(_ base: UnsafeRawPointer, _ count: Int) -> UnsafeRawPointer {
        let place = unsafe allocate(count)
        unsafe place.copyMemory(from: base, byteCount: count)
        return UnsafeRawPointer(place)
    }

    /// Copies bytes behind those that end at `end`, if these are the newest and there is room.
    mutating func extend(_ end: UnsafeRawPointer, from base: UnsafeRawPointer, _ count: Int) -> Bool
    {
        guard unsafe current < chunks.count, used + count <= Self.chunkSize else { return false }
        let place = unsafe chunks[current] + used
        guard unsafe end == UnsafeRawPointer(place) else { return false }
        unsafe place.copyMemory(from: base, byteCount: count)
        used += count
        return true
    }

    private mutating func allocate(_ count: Int) -> UnsafeMutableRawPointer {
        if count > Self.chunkSize {
            let place = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 16)
            unsafe large.append(place)
            return unsafe place
        }
        if used + count > Self.chunkSize {
            current += 1
            used = 0
        }
        if unsafe current == chunks.count {
            unsafe chunks.append(.allocate(byteCount: Self.chunkSize, alignment: 64))
        }
        defer { used += count }
        return unsafe chunks[current] + used
    }

    mutating func reset() {
        for index in unsafe large.indices { unsafe large[index].deallocate() }
        unsafe large.removeAll(keepingCapacity: true)
        while unsafe chunks.count > Self.keptCount { unsafe chunks.removeLast().deallocate() }
        current = 0
        used = 0
    }
}
