import PoolerCore
import PostgresWire
import Testing

@Suite struct AdmissionTests {
    private func configuration(
        _ type: AuthType,
        rules: String = "",
        maps: String = ""
    ) throws -> Configuration {
        var configuration = Configuration()
        configuration.settings.authType = type
        if !rules.isEmpty { configuration.settings.authHBAFile = "hba" }
        if !maps.isEmpty { configuration.settings.authIdentFile = "maps" }
        var forced = DatabaseEntry(name: "forced")
        forced.user = "app"
        configuration.add(forced)
        configuration.add(DatabaseEntry(name: "open"))
        try configuration.readAccessFiles { path in Array((path == "hba" ? rules : maps).utf8) }
        return configuration
    }

    private func admission(
        _ configuration: Configuration,
        database: ByteString = "open",
        user: ByteString = "ada",
        _ address: PeerAddress = .unix
    ) -> Admission {
        configuration.admission(of: HBALogin(database: database, user: user, address: address)).0
    }

    @Test func eachTypeIsAMethod() throws {
        for (type, method) in [
            (AuthType.trust, AuthMethod.trust), (.plain, .plain), (.md5, .md5),
            (.scramSHA256, .scramSHA256),
        ] {
            #expect(admission(try configuration(type)) == .prove(method))
        }
    }

    /// Else whoever asks for it would be an administrator of the database.
    @Test func anybodyNeedsAForcedUser() throws {
        let configuration = try configuration(.any)
        #expect(admission(configuration, database: "forced") == .prove(.any))
        #expect(admission(configuration, database: "pgbouncer") == .prove(.any))
        #expect(admission(configuration, database: "open") == .refuse(.misconfigured))
        #expect(admission(configuration, database: "nowhere") == .refuse(.misconfigured))
    }

    @Test func rulesDecide() throws {
        let configuration = try configuration(
            .hba,
            rules: """
                local all root peer map=ops
                local all ada trust
                host all bob all peer
                host all ada 10.0.0.0/8 scram-sha-256
                host all all 10.0.0.0/8 reject
                """,
            maps: "ops root root"
        )
        #expect(admission(configuration, user: "root") == .peer(map: "ops"))
        #expect(admission(configuration) == .prove(.trust))
        #expect(admission(configuration, .ipv4(0x0A00_0001)) == .prove(.scramSHA256))
        #expect(admission(configuration, user: "bob", .ipv4(1)) == .refuse(.peerRejected))
        #expect(admission(configuration, user: "eve", .ipv4(0x0A00_0001)) == .refuse(.rejected))
        #expect(admission(configuration, .ipv4(1)) == .refuse(.noRule))
        let login = HBALogin(database: "x", user: "ada", address: .unix)
        #expect(configuration.admission(of: login).line == 2)
    }

    @Test func withoutAFileNobodyComesIn() throws {
        #expect(admission(try configuration(.hba)) == .refuse(.noRule))
    }

    @Test func aMapHasToBeThere() {
        #expect(throws: ConfigurationError.self) {
            try configuration(.hba, rules: "local all all peer map=x", maps: "y a b")
        }
    }

    /// Files that nobody depends on may be broken.
    @Test func filesCountForHBAOnly() throws {
        #expect(throws: ConfigurationError.self) { try configuration(.hba, rules: "nonsense") }
        #expect(admission(try configuration(.md5, rules: "nonsense")) == .prove(.md5))
    }

    @Test func theWordsAreThoseOfPgBouncer() {
        let words: [(AuthenticationFailure, String)] = [
            (.noRule, "no authentication method is found"), (.rejected, "login rejected"),
            (.peerRejected, "unix socket login rejected"), (.noSuchUser, "no such user"),
            (.misconfigured, "bouncer config error"),
        ]
        for (failure, text) in words {
            #expect(failure.errorResponse == ErrorResponse(.fatal, .protocolViolation, text))
        }
    }

    @Test func whatNeedsASecret() {
        #expect(!Admission.prove(.any).needsSecret)
        #expect(!Admission.refuse(.rejected).needsSecret)
        #expect(Admission.prove(.trust).needsSecret)
        #expect(Admission.peer(map: nil).needsSecret)
    }
}
