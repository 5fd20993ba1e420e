// How clients prove who they are: every auth_type against every kind of stored secret.

import Testing

/// What may stand in auth_file for a user.
enum StoredSecret: String, CaseIterable {
    case plain, md5, scram

    /// PostgreSQL's own secret for the user, so that both sides agree on the format.
    func secret(of user: String) throws -> String {
        let password = PostgresServer.password(of: user)
        if self == .plain { return password }
        let connection = try PostgresServer.shared.get().superuser()
        defer { connection.close() }
        let method = self == .md5 ? "md5" : "scram-sha-256"
        // Rolled back: the role itself never changes. One test at a time may try.
        try connection.query("begin; select pg_advisory_xact_lock(6543)")
        try connection.query("set local password_encryption = '\(method)'")
        try connection.query("alter role \(user) password '\(password)'")
        let secret = try connection.value(
            "select rolpassword from pg_authid where rolname = '\(user)'"
        )
        try connection.query("rollback")
        return secret ?? ""
    }
}

@Suite struct ClientAuthenticationTests {
    /// Pairs that can work; md5 asks for SCRAM where the secret is a SCRAM one.
    static let working: [(String, StoredSecret)] = [
        ("trust", .plain), ("trust", .md5), ("trust", .scram),
        ("plain", .plain), ("plain", .md5), ("plain", .scram),
        ("md5", .plain), ("md5", .md5), ("md5", .scram),
        ("scram-sha-256", .plain), ("scram-sha-256", .scram),
    ]

    /// The server side has its own user and password here, so that only the client's login counts.
    private static func databases() throws -> [String: String] {
        ["app": "user=clear password=\(PostgresServer.password(of: "clear"))"]
    }

    @Test(arguments: working)
    func theRightPassword(type: String, stored: StoredSecret) throws {
        let secrets = ["app": try stored.secret(of: "app")]
        try withPooler(["auth_type": type], databases: Self.databases(), secrets: secrets) {
            pooler in
            try #expect(pooler.connect().value("select 1") == "1")
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    @Test(arguments: working.filter { $0.0 != "trust" })
    func theWrongPassword(type: String, stored: StoredSecret) throws {
        let secrets = ["app": try stored.secret(of: "app")]
        try withPooler(["auth_type": type], databases: Self.databases(), secrets: secrets) {
            pooler in
            let scram = type == "scram-sha-256" || (type == "md5" && stored == .scram)
            let words = scram ? "SASL authentication failed" : "password authentication failed"
            for password in ["wrong", "app-secre", "app-secret2", "App-secret"] {
                let failure = try pooler.loginFailure(["password": password]) ?? ""
                #expect(failure.contains("FATAL:  08P01: \(words)"), "\(failure)")
            }
            try #expect(pooler.loginFailure(["password": ""]) != nil)
            try #expect(pooler.connect().value("select 1") == "1")
            #expect(!pooler.log.contains("app-secre"))
        }
    }

    @Test func scramWithAnMD5SecretCannotWork() throws {
        let secrets = ["app": try StoredSecret.md5.secret(of: "app")]
        try withPooler(
            ["auth_type": "scram-sha-256"],
            databases: Self.databases(),
            secrets: secrets
        ) { pooler in
            let failure = try pooler.loginFailure() ?? ""
            #expect(failure.contains("08P01: SASL authentication failed"))
        }
    }

    /// An unknown user is asked the same questions and refused with the same words.
    @Test(arguments: ["plain", "md5", "scram-sha-256"])
    func anUnknownUserLooksLikeAKnownOne(type: String) throws {
        try withPooler(["auth_type": type]) { pooler in
            let texts = try ["app", "nobody"].map { user in
                try pooler.loginFailure(user: user, ["password": "wrong"])?
                    .split(separator: "FATAL:").last.map(String.init)
            }
            #expect(texts[0] != nil)
            #expect(texts[0] == texts[1])
            let questions = try ["app", "nobody"].map { user in
                let client = try pooler.rawConnect()
                try client.send(Frontend.startup([("user", user), ("database", "app")]))
                let message = try client.receive()
                return WireMessage(type: message.type, body: Array(message.body.prefix(4)))
            }
            #expect(questions[0] == questions[1])
        }
    }

    /// A SCRAM exchange shows an unknown user the same salt and iterations each time, as it would
    /// for a user that exists.
    @Test func anUnknownUserHasASteadySalt() throws {
        try withPooler(["auth_type": "scram-sha-256"]) { pooler in
            let salts = try (0..<2).map { _ in
                let client = try pooler.rawConnect()
                try client.send(Frontend.startup([("user", "nobody"), ("database", "app")]))
                try #expect(client.receive().type == "R")
                let first = Array("n,,n=,r=abcdefghijklmnopqr".utf8)
                try client.send(
                    Frontend.message(
                        "p",
                        Frontend.string("SCRAM-SHA-256") + Frontend.integer(first.count) + first
                    )
                )
                let answer = try client.receive()
                let text = String(decoding: answer.body.dropFirst(4), as: UTF8.self)
                return text.split(separator: ",").dropFirst().joined(separator: ",")
            }
            #expect(salts[0].hasPrefix("s="))
            #expect(salts[0].hasSuffix("i=4096"))
            #expect(salts[0] == salts[1])
        }
    }

    @Test func trustStillNeedsAKnownUser() throws {
        try withPooler { pooler in
            let failure = try pooler.loginFailure(user: "nobody") ?? ""
            #expect(failure.contains(#"FATAL:  08P01: "trust" authentication failed"#))
        }
    }

    @Test func anyLetsEverybodyIn() throws {
        try withPooler(["auth_type": "any"], databases: Self.databases(), secrets: [:]) { pooler in
            let client = try pooler.connect(user: "whoever")
            try #expect(client.value("select current_user") == "clear")
        }
    }

    /// The database is checked after the password, so that strangers learn nothing.
    @Test func anUnknownDatabaseAfterAuthentication() throws {
        try withPooler(["auth_type": "scram-sha-256"]) { pooler in
            let wrong = try pooler.loginFailure(database: "nowhere", ["password": "wrong"]) ?? ""
            #expect(wrong.contains("SASL authentication failed"))
            let right = try pooler.loginFailure(database: "nowhere") ?? ""
            #expect(right.contains("FATAL:  08P01: no such database: nowhere"))
        }
    }

    /// What a hostile client may send in place of its SASL messages.
    @Test(arguments: [
        Frontend.message("p"), Frontend.message("p", [0]),
        Frontend.message("p", Frontend.string("SCRAM-SHA-256")),
        Frontend.message("p", Frontend.string("SCRAM-SHA-256") + Frontend.integer(-1)),
        Frontend.message("p", Frontend.string("SCRAM-SHA-256") + Frontend.integer(0x7fff_ffff)),
        Frontend.message("p", Frontend.string("SCRAM-SHA-256-PLUS") + Frontend.integer(0)),
        Frontend.message("p", Frontend.string("MD5") + Frontend.integer(-1)),
        Frontend.message(
            "p",
            Frontend.string("SCRAM-SHA-256") + Frontend.integer(3) + Array("n,,".utf8)
        ),
        Frontend.message(
            "p",
            Frontend.string("SCRAM-SHA-256") + Frontend.integer(9) + Array("y,,n=,r=a".utf8)
        ),
        Frontend.message(
            "p",
            Frontend.string("SCRAM-SHA-256") + Frontend.integer(14) + Array("p=tls,,n=,r=ab".utf8)
        ),
        Frontend.message("p", [UInt8](repeating: 65, count: 60_000)),
        [UInt8(ascii: "p")] + Frontend.integer(0x7fff_ffff),
        [UInt8(ascii: "p")] + Frontend.integer(200_000),
        [UInt8(ascii: "p")] + Frontend.integer(3),
    ])
    func brokenSASLMessages(bytes: [UInt8]) throws {
        try withPooler(["auth_type": "scram-sha-256"]) { pooler in
            let client = try pooler.rawConnect()
            try client.send(Frontend.startup([("user", "app"), ("database", "app")]))
            try #expect(client.receive().type == "R")
            try client.send(bytes)
            client.finishWriting()
            let messages = try client.receiveUntilClosed()
            #expect(!messages.contains { $0.type == "Z" })
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    /// A final message with a wrong or missing part is refused, whatever part it is.
    @Test(arguments: [
        "c=biws", "c=biws,r=NONCE", "c=biws,r=NONCE,p=", "c=biws,r=NONCE,p=AAAA",
        "c=eSws,r=NONCE,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "c=biws,r=other,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "c=biws,r=NONCE,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "c=biws,r=NONCE,p=!!!!", "", ",,,,",
    ])
    func brokenSCRAMFinals(text: String) throws {
        try withPooler(["auth_type": "scram-sha-256"]) { pooler in
            let client = try pooler.rawConnect()
            try client.send(Frontend.startup([("user", "app"), ("database", "app")]))
            try #expect(client.receive().type == "R")
            let first = Array("n,,n=,r=abcdefghijklmnopqr".utf8)
            try client.send(
                Frontend.message(
                    "p",
                    Frontend.string("SCRAM-SHA-256") + Frontend.integer(first.count) + first
                )
            )
            let answer = try client.receive().body.dropFirst(4)
            let nonce = answer.split(separator: UInt8(ascii: ",")).first?.dropFirst(2) ?? []
            let final = text.replacing("NONCE", with: String(decoding: nonce, as: UTF8.self))
            try client.send(Frontend.message("p", Array(final.utf8)))
            #expect(try client.receiveUntilClosed().error?.message == "SASL authentication failed")
        }
    }

    @Test func aUserListReadAgain() throws {
        try withPooler(["auth_type": "scram-sha-256"]) { pooler in
            // What the same startup packet meant before must not count any more.
            for _ in 0..<4 { try #expect(pooler.loginFailure() == nil) }
            try pooler.rewrite { $0.secrets["app"] = "changed" }
            try pooler.console().query("RELOAD")
            let parameters = ["password": "changed"]
            let failure = try pooler.loginFailure(parameters) ?? ""
            // The login itself works; the server still has the old password.
            #expect(failure.contains("28P01") || failure.isEmpty)
            try #expect(pooler.loginFailure()?.contains("SASL authentication failed") == true)
        }
    }
}
