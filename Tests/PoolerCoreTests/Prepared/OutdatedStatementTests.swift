import PoolerCore
import PostgresWire
import Testing

@Suite struct OutdatedStatementTests {
    @Test func whoPreparesItFromThenOnGetsAnotherStatement() {
        var store = StatementStore()
        let old = store.retain(body: "select 1")
        store.outdate(old)
        #expect(store.isOutdated(old))
        let new = store.retain(body: "select 1")
        #expect(new != old)
        #expect(store.serial(of: new) != store.serial(of: old))
        #expect(!store.isOutdated(new))
        // The last user of the old one goes: the new one stays.
        store.release(old)
        let again = store.retain(body: "select 1")
        #expect(again == new)
        store.release(new)
        store.release(new)
        #expect(store.count == 0)
    }

    @Test func aNameCanStandForTheNewOne() {
        var client = ClientStatements()
        let entry = client.insert(name: "a", slot: 1, serial: 11)
        let old = client.replace(entry, slot: 2, serial: 12)
        #expect(old == 1)
        #expect(client.slot(of: entry) == 2)
        #expect(client.serial(of: entry) == 12)
        #expect(client.allSlots == [2])
    }

    @Test(arguments: [
        ("C0A000\0Mcached\0RRevalidateCachedQuery\0\0", true),
        ("SERROR\0C0A000\0Mx\0Fplancache.c\0L1\0RRevalidateCachedQuery\0\0", true),
        ("C0A000\0Mcached\0RtransformStmt\0\0", false),
        ("C42P01\0RRevalidateCachedQuery\0\0", false),
        ("RRevalidateCachedQuery\0C0A000\0\0", false), ("C0A000\0", false), ("C0A000", false),
        ("", false),
    ])
    func theErrorIsKnownByItsCodeAndPlace(_ body: String, _ isOutdated: Bool) {
        let bytes = ByteString(body)
        let isKnown = ErrorResponse.isOutdatedPlan(bytes.span)
        #expect(isKnown == isOutdated)
    }
}
