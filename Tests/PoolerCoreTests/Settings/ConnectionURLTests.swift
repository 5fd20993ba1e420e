import PoolerCore
import PostgresWire
import Testing

@Suite struct ConnectionURLTests {
    private func shape(_ text: String) throws(ConfigurationError) -> String {
        let url = try ConnectionURL(text, defaultUser: "me")
        return
            "\(url.user) \(url.password.map(\.text) ?? "-") \(url.host) \(url.port) \(url.database)"
    }

    @Test(arguments: [
        ("postgres://u:p@h:1/d", "u p h 1 d"),
        ("postgresql://u:p@h/d", "u p h 5432 d"),
        ("postgres://u:p@h", "u p h 5432 u"),
        ("postgres://u:p@h/", "u p h 5432 u"),
        ("postgres://u:p@/d", "u p localhost 5432 d"),
        ("postgres://u@h/d", "u - h 5432 d"),
        ("postgres://u:@h/d", "u - h 5432 d"),
        ("postgres://h/d", "me - h 5432 d"),
        ("postgres://", "me - localhost 5432 me"),
        ("postgres://u:p@:77/d", "u p localhost 77 d"),
        ("postgres://u:p@[::1]:77/d", "u p ::1 77 d"),
        ("postgres://u:p@[fe80::1%25eth0]/d", "u p fe80::1%eth0 5432 d"),
        ("postgres://u%40x:p%3A%2F%40@h/a%20b", "u@x p:/@ h 5432 a b"),
        ("postgres://u:p@q@h/d", "u p@q h 5432 d"),
        ("postgres://u:p:q@h/d", "u p:q h 5432 d"),
        ("postgres://u:p@%2Fvar%2Frun/d", "u p /var/run 5432 d"),
        ("postgres://u:p@/d?host=/var/run&port=7", "u p /var/run 7 d"),
        ("postgres://h?user=u&password=p&dbname=d", "u p h 5432 d"),
        (
            "postgres://u:p@h?sslmode=prefer&channel_binding=prefer&gssencmode=disable",
            "u p h 5432 u"
        ),
        ("postgres://u:p@h/d?&", "u p h 5432 d"),
    ])
    func readsItsParts(_ text: String, _ expected: String) throws {
        #expect(try shape(text) == expected)
    }

    @Test(arguments: [
        ("http://x", "expected postgres://user:password@host:port/database"),
        ("postgres://u:secret@h:0/d", "port: expected a whole number from 1 to 65535, found \"0\""),
        ("postgres://u:secret@h:x/d", "port: expected a whole number from 1 to 65535, found \"x\""),
        ("postgres://u:secret%zz@h", "password: expected \"%\" and two hexadecimal digits, not 00"),
        ("postgres://u:secret%0@h", "password: expected \"%\" and two hexadecimal digits, not 00"),
        (
            "postgres://u:p@h/%00",
            "database name: expected \"%\" and two hexadecimal digits, not 00"
        ),
        ("postgres://u:p@h,i/d", "several hosts in a URL are not supported yet"),
        ("postgres://u:p@[::1]x/d", "expected \":\" and a port after the address in brackets"),
        (
            "postgres://u:p@h?sslmod=x",
            "parameter \"sslmod\" is not supported; did you mean \"sslmode\"?"
        ),
        ("postgres://u:p@h?options=x", "parameter \"options\" is not supported"),
        ("postgres://u:p@h?port", "parameter \"port\" has no value"),
        (
            "postgres://u:p@h?connect_timeout=soon",
            "connect_timeout: expected a number of seconds from 0 to 10000000000, such as 15 or 1.5 "
                + "without a unit, found \"soon\""
        ),
        ("postgres://u:p@h/pgbouncer", "database name \"pgbouncer\" is reserved for the console"),
        (
            "postgres://u@/d?host=/tmp",
            "expected a password: a Unix socket tells users apart, which a pooler without passwords "
                + "cannot"
        ),
    ])
    func saysWhatIsWrongWithoutThePassword(_ text: String, _ message: String) {
        #expect(throws: ConfigurationError(file: "connection URL", message: message)) {
            try ConnectionURL(text)
        }
    }

    @Test func aUserIsNeeded() {
        #expect(
            throws: ConfigurationError(
                file: "connection URL",
                message: "expected a user name: postgres://user:password@host:port/database"
            )
        ) {
            try ConnectionURL("postgres://h/d")
        }
    }

    @Test func poolsThatDatabase() throws {
        let configuration = try ConnectionURL(
            "postgres://u:p@h:1/d?connect_timeout=3&application_name=a%20b"
        ).configuration()
        var entry = DatabaseEntry(name: "d")
        entry.hosts = ["h"]
        entry.port = 1
        entry.applicationName = "a b"
        #expect(configuration.databases == ["d": entry])
        #expect(configuration.wildcardDatabase == nil)
        #expect(configuration.inlineUsers.secrets == ["u": "p"])
        var settings = Settings()
        settings.adminUsers = ["u"]
        settings.serverConnectTimeout = .seconds(3)
        #expect(configuration.settings == settings)
        #expect(settings.listenAddr == ["127.0.0.1"])
        #expect(settings.listenPort == 6543)
        #expect(settings.authType == .scramSHA256)
    }

    @Test func withoutAPasswordBothSidesTrust() throws {
        let configuration = try ConnectionURL("postgres://u@h/d").configuration()
        #expect(configuration.settings.authType == .trust)
        #expect(configuration.inlineUsers.secrets == ["u": ""])
    }

    @Test func recognisesURLs() {
        #expect(ConnectionURL.isURL("postgres://x"))
        #expect(ConnectionURL.isURL("postgresql://x"))
        #expect(!ConnectionURL.isURL("postgres.ini"))
        #expect(!ConnectionURL.isURL("/etc/pooler.ini"))
    }
}
