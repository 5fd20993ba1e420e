import PoolerCore
import TestSupport
import Testing

@Suite struct ServerStatementsTests {
    @Test func useMakesAStatementTheNewest() {
        var statements = Self.statements([1, 2, 3])
        #expect(statements.leastRecentlyUsed == 1)
        #expect(statements.use(1) == true)
        #expect(statements.use(3) == true)
        #expect(statements.removeAll() == [2, 1, 3])
    }

    @Test func unknownStatementsAreNotUsed() {
        var statements = Self.statements([5])
        for slot: UInt32 in [0, 4, 6, 1_000] {
            #expect(statements.use(slot) == false)
            #expect(statements.remove(slot) == false)
        }
        #expect(statements.count == 1)
    }

    @Test func theOldestIsKnownUntilNoneIsLeft() {
        var statements = Self.statements([1, 2])
        #expect(statements.remove(1) == true)
        #expect(statements.leastRecentlyUsed == 2)
        #expect(statements.remove(2) == true)
        #expect(statements.leastRecentlyUsed == nil && statements.count == 0)
        #expect(statements.remove(2) == false)
        statements.insert(2)
        #expect(statements.leastRecentlyUsed == 2)
    }

    @Test func whatIsUnfitIsNotUsedButGoesInItsTurn() {
        var statements = Self.statements([1, 2])
        statements.becameUnfit(1)
        statements.becameUnfit(7)
        #expect(statements.use(1) == false)
        #expect(statements.contains(1) && !statements.contains(7))
        #expect(statements.leastRecentlyUsed == 1)
        #expect(statements.remove(1) == true)
        statements.insert(1)
        #expect(statements.use(1) == true)
        #expect(statements.count == 2)
    }

    @Test func anyOfThemCanGo() {
        for victim: UInt32 in 1...3 {
            var statements = Self.statements([1, 2, 3])
            #expect(statements.remove(victim) == true)
            #expect(statements.removeAll() == [1, 2, 3].filter { $0 != victim })
        }
    }

    @Test(arguments: 0..<12)
    func behavesLikeAnArray(_ seed: Int) {
        var random = SplitMix(seed: seed)
        var statements = ServerStatements()
        var model: [UInt32] = []
        for _ in 0..<2_000 {
            let slot = UInt32(random.number(0...30))
            let place = model.firstIndex(of: slot)
            switch random.number(0...3) {
            case 0:
                #expect(statements.remove(slot) == (place != nil), "seed \(seed)")
                model.removeAll { $0 == slot }
            case 1 where place == nil:
                statements.insert(slot)
                model.append(slot)
            default:
                #expect(statements.use(slot) == (place != nil), "seed \(seed)")
                if let place { model.append(model.remove(at: place)) }
            }
            #expect(statements.count == model.count, "seed \(seed)")
            #expect(statements.leastRecentlyUsed == model.first, "seed \(seed)")
        }
        #expect(statements.removeAll() == model, "seed \(seed)")
    }

    private static func statements(_ slots: [UInt32]) -> ServerStatements {
        var statements = ServerStatements()
        for slot in slots { statements.insert(slot) }
        return statements
    }
}
