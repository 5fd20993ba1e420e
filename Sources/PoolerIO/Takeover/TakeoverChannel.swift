// The connection between the two processes of a takeover: messages with the descriptors that belong to
// them. Its calls wait; they are made on threads of their own, never by an event loop.

internal import CLinux
internal import PoolerCore
internal import PostgresWire

/// A message, and the descriptors that came with it.
///
/// They belong to whoever has it.
struct TakeoverParcel: Sendable {
    let message: TakeoverMessage
    let descriptors: [Int32]

    init(_ message: TakeoverMessage, _ descriptors: [Int32] = []) {
        self.message = message
        self.descriptors = descriptors
    }

    /// Closes what nobody wants.
    func discard() {
        for descriptor in descriptors { close(descriptor) }
    }
}

/// One end of the connection.
final class TakeoverChannel: Sendable {
    private let descriptor: Int32
    private let sending = Locked(())

    /// Takes over a connected Unix socket.
    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        _ = martlet_set_blocking(descriptor)
    }

    deinit {
        close(descriptor)
    }

    /// Sends a parcel; its descriptors stay open here.
    ///
    /// - Returns: false when the other process cannot be reached any more.
    func send(_ parcel: TakeoverParcel) -> Bool {
        let bytes = parcel.message.bytes
        return sending.withLock { _ in
            var offset = 0
            while offset < bytes.count {
                let descriptors = offset == 0 ? parcel.descriptors : []
                let count = unsafe bytes.withUnsafeBytes { bytes in
                    unsafe martlet_send_descriptors(
                        descriptor,
                        bytes.baseAddress.map { unsafe $0 + offset },
                        bytes.count - offset,
                        descriptors,
                        Int32(descriptors.count)
                    )
                }
                guard count > 0 else { return false }
                offset += count
            }
            return true
        }
    }

    /// Has both processes see the end of the connection.
    func end() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// What has come of messages and descriptors, and not been taken.
    struct Inbox {
        fileprivate var bytes: [UInt8] = []
        fileprivate var start = 0
        fileprivate var descriptors: [Int32] = []

        /// Closes what came for messages that did not.
        mutating func discard() {
            for descriptor in descriptors { close(descriptor) }
            descriptors = []
        }
    }

    /// Waits for the next message.
    ///
    /// - Returns: nil when the connection has ended.
    /// - Throws: `WireError` when the other process sends something else.
    func receive(_ inbox: inout Inbox) throws(WireError) -> TakeoverParcel? {
        while true {
            let rest = inbox.bytes[inbox.start...]
            if let count = try TakeoverMessage.byteCount(peeking: rest), count <= rest.count {
                let end = inbox.start + count
                let message = try TakeoverMessage(decoding: inbox.bytes[inbox.start..<end])
                inbox.start = end
                if inbox.start == inbox.bytes.count { inbox.bytes.removeAll() }
                if inbox.bytes.isEmpty { inbox.start = 0 }
                let descriptorCount = message.descriptorCount
                guard descriptorCount <= inbox.descriptors.count else { throw .invalidField }
                let descriptors = Array(inbox.descriptors.prefix(descriptorCount))
                inbox.descriptors.removeFirst(descriptorCount)
                return TakeoverParcel(message, descriptors)
            }
            if inbox.start > 0 {
                inbox.bytes.removeFirst(inbox.start)
                inbox.start = 0
            }
            guard receiveMore(&inbox) else { return nil }
        }
    }

    private func receiveMore(_ inbox: inout Inbox) -> Bool {
        var bytes = [UInt8](repeating: 0, count: Self.receiveByteCount)
        var descriptors = [Int32](repeating: -1, count: Int(MARTLET_DESCRIPTOR_LIMIT))
        var descriptorCount: Int32 = 0
        let count = unsafe martlet_receive_descriptors(
            descriptor,
            &bytes,
            bytes.count,
            &descriptors,
            &descriptorCount
        )
        inbox.descriptors += descriptors.prefix(Int(descriptorCount))
        inbox.bytes += bytes.prefix(max(0, count))
        return count > 0
    }

    private static let receiveByteCount = 65_536
}

/// The statements that connections have which move from one process to another, by their serial
/// numbers: each is used once for this, until the takeover is over.
final class TakeoverStatements: Sendable {
    private let slots = Locked<[UInt64: UInt32]>([:])
    private let store: SharedStatements

    init(_ store: SharedStatements) {
        self.store = store
    }

    deinit {
        for slot in slots.withLock({ Array($0.values) }) { store.release(slot) }
    }

    /// The slot in the store of the statement with a number.
    subscript(serial: UInt64) -> UInt32? {
        get { slots.withLock { $0[serial] } }
        set { slots.withLock { $0[serial] = newValue } }
    }
}
