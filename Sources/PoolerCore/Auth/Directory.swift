// Who may log in, and with what proof: the users of the configuration and of auth_file, and what
// deriving their SCRAM secrets cost once.

package import Digests
package import PostgresWire

/// The users that the pooler knows.
package struct Directory: Sendable {
    /// The configuration in effect.
    package private(set) var configuration: Configuration
    package let seed: SecretSeed
    /// 32 random bytes, the same for the life of the process.
    package let seedKey: Digest32
    private let secrets: [ByteString: StoredSecret]
    private var derivedSecrets: [ByteString: DerivedSecret] = [:]

    /// - Parameters:
    ///   - users: the contents of auth_file.
    ///   - seedKey: 32 random bytes, the same for the life of the process.
    package init(configuration: Configuration, users: UserList, seedKey: Digest32) {
        self.configuration = configuration
        self.seedKey = seedKey
        var secrets: [ByteString: StoredSecret] = [:]
        for list in [configuration.inlineUsers, users] {
            for (name, text) in list.secrets { secrets[name] = StoredSecret(classifying: text) }
        }
        self.secrets = secrets
        seed = SecretSeed(
            key: seedKey,
            iterations: configuration.settings.scramIterations,
            unknownUserKind: SecretSeed.prevailingKind(of: secrets.values)
        )
    }

    /// Puts changed settings into effect; the users stay as they are.
    package mutating func replace(_ configuration: Configuration) {
        self.configuration = configuration
    }

    /// What auth_file has for a user; nil for unknown users.
    package func secret(of user: ByteString) -> StoredSecret? { secrets[user] }

    /// The number of users in auth_file.
    package var userNames: [ByteString] { secrets.keys.sorted() }

    /// Whether client_idle_timeout is set for anybody.
    package var hasIdleTimeouts: Bool {
        configuration.settings.clientIdleTimeout > 0
            || configuration.users.values.contains { ($0.overrides.clientIdleTimeout ?? 0) > 0 }
    }

    /// The SCRAM secret derived at an earlier login of the user.
    package func derivedSecret(of user: ByteString) -> DerivedSecret? { derivedSecrets[user] }

    /// Keeps what a login derived.
    package mutating func keep(_ secret: DerivedSecret, of user: ByteString) {
        derivedSecrets[user] = secret
    }
}
