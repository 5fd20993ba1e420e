// The hosts that [databases] names: which of them answer, and which one the next server of a database is
// opened at. It is one for all pools and workers, so that what one pool has found out spares the others
// the same attempt.
//
// A host that could not be reached is down, and avoided for a time that grows. It is tried again after
// that, by one attempt at a time, and is up as soon as somebody has logged in there. A name can stand for
// several addresses; the host is down when each of them has failed.

public import PostgresWire

/// A host as an entry of [databases] names it.
public struct HostName: Hashable, Sendable {
    /// A name, an address, or where the Unix socket is.
    public let host: String
    public let port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }
}

extension DatabaseEntry {
    /// Where servers of this database are.
    ///
    /// - Parameter unixSocketDir: where they are if the entry does not say so.
    public func hostNames(unixSocketDir: String) -> [HostName] {
        let hosts = hosts.isEmpty ? [unixSocketDir.isEmpty ? "/tmp" : unixSocketDir] : hosts
        return hosts.map { HostName(host: $0, port: port) }
    }
}

/// An attempt to log in to a host.
public struct HostAttempt: Sendable {
    let name: HostName
    let address: String
    let addressCount: Int
    let start: Microseconds

    /// - Parameters:
    ///   - address: which of the addresses of the name it went to.
    ///   - addressCount: how many the name has.
    ///   - start: when it began.
    public init(
        to name: HostName,
        address: String,
        of addressCount: Int,
        start: Microseconds
    ) {
        self.name = name
        self.address = address
        self.addressCount = addressCount
        self.start = start
    }
}

/// What is known of a host.
public struct HostState: Equatable, Sendable {
    /// The servers that there are, those that are logging in included.
    public fileprivate(set) var serverCount = 0
    /// Whether nobody could log in when that was last tried.
    public fileprivate(set) var isDown = false
    /// How many connections PostgreSQL has there for others than superusers, if it has been asked.
    public fileprivate(set) var capacity: Int?
    /// Why the last attempt failed that did, until one succeeds.
    public fileprivate(set) var failure: CloseReason?
    fileprivate var failedAddresses: Set<String> = []
    fileprivate var failureCount = 0
    fileprivate var lastFailureTime: Microseconds = 0
    fileprivate var retryTime: Microseconds = 0
}

/// The hosts by name.
public struct Hosts: Sendable {
    private var states: [HostName: HostState] = [:]
    /// Where the search for the next host of a database begins, in its list.
    private var choices: [ByteString: Int] = [:]

    /// The first pause before a host that is down is tried again; it doubles, up to server_login_retry.
    private static let firstRetryDelay: Microseconds = 100_000

    /// For how long one attempt at a host that is down keeps others from it.
    private static let attemptTime: Microseconds = 2_000_000

    public init() {}

    /// What is known of a host.
    public func state(of name: HostName) -> HostState { states[name] ?? HostState() }

    /// Chooses where the next server of a database is opened: at the next host that is not to be avoided,
    /// or, if all are, at the one whose failure is the longest ago.
    ///
    /// - Parameters:
    ///   - names: at least one.
    ///   - isFixed: whether a host is used as long as it is up (load_balance_hosts = disable).
    public mutating func choose(
        for database: ByteString,
        among names: [HostName],
        isFixed: Bool,
        now: Microseconds
    ) -> HostName {
        guard names.count > 1 else { return names[0] }
        let start = choices[database, default: 0]
        let order = names.indices.map { (start + $0) % names.count }
        let index =
            order.first { !isAvoided(names[$0], now: now) }
            ?? order.min {
                state(of: names[$0]).lastFailureTime < state(of: names[$1]).lastFailureTime
            }
            ?? 0
        choices[database] = isFixed ? index : (index + 1) % names.count
        // Whoever comes next goes elsewhere until it is known how this attempt ends.
        if state(of: names[index]).isDown {
            states[names[index]]?.retryTime = now + Self.attemptTime
        }
        return names[index]
    }

    /// Whether there is no use in another attempt for a client: each of these hosts has failed just now,
    /// or since the client asked.
    public func haveFailed(_ names: [HostName], since: Microseconds, now: Microseconds) -> Bool {
        names.allSatisfy { name in
            let state = state(of: name)
            return state.isDown && state.lastFailureTime >= min(since, now - Self.firstRetryDelay)
        }
    }

    /// Whether an attempt that takes long had better be made elsewhere: at a host that is up, or at an
    /// address of the same name that has not failed.
    public func hasAlternative(to attempt: HostAttempt, among names: [HostName]) -> Bool {
        let failed = state(of: attempt.name).failedAddresses.union([attempt.address])
        return failed.count < attempt.addressCount
            || names.contains { $0 != attempt.name && !state(of: $0).isDown }
    }

    private func isAvoided(_ name: HostName, now: Microseconds) -> Bool {
        states[name].map { $0.isDown && now < $0.retryTime } ?? false
    }

    /// Notes that a host could not be reached, or does not let anybody in for now.
    ///
    /// Of attempts that ran at the same time the first that fails counts.
    ///
    /// - Parameter longestPause: server_login_retry.
    public mutating func failed(
        _ attempt: HostAttempt,
        _ reason: CloseReason,
        now: Microseconds,
        longestPause: Microseconds
    ) {
        var state = state(of: attempt.name)
        state.failure = reason
        state.failedAddresses.insert(attempt.address)
        if state.failedAddresses.count >= attempt.addressCount {
            state.failedAddresses = []
            if !state.isDown || attempt.start >= state.lastFailureTime {
                state.isDown = true
                state.lastFailureTime = now
                state.retryTime = now + Self.delay(after: state.failureCount, longestPause)
                state.failureCount = min(state.failureCount + 1, 20)
            }
        }
        states[attempt.name] = state
    }

    private static func delay(after count: Int, _ limit: Microseconds) -> Microseconds {
        min(firstRetryDelay << count, max(limit, firstRetryDelay))
    }

    /// Notes that somebody has logged in to a host.
    public mutating func succeeded(_ name: HostName) {
        guard states[name]?.failure != nil else { return }
        change(name) { state in
            let (count, capacity) = (state.serverCount, state.capacity)
            state = HostState()
            (state.serverCount, state.capacity) = (count, capacity)
        }
    }

    /// A host has refused a login for a reason that is not its own: the next one is to go to another, even
    /// if the choice is fixed.
    public mutating func moveOn(
        from name: HostName,
        for database: ByteString,
        among names: [HostName]
    ) {
        guard let index = names.firstIndex(of: name) else { return }
        choices[database] = (index + 1) % names.count
    }

    /// Lets the next attempts start at once (RECONNECT, a changed configuration).
    public mutating func forgetFailures() {
        for name in Array(states.keys) where states[name]?.failure != nil { succeeded(name) }
    }

    /// Counts servers that are open, or about to be opened.
    public mutating func serversOpened(at name: HostName, count: Int = 1) {
        states[name, default: HostState()].serverCount += count
    }

    /// Counts a server that is closed.
    public mutating func serverClosed(at name: HostName) {
        change(name) { state in
            state.serverCount -= 1
            // It may have been started again with another limit when somebody comes back.
            if state.serverCount == 0 { state.capacity = nil }
        }
    }

    /// PostgreSQL has said how many connections others than superusers can have.
    public mutating func learned(capacity: Int, of name: HostName) {
        states[name]?.capacity = capacity
    }

    /// Whether a host has as many servers as it may have.
    ///
    /// - Parameter othersCount: how many others come first.
    public func isFull(_ name: HostName, _ limit: HostLimit, behind othersCount: Int = 0) -> Bool {
        let state = state(of: name)
        guard let most = limit.serverCount(capacity: state.capacity) else { return false }
        return state.serverCount + othersCount >= most
    }

    /// All hosts that have servers, or of which anything else is known.
    public var names: [HostName] {
        states.keys.sorted { ($0.host, $0.port) < ($1.host, $1.port) }
    }

    /// Changes what is known of a host, and forgets it when that is nothing.
    private mutating func change(_ name: HostName, _ body: (inout HostState) -> Void) {
        var state = state(of: name)
        body(&state)
        states[name] = state == HostState() ? nil : state
    }
}
