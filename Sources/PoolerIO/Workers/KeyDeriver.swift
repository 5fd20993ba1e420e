// Derives SCRAM keys beside the event loop, because PBKDF2 takes a millisecond and more.

internal import PoolerCore

/// The keys for some parameters; nil when OpenSSL failed.
struct KeyDerivation: Sendable {
    let parameters: SCRAMKeyParameters
    let keys: SCRAMKeys?
}

/// The thread that derives keys.
typealias KeyDeriver = SideThread<SCRAMKeyParameters, KeyDerivation>

extension KeyDeriver {
    /// Where processors are short, running transactions go before logins.
    static func make() throws(SystemError) -> KeyDeriver {
        try KeyDeriver(niceness: 10) { KeyDerivation(parameters: $0, keys: $0.derive()) }
    }
}
