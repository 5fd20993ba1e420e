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

    @Test func whatTheFirstServerSaidOfAStatementHolds() {
        var store = StatementStore()
        let slot = store.retain(body: "select 1")
        let nothing = ByteString("")
        let first = StatementDescription(parameterTypes: [23], rowDescription: nothing.span)
        let other = StatementDescription(parameterTypes: [25], rowDescription: nothing.span)
        #expect(store.description(of: slot) == nil)
        #expect(store.note(first, of: slot) == true)
        #expect(store.note(first, of: slot) == true)
        #expect(store.note(other, of: slot) == false)
        #expect(store.description(of: slot) == first)
        #expect(store.note(other, of: 9) == false)
        // Its place in the store goes to another statement, of which nothing is known.
        store.release(slot)
        let next = store.retain(body: "select 2")
        #expect(next == slot)
        #expect(store.description(of: next) == nil)
    }

    @Test func typesOfParametersAreDeclaredOnceTheyAreKnown() {
        var store = StatementStore()
        let body = ByteString("select $1, $2\0\0\u{1}\0\0\0\u{17}")
        let slot = store.retain(body: body)
        #expect(store.declaredBody(of: slot) == body)
        let nothing = ByteString("")
        let description = StatementDescription(
            parameterTypes: [23, 0x0100_0019],
            rowDescription: nothing.span
        )
        _ = store.note(description, of: slot)
        #expect(store.body(of: slot) == body)
        let text = Array("select $1, $2\0".utf8)
        #expect(store.declaredBody(of: slot).bytes == text + [0, 2, 0, 0, 0, 23, 1, 0, 0, 25])
        // A body that is none stays as it is.
        let odd = store.retain(body: "select")
        _ = store.note(description, of: odd)
        #expect(store.declaredBody(of: odd) == "select")
    }

    @Test func statementsOfPoolsAreApart() {
        var store = StatementStore()
        let one = store.retain(body: "select 1", settings: ParseSettings.none.ofPool(1))
        let two = store.retain(body: "select 1", settings: ParseSettings.none.ofPool(2))
        #expect(one != two)
        store.outdate(one)
        #expect(!store.isOutdated(two))
        store.release(one)
        #expect(store.body(of: two) == "select 1")
        store.release(two)
        #expect(store.count == 0)
    }

    /// Drivers, and the pooler itself, know the error by its place in the source.
    @Test func theErrorOfThePoolerIsKnownToo() throws {
        var writer = ByteWriter()
        writer.outdatedPlanError()
        let body = ByteString(Array(writer.bytes.dropFirst(MessageHeader.byteCount)))
        let isKnown = ErrorResponse.isOutdatedPlan(body.span)
        #expect(isKnown)
        let error = try ErrorResponse(decoding: body.span)
        #expect(error.message == "cached plan must not change result type")
        #expect(error.severity == "ERROR")
    }

    @Test(arguments: [
        ("prepared statement \"MARTLET_0\" does not exist", true), ("« MARTLET_0 »", true),
        ("prepared statement \"MARTLET_10\" does not exist", false), ("MARTLET_", false),
        ("", false), ("MARTLET_0", true),
    ])
    func theStatementThatIsNoneIsKnownByItsName(_ message: String, _ isMissing: Bool) {
        #expect(StatementName.isMissing(in: ByteString(message)) == isMissing)
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
