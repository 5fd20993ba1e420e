import PoolerCore
import PostgresWire
import Testing

/// What the servers of a pool are logged in with.
@Suite struct PoolCredentialsTests {
    private func makePool() -> Pool {
        Pool(key: PoolKey(database: "app", user: "ada"), settings: Settings())
    }

    @Test func whatIsNewEndsAPause() {
        var pool = makePool()
        pool.loginFailed(.serverConnectFailed, startedAt: 0, now: 100, jitter: 0)
        pool.use(.plain("first"), asOf: 0)
        #expect(pool.credentials == .plain("first"))
        #expect(pool.failure == nil && pool.nextAttemptTime == 0)
        pool.loginFailed(.serverConnectFailed, startedAt: 0, now: 200, jitter: 0)
        pool.use(.plain("first"), asOf: 0)
        #expect(pool.failure == .serverConnectFailed)
    }

    /// Workers hear of a reload one after the other, and logins go on meanwhile.
    @Test func whatIsOlderThanAReloadDoesNotCount() {
        var pool = makePool()
        pool.use(.plain("old"), asOf: 0)
        pool.secretChanged(by: 7)
        #expect(pool.credentials == .none)
        pool.use(.plain("old"), asOf: 0)
        pool.use(.plain("old"), asOf: 6)
        #expect(pool.credentials == .none)
        pool.use(.plain("new"), asOf: 7)
        pool.secretChanged(by: 7)
        #expect(pool.credentials == .plain("new"))
        pool.secretChanged(by: 9)
        #expect(pool.credentials == .none)
    }
}
