// What made-up SCRAM parameters grow from. The salt shown for a name depends on the name and on a
// key that lives as long as the process: a name shows the same salt at each attempt, whether it
// exists or not, as PostgreSQL does it with its mock authentication nonce.

public import Digests
public import PostgresWire

/// The process-wide source of salts for unknown users and for users with a plain password.
public struct SecretSeed: Sendable, Redacted {
    private let key: Digest32
    /// The iteration count of secrets that are made up: the setting scram_iterations.
    public let iterations: Int
    /// How an unknown user's secret appears to be kept.
    public let unknownUserKind: StoredSecret.Kind

    /// - Parameters:
    ///   - key: random, drawn once at start.
    ///   - iterations: the setting scram_iterations.
    ///   - unknownUserKind: see `prevailingKind(of:)`.
    public init(key: Digest32, iterations: Int, unknownUserKind: StoredSecret.Kind = .scram) {
        self.key = key
        self.iterations = iterations
        self.unknownUserKind = unknownUserKind
    }

    /// The kind that most of `secrets` are kept in, which an unknown user should seem to have;
    /// SCRAM when there are none.
    public static func prevailingKind(of secrets: some Sequence<StoredSecret>) -> StoredSecret.Kind
    {
        var counts: [StoredSecret.Kind: Int] = [:]
        for case let kind? in secrets.lazy.map(\.kind) { counts[kind, default: 0] += 1 }
        let order: [StoredSecret.Kind] = [.scram, .md5, .plain]
        return order.max { counts[$0, default: 0] < counts[$1, default: 0] } ?? .scram
    }

    /// The salt that `user` is shown.
    /// - Throws: `DigestError` when OpenSSL fails.
    public func salt(for user: ByteString) throws(DigestError) -> [UInt8] {
        Array(try digest("salt", of: user).bytes.prefix(Self.saltByteCount))
    }

    /// A secret for `user` that no password matches.
    ///
    /// As cheap as reading a stored one.
    ///
    /// - Throws: `DigestError` when OpenSSL fails.
    public func mockSecret(for user: ByteString) throws(DigestError) -> SCRAMSecret {
        SCRAMSecret(
            iterations: iterations,
            salt: try salt(for: user),
            storedKey: try digest("stored", of: user),
            serverKey: try digest("server", of: user)
        )
    }

    /// What the SCRAM secret of a plain password is made of, with the salt that `user` is shown.
    /// - Throws: `DigestError` when OpenSSL fails.
    public func keyParameters(
        password: ByteString,
        user: ByteString
    ) throws(DigestError) -> SCRAMKeyParameters {
        SCRAMKeyParameters(
            password: password,
            salt: try salt(for: user),
            iterations: iterations
        )
    }

    private func digest(_ purpose: String, of user: ByteString) throws(DigestError) -> Digest32 {
        try HMACSHA256.authenticate(Array(purpose.utf8) + [0] + user.bytes, key: key)
    }

    /// As PostgreSQL makes them.
    private static let saltByteCount = 16
}

/// A SCRAM secret together with the plain password that it was made of, kept from login to login.
///
/// It stands for that password only: after the password or the setting has changed it is not used.
public struct DerivedSecret: Equatable, Sendable, Redacted {
    let password: ByteString
    public let secret: SCRAMSecret

    /// Whether it is still what `password` and `seed` would give.
    func isCurrent(password: ByteString, seed: SecretSeed) -> Bool {
        self.password == password && secret.iterations == seed.iterations
    }
}
