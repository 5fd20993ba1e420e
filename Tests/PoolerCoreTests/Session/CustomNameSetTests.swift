import PoolerCore
import PostgresWire
import Testing

/// Which custom settings servers know, and which their clients have touched.
@Suite struct CustomNameSetTests {
    private struct Session {
        var book = CustomNameBook()
        var server: CustomNameSet = []
        var client: CustomNameSet = []

        /// Takes in what the server has said; returns what is left of it for the client.
        mutating func learn(
            _ settings: [(name: ByteString, value: ByteString?)],
            named: [ByteString] = []
        ) -> [ByteString?] {
            var evidence = SessionEvidence()
            evidence.settings = settings
            book.learn(from: &evidence, server: &server, client: &client, named: named)
            return evidence.settings.map(\.value)
        }
    }

    @Test func whatAServerDidNotKnowItsClientHasTouched() {
        var session = Session()
        let left = session.learn([("app.a", ""), ("app.b", nil), ("work_mem", "4MB")])
        #expect(left == ["", nil, "4MB"])
        let known = session.book.set(of: ["app.a"])
        #expect(session.server == known)
        #expect(session.client == known)
    }

    @Test func whatAServerKnewIsNotTheNextClients() {
        var session = Session()
        _ = session.learn([("app.a", "1"), ("app.b", "")])
        let known = session.server
        session.client = []
        #expect(session.learn([("app.a", ""), ("app.b", "")]) == [nil, nil])
        #expect(session.client.isEmpty)
        #expect(session.server == known)
    }

    @Test func whoNamesASettingOrGivesItAValueHasTouchedIt() {
        var session = Session()
        _ = session.learn([("app.a", "1"), ("app.b", ""), ("app.c", "")])
        session.client = []
        let left = session.learn([("app.a", "2"), ("app.b", ""), ("app.c", "")], named: ["app.b"])
        #expect(left == ["2", "", nil])
        #expect(session.client == session.book.set(of: ["app.a", "app.b"]))
        #expect(session.learn([("app.a", ""), ("app.c", "")]) == ["", nil], "for good")
    }

    @Test func onlyNamesWithADotCountInAnySpelling() {
        var book = CustomNameBook()
        let set = book.set(of: ["work_mem", "App.Tenant"])
        #expect(set == book.set(of: ["app.tenant"]))
        #expect(!set.isEmpty)
        #expect(book.set(of: ["timezone"]).isEmpty)
    }

    /// Clients can make up names.
    @Test func namesBeyondTheLimitAreOne() {
        var book = CustomNameBook()
        let names = (0..<200).map { ByteString("app.n\($0)") }
        let sets = names.map { book.set(of: [$0]) }
        #expect(Set(sets).count == 64)
        #expect(sets[100] == sets[199])
        #expect(sets[0] == book.set(of: ["app.n0"]))
    }
}
