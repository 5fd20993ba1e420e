// What the pooler's lexer and classifier make of a text, beside what PostgreSQL makes of it: the
// number of statements, and where the token is that PostgreSQL complains about.

import CLibpq
import PoolerCore
import PostgresWire
import TestSupport
import Testing

@Suite(.serialized) struct LexerDifferentialTests {
    private static let textsPerSeed = 400

    /// Random texts, most of them nearly SQL.
    @Test(arguments: 0..<6)
    func agreesWithPostgreSQLOnRandomTexts(_ seed: Int) throws {
        let rules = ScanRules(standardConformingStrings: seed % 2 == 0)
        let connection = try PostgresServer.shared.get().superuser()
        defer { connection.close() }
        try connection.query("SET standard_conforming_strings = \(seed % 2 == 0 ? "on" : "off")")
        try connection.query("SET escape_string_warning = off")
        try connection.query("SET backslash_quote = on")
        var random = SplitMix(seed: seed)
        var answeredCount = 0
        var refusedCount = 0
        for _ in 0..<Self.textsPerSeed {
            let text = Self.text(&random)
            let results = try connection.executeAll(text)
            let error = results.compactMap(\.error).first
            if let error {
                refusedCount += Self.check(text, error, rules) ? 1 : 0
            } else {
                answeredCount += 1
                let count = results.filter { $0.status != PGRES_EMPTY_QUERY }.count
                let statements = Self.statements(text, rules)
                #expect(statements.count == count, "seed \(seed): \(text.debugDescription)")
            }
        }
        #expect(answeredCount > 50, "\(answeredCount) texts were answered")
        #expect(refusedCount > 50, "\(refusedCount) refused tokens were compared")
    }

    /// Texts in which the end of a statement is hard to see.
    @Test(arguments: [
        "", ";", " ; ; ", "-- a", "select 1", "select 1;", "select 1; select 2", "select ';'",
        "select $$;$$; select $a$ ; $$ ; $a$", "select 1 /* ; /* ; */ ; */; select 2",
        "select 1 as \"a;\"\"b\"; select 2", "select E'\\';'; select 2", "select U&'\\0061;'",
        "select 'a'\n ';'; select 2", "select 1--;\n; select 2", "select 1+--;\n2",
        "begin; select 1; commit", "begin; rollback; end",
        "create temp table lexer_a (i int);"
            + "create rule r as on insert to lexer_a do also (notify a; delete from lexer_a);"
            + "insert into lexer_a values (1); drop table lexer_a",
        "create function pg_temp.a() returns int begin atomic select 1; select 2; end; select 3",
        "create function pg_temp.b() returns int begin atomic select case when true then 1 end; end"
            + "; select 3",
        "create function pg_temp.c() returns int begin atomic select 1 end; end; select 3",
        "create function pg_temp.d() returns int begin atomic select 1 as end; end; select 3",
        "create or replace procedure pg_temp.e() begin atomic end; begin; end",
        "create temp view lexer_v as select begin atomic from (select 1 as begin) s; select 2",
        "create function pg_temp.f() returns int return case when true then 1 end; select 3",
        "create function pg_temp.g() returns int language sql as 'select 1; select 2'; select 3",
        "do $$ begin perform 1; end $$; select 1",
        "prepare lexer_p as select 1; execute lexer_p; deallocate lexer_p",
        "explain select 1; explain (analyze, timing off) select 2",
        "declare c cursor with hold for select 1; fetch c; move c; close c; close all",
        "listen a; notify a; unlisten a; unlisten *; load 'plpgsql'",
        "set a.b = 1; reset a.b; show a.b; set local a.b = 2; reset all",
        "select (array[1, 2])[1:2]; select (array[1])[1]",
        "select 1 as case; select 2 end",
        "values (1); table pg_class limit 0; (select 1); with a as (select 1) select * from a",
    ])
    func countsStatementsAsPostgreSQLDoes(_ text: String) throws {
        let connection = try PostgresServer.shared.get().superuser()
        defer { connection.close() }
        let results = try connection.executeAll(text)
        #expect(results.compactMap(\.error).map(\.description) == [])
        let count = results.filter { $0.status != PGRES_EMPTY_QUERY }.count
        #expect(Self.statements(text, ScanRules()).count == count)
    }

    /// Characters whose second byte looks like a quote, a backslash or a letter.
    @Test(arguments: ["SJIS", "SHIFT_JIS_2004", "BIG5", "GBK", "UHC", "GB18030", "JOHAB"])
    func agreesWithPostgreSQLInOtherEncodings(_ encoding: String) throws {
        let server = try PostgresServer.shared.get()
        let characters = try Self.characters(of: encoding, server)
        #expect(characters.count > 100)
        let client = try RawClient(port: server.port)
        defer { client.close() }
        try client.send(Frontend.startup([("user", "trusty"), ("database", "app")]))
        try client.finishLogin()
        var random = SplitMix(seed: 1)
        var answeredCount = 0
        for number in 0..<300 {
            let isConforming = number % 2 == 0
            // As PostgreSQL does it, the settings hold from the next message on.
            let settings =
                "set client_encoding = '\(encoding)'; set escape_string_warning = off;"
                + "set standard_conforming_strings = \(isConforming ? "on" : "off")"
            try client.send(Frontend.query(settings))
            try #expect(client.receiveUntilReady().error == nil)
            let text = Self.wideText(characters, &random)
            try client.send(Frontend.message("Q", text + [0]))
            let answer = try client.receiveUntilReady()
            let rules = ScanRules(
                standardConformingStrings: isConforming,
                encoding: ScanEncoding(clientEncoding: ByteString(encoding))
            )
            if let error = answer.error {
                #expect(error.sqlstate == "42601", "\(error): \(text)")
            } else {
                answeredCount += 1
                let found = StatementClassifier.statements(in: text.span.bytes, rules: rules)
                #expect(found.count == answer.types.count { $0 == "C" }, "\(text)")
            }
        }
        #expect(answeredCount > 100)
    }

    /// The setting that a statement is said to change is the one that PostgreSQL changes.
    @Test(arguments: [
        ("set Work_Mem = '5MB'", "5MB"), ("set \"TimeZone\" to 'Asia/Tokyo'", "Asia/Tokyo"),
        ("set session work_mem = '6MB'", "6MB"), ("set local.a = 1", "1"),
        ("set session.a = 2", "2"), ("set session session.a = 3", "3"),
        ("set app . Tenant to 4", "4"), ("set \"a\".\"B\" to 5", "5"),
        ("set session characteristics.a = 6", "6"), ("set time.zone = 7", "7"),
        ("set role.a = 8", "8"), ("set names.a = 9", "9"), ("set schema.a = 1", "1"),
        ("set transaction.a = 2", "2"), ("set xml.a = 3", "3"),
        ("set time zone 'Asia/Tokyo'", "Asia/Tokyo"), ("set names 'LATIN1'", "LATIN1"),
        ("set schema 'abc'", "abc"), ("set xml option document", "document"),
        ("set role other", "other"), ("set session role other", "other"),
        ("set role to other", "other"), ("set session authorization other", "other"),
        ("set session session authorization other", "other"),
        ("select set_config('App.A', '1', false)", "1"),
        ("select set_config('app.b'::text, '2', false)", "2"),
        ("select \"set_config\"('it.b', '3', false)", "3"),
        ("with a as (select pg_catalog.set_config('c.d', '4', not true)) select * from a", "4"),
    ])
    func namesWhatPostgreSQLSets(_ text: String, _ value: String) throws {
        let connection = try PostgresServer.shared.get().superuser()
        defer { connection.close() }
        let statements = Self.statements(text, ScanRules())
        #expect(statements.count == 1)
        #expect(statements.allSatisfy { $0.effects.contains(.settings) })
        let names = statements.flatMap(\.settings).map(\.text)
        #expect(names.count == 1)
        try connection.query(text)
        for name in names {
            try #expect(connection.value("select current_setting('\(name)')") == value)
        }
    }

    /// SET followed by words that mean something there, and by dots that take the meaning away.
    @Test(arguments: 0..<4)
    func namesWhatPostgreSQLSetsAtRandom(_ seed: Int) throws {
        let connection = try PostgresServer.shared.get().superuser()
        defer { connection.close() }
        let parts = [
            "session", "local", "role", "time", "zone", "names", "schema", "transaction", "xml",
            "characteristics", "constraints", "all", "a", "B", "application_name", "to", "as",
        ]
        let candidates =
            ["search_path"] + parts
            + parts.flatMap { first in parts.map { "\(first).\($0)" } }
        let list = candidates.map { "'\($0)'" }.joined(separator: ",")
        var random = SplitMix(seed: seed)
        var changeCount = 0
        for number in 1...250 {
            let value = String(1_000 * (seed + 1) + number)
            var text = Self.pick(["set ", "set session ", "set local ", "Set\n"], &random)
            let name = (0..<random.number(1...2)).map { _ in Self.pick(parts, &random) }
            text += name.map { $0 == "B" ? "\"B\"" : $0 }
                .joined(separator: Self.pick([".", " . ", "/**/."], &random))
            text += Self.pick([" = ", " to ", "=", " "], &random) + "'\(value)'"
            guard try connection.execute(text).error == nil else { continue }
            let changed = try connection.query(
                "select lower(name) from unnest(array[\(list)]) name"
                    + " where btrim(current_setting(name, true), '\"') = '\(value)'"
            ).compactMap { $0[0] }
            changeCount += changed.isEmpty ? 0 : 1
            let statement = Self.statements(text, ScanRules())[0]
            #expect(statement.effects.contains(.localSettings) == changed.isEmpty, "\(text)")
            if !changed.isEmpty {
                #expect(statement.effects.contains(.settings), "\(text)")
                #expect(statement.settings.map(\.text) == changed, "\(text)")
            }
        }
        #expect(changeCount > 30)
    }

    /// Ways to change a setting or take a lock without the word SET or a parenthesis.
    @Test func knowsWhatPostgreSQLDoesBesides() throws {
        let connection = try PostgresServer.shared.get().superuser()
        defer { connection.close() }
        let update = "update pg_settings set setting = '5MB' where name = 'work_mem'"
        try connection.query(update)
        try #expect(connection.value("show work_mem") == "5MB")
        #expect(Self.statements(update, ScanRules())[0].effects.contains(.unnamedSettings))
        let lock = "select (4711::bigint).pg_advisory_lock"
        try connection.query(lock)
        let count = "select count(*) from pg_locks where locktype = 'advisory' and objid = 4711"
        try #expect(connection.value(count) == "1")
        #expect(Self.statements(lock, ScanRules())[0].effects.contains(.advisoryLock))
    }

    /// The tables of names have what the server has.
    @Test func knowsTheFunctionsAndKeywordsOfTheServer() throws {
        let connection = try PostgresServer.shared.get().superuser()
        defer { connection.close() }
        let functions = try connection.query(
            "select distinct quote_ident(proname) from pg_proc where proname !~ '_(validator|handler)$'"
                + " and pronamespace = 'pg_catalog'::regnamespace"
        )
        let unknown = functions.compactMap { $0[0] }.filter { name in
            Self.statements("select \(name)(1)", ScanRules())[0].effects.contains(.unknownFunction)
        }
        let runAnything = [
            "query_to_xml", "query_to_xml_and_xmlschema", "query_to_xmlschema", "ts_rewrite",
            "ts_stat",
        ]
        #expect(functions.count > 2_000)
        #expect(unknown.sorted() == runAnything)
        let keywords = try connection.query(
            "select word from pg_get_keywords() where catcode <> 'U'"
        )
        let taken = keywords.compactMap { $0[0] }.filter { word in
            Self.statements("select \(word) (1)", ScanRules())[0].effects.contains(.unknownFunction)
        }
        #expect(keywords.count > 100)
        #expect(taken == [])
    }

    // MARK: - Support

    private static func statements(_ text: String, _ rules: ScanRules) -> [SessionStatement] {
        let bytes = Array(text.utf8)
        return StatementClassifier.statements(in: bytes.span.bytes, rules: rules)
    }

    /// Whether the error names a token, which then must be a token here too.
    private static func check(_ text: String, _ error: ErrorFields, _ rules: ScanRules) -> Bool {
        guard error.sqlstate == "42601", !error.message.hasPrefix("invalid Unicode"),
            let position = error.fields["P"].flatMap({ Int($0) })
        else {
            return false
        }
        let bytes = Array(text.utf8)
        let start = String(text.unicodeScalars.prefix(position - 1)).utf8.count
        var lexer = SQLLexer(bytes.span.bytes, rules: rules)
        var token = lexer.next()
        var end = 0
        while token.kind != .end, token.start < start {
            end = token.end
            token = lexer.next()
        }
        let message = error.message
        if message.hasPrefix("unterminated /* comment") {
            // Not a token: nothing follows what stands before it.
            #expect(token.kind == .end && end <= start, "\(message): \(text.debugDescription)")
            return true
        }
        if message.hasSuffix("at end of input") {
            #expect(token.kind == .end, "\(message): \(text.debugDescription)")
            return true
        }
        #expect(token.start == start, "\(message) \(position): \(text.debugDescription)")
        if message.hasPrefix("unterminated") {
            #expect(token.end == bytes.count, "\(message): \(text.debugDescription)")
        } else if message.hasPrefix("syntax error at or near \""), token.start < bytes.count {
            let found =
                "syntax error at or near \""
                + String(decoding: bytes[token.range], as: UTF8.self) + "\""
            #expect(found == message, "\(text.debugDescription)")
        }
        return true
    }

    /// Characters of an encoding, those with a small second byte before others.
    private static func characters(
        of encoding: String,
        _ server: PostgresServer
    ) throws -> [[UInt8]] {
        let connection = try server.superuser()
        defer { connection.close() }
        try connection.query(
            "create function pg_temp.encoded(i int, e name) returns bytea language plpgsql as $$"
                + "begin return convert_to(chr(i), e); exception when others then return null; end $$"
        )
        // PostgreSQL makes characters of JOHAB that it does not read again.
        let least = encoding == "JOHAB" ? 0xA1 : 0
        let rows = try connection.query(
            "select encode(b, 'hex') from (select pg_temp.encoded(i, '\(encoding)') as b"
                + " from generate_series(44032, 45032) i union all"
                + " select pg_temp.encoded(i, '\(encoding)') from generate_series(19968, 21468) i) x"
                + " where length(b) > 1 and get_byte(b, 1) >= \(least) order by get_byte(b, 1) in (92, 96, 124) desc, b limit 200"
        )
        return rows.compactMap { $0[0] }.map { hex in
            stride(from: 0, to: hex.count, by: 2).compactMap {
                UInt8(hex.dropFirst($0).prefix(2), radix: 16)
            }
        }
    }

    /// Statements with wide characters in everything that can have them.
    private static func wideText(_ characters: [[UInt8]], _ random: inout SplitMix) -> [UInt8] {
        var text: [UInt8] = []
        for _ in 0..<random.number(1...4) {
            let quotes: [(String, String)] = [
                ("'", "'"), ("E'", "'"), ("$$", "$$"), ("$a", "$ ; $"), ("/*", "*/ 1"),
                ("--", "\n 1"), ("1 as \"", "\""), ("1 as ", ""), ("E'\\", "'"), ("'\\", "'"),
            ]
            let (before, after) = quotes[random.number(0...quotes.count - 1)]
            var wide: [UInt8] = []
            for _ in 0..<random.number(1...3) {
                wide += characters[random.number(0...characters.count - 1)]
            }
            text += Array("select ".utf8) + Array(before.utf8) + wide + Array(after.utf8)
            // A dollar quote's second tag.
            if after.hasSuffix("; $") { text += Array("a".utf8) + wide + Array("$".utf8) }
            text += Array("; ".utf8)
        }
        return text
    }

    private static let contents = [
        "''", "\\\\", "\\'", "\n", ";", "--", "/*", "*/", "a", "$$", "\"\"", "$a$", " ", "é", "0",
        "''''",
    ]
    private static let hostile = [
        "'", "\\", "\"", "$", "$$", "$a$", "--", "/*", "*/", "\n", ";", "E'", "U&'", "U&\"", "N'",
        "B'", ".", "+", "-", "@", "(", ")", ",", "::", "1e", "$1", ":=", "=>", "%", "x", "1.", "..",
    ]
    private static let blanks = [
        " ", "\n", "\t", "--;'\n", "/*;*/", "/*/**/*/", " -- \"\r", "/* ' */", " /***/ ", "\u{0C}",
    ]

    private static func pick(_ list: [String], _ random: inout SplitMix) -> String {
        list[random.number(0...list.count - 1)]
    }

    private static func text(_ random: inout SplitMix) -> String {
        var text = ""
        for _ in 0..<random.number(1...4) {
            text += "select" + pick(blanks, &random) + item(&random)
            while random.oneIn(2) { text += pick(blanks, &random) + "," + item(&random) }
            if random.oneIn(8) { text += pick(hostile, &random) }
            if random.oneIn(3) { text += pick(blanks, &random) }
            text += random.oneIn(8) ? ";;" : ";"
            if random.oneIn(3) { text += pick(blanks, &random) }
        }
        if random.oneIn(4) {
            var scalars = Array(text.unicodeScalars)
            scalars.remove(at: random.number(0...scalars.count - 1))
            var shorter = String.UnicodeScalarView()
            shorter.append(contentsOf: scalars)
            text = String(shorter)
        }
        return text
    }

    /// An expression with perhaps a label.
    private static func item(_ random: inout SplitMix) -> String {
        var text: String
        switch random.number(0...9) {
        case 0...3:
            text = pick(["", "", "E", "e", "N", "U&"], &random) + "'" + content(&random) + "'"
            while random.oneIn(3) {
                text += pick([" ", "", "--x\n"], &random) + "\n'" + content(&random) + "'"
            }
        case 4:
            let tag = pick(["$$", "$a$", "$é_1$"], &random)
            text = tag + content(&random) + tag
        case 5:
            text = pick(["1", "1.5e3", ".5", "1.", "0", "1e-3"], &random)
        case 6:
            text = pick(["1+-2", "1*-2", "-+1", "@-5", "2^-1", "1<-2", "1<>-1", "+ -1"], &random)
        case 7:
            text = pick(
                ["B'01'", "X'1f'", "b''", "(array[1,2])[1:2]", "(1)", "null::text"],
                &random
            )
        default:
            text =
                pick(["1", "'a'"], &random) + pick(blanks, &random) + "as"
                + pick(blanks, &random)
                + pick(["a$1", "\"a;\"\"\"", "U&\"\\0061;\"", "é", "_x", "\"--\""], &random)
        }
        return text
    }

    private static func content(_ random: inout SplitMix) -> String {
        (0..<random.number(0...5)).map { _ in pick(contents, &random) }.joined()
    }
}
