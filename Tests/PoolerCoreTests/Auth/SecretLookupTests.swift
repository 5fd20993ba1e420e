import PostgresWire
import TestSupport
import Testing

@testable import PoolerCore

@Suite struct SecretLookupTests {
    private static let lookup = SecretLookup(
        database: "app",
        authUser: "auth",
        query: "select $1",
        user: "ada"
    )

    private func result(_ rows: [[ByteString?]], error: ErrorResponse? = nil)
        -> SecretLookup.Result
    {
        var writer = ByteWriter()
        writer.message(BackendMessageType.parseComplete) { _ in }
        writer.message(BackendMessageType.bindComplete) { _ in }
        for row in rows { writer.dataRow(row) }
        writer.message(BackendMessageType.commandComplete) { $0.writeCString("SELECT") }
        writer.readyForQuery(.idle)
        return Self.lookup.result(in: writer.bytes.span.bytes, error: error)
    }

    @Test func whatARowMeans() {
        #expect(result([["ada", "pencil"]]) == .found(.plain("pencil")))
        #expect(result([["ada", nil]]) == .found(.unusable))
        #expect(result([["ada", ""]]) == .found(.unusable))
        #expect(result([]) == .noSuchUser)
    }

    @Test func whatCannotBeUsed() {
        let failures: [([[ByteString?]], String)] = [
            ([["ada"]], "expected 2 columns from auth_query, not 1"),
            ([["ada", "x", "y"]], "expected 2 columns from auth_query, not 3"),
            ([[nil, "x"]], "auth_query response contained null user name"),
            ([["bob", "secret"]], "asked for \"ada\", got \"bob\""),
            ([["ada", "x"], ["ada", "y"]], "expected 1 row, not 2"),
            ([["ada", ByteString(Array(repeating: 65, count: 70_000))]], "the secret is too long"),
        ]
        for (rows, text) in failures { #expect(result(rows) == .failed(text)) }
        let error = ErrorResponse(.error, "42501", "permission denied")
        #expect(result([["ada", "x"]], error: error) == .failed("permission denied"))
    }

    @Test func anyBytesAreAnAnswer() {
        var random = SplitMix(seed: 11)
        for _ in 0..<2_000 {
            let bytes = (0..<Int.random(in: 0..<60, using: &random)).map { _ in
                Bool.random(using: &random)
                    ? UInt8(ascii: "D") : UInt8.random(in: 0...3, using: &random)
            }
            if case .found = Self.lookup.result(in: bytes.span.bytes, error: nil) {
                Issue.record("\(bytes)")
            }
        }
    }

    /// The name goes over as a value, whatever is in it.
    @Test func theNameIsAValue() {
        let name: ByteString = "x' or 1=1 --"
        let lookup = SecretLookup(database: "d", authUser: "a", query: "select $1", user: name)
        let parse: [UInt8] =
            [UInt8(ascii: "P"), 0, 0, 0, 17, 0] + Array("select $1".utf8) + [0, 0, 0]
        #expect(Array(lookup.request.prefix(parse.count)) == parse)
        let rest = Array(lookup.request.dropFirst(parse.count))
        let bind: [UInt8] =
            [UInt8(ascii: "B"), 0, 0, 0, 28, 0, 0, 0, 0, 0, 1, 0, 0, 0, 12] + name.bytes + [0, 0]
        #expect(Array(rest.prefix(bind.count)) == bind)
        #expect(SecretLookup.expectations.map(\.request) == [.parse, .bind, .execute, .sync])
    }

    @Test func whoIsAskedWhere() throws {
        var configuration = Configuration()
        configuration.add(DatabaseEntry(name: "app"))
        var own = DatabaseEntry(name: "own")
        own.authUser = "keeper"
        own.authQuery = "own query"
        own.authDBName = "secrets"
        configuration.add(own)
        #expect(configuration.secretLookup(database: "app", user: "ada") == nil)
        #expect(configuration.authUsers(unknownTo: UserList()) == ["keeper"])
        configuration.settings.authUser = "auth"
        configuration.settings.authQuery = "q"
        var users = UserList()
        #expect(configuration.authUsers(unknownTo: users) == ["auth", "keeper"])
        users.add("auth", secret: "x")
        #expect(configuration.authUsers(unknownTo: users) == ["keeper"])
        let asked = { (database: ByteString) -> [ByteString]? in
            configuration.secretLookup(database: database, user: "ada").map {
                [$0.database, $0.authUser, $0.query, $0.user]
            }
        }
        #expect(asked("app") == ["app", "auth", "q", "ada"])
        #expect(asked("own") == ["secrets", "keeper", "own query", "ada"])
        #expect(asked("nowhere") == nil)
        #expect(asked("pgbouncer") == nil)
        configuration.settings.authDBName = "central"
        #expect(asked("app") == ["central", "auth", "q", "ada"])
        #expect(asked("own") == ["secrets", "keeper", "own query", "ada"])
        #expect(asked("pgbouncer") == ["central", "auth", "q", "ada"])
        configuration.settings.authQuery = ""
        #expect(asked("app") == nil)
    }

    // MARK: What is kept

    private static func lookup(_ number: Int) -> SecretLookup {
        SecretLookup(database: "d", authUser: "a", query: "q", user: ByteString("user\(number)"))
    }

    @Test func secretsAreKeptForAWhile() {
        var cache = SecretCache()
        cache.keep(.plain("x"), for: Self.lookup(1), lifetime: 10, now: 100)
        #expect(cache.secret(for: Self.lookup(1), now: 109) == .plain("x"))
        #expect(cache.secret(for: Self.lookup(1), now: 110) == nil)
        #expect(cache.secret(for: Self.lookup(2), now: 100) == nil)
        cache.keep(.plain("x"), for: Self.lookup(2), lifetime: 0, now: 100)
        #expect(cache.secret(for: Self.lookup(2), now: 100) == nil)
    }

    @Test func secretsAreForgotten() {
        var cache = SecretCache()
        for number in 0..<3 {
            cache.keep(.plain("x"), for: Self.lookup(number), lifetime: 10, now: 100)
        }
        cache.forget(Self.lookup(0))
        #expect(cache.secret(for: Self.lookup(0), now: 100) == nil)
        cache.forget(user: "user1")
        #expect(cache.secret(for: Self.lookup(1), now: 100) == nil)
        #expect(cache.secret(for: Self.lookup(2), now: 100) == .plain("x"))
        cache.forgetAll()
        #expect(cache.count == 0)
    }

    @Test func secretsDoNotPileUp() {
        var cache = SecretCache()
        for number in 0..<(SecretCache.limit * 2 + 10) {
            cache.keep(.unusable, for: Self.lookup(number), lifetime: 1_000_000, now: 0)
            #expect(cache.count <= SecretCache.limit)
        }
        let last = Self.lookup(SecretCache.limit * 2 + 9)
        #expect(cache.secret(for: last, now: 1) == .unusable)
    }
}
