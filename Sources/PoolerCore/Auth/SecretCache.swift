// The secrets that databases have named a moment ago, for the logins that come in crowds. A secret stays
// for a short time only, and goes at once when a login with it fails: then it may have changed.

public import PostgresWire

/// Secrets that have been looked up.
public struct SecretCache: Sendable {
    private struct Entry: Sendable {
        let secret: StoredSecret
        let deadline: Microseconds
    }

    private var entries: [SecretLookup: Entry] = [:]

    /// How many are kept.
    static let limit = 10_000

    public init() {}

    /// The number of secrets that are kept.
    public var count: Int { entries.count }

    /// Keeps a secret for `lifetime`.
    public mutating func keep(
        _ secret: StoredSecret,
        for lookup: SecretLookup,
        lifetime: Microseconds,
        now: Microseconds
    ) {
        guard lifetime > 0 else { return }
        if entries.count >= Self.limit {
            entries = entries.filter { $0.value.deadline > now }
            if entries.count >= Self.limit { entries = [:] }
        }
        entries[lookup] = Entry(secret: secret, deadline: now + lifetime)
    }

    /// A secret that is still kept.
    public func secret(for lookup: SecretLookup, now: Microseconds) -> StoredSecret? {
        guard let entry = entries[lookup], entry.deadline > now else { return nil }
        return entry.secret
    }

    /// Forgets a secret that has not let a client in.
    public mutating func forget(_ lookup: SecretLookup) {
        entries[lookup] = nil
    }

    /// Forgets all secrets of a user, because a server does not take what one of them was worth.
    public mutating func forget(user: ByteString) {
        guard !entries.isEmpty else { return }
        entries = entries.filter { $0.key.user != user }
    }

    /// Forgets everything, because the configuration has changed.
    public mutating func forgetAll() {
        entries = [:]
    }
}
