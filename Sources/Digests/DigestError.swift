// What can go wrong in a digest: only that OpenSSL refuses to compute it, as it refuses MD5 in FIPS
// mode. It is an error and not a trap, because it must end one login and not the pooler.

/// OpenSSL did not do what was asked.
public enum DigestError: Error, Equatable, Sendable {
    /// The algorithm is not available, or memory ran out.
    case unavailable
}
