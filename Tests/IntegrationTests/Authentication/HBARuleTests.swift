// auth_type = hba: who has to prove what, by database, user and where a client comes from.

import Foundation
import Glibc
import Testing

/// A file of its own for a test.
struct ScratchFile {
    let path: String

    init(_ name: String, _ text: String) throws {
        path = try ScratchDirectory.make("file") + "/" + name
        try write(text)
    }

    func write(_ text: String) throws {
        try text.write(toFile: path, atomically: false, encoding: .utf8)
    }
}

@Suite struct HBARuleTests {
    /// The server side has its own user and password here, so that only the client's login counts.
    private static let databases = [
        "app": "user=clear password=\(PostgresServer.password(of: "clear"))",
        "other": "user=clear password=\(PostgresServer.password(of: "clear"))",
    ]

    private static func withRules(
        _ rules: ScratchFile,
        _ more: [String: String] = [:],
        secrets: [String: String] = Pooler.secrets,
        _ body: (Pooler) throws -> Void
    ) throws {
        let settings = ["auth_type": "hba", "auth_hba_file": rules.path]
        try withPooler(
            settings.merging(more) { $1 },
            databases: databases,
            secrets: secrets,
            body
        )
    }

    /// The user whom this test runs as, for rules about peers.
    private static let systemUser = String(cString: getpwuid(getuid()).pointee.pw_name)

    @Test func theFirstRuleThatFitsDecides() throws {
        let rules = try ScratchFile(
            "hba.conf",
            """
            host  pgbouncer  admin     127.0.0.1/32  trust
            host  app        other     127.0.0.1/32  reject
            host  app        trusty    127.0.0.1/32  trust
            host  app        md5user   127.0.0.1/32  md5
            host  app        clear     127.0.0.1/32  password
            host  app        app       127.0.0.1/32  scram-sha-256
            host  app        all       127.0.0.1/32  peer
            host  other      all       10.0.0.0/8    trust
            local other      other                   trust
            """
        )
        try Self.withRules(rules) { pooler in
            let wrong = ["password": "wrong"]
            try #expect(pooler.loginFailure(user: "trusty", wrong) == nil)
            for user in ["md5user", "clear", "app"] {
                try #expect(pooler.loginFailure(user: user) == nil)
            }
            for (user, database, words) in [
                ("md5user", "app", "password authentication failed"),
                ("clear", "app", "password authentication failed"),
                ("app", "app", "SASL authentication failed"),
                ("other", "app", "login rejected"),
                ("postgres", "app", "unix socket login rejected"),
                ("app", "other", "no authentication method is found"),
                ("stats", "pgbouncer", "no authentication method is found"),
            ] {
                let failure = try pooler.loginFailure(user: user, database: database, wrong) ?? ""
                #expect(failure.contains("FATAL:  08P01: \(words)"), "\(user): \(failure)")
            }
            let local = ["host": pooler.directory]
            try #expect(pooler.loginFailure(user: "other", database: "other", local) == nil)
            let failure = try pooler.loginFailure(user: "app", database: "app", local) ?? ""
            #expect(failure.contains("no authentication method is found"))
            try #expect(pooler.show("CONFIG").contains { $0["value"] == rules.path })
            #expect(pooler.log.contains("pooler error: login rejected"))
        }
    }

    /// The same startup packet can come from anywhere.
    @Test func theAddressCountsEachTime() throws {
        let rules = try ScratchFile(
            "hba.conf",
            "local all all trust\nhost pgbouncer all 127.0.0.1/32 trust\nhost all all all reject"
        )
        try Self.withRules(rules) { pooler in
            for _ in 0..<4 {
                try #expect(pooler.loginFailure(["host": pooler.directory]) == nil)
                let failure = try pooler.loginFailure() ?? ""
                #expect(failure.contains("login rejected"))
            }
        }
    }

    @Test func peersAreUsersOfTheSystem() throws {
        let name = Self.systemUser
        let maps = try ScratchFile(
            "ident.conf",
            """
            ops    \(name)               app
            first  /^(.)\(name.dropFirst())$   \\1_user
            wrong  nobody-\(name)        app
            """
        )
        let rules = try ScratchFile(
            "hba.conf",
            """
            host   all  admin            127.0.0.1/32  trust
            local  all  app              peer map=ops
            local  all  other            peer map=wrong
            local  all  \(name.prefix(1))_user,x_user    peer map=first
            local  all  all              peer
            """
        )
        let initial = "\(name.prefix(1))_user"
        let users = Pooler.secrets.merging([name: "x", initial: "x", "x_user": "x"]) { $1 }
        let settings = ["auth_ident_file": maps.path]
        try Self.withRules(rules, settings, secrets: users) { pooler in
            let local = ["host": pooler.directory, "password": "wrong"]
            for user in ["app", name, initial] {
                try #expect(pooler.loginFailure(user: user, local) == nil, "\(user)")
                try #expect(pooler.loginFailure(user: user, local) == nil, "\(user)")
            }
            for user in ["other", "clear", "x_user", "nobody"] {
                let failure = try pooler.loginFailure(user: user, local) ?? ""
                #expect(failure.contains("08P01: unix socket login rejected"), "\(failure)")
            }
        }
    }

    @Test func aPeerHasToBeKnown() throws {
        let rules = try ScratchFile("hba.conf", "local all all peer")
        try Self.withRules(rules) { pooler in
            let local = ["host": pooler.directory]
            let failure = try pooler.loginFailure(user: Self.systemUser, local) ?? ""
            // Unless the tests run as somebody whom the list of users names.
            let isKnown = Pooler.secrets[Self.systemUser] != nil
            #expect(isKnown || failure.contains("unix socket login rejected"), "\(failure)")
        }
    }

    @Test func rulesAreReadAgain() throws {
        let rules = try ScratchFile(
            "hba.conf",
            "host pgbouncer all 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 trust"
        )
        try Self.withRules(rules) { pooler in
            let console = try pooler.console()
            try #expect(pooler.loginFailure() == nil)
            try rules.write("host pgbouncer all all trust\nhost all all all reject")
            try console.query("RELOAD")
            try #expect(pooler.loginFailure()?.contains("login rejected") == true)
            // What cannot be read changes nothing, not even the lines before it.
            try rules.write("host all all all trust\nhost all all all trusty")
            let error = try #require(try console.execute("RELOAD").error)
            #expect("\(error)".contains("RELOAD failed"), "\(error)")
            let text = "config reload failed, nothing changed: \(rules.path):2: expected trust"
            #expect(pooler.log.contains(text))
            try #expect(pooler.loginFailure()?.contains("login rejected") == true)
            try rules.write("host all all all trust")
            try console.query("RELOAD")
            try #expect(pooler.loginFailure() == nil)
        }
    }

    @Test func theConsoleCanTurnToRules() throws {
        let rules = try ScratchFile("hba.conf", "host all all all reject")
        try withPooler(databases: Self.databases) { pooler in
            let console = try pooler.console()
            try console.query("SET auth_hba_file = '\(rules.path)'")
            try #expect(pooler.loginFailure() == nil)
            try console.query("SET auth_type = hba")
            try #expect(pooler.loginFailure()?.contains("login rejected") == true)
            try rules.write("nonsense")
            let error = try #require(
                try console.execute("SET auth_hba_file = '\(rules.path)'").error
            )
            #expect("\(error)".contains("SET failed"), "\(error)")
            try console.query("SET auth_type = trust")
            try #expect(pooler.loginFailure() == nil)
        }
    }

    @Test(arguments: [
        ("auth_type = ldap", "Martlet has no LDAP"), ("auth_type = pam", "Martlet has no PAM"),
        ("auth_type = cert", "auth_type = cert requires client_tls_sslmode = verify-full"),
        ("auth_ldap_options = ldapserver=x", "Martlet has no LDAP"),
        ("auth_type = hba\nauth_hba_file = /nowhere/hba.conf", "/nowhere/hba.conf: No such file"),
    ])
    func whatMartletDoesNotHave(line: String, words: String) throws {
        let ini = try ScratchFile(
            "pooler.ini",
            "[databases]\napp = host=127.0.0.1\n[pgbouncer]\nlisten_port = 1\n\(line)\n"
        )
        let outcome = try run([Pooler.executable, ini.path])
        #expect(outcome.status == .exited(1))
        #expect(outcome.errors.contains(words), "\(outcome.errors)")
        let setting = line.prefix { $0 != " " }
        #expect(outcome.errors.contains(setting) || line.contains("nowhere"), "\(outcome.errors)")
    }

    @Test func aBrokenFileStopsTheStart() throws {
        let rules = try ScratchFile("hba.conf", "# rules\nhost all all 127.0.0.1 trust\n")
        let ini = try ScratchFile(
            "pooler.ini",
            """
            [databases]
            [pgbouncer]
            listen_port = 1
            auth_type = hba
            auth_hba_file = \(rules.path)
            """
        )
        let outcome = try run([Pooler.executable, ini.path])
        #expect(outcome.status == .exited(1))
        #expect(outcome.errors.contains("\(rules.path):2: "), "\(outcome.errors)")
    }
}
