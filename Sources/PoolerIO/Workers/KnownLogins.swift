// What startup packets ask for, kept for the next client that sends the same one. The connections of an
// application are alike, and one that is opened for each request costs a login each time.
//
// Nothing here has been proved by anybody: it is what the configuration says about names. A change of
// the configuration empties it.

internal import PoolerCore
internal import PostgresWire

/// What the logins with one startup packet have in common.
final class LoginPlan {
    let request: LoginRequest
    /// The user's entry in auth_file; nil for unknown users.
    let secret: StoredSecret?
    /// What to ask for the secret of a user who has no such entry.
    let lookup: SecretLookup?
    /// Which of the worker's configurations this follows from.
    let configurationNumber: UInt64
    let isForConsole: Bool
    /// Where such clients go, once one has been let in.
    var route: LoginRoute?

    init(
        _ request: LoginRequest,
        secret: StoredSecret?,
        lookup: SecretLookup? = nil,
        configurationNumber: UInt64 = 0
    ) {
        self.request = request
        self.secret = secret
        self.lookup = lookup
        self.configurationNumber = configurationNumber
        isForConsole = Configuration.consoleNames.contains(request.database)
    }
}

/// The way of a login into its pool.
final class LoginRoute {
    let pool: SharedPool
    let limits: ClientLimits
    /// What the configuration has for the pool to log in to its servers with.
    private let credentials: Credentials
    /// Whether what a client has proved serves where the configuration has nothing.
    private let takesProofs: Bool
    /// The last reload that this follows from.
    private let reloadNumber: UInt64

    init(
        pool: SharedPool,
        limits: ClientLimits,
        credentials: Credentials,
        takesProofs: Bool,
        reloadNumber: UInt64
    ) {
        self.pool = pool
        self.limits = limits
        self.credentials = credentials
        self.takesProofs = takesProofs
        self.reloadNumber = reloadNumber
    }

    /// Lets a client into the pool, unless that has been forgotten.
    ///
    /// - Parameter proved: what the client has proved to know.
    /// - Returns: whether it has come in.
    func enter(_ proved: Credentials) -> Bool {
        pool.withLock { pool in
            guard !pool.isForgotten else { return false }
            pool.clientCount += 1
            switch (credentials, proved) {
            case (.none, .none): break
            case (.none, _): if takesProofs { pool.use(proved, asOf: reloadNumber) }
            default: pool.use(credentials, asOf: reloadNumber)
            }
            return true
        }
    }
}

/// The plans of the startup packets that came last, up to a number, each at the one place that its
/// bytes name.
struct KnownLogins {
    private struct Entry {
        let packet: [UInt8]
        let plan: LoginPlan
    }

    private var entries: [Entry?] = Array(repeating: nil, count: placeCount)

    private static let placeCount = 64
    /// The longest packet that is kept, in bytes.
    private static let byteCountLimit = 1_024

    /// The plan that was kept for a packet.
    func plan(for packet: RawSpan) -> LoginPlan? {
        guard let entry = entries[Self.place(of: packet)],
            unsafe entry.packet.span.bytes.hasSameBytes(as: packet)
        else { return nil }
        return entry.plan
    }

    /// Keeps a plan, in place of another one if need be.
    mutating func keep(_ plan: LoginPlan, for packet: RawSpan) {
        guard packet.byteCount <= Self.byteCountLimit else { return }
        entries[Self.place(of: packet)] = Entry(packet: [UInt8](copying: packet), plan: plan)
    }

    mutating func forgetAll() { self = KnownLogins() }

    /// FNV-1a; whoever makes packets meet at one place gains nothing by it.
    private static func place(of packet: RawSpan) -> Int {
        var hash: UInt32 = 2_166_136_261
        for index in 0..<packet.byteCount {
            hash = (hash ^ UInt32(packet.byte(at: index))) &* 16_777_619
        }
        return Int(hash % UInt32(placeCount))
    }
}
