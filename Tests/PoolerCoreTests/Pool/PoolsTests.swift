import PoolerCore
import PostgresWire
import Testing

/// The pools together.
@Suite struct PoolsTests {
    // MARK: Pools by key

    @Test func aKeyHasOnePool() {
        var pools = Pools()
        let first = pools.insert(Self.key("d", "u"))
        let second = pools.insert(Self.key("d", "v"))
        #expect(first != second)
        #expect(pools.id(of: Self.key("d", "u")) == first)
        #expect(pools.id(of: Self.key("d", "w")) == nil)
        #expect(pools.ids == [first, second])
    }

    @Test func poolsOfADatabase() {
        var pools = Pools()
        let one = pools.insert(Self.key("d", "u"))
        let two = pools.insert(Self.key("e", "u"))
        let three = pools.insert(Self.key("d", "v"))
        #expect(pools.ids(ofDatabase: "d") == [one, three])
        #expect(pools.ids(ofDatabase: "nothing") == [])
        #expect(pools.ids(ofDatabase: nil) == [one, two, three])
    }

    @Test func aForgottenPoolMakesRoomForAnother() {
        var pools = Pools()
        let first = pools.insert(Self.key("a", "u"))
        let second = pools.insert(Self.key("b", "u"))
        pools.updateDatabase("a") { $0.clientCount = 0 }
        pools.remove(first)
        #expect(pools.ids == [second])
        #expect(pools.ids(ofDatabase: "a") == [])
        let third = pools.insert(Self.key("c", "u"))
        #expect(third == first, "the place is used again")
        #expect(pools.ids(ofDatabase: "c") == [third])
        #expect(pools.ids(ofDatabase: "b") == [second])
    }

    // MARK: Clients

    @Test func clientsCountForDatabaseAndUser() {
        var pools = Pools()
        let limits = Settings()
        #expect(pools.admitClient(database: "d", user: "u", limits: ClientLimits(limits)) == nil)
        #expect(pools.admitClient(database: "d", user: "v", limits: ClientLimits(limits)) == nil)
        pools.clientLeft(database: "d", user: "u")
        #expect(pools.state(ofDatabase: "d").clientCount == 1)
        #expect(pools.state(ofUser: "u").clientCount == 0)
        #expect(pools.state(ofUser: "v").clientCount == 1)
        #expect(pools.state(ofUser: "nobody").clientCount == 0)
    }

    @Test func clientsBeyondALimitAreRefused() {
        var pools = Pools()
        var limits = Settings()
        limits.maxDBClientConnections = 2
        limits.maxUserClientConnections = 1
        #expect(pools.admitClient(database: "d", user: "u", limits: ClientLimits(limits)) == nil)
        #expect(
            pools.admitClient(database: "e", user: "u", limits: ClientLimits(limits))
                == "client connections exceeded (max_user_client_connections)"
        )
        #expect(pools.admitClient(database: "d", user: "v", limits: ClientLimits(limits)) == nil)
        #expect(
            pools.admitClient(database: "d", user: "w", limits: ClientLimits(limits))
                == "client connections exceeded (max_db_client_connections)"
        )
        #expect(pools.state(ofDatabase: "d").clientCount == 2, "the refused do not count")
        #expect(pools.state(ofUser: "w").clientCount == 0)
        #expect(pools.state(ofDatabase: "e").clientCount == 0)
    }

    @Test func aDisabledDatabaseTakesNobody() {
        var pools = Pools()
        pools.updateDatabase("d") { $0.isDisabled = true }
        #expect(
            pools.admitClient(database: "d", user: "u", limits: ClientLimits(Settings()))
                == "database \"d\" is disabled"
        )
    }

    // MARK: Servers

    @Test func withoutLimitsEveryPoolMayOpen() {
        var pools = Pools()
        Self.open(500, Self.key("d", "u"), Settings(), in: &pools)
        #expect(pools.state(ofDatabase: "d").serverCount == 500)
        #expect(pools.poolsInTheWay(of: Self.key("d", "u"), limits: Settings()).isEmpty)
    }

    @Test func theDatabasesLimitHoldsAcrossItsPools() {
        var pools = Pools()
        var limits = Settings()
        limits.maxDBConnections = 3
        Self.open(2, Self.key("d", "u"), limits, in: &pools)
        #expect(pools.hasRoom(for: Self.key("d", "v"), limits: limits))
        Self.open(1, Self.key("d", "v"), limits, in: &pools)
        #expect(pools.admitServer(of: Self.key("d", "u"), at: Self.host, limits: limits) == false)
        #expect(pools.admitServer(of: Self.key("d", "v"), at: Self.host, limits: limits) == false)
        #expect(pools.state(ofDatabase: "d").serverCount == 3, "the refused do not count")
        #expect(pools.hasRoom(for: Self.key("e", "u"), limits: limits))
        pools.serverClosed(of: Self.key("d", "v"), at: Self.host)
        #expect(pools.hasRoom(for: Self.key("d", "u"), limits: limits))
    }

    @Test func theUsersLimitHoldsAcrossItsPools() {
        var pools = Pools()
        var limits = Settings()
        limits.maxUserConnections = 2
        Self.open(2, Self.key("d", "u"), limits, in: &pools)
        #expect(!pools.hasRoom(for: Self.key("e", "u"), limits: limits))
        #expect(pools.hasRoom(for: Self.key("d", "v"), limits: limits))
    }

    /// Closing a server is no use if the other limit still stands in the way.
    @Test func whatIsInTheWay() {
        var pools = Pools()
        var limits = Settings()
        limits.maxDBConnections = 2
        limits.maxUserConnections = 1
        let needy = Self.key("d", "u")
        let own = pools.insert(needy)
        let sameDatabase = pools.insert(Self.key("d", "v"))
        let sameUser = pools.insert(Self.key("e", "u"))
        _ = pools.insert(Self.key("e", "v"))
        #expect(pools.poolsInTheWay(of: needy, limits: limits).isEmpty)
        Self.open(1, needy, limits, in: &pools)
        #expect(pools.poolsInTheWay(of: needy, limits: limits) == [[sameUser]])
        Self.open(1, Self.key("d", "v"), limits, in: &pools)
        let lists = pools.poolsInTheWay(of: needy, limits: limits)
        #expect(lists == [[sameDatabase], [sameUser]])
        #expect(!lists.joined().contains(own), "a pool does not rob itself")
        let all = pools.poolsInTheWay(of: needy, limits: limits, includingOwn: true)
        #expect(all == [[own, sameDatabase], [own, sameUser]], "but for replication")
    }

    // MARK: Support

    private static let host = HostName(host: "a", port: 5432)

    private static func key(_ database: ByteString, _ user: ByteString) -> PoolKey {
        PoolKey(database: database, user: user)
    }

    private static func open(
        _ count: Int,
        _ key: PoolKey,
        _ limits: Settings,
        in pools: inout Pools
    ) {
        for _ in 0..<count {
            #expect(pools.admitServer(of: key, at: Self.host, limits: limits) == true)
        }
    }
}
