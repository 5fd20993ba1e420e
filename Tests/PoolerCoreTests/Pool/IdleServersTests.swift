import PoolerCore
import PostgresWire
import Testing

/// The free servers that are at home in one worker.
@Suite struct IdleServersTests {
    @Test func theServerUsedLastIsUsedFirst() {
        var idle = Self.idle([.empty, .empty, .empty])
        for number: UInt32 in [2, 1, 0] {
            #expect(idle.take(preferring: .empty) == Self.server(number))
        }
        #expect(idle.take(preferring: .empty) == nil)
    }

    @Test func aServerThatFitsIsPreferred() {
        var states = SettingsStates()
        let own = states.setting("a", to: "1", in: .empty, isReported: true)
        var idle = Self.idle([own, .empty, own, .empty])
        #expect(idle.take(preferring: own) == Self.server(2))
        #expect(idle.take(preferring: own) == Self.server(0))
        #expect(idle.take(preferring: own) == Self.server(1), "none fits: that used first")
        #expect(idle.count == 1)
    }

    @Test func itIsKnownWhenNoneFits() {
        var states = SettingsStates()
        let own = states.setting("a", to: "1", in: .empty, isReported: true)
        #expect(!Self.idle([]).lacks(own), "there is none at all")
        #expect(!Self.idle([own]).lacks(own))
        #expect(!Self.idle([own, .empty]).lacks(own))
        #expect(Self.idle([.empty, .empty]).lacks(own))
    }

    /// A name that the client has not touched is worse than settings that have to be replayed.
    @Test func aServerThatKnowsNoOthersNamesIsPreferred() {
        var states = SettingsStates()
        var book = CustomNameBook()
        let own = states.setting("a", to: "1", in: .empty, isReported: true)
        let (a, b) = (book.set(of: ["app.a"]), book.set(of: ["app.b"]))
        var idle = IdleServers()
        idle.insert(Self.server(0), settings: .empty, customNames: [])
        idle.insert(Self.server(1), settings: own, customNames: a.union(b))
        idle.insert(Self.server(2), settings: own, customNames: b)
        #expect(idle.take(preferring: own, customNames: a) == Self.server(0))
        #expect(idle.take(preferring: own, customNames: a.union(b)) == Self.server(1))
        #expect(idle.take(preferring: own) == Self.server(2), "none fits")
    }

    @Test func whoInsistsGetsNoneThatKnowsOthersNames() {
        var book = CustomNameBook()
        let a = book.set(of: ["app.a"])
        var idle = IdleServers()
        idle.insert(Self.server(0), settings: .empty, customNames: [])
        for number: UInt32 in 1...40 {
            idle.insert(Self.server(number), settings: .empty, customNames: a)
        }
        #expect(idle.take(preferring: .empty, insisting: true) == Self.server(0), "of all")
        #expect(idle.take(preferring: .empty, insisting: true) == nil)
        #expect(idle.count == 40)
        #expect(idle.take(preferring: .empty, customNames: a, insisting: true) == Self.server(40))
    }

    /// So that servers that know nothing stay what they are.
    @Test func aServerThatKnowsTheClientsNamesIsPreferred() {
        var book = CustomNameBook()
        let a = book.set(of: ["app.a"])
        var idle = IdleServers()
        idle.insert(Self.server(0), settings: .empty, customNames: a)
        idle.insert(Self.server(1), settings: .empty, customNames: [])
        #expect(idle.take(preferring: .empty, customNames: a) == Self.server(0))
    }

    @Test func notedAnewAServerStandsThereOnce() {
        var idle = Self.idle([.empty, .empty])
        for _ in 0..<100 {
            idle.removeAll()
            idle.insert(Self.server(0), settings: .empty)
            idle.insert(Self.server(1), settings: .empty)
        }
        #expect(idle.count == 2)
        #expect(idle.take(preferring: .empty) == Self.server(1))
        #expect(idle.take(preferring: .empty) == Self.server(0))
    }

    private static func idle(_ settings: [SettingsID]) -> IdleServers {
        var idle = IdleServers()
        for (index, settings) in settings.enumerated() {
            idle.insert(server(UInt32(index)), settings: settings)
        }
        return idle
    }

    private static func server(_ number: UInt32) -> ServerID {
        ServerID(index: number, generation: 3)
    }
}
