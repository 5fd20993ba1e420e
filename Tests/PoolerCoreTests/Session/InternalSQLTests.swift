import PoolerCore
import PostgresWire
import TestSupport
import Testing

@Suite struct InternalSQLTests {
    @Test(arguments: [
        ("", "''"),
        ("abc", "'abc'"),
        ("it's", "'it''s'"),
        ("'; drop table t; --", "'''; drop table t; --'"),
        ("a\\b", " E'a\\\\b'"),
        ("\\'", " E'\\\\'''"),
        ("\"", "'\"'"),
        ("é", "'é'"),
    ])
    func quotesLiterals(_ value: String, literal: String) {
        #expect(InternalSQL.quotedLiteral(ByteString(value)) == ByteString(literal))
    }

    @Test(arguments: [
        ("", "\"\""),
        ("TimeZone", "\"TimeZone\""),
        ("a\"b", "\"a\"\"b\""),
        ("a\\b", "\"a\\b\""),
        ("a.b", "\"a.b\""),
    ])
    func quotesIdentifiers(_ name: String, identifier: String) {
        #expect(InternalSQL.quotedIdentifier(ByteString(name)) == ByteString(identifier))
    }

    @Test func appliesChangesInOneQuery() {
        let text = InternalSQL.apply([
            .reset(name: "work_mem"), .reset(name: "app.tenant"),
            .set(name: "TimeZone", value: "UTC"), .set(name: "app.name", value: "it's"),
        ])
        #expect(
            text.text == "RESET \"work_mem\"; RESET \"app\".\"tenant\"; "
                + "SELECT pg_catalog.set_config('TimeZone','UTC',false), "
                + "pg_catalog.set_config('app.name','it''s',false)"
        )
    }

    @Test func quotesNamesInChanges() {
        let text = InternalSQL.apply([
            .reset(name: "a\".b"), .set(name: "x'y\\", value: "\\"),
        ])
        #expect(
            text.text == "RESET \"a\"\"\".\"b\"; "
                + "SELECT pg_catalog.set_config( E'x''y\\\\', E'\\\\',false)"
        )
    }

    /// PostgreSQL completes a part of a DateStyle by what is set.
    @Test func aPartOfADateStyleIsAppliedToTheDefault() {
        let part = InternalSQL.apply([.set(name: "datestyle", value: "ISO")])
        #expect(
            part == #"RESET "datestyle"; SELECT pg_catalog.set_config('datestyle','ISO',false)"#
        )
        let whole = InternalSQL.apply([.set(name: "DateStyle", value: "ISO, DMY")])
        #expect(whole == "SELECT pg_catalog.set_config('DateStyle','ISO, DMY',false)")
        let other = InternalSQL.apply([.set(name: "TimeZone", value: "UTC")])
        #expect(other == "SELECT pg_catalog.set_config('TimeZone','UTC',false)")
    }

    @Test func withoutChangesThereIsNothingToSay() {
        #expect(InternalSQL.apply([]).isEmpty)
    }

    /// Whatever is inside, the literal ends where it should, and means the value.
    @Test(arguments: 0..<8)
    func noValueGetsOutOfItsQuotes(_ seed: Int) {
        var random = SplitMix(seed: seed)
        for _ in 0..<300 {
            let letters = Array("'\"\\ab;$\n".utf8)
            let value = ByteString(
                (0..<random.number(0...12)).map { _ in letters[random.number(0...7)] }
            )
            let literal = InternalSQL.quotedLiteral(value)
            #expect(Self.meaning(of: literal) == value, "seed \(seed): \(literal)")
        }
    }

    /// What PostgreSQL takes a literal for; nil if something is left over behind it.
    private static func meaning(of literal: ByteString) -> ByteString? {
        var rest = literal.bytes[...]
        let isEscaped = rest.starts(with: " E'".utf8)
        rest = rest.dropFirst(isEscaped ? 3 : 1)
        var value: [UInt8] = []
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "'") {
                guard rest.first == byte else { return rest.isEmpty ? ByteString(value) : nil }
                rest.removeFirst()
            } else if byte == UInt8(ascii: "\\") {
                // Outside of E'...' its meaning depends on standard_conforming_strings.
                guard isEscaped, rest.first == byte else { return nil }
                rest.removeFirst()
            }
            value.append(byte)
        }
        return nil
    }
}
