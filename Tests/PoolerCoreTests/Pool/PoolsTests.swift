import PoolerCore
import PostgresWire
import Testing

/// The pools together.
@Suite struct PoolsTests {
    // MARK: Pools by key

    @Test func aKeyHasOnePool() {
        var pools = Pools()
        let first = Self.pool("d", "u", in: &pools)
        let second = Self.pool("d", "v", in: &pools)
        #expect(first != second)
        #expect(pools.id(for: PoolKey(database: "d", user: "u"), settings: Settings()) == first)
        #expect(pools.ids == [first, second])
        #expect(pools[second].key == PoolKey(database: "d", user: "v"))
    }

    @Test func settingsAreEvaluatedForNewPoolsOnly() {
        var pools = Pools()
        _ = Self.pool("d", "u", in: &pools) { $0.defaultPoolSize = 3 }
        let id = Self.pool("d", "u", in: &pools) { $0.defaultPoolSize = 4 }
        #expect(pools[id].settings.defaultPoolSize == 3)
    }

    @Test func poolsOfADatabase() {
        var pools = Pools()
        let one = Self.pool("d", "u", in: &pools)
        let two = Self.pool("e", "u", in: &pools)
        let three = Self.pool("d", "v", in: &pools)
        #expect(pools.ids(ofDatabase: "d") == [one, three])
        #expect(pools.ids(ofDatabase: "nothing") == [])
        #expect(pools.ids(ofDatabase: nil) == [one, two, three])
    }

    @Test func aNewPoolOfAPausedDatabaseIsPaused() {
        var pools = Pools()
        pools.updateDatabase("d") { $0.isPaused = true }
        let paused = Self.pool("d", "u", in: &pools)
        let other = Self.pool("e", "u", in: &pools)
        #expect(pools[paused].isPaused == true)
        #expect(pools[other].isPaused == false)
    }

    // MARK: Counts

    @Test func clientsCountForDatabaseAndUser() {
        var pools = Pools()
        pools.countClient(1, database: "d", user: "u")
        pools.countClient(1, database: "d", user: "v")
        pools.countClient(-1, database: "d", user: "u")
        #expect(pools.state(ofDatabase: "d").clientCount == 1)
        #expect(pools.state(ofUser: "u").clientCount == 0)
        #expect(pools.state(ofUser: "v").clientCount == 1)
        #expect(pools.state(ofUser: "nobody").clientCount == 0)
    }

    @Test func serversCountForDatabaseAndUser() {
        var pools = Pools()
        let id = Self.pool("d", "u", in: &pools)
        Self.open(3, in: id, of: &pools)
        pools.countServer(-1, of: id)
        #expect(pools.state(ofDatabase: "d").serverCount == 2)
        #expect(pools.state(ofUser: "u").serverCount == 2)
    }

    // MARK: Limits

    @Test func withoutLimitsEveryPoolMayOpen() {
        var pools = Pools()
        let id = Self.pool("d", "u", in: &pools)
        Self.open(500, in: id, of: &pools)
        #expect(pools.mayOpenServer(id) == true)
        #expect(pools.poolToEvictFrom(for: id) == nil)
    }

    @Test func aForgottenPoolMakesRoomForAnother() {
        var pools = Pools()
        let first = pools.id(for: PoolKey(database: "a", user: "u"), settings: Settings())
        let second = pools.id(for: PoolKey(database: "b", user: "u"), settings: Settings())
        pools.updateDatabase("a") { $0.clientCount = 0 }
        pools.remove(first)
        #expect(pools.ids == [second])
        #expect(pools.ids(ofDatabase: "a") == [])
        let third = pools.id(for: PoolKey(database: "c", user: "u"), settings: Settings())
        #expect(Set(pools.ids) == [second, third])
        #expect(pools[third].key.database == "c")
        #expect(pools[second].key.database == "b")
    }

    @Test func theDatabasesLimitHoldsAcrossItsPools() {
        var pools = Pools()
        let one = Self.pool("d", "u", in: &pools) { $0.maxDBConnections = 3 }
        let two = Self.pool("d", "v", in: &pools) { $0.maxDBConnections = 3 }
        let other = Self.pool("e", "u", in: &pools) { $0.maxDBConnections = 3 }
        Self.open(2, in: one, of: &pools)
        #expect(pools.mayOpenServer(two) == true)
        Self.open(1, in: two, of: &pools)
        #expect(pools.mayOpenServer(one) == false)
        #expect(pools.mayOpenServer(two) == false)
        #expect(pools.mayOpenServer(other) == true)
    }

    @Test func theUsersLimitHoldsAcrossItsPools() {
        var pools = Pools()
        let one = Self.pool("d", "u", in: &pools) { $0.maxUserConnections = 2 }
        let two = Self.pool("e", "u", in: &pools) { $0.maxUserConnections = 2 }
        let other = Self.pool("d", "v", in: &pools) { $0.maxUserConnections = 2 }
        Self.open(2, in: one, of: &pools)
        #expect(pools.mayOpenServer(two) == false)
        #expect(pools.mayOpenServer(other) == true)
    }

    // MARK: Eviction

    @Test func anIdleServerOfTheFullDatabaseGivesWay() {
        var pools = Pools()
        let needy = Self.pool("d", "u", in: &pools) { $0.maxDBConnections = 2 }
        let elsewhere = Self.pool("e", "u", in: &pools)
        let busy = Self.pool("d", "v", in: &pools)
        let idle = Self.pool("d", "w", in: &pools)
        Self.addIdle(1, in: elsewhere, of: &pools)
        Self.open(1, in: busy, of: &pools)
        #expect(pools.poolToEvictFrom(for: needy) == nil, "there is room")
        Self.addIdle(2, in: idle, of: &pools)
        #expect(pools.poolToEvictFrom(for: needy) == idle)
    }

    @Test func anIdleServerOfTheFullUserGivesWay() {
        var pools = Pools()
        let needy = Self.pool("d", "u", in: &pools) { $0.maxUserConnections = 1 }
        let stranger = Self.pool("d", "v", in: &pools)
        let idle = Self.pool("e", "u", in: &pools)
        Self.addIdle(1, in: stranger, of: &pools)
        Self.addIdle(2, in: idle, of: &pools)
        #expect(pools.poolToEvictFrom(for: needy) == idle)
    }

    @Test func aPoolDoesNotRobItself() {
        var pools = Pools()
        let id = Self.pool("d", "u", in: &pools) { $0.maxDBConnections = 1 }
        Self.addIdle(1, in: id, of: &pools)
        #expect(pools.mayOpenServer(id) == false)
        #expect(pools.poolToEvictFrom(for: id) == nil)
    }

    /// Closing a server is no use if the other limit still stands in the way.
    @Test func whereBothAreFullBothMustGiveWay() {
        var pools = Pools()
        let needy = Self.pool("d", "u", in: &pools) {
            $0.maxDBConnections = 2
            $0.maxUserConnections = 1
        }
        let sameDatabase = Self.pool("d", "v", in: &pools)
        let sameUser = Self.pool("e", "u", in: &pools)
        Self.addIdle(1, in: sameDatabase, of: &pools)
        Self.open(1, in: needy, of: &pools)
        #expect(pools.poolToEvictFrom(for: needy) == nil)
        Self.addIdle(2, in: sameUser, of: &pools)
        #expect(pools.poolToEvictFrom(for: needy) == sameDatabase)
        pools[sameDatabase].serverClosed(PoolTests.server(1), in: .idle)
        pools.countServer(-1, of: sameDatabase)
        #expect(pools.poolToEvictFrom(for: needy) == sameUser)
    }

    // MARK: Support

    private static func pool(
        _ database: ByteString,
        _ user: ByteString,
        in pools: inout Pools,
        _ change: (inout Settings) -> Void = { _ in }
    ) -> PoolID {
        var settings = Settings()
        change(&settings)
        return pools.id(for: PoolKey(database: database, user: user), settings: settings)
    }

    private static func open(_ count: Int, in id: PoolID, of pools: inout Pools) {
        for _ in 0..<count {
            pools[id].serverOpened()
            pools.countServer(1, of: id)
        }
    }

    private static func addIdle(_ number: UInt32, in id: PoolID, of pools: inout Pools) {
        PoolTests.addIdleServer(number, to: &pools[id])
        pools.countServer(1, of: id)
    }
}
