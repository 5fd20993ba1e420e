// SASLprep (RFC 4013), the normal form in which SCRAM hashes passwords. It decides which bytes are
// hashed, and never fails: like PostgreSQL it falls back to the bytes as they are.
//
// PostgreSQL passes ASCII through unchanged, and takes the raw bytes of a password that is not UTF-8,
// or that contains characters which the profile prohibits or Unicode 3.2 does not know. What is left
// it maps and normalizes to NFKC, for which the standard library has no tables. Here every password
// is taken raw. That differs from PostgreSQL for passwords that SASLprep accepts *and* changes:
//
// - with spaces other than U+0020 (U+00A0, U+2000...U+200B, U+3000, ...), which it makes U+0020;
// - with characters that it drops (U+00AD, U+200C, U+200D, U+2060, U+FE00...U+FE0F, ...);
// - with compatibility characters (superscripts, fractions, ligatures, full width, U+2026, ...);
// - with decomposed accents, "e" and U+0301 for "é".
//
// Letters of all scripts, composed as keyboards enter them, are the same in both. Only logins in which
// the pooler itself derives keys from a plain password are concerned: SCRAM secrets, pass-through of
// keys, md5 and cleartext are not, except that a cleartext password is checked against a SCRAM secret
// by deriving.

/// Brings a password into the form that SCRAM hashes.
public enum SASLprep {
    /// The bytes to hash for `password`.
    public static func prepare(_ password: [UInt8]) -> [UInt8] {
        password
    }
}
