// The process number that a client is given in BackendKeyData. Nothing runs under it: it says which
// client of which worker a CancelRequest means.

/// A client's place, as a process number.
public struct VirtualProcess: Equatable, Sendable {
    public let slot: UInt32
    public let worker: WorkerID

    public init(slot: UInt32, worker: WorkerID) {
        self.slot = slot
        self.worker = worker
    }

    /// Reads a number that `number` made, or that a stranger made up.
    ///
    /// - Parameter workerCount: at least 1.
    public init(_ number: Int32, workerCount: Int) {
        let count = UInt32(workerCount)
        let place = UInt32(bitPattern: number) &- 1
        slot = place / count
        worker = WorkerID(index: UInt16(place % count))
    }

    /// The number: positive for any number of clients that a process can have.
    public func number(workerCount: Int) -> Int32 {
        let place = slot &* UInt32(workerCount) &+ UInt32(worker.index)
        return Int32(bitPattern: place &+ 1)
    }
}
