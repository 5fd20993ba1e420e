// The addresses of host names, for as long as the configuration says.

internal import PoolerCore
internal import PostgresWire

/// What is known of host names.
struct HostCache {
    /// What a name stands for.
    enum Knowledge {
        case known(SocketAddress)
        case unresolvable
        /// Never asked, or too long ago.
        case unknown
    }

    private struct Entry {
        var addresses: [SocketAddress]
        var expiry: Microseconds
        var next = 0
    }

    private var entries: [String: Entry] = [:]
    private var pending: Set<String> = []

    /// The number of names that are being resolved.
    var pendingCount: Int { pending.count }

    /// Everything that is known.
    func rows(now: Microseconds) -> [HostSnapshot] {
        entries.map { name, entry in
            HostSnapshot(
                name: ByteString(name),
                secondsLeft: Int(max(0, entry.expiry - now) / 1_000_000),
                addresses: entry.addresses.map { ByteString($0.logText) }
            )
        }
    }

    /// What a name stands for; a name with several addresses gives them in turn.
    mutating func lookUp(_ name: String, now: Microseconds) -> Knowledge {
        guard let entry = entries[name], entry.expiry > now else { return .unknown }
        guard !entry.addresses.isEmpty else { return .unresolvable }
        entries[name]?.next = (entry.next + 1) % entry.addresses.count
        return .known(entry.addresses[entry.next])
    }

    /// Notes that a name is to be resolved.
    ///
    /// - Returns: whether somebody has to ask; false when an answer is on its way.
    mutating func startsResolving(_ name: String) -> Bool {
        pending.insert(name).inserted
    }

    /// Keeps an answer.
    mutating func store(_ answer: Resolution, now: Microseconds, settings: Settings) {
        pending.remove(answer.name)
        let lifetime = answer.addresses.isEmpty ? settings.dnsNXDomainTTL : settings.dnsMaxTTL
        entries[answer.name] = Entry(
            addresses: answer.addresses,
            expiry: now + max(lifetime, .seconds(1))
        )
    }

    /// How many addresses a name has; 1 for what is not known.
    func addressCount(of name: String) -> Int { max(1, entries[name]?.addresses.count ?? 1) }
}
