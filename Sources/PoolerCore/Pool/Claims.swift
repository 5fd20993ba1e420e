// Who waits for room within a limit across pools: of a database, a user or a host. Without this a pool
// whose servers are busy could keep them for its own clients for ever, while those of another pool wait.
//
// Room that becomes free is for the claim that is oldest; a server that becomes free is closed for an
// older claim of another pool, once that has waited for a moment: a connection costs more than a
// transaction.

/// The limits across pools that a pool has reached.
public struct SharedLimits: OptionSet, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    public static let ofDatabase = SharedLimits(rawValue: 1)
    public static let ofUser = SharedLimits(rawValue: 2)
    public static let ofHost = SharedLimits(rawValue: 4)
}

/// What a pool's clients wait for.
public struct Claim: Equatable, Sendable {
    public let key: PoolKey
    let host: HostName
    /// Since when the client waits that has waited longest.
    let since: Microseconds
    /// Whether it is for a server of one's own, for replication.
    let isForReplication: Bool
    /// Who can open a server for it.
    public let worker: WorkerID
    fileprivate(set) var limits: SharedLimits = []
    fileprivate(set) var time: Microseconds = 0

    public init(
        of key: PoolKey,
        at host: HostName,
        since: Microseconds,
        isForReplication: Bool,
        worker: WorkerID
    ) {
        self.key = key
        self.host = host
        self.since = since
        self.isForReplication = isForReplication
        self.worker = worker
    }

    /// Of the limits that it waits for, those that count servers of `key` at `host`, too.
    func sharedLimits(with key: PoolKey, at host: HostName) -> SharedLimits {
        var shared: SharedLimits = []
        if self.key.database == key.database { shared.insert(.ofDatabase) }
        if self.key.user == key.user { shared.insert(.ofUser) }
        if self.host == host { shared.insert(.ofHost) }
        return shared.intersection(limits)
    }

    fileprivate func isLike(_ other: Claim) -> Bool {
        key == other.key && isForReplication == other.isForReplication
    }
}

/// The claims that there are.
public struct Claims: Sendable {
    private var claims: [Claim] = []

    /// A claim that is not renewed for so long is void: nobody waits any more.
    private static let lifetime: Microseconds = 1_000_000
    /// For so long a pool's own clients come first.
    private static let patience: Microseconds = 100_000

    public init() {}

    public var isEmpty: Bool { claims.isEmpty }

    /// Adds a claim, or renews it.
    mutating func add(_ claim: Claim, for limits: SharedLimits, now: Microseconds) {
        remove(claim)
        var claim = claim
        (claim.limits, claim.time) = (limits, now)
        claims.append(claim)
    }

    /// A claim has been met.
    mutating func remove(_ claim: Claim) {
        claims.removeAll { $0.isLike(claim) }
    }

    /// Forgets claims that were not renewed.
    mutating func prune(now: Microseconds) {
        claims.removeAll { now - $0.time >= Self.lifetime }
    }

    /// How many older claims a server of `key` at `host` has to leave room for within one limit.
    func countAhead(
        of claim: Claim?,
        within limit: SharedLimits,
        key: PoolKey,
        host: HostName
    ) -> Int {
        if claims.isEmpty { return 0 }
        let since = claim?.since ?? .max
        return claims.count { other in
            (claim.map { !other.isLike($0) } ?? true) && other.since < since
                && other.sharedLimits(with: key, at: host).contains(limit)
        }
    }

    /// Whether a free server is to be closed for another claim.
    ///
    /// - Parameter since: when the pool's own client asked that has waited longest for such a server.
    func mustYield(
        _ key: PoolKey,
        at host: HostName,
        since: Microseconds?,
        now: Microseconds
    ) -> Bool {
        claims.contains { claim in
            guard claim.key != key || claim.isForReplication,
                !claim.sharedLimits(with: key, at: host).isEmpty
            else { return false }
            guard let since else { return true }
            return claim.since < since && now - claim.since >= Self.patience
        }
    }

    /// The oldest claim that a server of `key` at `host` was in the way of.
    func first(after key: PoolKey, at host: HostName) -> Claim? {
        claims.filter { !$0.sharedLimits(with: key, at: host).isEmpty }
            .min { $0.since < $1.since }
    }

    /// Whether servers of a pool may have to be closed for others; at which hosts they are is not asked.
    func concern(_ key: PoolKey) -> Bool {
        claims.contains { claim in
            (claim.key != key || claim.isForReplication)
                && !claim.sharedLimits(with: key, at: claim.host).isEmpty
        }
    }
}
