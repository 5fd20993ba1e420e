// How the pooler proves itself to PostgreSQL, with what auth_file or the client gives it.

import Testing

@Suite struct ServerAuthenticationTests {
    /// One user per method of pg_hba.conf, with the plain password in auth_file.
    @Test(arguments: ["trusty", "clear", "md5user", "app"])
    func aPlainSecretFitsEveryMethod(user: String) throws {
        try withPooler { pooler in
            try #expect(pooler.connect(user: user).value("select current_user") == user)
        }
    }

    @Test(arguments: ["trusty", "clear", "md5user", "app"])
    func aForcedUserWithPassword(user: String) throws {
        let forced = "user=\(user) password=\(PostgresServer.password(of: user))"
        try withPooler(databases: ["app": forced], secrets: ["postgres": "x"]) { pooler in
            let client = try pooler.connect(user: "postgres")
            try #expect(client.value("select current_user") == user)
        }
    }

    @Test func anMD5SecretFitsAnMD5Server() throws {
        let secrets = ["md5user": try StoredSecret.md5.secret(of: "md5user")]
        try withPooler(["auth_type": "md5"], secrets: secrets) { pooler in
            try #expect(pooler.connect(user: "md5user").value("select current_user") == "md5user")
        }
    }

    /// The keys that the client's own SCRAM login shows are enough to log in to the server.
    @Test func scramKeysPassThrough() throws {
        let verifier = try PostgresServer.shared.get().value(
            "select rolpassword from pg_authid where rolname = 'app'"
        )
        let settings = ["auth_type": "scram-sha-256", "default_pool_size": "3"]
        try withPooler(settings, secrets: ["app": verifier ?? ""]) { pooler in
            let clients = try pooler.connect(3)
            for client in clients { try client.query("begin") }
            try #expect(clients[2].value("select current_user") == "app")
        }
    }

    /// Without a client that logged in by SCRAM, a SCRAM secret alone opens nothing.
    @Test func aSCRAMSecretWithoutKeys() throws {
        let verifier = try StoredSecret.scram.secret(of: "clear")
        try withPooler(
            ["auth_type": "plain", "query_wait_timeout": "5"],
            secrets: ["clear": verifier]
        ) { pooler in
            let failure = try pooler.loginFailure(user: "clear")
            // plain gives the pooler the password itself; using it is as good as refusing.
            #expect(
                failure == nil
                    || failure?.contains("08P01: server login failed: wrong password type") == true
            )
        }
        let settings = ["auth_type": "scram-sha-256", "query_wait_timeout": "5"]
        try withPooler(settings, secrets: ["clear": verifier]) { pooler in
            let failure = try pooler.loginFailure(user: "clear") ?? ""
            #expect(failure.contains("08P01: server login failed: wrong password type"))
        }
    }

    /// The server's own code and words reach the client, at once.
    @Test(arguments: ["app", "md5user", "clear"])
    func aWrongServerPassword(user: String) throws {
        let forced = "user=\(user) password=wrong"
        try withPooler(databases: ["app": forced]) { pooler in
            let failure = try pooler.loginFailure() ?? ""
            #expect(
                failure.contains(#"28P01: password authentication failed for user "\#(user)""#)
            )
        }
    }

    @Test func aMissingServerRole() throws {
        try withPooler(databases: ["app": "user=nosuchrole password=x"]) { pooler in
            let failure = try pooler.loginFailure() ?? ""
            #expect(
                failure.contains(#"28P01: password authentication failed for user "nosuchrole""#)
            )
        }
    }
}
