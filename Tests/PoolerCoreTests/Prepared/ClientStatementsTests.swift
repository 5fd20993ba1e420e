import PoolerCore
import PostgresWire
import TestSupport
import Testing

@Suite struct ClientStatementsTests {
    @Test func findsWhatWasInserted() {
        var statements = ClientStatements()
        let entry = statements.insert(name: "s1", slot: 7, serial: 107)
        #expect(statements.serial(of: entry) == 107)
        #expect(statements.entry(named: "s1") == entry)
        #expect(statements.slot(of: entry) == 7)
        #expect(statements.count == 1)
        #expect(statements.entry(named: "s") == nil)
        #expect(statements.entry(named: "s11") == nil)
        #expect(statements.entry(named: "S1") == nil)
    }

    @Test func aRemovedNameIsFree() {
        var statements = ClientStatements()
        let entry = statements.insert(name: "s1", slot: 7, serial: 107)
        #expect(statements.remove(entry) == 7)
        #expect(statements.entry(named: "s1") == nil && statements.count == 0)
        let next = statements.insert(name: "s1", slot: 8, serial: 108)
        #expect(statements.slot(of: next) == 8)
    }

    /// Close, and then the server skipped it.
    @Test func aCloseCanBeUndone() {
        var statements = ClientStatements()
        let entry = statements.insert(name: "s1", slot: 7, serial: 107)
        statements.unlist(entry)
        statements.unlist(entry)
        #expect(statements.entry(named: "s1") == nil && statements.count == 0)
        #expect(statements.slot(of: entry) == 7)
        statements.list(entry)
        statements.list(entry)
        #expect(statements.entry(named: "s1") == entry && statements.count == 1)
    }

    /// Close and Parse of the same name, and then the server skipped both: the newest first.
    @Test func aReplacementCanBeUndone() {
        var statements = ClientStatements()
        let old = statements.insert(name: "s1", slot: 7, serial: 107)
        statements.unlist(old)
        let new = statements.insert(name: "s1", slot: 8, serial: 108)
        #expect(statements.entry(named: "s1") == new)
        #expect(statements.remove(new) == 8)
        statements.list(old)
        #expect(statements.entry(named: "s1") == old && statements.count == 1)
    }

    @Test func thereIsALimitOfNames() {
        var statements = ClientStatements()
        var entries: [UInt32] = []
        while !statements.isFull, entries.count < 20_000 {
            entries.append(
                statements.insert(name: ByteString("s\(entries.count)"), slot: 1, serial: 1)
            )
        }
        #expect(statements.count == 10_000)
        statements.unlist(entries[0])
        #expect(statements.isFull, "it may come back")
        _ = statements.remove(entries[0])
        #expect(!statements.isFull)
    }

    @Test func thereIsALimitOfBytes() {
        var statements = ClientStatements()
        var entries: [UInt32] = []
        while !statements.isFull, entries.count < 100 {
            let entry = statements.insert(
                name: ByteString("s\(entries.count)"),
                slot: 1,
                serial: 1,
                bodyByteCount: 1 << 20
            )
            entries.append(entry)
        }
        #expect(entries.count == 16)
        _ = statements.remove(entries[3])
        #expect(!statements.isFull)
        _ = statements.removeAll()
        _ = statements.insert(name: "s", slot: 1, serial: 1, text: "prepare s as select 1")
        #expect(!statements.isFull)
    }

    @Test func unlistedEntriesStillUseTheirStatements() {
        var statements = ClientStatements()
        let entry = statements.insert(name: "s1", slot: 7, serial: 107)
        _ = statements.insert(name: "s2", slot: 8, serial: 108)
        statements.unlist(entry)
        #expect(statements.allSlots.sorted() == [7, 8])
        #expect(statements.removeAll().sorted() == [7, 8])
        #expect(statements.count == 0 && statements.allSlots.isEmpty)
        #expect(statements.entry(named: "s2") == nil)
    }

    @Test func namesAreBytes() {
        var statements = ClientStatements()
        let entry = statements.insert(name: ByteString([0xFF, 0x80]), slot: 1, serial: 101)
        let empty = statements.insert(name: "", slot: 2, serial: 102)
        #expect(statements.entry(named: ByteString([0xFF, 0x80])) == entry)
        #expect(statements.entry(named: "") == empty)
    }

    @Test(arguments: 0..<12)
    func behavesLikeADictionary(_ seed: Int) {
        var random = SplitMix(seed: seed)
        var statements = ClientStatements()
        var listed: [ByteString: UInt32] = [:]
        var slots: [UInt32: UInt32] = [:]
        var unlisted: [(name: ByteString, entry: UInt32)] = []
        let nameCount = random.oneIn(2) ? 12 : 200
        for step in 0..<3_000 {
            let name = ByteString("s\(random.number(1...nameCount))")
            switch (random.number(0...3), listed[name]) {
            case (0...1, nil):
                let entry = statements.insert(name: name, slot: UInt32(step), serial: 1)
                #expect(slots[entry] == nil, "seed \(seed): an entry was given out twice")
                slots[entry] = UInt32(step)
                listed[name] = entry
            case (0, let entry?):
                statements.unlist(entry)
                listed[name] = nil
                unlisted.append((name, entry))
            case (1, let entry?):
                #expect(statements.remove(entry) == slots[entry])
                slots[entry] = nil
                listed[name] = nil
            case (2, _):
                // Undone, or confirmed.
                guard let (name, entry) = unlisted.popLast() else { continue }
                if listed[name] == nil && random.oneIn(2) {
                    statements.list(entry)
                    listed[name] = entry
                } else {
                    #expect(statements.remove(entry) == slots[entry])
                    slots[entry] = nil
                }
            default:
                #expect(statements.entry(named: name) == listed[name], "seed \(seed)")
            }
            #expect(statements.count == listed.count, "seed \(seed)")
        }
        for (name, entry) in listed { #expect(statements.entry(named: name) == entry) }
        #expect(statements.removeAll().sorted() == slots.values.sorted(), "seed \(seed)")
    }
}

extension ClientStatements {
    fileprivate func entry(named name: ByteString) -> UInt32? {
        entry(named: name.bytes.span.bytes)
    }
}
