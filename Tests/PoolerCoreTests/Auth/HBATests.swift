import PostgresWire
import TestSupport
import Testing

@testable import PoolerCore

@Suite struct HBATests {
    /// The line that holds for a login, by database, user and address.
    private func line(
        _ rules: HBARules,
        _ database: ByteString,
        _ user: ByteString,
        _ address: String,
        isEncrypted: Bool = false
    ) throws -> Int? {
        let login = HBALogin(
            database: database,
            user: user,
            address: try peer(address),
            isEncrypted: isEncrypted
        )
        return rules.rule(for: login)?.line
    }

    private func peer(_ text: String) throws -> PeerAddress {
        if text == "unix" { return .unix }
        return try #require(PeerAddress(parsing: ByteString(text)))
    }

    private func rules(_ text: String, files: [String: String] = [:]) throws -> HBARules {
        try HBARules(path: "/etc/pool/hba.conf", contents: Array(text.utf8)) {
            path throws(FileUnavailable) in
            guard let text = files[path] else {
                throw FileUnavailable(reason: "No such file or directory")
            }
            return Array(text.utf8)
        }
    }

    private func error(_ text: String, files: [String: String] = [:]) -> String? {
        do {
            _ = try rules(text, files: files)
            return nil
        } catch {
            return "\(error)"
        }
    }

    static let text = #"""
        # who        database     user        address             method
        local        all          admin                           peer map=ops

        local        shop,crm     all                             trust   # comment
        host         all          all         10.1.2.3/8          md5
        host         "all"        all         192.168.0.0 255.255.0.0  reject
        host         sameuser     all         2001:db8::/32       scram-sha-256
        hostssl      all          eve         0.0.0.0/0           trust
        hostnossl    all          "eve"       0.0.0.0/0           reject
        host         all          bob, "a ""b"""  172.16.0.1/32   password
        host         replication  rep         all                 trust
        host         last         all         all                 plain
        """#

    @Test(
        arguments: [
            ("shop", "admin", "unix", false, 2), ("shop", "ada", "unix", false, 4),
            ("crm", "ada", "unix", false, 4), ("other", "ada", "unix", false, nil),
            ("x", "ada", "10.200.0.1", false, 5), ("x", "ada", "::ffff:10.9.9.9", false, 5),
            ("x", "ada", "11.0.0.1", false, nil), ("x", "ada", "192.168.1.1", false, nil),
            ("all", "ada", "192.168.255.1", false, 6), ("ada", "ada", "2001:db8::1", false, 7),
            ("ada", "bob", "2001:db8::1", false, nil), ("ada", "ada", "2001:db9::1", false, nil),
            ("x", "eve", "1.2.3.4", true, 8), ("x", "eve", "1.2.3.4", false, 9),
            ("x", "bob", "172.16.0.1", false, 10), ("x", "a \"b\"", "172.16.0.1", false, 10),
            ("x", "bob", "172.16.0.2", false, nil), ("replication", "rep", "1.2.3.4", false, nil),
            ("last", "rep", "fe80::1", false, 12), ("last", "rep", "unix", false, nil),
        ] as [(ByteString, ByteString, String, Bool, Int?)]
    )
    func theFirstRuleThatFits(
        database: ByteString,
        user: ByteString,
        address: String,
        isEncrypted: Bool,
        expected: Int?
    ) throws {
        let found = try line(rules(Self.text), database, user, address, isEncrypted: isEncrypted)
        #expect(found == expected)
    }

    @Test func physicalReplicationNeedsItsWord() throws {
        let login = HBALogin(
            database: "last",
            user: "rep",
            address: .ipv4(1),
            isReplication: true
        )
        #expect(try rules(Self.text).rule(for: login)?.line == 11)
        #expect(try rules("host all all all trust").rule(for: login) == nil)
    }

    /// Nobody gets round a rule by the console's other name.
    @Test func theConsoleHasTwoNames() throws {
        for name in ["pgbouncer", "martlet"] {
            let rules = try rules("local \(name) all reject\nlocal all all trust")
            #expect(try line(rules, "pgbouncer", "ada", "unix") == 1)
            #expect(try line(rules, "martlet", "ada", "unix") == 1)
            #expect(try line(rules, "app", "ada", "unix") == 2)
        }
    }

    @Test func everyMethod() throws {
        let methods: [(String, HBAMethod)] = [
            ("trust", .trust), ("reject", .reject), ("password", .plain), ("plain", .plain),
            ("md5", .md5), ("scram-sha-256", .scramSHA256), ("peer", .peer(map: nil)),
            ("peer map=ops", .peer(map: "ops")), ("peer map=\"a b\"", .peer(map: "a b")),
            ("peer map==", .peer(map: "=")),
        ]
        for (text, method) in methods {
            let rule = try #require(try rules("local all all \(text)").rules.first)
            #expect(rule.method == method)
            #expect(rule.certificateDemand == nil)
        }
    }

    @Test(
        arguments: [
            ("cert", .cert, .name(.commonName, map: nil)),
            ("cert map=ops", .cert, .name(.commonName, map: "ops")),
            ("cert clientcert=verify-full", .cert, .name(.commonName, map: nil)),
            ("cert clientname=DN map=ops", .cert, .name(.distinguishedName, map: "ops")),
            ("cert clientname=DN clientname=CN", .cert, .name(.commonName, map: nil)),
            ("scram-sha-256 clientcert=verify-ca", .scramSHA256, .verified),
            ("scram-sha-256 clientcert=verify-full", .scramSHA256, .name(.commonName, map: nil)),
            ("md5 clientname=DN clientcert=verify-full", .md5, .name(.distinguishedName, map: nil)),
            ("trust clientcert=verify-ca clientname=DN", .trust, .verified),
            ("reject clientcert=verify-ca", .reject, .verified),
            ("trust clientname=CN", .trust, nil),
        ] as [(String, HBAMethod, CertificateDemand?)]
    )
    func whatIsAskedOfCertificates(
        text: String,
        method: HBAMethod,
        demand: CertificateDemand?
    ) throws {
        let rule = try #require(try rules("hostssl all all all \(text)").rules.first)
        #expect(rule.method == method)
        #expect(rule.certificateDemand == demand)
    }

    /// As in PgBouncer.
    @Test func certOnLinesThatTakePlainConnections() throws {
        let rule = try #require(try rules("host all all all cert map=x").rules.first)
        #expect(rule.method == .cert)
        #expect(rule.certificateDemand == .name(.commonName, map: "x"))
    }

    @Test func mapsThatRulesName() throws {
        let rules = try rules(
            """
            local all all peer map=a
            hostssl all all all cert map=b
            hostssl all all all cert map=a
            hostssl all all all cert
            """
        )
        #expect(rules.mapNames.map(\.name) == ["a", "b"])
        #expect(rules.mapNames.map(\.line) == [1, 2])
    }

    @Test func aLineContinuesBehindABackslash() throws {
        let rules = try rules("local all \\\n all trust\nlocal \\\nall all reject")
        #expect(rules.rules.map(\.method) == [.trust, .reject])
        #expect(rules.rules.map(\.line) == [1, 3])
    }

    @Test func carriageReturnsAndEmptyFiles() throws {
        #expect(try rules("").rules.isEmpty)
        #expect(try rules("\r\n# nothing\r\n").rules.isEmpty)
        #expect(try rules("local all all trust\r\n").rules.map(\.method) == [.trust])
    }

    @Test func namesFromFiles() throws {
        let rules = try rules(
            "local @dbs @/abs/users trust",
            files: [
                "/etc/pool/dbs": "one, two # comment\nthree\n@more",
                "/etc/pool/more": "\"@four\"",
                "/abs/users": "all",
            ]
        )
        for database in ["one", "two", "three", "@four"] as [ByteString] {
            #expect(try line(rules, database, "x", "unix") == 1)
        }
        #expect(try line(rules, "five", "x", "unix") == nil)
    }

    @Test(arguments: [
        ("lokal all all trust", "hba.conf:1: expected local, host, hostssl or hostnossl"),
        ("\n\nhost all all trust", ":3: expected an address such as"),
        ("host all all 10.0.0.0 trust", ":1: expected a mask behind 10.0.0.0"),
        ("host all all 10.0.0.0/33 trust", "the mask of \"10.0.0.0/33\" is none"),
        ("host all all 10.0.0/8 trust", "expected an address"),
        ("host all all ::1/129 trust", "is none"),
        ("host all all ::1 255.0.0.0 trust", "expected a mask behind ::1"),
        ("host all all db.example.com trust", "expected an address"),
        ("host all all samenet trust", "samenet is not supported"),
        ("local all", "expected a user, found the end of the line"),
        ("local all all", "expected a method, found the end of the line"),
        ("local all all ident", "expected trust, reject, password"),
        ("local all all cert", "cert authentication is only supported on hostssl connections"),
        ("hostnossl all all all cert", "only supported on hostssl connections"),
        (
            "hostssl all all all cert clientcert=verify-ca",
            "clientcert only accepts \"verify-full\""
        ),
        ("hostssl all all all md5 clientcert=1", "invalid value for clientcert: \"1\""),
        ("hostssl all all all md5 clientcert=", "invalid value for clientcert: \"\""),
        ("hostssl all all all md5 clientcert", "option \"clientcert\" is not one of method md5"),
        ("hostssl all all all cert clientname=cn", "invalid value for clientname: \"cn\""),
        ("hostssl all all all cert clientname=CN,DN", "option \"clientname=CN\""),
        (
            "host all all all md5 clientcert=verify-ca",
            "can only be configured for \"hostssl\" rows"
        ),
        ("local all all md5 clientname=CN", "clientname can only be configured for \"hostssl\""),
        ("hostssl all all all md5 map=x", "option \"map=x\" is not one of method md5"),
        ("hostssl all all all cert =map=x", "option \"=map=x\" is not one of method cert"),
        ("local all all ldap ldapserver=x", "Martlet has no ldap"),
        ("local all all pam", "Martlet has no pam"),
        ("local all all trust map=x", "option \"map=x\" is not one of method trust"),
        ("local all all peer map=", "option \"map=\""),
        ("local all +staff trust", "\"+staff\" is not supported"),
        ("local +staff all trust", "\"+staff\" is not supported"),
        ("local samerole all trust", "samerole is not supported"),
        ("local all, all trust x", "expected trust"),
        ("local all \"x trust", "a quote is not closed"),
        ("local all a,,b trust", "unexpected comma"),
        (", all", "unexpected comma"),
        ("local all all,", "expected another name behind the comma"),
        ("local @gone all trust", ":1: cannot read /etc/pool/gone: No such file"),
        ("local @loop all trust", "more than 10 files in one another"),
        ("local @role all trust", "/etc/pool/role:2: \"+x\" is not supported"),
    ])
    func whatIsWrongIsNamed(text: String, expected: String) {
        let files = ["/etc/pool/loop": "@loop", "/etc/pool/role": "\n+x"]
        let error = error(text, files: files) ?? ""
        #expect(error.contains(expected), "\(error)")
    }

    @Test(
        arguments: [
            ("1.2.3.4", true), ("0.0.0.0", true), ("255.255.255.255", true), ("1.2.3", false),
            ("1.2.3.256", false), ("1.2.3.4.5", false), ("1.2.3.", false), ("1.2.3.-4", false),
            ("::", true), ("::1", true), ("1::", true), ("1:2:3:4:5:6:7:8", true),
            ("1:2:3:4:5:6:7::", true), ("1:2:3:4:5:6:7", false), ("1:2:3:4:5:6:7:8:9", false),
            ("1::2::3", false), (":1", false), ("1:", false), (":::", false), ("12345::", false),
            ("g::", false), ("::1.2.3.4", true), ("1:2:3:4:5:6:1.2.3.4", true),
            ("1.2.3.4::", false), ("", false), ("::1%eth0", false),
        ] as [(ByteString, Bool)]
    )
    func addresses(text: ByteString, isOne: Bool) {
        #expect((PeerAddress(parsing: text) != nil) == isOne)
    }

    @Test func addressesAreReadByTheirBytes() {
        #expect(PeerAddress(parsing: "1.2.3.4") == .ipv4(0x0102_0304))
        #expect(
            PeerAddress(parsing: "2001:db8::ff:1.2.3.4")
                == .ipv6(high: 0x2001_0db8_0000_0000, low: 0x0000_00ff_0102_0304)
        )
    }

    /// No text makes the parser trap, and what it takes it can match.
    @Test func anyTextIsReadOrRefused() throws {
        var random = SplitMix(seed: 7)
        let words = [
            "local", "host", "all", ",", "\"", "@x", "+", "10.0.0.0/8", "::/0", "trust", "peer",
            "map=", "hostssl", "cert", "clientcert=", "verify-full", "clientname=CN", "\\\n", "\n",
            "#", " ", "/", "1.2.3.4", "255.0.0.0", "\u{0}", "é",
        ]
        var readCount = 0
        for _ in 0..<3_000 {
            var text = ""
            for _ in 0..<Int.random(in: 0..<12, using: &random) {
                text += words.randomElement(using: &random) ?? ""
                if Bool.random(using: &random) { text += " " }
            }
            guard let rules = try? rules(text) else { continue }
            readCount += 1
            _ = try line(rules, "a", "b", "10.0.0.1")
        }
        #expect(readCount > 0)
    }
}
