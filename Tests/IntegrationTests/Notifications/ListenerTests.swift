// The one server that listens for all: how it comes and goes, and what clients are told when it was
// lost.

import Testing

@Suite(.serialized) struct ListenerTests {
    private func listenerProcess(_ pooler: Pooler) throws -> String? {
        try pooler.show("SERVERS").first { $0["pins"] == "listener" && $0["state"] == "active" }?[
            "remote_pid"
        ]
    }

    /// The listener of a process other than the one that there was.
    private func awaitListener(_ pooler: Pooler, otherThan old: String? = nil) throws {
        try eventually("there is a listener") {
            let process = try listenerProcess(pooler)
            return process != nil && process != old
        }
    }

    @Test func clientsAreToldAfterALoss() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let clients = try (0..<3).map { _ in try pooler.listeningClient() }
            for client in clients { try client.listen("crows") }
            let process = try listenerProcess(pooler)
            try pooler.server.query("select pg_terminate_backend(\(process ?? "0"))")
            for client in clients {
                let notice = try client.awaitNotice()
                #expect(notice.severity == "NOTICE" && notice.sqlstate == "01000")
                #expect(notice.message == "notifications may have been lost")
            }
            try awaitListener(pooler, otherThan: process)
            try pooler.server.query("notify crows, 'again'")
            for client in clients { try #expect(client.notifications(1) == ["crows again"]) }
            try #expect(pooler.show("STATS").first?["total_listener_loss_count"] == "1")
        }
    }

    @Test func clientsAreEndedAfterALossIfThatIsWanted() throws {
        try withPooler(["notification_loss": "disconnect"]) { pooler in
            let client = try pooler.listeningClient()
            let other = try pooler.connect()
            try client.listen("crows")
            let process = try listenerProcess(pooler)
            try pooler.server.query("select pg_terminate_backend(\(process ?? "0"))")
            let last = try client.raw.receiveUntilClosed().last
            #expect(last?.fields.message == "notifications may have been lost (notification_loss)")
            try #expect(other.value("select 1") == "1")
        }
    }

    /// The whole of PostgreSQL goes, and comes back.
    @Test func theListenerOutlivesItsPostgres() throws {
        let server = try PostgresServer()
        defer { server.stop() }
        try withPooler(["server_login_retry": "1"], server: server) { pooler in
            let client = try pooler.listeningClient()
            try client.listen("crows")
            server.stop()
            try server.start()
            _ = try client.awaitNotice()
            try server.query("notify crows, 'again'")
            try #expect(client.notifications(1) == ["crows again"])
        }
    }

    @Test func theListenerGoesWhenNobodyListens() throws {
        try withPooler(["server_idle_timeout": "1"]) { pooler in
            let client = try pooler.listeningClient()
            let other = try pooler.listeningClient()
            try client.listen("crows")
            try other.listen("crows")
            try #expect(pooler.pool()["sv_listening"] == "1")
            try client.perform("unlisten *")
            other.raw.close()
            try eventually("nobody listens") { try pooler.pool()["sv_listening"] == "0" }
            try client.listen("crows")
            try pooler.server.query("notify crows")
            try #expect(client.notifications(1) == ["crows "])
        }
    }

    @Test func itTakesNoServersPlace() throws {
        try withPooler(["default_pool_size": "1"]) { pooler in
            let client = try pooler.listeningClient()
            try client.listen("crows")
            try eventually("the server is free") { try pooler.pool()["sv_idle"] == "1" }
            let row = try pooler.pool()
            #expect(row["sv_active"] == "0")
            #expect(row["sv_listening"] == "1" && row["sv_pinned"] == "0")
            try #expect(pooler.connect().value("select 1") == "1")
        }
    }

    @Test func reconnectReplacesIt() throws {
        try withPooler { pooler in
            let client = try pooler.listeningClient()
            try client.listen("crows")
            let process = try listenerProcess(pooler)
            try pooler.console().query("RECONNECT")
            _ = try client.awaitNotice()
            try awaitListener(pooler, otherThan: process)
            try pooler.server.query("notify crows")
            try #expect(client.notifications(1) == ["crows "])
        }
    }

    @Test func pauseClosesItAndResumeBringsItBack() throws {
        try withPooler { pooler in
            let client = try pooler.listeningClient()
            try client.listen("crows")
            let console = try pooler.console()
            try console.query("PAUSE")
            try #expect(pooler.show("SERVERS").isEmpty)
            try console.query("RESUME")
            _ = try client.awaitNotice()
            try pooler.server.query("notify crows")
            try #expect(client.notifications(1) == ["crows "])
            try console.query("KILL app")
            #expect(client.raw.isClosed())
            try #expect(pooler.show("SERVERS").isEmpty)
        }
    }

    /// Where there can be no listener, the client keeps its server, as long as it listens.
    @Test(arguments: [
        ["shared_listener": "off"], ["max_db_connections": "1"], ["max_user_connections": "1"],
    ])
    func withoutAListenerServersArePinned(_ settings: [String: String]) throws {
        try withPooler(settings) { pooler in
            let client = try pooler.listeningClient()
            try client.perform("listen crows")
            try eventually("pinned") {
                try pooler.show("PINS").map { $0["reasons"] } == ["listen"]
            }
            try client.perform("select 1")
            try pooler.server.query("notify crows")
            try #expect(client.notifications(1) == ["crows "])
            try #expect(client.perform("select pg_listening_channels()") == [["crows"]])
            try client.perform("unlisten crows")
            try eventually("unpinned") { try pooler.show("PINS").isEmpty }
            try #expect(pooler.pool()["sv_listening"] == "0")
        }
    }

    /// The listener's notifications are in one encoding.
    @Test func anotherEncodingKeepsItsServer() throws {
        try withPooler { pooler in
            let client = try pooler.listeningClient()
            try client.perform("set client_encoding = 'LATIN1'")
            try client.perform("listen crows")
            try eventually("pinned") { try pooler.show("PINS").count == 1 }
            try pooler.server.query("notify crows, 'Krähe'")
            let message = try client.take(1).first
            let payload = message?.body.dropFirst(4 + 6).dropLast()
            #expect(payload.map(Array.init) == [75, 114, 228, 104, 101])
        }
    }

    @Test func whoDoesNotReadIsDisconnected() throws {
        try withPooler(["notification_queue": "200000"]) { pooler in
            let slow = try pooler.rawConnect()
            slow.limitReceiveBuffer(4096)
            try slow.login(user: "app", database: "app")
            try ListeningClient(slow).listen("crows")
            let client = try pooler.listeningClient()
            try client.listen("crows")
            let before = pooler.residentBytes
            let sender = try pooler.server.superuser()
            var count = 0
            let deadline = Deadline(in: .patience)
            while !pooler.log.contains("too many notifications are unread"), !deadline.hasPassed {
                try sender.query(
                    "select pg_notify('crows', i || repeat('x', 7000)) from generate_series(1, 100) i"
                )
                count += 100
                _ = try client.take(100)
            }
            #expect(!deadline.hasPassed)
            #expect(pooler.residentBytes - before < 64 << 20)
            try sender.query("notify crows, 'last'")
            try #expect(client.notifications(1) == ["crows last"])
            try eventually("only the other one is left") {
                try pooler.pool()["cl_active"] == "1"
            }
        }
    }
}
