import PoolerCore
import PostgresWire
import Testing

@Suite struct CommandTableTests {
    @Test func everyCommandHasOneRowInAlphabeticalOrder() {
        #expect(commandTable.map(\.name) == CommandName.allCases)
        #expect(commandTable.map(\.name.rawValue) == commandTable.map(\.name.rawValue).sorted())
    }

    @Test func tablesAreInAlphabeticalOrder() {
        #expect(ShowKind.allCases.map(\.rawValue) == ShowKind.allCases.map(\.rawValue).sorted())
    }

    /// One statement for each row, written by hand: the matrix of roles must not follow the table.
    @Test(
        arguments: [
            ("DISABLE a", false), ("ENABLE a", false), ("KILL", false), ("KILL a", false),
            ("KILL_CLIENT 1", false), ("PAUSE", false), ("PAUSE a", false), ("RECONNECT", false),
            ("RELOAD", false), ("RESUME", false), ("RESUME a", false), ("SET a = b", false),
            ("SHUTDOWN", false), ("SHUTDOWN WAIT_FOR_CLIENTS", false), ("SUSPEND", false),
            ("WAIT_CLOSE", false), ("SET timezone = 'GMT'", true), ("SHOW timezone", true),
            ("SHOW CLIENTS", true), ("SHOW CONFIG", true), ("SHOW HELP", true),
            ("SELECT POOLS", true),
        ] as [(ByteString, Bool)]
    )
    func roles(_ query: ByteString, _ statsMay: Bool) throws {
        let statement = try #require(try AdminGrammar.parse(query).first)
        #expect(throws: Never.self) { try statement.authorized(for: .admin) }
        if statsMay {
            #expect(throws: Never.self) { try statement.authorized(for: .stats) }
        } else {
            #expect(throws: AdminError.adminAccessNeeded) { try statement.authorized(for: .stats) }
        }
    }

    @Test func theMatrixIsComplete() {
        #expect(commandTable.filter { $0.role == .stats }.map(\.name) == [.show])
        #expect(ShowKind.allCases.allSatisfy { $0.definition.role == .stats })
    }

    @Test(
        arguments: [
            (.disable(database: "a"), "DISABLE"), (.enable(database: "a"), "ENABLE"),
            (.kill(database: nil), "KILL"), (.killClient(.id(1)), "KILL_CLIENT"),
            (.pause(database: "a"), "PAUSE"), (.reconnect(database: nil), "RECONNECT"),
            (.reload, "RELOAD"), (.resume(database: nil), "RESUME"), (.suspend, "SUSPEND"),
            (.set(key: "query_timeout", value: "5"), "SET query_timeout=5"), (.setIgnored, "SET"),
            (.show(.pools), "SHOW"), (.showFake(.timeZone), "SHOW"),
            (.waitClose(database: nil), "WAIT_CLOSE"),
            (.shutdown(.waitForServers), "SHUTDOWN"),
        ] as [(AdminCommand, ByteString)]
    )
    func tags(_ command: AdminCommand, _ tag: ByteString) {
        #expect(command.tag == tag)
    }

    @Test func logTexts() {
        #expect(AdminCommand.pause(database: nil).logText == "PAUSE command issued")
        #expect(AdminCommand.pause(database: "a").logText == "PAUSE 'a' command issued")
        #expect(AdminCommand.set(key: "k", value: "secret").logText?.contains("secret") == false)
        #expect(AdminCommand.show(.pools).logText == nil)
    }
}

@Suite struct AdminRoleTests {
    private let access = ConsoleAccess(
        adminUsers: ["boss"],
        statsUsers: ["grafana"],
        authTypeIsAny: false
    )

    @Test func listedUsersOnly() {
        #expect(access.role(user: "boss", isOwner: false) == .admin)
        #expect(access.role(user: "grafana", isOwner: false) == .stats)
        #expect(access.role(user: "app", isOwner: false) == nil)
        #expect(access.role(user: "pgbouncer", isOwner: false) == nil)
        #expect(access.role(user: "BOSS", isOwner: false) == nil)
    }

    @Test func authTypeAnyLetsEverybodyLook() {
        var access = access
        access.authTypeIsAny = true
        #expect(access.role(user: "app", isOwner: false) == .stats)
        #expect(access.role(user: "boss", isOwner: false) == .admin)
    }

    @Test func theOwnerNeedsBothNameAndUserID() {
        #expect(ConsoleAccess.isOwner(user: "pgbouncer", peerIsPoolerUser: true))
        #expect(!ConsoleAccess.isOwner(user: "pgbouncer", peerIsPoolerUser: false))
        #expect(!ConsoleAccess.isOwner(user: "app", peerIsPoolerUser: true))
        #expect(access.role(user: "pgbouncer", isOwner: true) == .admin)
    }

    @Test func refusal() {
        #expect(ConsoleAnswer.notAllowed.severity == "FATAL")
        #expect(ConsoleAnswer.notAllowed.message == "not allowed")
        #expect(ConsoleAnswer.notAllowed.sqlState == .protocolViolation)
    }
}
