import PostgresWire
import Testing

@testable import PoolerCore

@Suite struct IniFileTests {
    /// The items as short texts: `[section]` and `key=value`.
    private func items(
        _ text: String,
        path: String = "pooler.ini",
        files: [String: String] = [:],
        found: [String: [String]] = [:]
    ) throws(ConfigurationError) -> [String] {
        let items = try parseIniFile(
            path: path,
            contents: Array(text.utf8),
            findFiles: { found[$0] }
        ) { path throws(FileUnavailable) in
            guard let text = files[path] else {
                throw FileUnavailable(reason: "No such file or directory")
            }
            return Array(text.utf8)
        }
        return items.map { item in
            switch item {
            case .section(let name, _): "[\(name)]"
            case .entry(let key, let value, _): "\(key)=\(value)"
            }
        }
    }

    private func error(_ text: String, files: [String: String] = [:]) -> String? {
        do {
            _ = try items(text, files: files)
            return nil
        } catch {
            return error.description
        }
    }

    @Test func readsSectionsKeysAndComments() throws {
        let text = """
            ; comment
              # comment
            [one]
            a = 1
              b=2\t
            c =
            d = x ; y # z
            [two] ; behind a header a comment is one
            e = 'not unquoted'
            """
        #expect(
            try items(text) == [
                "[one]", "a=1", "b=2", "c=", "d=x ; y # z", "[two]", "e='not unquoted'",
            ]
        )
    }

    @Test func readsFilesOfOtherSystems() throws {
        #expect(try items("\u{FEFF}[a]\r\nb = 1\r\n\r\nc = 2 \r\n") == ["[a]", "b=1", "c=2"])
        #expect(try items("[a]\nb = 1") == ["[a]", "b=1"])
        #expect(try items("") == [])
    }

    @Test func bothKindsOfQuotesNameAKey() throws {
        let text = """
            "my db" = 1
            'my db' = 2
            "a""b" = 3
            'it''s' = 4
            "=;#[" = 5
            *.x-y_1 = 6
            """
        #expect(
            try items(text) == ["my db=1", "my db=2", "a\"b=3", "it's=4", "=;#[=5", "*.x-y_1=6"]
        )
    }

    @Test func aSectionAndItsFirstKeyMayShareALine() throws {
        #expect(try items("[a] b = 1") == ["[a]", "b=1"])
        #expect(try items("[a] [b]") == ["[a]", "[b]"])
    }

    @Test(arguments: [
        ("[a", "pooler.ini:1: expected \"]\" at the end of the section name"),
        ("\n\n\"a = 1", "pooler.ini:3: the quoted name has no closing quote"),
        ("a\n= 1", "pooler.ini:1: expected \"key = value\": no \"=\" after \"a\""),
        ("a b = 1", "pooler.ini:1: expected \"key = value\": no \"=\" after \"a\""),
        ("!x", "pooler.ini:1: expected \"key = value\": the line starts with \"!x\""),
        ("%includefile", "pooler.ini:1: expected \"%include\" and a file name"),
        ("%include", "pooler.ini:1: expected \"%include\" and a file name"),
        ("a = \0", "pooler.ini:1: the line contains a zero byte"),
    ])
    func saysWhatIsWrongAndWhere(_ text: String, _ message: String) {
        #expect(error(text) == message)
    }

    @Test func aKeylessLineIsAnEmptyKey() throws {
        #expect(try items("= 1") == ["=1"])
    }

    @Test func includesShareTheSectionAndChangeIt() throws {
        let text = "[a]\n  %include  more.ini \nz = 1"
        #expect(
            try items(text, files: ["more.ini": "b = 1\n[c]\nd = 2"]) == [
                "[a]", "b=1", "[c]", "d=2", "z=1",
            ]
        )
    }

    @Test func includesAreRelativeToTheIncludingFileThenAsGiven() throws {
        let files = [
            "/etc/x/sub/a.ini": "%include b.ini\n%include c.ini", "/etc/x/sub/b.ini": "b = 1",
            "c.ini": "c = 1", "/etc/x/c.ini": "wrong = 1", "/d.ini": "d = 1",
            "/etc/x/d.ini": "wrong = 1",
        ]
        #expect(
            try items("%include sub/a.ini\n%include /d.ini", path: "/etc/x/p.ini", files: files)
                == [
                    "b=1", "c=1", "d=1",
                ]
        )
    }

    @Test func foldersAndPatternsStandForTheirFiles() throws {
        let files = ["/e/d/1.ini": "a = 1", "/e/d/2.ini": "b = 2", "d/3.ini": "c = 3"]
        func items(_ text: String, _ found: [String: [String]]) throws -> [String] {
            try self.items(text, path: "/e/p.ini", files: files, found: found)
        }
        let both = ["/e/d/1.ini", "/e/d/2.ini"]
        try #expect(items("%include d", ["/e/d": both]) == ["a=1", "b=2"])
        try #expect(items("%include d/*", ["/e/d/*": both, "d/*": ["d/3.ini"]]) == ["a=1", "b=2"])
        try #expect(items("%include d/*", ["/e/d/*": [], "d/*": ["d/3.ini"]]) == ["c=3"])
        try #expect(items("%include d/*\nz = 1", ["/e/d/*": [], "d/*": []]) == ["z=1"])
        #expect(
            throws: ConfigurationError(
                file: "/e/p.ini",
                line: 1,
                message: "cannot read included file \"/e/x\": No such file or directory"
            )
        ) { try items("%include d", ["/e/d": ["/e/x"]]) }
    }

    @Test func errorsInIncludesNameTheIncludedFile() {
        #expect(
            error("%include more.ini", files: ["more.ini": "a = 1\n[b"])
                == "more.ini:2: expected \"]\" at the end of the section name"
        )
        #expect(
            error("\n%include none.ini")
                == "pooler.ini:2: cannot read included file \"none.ini\": No such file or directory"
        )
    }

    @Test func endlessIncludesEnd() {
        #expect(
            error("%include a", files: ["a": "%include a\n%include a"])
                == "a:1: more than 10 includes in one another"
        )
    }

    @Test func tenLevelsOfIncludesWork() throws {
        var files: [String: String] = ["10": "a = 1"]
        for level in 1..<10 { files["\(level)"] = "%include \(level + 1)" }
        #expect(try items("%include 1", files: files) == ["a=1"])
    }
}
