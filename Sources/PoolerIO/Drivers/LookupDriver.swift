// Logins that wait for auth_query. One of those that need the same secret stands in the queue of the pool
// of auth_user; the server that it is given is asked on behalf of all, and goes on without it. What is
// asked and what an answer means is SecretLookup's to say.

internal import Logging
internal import PoolerCore
internal import PostgresWire

/// A question for a secret that is under way, and the logins that wait for the answer.
final class PendingLookup {
    let lookup: SecretLookup
    /// In the order in which they came.
    ///
    /// As long as no server has the question, the first stands in the queue.
    var waiters: [ClientID]
    var isAsked = false
    /// How many servers have had it.
    var attemptCount = 0

    init(_ lookup: SecretLookup, for client: ClientID) {
        self.lookup = lookup
        waiters = [client]
    }

    /// So many servers may be lost with it.
    static let attemptLimit = 3
}

extension Worker {
    // MARK: Asking

    /// Gets the secret of a client that is to be admitted so, and goes on with its login.
    mutating func lookUpSecret(
        _ lookup: SecretLookup,
        of slot: UInt32,
        _ admission: Admission
    ) {
        clients[slot].login?.admission = admission
        let now = now
        if let secret = shared.secrets.withLock({ $0.secret(for: lookup, now: now) }) {
            return secretFound(secret, of: slot)
        }
        clients[slot].phase = .awaitingSecret
        if let pending = lookups[lookup] {
            pending.waiters.append(clients[slot].id)
            return
        }
        let pending = PendingLookup(lookup, for: clients[slot].id)
        lookups[lookup] = pending
        queue(slot, for: pending)
    }

    /// Puts a client into the queue for a server that is asked on behalf of all who wait.
    private mutating func queue(_ slot: UInt32, for pending: PendingLookup) {
        let lookup = pending.lookup
        let configuration = directory.configuration
        guard let database = configuration.database(named: lookup.database) else {
            return lookupEnded(
                pending,
                .failed("authentication database \"\(lookup.database)\" is not configured")
            )
        }
        if shared.pools.withLock({ $0.state(ofDatabase: lookup.database).isDisabled }) {
            let text = "authentication database \"\(lookup.database)\" is disabled"
            let error = ErrorResponse(.fatal, .protocolViolation, text)
            return refuseAll(takeWaiters(of: pending), .clientRefused(error))
        }
        let known = knownCredentials(of: lookup.authUser, database)
        let settings = configuration.effectiveSettings(database: database, user: lookup.authUser)
        let key = PoolKey(database: lookup.database, user: lookup.authUser)
        while true {
            let pool = shared.pools.pool(for: key, settings: settings)
            // It can be forgotten in just this moment.
            let route = LoginRoute(
                pool: pool,
                limits: ClientLimits(settings),
                credentials: known,
                takesProofs: false,
                reloadNumber: reloadNumber
            )
            guard route.enter(.none) else { continue }
            adopt(pool)
            clients[slot].pool = pool.id
            break
        }
        // What is to be done with a server is done in `lookUp`.
        _ = acquireServer(for: slot)
    }

    /// A client has left the pool that is asked for its secret.
    private mutating func leaveQueue(_ slot: UInt32) {
        guard let pool = clients[slot].pool else { return }
        clients[slot].pool = nil
        let now = now
        pools[pool].shared.withLock { pool in
            pool.clientCount -= 1
            pool.lastUse = now
        }
    }

    /// A client has been given a free server: that is asked, first made as a new one if clients have
    /// changed its session.
    mutating func lookUp(for slot: UInt32, on server: UInt32) {
        leaveQueue(slot)
        guard let lookup = clients[slot].login?.plan.lookup, let pending = lookups[lookup] else {
            return offer(server)
        }
        pending.isAsked = true
        pending.attemptCount += 1
        let pool = servers[server].pool
        servers[server].lookup = pending
        servers[server].hasServed = true
        servers[server].isAuditDue = true
        servers[server].sequenceOwner = 0
        servers[server].requestTime = now
        servers[server].lastAnswerTime = now
        pools[pool].counters.serverAssignments &+= 1
        move(server, to: .tested)
        let changes = changesToDefaults(server)
        if changes.isEmpty { return sendLookup(server) }
        servers[server].task = .preparingLookup(changes)
        sendInternal(InternalSQL.apply(changes), to: server)
    }

    private func changesToDefaults(_ server: UInt32) -> [SettingsChange] {
        let pool = servers[server].pool
        guard pools[pool].tracksSettings, let defaults = defaults(of: pool) else { return [] }
        defer { states.release(defaults) }
        return states.changes(from: servers[server].settings, to: defaults)
    }

    /// A server's session is as that of a new one, or could not be made so.
    mutating func preparedForLookup(
        _ server: UInt32,
        _ changes: [SettingsChange],
        _ error: ErrorResponse?
    ) {
        guard error == nil else { return closeServer(server, .settingsRejected) }
        let old = servers[server].settings
        servers[server].settings = states.applying(changes, to: old)
        states.release(old)
        sendLookup(server)
    }

    private mutating func sendLookup(_ server: UInt32) {
        guard let pending = servers[server].lookup else { return becomeFree(server) }
        servers[server].task = .lookingUp
        servers[server].taskAnswer = []
        servers[server].taskError = nil
        servers[server].unnamedOwner = 0
        for expectation in SecretLookup.expectations {
            servers[server].machine.expect(expectation)
        }
        let request = pending.lookup.request
        servers[server].transport.send(unsafe request.span.bytes, reactor)
    }

    // MARK: The answer

    /// A server has answered: it is free for others, and those who waited go on.
    mutating func lookupAnswered(_ server: UInt32, _ error: ErrorResponse?) {
        let answer = exchange(&servers[server].taskAnswer, with: [])
        let pending = exchange(&servers[server].lookup, with: nil)
        let isIdle = servers[server].machine.transactionStatus == .idle
        isIdle ? resetOrFree(server) : closeServer(server, .checkFailed)
        guard let pending else { return }
        lookupEnded(pending, pending.lookup.result(in: unsafe answer.span.bytes, error: error))
    }

    /// A server was lost with a question: another is asked, a few times.
    mutating func lookupLost(_ pending: PendingLookup, _ reason: CloseReason) {
        pending.isAsked = false
        guard pending.attemptCount < PendingLookup.attemptLimit else {
            return lookupEnded(pending, .failed(reason.text))
        }
        queueNext(pending)
    }

    private mutating func queueNext(_ pending: PendingLookup) {
        if let next = pending.waiters.first {
            queue(next.index, for: pending)
        } else {
            lookups[pending.lookup] = nil
        }
    }

    private mutating func lookupEnded(_ pending: PendingLookup, _ result: SecretLookup.Result) {
        let lookup = pending.lookup
        let waiters = takeWaiters(of: pending)
        switch result {
        case .found(let secret):
            let (now, lifetime) = (now, settings.authQueryTTL)
            shared.secrets.withLock {
                $0.keep(secret, for: lookup, lifetime: lifetime, now: now)
            }
            for waiter in waiters where isAwaitingSecret(waiter) {
                clients[waiter.index].phase = .authenticating
                secretFound(secret, of: waiter.index)
                goOn(waiter)
            }
        case .noSuchUser:
            for waiter in waiters where isAwaitingSecret(waiter) && settings.logConnections {
                let database = clients[waiter.index].database
                logClient(waiter.index, .info, "login failed: db=\(database) user=\(lookup.user)")
            }
            let failure = AuthenticationFailure.noSuchUser
            refuseAll(waiters, .clientRefused(failure.errorResponse))
        case .failed(let text):
            log.error("auth_query for \(lookup.database)/\(lookup.authUser) failed: \(text)")
            let failure = AuthenticationFailure.misconfigured
            refuseAll(waiters, .clientRefused(failure.errorResponse))
        }
    }

    /// It is known what a client has to know.
    private mutating func secretFound(_ secret: StoredSecret, of slot: UInt32) {
        guard let login = clients[slot].login,
            let admission = exchange(&login.admission, with: nil)
        else { return }
        login.usesLookup = true
        authenticate(slot, admission, secret: secret)
    }

    /// Goes on with what a client has sent while its secret was looked up.
    private mutating func goOn(_ client: ClientID) {
        guard clients.holds(client.index, generation: client.generation) else { return }
        continueLogin(client.index)
        guard clients.holds(client.index, generation: client.generation),
            clients[client.index].phase == .authenticating
        else { return }
        readIfWelcome(client.index)
    }

    private func isAwaitingSecret(_ client: ClientID) -> Bool {
        clients.holds(client.index, generation: client.generation)
            && clients[client.index].phase == .awaitingSecret
    }

    // MARK: The end

    /// A client that waits for its secret is being closed.
    ///
    /// If it stood in the queue for others, one of them takes its place, unless what has closed it would
    /// close them all.
    mutating func stopLookingUp(_ slot: UInt32, _ reason: CloseReason) {
        let id = clients[slot].id
        let stoodInQueue = clients[slot].pool != nil
        leaveQueue(slot)
        guard let lookup = clients[slot].login?.plan.lookup, let pending = lookups[lookup] else {
            return
        }
        pending.waiters.removeAll { $0 == id }
        guard stoodInQueue else { return }
        if reason.isOfAllClients {
            refuseAll(takeWaiters(of: pending), reason)
        } else {
            queueNext(pending)
        }
    }

    /// Ends a question, as far as those are concerned who wait for the answer.
    private mutating func takeWaiters(of pending: PendingLookup) -> [ClientID] {
        if lookups[pending.lookup] === pending { lookups[pending.lookup] = nil }
        return exchange(&pending.waiters, with: [])
    }

    private mutating func refuseAll(_ waiters: [ClientID], _ reason: CloseReason) {
        for waiter in waiters where isAwaitingSecret(waiter) { closeClient(waiter.index, reason) }
    }
}
