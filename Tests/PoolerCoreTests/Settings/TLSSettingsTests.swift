import PoolerCore
import PostgresWire
import Testing

@Suite struct TLSSettingsTests {
    @Test(
        arguments: [
            ("secure", [.tls12, .tls13], "secure"), ("default", [.tls12, .tls13], "secure"),
            ("all", .all, "all"), ("legacy", .all, "all"), ("tlsv1", .all, "all"),
            ("tlsv1.3", .tls13, "tlsv1.3"), ("TLSv1.2,TLSv1.3,", .secure, "secure"),
            (" tlsv1.1 : tlsv1.3 ", [.tls11, .tls13], "tlsv1.1,tlsv1.3"),
            ("!tlsv1.0", [.tls11, .tls12, .tls13], "tlsv1.1,tlsv1.2,tlsv1.3"),
            ("all, !tlsv1.0, !tlsv1.1", .secure, "secure"),
            ("!secure,tlsv1.3", [.tls10, .tls11, .tls13], "tlsv1.0,tlsv1.1,tlsv1.3"),
        ] as [(ByteString, TLSProtocols, ByteString)]
    )
    func protocols(_ text: ByteString, _ protocols: TLSProtocols, _ shown: ByteString) throws {
        var settings = Settings()
        for name in ["client_tls_protocols", "server_tls_protocols"] {
            let row = try settings.set(name, to: text, section: "martlet")
            #expect(row.value(in: settings) == shown)
            try settings.set(name, to: shown, section: "martlet")
            #expect(row.value(in: settings) == shown, "what is shown can be set")
        }
        #expect(settings.clientTLS.protocols == protocols)
        #expect(settings.serverTLS.protocols == protocols)
    }

    @Test(arguments: ["", ",", "sslv3", "tlsv1.4", "all,!all", "!", "secure nonsense"])
    func noProtocols(_ text: String) {
        var settings = Settings()
        #expect(
            throws: SettingError(
                "client_tls_protocols: expected secure, all, or some of tlsv1.0 to tlsv1.3, found \"\(text)\""
            )
        ) {
            try settings.set("client_tls_protocols", to: ByteString(text), section: "martlet")
        }
    }

    @Test func whatClientsGet() throws {
        let settings = try parse(
            """
            [pgbouncer]
            client_tls_sslmode = VERIFY-FULL
            client_tls_cert_file = /a.crt, /b.crt
            client_tls_key_file = /a.key,/b.key
            client_tls_ca_file = /ca.crt
            client_tls_protocols = tlsv1.3
            client_tls_ciphers = HIGH:!aNULL
            client_tls13_ciphers = TLS_AES_128_GCM_SHA256
            client_tls_ecdhcurve = X25519:P-256
            client_tls_dheparams = legacy
            """
        ).settings.clientTLS
        #expect(settings.mode == .verifyFull)
        #expect(settings.certFiles == ["/a.crt", "/b.crt"])
        #expect(settings.keyFiles == ["/a.key", "/b.key"])
        #expect(settings.caFile == "/ca.crt")
        #expect(settings.protocols == .tls13)
        #expect(settings.ciphers == "HIGH:!aNULL")
        #expect(settings.cipherSuites == "TLS_AES_128_GCM_SHA256")
        #expect(settings.ecdhCurve == "X25519:P-256")
        #expect(settings.dheParams == .legacy)
    }

    @Test func whatAServerGets() throws {
        let configuration = try parse(
            """
            [martlet]
            server_tls_sslmode = verify-ca
            server_tls_ca_file = /ca.crt
            server_tls_ciphers = fast
            [databases]
            plain = server_tls_sslmode=disable
            cloud = server_tls_sslmode=verify-full server_tls_negotiation=direct \
            server_channel_binding=require server_tls_ca_file=/cloud.crt \
            server_tls_cert_file=/me.crt server_tls_key_file=/me.key server_tls_protocols=tlsv1.3 \
            server_tls_ciphers=ECDHE server_tls13_ciphers=TLS_AES_256_GCM_SHA384
            ours = dbname=x
            """.replacing(" \\\n", with: " ")
        )
        func settings(_ name: ByteString) -> ServerTLSSettings {
            configuration.effectiveSettings(
                database: configuration.database(named: name),
                user: nil
            ).serverTLS
        }
        #expect(settings("ours") == configuration.settings.serverTLS)
        #expect(settings("ours").mode == .verifyCA)
        #expect(settings("ours").caFile == "/ca.crt")
        #expect(settings("ours").ciphers == "")
        #expect(settings("ours").negotiation == .postgres)
        #expect(settings("ours").channelBinding == .prefer)
        #expect(settings("plain").mode == .disable)
        let cloud = settings("cloud")
        #expect(cloud.mode == .verifyFull && cloud.negotiation == .direct)
        #expect(cloud.channelBinding == .require && cloud.protocols == .tls13)
        #expect(
            [cloud.caFile, cloud.certFile, cloud.keyFile] == ["/cloud.crt", "/me.crt", "/me.key"]
        )
        #expect(cloud.ciphers == "ECDHE" && cloud.cipherSuites == "TLS_AES_256_GCM_SHA384")
    }

    @Test(
        arguments: [
            ("default", ""), ("secure", ""), ("fast", ""), ("Normal", ""), ("", ""),
            ("all", "ALL"), ("ECDHE+AESGCM:!DSS", "ECDHE+AESGCM:!DSS"),
        ]
    )
    func ciphers(_ text: String, _ given: String) {
        var settings = Settings()
        settings.clientTLSCiphers = text
        settings.serverTLSCiphers = text
        #expect(settings.clientTLS.ciphers == given)
        #expect(settings.serverTLS.ciphers == given)
    }

    @Test func modesSayWhatTheyDemand() {
        #expect(TLSMode.allCases.filter(\.isRequired) == [.require, .verifyCA, .verifyFull])
        #expect(TLSMode.allCases.filter(\.verifiesPeer) == [.verifyCA, .verifyFull])
    }

    /// What cannot work together is refused with the line of the setting that says so.
    @Test(
        arguments: [
            (
                "client_tls_sslmode = allow\nclient_tls_key_file = /k",
                "p.ini:2: client_tls_sslmode: to allow TLS connections from clients, client_tls_key_file "
                    + "and client_tls_cert_file must be set"
            ),
            (
                "client_tls_sslmode = require\nclient_tls_cert_file = /c",
                "p.ini:2: client_tls_sslmode: to allow TLS connections from clients, client_tls_key_file "
                    + "and client_tls_cert_file must be set"
            ),
            (
                "client_tls_sslmode = require\nclient_tls_cert_file = /c, /d\nclient_tls_key_file = /k",
                "p.ini:4: client_tls_key_file: expected a key for each certificate of "
                    + "client_tls_cert_file: there are 1 keys and 2 certificates"
            ),
            (
                "client_tls_cert_file = /c\nclient_tls_key_file = /k\nclient_tls_sslmode = verify-full",
                "p.ini:4: client_tls_sslmode: verify-full requires client_tls_ca_file"
            ),
            (
                "server_tls_cert_file = /c",
                "p.ini:2: server_tls_cert_file: server_tls_cert_file and server_tls_key_file must be "
                    + "set together"
            ),
            (
                "server_tls_key_file = /k",
                "p.ini:2: server_tls_key_file: server_tls_cert_file and server_tls_key_file must be "
                    + "set together"
            ),
            (
                "server_tls_negotiation = direct",
                "p.ini:2: server_tls_negotiation: direct needs server_tls_sslmode = require, verify-ca "
                    + "or verify-full: without a question there is no answer that the server has no TLS"
            ),
            (
                "server_tls_sslmode = disable\nserver_channel_binding = require",
                "p.ini:3: server_channel_binding: require needs TLS, and server_tls_sslmode is disable"
            ),
            (
                "server_channel_binding = require\n[databases]\nshop = server_tls_sslmode=disable",
                "p.ini: database \"shop\": server_channel_binding: require needs TLS, and "
                    + "server_tls_sslmode is disable"
            ),
            (
                "[databases]\n* = server_tls_key_file=/k",
                "p.ini: database \"*\": server_tls_key_file: server_tls_cert_file and "
                    + "server_tls_key_file must be set together"
            ),
        ]
    )
    func whatCannotWork(_ text: String, _ message: String) {
        let error = #expect(throws: ConfigurationError.self) { try parse("[martlet]\n" + text) }
        #expect(error?.description == message)
    }

    /// What is without effect while there is no TLS is no reason to refuse a file.
    @Test(
        arguments: [
            "client_tls_cert_file = /c", "client_tls_key_file = /a, /b",
            "server_tls_sslmode = disable\nserver_tls_cert_file = /c",
            "server_tls_sslmode = disable\nserver_tls_negotiation = direct",
            "client_tls_sslmode = verify-ca\nclient_tls_cert_file = /c\nclient_tls_key_file = /k",
            "server_tls_sslmode = verify-full\nserver_tls_negotiation = direct",
        ]
    )
    func whatCan(_ text: String) throws {
        try parse("[pgbouncer]\n" + text).checkTLS()
    }

    @discardableResult
    private func parse(_ text: String) throws -> Configuration {
        try Configuration.parse(path: "p.ini", contents: Array(text.utf8)) {
            _ throws(FileUnavailable) in throw FileUnavailable(reason: "no file")
        }
    }
}
