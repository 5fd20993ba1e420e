import Digests
import PoolerCore
import PostgresWire
import Testing

@Suite struct DirectoryTests {
    @Test func knowsTheUsersOfAuthFile() throws {
        let directory = try Self.directory(users: "\"ada\" \"pencil\"\n\"bob\" \"\"\n")
        #expect(directory.userNames == ["ada", "bob"])
        #expect(directory.secret(of: "ada") == .plain("pencil"))
        #expect(directory.secret(of: "bob") == .unusable)
        #expect(directory.secret(of: "eve") == nil)
    }

    /// The user of a connection URL is known without an auth_file, which goes before it.
    @Test func knowsTheUsersOfTheConfiguration() throws {
        var configuration = Configuration()
        configuration.inlineUsers.add("url", secret: "one")
        configuration.inlineUsers.add("ada", secret: "two")
        let directory = try Self.directory(configuration, users: "\"ada\" \"pencil\"\n")
        #expect(directory.secret(of: "url") == .plain("one"))
        #expect(directory.secret(of: "ada") == .plain("pencil"))
    }

    @Test func unknownUsersLookLikeMostKnownOnes() throws {
        #expect(try Self.directory(users: "").seed.unknownUserKind == .scram)
        let plain = try Self.directory(users: "\"a\" \"x\"\n\"b\" \"y\"\n")
        #expect(plain.seed.unknownUserKind == .plain)
    }

    @Test func keepsWhatWasDerived() throws {
        var directory = try Self.directory(users: "\"ada\" \"pencil\"\n")
        #expect(directory.derivedSecret(of: "ada") == nil)
        let secret = try #require(try Self.derived(from: directory))
        directory.keep(secret, of: "ada")
        #expect(directory.derivedSecret(of: "ada") == secret)
        #expect(directory.derivedSecret(of: "bob") == nil)
    }

    /// A reload costs nobody a derivation whose password is the same.
    @Test func keepsDerivedSecretsOfUnchangedPasswords() throws {
        var old = try Self.directory(users: "\"ada\" \"pencil\"\n")
        let secret = try #require(try Self.derived(from: old))
        old.keep(secret, of: "ada")
        var more = Configuration()
        more.settings.scramIterations += 1
        for (configuration, users, isKept) in [
            (Configuration(), "\"ada\" \"pencil\"\n\"bob\" \"x\"\n", true),
            (Configuration(), "\"ada\" \"crayon\"\n", false),
            (Configuration(), "\"bob\" \"pencil\"\n", false),
            (more, "\"ada\" \"pencil\"\n", false),
        ] {
            var new = try Self.directory(configuration, users: users)
            new.keepDerivedSecrets(of: old)
            #expect((new.derivedSecret(of: "ada") == secret) == isKept)
        }
    }

    @Test func settingsCanChangeWithoutTheUsers() throws {
        var directory = try Self.directory(users: "\"ada\" \"pencil\"\n")
        var configuration = Configuration()
        configuration.settings.clientIdleTimeout = .seconds(5)
        directory.replace(configuration)
        #expect(directory.configuration == configuration)
        #expect(directory.secret(of: "ada") == .plain("pencil"))
    }

    @Test func idleTimeoutsOfOneUserCount() throws {
        var configuration = Configuration()
        #expect(try !Self.directory(configuration, users: "").hasIdleTimeouts)
        var user = UserEntry(name: "ada")
        user.overrides.clientIdleTimeout = .seconds(1)
        configuration.add(user)
        #expect(try Self.directory(configuration, users: "").hasIdleTimeouts)
        var global = Configuration()
        global.settings.clientIdleTimeout = .seconds(1)
        #expect(try Self.directory(global, users: "").hasIdleTimeouts)
    }

    private static func directory(
        _ configuration: Configuration = Configuration(),
        users: String
    ) throws -> Directory {
        Directory(
            configuration: configuration,
            users: UserList(path: "users.txt", contents: Array(users.utf8)),
            seedKey: try SHA256.hash([1])
        )
    }

    /// What a SCRAM login with a plain secret derives.
    private static func derived(from directory: Directory) throws -> DerivedSecret? {
        let login = ClientAuthentication(
            method: .scramSHA256,
            user: "ada",
            secret: directory.secret(of: "ada"),
            seed: directory.seed,
            nonce: AuthFixtures.poolerNonce,
            md5Salt: AuthFixtures.md5Salt
        )
        var conversation = Conversation(
            client: AuthFixtures.serverLogin(.plain("pencil")),
            pooler: login
        )
        _ = try conversation.run()
        return conversation.pooler.derivedSecret
    }
}
