import PoolerCore
import Testing

/// The process numbers that clients are given.
@Suite struct VirtualProcessTests {
    @Test(arguments: [1, 2, 3, 64, 256])
    func numbersLeadBack(workerCount: Int) {
        var numbers: Set<Int32> = []
        for slot: UInt32 in [0, 1, 2, 63, 64, 19_999, 1_000_000] {
            for index in 0..<min(workerCount, 4) {
                let process = VirtualProcess(slot: slot, worker: WorkerID(index: UInt16(index)))
                let number = process.number(workerCount: workerCount)
                #expect(number > 0)
                #expect(VirtualProcess(number, workerCount: workerCount) == process)
                #expect(numbers.insert(number).inserted)
            }
        }
    }

    /// A stranger can send any number: whatever it means, the worker exists.
    @Test(arguments: [Int32.min, -1, 0, 1, Int32.max])
    func anyNumberNamesAWorker(number: Int32) {
        for workerCount in [1, 2, 7, 256] {
            let process = VirtualProcess(number, workerCount: workerCount)
            #expect(Int(process.worker.index) < workerCount)
        }
    }
}
