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
        log.log(
            level: level,
            "C-\(Self.pointerText(clients[slot].number)): \(database)/\(user)@\(address) \(text())"
        )
    }

    /// Writes a line about a server: `S-0x1a: db/user@host:port text`.
    func logServer(_ slot: UInt32, _ level: Logger.Level, _ text: @autoclosure () -> String) {
        guard log.logLevel <= level else { return }
        let key = pools[servers[slot].pool].key
        let endpoint = servers[slot].endpoint
        log.log(
            level: level,
            """
            S-\(Self.pointerText(servers[slot].number)): \(key.database)/\(key.user)@\
            \(endpoint.host):\(endpoint.port) \(text())
            """
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
