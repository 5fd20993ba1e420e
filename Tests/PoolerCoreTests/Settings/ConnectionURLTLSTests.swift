import PoolerCore
import PostgresWire
import Testing

/// What the parameters of a URL that are about TLS amount to.
@Suite struct ConnectionURLTLSTests {
    private func overrides(_ parameters: String) throws -> Overrides? {
        try ConnectionURL("postgres://u:p@h/d?\(parameters)").configuration()
            .database(named: "d")?.overrides
    }

    private func overrides(_ change: (inout Overrides) -> Void) -> Overrides {
        var overrides = Overrides()
        change(&overrides)
        return overrides
    }

    @Test func nothingIsSaid() throws {
        #expect(try overrides("") == Overrides())
        let usual = "sslsni=1&sslcompression=0&sslcertmode=allow&gssencmode=prefer"
        #expect(try overrides(usual) == Overrides())
        #expect(try overrides("sslrootcert=&sslcert=&sslkey=") == Overrides())
        #expect(try overrides("ssl_min_protocol_version=") == Overrides())
    }

    @Test(arguments: TLSMode.allCases.filter { $0 != .verifyCA })
    func modes(_ mode: TLSMode) throws {
        #expect(
            try overrides("sslmode=\(mode.rawValue)") == overrides { $0.serverTLSSslmode = mode }
        )
    }

    @Test func files() throws {
        #expect(
            try overrides("sslmode=verify-ca&sslrootcert=/a%20b.crt&sslcert=/c&sslkey=/k")
                == overrides {
                    $0.serverTLSSslmode = .verifyCA
                    $0.serverTLSCAFile = "/a b.crt"
                    $0.serverTLSCertFile = "/c"
                    $0.serverTLSKeyFile = "/k"
                }
        )
    }

    /// As libpq has it: who names an authority means it.
    @Test func requireWithAnAuthorityVerifies() throws {
        #expect(
            try overrides("sslrootcert=/ca&sslmode=require")
                == overrides {
                    $0.serverTLSSslmode = .verifyCA
                    $0.serverTLSCAFile = "/ca"
                }
        )
    }

    @Test(arguments: ["sslrootcert=system", "sslrootcert=system&sslmode=verify-full"])
    func whomTheSystemTrusts(_ parameters: String) throws {
        #expect(
            try overrides(parameters)
                == overrides {
                    $0.serverTLSSslmode = .verifyFull
                    $0.serverTLSCAFile = ""
                }
        )
    }

    @Test func directAndBound() throws {
        #expect(
            try overrides("sslnegotiation=direct&sslmode=require&channel_binding=require")
                == overrides {
                    $0.serverTLSSslmode = .require
                    $0.serverTLSNegotiation = .direct
                    $0.serverChannelBinding = .require
                }
        )
        #expect(
            try overrides("sslnegotiation=postgres&channel_binding=disable")
                == overrides {
                    $0.serverTLSNegotiation = .postgres
                    $0.serverChannelBinding = .disable
                }
        )
    }

    @Test(
        arguments: [
            ("min_protocol_version=TLSv1.3", .tls13), ("min_protocol_version=TLSv1", .all),
            ("min_protocol_version=tlsv1.1", [.tls11, .tls12, .tls13]),
            ("max_protocol_version=TLSv1.2", .tls12), ("max_protocol_version=TLSv1.3", .secure),
            ("min_protocol_version=TLSv1&ssl_max_protocol_version=TLSv1.1", [.tls10, .tls11]),
        ] as [(String, TLSProtocols)]
    )
    func versions(_ parameters: String, _ protocols: TLSProtocols) throws {
        #expect(
            try overrides("ssl_\(parameters)") == overrides { $0.serverTLSProtocols = protocols }
        )
    }

    @Test(arguments: [
        (
            "sslmode=yes",
            "sslmode: expected disable, allow, prefer, require, verify-ca or verify-full, found \"yes\""
        ),
        ("sslmode=", "sslmode: expected disable"),
        ("sslmode=verify-ca", "sslmode=verify-ca needs sslrootcert"),
        (
            "sslrootcert=system&sslmode=require",
            "sslmode=require is too weak with sslrootcert=system"
        ),
        ("sslrootcert=system&sslmode=disable", "sslmode=disable is too weak"),
        ("sslcert=/c", "expected sslcert and sslkey together"),
        ("sslkey=/k", "expected sslcert and sslkey together"),
        ("sslcert=%FF&sslkey=/k", "sslcert: expected text in UTF-8"),
        ("sslnegotiation=direct", "sslnegotiation=direct needs sslmode=require, verify-ca or"),
        ("sslnegotiation=direct&sslmode=prefer", "sslnegotiation=direct needs sslmode=require"),
        ("sslnegotiation=ssl", "sslnegotiation: expected postgres or direct, found \"ssl\""),
        ("channel_binding=require&sslmode=disable", "channel_binding=require needs TLS"),
        ("channel_binding=on", "channel_binding: expected disable, prefer or require"),
        ("ssl_min_protocol_version=SSLv3", "ssl_min_protocol_version: expected tlsv1, tlsv1.1"),
        (
            "ssl_max_protocol_version=TLSv1.1",
            "ssl_max_protocol_version is below ssl_min_protocol_version, which is tlsv1.2"
        ),
        ("sslcrl=/x", "sslcrl: Martlet reads no lists of revoked certificates"),
        ("sslcrldir=/x", "sslcrldir: Martlet reads no lists of revoked certificates"),
        ("sslpassword=secret", "sslpassword: Martlet takes keys without a passphrase only"),
        ("sslcompression=1", "sslcompression: expected 0, found \"1\""),
        ("sslsni=0", "sslsni: expected 1, found \"0\""),
        ("sslcertmode=require", "sslcertmode: expected allow, found \"require\""),
        ("gssencmode=require", "gssencmode=require: Martlet has no GSSAPI"),
        ("sslrootcrt=/x", "did you mean \"sslrootcert\"?"),
    ])
    func whatMakesNoSense(_ parameters: String, _ message: String) throws {
        let error = #expect(throws: ConfigurationError.self) { try overrides(parameters) }
        let text = try #require(error?.message)
        #expect(text.contains(message), "\(text)")
        #expect(!text.contains("secret"))
    }
}
