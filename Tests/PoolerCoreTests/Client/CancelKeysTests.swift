import PoolerCore
import PostgresWire
import Testing

/// The keys that clients are given.
@Suite struct CancelKeysTests {
    private static let slots: [UInt32] = [0, 1, 2, 63, 64, 19_999, 1_000_000]

    private static func bytes(_ key: CancelKey) -> [UInt8] {
        [key.processID, key.secretKey].flatMap { number in
            (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
        }
    }

    /// The slots, below a limit, that a key may mean.
    private static func slots(_ target: CancelTarget, worker: WorkerID) -> [UInt32] {
        guard case .client(let places) = target, places.worker == worker else { return [] }
        return Array(places.slots(below: 2_000_000))
    }

    @Test(arguments: [1, 2, 3, 64, 256])
    func keysLeadBack(workerCount: Int) {
        let keys = CancelKeys(workerCount: workerCount, peerID: 0)
        var numbers: Set<Int32> = []
        for slot in Self.slots {
            for index in 0..<min(workerCount, 4) {
                let worker = WorkerID(index: UInt16(index))
                let key = keys.key(slot: slot, worker: worker, secret: -5)
                #expect(key.processID > 0)
                #expect(numbers.insert(key.processID).inserted)
                #expect(Self.slots(keys.target(of: key), worker: worker) == [slot])
                #expect(keys.has(-5, in: key))
                #expect(!keys.has(-6, in: key))
            }
        }
    }

    @Test(arguments: [1, 2, 3, 64, 256], [1, 255, 256, 16_383])
    func keysWithAPeerIDLeadBack(workerCount: Int, peerID: Int) {
        let keys = CancelKeys(workerCount: workerCount, peerID: peerID)
        for slot in Self.slots {
            for index in 0..<min(workerCount, 4) {
                let worker = WorkerID(index: UInt16(index))
                let key = keys.key(slot: slot, worker: worker, secret: -8)
                #expect(key.processID > 0)
                let slots = Self.slots(keys.target(of: key), worker: worker)
                #expect(slots.contains(slot))
                #expect(slots.count <= 2_000_000 * workerCount / 32_768 + workerCount)
                #expect(keys.has(-8, in: key))
                #expect(!keys.has(-4, in: key))
            }
        }
    }

    /// PgBouncer reads the id from the second and third byte, and hops left from the last two bits.
    @Test func theIDStandsWherePgBouncerLooksForIt() {
        let keys = CancelKeys(workerCount: 2, peerID: 0x1234)
        let key = keys.key(slot: 0x1F3F, worker: WorkerID(index: 1), secret: 0x0102_0304)
        #expect(Self.bytes(key) == [0x3E, 0x34, 0x12, 0x7F, 1, 2, 3, 7])
    }

    @Test func aForeignKeyGoesToItsPeerAndEndsSomewhere() {
        let mine = CancelKeys(workerCount: 2, peerID: 1)
        var key = CancelKeys(workerCount: 5, peerID: 300)
            .key(slot: 9, worker: WorkerID(index: 4), secret: 0x7FFF_FFF0)
        for hop in 0..<3 {
            guard case .peer(300, let next) = mine.target(of: key) else {
                Issue.record("not sent on at hop \(hop)")
                return
            }
            #expect(next.processID == key.processID)
            #expect(next.secretKey == key.secretKey - 1)
            key = next
        }
        #expect(mine.target(of: key) == .lost)
        // Whoever it was meant for knows it however often it was passed on.
        let theirs = CancelKeys(workerCount: 5, peerID: 300)
        #expect(theirs.has(0x7FFF_FFF0, in: key))
        #expect(Self.slots(theirs.target(of: key), worker: WorkerID(index: 4)).contains(9))
    }

    /// A stranger can send any number: whatever it means, the worker exists.
    @Test(arguments: [Int32.min, -1, 0, 1, 0x7F01_00FF, Int32.max], [0, 1])
    func anyNumberNamesAWorker(number: Int32, peerID: Int) {
        for workerCount in [1, 2, 7, 256] {
            let keys = CancelKeys(workerCount: workerCount, peerID: peerID)
            let target = keys.target(of: CancelKey(processID: number, secretKey: 1))
            if case .client(let places) = target {
                #expect(Int(places.worker.index) < workerCount)
                #expect(Array(places.slots(below: 0)).isEmpty)
            }
        }
    }
}
