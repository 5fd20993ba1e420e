import Digests
import PoolerCore
import PostgresWire
import Testing

@Suite struct StoredSecretTests {
    static let scram =
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

    /// The password "pencil", salt and iteration count of RFC 7677.
    @Test func scramSecretIsPostgreSQLs() throws {
        let secret = try #require(SCRAMSecret(parsing: ByteString(Self.scram)))
        #expect(secret.iterations == 4_096)
        #expect(secret.text == ByteString(Self.scram))
        #expect(
            try SCRAMSecret.derive(password: "pencil", salt: secret.salt, iterations: 4_096)
                == secret
        )
        #expect(try secret.matches(password: "pencil"))
        #expect(try !secret.matches(password: "pencil "))
        #expect(StoredSecret(classifying: ByteString(Self.scram)) == .scram(secret))
    }

    @Test func classifies() throws {
        #expect(StoredSecret(classifying: "hunter2") == .plain("hunter2"))
        #expect(StoredSecret(classifying: "") == .unusable)
        #expect(StoredSecret(classifying: "md5") == .plain("md5"))
        let md5 = try MD5Secret(password: "a", user: "b")
        #expect(StoredSecret(classifying: md5.text) == .md5(md5))
        #expect(StoredSecret(classifying: "SCRAM-SHA-25") == .plain("SCRAM-SHA-25"))
        #expect(StoredSecret(classifying: "SCRAM-SHA-256$oops") == .unusable)
    }

    @Test(arguments: [
        "SCRAM-SHA-256", "SCRAM-SHA-256$", "SCRAM-SHA-256$4096", "SCRAM-SHA-1$1:a$b:c",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$a:b",
    ])
    func refusesBrokenSecrets(_ text: String) {
        #expect(SCRAMSecret(parsing: ByteString(text)) == nil)
    }

    @Test(arguments: ["0", "-1", "+1", "", " 1", "4096x", "2147483648", "99999999999999999999"])
    func refusesIterationCounts(_ count: String) {
        let tail = Self.scram.dropFirst("SCRAM-SHA-256$4096".count)
        let text = "SCRAM-SHA-256$\(count)\(tail)"
        #expect(SCRAMSecret(parsing: ByteString(text)) == nil)
    }

    @Test func everyPrefixIsRefused() {
        let bytes = Array(Self.scram.utf8)
        for count in 0..<bytes.count {
            #expect(SCRAMSecret(parsing: ByteString(Array(bytes.prefix(count)))) == nil)
        }
        #expect(SCRAMSecret(parsing: ByteString(bytes + Array("$x".utf8))) == nil)
    }

    @Test func unusualKeyLengthsAreRefused() {
        let short = Base64.encode([1, 2, 3])
        let text = Array("SCRAM-SHA-256$1:AAAA$".utf8) + short + [UInt8(ascii: ":")] + short
        #expect(SCRAMSecret(parsing: ByteString(text)) == nil)
    }

    @Test func credentialsOfAStoredSecret() throws {
        let md5 = try AuthFixtures.md5Secret()
        #expect(Credentials(.plain("x")) == .plain("x"))
        #expect(Credentials(.md5(md5)) == .md5(md5))
        #expect(try Credentials(.scram(AuthFixtures.scramSecret())) == .none)
        #expect(Credentials(.unusable) == .none)
    }

    @Test func secretsAreNeverPrinted() throws {
        let md5 = try AuthFixtures.md5Secret()
        let scram = try AuthFixtures.scramSecret()
        let login = AuthFixtures.serverLogin(.plain("letmein"))
        let values: [Any] = [
            StoredSecret.plain("letmein"), StoredSecret.md5(md5), StoredSecret.scram(scram),
            Credentials.plain("letmein"), md5, scram, login,
            ServerAuthentication.Action.send(Array("letmein".utf8)),
            ClientAuthentication.Action.succeeded(.plain("letmein"), reply: []),
            try AuthFixtures.clientLogin(.plain, .plain("letmein")),
            try AuthFixtures.seed(),
        ]
        let hidden: [String] = [
            "letmein", String(md5.text.text.dropFirst(3)), String(scram.text.text.suffix(20)),
            "108, 101",
        ]
        for value in values {
            var dumped = ""
            dump(value, to: &dumped)
            for text in ["\(value)", String(reflecting: value), "\([value])", dumped] {
                for secret in hidden { #expect(!text.contains(secret)) }
            }
        }
    }
}
