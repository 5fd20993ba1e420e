// The meeting place of the clients and servers of one database and user: who gets which server, who
// waits, when another server is to be opened. It knows connections by their ids only, and moves
// them between its counts and queues; what a connection is doing is the driver's to ask for.

internal import DequeModule
public import PostgresWire

/// What identifies a pool.
public struct PoolKey: Hashable, Sendable {
    /// The database as clients name it.
    public let database: ByteString
    /// The user as the server knows it.
    public let user: ByteString

    public init(database: ByteString, user: ByteString) {
        self.database = database
        self.user = user
    }
}

/// The condition of a server, by which a pool counts it.
public enum ServerState: UInt8, CaseIterable, Sendable {
    /// Connecting or logging in.
    case login
    /// Free for any client.
    case idle
    /// Free, but idle for so long that it has to be checked first.
    case used
    /// Running a query of the pooler's: check or reset.
    case tested
    /// With a client.
    case active
    /// Kept until a cancel request for its last client has arrived.
    case beingCanceled
}

/// A server in the queue of free servers.
private struct IdleServer {
    let id: ServerID
    let settings: SettingsID
}

/// What a pool answers a client that wants a server.
public enum Assignment: Equatable, Sendable {
    case assign(ServerID)
    /// The client was put into the queue under this ticket.
    case wait(ticket: UInt32)
    /// No server can be had at present.
    case fail(CloseReason)
}

/// A place in the queue of clients that wait for a server.
public struct Waiter: Equatable, Sendable {
    public let client: ClientID
    /// Tells apart the times that a client waited.
    public let ticket: UInt32
    public let since: Microseconds

    public init(client: ClientID, ticket: UInt32, since: Microseconds) {
        self.client = client
        self.ticket = ticket
        self.since = since
    }
}

/// The clients and servers of one database and user.
public struct Pool: ~Copyable {
    public let key: PoolKey
    /// The settings that hold for this database and user.
    public var settings: Settings
    /// Whether clients get no servers for now (PAUSE).
    public var isPaused = false
    /// Clients that have logged in, with or without a server.
    public var clientCount = 0
    /// When the last client left.
    public var lastUse: Microseconds = 0
    /// The state that a new server starts in, once one has logged in.
    public var defaults: SettingsID?
    /// What a client is told at login besides its own settings: the fixed parameters.
    public var fixedParameters: [ParameterStatus] = []

    /// What the pool has done so far.
    public var counters = PoolCounters()
    /// What its servers are logged in with, and the keys derived from it for the server's salt.
    public var credentials = Credentials.none
    public var derivedKeys: DerivedKeys?
    /// States that the server has confirmed for the settings that clients asked for at login.
    public var confirmedLogins: [[StartupParameter]: SettingsID] = [:]

    /// Serial numbers of prepared statements that a server of the pool has accepted.
    public private(set) var acceptedStatements: Set<UInt64> = []

    private var serverCounts = [Int](repeating: 0, count: ServerState.allCases.count)
    private var idleServers = Deque<IdleServer>()
    private var waiters = Deque<Waiter>()
    private var nextTicket: UInt32 = 0
    /// The number of clients in the queue.
    public private(set) var waitingCount = 0

    /// Notes that a server has accepted a prepared statement.
    ///
    /// What is noted is forgotten as a whole when it gets much: it only saves work.
    public mutating func accepted(statement serial: UInt64) {
        if acceptedStatements.count >= Self.acceptedStatementLimit { acceptedStatements = [] }
        acceptedStatements.insert(serial)
    }

    private static let acceptedStatementLimit = 10_000

    /// Whether prepared statements are tracked: not where a client keeps its server anyway.
    public var tracksStatements: Bool {
        settings.maxPreparedStatements > 0 && settings.poolMode != .session
    }

    /// Why the last connection attempt failed, until one succeeds.
    public private(set) var failure: CloseReason?
    private var failureCount = 0
    private var retryTime: Microseconds = 0
    private var lastFailureTime: Microseconds = 0

    /// How many different sets of startup parameters are remembered as confirmed.
    public static let confirmedLoginLimit = 1_000
    /// Connection attempts that may run at once: enough to fill a pool fast, never a storm.
    private static let attemptLimit = 8
    private static let firstRetryDelay: Microseconds = 100_000

    public init(key: PoolKey, settings: Settings) {
        self.key = key
        self.settings = settings
    }

    // MARK: Servers

    /// The number of servers in a state.
    public func serverCount(_ state: ServerState) -> Int {
        serverCounts[Int(state.rawValue)]
    }

    /// The number of all servers.
    public var serverCount: Int { serverCounts.reduce(0, +) }

    /// Counts a new server, which starts in the login state.
    public mutating func serverOpened() {
        serverCounts[Int(ServerState.login.rawValue)] += 1
    }

    /// Moves a server from one state to another; the idle queue follows.
    ///
    /// - Parameter settings: the state of its session, by which a client that fits is found.
    public mutating func move(
        _ server: ServerID,
        from old: ServerState,
        to new: ServerState,
        settings: SettingsID = .empty
    ) {
        serverCounts[Int(old.rawValue)] -= 1
        serverCounts[Int(new.rawValue)] += 1
        if old.isFree && !new.isFree { forgetIdle(server) }
        if new == .idle && !old.isFree {
            idleServers.append(IdleServer(id: server, settings: settings))
        }
    }

    /// Stops counting a server that is closed.
    public mutating func serverClosed(_ server: ServerID, in state: ServerState) {
        serverCounts[Int(state.rawValue)] -= 1
        if state.isFree { forgetIdle(server) }
    }

    private mutating func forgetIdle(_ server: ServerID) {
        if idleServers.last?.id == server {
            idleServers.removeLast()
        } else if let index = idleServers.firstIndex(where: { $0.id == server }) {
            idleServers.remove(at: index)
        }
    }

    /// The server that has been idle for longest.
    public var longestIdleServer: ServerID? { idleServers.first?.id }

    /// The servers that are free, the one idle for longest first.
    public var freeServers: [ServerID] { idleServers.map(\.id) }

    // MARK: Clients that want a server

    /// Gives the client a free server or a place in the queue.
    ///
    /// The server stays counted as idle until the driver moves it.
    ///
    /// - Parameter settings: the state of the client's session; a server in the same state needs no
    ///   replay, and is preferred among those used last.
    public mutating func request(
        _ client: ClientID,
        preferring settings: SettingsID = .empty,
        now: Microseconds
    ) -> Assignment {
        if !isPaused && waitingCount == 0, let server = availableServer(preferring: settings) {
            return .assign(server)
        }
        if let failure, !failure.isTemporary, serverCount == 0, now < retryTime {
            return .fail(Self.repeated(failure))
        }
        nextTicket &+= 1
        waiters.append(Waiter(client: client, ticket: nextTicket, since: now))
        waitingCount += 1
        return .wait(ticket: nextTicket)
    }

    /// The free server that is to be used next.
    public var availableServer: ServerID? {
        settings.serverRoundRobin ? idleServers.first?.id : idleServers.last?.id
    }

    private func availableServer(preferring wanted: SettingsID) -> ServerID? {
        guard let next = settings.serverRoundRobin ? idleServers.first : idleServers.last else {
            return nil
        }
        if next.settings == wanted || settings.serverRoundRobin { return next.id }
        let recent = idleServers.suffix(Self.preferenceDepth)
        return recent.last { $0.settings == wanted }?.id ?? next.id
    }

    /// Among how many of the servers used last one with the client's settings is looked for.
    private static let preferenceDepth = 16

    /// Whether a server that has become free can go to a client that waits.
    public var hasWork: Bool { waitingCount > 0 && !isPaused }

    /// Takes the next place off the queue.
    ///
    /// The caller knows whether the client still waits there: if so it calls `waitEnded`, if not it
    /// asks again.
    public mutating func takeWaiter() -> Waiter? { waiters.popFirst() }

    /// The first place in the queue; the client may have left it.
    public var firstWaiter: Waiter? { waiters.first }

    /// All places in the queue, the longest waiting first; clients may have left theirs.
    public var allWaiters: [Waiter] { Array(waiters) }

    /// Puts a client back to where it was taken from, because its server turned out to be dead.
    public mutating func putBack(_ waiter: Waiter) {
        waiters.prepend(waiter)
        waitingCount += 1
    }

    /// Notes that a client stopped waiting, because it got a server or gave up.
    public mutating func waitEnded() {
        waitingCount -= 1
        if waitingCount == 0 { waiters.removeAll(keepingCapacity: true) }
    }

    // MARK: Opening servers

    /// Whether another server should be opened now for the clients that wait.
    public func wantsServer(now: Microseconds) -> Bool {
        guard waitingCount > 0, !isPaused, now >= retryTime else { return false }
        let attemptCount = serverCount(.login)
        // While attempts fail, one at a time finds out when that is over.
        guard attemptCount < (failure == nil ? Self.attemptLimit : 1) else { return false }
        guard waitingCount > attemptCount + serverCount(.tested) else { return false }
        return hasRoom(now: now)
    }

    /// Whether another server should be opened now to keep the minimum.
    public func isBelowMinimum(now: Microseconds) -> Bool {
        !isPaused && now >= retryTime && serverCount < settings.minPoolSize
            && (settings.defaultPoolSize == 0 || serverCount < settings.defaultPoolSize)
            && serverCount(.login) == 0
    }

    private func hasRoom(now: Microseconds) -> Bool {
        let count = serverCount
        if settings.defaultPoolSize == 0 || count < settings.defaultPoolSize { return true }
        guard settings.reservePoolSize > 0, settings.reservePoolTimeout > 0,
            let first = waiters.first
        else {
            return false
        }
        return count < settings.defaultPoolSize + settings.reservePoolSize
            && now - first.since >= settings.reservePoolTimeout
    }

    /// How many servers there are beyond what the settings allow.
    public var surplus: Int {
        settings.defaultPoolSize == 0
            ? 0 : max(0, serverCount - settings.defaultPoolSize - settings.reservePoolSize)
    }

    /// Notes that a server has logged in.
    public mutating func loginSucceeded() {
        failure = nil
        failureCount = 0
        retryTime = 0
    }

    /// Notes that a server could not be reached or refused the login.
    ///
    /// The pause before the next attempt doubles each time, up to server_login_retry; there always
    /// is one.
    ///
    /// - Parameters:
    ///   - start: when the attempt began; of attempts that ran at the same time the first that fails
    ///     counts.
    ///   - jitter: a random number of 0..<1 that spreads the attempts of many pools.
    public mutating func loginFailed(
        _ reason: CloseReason,
        startedAt start: Microseconds,
        now: Microseconds,
        jitter: Double
    ) {
        let isNew = failure == nil || start >= lastFailureTime
        failure = reason
        guard isNew else { return }
        lastFailureTime = now
        failureCount = min(failureCount + 1, 20)
        let limit = max(settings.serverLoginRetry, Self.firstRetryDelay)
        let delay = min(Self.firstRetryDelay << (failureCount - 1), limit)
        retryTime = now + delay + Microseconds(Double(delay) * 0.1 * jitter)
    }

    /// When the next connection attempt may start.
    public var nextAttemptTime: Microseconds { retryTime }

    /// Lets the next attempt start at once (RECONNECT, a changed configuration).
    public mutating func forgetFailure() {
        loginSucceeded()
    }

    /// What clients are told while attempts fail: the server's own words if it answered.
    public static func repeated(_ failure: CloseReason) -> CloseReason {
        if case .serverLoginFailed = failure { return failure }
        return .serverLoginFailing(failure.text)
    }
}

extension ServerState {
    /// Whether a server in this state stands in the queue of free servers.
    public var isFree: Bool { self == .idle || self == .used }
}
