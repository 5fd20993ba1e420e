// Passwords that are more than ASCII: the pooler hashes them as PostgreSQL does.

import Testing

@Suite struct PasswordFormTests {
    static let passwords = [
        "Zażółć", "пароль", "pass\u{A0}word", "e\u{301}te\u{301}", "ﬁx½²", "\u{AD}x", "Ｐｗ１２",
        "I\u{2168}", "\u{212B}ngstro\u{308}m", "a\u{1F511}b", "\u{5D0}\u{5D1}", "\u{5D0}a", "ﷺ",
        "q\u{307}\u{323}", "한\u{1112}\u{1161}\u{11AB}", "\u{3000}", "é\u{7}", "…", "x\u{200D}y",
    ]

    private static func makeRoles(_ prefix: String) throws -> [(name: String, secret: String)] {
        let connection = try PostgresServer.shared.get().superuser()
        defer { connection.close() }
        return try passwords.enumerated().map { index, password in
            let name = "\(prefix)\(index)"
            try connection.query("create role \(name) login password '\(password)'")
            let query = "select rolpassword from pg_authid where rolname = '\(name)'"
            return (name, try connection.value(query) ?? "")
        }
    }

    /// In clear, against PostgreSQL's own secret: the pooler derives.
    @Test func asPostgreSQLHasHashedThem() throws {
        let roles = try Self.makeRoles("form_clear")
        let secrets = Dictionary(uniqueKeysWithValues: roles.map { ($0.name, $0.secret) })
        try withPooler(["auth_type": "plain"], secrets: secrets) { pooler in
            for (role, password) in zip(roles, Self.passwords) {
                let client = try pooler.connect(user: role.name, ["password": password])
                try #expect(client.value("select current_user") == role.name)
            }
        }
    }

    /// By SCRAM with a plain secret: both sides derive, and then the pooler's server does.
    @Test func asClientsHashThem() throws {
        let roles = try Self.makeRoles("form_scram")
        let secrets = Dictionary(
            uniqueKeysWithValues: zip(roles, Self.passwords).map { ($0.name, $1) }
        )
        try withPooler(["auth_type": "scram-sha-256"], secrets: secrets) { pooler in
            for (role, password) in zip(roles, Self.passwords) {
                let client = try pooler.connect(user: role.name, ["password": password])
                try #expect(client.value("select current_user") == role.name)
            }
        }
    }
}
