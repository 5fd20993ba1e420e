import Digests
import PoolerCore
import PostgresWire
import Testing

@Suite struct SecretSeedTests {
    @Test func saltStaysTheSameForAName() throws {
        let seed = try AuthFixtures.seed()
        #expect(try seed.salt(for: "a") == seed.salt(for: "a"))
        #expect(try seed.salt(for: "a") != seed.salt(for: "b"))
        #expect(try seed.salt(for: "a").count == 16)
        let other = SecretSeed(key: try SHA256.hash([2]), iterations: 1)
        #expect(try other.salt(for: "a") != seed.salt(for: "a"))
    }

    @Test func mockSecretHasTheSaltOfTheName() throws {
        let seed = try AuthFixtures.seed()
        let mock = try seed.mockSecret(for: "a")
        #expect(try mock.salt == seed.salt(for: "a"))
        #expect(mock.iterations == AuthFixtures.iterations)
        #expect(mock.storedKey != mock.serverKey)
        #expect(try !mock.matches(password: ""))
    }

    @Test func prevailingKind() throws {
        let secrets = try AuthFixtures.storedSecrets()
        #expect(SecretSeed.prevailingKind(of: []) == .scram)
        #expect(SecretSeed.prevailingKind(of: [.unusable]) == .scram)
        #expect(SecretSeed.prevailingKind(of: secrets + [.plain("a")]) == .plain)
        #expect(SecretSeed.prevailingKind(of: secrets + [secrets[1]]) == .md5)
    }
}
