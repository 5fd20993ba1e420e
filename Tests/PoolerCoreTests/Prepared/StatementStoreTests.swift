import PoolerCore
import PostgresWire
import TestSupport
import Testing

@Suite struct StatementStoreTests {
    @Test func equalBodiesAreOneStatement() {
        var store = StatementStore()
        let slot = store.retain(body: "select 1\0\0\0")
        #expect(store.retain(body: "select 1\0\0\0") == slot)
        #expect(store.count == 1)
        #expect(store.body(of: slot) == "select 1\0\0\0")
        #expect(store.retain(body: "select 1\0\0\u{1}") != slot, "other parameter types")
    }

    @Test func theLastReleaseForgetsAStatement() {
        var store = StatementStore()
        let slot = store.retain(body: "a")
        store.retain(slot)
        store.release(slot)
        #expect(store.count == 1 && store.body(of: slot) == "a")
        store.release(slot)
        #expect(store.count == 0 && store.body(of: slot).isEmpty)
        store.release(slot)
        #expect(store.count == 0)
    }

    /// A server that still knows the old name must not take it for the new statement.
    @Test func serialsAreNeverUsedTwice() {
        var store = StatementStore()
        let old = store.retain(body: "a")
        let oldSerial = store.serial(of: old)
        store.release(old)
        let new = store.retain(body: "a")
        #expect(new == old, "the slot is used again")
        #expect(store.serial(of: new) > oldSerial)
        #expect(store.serial(ofBody: "a") == store.serial(of: new))
        #expect(store.serial(ofBody: "b") == nil)
    }

    @Test(arguments: 0..<12)
    func behavesLikeADictionary(_ seed: Int) {
        var random = SplitMix(seed: seed)
        var store = StatementStore()
        var model: [ByteString: (slot: UInt32, useCount: Int, serial: UInt64)] = [:]
        var serials: Set<UInt64> = []
        for _ in 0..<1_500 {
            let body = ByteString("select \(random.number(0...20))")
            switch (random.number(0...2), model[body]) {
            case (0, let known):
                let slot = store.retain(body: body)
                let serial = store.serial(of: slot)
                #expect(known == nil || known?.slot == slot, "seed \(seed)")
                #expect(known?.serial == serial || serials.insert(serial).inserted)
                model[body] = (slot, (known?.useCount ?? 0) + 1, serial)
            case (1, let known?):
                store.retain(known.slot)
                model[body]?.useCount += 1
            case (2, let known?):
                store.release(known.slot)
                model[body] =
                    known.useCount == 1 ? nil : (known.slot, known.useCount - 1, known.serial)
            default:
                #expect(store.serial(ofBody: body) == model[body]?.serial)
            }
            #expect(store.count == model.count, "seed \(seed)")
        }
        for (body, known) in model {
            #expect(store.body(of: known.slot) == body)
            for _ in 0..<known.useCount { store.release(known.slot) }
        }
        #expect(store.count == 0, "seed \(seed)")
    }
}

@Suite struct StatementNameTests {
    @Test(arguments: [
        (UInt64(0), "0"), (9, "9"), (10, "10"), (1_234_567_890, "1234567890"),
        (.max, "18446744073709551615"),
    ])
    func aNameIsThePrefixAndDigits(_ serial: UInt64, digits: String) {
        var bytes = StatementName.prefix
        StatementName.appendDigits(of: serial, to: &bytes)
        #expect(bytes == Array("MARTLET_\(digits)".utf8))
        #expect(StatementName.byteCount(serial: serial) == bytes.count + 1)
        #expect(bytes.count < 64, "PostgreSQL cuts longer names")
    }
}
