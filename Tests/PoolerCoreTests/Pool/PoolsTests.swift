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
        #expect(
            pools.poolsInTheWay(of: Self.key("d", "u"), at: Self.host, limits: Settings()).isEmpty
        )
    }

    @Test func theDatabasesLimitHoldsAcrossItsPools() {
        var pools = Pools()
        var limits = Settings()
        limits.maxDBConnections = 3
        Self.open(2, Self.key("d", "u"), limits, in: &pools)
        #expect(pools.hasRoom(for: Self.key("d", "v"), at: Self.host, limits: limits))
        Self.open(1, Self.key("d", "v"), limits, in: &pools)
        #expect(pools.admitServer(of: Self.key("d", "u"), at: Self.host, limits: limits) == false)
        #expect(pools.admitServer(of: Self.key("d", "v"), at: Self.host, limits: limits) == false)
        #expect(pools.state(ofDatabase: "d").serverCount == 3, "the refused do not count")
        #expect(pools.hasRoom(for: Self.key("e", "u"), at: Self.host, limits: limits))
        pools.serverClosed(of: Self.key("d", "v"), at: Self.host)
        #expect(pools.hasRoom(for: Self.key("d", "u"), at: Self.host, limits: limits))
    }

    @Test func theUsersLimitHoldsAcrossItsPools() {
        var pools = Pools()
        var limits = Settings()
        limits.maxUserConnections = 2
        Self.open(2, Self.key("d", "u"), limits, in: &pools)
        #expect(!pools.hasRoom(for: Self.key("e", "u"), at: Self.host, limits: limits))
        #expect(pools.hasRoom(for: Self.key("d", "v"), at: Self.host, limits: limits))
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
        #expect(pools.poolsInTheWay(of: needy, at: Self.host, limits: limits).isEmpty)
        Self.open(1, needy, limits, in: &pools)
        #expect(
            pools.poolsInTheWay(of: needy, at: Self.host, limits: limits).map(\.pools) == [
                [sameUser]
            ]
        )
        Self.open(1, Self.key("d", "v"), limits, in: &pools)
        let lists = pools.poolsInTheWay(of: needy, at: Self.host, limits: limits)
        #expect(lists.map(\.pools) == [[sameDatabase], [sameUser]])
        #expect(!lists.contains { $0.pools.contains(own) }, "a pool does not rob itself")
        let all = pools.poolsInTheWay(of: needy, at: Self.host, limits: limits, includingOwn: true)
        #expect(
            all.map(\.pools) == [[own, sameDatabase], [own, sameUser]],
            "but for replication"
        )
    }

    // MARK: Hosts and claims

    private static func claim(
        _ key: PoolKey,
        since: Microseconds,
        isForReplication: Bool = false
    ) -> Claim {
        Claim(
            of: key,
            at: host,
            since: since,
            isForReplication: isForReplication,
            worker: .chief
        )
    }

    @Test func theHostsLimitHoldsAcrossAllPools() {
        var pools = Pools()
        var limits = Settings()
        limits.maxHostConnections = .count(2)
        let needy = pools.insert(Self.key("d", "u"))
        let other = pools.insert(Self.key("e", "v"))
        Self.open(1, Self.key("d", "u"), limits, in: &pools)
        Self.open(1, Self.key("e", "v"), limits, in: &pools)
        #expect(!pools.hasRoom(for: Self.key("f", "w"), at: Self.host, limits: limits))
        let elsewhere = HostName(host: "b", port: 5432)
        #expect(pools.hasRoom(for: Self.key("f", "w"), at: elsewhere, limits: limits))
        let lists = pools.poolsInTheWay(of: Self.key("d", "u"), at: Self.host, limits: limits)
        #expect(lists.map(\.pools) == [[other]])
        #expect(lists.map(\.host) == [Self.host])
        pools.serverClosed(of: Self.key("d", "u"), at: Self.host)
        #expect(pools.hasRoom(for: Self.key("f", "w"), at: Self.host, limits: limits))
        _ = needy
    }

    /// What becomes free is for who has waited longest, whatever pool it came from.
    @Test func roomIsForTheOldestClaim() {
        var pools = Pools()
        var limits = Settings()
        limits.maxHostConnections = .count(1)
        let keys = ["a", "b", "c"].map { Self.key(ByteString($0), "u") }
        let ids = keys.map { pools.insert($0) }
        Self.open(1, keys[0], limits, in: &pools)
        func admit(_ index: Int, since: Microseconds) -> Bool {
            pools.admitServer(
                of: keys[index],
                at: Self.host,
                limits: limits,
                claim: Self.claim(keys[index], since: since),
                now: 100
            )
        }
        #expect(!admit(2, since: 20))
        #expect(!admit(1, since: 10))
        #expect(pools.contendedPools(now: 100) == Set(ids))
        let first = pools.serverClosed(of: keys[0], at: Self.host)
        #expect(first?.key == keys[1])
        #expect(!admit(0, since: 30), "the others came before")
        let lists = pools.poolsInTheWay(of: keys[0], at: Self.host, limits: limits)
        #expect(lists.isEmpty, "nothing has to be closed for that")
        #expect(!pools.hasRoom(for: Self.key("d", "u"), at: Self.host, limits: limits))
        #expect(!admit(2, since: 20))
        #expect(admit(1, since: 10))
        pools.serverClosed(of: keys[1], at: Self.host)
        #expect(admit(2, since: 20))
        pools.serverClosed(of: keys[2], at: Self.host)
        #expect(admit(0, since: 30))
        #expect(pools.claims.isEmpty)
        #expect(pools.contendedPools(now: 100) == [])
    }

    @Test func aServerIsGivenUpForAnOlderClaim() {
        var pools = Pools()
        var limits = Settings()
        limits.maxUserConnections = 1
        let (mine, other) = (Self.key("a", "u"), Self.key("b", "u"))
        Self.open(1, mine, limits, in: &pools)
        let claim = Self.claim(other, since: 1_000)
        let isAdmitted = pools.admitServer(
            of: other,
            at: Self.host,
            limits: limits,
            claim: claim,
            now: 1_000
        )
        #expect(!isAdmitted)
        func yields(_ since: Microseconds?, now: Microseconds) -> Bool {
            pools.mustYield(mine, at: Self.host, since: since, now: now)
        }
        #expect(yields(nil, now: 1_000))
        #expect(!yields(2_000, now: 2_000), "not for a moment")
        #expect(yields(2_000, now: 200_000))
        #expect(!yields(500, now: 200_000), "its own client was first")
        let stranger = Self.key("a", "v")
        #expect(!pools.mustYield(stranger, at: Self.host, since: nil, now: 200_000))
        // Nobody renews it.
        #expect(pools.contendedPools(now: 2_000_000) == [])
        #expect(!yields(nil, now: 2_000_000))
    }

    /// A client that replicates is not overtaken by those of its own pool.
    @Test func aClaimForReplicationHoldsInItsOwnPool() {
        var pools = Pools()
        var limits = Settings()
        limits.maxDBConnections = 1
        let key = Self.key("a", "u")
        _ = pools.insert(key)
        Self.open(1, key, limits, in: &pools)
        func admit(_ claim: Claim) -> Bool {
            pools.admitServer(of: key, at: Self.host, limits: limits, claim: claim, now: 10)
        }
        #expect(!admit(Self.claim(key, since: 5, isForReplication: true)))
        #expect(pools.mustYield(key, at: Self.host, since: 10, now: 200_000))
        pools.serverClosed(of: key, at: Self.host)
        #expect(!admit(Self.claim(key, since: 6)))
        #expect(admit(Self.claim(key, since: 5, isForReplication: true)))
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
