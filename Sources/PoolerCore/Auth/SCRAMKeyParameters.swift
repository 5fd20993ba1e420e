// What SCRAM's slow step starts from. The machines of a login say that keys are needed, and are told
// them: where they come from, a cache or a thread that derives them, is not their business.

internal import Digests
public import PostgresWire

/// Names a derivation: equal parameters give equal keys.
public struct SCRAMKeyParameters: Hashable, Sendable, Redacted {
    public let password: ByteString
    public let salt: [UInt8]
    public let iterations: Int

    public init(password: ByteString, salt: [UInt8], iterations: Int) {
        self.password = password
        self.salt = salt
        self.iterations = iterations
    }

    /// Derives the keys.
    ///
    /// The time grows with `iterations`: 4,096 take about a millisecond.
    ///
    /// - Returns: nil when OpenSSL fails or `iterations` is not positive.
    public func derive() -> SCRAMKeys? {
        try? SCRAMKeys.derive(password: password, salt: salt, iterations: iterations)
    }
}

/// Keys together with the plain password that they were made of, kept from login to login.
///
/// They stand for that password, salt and iteration count only.
public struct DerivedKeys: Equatable, Sendable, Redacted {
    let password: ByteString
    public let keys: SCRAMKeys

    init(password: ByteString, keys: SCRAMKeys) {
        self.password = password
        self.keys = keys
    }

    /// Whether these are the keys that `parameters` lead to.
    func fit(_ parameters: SCRAMKeyParameters) -> Bool {
        password == parameters.password && keys.salt == parameters.salt
            && keys.iterations == parameters.iterations
    }
}
