// The first bytes of a connection: versions, encryption requests, startup parameters.

import Testing

@Suite struct StartupTests {
    private static let known = [("user", "app"), ("database", "app")]

    @Test func encryptionIsRefusedPolitely() throws {
        try withPooler { pooler in
            let client = try pooler.rawConnect()
            try client.send(Frontend.gssEncryption)
            try #expect(client.receiveByte() == "N")
            try client.send(Frontend.ssl)
            try #expect(client.receiveByte() == "N")
            try client.login(user: "app", database: "app")
            try client.send(Frontend.query("select 1"))
            try #expect(client.receiveUntilReady().rows == [["1"]])
        }
    }

    @Test func libpqAsksForEncryptionAndGoesOnWithout() throws {
        try withPooler { pooler in
            try #expect(pooler.connect(["sslmode": "prefer"]).value("select 1") == "1")
            try #expect(pooler.loginFailure(["sslmode": "require"]) != nil)
        }
    }

    /// Newer minor versions and unknown protocol options get the very answer PostgreSQL gives.
    @Test(
        arguments: [
            ((3, 2), []), ((3, 9999), []), ((3, 0), [("_pq_.martlet", "1")]),
            ((3, 2), [("_pq_.a", ""), ("_pq_.b", "x")]),
        ] as [((Int, Int), [(String, String)])]
    )
    func newerProtocolsAreNegotiated(version: (Int, Int), options: [(String, String)]) throws {
        try withPooler(secrets: ["trusty": ""]) { pooler in
            let answers = try [pooler.port, pooler.server.port].map { port in
                let client = try RawClient(port: port)
                defer { client.close() }
                let parameters = [("user", "trusty"), ("database", "app")] + options
                try client.send(Frontend.startup(version: version, parameters))
                let messages = try client.finishLogin()
                try client.send(Frontend.query("select 1"))
                try #expect(client.receiveUntilReady().rows == [["1"]])
                return messages.first { $0.type == "v" }
            }
            #expect(answers[0] != nil)
            #expect(answers[0] == answers[1])
        }
    }

    @Test func anUnsupportedMajorVersion() throws {
        try withPooler { pooler in
            for version in [(2, 0), (4, 0), (0, 0), (65535, 65535)] {
                let client = try pooler.rawConnect()
                try client.send(Frontend.startup(version: version, Self.known))
                #expect(client.isClosed())
            }
            let old = try pooler.rawConnect()
            try old.send(Frontend.startup(version: (2, 0), Self.known))
            try #expect(old.receiveUntilClosed().error?.message == "old V2 protocol not supported")
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    @Test func startupErrors() throws {
        try withPooler { pooler in
            let cases: [([(String, String)], String)] = [
                ([("database", "app")], "no username supplied"),
                ([("user", ""), ("database", "app")], "no username supplied"),
                ([("user", "app"), ("database", "nowhere")], "no such database: nowhere"),
            ]
            for (parameters, message) in cases {
                let client = try pooler.rawConnect()
                try client.send(Frontend.startup(parameters))
                let error = try client.receiveUntilClosed().error
                #expect(error?.severity == "FATAL")
                #expect(error?.sqlstate == "08P01")
                #expect(error?.message == message)
            }
        }
    }

    /// What drivers send unasked is accepted; what PostgreSQL does not know ends in its words.
    @Test func parametersOfDrivers() throws {
        try withPooler { pooler in
            let client = try pooler.rawConnect()
            let parameters = [
                ("extra_float_digits", "3"), ("options", "-c TimeZone=Asia/Tokyo"),
                ("client_encoding", "'UTF-8'"),
            ]
            try client.send(Frontend.startup(Self.known + parameters))
            try client.finishLogin()
            try client.send(Frontend.query("show timezone"))
            try #expect(client.receiveUntilReady().rows == [["Asia/Tokyo"]])

            let unknown = try pooler.rawConnect()
            try unknown.send(Frontend.startup(Self.known + [("no_such_parameter", "1")]))
            try? unknown.send(Frontend.query("select 1"))
            try #expect(unknown.receiveUntilClosed().error?.severity == "FATAL")
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    @Test func aMissingTerminator() throws {
        try withPooler { pooler in
            let client = try pooler.rawConnect()
            let body = Frontend.integer(3 << 16) + Frontend.string("user") + Frontend.string("app")
            try client.send(Frontend.integer(body.count + 4) + body)
            let error = try client.receiveUntilClosed().error
            #expect(
                error?.message == "invalid startup packet layout: expected terminator as last byte"
            )
        }
    }

    /// The database is the user's name where none is given.
    @Test func theDatabaseDefaultsToTheUser() throws {
        try withPooler { pooler in
            let client = try pooler.rawConnect()
            try client.send(Frontend.startup([("user", "app")]))
            try client.finishLogin()
            try client.send(Frontend.query("select current_database()"))
            try #expect(client.receiveUntilReady().rows == [["app"]])
        }
    }

    @Test func theStarDatabase() throws {
        try withPooler(databases: ["*": "port=\(PostgresServer.shared.get().port) host=127.0.0.1"])
        { pooler in
            let client = try pooler.connect(database: "postgres")
            try #expect(client.value("select current_database()") == "postgres")
        }
    }

    @Test func anAliasDatabase() throws {
        try withPooler(databases: ["alias": "dbname=other"]) { pooler in
            let client = try pooler.connect(database: "alias")
            try #expect(client.value("select current_database()") == "other")
        }
    }

    @Test func aUnixSocket() throws {
        try withPooler { pooler in
            let client = try pooler.connect(["host": pooler.directory])
            try #expect(client.value("select 1") == "1")
            let console = try pooler.connect(
                user: "admin",
                database: "pgbouncer",
                ["host": pooler.directory]
            )
            try #expect(console.execute("SHOW VERSION").error == nil)
        }
    }
}
