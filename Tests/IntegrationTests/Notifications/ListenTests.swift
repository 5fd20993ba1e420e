// LISTEN in transaction mode: the notifications of many clients come over one server connection, and
// each client sees what it would see on a connection of its own.

import Testing

@Suite(.serialized) struct ListenTests {
    @Test func listenersShareOneServer() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let listeners = try (0..<20).map { _ in try pooler.listeningClient() }
            for client in listeners { try client.listen("birds") }
            let sender = try pooler.connect()
            let worker = try pooler.connect()
            for number in 1...50 {
                try sender.query("notify birds, '\(number)'")
                try #expect(worker.value("select \(number)") == String(number))
            }
            for client in listeners {
                try #expect(client.notifications(50) == (1...50).map { "birds \($0)" })
                #expect(client.raw.isSilent(for: .milliseconds(5)))
            }
            try #expect(pooler.show("PINS").isEmpty)
            try #expect(pooler.pool()["sv_pinned"] == "0")
            try #expect(pooler.show("SERVERS").count { $0["pins"] == "listener" } == 1)
            try #expect(pooler.show("SERVERS").count <= 3)
            try #expect(pooler.show("STATS").first?["total_notification_count"] == "1000")
        }
    }

    /// A channel that is given up in the transaction which notifies it is not heard of.
    @Test(arguments: [
        "unlisten a; notify a, 'lost'; notify b",
        "begin; notify a, 'lost'; notify b; unlisten a; commit",
        "notify a, 'lost'; notify b; unlisten *; listen b",
    ])
    func whatIsGivenUpIsSilent(text: String) throws {
        try withPooler { pooler in
            let client = try pooler.listeningClient()
            for _ in 0..<5 {
                for channel in ["a", "b"] { try client.listen(channel) }
                try client.perform(text)
                try #expect(client.notifications(until: "b ") == ["b "])
            }
        }
    }

    /// LISTEN and UNLISTEN take effect when their transaction is committed, or not at all.
    @Test(arguments: [
        (["listen a"], ["a"]),
        (["LISTEN A", "listen \"A\""], ["A", "a"]),
        (["listen a", "listen a"], ["a"]),
        (["begin", "listen a", "commit"], ["a"]),
        (["begin", "listen a", "rollback"], []),
        (["begin", "listen a", "select 1/0", "commit"], []),
        (["begin", "listen a", "savepoint s", "listen b", "rollback to s", "commit"], ["a"]),
        (["listen a", "unlisten a"], []),
        (["listen a; listen b", "unlisten a"], ["b"]),
        (["listen a; listen b", "unlisten *"], []),
        (["listen a; listen b", "unlisten *; listen c"], ["c"]),
        (["listen a; listen b", "begin", "unlisten a", "commit"], ["b"]),
        (["listen a; listen b", "begin", "unlisten *", "rollback"], ["a", "b"]),
        (["listen a; listen b", "begin", "unlisten *", "commit"], []),
        (["listen a", "begin", "savepoint s", "unlisten *", "rollback to s", "commit"], ["a"]),
        (["listen a", "select 1; unlisten a; select 1/0"], ["a"]),
        (["listen a", "discard all"], []),
        (["listen a", "discard all", "listen b"], ["b"]),
        (["listen a", "do $$begin execute 'unlisten a'; listen b; end$$"], ["b"]),
        (["listen a", "select 1", "begin", "select 2", "commit", "listen b"], ["a", "b"]),
        (["listen a", "create temp table t ()", "listen b", "drop table t"], ["a", "b"]),
        (["create temp table t ()", "listen a", "unlisten a", "drop table t"], []),
        (["listen a", "begin", "set timezone to 'UTC'", "commit"], ["a"]),
        (["listen a", "begin", "prepare q as select 1", "commit", "begin", "commit"], ["a"]),
    ])
    func channelsFollowTransactions(_ statements: [String], _ channels: [String]) throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            for isExtended in [false, true] {
                let client = try pooler.listeningClient()
                for statement in statements {
                    let isOne = !statement.contains(";")
                    try client.perform(statement, isExtended: isExtended && isOne)
                }
                let other = try pooler.connect()
                for channel in ["a", "\"A\"", "b", "c"] { try other.query("notify \(channel)") }
                try other.query("notify a, 'end'")
                try client.listen("\"end\"")
                try other.query("notify \"end\"")
                let expected = (channels + ["end"]).sorted()
                let found = try client.notifications(until: "end ").filter { $0 != "a end" }
                #expect(found.map { String($0.dropLast()) }.sorted() == expected)
                let rows = try client.perform(
                    "select pg_listening_channels()",
                    isExtended: isExtended
                )
                #expect(rows.map { $0[0] ?? "" }.sorted() == expected)
                for another in try pooler.connect(2) + [other] {
                    try another.query("begin")
                    let count = try another.value("select count(*) from pg_listening_channels()")
                    #expect(count == "0")
                    try another.query("rollback")
                }
                try #expect(pooler.show("PINS").isEmpty)
                client.raw.close()
            }
        }
    }

    /// PostgreSQL sends a session its own notifications before it is ready for the next query.
    @Test(arguments: [false, true])
    func ownNotificationsComeFirst(_ isExtended: Bool) throws {
        try withPooler(["default_pool_size": "3"]) { pooler in
            let client = try pooler.listeningClient()
            let others = try pooler.connect(3)
            try client.perform("listen birds")
            for number in 1...20 {
                for other in others { try other.query("notify birds, 'of others'") }
                let statement = "select pg_notify('birds', '\(number)')"
                try client.perform(statement, isExtended: isExtended)
                let own = client.waiting.filter { $0.sender == client.processID }
                #expect(own.map(\.notification) == ["birds \(number)"])
                _ = try client.take(client.waiting.count)
            }
            try client.perform("begin")
            try client.perform("notify birds, 'late'")
            _ = try client.take(client.waiting.count)
            try client.raw.send(Frontend.query("commit"))
            let last = try client.raw.receiveUntilReady().suffix(2)
            #expect(last.map(\.type) == ["A", "Z"])
            #expect(last.first?.notification == "birds late")
        }
    }

    /// Of its own notifications a client is certain; others have the number of their sender.
    @Test func sendersHaveTheNumbersThatTheyKnow() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let listener = try pooler.listeningClient()
            let sender = try pooler.listeningClient()
            try listener.perform("listen birds")
            for _ in 1...10 {
                try sender.perform("notify birds, 'theirs'")
                try listener.perform("notify birds, 'mine'")
            }
            for message in try listener.take(20) {
                let isMine = message.notification == "birds mine"
                #expect(message.sender == (isMine ? listener : sender).processID)
            }
        }
    }

    /// What is sent without waiting has the same effect.
    @Test func pipelinesChangeChannels() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let client = try pooler.listeningClient()
            for statements in [
                ["select 1", "unlisten a"], ["select 1", "begin", "unlisten *", "commit"],
                ["begin", "unlisten a", "commit", "select 1"], ["select 1/0", "discard all"],
            ] {
                try client.listen("a")
                for isExtended in [false, true] {
                    if isExtended { try client.listen("b") }
                    try client.raw.send(
                        statements.flatMap {
                            isExtended ? Frontend.extended($0) : Frontend.query($0)
                        }
                    )
                    for _ in statements { _ = try client.raw.receiveUntilReady() }
                    let rows = try client.perform("select pg_listening_channels()")
                    let isEmptied =
                        statements.contains("unlisten *") || statements.contains("discard all")
                    #expect(rows == (isExtended && !isEmptied ? [["b"]] : []), "\(statements)")
                }
                try client.perform("unlisten *")
            }
        }
    }

    /// What is up to one Sync is one transaction, whatever stands first in it, and however it arrives.
    @Test(arguments: [
        (["select 1", "unlisten a"], []), (["select 1", "unlisten *"], []),
        (["listen a", "unlisten *"], []), (["listen b", "unlisten a"], ["b"]),
        (["unlisten *", "listen b"], ["b"]), (["listen b", "unlisten a", "select 1/0"], ["a"]),
        (["select 1", "listen b"], ["a", "b"]), (["select 1", "select 2"], ["a"]),
    ])
    func batchesChangeChannels(_ statements: [String], _ channels: [String]) throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            for isCut in [false, true] {
                let client = try pooler.listeningClient()
                try client.listen("a")
                let messages = statements.map {
                    Frontend.parse("", $0) + Frontend.bind("") + Frontend.execute()
                }
                let rest = messages[1...].flatMap(\.self) + Frontend.sync
                if isCut {
                    try client.raw.send(messages[0])
                    try pooler.settle()
                    try client.raw.send(rest)
                } else {
                    try client.raw.send(messages[0] + rest)
                }
                _ = try client.raw.receiveUntilReady()
                let rows = try client.perform("select pg_listening_channels()")
                #expect(rows.map { $0[0] ?? "" }.sorted() == channels, "\(isCut)")
                try #expect(pooler.show("PINS").isEmpty)
            }
        }
    }

    @Test func notificationsComeBetweenTransactions() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let client = try pooler.listeningClient()
            try client.perform("listen birds")
            try client.perform("begin")
            let other = try pooler.connect()
            for number in 1...3 { try other.query("notify birds, '\(number)'") }
            try pooler.settle()
            #expect(client.raw.isSilent())
            try client.perform("select 1")
            #expect(client.waiting.isEmpty)
            try client.perform("commit")
            try #expect(client.notifications(3) == ["birds 1", "birds 2", "birds 3"])
        }
    }
}
