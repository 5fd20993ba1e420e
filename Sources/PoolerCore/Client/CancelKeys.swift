// The keys that clients are given in BackendKeyData, and where a CancelRequest with such a key goes.
// Nothing runs under the process number of a key: it says which client of which worker is meant and,
// where several poolers stand behind one address, which of them has the client.
//
//     without peer_id   | place: 32                                         | secret: 32        |
//     with peer_id      | 0 | place: 7 | peer, low byte first: 16 | place: 8 | secret: 30 | hops: 2 |
//
// The second form is PgBouncer's, as far as peers look into the keys of others.

public import PostgresWire

/// Makes keys and reads those that come back.
public struct CancelKeys: Equatable, Sendable {
    private let workerCount: UInt32
    private let peerID: UInt32

    /// - Parameters:
    ///   - workerCount: at least 1.
    ///   - peerID: 0 where there are no peers.
    public init(workerCount: Int, peerID: Int) {
        self.workerCount = UInt32(clamping: max(workerCount, 1))
        self.peerID = UInt32(clamping: peerID) & 0xFFFF
    }

    private var hasPeers: Bool { peerID != 0 }

    /// Slots this far apart have the same number where there are peers.
    private var slotPeriod: UInt32 { Self.placeCount / workerCount }

    /// The process number of a client: never negative.
    public func processID(slot: UInt32, worker: WorkerID) -> Int32 {
        guard hasPeers else {
            let place = slot &* workerCount &+ UInt32(worker.index)
            return Int32(bitPattern: place &+ 1)
        }
        let place = slot % slotPeriod * workerCount + UInt32(worker.index)
        let id = (peerID & 0xFF) << 8 | peerID >> 8
        return Int32(bitPattern: (place >> 8) << 24 | id << 8 | place & 0xFF)
    }

    /// The key of a client.
    public func key(slot: UInt32, worker: WorkerID, secret: Int32) -> CancelKey {
        CancelKey(
            processID: processID(slot: slot, worker: worker),
            secretKey: hasPeers ? secret | Self.hops : secret
        )
    }

    /// A key as it was when it was given out, however often it has been passed on.
    public func canonical(_ key: CancelKey) -> CancelKey {
        guard hasPeers else { return key }
        return CancelKey(processID: key.processID, secretKey: key.secretKey | Self.hops)
    }

    /// Whether a key has a client's secret.
    public func has(_ secret: Int32, in key: CancelKey) -> Bool {
        hasPeers ? secret | Self.hops == key.secretKey | Self.hops : secret == key.secretKey
    }

    /// Where a request goes whose key this pooler, a peer, or a stranger has made.
    public func target(of key: CancelKey) -> CancelTarget {
        let number = UInt32(bitPattern: key.processID)
        guard hasPeers else {
            let place = number &- 1
            return .client(
                ClientPlaces(
                    worker: WorkerID(index: UInt16(place % workerCount)),
                    firstSlot: place / workerCount,
                    period: nil
                )
            )
        }
        let id = (number >> 16) & 0xFF | number & 0xFF00
        guard id == peerID else {
            // The key counts down, so that a request that goes round among peers ends.
            guard key.secretKey & Self.hops != 0 else { return .lost }
            let next = CancelKey(processID: key.processID, secretKey: key.secretKey - 1)
            return .peer(Int(id), next)
        }
        let place = (number >> 16) & 0x7F00 | number & 0xFF
        return .client(
            ClientPlaces(
                worker: WorkerID(index: UInt16(place % workerCount)),
                firstSlot: place / workerCount,
                period: slotPeriod
            )
        )
    }

    /// How many places a key with a peer's id can name.
    private static let placeCount: UInt32 = 1 << 15
    /// The bits of the secret that say how often a request may still be passed on.
    private static let hops: Int32 = 3
}

/// Who has to do with a CancelRequest.
public enum CancelTarget: Equatable, Sendable {
    /// One of the clients here.
    case client(ClientPlaces)
    /// A peer; it gets this key.
    case peer(Int, CancelKey)
    /// Nobody: it has been passed on too often.
    case lost
}

/// The slots that may have a client, of which the secret finds the one.
public struct ClientPlaces: Equatable, Sendable {
    public let worker: WorkerID
    let firstSlot: UInt32
    let period: UInt32?

    /// Those below a limit.
    public func slots(below limit: UInt32) -> some Sequence<UInt32> {
        let step = period.map(Int.init) ?? Int(UInt32.max)
        return stride(from: Int(firstSlot), to: Int(limit), by: step).lazy.map { UInt32($0) }
    }
}
