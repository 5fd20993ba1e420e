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

    // MARK: Certificates

    private static let certificate = ClientCertificate(
        commonName: "ada",
        distinguishedName: "CN=ada,OU=ops,O=Example"
    )

    private static let certificateRules = """
        hostssl certified all all cert
        hostssl mapped all all cert map=people
        hostssl named all all cert map=people clientname=DN
        hostssl both all all scram-sha-256 clientcert=verify-full
        hostssl signed all all trust clientcert=verify-ca
        hostssl never all all reject clientcert=verify-full
        hostssl open all all md5
        host strict all all cert
        hostnossl all all all plain
        """

    private static let certificateMaps = #"""
        people /^(.*)@example\.com$ \1
        people /OU=ops root
        """#

    private func byCertificate(
        _ database: ByteString,
        user: ByteString = "ada",
        isEncrypted: Bool = true,
        _ certificate: ClientCertificate?
    ) throws -> Admission {
        let configuration = try configuration(
            .hba,
            rules: Self.certificateRules,
            maps: Self.certificateMaps
        )
        let login = HBALogin(
            database: database,
            user: user,
            address: .ipv4(1),
            isEncrypted: isEncrypted,
            certificate: certificate
        )
        return configuration.admission(of: login).0
    }

    private static func certificate(_ commonName: ByteString) -> ClientCertificate {
        ClientCertificate(commonName: commonName, distinguishedName: "O=Example")
    }

    @Test func certificatesOfTheUser() throws {
        let good = Self.certificate
        #expect(try byCertificate("certified", good) == .prove(.certificate))
        #expect(try byCertificate("both", good) == .prove(.scramSHA256))
        #expect(try byCertificate("signed", good) == .prove(.trust))
        #expect(try byCertificate("signed", user: "eve", good) == .prove(.trust))
        #expect(try byCertificate("never", good) == .refuse(.rejected))
        #expect(try byCertificate("open", good) == .prove(.md5))
        #expect(try byCertificate("open", nil) == .prove(.md5))
    }

    @Test func rulesLookAtTLS() throws {
        for database in ["certified", "open", "anything"] as [ByteString] {
            #expect(try byCertificate(database, isEncrypted: false, nil) == .prove(.plain))
        }
        #expect(try byCertificate("anything", nil) == .refuse(.noRule))
        #expect(
            try byCertificate("strict", isEncrypted: false, nil)
                == .refuse(.certificateRejected(.notEncrypted))
        )
        #expect(try byCertificate("strict", Self.certificate) == .prove(.certificate))
    }

    @Test func certificatesOfOthers() throws {
        for (name, failure) in [
            ("eve", .wrongName), ("Ada", .wrongName), ("ada ", .wrongName), ("*", .wrongName),
            ("ad", .wrongName), ("", .noName), ("ada\0", .noName), ("\0", .noName),
        ] as [(ByteString, CertificateFailure)] {
            for database in ["certified", "both", "never"] as [ByteString] {
                #expect(
                    try byCertificate(database, Self.certificate(name))
                        == .refuse(.certificateRejected(failure))
                )
            }
        }
    }

    @Test func noCertificate() throws {
        #expect(
            try byCertificate("certified", nil) == .refuse(.certificateRejected(.missing))
        )
        for database in ["both", "signed", "never"] as [ByteString] {
            #expect(try byCertificate(database, nil) == .refuse(.certificateRequired))
        }
    }

    @Test func mapsOfCertificates() throws {
        let rejected = Admission.refuse(.certificateRejected(.wrongName))
        let mail = Self.certificate("ada@example.com")
        #expect(try byCertificate("mapped", mail) == .prove(.certificate))
        #expect(try byCertificate("mapped", user: "eve", mail) == rejected)
        #expect(try byCertificate("mapped", Self.certificate) == rejected)
        #expect(try byCertificate("certified", mail) == rejected)
        #expect(try byCertificate("named", user: "root", Self.certificate) == .prove(.certificate))
        #expect(try byCertificate("named", Self.certificate) == rejected)
        #expect(try byCertificate("mapped", user: "root", Self.certificate) == rejected)
    }

    @Test func authTypeCert() throws {
        var configuration = try configuration(.trust)
        configuration.settings.authType = .cert
        func admission(_ certificate: ClientCertificate?, isEncrypted: Bool = true) -> Admission {
            let login = HBALogin(
                database: "open",
                user: "ada",
                address: .ipv4(1),
                isEncrypted: isEncrypted,
                certificate: certificate
            )
            return configuration.admission(of: login).0
        }
        #expect(admission(Self.certificate) == .prove(.certificate))
        #expect(admission(nil) == .refuse(.certificateRejected(.missing)))
        #expect(admission(Self.certificate("eve")) == .refuse(.certificateRejected(.wrongName)))
        #expect(admission(nil, isEncrypted: false) == .refuse(.certificateRejected(.notEncrypted)))
    }

    private func withTLS(
        _ type: AuthType,
        _ mode: TLSMode,
        authorities: String,
        rules: String
    ) throws -> Configuration {
        var configuration = Configuration()
        configuration.settings.authType = type
        configuration.settings.clientTLSSslmode = mode
        configuration.settings.clientTLSCAFile = authorities
        configuration.settings.authHBAFile = "hba"
        try configuration.readAccessFiles { _ in Array(rules.utf8) }
        return configuration
    }

    @Test func authTypeCertWantsACertificateOfEverybody() throws {
        _ = try withTLS(.cert, .verifyFull, authorities: "ca", rules: "")
        let error = ConfigurationError(
            file: "auth_type",
            message: "auth_type = cert requires client_tls_sslmode = verify-full"
        )
        for mode in TLSMode.allCases where mode != .verifyFull {
            #expect(throws: error) { try withTLS(.cert, mode, authorities: "ca", rules: "") }
        }
    }

    /// Not those of everybody whom the system trusts.
    @Test func rulesAboutCertificatesSayWhoseAreGood() throws {
        let error = ConfigurationError(
            file: "hba",
            line: 2,
            message: "a rule that asks for a certificate requires client_tls_ca_file"
        )
        for rule in ["cert", "trust clientcert=verify-ca", "md5 clientcert=verify-full"] {
            let rules = "hostssl all all all md5\nhostssl all all all \(rule)"
            _ = try withTLS(.hba, .require, authorities: "ca", rules: rules)
            // Then nobody meets the rule.
            _ = try withTLS(.hba, .disable, authorities: "", rules: rules)
            _ = try withTLS(.trust, .require, authorities: "", rules: rules)
            #expect(throws: error) {
                try withTLS(.hba, .require, authorities: "", rules: rules)
            }
        }
        _ = try withTLS(.hba, .require, authorities: "", rules: "hostssl all all all md5")
    }

    /// The words of the log are PgBouncer's; the client learns nothing of what is wrong.
    @Test func wordsAboutCertificates() {
        for (failure, text) in [
            (.notEncrypted, "TLS connection required"),
            (.missing, "TLS client certificate required"),
            (.wrongName, "TLS certificate name mismatch"),
        ] as [(CertificateFailure, String)] {
            let failure = AuthenticationFailure.certificateRejected(failure)
            #expect(failure.logDetail == text)
            #expect(failure.errorResponse.message == "certificate authentication failed")
            #expect(failure.errorResponse.sqlState == .protocolViolation)
        }
        #expect(
            AuthenticationFailure.certificateRequired.errorResponse
                == ErrorResponse(.fatal, "28000", "connection requires a valid client certificate")
        )
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
        #expect(Admission.prove(.certificate).needsSecret)
    }
}
