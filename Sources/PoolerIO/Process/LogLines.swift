// The lines that connections write to the log, in PgBouncer's words: scripts look for them.

internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// Writes a line about a client: `C-0x1a: db/user@host:port text`.
    func logClient(_ slot: UInt32, _ level: Logger.Level, _ text: @autoclosure () -> String) {
        guard log.logLevel <= level else { return }
        write(level, text(), about: client(slot))
    }

    private func client(_ slot: UInt32) -> LogSubject {
        let peer = clients[slot].address
        return LogSubject(
            connection: "C-\(Self.pointerText(clients[slot].number))",
            database: clients[slot].database.isEmpty ? "(nodb)" : clients[slot].database.text,
            user: clients[slot].user.isEmpty ? "(nouser)" : clients[slot].user.text,
            address: peer.isUnix ? "\(peer.logText):\(settings.listenPort)" : peer.logText
        )
    }

    /// Writes the line about a query that took long.
    func logSlowQuery(_ slot: UInt32, _ query: SlowQuery) {
        guard log.logLevel <= .info else { return }
        guard sink.wantsFields else {
            return write(.info, query.logText, about: client(slot))
        }
        let fields = query.fields.map { name, value -> (String, Logger.MetadataValue) in
            switch value {
            case .text(let text): (name, .string(text))
            case .number(let digits): (name, .stringConvertible(LogNumber(digits: digits)))
            }
        }
        write(
            .info,
            "slow query",
            about: client(slot),
            Logger.Metadata(uniqueKeysWithValues: fields)
        )
    }

    /// Writes a line about a server: `S-0x1a: db/user@host:port text`.
    func logServer(_ slot: UInt32, _ level: Logger.Level, _ text: @autoclosure () -> String) {
        guard log.logLevel <= level else { return }
        let key = pools[servers[slot].pool].key
        let endpoint = servers[slot].endpoint
        let server = LogSubject(
            connection: "S-\(Self.pointerText(servers[slot].number))",
            database: key.database.text,
            user: key.user.text,
            address: "\(endpoint.host):\(endpoint.port)"
        )
        write(level, text(), about: server)
    }

    /// Writes a line about a connection to a peer: `S-0x1a: peer-2@host:port text`.
    func logPeer(
        _ peer: Int,
        _ endpoint: Endpoint,
        _ number: UInt64,
        _ level: Logger.Level,
        _ text: @autoclosure () -> String
    ) {
        guard log.logLevel <= level else { return }
        let connection = "S-\(Self.pointerText(number))"
        let address = "\(endpoint.host):\(endpoint.port)"
        guard sink.wantsFields else {
            return log.log(level: level, "\(connection): peer-\(peer)@\(address) \(text())")
        }
        log.log(
            level: level,
            "\(text())",
            metadata: [
                "connection": "\(connection)", "peer": "\(peer)", "address": "\(address)",
            ]
        )
    }

    /// Writes a line about a connection; what it is about stands in front, or apart.
    private func write(
        _ level: Logger.Level,
        _ text: String,
        about subject: LogSubject,
        _ more: Logger.Metadata = [:]
    ) {
        guard sink.wantsFields else { return log.log(level: level, "\(subject) \(text)") }
        log.log(level: level, "\(text)", metadata: subject.metadata.merging(more) { $1 })
    }

    func logClientLogin(_ slot: UInt32) {
        guard settings.logConnections else { return }
        let tls = clients[slot].transport.tlsSummary
        logClient(
            slot,
            .info,
            """
            login attempt: db=\(clients[slot].database) user=\(clients[slot].user) \
            tls=\(tls.isEmpty ? "no" : tls)
            """
        )
    }

    func logClientClosed(_ slot: UInt32, _ reason: CloseReason) {
        if reason.isPoolerError && settings.logPoolerErrors {
            logClient(slot, .warning, "pooler error: \(reason.text)")
        }
        guard settings.logDisconnections else { return }
        let age = (now - clients[slot].connectTime) / 1_000_000
        logClient(slot, .info, "closing because: \(reason.text) (age=\(age)s)")
    }

    func logServerClosed(_ slot: UInt32, _ reason: CloseReason) {
        if case .serverLoginFailed = reason {
            logServer(slot, .warning, "server login failed: \(reason.text)")
        }
        guard settings.logDisconnections else { return }
        let age = (now - servers[slot].connectTime) / 1_000_000
        logServer(slot, .info, "closing because: \(reason.text) (age=\(age)s)")
    }

    private static func pointerText(_ number: UInt64) -> String {
        "0x" + String(number, radix: 16)
    }
}

/// The connection that a line is about.
private struct LogSubject: CustomStringConvertible {
    let connection: String
    let database: String
    let user: String
    let address: String

    /// As it stands in front of the text.
    var description: String { "\(connection): \(database)/\(user)@\(address)" }

    /// As it stands apart from the text.
    var metadata: Logger.Metadata {
        [
            "connection": "\(connection)", "database": "\(database)", "user": "\(user)",
            "address": "\(address)",
        ]
    }
}
