// Forced rotation: between every two transactions of a script its server goes to another client, who
// leaves a session there that differs in everything from the script's.
//
// The pool has two servers and, beside the script's client, two *polluters*. One of them is always in
// an open transaction and so holds a server. Between two transactions of the script the other takes
// the server that the script has used, changes the session, and stays in a transaction in its turn;
// then the first ends its own. So the script goes on where that one has been:
//
//     server A:  script 1 | polluter P ........................... | script 3
//     server B:  polluter Q ............ | script 2 | polluter Q ......
//
// While the script's client is pinned, no server is free, and the polluter waits until the other
// has ended its transaction.
//
// Where scripts make what pins a server, a third server belongs to a *stranger*, who is pinned to it
// by objects of the same names, and must find them again in the end.

import TestSupport

final class SessionPolluter {
    private let families: [SessionFamily]
    private var random: SplitMix
    /// The two clients; the second is in a transaction.
    private var free: RawClient
    private var holder: RawClient
    private let stranger: RawClient?

    /// How long a polluter waits for the script's server before the other gives way.
    private static let pinnedAfter = Duration.milliseconds(8)

    /// Servers that the pool must have.
    static func poolSize(_ families: Set<SessionFamily>) -> Int {
        // With another client_encoding, LISTEN keeps its server: then everybody needs one.
        if families.contains(.reportedSettings), families.contains(.notifications) { return 5 }
        return families.isDisjoint(with: pinningStatements.keys) ? 2 : 3
    }

    init(seed: Int, families: Set<SessionFamily>, user: String, database: String, port: Int) throws
    {
        func login() throws -> RawClient {
            let client = try RawClient(port: port)
            try client.login(user: user, database: database)
            return client
        }
        self.families = families.sorted()
        random = SplitMix(seed: seed)
        stranger = Self.poolSize(families) > 2 ? try login() : nil
        free = try login()
        holder = try login()
        for family in self.families {
            guard let text = Self.pinningStatements[family] else { continue }
            try stranger?.send(Frontend.query(text))
            _ = try stranger?.receiveUntilReady()
        }
        try startPolluting(holder)
        try Self.receiveToTheEnd(holder)
    }

    /// Everybody leaves, the stranger after a look at what is its own.
    func leave() throws {
        defer {
            for client in [free, holder, stranger].compactMap(\.self) {
                try? client.send(Frontend.terminate)
                _ = client.isClosed(within: .seconds(5))
            }
        }
        // Where nobody is pinned yet, there is nothing to find.
        guard let stranger, SessionFamily.inUse.isSuperset(of: families) else { return }
        for family in families {
            guard let look = Self.looks[family] else { continue }
            try stranger.send(Frontend.query(look))
            let rows = try stranger.receiveUntilReady().rows
            guard rows == [["stranger"]] else {
                throw TenantFinding(description: "\(look) of a pinned client gives \(rows)")
            }
        }
    }

    private static let pinningStatements: [SessionFamily: String] = [
        .temporaryObjects: """
        create temp table tmp1 as select 'stranger' as a;
        create temp view view1 as select 'view of a stranger' as a
        """,
        .cursors: "declare c1 cursor with hold for select 'stranger' from generate_series(1, 9)",
        .advisoryLocks: "select pg_advisory_lock(79)",
    ]

    private static let looks: [SessionFamily: String] = [
        .temporaryObjects: "select a from tmp1",
        .cursors: "fetch c1",
        .advisoryLocks: "select 'stranger' where pg_advisory_unlock(79)",
    ]

    func rotate() throws {
        try startPolluting(free)
        if try hasServer(free) {
            try Self.receiveToTheEnd(free)
            try end(holder)
        } else {
            try end(holder)
            try Self.receiveToTheEnd(free)
        }
        swap(&free, &holder)
    }

    /// Whether the first answer comes soon; it is consumed.
    private func hasServer(_ client: RawClient) throws -> Bool {
        let saved = client.timeout
        client.timeout = Self.pinnedAfter
        defer { client.timeout = saved }
        do {
            _ = try client.receiveUntilReady()
            return true
        } catch is TimedOut {
            return false
        }
    }

    // MARK: - What a polluter does

    private static let lastWord = "select 'polluted'"

    /// Sends, in one piece, what changes the session, and the beginning of a transaction.
    private func startPolluting(_ client: RawClient) throws {
        // What an earlier turn has left must not keep this one from anything.
        var bytes = Frontend.query("set session authorization default; reset role")
        bytes += Frontend.query("begin transaction isolation level read committed read write")
        for statement in inTransaction { bytes += Frontend.query(statement) }
        bytes += Frontend.query("commit")
        for family in families {
            let texts = statements(of: family)
            if let text = random.element(texts) { bytes += Frontend.query(text) }
            if family == .protocolStatements || family == .mixedStatements {
                bytes += protocolStatements(family == .mixedStatements ? "q1" : "p1")
            }
        }
        // The role last: it may take away the right to do the rest.
        if families.contains(.role) {
            bytes += Frontend.query(random.pick(["set role session_writer", "set role none"]))
        }
        bytes += Frontend.query("rollback")
        bytes += Frontend.query("begin transaction isolation level read committed read write")
        try client.send(bytes + Frontend.query(Self.lastWord))
    }

    /// Things that are gone with their transaction.
    private var inTransaction: [String] {
        guard families.contains(.temporaryObjects) else { return [] }
        return [
            "create temp table tmp1 (stranger text) on commit drop",
            "create temp view view1 as select 'stranger' as a", "drop view view1",
        ]
    }

    private func end(_ client: RawClient) throws {
        try client.send(Frontend.query("commit"))
        _ = try client.receiveUntilReady()
    }

    /// Answers up to that to the last word; errors of what came before are the polluter's own affair.
    private static func receiveToTheEnd(_ client: RawClient) throws {
        var messages: [WireMessage] = []
        repeat {
            messages = try client.receiveUntilReady()
        } while messages.rows.first?.first != "polluted"
    }

    private func protocolStatements(_ name: String) -> [UInt8] {
        Frontend.close("S", name) + Frontend.parse(name, "select 'of a stranger'")
            + Frontend.parse("", "select 'unnamed of a stranger'") + Frontend.sync
    }

    private func statements(of family: SessionFamily) -> [String] {
        switch family {
        case .reportedSettings:
            [
                "set timezone = 'Asia/Kolkata'; set datestyle = 'SQL, MDY'; set application_name = 'p'",
                "set client_encoding = 'LATIN9'; set intervalstyle = sql_standard",
                "set timezone = 'Africa/Cairo'; set standard_conforming_strings = off; select 1/0",
                "set standard_conforming_strings = off", "reset all",
            ]
        case .otherSettings:
            [
                "set work_mem = '99MB'; set search_path = lib; set extra_float_digits = -10",
                "set default_transaction_isolation = 'read uncommitted'; set lock_timeout = '99s'",
                "set default_transaction_read_only = on; set statement_timeout = '99s'",
                "set enable_seqscan = off; set bytea_output = escape; set search_path = two",
                "reset all",
            ]
        case .customSettings, .absentSettings:
            [
                "set app.tenant = 'stranger'; set app.region = 'stranger'; set app.a.b = 'stranger'",
                "set \"app\".\"Two Words\" = 'stranger'", "set local app.tenant = 'stranger'",
            ]
        case .setConfig:
            [
                "select set_config('work_mem', '98MB', false), set_config('app.tenant', 'p', false)",
                "select set_config('search_path', 'lib', false), set_config('lock_timeout', '1h', false)",
            ]
        case .settingsInFunctions:
            [
                "do $$begin set work_mem = '97MB'; set app.tenant = 'stranger'; end$$",
                "select lib.set_plain('TimeZone', 'Africa/Cairo'), lib.set_plain('app.touched', 'p')",
                "select lib.set_plain('lock_timeout', '55s')",
            ]
        case .resetAndDiscard:
            [
                "reset all", "discard all", "set work_mem = '96MB'; set search_path = lib",
                "set timezone = 'Africa/Cairo'; set app.tenant = 'stranger'; reset lock_timeout",
            ]
        case .localSettings:
            ["set local work_mem = '95MB'", "begin; set local timezone = -3; commit"]
        case .sqlStatements, .mixedStatements:
            [
                "deallocate all", "prepare q1 as select 'of a stranger'",
                "prepare q2 (text) as select $1 || ' of a stranger'",
                "prepare \"Q 3\" as select 1/0",
            ]
        case .cursors:
            [
                "begin; declare c1 cursor with hold for select 'stranger'; close c1; commit",
                "close all",
            ]
        case .advisoryLocks:
            [
                "select pg_advisory_lock(77), pg_advisory_unlock(77)",
                "select pg_advisory_xact_lock(78)",
            ]
        case .notifications, .listeningChannels:
            ["listen stranger", "notify stranger, 'for strangers'", "unlisten *", "listen news"]
        case .sequences: ["select nextval('lib.u_of_strangers')", "discard sequences"]
        case .startup:
            ["set work_mem = '94MB'; set timezone = 'Africa/Cairo'; set search_path = lib"]
        case .transactions:
            ["select 1/0", "begin; select 1/0; commit", "begin; savepoint a; rollback"]
        case .role, .protocolStatements, .temporaryObjects, .probes: []
        }
    }
}
