import Testing

@testable import PoolerIO

@Suite struct RandomReserveTests {
    /// Across several stocks, of which none is a multiple of what is taken.
    @Test func noBytesAreGivenOutTwice() throws {
        var reserve = RandomReserve()
        var seen: Set<[UInt8]> = []
        for _ in 0..<3 * RandomReserve.byteCount / 18 {
            let bytes = try reserve.take(18)
            #expect(bytes.count == 18)
            #expect(seen.insert(bytes).inserted)
        }
    }

    @Test func aWholeStockCanBeTakenAtOnce() throws {
        var reserve = RandomReserve()
        _ = try reserve.takeNumber()
        let bytes = try reserve.take(RandomReserve.byteCount)
        #expect(Set(bytes).count > 200)
    }
}
