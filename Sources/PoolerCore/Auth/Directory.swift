// Who may log in, and with what proof: the users of the configuration and of auth_file, and what
// deriving their SCRAM secrets cost once.

public import Digests
public import PostgresWire

/// The users that the pooler knows.
public struct Directory: Sendable {
    /// The configuration in effect.
    public private(set) var configuration: Configuration
    public let seed: SecretSeed
    /// 32 random bytes, the same for the life of the process.
    public let seedKey: Digest32
    private let secrets: [ByteString: StoredSecret]
    private var derivedSecrets: [ByteString: DerivedSecret] = [:]

    /// - Parameters:
    ///   - users: the contents of auth_file.
    ///   - seedKey: 32 random bytes, the same for the life of the process.
    public init(configuration: Configuration, users: UserList, seedKey: Digest32) {
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
    public mutating func replace(_ configuration: Configuration) {
        self.configuration = configuration
    }

    /// Takes over what was derived before a reload, for the users whose secret has not changed.
    public mutating func keepDerivedSecrets(of old: Directory) {
        derivedSecrets = old.derivedSecrets.filter { user, derived in
            guard case .plain(let password) = secrets[user] else { return false }
            return derived.isCurrent(password: password, seed: seed)
        }
    }

    /// What is asked of a client, and the line of auth_hba_file that says so.
    public func admission(of login: HBALogin) -> (Admission, line: Int?) {
        configuration.admission(of: login)
    }

    /// What auth_file has for a user; nil for unknown users.
    public func secret(of user: ByteString) -> StoredSecret? { secrets[user] }

    /// What to ask for the secret of a user; nil for those whom auth_file has, and where nobody is asked.
    public func secretLookup(database: ByteString, user: ByteString) -> SecretLookup? {
        secrets[user] == nil ? configuration.secretLookup(database: database, user: user) : nil
    }

    /// The number of users in auth_file.
    public var userNames: [ByteString] { secrets.keys.sorted() }

    /// Whether client_idle_timeout is set for anybody.
    public var hasIdleTimeouts: Bool {
        configuration.settings.clientIdleTimeout > 0
            || configuration.users.values.contains { ($0.overrides.clientIdleTimeout ?? 0) > 0 }
    }

    /// The SCRAM secret derived at an earlier login of the user.
    public func derivedSecret(of user: ByteString) -> DerivedSecret? { derivedSecrets[user] }

    /// Keeps what a login derived.
    public mutating func keep(_ secret: DerivedSecret, of user: ByteString) {
        derivedSecrets[user] = secret
    }
}
