// Other secrets after a RELOAD: clients have to know the new ones, and servers get them.

import Testing

@Suite struct ReloadedSecretTests {
    private static func makeRole(_ name: String) throws {
        try PostgresServer.shared.get().query("create role \(name) login password 'first'")
    }

    /// The role and auth_file get another password, in the form that auth_file is to have.
    private static func change(
        _ pooler: Pooler,
        _ name: String,
        to password: String,
        _ stored: StoredSecret
    ) throws {
        let server = try PostgresServer.shared.get()
        // A login that is still under way would fail, and be right to.
        try eventually("no server is logging in") {
            try pooler.show("POOLS").allSatisfy { $0["sv_login"] == "0" }
        }
        try server.query("alter role \(name) password '\(password)'")
        let verifier = try server.value(
            "select rolpassword from pg_authid where rolname = '\(name)'"
        )
        try pooler.rewrite { $0.secrets[name] = stored == .scram ? verifier : password }
        try pooler.console().query("RELOAD")
    }

    /// A client that is there needs a new server after the change.
    @Test(arguments: [StoredSecret.plain, .scram])
    func serversGetTheNewSecret(stored: StoredSecret) throws {
        let name = "reload_\(stored)"
        try Self.makeRole(name)
        let verifier = try PostgresServer.shared.get().value(
            "select rolpassword from pg_authid where rolname = '\(name)'"
        )
        var secrets = Pooler.secrets
        secrets[name] = stored == .scram ? verifier : "first"
        let settings = ["auth_type": "scram-sha-256", "query_wait_timeout": "20"]
        try withPooler(settings, secrets: secrets) { pooler in
            let client = try pooler.connect(user: name, ["password": "first"])
            try #expect(client.value("select 1") == "1")
            for round in 0..<4 {
                let password = "password\(round)"
                try Self.change(pooler, name, to: password, stored)
                let second = try pooler.connect(user: name, ["password": password])
                // Workers that heard of the change later must not have taken it back.
                try pooler.console().query("RECONNECT")
                try #expect(client.value("select 1") == "1")
                try #expect(second.value("select 1") == "1")
                let old = round == 0 ? "first" : "password\(round - 1)"
                let failure = try pooler.loginFailure(user: name, ["password": old]) ?? ""
                #expect(failure.contains("SASL authentication failed"))
            }
            #expect(!pooler.log.contains("server login failed"), "\(pooler.log)")
        }
    }

    /// Who has begun to log in with the old secret does not bring it back.
    @Test func aLoginThatWasUnderWay() throws {
        try Self.makeRole("reload_late")
        let verifier = try PostgresServer.shared.get().value(
            "select rolpassword from pg_authid where rolname = 'reload_late'"
        )
        var secrets = Pooler.secrets
        secrets["reload_late"] = verifier
        let settings = ["auth_type": "md5", "query_wait_timeout": "20"]
        try withPooler(settings, secrets: secrets) { pooler in
            try #expect(pooler.loginFailure(user: "reload_late", ["password": "first"]) == nil)
            // A plain secret, so that the late client proves itself by its cleartext password.
            let late = try pooler.rawConnect()
            try pooler.rewrite {
                $0.secrets["reload_late"] = "first"
                $0.settings["auth_type"] = "plain"
            }
            try pooler.console().query("RELOAD")
            try late.send(Frontend.startup([("user", "reload_late"), ("database", "app")]))
            try #expect(late.receive().type == "R")
            try Self.change(pooler, "reload_late", to: "second", .plain)
            let early = try pooler.connect(user: "reload_late", ["password": "second"])
            try late.send(Frontend.message("p", Frontend.string("first")))
            _ = try? late.finishLogin()
            try pooler.console().query("RECONNECT")
            try #expect(early.value("select 1") == "1")
        }
    }

    @Test func aForcedUserWithAnotherPassword() throws {
        try Self.makeRole("reload_forced")
        let forced = ["app": "user=reload_forced password=first"]
        try withPooler(databases: forced) { pooler in
            let client = try pooler.connect()
            try #expect(client.value("select current_user") == "reload_forced")
            try PostgresServer.shared.get().query("alter role reload_forced password 'second'")
            try pooler.rewrite {
                $0.databases["app"] = $0.databases["app"]?.replacing("=first", with: "=second")
            }
            try pooler.console().query("RELOAD")
            try pooler.console().query("RECONNECT")
            try #expect(client.value("select current_user") == "reload_forced")
        }
    }
}
