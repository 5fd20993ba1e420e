// SASLprep (RFC 4013), the normal form in which SCRAM hashes passwords.
//
// PostgreSQL passes ASCII through unchanged, and falls back to the raw bytes for a password that is
// not UTF-8 or that the profile prohibits. Here every password that is not ASCII is taken raw.

/// Brings a password into the form that SCRAM hashes.
package enum SASLprep {
    /// The bytes to hash for `password`.
    package static func prepare(_ password: [UInt8]) -> [UInt8] {
        password
    }
}
