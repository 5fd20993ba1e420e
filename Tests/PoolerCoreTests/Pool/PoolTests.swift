import PoolerCore
import PostgresWire
import Testing

/// Who gets which server, and who waits.
///
/// A pool cannot be copied, so that `#expect` needs an operator, even with `true`.
@Suite struct PoolTests {
    // MARK: Servers

    @Test func countsItsServers() {
        var pool = Self.pool(idleServers: 3)
        #expect(pool.serverCount == 3)
        #expect(pool.servers == [Self.server(1), Self.server(2), Self.server(3)])
        pool.serverClosed(Self.server(2), in: .active)
        #expect(pool.servers == [Self.server(1), Self.server(3)])
    }

    // MARK: The queue

    @Test func theLongestWaitingClientIsServedFirst() {
        var pool = Self.pool()
        for number: UInt32 in 1...3 { Self.wait(number, in: &pool, now: Int64(number)) }
        #expect(pool.waiters.count == 3)
        #expect(pool.hasWork == true)
        for number: UInt32 in 1...3 {
            Self.expectNext(Self.client(number), of: &pool)
        }
        Self.expectNext(nil, of: &pool)
        #expect(pool.hasWork == false)
    }

    @Test func whoIsPutBackIsNext() {
        var pool = Self.pool()
        Self.wait(1, in: &pool)
        Self.wait(2, in: &pool)
        Self.expectNext(Self.client(1), of: &pool)
        let ticket = pool.putBack(Self.client(1), of: .chief, since: 5)
        #expect(pool.waiters.all.map(\.client) == [Self.client(1), Self.client(2)])
        #expect(pool.waiters.first?.ticket == ticket)
        #expect(pool.waiters.first?.since == 5)
    }

    @Test func inAPausedPoolAllWait() {
        var pool = Self.pool(idleServers: 1)
        pool.isPaused = true
        Self.wait(1, in: &pool)
        #expect(pool.hasWork == false)
        Self.expectNext(nil, of: &pool)
        #expect(pool.wantsServer(now: 0) == false)
        #expect(pool.isBelowMinimum(now: 0) == false)
        pool.isPaused = false
        #expect(pool.hasWork == true)
        Self.expectNext(Self.client(1), of: &pool)
    }

    @Test func whenThereIsNoHopeAllAreTaken() {
        var pool = Self.pool()
        for number: UInt32 in 1...3 { Self.wait(number, in: &pool) }
        let all = pool.takeAllWaiters().map(\.client)
        #expect(all == [1, 2, 3].map { Self.client($0) })
        #expect(pool.waiters.isEmpty == true)
    }

    /// Whoever takes or frees a server without the lock looks at the gate.
    @Test func theGateIsOpenOnlyWhenThereIsNothingToLookAt() {
        var pool = Self.pool(idleServers: 2) { $0.defaultPoolSize = 2 }
        #expect(pool.gate.isOpen)
        Self.wait(1, in: &pool)
        #expect(!pool.gate.isOpen, "somebody waits")
        _ = pool.takeWaiter()
        #expect(pool.gate.isOpen)
        pool.isPaused = true
        #expect(!pool.gate.isOpen, "the pool is paused")
        pool.isPaused = false
        pool.settings.defaultPoolSize = 1
        #expect(!pool.gate.isOpen, "there is a server too many")
    }

    /// Who could have a server closes the gate for nobody, and none is opened for it, until it takes
    /// any.
    @Test func whoChoosesIsInNobodysWay() {
        var pool = Self.pool(idleServers: 1) { $0.defaultPoolSize = 2 }
        guard
            case .wait(let ticket) = pool.request(
                Self.client(1),
                of: .chief,
                isChoosing: true,
                now: 0
            )
        else {
            Issue.record("no place in the queue")
            return
        }
        #expect(pool.gate.isOpen && pool.gate.hasChoosing)
        #expect(!pool.hasWork && !pool.wantsServer(now: 0))
        pool.settle(Self.client(1), of: .chief, ticket: ticket)
        #expect(!pool.gate.isOpen && !pool.gate.hasChoosing)
        #expect(pool.hasWork && pool.wantsServer(now: 0))
        Self.expectNext(Self.client(1), of: &pool)
        #expect(pool.gate.isOpen)
    }

    // MARK: New servers

    @Test func whoWaitsForANewServerGetsNoOther() {
        var pool = Self.pool(idleServers: 2) { $0.defaultPoolSize = 2 }
        _ = pool.awaitNewServer(Self.client(1), of: .chief, since: 3)
        #expect(pool.hasWork == false, "no server that there is is for it")
        #expect(!pool.gate.isOpen)
        #expect(pool.waiterCount == 1)
        #expect(pool.firstWaitTime == 3)
        Self.expectNext(nil, of: &pool)
        let waiter = pool.takeWaiterForNew()
        #expect(waiter?.client == Self.client(1))
        #expect(pool.gate.isOpen)
    }

    @Test func aServerGoesWhereThereIsNoRoomForANewOne() {
        var pool = Self.pool(idleServers: 2) { $0.defaultPoolSize = 2 }
        let ticket = pool.awaitNewServer(Self.client(1), of: .chief, since: 0)
        #expect(pool.wantsServer(now: 0) == false, "the pool is full")
        #expect(pool.reasonToCloseFree(isNew: false, now: 0) == .customSettingsOfOthers)
        #expect(pool.reasonToCloseFree(isNew: true, now: 0) == nil)
        pool.serverClosed(Self.server(1), in: .idle)
        #expect(pool.reasonToCloseFree(isNew: false, now: 0) == nil)
        #expect(pool.wantsServer(now: 0) == true)
        pool.serverOpened(Self.server(3))
        #expect(pool.wantsServer(now: 0) == false, "one is on its way")
        #expect(pool.reasonToCloseFree(isNew: false, now: 0) == nil)
        #expect(pool.leave(Self.client(1), of: .chief, ticket: ticket) == true)
        #expect(pool.waiterCount == 0)
    }

    /// The server that is on its way is not for those behind.
    @Test func aServerForOneIsNoneForAnother() {
        var pool = Self.pool(idleServers: 1) { $0.defaultPoolSize = 3 }
        _ = pool.awaitNewServer(Self.client(1), of: .chief, since: 0)
        pool.serverOpened(Self.server(2))
        Self.wait(2, in: &pool)
        #expect(pool.wantsServer(now: 0) == true)
        #expect(pool.allWaiters.map(\.client) == [Self.client(2), Self.client(1)])
        let all = pool.takeAllWaiters().map(\.client)
        #expect(all == [Self.client(2), Self.client(1)])
    }

    // MARK: Servers for replication

    private static func awaitReplication(
        _ number: UInt32,
        in pool: inout Pool,
        since: Microseconds
    ) -> Waiter {
        let client = client(number)
        let ticket = pool.awaitReplication(client, of: .chief, since: since)
        return Waiter(client: client, worker: .chief, ticket: ticket, since: since)
    }

    @Test func whoReplicatesGetsNoServerThatThereIs() {
        var pool = Self.pool(idleServers: 1) { $0.defaultPoolSize = 2 }
        let waiter = Self.awaitReplication(1, in: &pool, since: 3)
        #expect(pool.hasWork == false)
        #expect(!pool.gate.isOpen && pool.waiterCount == 1 && pool.firstWaitTime == 3)
        #expect(pool.allWaiters == [waiter])
        #expect(pool.wantsServer(now: 5) == false, "its own worker opens it")
        #expect(pool.replicationWaiters(of: .chief) == [waiter])
        #expect(pool.replicationOpener(now: 5) == .chief)
        #expect(pool.admitReplication(waiter, now: 5) == true)
        #expect(pool.admitReplication(waiter, now: 5) == false, "once")
        pool.serverOpened(Self.server(2))
        #expect(pool.gate.isOpen && pool.replicationLoginCount == 1 && pool.sharedServerCount == 1)
        Self.wait(9, in: &pool)
        _ = pool.takeWaiter()
        pool.serverMoved(from: .login, to: .active)
        pool.replicationServerReady()
        #expect(pool.replicationLoginCount == 0 && pool.replicationCount == 1)
        pool.serverClosed(Self.server(2), in: .active)
        pool.replicationServerClosing(wasReady: true)
        #expect(pool.replicationCount == 0 && pool.serverCount == 1)
    }

    @Test func aServerForReplicationIsNoneForOthers() {
        var pool = Self.pool { $0.defaultPoolSize = 3 }
        let waiter = Self.awaitReplication(1, in: &pool, since: 0)
        #expect(pool.admitReplication(waiter, now: 0) == true)
        pool.serverOpened(Self.server(1))
        Self.wait(2, in: &pool)
        #expect(pool.wantsServer(now: 0) == true)
        pool.serverClosed(Self.server(1), in: .login)
        pool.replicationServerClosing(wasReady: false)
        #expect(pool.replicationLoginCount == 0 && pool.replicationCount == 0)
    }

    @Test func freeServersGoForReplicationInTurn() {
        var pool = Self.pool(idleServers: 1) {
            $0.defaultPoolSize = 1
            $0.minPoolSize = 1
        }
        let waiter = Self.awaitReplication(1, in: &pool, since: 5)
        #expect(pool.admitReplication(waiter, now: 6) == false, "the pool is full")
        #expect(pool.reasonToCloseFree(isNew: true, now: 6) == .evictedForPoolSize)
        Self.wait(2, in: &pool, now: 4)
        #expect(pool.reasonToCloseFree(isNew: true, now: 6) == nil, "somebody has waited longer")
        _ = pool.takeWaiter()
        Self.wait(3, in: &pool, now: 6)
        #expect(pool.reasonToCloseFree(isNew: true, now: 6) == .evictedForPoolSize)
        pool.serverClosed(Self.server(1), in: .idle)
        #expect(pool.wantsServer(now: 7) == false, "the room is for who came first")
        #expect(pool.isBelowMinimum(now: 7) == false)
        #expect(pool.admitReplication(waiter, now: 7) == true)
    }

    @Test func aPausedPoolOpensNothingForReplication() {
        var pool = Self.pool()
        pool.isPaused = true
        let waiter = Self.awaitReplication(1, in: &pool, since: 0)
        #expect(pool.replicationWaiters(of: .chief).isEmpty == true)
        #expect(pool.replicationOpener(now: 0) == nil)
        #expect(pool.admitReplication(waiter, now: 0) == false)
        #expect(pool.leave(waiter.client, of: .chief, ticket: waiter.ticket) == true)
        #expect(pool.waiterCount == 0)
    }

    @Test func whatIsTrackedDependsOnModeAndSetting() {
        var settings = Settings()
        #expect(settings.tracksSessions && settings.tracksSettings)
        settings.sessionTracking = .reported
        #expect(!settings.tracksSessions && settings.tracksSettings)
        settings.sessionTracking = .off
        #expect(!settings.tracksSessions && !settings.tracksSettings)
        settings.poolMode = .session
        #expect(!settings.tracksSessions && settings.tracksSettings, "what a login asks for")
    }

    @Test func statementsAreTrackedWhereServersChange() {
        for mode in [PoolMode.transaction, .statement, .session] {
            var settings = Settings()
            settings.poolMode = mode
            #expect(settings.tracksStatements == (mode != .session))
        }
        var settings = Settings()
        settings.maxPreparedStatements = 0
        #expect(settings.tracksStatements == false)
    }

    @Test func acceptedStatementsAreRememberedWithinBounds() {
        var pool = Self.pool()
        for serial in UInt64(1)...30_000 {
            pool.accepted(statement: serial)
            guard pool.acceptedStatements.contains(serial) else {
                Issue.record("\(serial) was forgotten at once")
                return
            }
        }
        #expect(pool.acceptedStatements.count <= 10_000)
    }

    // MARK: Support

    static func pool(
        idleServers: UInt32 = 0,
        _ change: (inout Settings) -> Void = { _ in }
    ) -> Pool {
        var settings = Settings()
        change(&settings)
        var pool = Pool(key: PoolKey(database: "d", user: "u"), settings: settings)
        for number in 0..<idleServers { addIdleServer(number + 1, to: &pool) }
        return pool
    }

    static func addIdleServer(_ number: UInt32, to pool: inout Pool) {
        pool.serverOpened(server(number))
        pool.serverMoved(from: .login, to: .idle)
    }

    static func expectNext(_ client: ClientID?, of pool: inout Pool) {
        let waiter = pool.takeWaiter()
        #expect(waiter?.client == client)
    }

    static func wait(_ number: UInt32, in pool: inout Pool, now: Microseconds = 0) {
        _ = pool.request(client(number), of: .chief, now: now)
    }

    static func client(_ number: UInt32) -> ClientID { ClientID(index: number, generation: 7) }
    static func server(_ number: UInt32) -> ServerID { ServerID(index: number, generation: 3) }
}

/// When another server is opened.
@Suite struct PoolOpeningTests {
    @Test func oneAttemptForEachWhoWaits() {
        var pool = PoolTests.pool()
        #expect(pool.wantsServer(now: 0) == false)
        wait(1, in: &pool)
        #expect(pool.wantsServer(now: 0) == true)
        pool.serverOpened(PoolTests.server(99))
        #expect(pool.wantsServer(now: 0) == false)
        wait(1, in: &pool)
        #expect(pool.wantsServer(now: 0) == true)
    }

    @Test func serversUnderTestWillServeSomebody() {
        var pool = PoolTests.pool(idleServers: 1)
        pool.serverMoved(from: .idle, to: .tested)
        wait(1, in: &pool)
        #expect(pool.wantsServer(now: 0) == false)
        wait(1, in: &pool)
        #expect(pool.wantsServer(now: 0) == true)
    }

    @Test func attemptsAtOnceAreLimited() {
        var pool = PoolTests.pool()
        wait(100, in: &pool)
        var count = 0
        while pool.wantsServer(now: 0) && count < 50 {
            pool.serverOpened(PoolTests.server(99))
            count += 1
        }
        #expect(count == 8)
    }

    @Test func thePoolSizeIsTheLimit() {
        var pool = PoolTests.pool(idleServers: 2) { $0.defaultPoolSize = 3 }
        occupyAll(2, in: &pool)
        wait(5, in: &pool)
        #expect(pool.wantsServer(now: 0) == true)
        pool.serverOpened(PoolTests.server(99))
        #expect(pool.wantsServer(now: .seconds(1_000)) == false)
    }

    @Test func zeroMeansNoLimit() {
        var pool = PoolTests.pool(idleServers: 200) { $0.defaultPoolSize = 0 }
        occupyAll(200, in: &pool)
        wait(1, in: &pool)
        #expect(pool.wantsServer(now: 0) == true)
        #expect(pool.surplus == 0)
    }

    @Test func theReserveOpensForWhoWaitedLong() {
        var pool = PoolTests.pool(idleServers: 1) {
            $0.defaultPoolSize = 1
            $0.reservePoolSize = 1
            $0.reservePoolTimeout = .seconds(5)
        }
        occupyAll(1, in: &pool)
        wait(2, in: &pool, now: .seconds(10))
        #expect(pool.wantsServer(now: .seconds(15) - 1) == false)
        #expect(pool.wantsServer(now: .seconds(15)) == true)
        pool.serverOpened(PoolTests.server(99))
        #expect(pool.wantsServer(now: .seconds(1_000)) == false, "the reserve is used up")
    }

    @Test(arguments: [(0, Microseconds.seconds(5)), (1, 0)])
    func thereMayBeNoReserve(_ size: Int, timeout: Microseconds) {
        var pool = PoolTests.pool(idleServers: 1) {
            $0.defaultPoolSize = 1
            $0.reservePoolSize = size
            $0.reservePoolTimeout = timeout
        }
        occupyAll(1, in: &pool)
        wait(2, in: &pool)
        #expect(pool.wantsServer(now: .seconds(1_000)) == false)
    }

    @Test func theMinimumIsKept() {
        var pool = PoolTests.pool { $0.minPoolSize = 2 }
        #expect(pool.isBelowMinimum(now: 0) == true)
        pool.serverOpened(PoolTests.server(99))
        #expect(pool.isBelowMinimum(now: 0) == false, "one at a time")
        pool.serverMoved(from: .login, to: .idle)
        #expect(pool.isBelowMinimum(now: 0) == true)
        PoolTests.addIdleServer(2, to: &pool)
        #expect(pool.isBelowMinimum(now: 0) == false)
    }

    @Test func theMinimumIsNotAboveThePoolSize() {
        var pool = PoolTests.pool {
            $0.minPoolSize = 5
            $0.defaultPoolSize = 1
        }
        #expect(pool.isBelowMinimum(now: 0) == true)
        PoolTests.addIdleServer(1, to: &pool)
        #expect(pool.isBelowMinimum(now: 0) == false)
    }

    @Test func whatIsBeyondTheLimitsIsSurplus() {
        var pool = PoolTests.pool(idleServers: 5) {
            $0.defaultPoolSize = 2
            $0.reservePoolSize = 1
        }
        #expect(pool.surplus == 2)
        pool.settings.defaultPoolSize = 20
        #expect(pool.surplus == 0)
    }

    // MARK: Failures

    @Test func thePauseDoublesUpToServerLoginRetry() {
        var pool = PoolTests.pool { $0.serverLoginRetry = .seconds(1) }
        let pauses: [Microseconds] = [
            .milliseconds(100), .milliseconds(200), .milliseconds(400), .milliseconds(800),
            .seconds(1), .seconds(1),
        ]
        for pause in pauses {
            pool.loginFailed(.serverConnectFailed, startedAt: 0, now: 0, jitter: 0)
            #expect(pool.nextAttemptTime == pause)
        }
        for _ in 0..<100 { pool.loginFailed(.serverConnectFailed, startedAt: 0, now: 0, jitter: 0) }
        #expect(pool.nextAttemptTime == .seconds(1))
        pool.loginSucceeded()
        pool.loginFailed(.serverConnectFailed, startedAt: 0, now: 0, jitter: 0)
        #expect(pool.nextAttemptTime == .milliseconds(100))
    }

    /// Eight attempts at once that all fail are one failure.
    @Test func attemptsThatRanTogetherCountOnce() {
        var pool = PoolTests.pool()
        for index in 0..<8 {
            pool.loginFailed(
                .serverConnectFailed,
                startedAt: 0,
                now: .milliseconds(10 + Int64(index)),
                jitter: 0
            )
        }
        #expect(pool.nextAttemptTime == .milliseconds(110))
        pool.loginFailed(
            .serverConnectFailed,
            startedAt: .milliseconds(110),
            now: .milliseconds(111),
            jitter: 0
        )
        #expect(pool.nextAttemptTime == .milliseconds(311))
    }

    @Test func theJitterAddsUpToATenth() {
        var pool = PoolTests.pool()
        pool.loginFailed(
            .serverConnectFailed,
            startedAt: .seconds(7),
            now: .seconds(7),
            jitter: 0.5
        )
        #expect(pool.nextAttemptTime == .seconds(7) + .milliseconds(105))
    }

    @Test func afterAFailureOneAtATimeFindsOut() {
        var pool = PoolTests.pool { $0.minPoolSize = 1 }
        wait(10, in: &pool)
        pool.loginFailed(.serverConnectTimeout, startedAt: 0, now: 0, jitter: 0)
        #expect(pool.wantsServer(now: .milliseconds(100) - 1) == false)
        #expect(pool.isBelowMinimum(now: .milliseconds(100) - 1) == false)
        #expect(pool.wantsServer(now: .milliseconds(100)) == true)
        pool.serverOpened(PoolTests.server(99))
        #expect(pool.wantsServer(now: .milliseconds(100)) == false)
        pool.loginSucceeded()
        #expect(pool.wantsServer(now: 0) == true, "and then as many as before")
    }

    @Test func whileAttemptsFailClientsAreToldAtOnce() {
        var pool = PoolTests.pool()
        pool.loginFailed(.serverConnectFailed, startedAt: 0, now: 0, jitter: 0)
        #expect(
            pool.request(PoolTests.client(1), of: .chief, now: 1)
                == .fail(.serverLoginFailing("connect failed"))
        )
        #expect(pool.request(PoolTests.client(1), of: .chief, now: .seconds(1)) == .wait(ticket: 1))
        #expect(pool.failure == .serverConnectFailed)
        pool.forgetFailure()
        #expect(pool.failure == nil)
        #expect(pool.nextAttemptTime == 0)
    }

    @Test func theServersOwnWordsArePassedOn() {
        let response = ErrorResponse(.fatal, "3D000", "database \"x\" does not exist")
        var pool = PoolTests.pool()
        pool.loginFailed(.serverLoginFailed(response), startedAt: 0, now: 0, jitter: 0)
        #expect(
            pool.request(PoolTests.client(1), of: .chief, now: 1)
                == .fail(.serverLoginFailed(response))
        )
    }

    @Test func serversThatAreThereMayStillServe() {
        var pool = PoolTests.pool(idleServers: 1)
        occupyAll(1, in: &pool)
        pool.loginFailed(.serverConnectFailed, startedAt: 0, now: 0, jitter: 0)
        #expect(pool.request(PoolTests.client(1), of: .chief, now: 1) == .wait(ticket: 1))
    }

    // MARK: Support

    private func wait(_ count: UInt32, in pool: inout Pool, now: Microseconds = 0) {
        for number in 0..<count { PoolTests.wait(number, in: &pool, now: now) }
    }

    private func occupyAll(_ count: UInt32, in pool: inout Pool) {
        for _ in 0..<count { pool.serverMoved(from: .idle, to: .active) }
    }
}
