// The lines that connections write to the log, in PgBouncer's words: scripts look for them.

internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// Writes a line about a client: `C-0x1a: db/user@host:port text`.
    func logClient(_ slot: UInt32, _ level: Logger.Level, _ text: @autoclosure () -> String) {
        guard log.logLevel <= level else { return }
        let database = clients[slot].database.isEmpty ? "(nodb)" : clients[slot].database.text
        let user = clients[slot].user.isEmpty ? "(nouser)" : clients[slot].user.text
        let address = clients[slot].address.logText
        let number = Self.pointerText(clients[slot].number)
        write(level, text(), "C-\(number)", database, user, address)
    }

    /// Writes a line about a server: `S-0x1a: db/user@host:port text`.
    func logServer(_ slot: UInt32, _ level: Logger.Level, _ text: @autoclosure () -> String) {
        guard log.logLevel <= level else { return }
        let key = pools[servers[slot].pool].key
        let endpoint = servers[slot].endpoint
        let address = "\(endpoint.host):\(endpoint.port)"
        let number = Self.pointerText(servers[slot].number)
        write(level, text(), "S-\(number)", key.database.text, key.user.text, address)
    }

    /// Writes a line about a connection; what it is about stands in front, or apart.
    private func write(
        _ level: Logger.Level,
        _ text: String,
        _ connection: String,
        _ database: String,
        _ user: String,
        _ address: String
    ) {
        guard sink.wantsFields else {
            return log.log(level: level, "\(connection): \(database)/\(user)@\(address) \(text)")
        }
        log.log(
            level: level,
            "\(text)",
            metadata: [
                "connection": "\(connection)", "database": "\(database)", "user": "\(user)",
                "address": "\(address)",
            ]
        )
    }

    func logClientLogin(_ slot: UInt32) {
        guard settings.logConnections else { return }
        logClient(
            slot,
            .info,
            "login attempt: db=\(clients[slot].database) user=\(clients[slot].user) tls=no"
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
        let age = (now - servers[slot].connectTime) / 1_000_000
        if case .serverLoginFailed = reason {
            logServer(slot, .warning, "server login failed: \(reason.text)")
        }
        logServer(slot, .info, "closing because: \(reason.text) (age=\(age)s)")
    }

    private static func pointerText(_ number: UInt64) -> String {
        "0x" + String(number, radix: 16)
    }
}
