import PoolerCore
import PostgresWire
import Testing

/// Which host the next server is opened at.
@Suite struct HostsTests {
    private static let names = ["a", "b", "c"].map { HostName(host: $0, port: 5432) }
    private static let (a, b, c) = (names[0], names[1], names[2])

    private static func attempt(
        _ name: HostName,
        address: String = "1",
        of count: Int = 1,
        start: Microseconds = 0
    ) -> HostAttempt {
        HostAttempt(to: name, address: address, of: count, start: start)
    }

    /// The next hosts of a database, one after the other.
    private static func choices(
        _ hosts: inout Hosts,
        _ count: Int,
        isFixed: Bool = false,
        now: Microseconds = 0
    ) -> [String] {
        (0..<count).map { _ in
            hosts.choose(for: "d", among: names, isFixed: isFixed, now: now).host
        }
    }

    private static func fail(_ name: HostName, in hosts: inout Hosts, now: Microseconds = 0) {
        hosts.failed(
            attempt(name, start: now),
            .serverConnectFailed,
            now: now,
            longestPause: .seconds(15)
        )
    }

    @Test func inTurnOrAlwaysTheSame() {
        var hosts = Hosts()
        #expect(Self.choices(&hosts, 4) == ["a", "b", "c", "a"])
        #expect(Self.choices(&hosts, 3, isFixed: true) == ["b", "b", "b"])
    }

    @Test func aHostThatIsDownIsAvoided() {
        var hosts = Hosts()
        Self.fail(Self.b, in: &hosts)
        #expect(Self.choices(&hosts, 4) == ["a", "c", "a", "c"])
        #expect(!hosts.haveFailed(Self.names, since: 0, now: 0))
        #expect(hosts.state(of: Self.b).isDown)
        #expect(hosts.state(of: Self.b).failure == .serverConnectFailed)
        hosts.succeeded(Self.b)
        #expect(hosts.state(of: Self.b) == Hosts().state(of: Self.a))
        #expect(Self.choices(&hosts, 3) == ["a", "b", "c"])
    }

    /// load_balance_hosts = disable: the next one serves until it fails, too.
    @Test func aFixedChoiceMovesWhenItsHostIsDown() {
        var hosts = Hosts()
        #expect(Self.choices(&hosts, 2, isFixed: true) == ["a", "a"])
        Self.fail(Self.a, in: &hosts)
        #expect(Self.choices(&hosts, 2, isFixed: true) == ["b", "b"])
        #expect(Self.choices(&hosts, 2, isFixed: true, now: .seconds(100)) == ["b", "b"])
        Self.fail(Self.b, in: &hosts)
        #expect(Self.choices(&hosts, 2, isFixed: true) == ["c", "c"])
    }

    /// After a pause one attempt at a time finds out whether a host is up again.
    @Test func aHostIsTriedAgain() {
        var hosts = Hosts()
        Self.fail(Self.a, in: &hosts)
        #expect(Self.choices(&hosts, 1, now: 99_999) == ["b"])
        #expect(Self.choices(&hosts, 5, now: 100_000) == ["c", "a", "b", "c", "b"])
    }

    /// An attempt that was not made after all holds nobody up for long.
    @Test func aChoiceIsNotForEver() {
        var hosts = Hosts()
        var now: Microseconds = 0
        for _ in 0..<20 {
            Self.fail(Self.a, in: &hosts, now: now)
            now += .seconds(20)
        }
        #expect(Self.choices(&hosts, 3, now: now).contains("a"))
        #expect(!Self.choices(&hosts, 3, now: now + 1_999_999).contains("a"))
        #expect(Self.choices(&hosts, 3, now: now + 2_000_000).contains("a"))
    }

    @Test func thePauseGrowsUpToALimit() {
        var hosts = Hosts()
        var now: Microseconds = 0
        for pause: Microseconds in [100_000, 200_000, 400_000, 800_000, 1_000_000, 1_000_000] {
            hosts.failed(
                Self.attempt(Self.a, start: now),
                .serverConnectFailed,
                now: now,
                longestPause: .seconds(1)
            )
            var later = hosts
            #expect(Self.choices(&later, 3, now: now + pause - 1).contains("a") == false)
            #expect(Self.choices(&later, 3, now: now + pause).contains("a"))
            now += pause
        }
    }

    @Test func ofAttemptsAtTheSameTimeOneCounts() {
        var hosts = Hosts()
        for now: Microseconds in 10...20 {
            hosts.failed(
                Self.attempt(Self.a, start: 5),
                .serverConnectFailed,
                now: now,
                longestPause: .seconds(15)
            )
        }
        #expect(Self.choices(&hosts, 3, now: 100_010).contains("a"))
    }

    /// All are down: the one that failed first is tried again, as long as somebody has not seen it fail.
    @Test func whenAllAreDown() {
        var hosts = Hosts()
        let unit: Microseconds = 10_000
        for (index, name) in Self.names.enumerated() {
            Self.fail(name, in: &hosts, now: Microseconds(10 - index) * unit)
        }
        #expect(Self.choices(&hosts, 1, now: 10 * unit) == ["c"])
        #expect(hosts.haveFailed(Self.names, since: 8 * unit, now: 20 * unit))
        #expect(!hosts.haveFailed(Self.names, since: 9 * unit, now: 20 * unit))
        #expect(hosts.haveFailed([Self.a], since: 11 * unit, now: 11 * unit))
        #expect(!hosts.haveFailed([Self.a], since: 30 * unit, now: 30 * unit))
        hosts.forgetFailures()
        #expect(!hosts.haveFailed(Self.names, since: 0, now: 10 * unit))
    }

    /// A name is down when all of its addresses are.
    @Test func aNameWithSeveralAddresses() {
        var hosts = Hosts()
        for address in ["1", "1", "2"] {
            #expect(!hosts.state(of: Self.a).isDown)
            let attempt = Self.attempt(Self.a, address: address, of: 2)
            #expect(hosts.hasAlternative(to: attempt, among: [Self.a]) == (address == "1"))
            hosts.failed(attempt, .serverConnectFailed, now: 0, longestPause: .seconds(15))
        }
        #expect(hosts.state(of: Self.a).isDown)
    }

    @Test func aHostThatIsUpIsAnAlternative() {
        var hosts = Hosts()
        let attempt = Self.attempt(Self.a)
        #expect(!hosts.hasAlternative(to: attempt, among: [Self.a]))
        #expect(hosts.hasAlternative(to: attempt, among: [Self.a, Self.b]))
        Self.fail(Self.b, in: &hosts)
        #expect(!hosts.hasAlternative(to: attempt, among: [Self.a, Self.b]))
        #expect(hosts.hasAlternative(to: attempt, among: Self.names))
    }

    @Test func aRefusalMovesAFixedChoiceOn() {
        var hosts = Hosts()
        #expect(Self.choices(&hosts, 1, isFixed: true) == ["a"])
        hosts.moveOn(from: Self.a, for: "d", among: Self.names)
        #expect(Self.choices(&hosts, 2, isFixed: true) == ["b", "b"])
        #expect(!hosts.state(of: Self.a).isDown)
    }

    @Test func serversAreCounted() {
        var hosts = Hosts()
        hosts.serversOpened(at: Self.a)
        hosts.serversOpened(at: Self.a)
        hosts.serverClosed(at: Self.a)
        #expect(hosts.state(of: Self.a).serverCount == 1)
        Self.fail(Self.a, in: &hosts)
        hosts.succeeded(Self.a)
        #expect(hosts.state(of: Self.a).serverCount == 1)
        hosts.serverClosed(at: Self.a)
        #expect(hosts.state(of: Self.a) == Hosts().state(of: Self.a))
    }

    @Test func whatIsTheHostsFault() {
        for reason in [
            CloseReason.serverConnectFailed, .serverConnectTimeout, .serverNameUnresolved,
        ] {
            #expect(reason.isOfHost)
        }
        func refused(_ state: SQLState) -> CloseReason {
            .serverLoginFailed(ErrorResponse(.fatal, state, ""))
        }
        for state: SQLState in ["57P03", "53300"] { #expect(refused(state).isOfHost) }
        for state: SQLState in ["3D000", "28P01"] { #expect(!refused(state).isOfHost) }
        #expect(!CloseReason.databaseRemoved.isOfHost)
    }
}
