import PoolerCore
import PostgresWire
import Testing

@Suite struct IdentMapsTests {
    private func maps(_ text: String) throws -> IdentMaps {
        try IdentMaps(path: "ident.conf", contents: Array(text.utf8))
    }

    static let text = #"""
        # map   system user            database user
        ops     ada                    app
        ops     bob                    all
        ops     "all"                  "all"
        team    /^(.*)@example\.com$   \1
        team    /^(\w+)-(\w+)$         x_\1_y
        team    /^guest                guest
        team    robot                  /^job_[0-9]+$
        """#

    @Test(
        arguments: [
            ("ops", "ada", "app", true), ("ops", "ada", "ada", false), ("ops", "Ada", "app", false),
            ("ops", "bob", "anybody", true), ("ops", "all", "all", true),
            ("ops", "all", "x", false),
            ("ops", "eve", "app", false), ("team", "ada", "app", false),
            ("team", "ada@example.com", "ada", true), ("team", "ada@example.com", "bob", false),
            ("team", "ada@example.comx", "ada", false), ("team", "ada@exampleXcom", "ada", false),
            ("team", "a-b", "x_a_y", true), ("team", "a-b", #"x_\1_y"#, false),
            ("team", "guest17", "guest", true), ("team", "aguest", "guest", false),
            ("team", "robot", "job_17", true), ("team", "robot", "job_x", false),
            ("none", "ada", "app", false),
        ] as [(ByteString, ByteString, ByteString, Bool)]
    )
    func whoMayBeWhom(map: ByteString, systemUser: ByteString, user: ByteString, may: Bool) throws {
        #expect(try maps(Self.text).allows(systemUser: systemUser, toBe: user, by: map) == may)
    }

    @Test func withoutAMapTheNamesAreEqual() throws {
        let maps = try maps(Self.text)
        #expect(maps.allows(systemUser: "app", toBe: "app", by: nil))
        #expect(!maps.allows(systemUser: "ada", toBe: "app", by: nil))
    }

    @Test func knowsItsMaps() throws {
        let maps = try maps(Self.text)
        #expect(maps.contains("ops") && maps.contains("team") && !maps.contains("Ops"))
    }

    @Test(arguments: [
        ("ops ada", "ident.conf:1: expected a map, a system user and a database user"),
        ("\nops ada app x", ":2: expected a map"),
        ("ops ada,bob app", ":1: expected a map"),
        ("ops /( app", "is not a regular expression"),
        (#"ops /^x$ \1"#, #"has no group for \1"#),
        ("ops ada +staff", "\"+staff\" is not supported"),
    ])
    func whatIsWrongIsNamed(text: String, expected: String) {
        do {
            _ = try maps(text)
            Issue.record("\(text) was read")
        } catch {
            #expect("\(error)".contains(expected), "\(error)")
        }
    }
}
