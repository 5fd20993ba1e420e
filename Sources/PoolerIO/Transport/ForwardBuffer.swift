// Collects what goes from one side to the other out of one receive. As long as it is one stretch of
// the received bytes, nothing is copied; as soon as something is left out or put in, the stretches
// are joined in memory that is kept from one receive to the next.
//
//     received:  [ stretch ][ left out ][ stretch ... )
//     sent:      scratch = stretch + insertion, then the last stretch

internal import PoolerCore
internal import PostgresWire

/// The bytes to be sent for one receive.
struct ForwardBuffer {
    private var start = 0
    private var end = 0
    private var scratch: [UInt8] = []

    /// Memory that a very large insertion needed is given back.
    private static let keptCapacity = 65_536

    var isEmpty: Bool { start == end && scratch.isEmpty }

    /// How many bytes will be sent.
    var byteCount: Int { scratch.count + end - start }

    /// Adds a stretch of the received bytes, behind the last one.
    mutating func take(_ range: Range<Int>, of bytes: RawSpan) {
        if range.lowerBound == end && start != end {
            end = range.upperBound
            return
        }
        settle(bytes)
        start = range.lowerBound
        end = range.upperBound
    }

    /// Adds bytes that were not received.
    mutating func insert(_ inserted: some Sequence<UInt8>, among bytes: RawSpan) {
        settle(bytes)
        scratch.append(contentsOf: inserted)
    }

    /// Adds bytes in front of all others; nothing may have been taken yet.
    mutating func insert(_ inserted: [UInt8]) {
        assert(isEmpty)
        scratch.append(contentsOf: inserted)
    }

    /// Adds a message that has no body.
    mutating func insertEmptyMessage(_ type: BackendMessageType, among bytes: RawSpan) {
        settle(bytes)
        scratch.append(type.rawValue)
        appendLength(4)
    }

    /// Adds a ReadyForQuery.
    mutating func insertReadyForQuery(_ status: TransactionStatus, among bytes: RawSpan) {
        settle(bytes)
        scratch.append(BackendMessageType.readyForQuery.rawValue)
        appendLength(5)
        scratch.append(status.rawValue)
    }

    /// Adds a message header.
    mutating func insertHeader(
        _ type: FrontendMessageType,
        bodyByteCount: Int,
        among bytes: RawSpan
    ) {
        settle(bytes)
        scratch.append(type.rawValue)
        appendLength(UInt32(truncatingIfNeeded: bodyByteCount + 4))
    }

    /// Adds the name that a tracked statement has on servers, with its terminator.
    mutating func insertServerName(serial: UInt64, among bytes: RawSpan) {
        settle(bytes)
        scratch.append(contentsOf: StatementName.prefix)
        StatementName.appendDigits(of: serial, to: &scratch)
        scratch.append(0)
    }

    /// Puts in a Describe of a prepared statement of the server's.
    mutating func insertDescribe(serial: UInt64, among bytes: RawSpan) {
        let bodyByteCount = 1 + StatementName.byteCount(serial: serial)
        insertHeader(.describe, bodyByteCount: bodyByteCount, among: bytes)
        insert(CollectionOfOne(UInt8(ascii: "S")), among: bytes)
        insertServerName(serial: serial, among: bytes)
    }

    /// Copies what will be sent, without the first bytes.
    mutating func copy(after skipped: Int, of bytes: RawSpan, to copy: inout [UInt8]) {
        settle(bytes)
        copy.append(contentsOf: scratch.dropFirst(skipped))
    }

    /// Sends everything and starts anew.
    mutating func flush(
        _ bytes: RawSpan,
        to transport: inout Transport,
        _ reactor: borrowing Reactor
    ) {
        if scratch.isEmpty {
            transport.send(bytes.extracting(start..<end), reactor)
            discard()
            return
        }
        settle(bytes)
        transport.send(unsafe scratch.span.bytes, reactor)
        discard()
    }

    /// Forgets everything.
    mutating func discard() {
        start = 0
        end = 0
        if scratch.capacity > Self.keptCapacity { scratch = [] }
        scratch.removeAll(keepingCapacity: true)
    }

    private mutating func appendLength(_ length: UInt32) {
        scratch.append(UInt8(truncatingIfNeeded: length >> 24))
        scratch.append(UInt8(truncatingIfNeeded: length >> 16))
        scratch.append(UInt8(truncatingIfNeeded: length >> 8))
        scratch.append(UInt8(truncatingIfNeeded: length))
    }

    private mutating func settle(_ bytes: RawSpan) {
        guard start != end else { return }
        unsafe bytes.extracting(start..<end).withUnsafeBytes {
            unsafe scratch.append(contentsOf: $0)
        }
        start = 0
        end = 0
    }
}
