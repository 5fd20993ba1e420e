// SHOW CLIENTS, SERVERS, SOCKETS and ACTIVE_SOCKETS: one row for each connection. Names, order and
// types are PgBouncer's; the state has two spellings there, and so here.

import PostgresWire

extension ShowDefinition {
    static let clients = ShowDefinition(
        "Client connections that have logged in.",
        parts: .clients,
        columns: socketColumns
    ) { snapshot in
        snapshot.clients.filter { $0.state != .client(.login) }
    }

    static let servers = ShowDefinition(
        "Server connections.",
        parts: .servers,
        columns: socketColumns
    ) { $0.servers }

    static let pins = ShowDefinition(
        "Servers that stay with their client between transactions, and why.",
        parts: .servers,
        columns: pinColumns
    ) { snapshot in
        snapshot.servers.filter { !$0.pins.isEmpty }
    }

    static let sockets = ShowDefinition(
        "All connections, with the positions of their buffers.",
        parts: [.clients, .servers],
        columns: debugSocketColumns
    ) { $0.clients + $0.servers }

    static let activeSockets = ShowDefinition(
        "As SOCKETS, but only connections with something in their buffers.",
        parts: [.clients, .servers],
        columns: debugSocketColumns
    ) { snapshot in
        (snapshot.clients + snapshot.servers).filter { !$0.buffers.isEmpty }
    }
}

extension SocketSnapshot.State {
    /// `C` or `S`.
    fileprivate var type: ByteString {
        switch self {
        case .client: "C"
        case .server: "S"
        }
    }

    /// The state as SHOW CLIENTS and SHOW SERVERS spell it.
    fileprivate var text: ByteString {
        switch self {
        case .client(let state): ByteString(state.rawValue)
        case .server(let state): ByteString(state.rawValue)
        }
    }

    /// The state as SHOW SOCKETS spells it: by the list that the connection is in.
    fileprivate var listText: ByteString {
        switch self {
        case .client(.idle): "cl_active"
        case .client(let state): ByteString("cl_\(state.rawValue)")
        case .server(.new): "sv_login"
        case .server(let state): ByteString("sv_\(state.rawValue)")
        }
    }
}

private func makeSocketColumns(
    state: @escaping @Sendable (SocketSnapshot) -> ByteString
) -> [ShowColumn<SocketSnapshot>] {
    [
        .text("type", "C for a client, S for a server.") { $0.state.type },
        .text("user", "The user name.") { $0.user },
        .text("database", "The database name.") { $0.database },
        .text("replication", "Whether it is for replication: none, logical or physical.") {
            $0.replication.text
        },
        .text("state", "What the connection is doing.") { state($0) },
        .text("addr", "The address of the other end, or unix.") { $0.address },
        .int4("port", "The port of the other end.") { $0.port },
        .text("local_addr", "The address of our end.") { $0.localAddress },
        .int4("local_port", "The port of our end.") { $0.localPort },
        .text("connect_time", "When the connection was made.") { $0.connectTime?.text() },
        .text("request_time", "When the last request was made.") { $0.requestTime?.text() },
        .int4("wait", "How long the client has waited, in seconds.") {
            Int($0.waitMicroseconds / 1_000_000)
        },
        .int4("wait_us", "The microseconds of that.") { Int($0.waitMicroseconds % 1_000_000) },
        .int4("close_needed", "1 when the server closes as soon as it is free.") {
            $0.isCloseNeeded ? 1 : 0
        },
        .text("ptr", "The connection's own address.") { hexadecimal($0.pointer) },
        .text("link", "The ptr of the connection it is paired with.") {
            $0.link.map { hexadecimal($0) } ?? ""
        },
        .int4("remote_pid", "The process at the other end, where known.") { $0.remoteProcessID },
        .text("tls", "Protocol and cipher, empty without TLS.") { $0.tls },
        .text("application_name", "The client's application_name.") { $0.applicationName },
        .int4("prepared_statements", "Prepared statements on the connection.") {
            $0.preparedStatementCount
        },
        .int4("id", "A number that no other connection ever has.") { $0.id },
    ]
}

private let socketColumns =
    makeSocketColumns { $0.state.text } + [
        .int4("worker", "The event loop that the connection belongs to.") { $0.worker },
        .text(
            "pins",
            "Why server and client stay together, as in SHOW PINS; listener = for all that LISTEN."
        ) {
            ByteString($0.isListener ? "listener" : $0.pins.text)
        },
    ]

private let pinColumns: [ShowColumn<SocketSnapshot>] = [
    .text("database", "The database name.") { $0.database },
    .text("user", "The user name.") { $0.user },
    .text("server", "The ptr of the server in SHOW SERVERS.") { hexadecimal($0.pointer) },
    .text("client", "The ptr of the client in SHOW CLIENTS.") {
        $0.link.map { hexadecimal($0) } ?? ""
    },
    .text(
        "reasons",
        "What the session has that cannot be moved: " + PinReasons.allNames.joined(separator: ", ")
            + "."
    ) {
        ByteString($0.pins.text)
    },
    .text("since", "When the server was bound to the client.") { $0.pinTime?.text() },
    .text("statement", "The beginning of the statement after which it was.") { $0.pinStatement },
]

private let debugSocketColumns: [ShowColumn<SocketSnapshot>] =
    makeSocketColumns { $0.state.listText } + [
        .int4("recv_pos", "Received bytes in the buffer.") { $0.buffers.receivePosition },
        .int4("pkt_pos", "Parsed bytes in the buffer.") { $0.buffers.packetPosition },
        .int4("pkt_remain", "Bytes of the current message yet to come.") {
            $0.buffers.packetRemaining
        },
        .int4("send_pos", "Sent bytes in the buffer.") { $0.buffers.sendPosition },
        .int4("send_remain", "Bytes of the current message yet to be sent.") {
            $0.buffers.sendRemaining
        },
        .int4("pkt_avail", "Bytes ready to be parsed.") { $0.buffers.packetAvailable },
        .int4("send_avail", "Bytes ready to be sent.") { $0.buffers.sendAvailable },
    ]

private func hexadecimal(_ number: UInt64) -> ByteString {
    ByteString("0x\(String(number, radix: 16))")
}
