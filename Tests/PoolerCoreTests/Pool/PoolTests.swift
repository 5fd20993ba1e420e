import PoolerCore
import PostgresWire
import Testing

/// Who gets which server, and who waits.
///
/// A pool cannot be copied, so that `#expect` needs an operator, even with `true`.
@Suite struct PoolTests {
    // MARK: Free servers

    @Test func theServerUsedLastIsUsedFirst() {
        var pool = Self.pool(idleServers: 3)
        #expect(pool.request(Self.client(1), now: 0) == .assign(Self.server(3)))
        pool.move(Self.server(3), from: .idle, to: .active)
        #expect(pool.availableServer == Self.server(2))
        pool.move(Self.server(3), from: .active, to: .idle)
        #expect(pool.availableServer == Self.server(3))
        #expect(pool.longestIdleServer == Self.server(1))
    }

    @Test func roundRobinTakesTheServerIdleForLongest() {
        var pool = Self.pool(idleServers: 3) { $0.serverRoundRobin = true }
        for expected: UInt32 in [1, 2, 3, 1, 2] {
            let server = Self.server(expected)
            #expect(pool.request(Self.client(1), now: 0) == .assign(server))
            pool.move(server, from: .idle, to: .active)
            pool.move(server, from: .active, to: .idle)
        }
    }

    @Test func aServerStaysIdleUntilItIsMoved() {
        var pool = Self.pool(idleServers: 1)
        #expect(pool.request(Self.client(1), now: 0) == .assign(Self.server(1)))
        #expect(pool.serverCount(.idle) == 1)
        #expect(pool.serverCount(.active) == 0)
        pool.move(Self.server(1), from: .idle, to: .active)
        #expect(pool.serverCount(.idle) == 0)
        #expect(pool.serverCount(.active) == 1)
        #expect(pool.availableServer == nil)
    }

    @Test func aServerToBeCheckedKeepsItsPlace() {
        var pool = Self.pool(idleServers: 2)
        pool.move(Self.server(1), from: .idle, to: .used)
        #expect(pool.freeServers == [Self.server(1), Self.server(2)])
        pool.move(Self.server(1), from: .used, to: .tested)
        #expect(pool.freeServers == [Self.server(2)])
        #expect(pool.serverCount(.tested) == 1)
    }

    @Test func aClosedServerIsGone() {
        var pool = Self.pool(idleServers: 3)
        pool.serverClosed(Self.server(2), in: .idle)
        #expect(pool.freeServers == [Self.server(1), Self.server(3)])
        pool.move(Self.server(3), from: .idle, to: .active)
        pool.serverClosed(Self.server(3), in: .active)
        #expect(pool.serverCount == 1)
    }

    @Test func countsServersByState() {
        var pool = Self.pool(idleServers: 0)
        for index in UInt32(0)..<UInt32(ServerState.allCases.count) {
            pool.serverOpened()
            let state = ServerState.allCases[Int(index)]
            if state != .login { pool.move(Self.server(index), from: .login, to: state) }
        }
        for state in ServerState.allCases { #expect(pool.serverCount(state) == 1) }
        #expect(pool.serverCount == 6)
        #expect(pool.freeServers.count == 1, "a server becomes `used` only after having been idle")
    }

    // MARK: The queue

    @Test func theLongestWaitingClientIsServedFirst() {
        var pool = Self.pool(idleServers: 0)
        for number: UInt32 in 1...3 { _ = pool.request(Self.client(number), now: Int64(number)) }
        #expect(pool.waitingCount == 3)
        #expect(pool.hasWork == true)
        for number: UInt32 in 1...3 {
            #expect(pool.firstWaiter?.since == Int64(number))
            #expect(pool.takeWaiter()?.client == Self.client(number))
            pool.waitEnded()
        }
        #expect(pool.takeWaiter() == nil)
        #expect(pool.hasWork == false)
    }

    /// A client that comes later gets nothing past those who wait, even if a server is free.
    @Test func nobodyOvertakes() {
        var pool = Self.pool(idleServers: 0)
        _ = pool.request(Self.client(1), now: 0)
        Self.addIdleServer(1, to: &pool)
        guard case .wait = pool.request(Self.client(2), now: 0) else {
            Issue.record("the second client got the first one's server")
            return
        }
        #expect(pool.allWaiters.map(\.client) == [Self.client(1), Self.client(2)])
    }

    @Test func everyWaitHasItsTicket() {
        var pool = Self.pool(idleServers: 0)
        var tickets: Set<UInt32> = []
        for number: UInt32 in 1...4 {
            guard case .wait(let ticket) = pool.request(Self.client(number % 2), now: 0) else {
                Issue.record("there is no server to be had")
                return
            }
            #expect(pool.allWaiters.last?.ticket == ticket)
            tickets.insert(ticket)
        }
        #expect(tickets.count == 4)
    }

    /// Who gives up leaves its place behind; it does not count, and goes with the last who waits.
    @Test func placesOfClientsThatLeft() {
        var pool = Self.pool(idleServers: 0)
        _ = pool.request(Self.client(1), now: 0)
        _ = pool.request(Self.client(2), now: 0)
        pool.waitEnded()
        #expect(pool.waitingCount == 1)
        #expect(pool.allWaiters.count == 2)
        #expect(pool.takeWaiter()?.client == Self.client(1), "the caller knows that it left")
        #expect(pool.waitingCount == 1)
        #expect(pool.hasWork == true)
        pool.waitEnded()
        #expect(pool.allWaiters.isEmpty == true)
        #expect(pool.waitingCount == 0)
    }

    @Test func whoIsPutBackIsNext() {
        var pool = Self.pool(idleServers: 0)
        _ = pool.request(Self.client(1), now: 0)
        _ = pool.request(Self.client(2), now: 0)
        _ = pool.takeWaiter()
        pool.waitEnded()
        pool.putBack(Waiter(client: Self.client(1), ticket: 9, since: 5))
        #expect(pool.waitingCount == 2)
        #expect(pool.allWaiters.map(\.client) == [Self.client(1), Self.client(2)])
    }

    @Test func inAPausedPoolAllWait() {
        var pool = Self.pool(idleServers: 1)
        pool.isPaused = true
        #expect(pool.request(Self.client(1), now: 0) == .wait(ticket: 1))
        #expect(pool.hasWork == false)
        #expect(pool.wantsServer(now: 0) == false)
        #expect(pool.isBelowMinimum(now: 0) == false)
        pool.isPaused = false
        #expect(pool.hasWork == true)
    }

    @Test func statementsAreTrackedWhereServersChange() {
        for mode in [PoolMode.transaction, .statement, .session] {
            #expect(Self.pool { $0.poolMode = mode }.tracksStatements == (mode != .session))
        }
        #expect(Self.pool { $0.maxPreparedStatements = 0 }.tracksStatements == false)
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
        pool.serverOpened()
        pool.move(server(number), from: .login, to: .idle)
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
        pool.serverOpened()
        #expect(pool.wantsServer(now: 0) == false)
        wait(1, in: &pool)
        #expect(pool.wantsServer(now: 0) == true)
    }

    @Test func serversUnderTestWillServeSomebody() {
        var pool = PoolTests.pool(idleServers: 1)
        pool.move(PoolTests.server(1), from: .idle, to: .tested)
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
            pool.serverOpened()
            count += 1
        }
        #expect(count == 8)
    }

    @Test func thePoolSizeIsTheLimit() {
        var pool = PoolTests.pool(idleServers: 2) { $0.defaultPoolSize = 3 }
        occupyAll(2, in: &pool)
        wait(5, in: &pool)
        #expect(pool.wantsServer(now: 0) == true)
        pool.serverOpened()
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
        pool.serverOpened()
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
        pool.serverOpened()
        #expect(pool.isBelowMinimum(now: 0) == false, "one at a time")
        pool.move(PoolTests.server(1), from: .login, to: .idle)
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
        pool.serverOpened()
        #expect(pool.wantsServer(now: .milliseconds(100)) == false)
        pool.loginSucceeded()
        #expect(pool.wantsServer(now: 0) == true, "and then as many as before")
    }

    @Test func whileAttemptsFailClientsAreToldAtOnce() {
        var pool = PoolTests.pool()
        pool.loginFailed(.serverConnectFailed, startedAt: 0, now: 0, jitter: 0)
        #expect(
            pool.request(PoolTests.client(1), now: 1)
                == .fail(.serverLoginFailing("connect failed"))
        )
        #expect(pool.request(PoolTests.client(1), now: .seconds(1)) == .wait(ticket: 1))
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
            pool.request(PoolTests.client(1), now: 1) == .fail(.serverLoginFailed(response))
        )
    }

    @Test func serversThatAreThereMayStillServe() {
        var pool = PoolTests.pool(idleServers: 1)
        occupyAll(1, in: &pool)
        pool.loginFailed(.serverConnectFailed, startedAt: 0, now: 0, jitter: 0)
        #expect(pool.request(PoolTests.client(1), now: 1) == .wait(ticket: 1))
    }

    // MARK: Support

    private func wait(_ count: UInt32, in pool: inout Pool, now: Microseconds = 0) {
        for number in 0..<count { _ = pool.request(PoolTests.client(number), now: now) }
    }

    private func occupyAll(_ count: UInt32, in pool: inout Pool) {
        for number in 0..<count {
            pool.move(PoolTests.server(number + 1), from: .idle, to: .active)
        }
    }
}
