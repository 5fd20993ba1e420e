// What is taken up from another process: settings, statements, names of custom settings.

import PoolerCore
import PostgresWire
import Testing

@Suite struct AdoptedStateTests {
    private static let key = PoolKey(database: "app", user: "app")

    @Test func settings() {
        var old = SettingsStates()
        let first = old.setting("TimeZone", to: "UTC", in: .empty, isReported: true)
        let state = old.setting("work_mem", to: "7MB", in: first, isReported: false)
        var new = SettingsStates()
        _ = new.setting("other", to: "x", in: .empty, isReported: false)
        let adopted = new.state(of: old.records(of: state))
        #expect(new.records(of: adopted) == old.records(of: state))
        #expect(new.value(of: "TIMEZONE", in: adopted) == "UTC")
        let count = new.count
        new.release(adopted)
        #expect(new.count == count - 1)
    }

    /// A statement keeps its number, which is its name on servers, and whoever prepares the same text
    /// gets it.
    @Test func aSharedStatement() throws {
        var old = StatementStore()
        let slot = old.retain(body: "select 1\0\0\0", settings: .none.ofPool(5))
        let record = try #require(old.record(of: slot, pool: Self.key, mark: 5))
        #expect(record.pool == PoolKeyRecord(Self.key))
        var new = StatementStore()
        new.begin(generation: 1)
        let adopted = new.adopt(record, mark: 9)
        #expect(new.serial(of: adopted) == old.serial(of: slot))
        #expect(new.retain(body: "select 1\0\0\0", settings: .none.ofPool(9)) == adopted)
        let other = new.retain(body: "select 2\0\0\0", settings: .none.ofPool(9))
        #expect(new.serial(of: other) == 1 << 32 + 1)
    }

    /// Where a client of the new process was first, the adopted statement is nobody else's.
    @Test func aTextThatIsTaken() throws {
        var old = StatementStore()
        let slot = old.retain(body: "select 1\0\0\0", settings: .none.ofPool(5))
        let record = try #require(old.record(of: slot, pool: Self.key, mark: 5))
        var new = StatementStore()
        new.begin(generation: 1)
        let own = new.retain(body: "select 1\0\0\0", settings: .none.ofPool(9))
        let adopted = new.adopt(record, mark: 9)
        #expect(adopted != own)
        #expect(new.serial(of: adopted) == old.serial(of: slot))
        #expect(new.retain(body: "select 1\0\0\0", settings: .none.ofPool(9)) == own)
        new.release(adopted)
        #expect(new.body(of: adopted) == "")
        #expect(new.body(of: own) == "select 1\0\0\0")
    }

    /// One client's own statement, or one that gives something else by now, stays apart.
    @Test func aPrivateStatement() throws {
        var old = StatementStore()
        let slot = old.retain(body: "execute x\0\0\0", settings: .none.ofPool(5).ofClient(3))
        let record = try #require(old.record(of: slot, pool: Self.key, mark: 5))
        #expect(record.pool == nil)
        let outdated = old.retain(body: "select 3\0\0\0", settings: .none.ofPool(5))
        old.outdate(outdated)
        #expect(old.record(of: outdated, pool: Self.key, mark: 5)?.pool == nil)
        var new = StatementStore()
        let adopted = new.adopt(record, mark: 9)
        #expect(new.retain(body: "execute x\0\0\0", settings: .none.ofPool(9)) != adopted)
    }

    /// The names that are not told apart stay so.
    @Test func customNames() {
        var old = CustomNameBook()
        let many = old.set(of: (0..<70).map { ByteString("app.n\($0)") })
        let two = old.set(of: ["app.n1", "app.n2"])
        #expect(old.names(in: two) == ["app.n1", "app.n2"])
        #expect(old.names(in: many).contains(""))
        #expect(old.names(in: []) == [])
        var new = CustomNameBook()
        let adopted = new.set(adopting: old.names(in: two))
        #expect(adopted == new.set(of: ["app.n2", "app.n1"]))
        let overflow = new.set(adopting: old.names(in: many))
        #expect(new.names(in: overflow).contains(""))
    }

    /// Seats that another process still takes leave no room for new servers.
    @Test func seatsOfAnotherProcess() {
        var settings = Settings()
        settings.defaultPoolSize = 2
        var pool = Pool(key: Self.key, settings: settings)
        pool.foreignServerCount = 2
        _ = pool.request(ClientID(index: 0, generation: 1), of: .chief, now: 0)
        let wantsNone = !pool.wantsServer(now: 1)
        #expect(wantsNone)
        pool.foreignServerCount = 1
        let wantsOne = pool.wantsServer(now: 1)
        #expect(wantsOne)
        pool.serverAdopted(
            ServerID(index: 0, generation: 1),
            at: HostName(host: "a", port: 5432)
        )
        let hasEnough = !pool.wantsServer(now: 1)
        #expect(hasEnough)
    }

    @Test func aServerThatGoesOn() {
        let machine = ServerMachine(settledIn: .inTransaction, hasChangedSchema: true)
        #expect(machine.canMove == true)
        #expect(machine.hasChangedSchema == true)
        #expect(machine.isClean == false)
        var busy = ServerMachine()
        busy.expect(Expectation(.query, .client))
        #expect(busy.canMove == false)
    }
}
