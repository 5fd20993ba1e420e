// SHOW PEERS and PEER_POOLS. Names, order and types are PgBouncer's.

import PostgresWire

extension ShowDefinition {
    static let peers = ShowDefinition(
        "The other poolers behind the same address, as configured.",
        parts: .peers,
        columns: peerColumns
    ) { $0.peers }

    static let peerPools = ShowDefinition(
        "The cancel requests that are being passed on, one row for each peer that has any.",
        parts: .peers,
        columns: peerPoolColumns
    ) { $0.peerPools }
}

private let peerColumns: [ShowColumn<PeerSnapshot>] = [
    .int4("peer_id", "The peer's peer_id.") { $0.id },
    .text("host", "Where it is: a host name, an address or the folder of a Unix socket.") {
        $0.host
    },
    .int4("port", "Its port.") { $0.port },
    .int4("pool_size", "The most cancel requests under way to it at once.") { $0.poolSize },
]

private let peerPoolColumns: [ShowColumn<PeerPoolSnapshot>] = [
    .int4("peer_id", "The peer's peer_id.") { $0.id },
    .int4("cl_active_cancel_req", "Cancel requests sent on, the peer has yet to close.") {
        $0.clientActiveCancelRequest
    },
    .int4("cl_waiting_cancel_req", "Cancel requests yet to be sent on.") {
        $0.clientWaitingCancelRequest
    },
    .int4("sv_active_cancel", "Connections that carry a cancel request.") {
        $0.serverActiveCancel
    },
    .int4("sv_login", "Connections that are being made.") { $0.serverLogin },
]
