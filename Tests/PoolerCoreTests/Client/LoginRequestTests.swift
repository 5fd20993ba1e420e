import PoolerCore
import PostgresWire
import Testing

@Suite struct LoginRequestTests {
    // MARK: Who and where

    @Test func takesDatabaseAndUser() throws {
        let request = try login(["user": "ada", "database": "shop"])
        #expect(request.user == "ada")
        #expect(request.database == "shop")
        #expect(request.settings.isEmpty && request.negotiation.isEmpty)
    }

    @Test(arguments: [[:], ["database": ""]] as [[ByteString: ByteString]])
    func theDatabaseIsTheUsersByDefault(_ parameters: [ByteString: ByteString]) throws {
        let request = try login(parameters.merging(["user": "ada"]) { $1 })
        #expect(request.database == "ada")
    }

    @Test(arguments: [[:], ["user": ""], ["database": "shop"]] as [[ByteString: ByteString]])
    func aUserIsNeeded(_ parameters: [ByteString: ByteString]) {
        #expect(throws: refusal("no username supplied")) { try login(parameters) }
    }

    @Test func namesHaveLimits() throws {
        let longest = try login(["user": text(127), "database": text(63)])
        #expect(longest.user.count == 127 && longest.database.count == 63)
        #expect(throws: refusal("username too long")) {
            try login(["user": text(128), "database": "shop"])
        }
        #expect(throws: refusal("database name too long")) {
            try login(["user": "ada", "database": text(64)])
        }
    }

    // MARK: Settings

    @Test func keepsSettingsInOrder() throws {
        let request = try login(
            list: [
                ("user", "ada"), ("TimeZone", "UTC"), ("options", "-c work_mem=1MB"),
                ("application_name", ""),
            ])
        #expect(
            request.settings == [
                StartupParameter(name: "TimeZone", value: "UTC"),
                StartupParameter(name: "work_mem", value: "1MB"),
                StartupParameter(name: "application_name", value: ""),
            ]
        )
    }

    @Test func leavesOutWhatIsIgnored() throws {
        let request = try login(
            list: [
                ("user", "ada"), ("Extra_Float_Digits", "2"), ("options", "--extra-float-digits=3"),
            ],
            ignored: ["extra_float_digits"]
        )
        #expect(request.settings.isEmpty)
    }

    @Test(
        arguments: [
            ("", []),
            ("  \t\n", []),
            ("-c a=1", [("a", "1")]),
            ("-ca=1", [("a", "1")]),
            ("--a=1", [("a", "1")]),
            ("  -c  a=1  --b-c=2\t-cd=", [("a", "1"), ("b_c", "2"), ("d", "")]),
            ("-c a=b=c", [("a", "b=c")]),
            ("-c a=x\\ y", [("a", "x y")]),
            ("-c a=x\\\\y", [("a", "x\\y")]),
            ("-c a=\\-", [("a", "-")]),
            ("-c search_path=\\\"a\\ b\\\",c", [("search_path", "\"a b\",c")]),
            ("--statement-timeout=5-6", [("statement_timeout", "5-6")]),
        ] as [(ByteString, [(ByteString, ByteString)])]
    )
    func readsOptions(
        _ options: ByteString,
        expected: [(ByteString, ByteString)]
    ) throws {
        let request = try login(["user": "ada", "options": options])
        #expect(request.settings == expected.map { StartupParameter(name: $0, value: $1) })
    }

    @Test(arguments: ["-c", "-c a", "-c =1", "--=1", "--a", "a=1", "-d 5", "-c a=1 x", "-"])
    func refusesOptions(_ options: String) {
        let text =
            "unsupported options startup parameter: "
            + "only '-c config=val' and '--config=val' are allowed"
        #expect(throws: refusal(text)) {
            try login(["user": "ada", "options": ByteString(options)])
        }
    }

    // MARK: Replication

    @Test(
        arguments: [
            ("database", .logical), ("true", .physical), ("TRUE", .physical), ("t", .physical),
            ("yes", .physical), ("Ye", .physical), ("on", .physical), ("1", .physical),
            ("false", .none), ("F", .none), ("OFF", .none), ("of", .none), ("no", .none),
            ("0", .none),
        ] as [(ByteString, ReplicationKind)]
    )
    func readsReplication(_ value: ByteString, expected: ReplicationKind) throws {
        let request = try login(["user": "ada", "replication": value])
        #expect(request.replication == expected)
        #expect(request.settings.isEmpty)
    }

    @Test(arguments: ["", "o", "Database", "databases", "data", "2", "10", "truest", " true"])
    func refusesOtherReplication(_ value: String) {
        let expected = ErrorResponse(
            .fatal,
            "22023",
            "invalid value for parameter \"replication\": \"\(value)\"",
            hint: "Valid values are: \"false\", 0, \"true\", 1, \"database\"."
        )
        #expect(throws: expected) {
            try login(["user": "ada", "replication": ByteString(value)])
        }
    }

    /// The server that they are for takes them as they are, whatever they are.
    @Test func keepsTheOptionsOfReplication() throws {
        let request = try login([
            "user": "ada", "options": "-d 5 x", "application_name": "a", "replication": "database",
        ])
        #expect(request.options == "-d 5 x")
        #expect(request.settings == [StartupParameter(name: "application_name", value: "a")])
        try #expect(login(["user": "ada", "options": "-c a=1"]).options == nil)
    }

    // MARK: What is not offered

    @Test(arguments: [
        (UInt16(2), UInt16(0), "old V2 protocol not supported"),
        (4, 1, "unsupported frontend protocol 4.1"),
        (0, 0, "unsupported frontend protocol 0.0"),
    ])
    func refusesOtherProtocols(_ major: UInt16, minor: UInt16, text: String) {
        #expect(throws: refusal(text)) {
            try login(["user": "ada"], version: ProtocolVersion(major: major, minor: minor))
        }
    }

    // MARK: Negotiation

    @Test func negotiatesANewerMinorVersion() throws {
        let request = try login(["user": "ada"], version: ProtocolVersion(major: 3, minor: 2))
        #expect(request.negotiation == [0x76, 0, 0, 0, 12, 0, 3, 0, 0, 0, 0, 0, 0])
    }

    @Test func namesTheOptionsItDoesNotKnow() throws {
        let request = try login(
            list: [("_pq_.a", "1"), ("user", "ada"), ("_PQ_.B", "")],
            version: .v3
        )
        #expect(
            request.negotiation
                == [0x76, 0, 0, 0, 26, 0, 3, 0, 0, 0, 0, 0, 2] + Array("_pq_.a\0_PQ_.B\0".utf8)
        )
        #expect(request.settings.isEmpty)
    }

    /// Everything but an application_name that PostgreSQL takes as it is.
    @Test(arguments: [
        ("shop", true), ("a-z ~", true), ("", true), ("caf\u{e9}", false), ("a\tb", false),
        (String(repeating: "a", count: 63), true), (String(repeating: "a", count: 64), false),
    ])
    func aServerConfirmsSettings(name: String, isTakenAsItIs: Bool) throws {
        let request = try login(
            list: [
                ("user", "ada"), ("Application_Name", ByteString(name)), ("DateStyle", "German"),
            ]
        )
        #expect(request.applicationName == (isTakenAsItIs ? ByteString(name) : nil))
        let uncertain = request.uncertainSettings.map(\.name)
        #expect(uncertain == (isTakenAsItIs ? [] : ["Application_Name"]) + ["DateStyle"])
    }

    private func login(
        _ parameters: [ByteString: ByteString],
        version: ProtocolVersion = .v3
    ) throws -> LoginRequest {
        try login(list: parameters.map { ($0, $1) }, version: version)
    }

    private func login(
        list: [(ByteString, ByteString)],
        ignored: [ByteString] = [],
        version: ProtocolVersion = .v3
    ) throws -> LoginRequest {
        try LoginRequest(
            version: version,
            parameters: list.map { StartupParameter(name: $0, value: $1) },
            ignored: ignored
        )
    }

    private func refusal(_ text: String) -> ErrorResponse {
        ErrorResponse(.fatal, .protocolViolation, text)
    }

    private func text(_ count: Int) -> ByteString {
        ByteString([UInt8](repeating: 97, count: count))
    }
}
