// Clients that need a server of their own for a while, as operators see them.

import Testing

@Suite struct PinTests {
    private static let causes: [(String, String, String)] = [
        ("create temp table t (a int)", "temporary", "drop table t"),
        ("declare c cursor with hold for select 1", "hold_cursor", "close c"),
        (
            "select pg_advisory_lock(1), pg_advisory_lock(1)", "advisory_lock",
            "select pg_advisory_unlock_all()"
        ),
        (
            "create temp table t (); declare c cursor with hold for select 1",
            "temporary,hold_cursor", "discard all"
        ),
    ]

    @Test(arguments: causes)
    func pinsComeAndGoOnEvidence(_ begin: String, _ reasons: String, _ end: String) throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let client = try pooler.connect()
            try client.query(begin)
            try eventually("pinned") { try !pooler.show("PINS").isEmpty }
            let rows = try pooler.show("PINS")
            #expect(rows.map { $0["reasons"] } == [reasons])
            #expect(rows.first?["statement"] == begin)
            try #expect(pooler.show("CLIENTS").contains { $0["pins"] == reasons })
            try #expect(pooler.pool()["sv_pinned"] == "1")
            let process = try client.value("select pg_backend_pid()")
            for _ in 0..<3 {
                try #expect(pooler.connect().value("select pg_backend_pid()") != process)
                try #expect(client.value("select pg_backend_pid()") == process)
            }
            try client.query(end)
            try eventually("unpinned") { try pooler.show("PINS").isEmpty }
            try eventually("both servers are free") { try pooler.pool()["sv_idle"] == "2" }
            #expect(pooler.log.contains("pinned (\(reasons)) by: \(begin)"))
        }
    }

    /// Nobody finds what a client has left that goes while it is pinned.
    @Test(arguments: causes.map { $0.0 } + ["prepare p as select 1"])
    func whoGoesLeavesNothing(_ begin: String) throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            let next = try pooler.connect()
            try client.query("set work_mem = '7MB'")
            try client.query(begin)
            client.vanish()
            try #expect(next.value("show work_mem") == "4MB")
            let leftovers = """
                select (select count(*) from pg_class where relnamespace = pg_my_temp_schema())
                    + (select count(*) from pg_cursors)
                    + (select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory')
                    + (select count(*) from pg_listening_channels())
                    + (select count(*) from pg_prepared_statements)
                """
            try #expect(next.value(leftovers) == "0")
            try eventually("unpinned") { try pooler.show("PINS").isEmpty }
        }
    }

    @Test func whatCannotBeSeenGoesWithTheServer() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            let next = try pooler.connect()
            try client.query("select setseed(0.5)")
            let process = try client.value("select pg_backend_pid()")
            try client.query("discard all")
            try #expect(pooler.show("PINS").map { $0["reasons"] } == ["setseed"])
            client.close()
            try #expect(next.value("select pg_backend_pid()") != process)
        }
    }

    /// Made-up settings, more than can be kept: nobody else gets the server.
    @Test(arguments: [
        (1...250).map { "set made.up\($0) = 1" }.joined(separator: ";"),
        "select set_config('made.up', repeat('x', 2000000), false)",
    ])
    func whatIsTooMuchGoesWithTheServer(_ begin: String) throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            let next = try pooler.connect()
            try client.query(begin)
            try eventually("pinned") {
                try pooler.show("PINS").map { $0["reasons"] } == ["unknown"]
            }
            let process = try client.value("select pg_backend_pid()")
            client.close()
            try #expect(next.value("select pg_backend_pid()") != process)
            try #expect(next.value("select current_setting('made.up', true)") == nil)
        }
    }

    @Test func tooManyPinsAreRefused() throws {
        try withPooler(["max_pinned": "1", "default_pool_size": "3"]) { pooler in
            let first = try pooler.connect()
            try first.query("declare c cursor with hold for select 1")
            try eventually("one is pinned") { try pooler.show("PINS").count == 1 }
            let second = try pooler.rawLogin()
            try second.send(Frontend.query("declare c cursor with hold for select 1"))
            #expect(second.isClosed())
            #expect(
                pooler.log.contains(
                    "session needs a server of its own (hold_cursor), too many do (max_pinned)"
                )
            )
            try #expect(first.value("select 1") == "1")
            try eventually("one is pinned") { try pooler.show("PINS").count == 1 }
        }
    }

    @Test func idlePinsEndAtPinTimeout() throws {
        try withPooler(["pin_timeout": "1"]) { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("declare c cursor with hold for select 1"))
            _ = try client.receiveUntilReady()
            #expect(client.isClosed())
            #expect(
                pooler.log.contains(
                    "session keeps its server (hold_cursor) and is idle (pin_timeout)"
                )
            )
            try eventually("unpinned") { try pooler.show("PINS").isEmpty }
        }
    }

    @Test func trackingCanBeSwitchedOff() throws {
        try withPooler(["session_tracking": "reported", "default_pool_size": "1"]) { pooler in
            let client = try pooler.connect()
            try client.query("create temp table t ()")
            try #expect(pooler.show("PINS").isEmpty)
            try #expect(pooler.connect().value("select count(*) from t") == "0")
        }
    }

    // MARK: pin_notice

    /// Once for each pin, and behind the answer.
    @Test func clientsAreToldOfPins() throws {
        try withPooler(["pin_notice": "1", "default_pool_size": "2"]) { pooler in
            let client = try pooler.rawLogin()
            func notices(_ text: String) throws -> [String] {
                try client.send(Frontend.query(text))
                _ = try client.receiveUntilReady()
                try client.send(Frontend.query("select 1"))
                return try client.receiveUntilReady().filter { $0.type == "N" }
                    .map { $0.fields.description }
            }
            let text = "NOTICE 00000: this session keeps its server connection:"
            try #expect(notices("create temp table t ()") == ["\(text) temporary"])
            try #expect(notices("select pg_advisory_lock(1)").isEmpty, "it knows")
            try #expect(notices("discard all").isEmpty)
            let cursor = "begin; declare c cursor with hold for select 1; commit"
            try #expect(notices(cursor) == ["\(text) hold_cursor"])
            try #expect(notices("close all").isEmpty)
            try #expect(pooler.show("PINS").isEmpty)
        }
    }

    /// It comes at once, not with the next answer.
    @Test func theNoticeIsNotWaitedFor() throws {
        try withPooler([:], databases: ["app": "pin_notice=1"]) { pooler in
            let client = try pooler.rawLogin()
            try client.send(Frontend.query("declare c cursor with hold for select 1"))
            _ = try client.receiveUntilReady()
            let notice = try client.receive()
            #expect(notice.type == "N")
            #expect(notice.fields.message.hasSuffix(" hold_cursor"))
        }
    }

    @Test func nobodyIsToldWhoHasNotAskedForIt() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query("declare c cursor with hold for select 1")
            try eventually("pinned") { try !pooler.show("PINS").isEmpty }
            try client.query("select 1")
            #expect(client.notices.isEmpty)
        }
    }

    // MARK: session_tracking

    /// Who asks for settings, at login or by SET, does so for whoever has the server.
    @Test func withoutTrackingSettingsAreTheServers() throws {
        try withPooler(["session_tracking": "off", "default_pool_size": "1"]) { pooler in
            let one = try pooler.connect()
            let two = try pooler.connect([
                "application_name": "two", "options": "-c work_mem=9MB -c timezone=Asia/Tokyo",
            ])
            try #expect(two.value("show work_mem") == "4MB")
            try #expect(two.value("show application_name") == "")
            #expect(two.parameter("application_name") == "")
            try one.query("set timezone = 'America/Lima'; set work_mem = '7MB'")
            try one.query("create temp table t ()")
            try #expect(two.value("show timezone") == "America/Lima")
            try #expect(two.value("show work_mem") == "7MB")
            try #expect(two.value("select count(*) from t") == "0")
            try two.query("reset all")
            try #expect(one.value("show work_mem") == "4MB")
            try #expect(pooler.show("PINS").isEmpty)
            try #expect(
                pooler.show("STATS").first { $0["database"] == "app" }?["total_xact_count"] != "0"
            )
            // Statements of the protocol are another setting's.
            _ = try one.prepare("p", "select 'mine'")
            _ = try two.prepare("p", "select 'other'")
            try #expect(one.executePrepared("p").rows == [["mine"]])
        }
    }

    /// Where a client keeps its server, a login's settings disturb nobody.
    @Test func withoutTrackingALoginInSessionModeGetsItsSettings() throws {
        try withPooler(["session_tracking": "off", "pool_mode": "session"]) { pooler in
            let client = try pooler.connect(["options": "-c work_mem=9MB"])
            try #expect(client.value("show work_mem") == "9MB")
        }
    }

    /// The server that has refused what a client wanted at login serves others.
    @Test func aRefusedLoginCostsNoServer() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            for _ in 0..<3 {
                let client = try pooler.rawConnect()
                try client.send(
                    Frontend.startup([
                        ("user", "app"), ("database", "app"), ("work_mem", "no number"),
                    ])
                )
                #expect(client.isClosed())
            }
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    @Test func whoHasDrawnNothingIsToldSo() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let (one, two) = (try pooler.connect(), try pooler.connect())
            try one.query("drop sequence if exists drawn; create sequence drawn")
            try #expect(one.value("select nextval('drawn')") == "1")
            try #expect(two.execute("select lastval()").sqlstate == "55000")
            try #expect(two.execute("select currval('drawn')").sqlstate == "55000")
            try #expect(two.value("select nextval('drawn')") == "2")
            try #expect(two.value("select lastval()") == "2")
            try #expect(one.execute("select lastval()").sqlstate == "55000")
        }
    }

    /// The same text means what it meant to the client that prepared it.
    @Test func literalsKeepTheMeaningThatTheyHadWhenTheyWerePrepared() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let text = "select extract(epoch from '2024-01-01 00:00'::timestamptz)::int"
            let (utc, tokyo) = (try pooler.connect(), try pooler.connect())
            let holder = try pooler.connect()
            try utc.query("set timezone = 'UTC'")
            try tokyo.query("set timezone = 'Asia/Tokyo'")
            _ = try utc.prepare("p", text)
            _ = try tokyo.prepare("p", text)
            for isHeld in [false, true] {
                if isHeld { try holder.query("begin") }
                try #expect(utc.executePrepared("p").rows == [["1704067200"]])
                try #expect(tokyo.executePrepared("p").rows == [["1704034800"]])
            }
            // Whatever it has now, and wherever the statement is still missing.
            try utc.query("set timezone = 'America/Lima'")
            try pooler.console().query("RECONNECT")
            try holder.query("commit")
            for _ in 0..<4 { try #expect(utc.executePrepared("p").rows == [["1704067200"]]) }
            try #expect(utc.value("show timezone") == "America/Lima")
        }
    }
}
