import PoolerCore
import PostgresWire
import Testing

@Suite struct AdminGrammarTests {
    /// The commands of a query, all of which an administrator may run.
    private func commands(_ query: ByteString) throws -> [AdminCommand] {
        try AdminGrammar.parse(query).map { try $0.authorized(for: .admin) }
    }

    private func error(_ query: ByteString) -> AdminError? {
        do {
            _ = try commands(query)
            return nil
        } catch {
            return error as? AdminError
        }
    }

    @Test(
        arguments: [
            ("DISABLE app", .disable(database: "app")),
            ("enable app;", .enable(database: "app")),
            ("KILL", .kill(database: nil)),
            ("KILL app", .kill(database: "app")),
            ("KILL_CLIENT 17", .killClient(.id(17))),
            ("kill_client 0xFf", .killClient(.pointer(255))),
            ("PAUSE", .pause(database: nil)),
            ("Pause App", .pause(database: "App")),
            ("RECONNECT", .reconnect(database: nil)),
            ("RECONNECT app", .reconnect(database: "app")),
            ("RELOAD", .reload),
            ("RESUME", .resume(database: nil)),
            ("RESUME app", .resume(database: "app")),
            ("SET query_timeout = 5", .set(key: "query_timeout", value: "5")),
            ("set query_timeout to 1.5", .set(key: "query_timeout", value: "1.5")),
            ("SET query_timeout='5'", .set(key: "query_timeout", value: "5")),
            ("SET a = 'it''s; --fine'", .set(key: "a", value: "it's; --fine")),
            ("SET \"a b\" = \"c\"\"d\"", .set(key: "a b", value: "c\"d")),
            ("SET a=''", .set(key: "a", value: "")),
            ("SET a=-1", .set(key: "a", value: "-1")),
            ("SET a=", nil),
            ("SET client_encoding TO 'UTF8'", .setIgnored),
            ("SET DateStyle = ISO", .setIgnored),
            ("SET TimeZone = 'Europe/Berlin'", .setIgnored),
            ("SET standard_conforming_strings = on", .setIgnored),
            ("SET default_transaction_isolation = 'read committed'", .setIgnored),
            ("SHOW timezone", .showFake(.timeZone)),
            ("SHOW Client_Encoding", .showFake(.clientEncoding)),
            ("SHOW POOLS", .show(.pools)),
            ("show stats_totals", .show(.statsTotals)),
            ("SELECT version", .show(.version)),
            ("SHOW \"pools\"", .show(.pools)),
            ("SHUTDOWN", .shutdown(.immediate)),
            ("SHUTDOWN wait_for_servers", .shutdown(.waitForServers)),
            ("SHUTDOWN WAIT_FOR_CLIENTS;", .shutdown(.waitForClients)),
            ("SUSPEND", .suspend),
            ("WAIT_CLOSE", .waitClose(database: nil)),
            ("WAIT_CLOSE app", .waitClose(database: "app")),
        ] as [(ByteString, AdminCommand?)]
    )
    func oneCommand(_ query: ByteString, _ command: AdminCommand?) throws {
        guard let command else {
            #expect(error(query) == .invalidCommand(query))
            return
        }
        #expect(try commands(query) == [command])
    }

    @Test(arguments: ShowKind.allCases)
    func everyTableCanBeShown(_ kind: ShowKind) throws {
        #expect(try commands(ByteString("show \(kind.rawValue.lowercased())")) == [.show(kind)])
        #expect(try commands(ByteString("SELECT \(kind.rawValue)")) == [.show(kind)])
    }

    @Test(
        arguments: [
            "PAUSE \"my db\"", " \t\r\nPAUSE\n\"my db\" ; ", "-- why\nPAUSE \"my db\" -- now",
            "/* a /* nested */ b */ PAUSE/**/\"my db\";;;", "PAUSE\"my db\"", ";PAUSE \"my db\"",
        ] as [ByteString]
    )
    func blanksCommentsAndQuotes(_ query: ByteString) throws {
        #expect(try commands(query) == [.pause(database: "my db")])
    }

    @Test func namesThatNeedQuotesElsewhere() throws {
        #expect(try commands("PAUSE my-db.v2") == [.pause(database: "my-db.v2")])
        #expect(try commands("PAUSE a--b") == [.pause(database: "a")])
        #expect(try commands("PAUSE \"say \"\"hi\"\"\"") == [.pause(database: "say \"hi\"")])
        #expect(try commands("PAUSE größe") == [.pause(database: "größe")])
    }

    @Test(
        arguments: ["", " ", ";", " ; ;; ", "-- nothing", "/* nothing */", "--\n;"] as [ByteString]
    )
    func emptyQueries(_ query: ByteString) throws {
        #expect(try commands(query).isEmpty)
    }

    @Test func severalStatements() throws {
        #expect(
            try commands("PAUSE a; RESUME a;\nSHOW POOLS")
                == [.pause(database: "a"), .resume(database: "a"), .show(.pools)]
        )
    }

    @Test(
        arguments: [
            "SHOW", "SHOW 'pools'", "SHOW foo", "SHOW pools x",
            "SHOW query_wait_timeout",
            "foo", "foo bar", "RELOAD now", "SUSPEND x", "SHUTDOWN later", "SET", "SET a",
            "SET a b",
            "SET a = b c", "SET a == b", "SET = b", "SET 'a' = b", "BEGIN", "PAUSE a b",
            "PAUSE 'a'",
            "'PAUSE'", "= a", "PAUSE \"\"", "PAUSE \"a", "SET a = 'b", "PAUSE /* a", "PAUSE a, b",
            "PAUSE (a)", "PAUSE a\u{0}", "SHOW \"", "\"", "'", "/*",
        ] as [ByteString]
    )
    func invalidCommands(_ query: ByteString) {
        #expect(error(query) == .invalidCommand(query))
    }

    @Test func anErrorNamesItsStatementAndStopsAll() {
        #expect(error("PAUSE a; foo  bar ;RESUME a") == .invalidCommand("foo  bar"))
        #expect(error("foo;") == .invalidCommand("foo;"))
        let message = AdminError.invalidCommand("foo;").response
        #expect(message.message == "invalid command 'foo;', use SHOW HELP;")
        #expect(message.sqlState == .protocolViolation)
        #expect(message.severity == "ERROR")
        #expect(message.detail == nil)
    }

    @Test func limits() throws {
        let database = String(repeating: "d", count: 63)
        let value = String(repeating: "v", count: 255)
        #expect(
            try commands(ByteString("PAUSE \"\(database)\"")) == [
                .pause(database: ByteString(database))
            ]
        )
        #expect(error(ByteString("PAUSE \(database)x")) == .badArguments)
        #expect(error("a_name_of_sixteen") == .badArguments)
        #expect(
            try commands(ByteString("SET k='\(value)'")) == [
                .set(key: "k", value: ByteString(value))
            ]
        )
        #expect(error(ByteString("SET k='\(value)x'")) == .badArguments)
        #expect(error(ByteString("SET \(database)x=1")) == .badArguments)
        let many = Array(repeating: "SHOW POOLS", count: AdminGrammar.statementLimit)
        #expect(try commands(ByteString(many.joined(separator: ";"))).count == many.count)
        #expect(error(ByteString((many + ["SHOW POOLS"]).joined(separator: ";"))) == .badArguments)
        let long = String(repeating: " ", count: AdminGrammar.queryByteLimit)
        #expect(try commands(ByteString(long)).isEmpty)
        #expect(error(ByteString(long + " ")) == .badArguments)
    }

    @Test func aLongQueryIsCutInItsError() {
        let query = ByteString(String(repeating: "x", count: 5_000) + "(")
        #expect(error(query)?.response.message.count == AdminError.byteCountLimit)
    }

    @Test(
        arguments: [
            ("DISABLE", .databaseRequired), ("ENABLE", .databaseRequired),
            ("KILL_CLIENT", .invalidClientReference), ("KILL_CLIENT x", .invalidClientReference),
            ("KILL_CLIENT -1", .invalidClientReference),
            ("KILL_CLIENT 0x", .invalidClientReference),
            ("KILL_CLIENT 0x+1", .invalidClientReference),
            ("KILL_CLIENT +1", .invalidClientReference),
            ("KILL_CLIENT 99999999999999999999", .invalidClientReference),
        ] as [(ByteString, AdminError)]
    )
    func wrongArguments(_ query: ByteString, _ expected: AdminError) throws {
        #expect(error(query) == expected)
        let statement = try #require(try AdminGrammar.parse(query).first)
        #expect(throws: AdminError.adminAccessNeeded) { try statement.authorized(for: .stats) }
    }

    @Test func randomBytesNeverTrap() {
        var random = RepeatableRandom(state: 1)
        let pieces: [[UInt8]] = [
            "SET", "PAUSE", "SHOW", "\"", "'", ";", "=", "--", "/*", "*/", " ", "\n", "to", "x",
            "0x",
        ].map { Array($0.utf8) }
        for _ in 0..<20_000 {
            var query: [UInt8] = []
            for _ in 0..<random.next(below: 12) {
                if random.next(below: 4) == 0 {
                    query.append(UInt8(random.next(below: 256)))
                } else {
                    query += pieces[random.next(below: pieces.count)]
                }
            }
            guard let statements = try? AdminGrammar.parse(ByteString(query)) else { continue }
            for statement in statements { _ = try? statement.authorized(for: .stats) }
        }
    }
}

/// A small random number generator, so that a failure can be repeated.
struct RepeatableRandom {
    var state: UInt64

    mutating func next(below bound: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return Int((mixed ^ (mixed >> 31)) % UInt64(bound))
    }
}
