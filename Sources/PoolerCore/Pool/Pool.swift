// The meeting place of the clients and servers of one database and user: who waits, when another
// server is to be opened. It knows connections by their ids only, and is one for all workers; which
// servers are free is known where they are (IdleServers, and the owner word of each server).

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

/// What a pool answers a client for which there is no free server.
public enum Assignment: Equatable, Sendable {
    /// The client was put into the queue under this ticket.
    case wait(ticket: UInt32)
    /// No server can be had at present.
    case fail(CloseReason)
}

/// What has to be looked at before a server of a pool is taken or freed.
public struct GateState: RawRepresentable, Equatable, Sendable {
    public let rawValue: Int

    public init(rawValue: Int) {
        self.rawValue = rawValue
    }

    public init(isOpen: Bool, hasChoosing: Bool) {
        rawValue = (isOpen ? 0 : 1) | (hasChoosing ? 2 : 0)
    }

    /// Whether there is nothing: nobody waits for any server, the pool is not paused and has no server
    /// too many.
    public var isOpen: Bool { rawValue & 1 == 0 }
    /// Whether somebody waits for a server with certain settings.
    public var hasChoosing: Bool { rawValue & 2 != 0 }
}

/// The clients and servers of one database and user.
public struct Pool: ~Copyable {
    private let inPlace = InPlace()
    public let key: PoolKey
    /// The settings that hold for this database and user.
    public var settings: Settings
    /// Whether clients get no servers for now (PAUSE).
    public var isPaused = false
    /// Whether other pools wait for its servers, because of a limit across pools.
    public var isContended = false
    /// Whether nobody can come in any more: the next client makes another pool.
    public var isForgotten = false
    /// Clients that have logged in, with or without a server.
    public var clientCount = 0
    /// When the last client left.
    public var lastUse: Microseconds = 0
    /// The state that a new server starts in, once one has logged in.
    public var defaults: SettingsID?
    /// What a client is told at login besides its own settings: the ParameterStatus messages of those
    /// that a session cannot change.
    public var fixedParameters: [UInt8] = []

    /// What its servers are logged in with, and the keys derived from it for the server's salt.
    public private(set) var credentials = Credentials.none
    /// The number of the reload that last changed the secret of its user; what is known of one before
    /// does not count.
    private var secretNumber: UInt64 = 0
    public var derivedKeys: DerivedKeys?
    /// States that the server has confirmed for the settings that clients asked for at login.
    public private(set) var confirmedLogins: [[StartupParameter]: SettingsID] = [:]

    /// Serial numbers of prepared statements that a server of the pool has accepted.
    public private(set) var acceptedStatements: Set<UInt64> = []

    /// The clients that wait for a server.
    public private(set) var waiters = WaitQueue()
    /// Those of them whom only a server can serve that nobody has had.
    private var newServerWaiters = WaitQueue()
    /// The clients that wait for a server of their own, for replication, to be opened.
    private var replicationWaiters = WaitQueue()
    /// The number of servers for replication, and of those that are not yet ready: their clients still
    /// wait.
    public private(set) var replicationCount = 0
    public private(set) var replicationLoginCount = 0
    /// All servers, in the order in which they were opened.
    public private(set) var servers: [ServerID] = []
    /// Where they are.
    private var hosts: [ServerID: HostName] = [:]
    /// Names of custom settings, in small letters, that sessions may have set.
    public private(set) var customNames: Set<ByteString> = []
    /// The custom settings that its servers know.
    public var customNameBook = CustomNameBook()
    /// The number of servers that stay with their client between transactions.
    public var pinnedCount = 0
    /// The number of servers that are to be replaced as soon as they are free.
    public var outdatedCount = 0
    /// The number of servers that listen for all clients: they take nobody's place.
    public private(set) var listenerCount = 0
    /// The number of servers that the process before this one still has: their seats are taken.
    public var foreignServerCount = 0
    /// The number of servers that are connecting or logging in.
    public private(set) var loginCount = 0
    /// The number of servers that run a check or a reset.
    public private(set) var testedCount = 0

    /// Notes that a server has accepted a prepared statement.
    ///
    /// What is noted is forgotten as a whole when it gets much: it only saves work.
    public mutating func accepted(statement serial: UInt64) {
        if acceptedStatements.count >= Self.acceptedStatementLimit { acceptedStatements = [] }
        acceptedStatements.insert(serial)
    }

    private static let acceptedStatementLimit = 10_000

    /// Why the last connection attempt failed, until one succeeds.
    public private(set) var failure: CloseReason?
    private var failureCount = 0
    private var retryTime: Microseconds = 0
    private var lastFailureTime: Microseconds = 0

    /// How many different sets of startup parameters are remembered as confirmed.
    private static let confirmedLoginLimit = 1_000
    /// Connection attempts that may run at once: enough to fill a pool fast, never a storm.
    private static let attemptLimit = 8
    private static let firstRetryDelay: Microseconds = 100_000

    /// Notes names of settings, of which custom ones are kept, up to a limit.
    public mutating func noteCustomNames(_ names: [ByteString]) {
        for name in names
        where customNames.count < 64 && name.bytes.contains(UInt8(ascii: ".")) {
            customNames.insert(name)
        }
    }

    public init(key: PoolKey, settings: Settings) {
        self.key = key
        self.settings = settings
    }

    /// Has servers log in with these credentials from now on.
    ///
    /// What an attempt with others has shown does not count any more.
    ///
    /// - Parameter number: of the last reload that whoever knows them has heard of.
    public mutating func use(_ new: Credentials, asOf number: UInt64) {
        guard number >= secretNumber, credentials != new else { return }
        credentials = new
        derivedKeys = nil
        forgetFailure()
    }

    /// A reload has brought another secret of its user: what was proved of the old one is worth nothing.
    ///
    /// Workers hear of a reload one after the other; the first that does counts.
    public mutating func secretChanged(by number: UInt64) {
        guard number > secretNumber else { return }
        secretNumber = number
        credentials = .none
        derivedKeys = nil
    }

    // MARK: Servers

    /// The number of all servers.
    public var serverCount: Int { servers.count }

    /// The number of servers that work for clients.
    private var workingCount: Int { servers.count - listenerCount }

    /// Adds a new server, which starts in the login state.
    public mutating func serverOpened(
        _ server: ServerID,
        at host: HostName? = nil,
        asListener: Bool = false
    ) {
        servers.append(server)
        hosts[server] = host
        loginCount += 1
        if asListener { listenerCount += 1 }
    }

    /// Notes that a server for replication is ready for its client.
    public mutating func replicationServerReady() {
        replicationLoginCount -= 1
    }

    /// Notes that a server which is closed next was for replication.
    ///
    /// - Parameter wasReady: whether its client had it.
    public mutating func replicationServerClosing(wasReady: Bool) {
        replicationCount -= 1
        if !wasReady { replicationLoginCount -= 1 }
    }

    /// The number of servers that any client can have, or could if they were free.
    public var sharedServerCount: Int { workingCount - replicationCount }

    /// Counts a server that goes from one state to another; only for states that are counted.
    public mutating func serverMoved(from old: ServerState, to new: ServerState) {
        count(-1, in: old)
        count(1, in: new)
    }

    /// The servers at a host, or all.
    public func servers(at host: HostName?) -> [ServerID] {
        guard let host else { return servers }
        return servers.filter { hosts[$0] == host }
    }

    /// Adds a server that another process has opened and logged in to.
    public mutating func serverAdopted(_ server: ServerID, at host: HostName) {
        servers.append(server)
        hosts[server] = host
    }

    /// Forgets a server that is closed.
    public mutating func serverClosed(
        _ server: ServerID,
        in state: ServerState,
        asListener: Bool = false
    ) {
        count(-1, in: state)
        if asListener { listenerCount -= 1 }
        hosts[server] = nil
        if let index = servers.firstIndex(of: server) { servers.remove(at: index) }
    }

    /// Takes all clients off the queue, because there is no server to hope for.
    public mutating func takeAllWaiters() -> [Waiter] {
        var all: [Waiter] = []
        while let waiter = waiters.next() ?? newServerWaiters.next() { all.append(waiter) }
        return all
    }

    private mutating func count(_ change: Int, in state: ServerState) {
        switch state {
        case .login: loginCount += change
        case .tested: testedCount += change
        case .idle, .used, .active, .beingCanceled: break
        }
    }

    /// Notes what a new server's session starts with, with one use that the caller has counted.
    ///
    /// - Returns: the states that the pool no longer uses, once for each use.
    public mutating func adoptDefaults(_ state: SettingsID) -> [SettingsID] {
        guard defaults != state else { return [state] }
        var outdated = Array(confirmedLogins.values)
        if let defaults { outdated.append(defaults) }
        defaults = state
        confirmedLogins = [:]
        return outdated
    }

    /// Remembers the state that a server has confirmed for what a client asked for at login, with one
    /// use that the caller has counted.
    ///
    /// - Returns: false when it is not needed.
    public mutating func remember(_ state: SettingsID, for login: [StartupParameter]) -> Bool {
        guard confirmedLogins.count < Self.confirmedLoginLimit, confirmedLogins[login] == nil else {
            return false
        }
        confirmedLogins[login] = state
        return true
    }

    // MARK: Clients that want a server

    /// Gives a client for which there is no free server a place in the queue.
    ///
    /// - Parameter isChoosing: whether there are some, but none with its settings.
    public mutating func request(
        _ client: ClientID,
        of worker: WorkerID,
        settings: SettingsID = .empty,
        isChoosing: Bool = false,
        now: Microseconds
    ) -> Assignment {
        if let failure, !failure.isTemporary, sharedServerCount == 0, now < retryTime {
            return .fail(Self.repeated(failure))
        }
        return .wait(
            ticket: waiters.join(
                client,
                of: worker,
                since: now,
                settings: settings,
                isChoosing: isChoosing
            )
        )
    }

    /// Notes that a client takes any server from now on, not only one with its settings.
    public mutating func settle(_ client: ClientID, of worker: WorkerID, ticket: UInt32) {
        waiters.settle(client, of: worker, ticket: ticket)
    }

    /// Takes the client that is to get the next free server, unless there is none or the pool is
    /// paused.
    public mutating func takeWaiter() -> Waiter? { isPaused ? nil : waiters.next() }

    /// The same for a server that is at home in `worker` and in the state `settings`.
    public mutating func takeWaiter(
        near worker: WorkerID,
        in settings: SettingsID,
        insisting: Bool
    ) -> Waiter? {
        isPaused ? nil : waiters.next(near: worker, in: settings, insisting: insisting)
    }

    /// Notes that a client gives up.
    ///
    /// - Returns: false when it has been given a server that is on its way.
    public mutating func leave(_ client: ClientID, of worker: WorkerID, ticket: UInt32) -> Bool {
        waiters.leave(client, of: worker, ticket: ticket)
            || newServerWaiters.leave(client, of: worker, ticket: ticket)
            || replicationWaiters.leave(client, of: worker, ticket: ticket)
    }

    /// Gives a client that has been offered a server which it cannot have a place in the queue for new
    /// ones.
    ///
    /// - Parameter since: when it asked for its first server.
    /// - Returns: its ticket.
    public mutating func awaitNewServer(
        _ client: ClientID,
        of worker: WorkerID,
        since: Microseconds
    ) -> UInt32 {
        newServerWaiters.join(client, of: worker, since: since)
    }

    /// Takes the client that is to get a new server, unless there is none or the pool is paused.
    public mutating func takeWaiterForNew() -> Waiter? {
        isPaused ? nil : newServerWaiters.next()
    }

    /// Everybody who waits.
    public var allWaiters: [Waiter] { waiters.all + newServerWaiters.all + replicationWaiters.all }

    /// The number of clients that wait.
    public var waiterCount: Int {
        waiters.count + newServerWaiters.count + replicationWaiters.count
    }

    /// Since when the client waits that has waited longest.
    public var firstWaitTime: Microseconds? {
        [waiters.first?.since, newServerWaiters.first?.since, replicationWaiters.first?.since]
            .compactMap(\.self).min()
    }

    /// Since when the client waits that has waited longest for a server of the pool's.
    public var firstSharedWaitTime: Microseconds? {
        [waiters.first?.since, newServerWaiters.first?.since].compactMap(\.self).min()
    }

    /// Puts a client whose server turned out to be dead before everybody else.
    ///
    /// - Parameter since: when it asked for its first server.
    /// - Returns: its ticket.
    public mutating func putBack(
        _ client: ClientID,
        of worker: WorkerID,
        since: Microseconds
    ) -> UInt32 {
        waiters.rejoin(client, of: worker, since: since)
    }

    /// Whether any server that becomes free may go to a client that waits.
    public var hasWork: Bool { waiters.count > waiters.choosingCount && !isPaused }

    /// What has to be looked at before a server is taken or freed.
    public var gate: GateState {
        GateState(
            isOpen: waiterCount == waiters.choosingCount && !isPaused && !isContended
                && surplus <= 0,
            hasChoosing: waiters.choosingCount > 0
        )
    }

    // MARK: Opening servers

    /// Whether another server should be opened now for the clients that wait.
    public func wantsServer(now: Microseconds) -> Bool {
        guard !isPaused, now >= retryTime else { return false }
        // While attempts fail, one at a time finds out when that is over.
        let loginCount = loginCount - replicationLoginCount
        guard loginCount < (failure == nil ? Self.attemptLimit : 1) else { return false }
        let newCount = newServerWaiters.count
        guard
            newCount > loginCount
                || waiters.count - waiters.choosingCount > loginCount - newCount + testedCount
        else { return false }
        return hasRoom(now: now, behind: replicationCountAhead)
    }

    /// Whether a server has to go so that one can be opened for a client that needs a new one.
    public func needsRoomForNew(now: Microseconds) -> Bool {
        newServerWaiters.count > loginCount - replicationLoginCount && !isPaused
            && !hasRoom(now: now)
    }

    /// Why a server that is free is not to be kept.
    ///
    /// - Parameter isNew: whether nobody has had it.
    public func reasonToCloseFree(isNew: Bool, now: Microseconds) -> CloseReason? {
        if isPaused { return .paused }
        if surplus > 0 { return .tooManyServers }
        if needsRoomForReplication(now: now) { return .evictedForPoolSize }
        return !isNew && needsRoomForNew(now: now) ? .customSettingsOfOthers : nil
    }

    /// Whether another server should be opened now to keep the minimum.
    public func isBelowMinimum(now: Microseconds) -> Bool {
        !isPaused && now >= retryTime && workingCount + foreignServerCount < settings.minPoolSize
            && (settings.defaultPoolSize == 0
                || workingCount + foreignServerCount < settings.defaultPoolSize)
            && loginCount == 0 && replicationWaiters.isEmpty
    }

    // MARK: Servers for replication

    /// Gives a client a place in the queue for servers of one's own.
    ///
    /// - Parameter isAgain: whether it had a server already, and comes first.
    /// - Returns: its ticket.
    public mutating func awaitReplication(
        _ client: ClientID,
        of worker: WorkerID,
        since: Microseconds,
        isAgain: Bool = false
    ) -> UInt32 {
        isAgain
            ? replicationWaiters.rejoin(client, of: worker, since: since)
            : replicationWaiters.join(client, of: worker, since: since)
    }

    /// The clients of a worker that wait for servers of their own; nobody while the pool is paused.
    public func replicationWaiters(of worker: WorkerID) -> [Waiter] {
        if replicationWaiters.isEmpty || isPaused { return [] }
        return replicationWaiters.all.filter { $0.worker == worker }
    }

    /// Takes a client off the queue for a server of its own, if there is room for one.
    public mutating func admitReplication(_ waiter: Waiter, now: Microseconds) -> Bool {
        guard !isPaused, hasRoom(now: now),
            replicationWaiters.leave(waiter.client, of: waiter.worker, ticket: waiter.ticket)
        else { return false }
        replicationCount += 1
        replicationLoginCount += 1
        return true
    }

    /// The worker that can open a server for the first of those clients, if there is room for it.
    public func replicationOpener(now: Microseconds) -> WorkerID? {
        guard let first = replicationWaiters.first, !isPaused, hasRoom(now: now) else {
            return nil
        }
        return first.worker
    }

    /// Whether a free server has to go so that one can be opened for replication: not before those
    /// clients have been served that have waited longer.
    private func needsRoomForReplication(now: Microseconds) -> Bool {
        guard let first = replicationWaiters.first, !hasRoom(now: now) else { return false }
        return first.since <= waiters.first?.since ?? .max
    }

    /// How many clients wait for servers of their own and came before all others that wait.
    ///
    /// What makes room for them is not for those behind them.
    private var replicationCountAhead: Int {
        if replicationWaiters.isEmpty { return 0 }
        let since = waiters.first?.since ?? .max
        return replicationWaiters.all.count { $0.since <= since }
    }

    /// Whether one more server is within the limits of the pool.
    ///
    /// - Parameter othersCount: how many others come first.
    public func hasRoom(now: Microseconds, behind othersCount: Int = 0) -> Bool {
        let count = workingCount + foreignServerCount + othersCount
        if settings.defaultPoolSize == 0 || count < settings.defaultPoolSize { return true }
        guard settings.reservePoolSize > 0, settings.reservePoolTimeout > 0,
            let since = firstWaitTime
        else {
            return false
        }
        return count < settings.defaultPoolSize + settings.reservePoolSize
            && now - since >= settings.reservePoolTimeout
    }

    /// How many servers there are beyond what the settings allow.
    public var surplus: Int {
        settings.defaultPoolSize == 0
            ? 0 : max(0, workingCount - settings.defaultPoolSize - settings.reservePoolSize)
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
    /// Whether a server in this state can be given to a client.
    public var isFree: Bool {
        switch self {
        case .idle, .used: true
        case .login, .tested, .active, .beingCanceled: false
        }
    }

    /// Whether the pool counts the servers in this state: those that will soon be free.
    public var isCounted: Bool {
        switch self {
        case .login, .tested: true
        case .idle, .used, .active, .beingCanceled: false
        }
    }
}
