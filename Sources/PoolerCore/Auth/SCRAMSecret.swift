// The two halves of SCRAM-SHA-256 knowledge: a secret verifies a login, keys perform one. The keys
// come from a password, or from a client's proof that a secret has verified; in both cases they
// belong to one salt and iteration count.
//
// Source: RFC 5802, section 3, and RFC 5803 for the stored form.

public import Digests
public import PostgresWire

/// What auth_file stores to verify a SCRAM login: `SCRAM-SHA-256$i:salt$StoredKey:ServerKey`.
public struct SCRAMSecret: Equatable, Sendable, Redacted {
    public let iterations: Int
    public let salt: [UInt8]
    public let storedKey: Digest32
    public let serverKey: Digest32
    /// What a client needs to make its proof, as it ends the server-first-message: `,s=<salt>,i=<count>`.
    let challenge: [UInt8]

    public init(iterations: Int, salt: [UInt8], storedKey: Digest32, serverKey: Digest32) {
        self.iterations = iterations
        self.salt = salt
        self.storedKey = storedKey
        self.serverKey = serverKey
        var challenge = Array(",s=".utf8)
        challenge += Base64.encode(salt)
        challenge += Array(",i=\(iterations)".utf8)
        self.challenge = challenge
    }

    /// Reads the stored form; nil when it is not one, or its iteration count is not in 1...2^31-1.
    public init?(parsing text: ByteString) {
        let parts = text.bytes.split(
            separator: UInt8(ascii: "$"),
            maxSplits: 3,
            omittingEmptySubsequences: false
        )
        guard parts.count == 3, Array(parts[0]) == Array(Self.scheme.utf8) else { return nil }
        let work = parts[1].split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        let keys = parts[2].split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard
            work.count == 2, keys.count == 2,
            let iterations = decimalNumber(work[0]), iterations >= 1,
            let salt = Base64.decode(work[1]), !salt.isEmpty,
            let storedKey = Base64.decode(keys[0]).flatMap({ Digest32($0) }),
            let serverKey = Base64.decode(keys[1]).flatMap({ Digest32($0) })
        else { return nil }
        self.init(iterations: iterations, salt: salt, storedKey: storedKey, serverKey: serverKey)
    }

    /// Makes the secret of `password`.
    ///
    /// This takes `iterations` HMACs: about a millisecond for 4,096,
    /// so the caller keeps the result.
    ///
    /// - Throws: `DigestError` when OpenSSL fails or `iterations` is not positive.
    public static func derive(
        password: ByteString,
        salt: [UInt8],
        iterations: Int
    ) throws(DigestError) -> SCRAMSecret {
        try SCRAMKeys.derive(password: password, salt: salt, iterations: iterations).secret
    }

    /// The secret as auth_file and pg_authid hold it.
    public var text: ByteString {
        var bytes = Array("\(Self.scheme)$\(iterations):".utf8)
        bytes += Base64.encode(salt)
        bytes += "$".utf8
        bytes += Base64.encode(storedKey.bytes)
        bytes += ":".utf8
        bytes += Base64.encode(serverKey.bytes)
        return ByteString(bytes)
    }

    /// Whether this is the secret of `password`.
    ///
    /// As slow as `derive`.
    ///
    /// - Throws: `DigestError` when OpenSSL fails.
    public func matches(password: ByteString) throws(DigestError) -> Bool {
        let derived = try Self.derive(password: password, salt: salt, iterations: iterations)
        return derived.serverKey == serverKey
    }

    /// How the stored form starts; also the name of the SASL mechanism.
    public static let scheme = "SCRAM-SHA-256"
}

/// What performs a SCRAM login, without the password.
///
/// Good for one salt and iteration count.
public struct SCRAMKeys: Equatable, Sendable, Redacted {
    public let clientKey: Digest32
    public let storedKey: Digest32
    public let serverKey: Digest32
    public let salt: [UInt8]
    public let iterations: Int

    public init(
        clientKey: Digest32,
        storedKey: Digest32,
        serverKey: Digest32,
        salt: [UInt8],
        iterations: Int
    ) {
        self.clientKey = clientKey
        self.storedKey = storedKey
        self.serverKey = serverKey
        self.salt = salt
        self.iterations = iterations
    }

    /// Makes the keys of `password`.
    ///
    /// As slow as `SCRAMSecret.derive`.
    ///
    /// - Throws: `DigestError` when OpenSSL fails or `iterations` is not positive.
    public static func derive(
        password: ByteString,
        salt: [UInt8],
        iterations: Int
    ) throws(DigestError) -> SCRAMKeys {
        let saltedPassword = try PBKDF2.deriveKey(
            password: SASLprep.prepare(password.bytes),
            salt: salt,
            iterations: iterations
        )
        let clientKey = try HMACSHA256.authenticate(
            Array("Client Key".utf8),
            key: saltedPassword
        )
        return SCRAMKeys(
            clientKey: clientKey,
            storedKey: try SHA256.hash(clientKey),
            serverKey: try HMACSHA256.authenticate(
                Array("Server Key".utf8),
                key: saltedPassword
            ),
            salt: salt,
            iterations: iterations
        )
    }

    /// The secret that verifies logins with these keys.
    public var secret: SCRAMSecret {
        SCRAMSecret(
            iterations: iterations,
            salt: salt,
            storedKey: storedKey,
            serverKey: serverKey
        )
    }
}

/// Reads a number of decimal digits up to 2^31-1; nil for signs, spaces, or anything else.
func decimalNumber(_ digits: some Collection<UInt8>) -> Int? {
    guard !digits.isEmpty, digits.count <= 10 else { return nil }
    var number = 0
    for digit in digits {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
        number = number * 10 + Int(digit - UInt8(ascii: "0"))
    }
    return number <= Int(Int32.max) ? number : nil
}
