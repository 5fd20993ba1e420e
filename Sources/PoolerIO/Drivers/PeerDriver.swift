// Passing on the CancelRequests that are for clients of peers. The chief does it for all workers, so that
// the limit for each peer is one for the process; how many go at once is PeerPool's decision.

internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// Passes a CancelRequest on to the peer whose client it is for.
    mutating func passOn(_ key: CancelKey, to peer: Int, for requester: Requester) {
        guard directory.configuration.peers[peer] != nil else {
            return cancelEnded(for: requester, .unknownPeer)
        }
        let limit = settings.cancelWaitTimeout
        peerPools[peer, default: PeerPool()].add(
            PeerRequest(key: key, requester: requester),
            deadline: limit == 0 ? .max : now + limit
        )
        servePeer(peer)
    }

    /// Opens connections for the requests that wait, as far as the peer's pool_size allows.
    private mutating func servePeer(_ peer: Int) {
        guard let pool = peerPools[peer], pool.waitingCount > 0 else { return }
        // RELOAD may have taken it away.
        guard let entry = directory.configuration.peers[peer] else {
            return failAll(for: peer, .unknownPeer)
        }
        let endpoint: Endpoint
        switch resolve(Endpoint(host: entry.host, port: entry.port)) {
        case .known(let known): endpoint = known
        case .unresolvable: return failAll(for: peer, .unreachable)
        case .underWay: return
        }
        let limit = directory.configuration.poolSize(of: entry)
        while let (request, deadline) = peerPools[peer]?.next(limit: limit) {
            let number = shared.takeNumber()
            let isUnderWay = startCanceler(
                .peer(peer, endpoint, number: number),
                at: endpoint,
                tls.plan(of: nil, to: entry.host, at: endpoint),
                request.key,
                for: request.requester,
                until: deadline
            )
            if !isUnderWay {
                peerPools[peer]?.connectionEnded()
                logPeer(peer, endpoint, number, .info, "closing because: connect failed (age=0s)")
                cancelEnded(for: request.requester, .unreachable)
            }
        }
    }

    private mutating func failAll(for peer: Int, _ failure: CancelFailure) {
        for request in peerPools[peer]?.takeAll() ?? [] {
            cancelEnded(for: request.requester, failure)
        }
    }

    /// Looks after the requests that wait.
    mutating func inspectPeers() {
        for peer in Array(peerPools.keys) {
            for request in peerPools[peer]?.takeOverdue(now: now) ?? [] {
                cancelEnded(for: request.requester, .timeout)
            }
            servePeer(peer)
            if peerPools[peer]?.isEmpty == true { peerPools[peer] = nil }
        }
    }

    /// A connection to a peer is there, and gets its request.
    func logConnectionToPeer(_ canceler: UInt32) {
        guard case .peer(let peer, let endpoint, let number) = cancelers[canceler].target else {
            return
        }
        let local = SocketAddress.local(of: cancelers[canceler].transport.descriptor)
        logPeer(peer, endpoint, number, .info, "new connection to server (from \(local.logText))")
    }

    /// A connection to a peer has gone: the next request gets its place.
    mutating func connectionToPeerEnded(
        _ peer: Int,
        _ endpoint: Endpoint,
        _ number: UInt64,
        _ failure: CancelFailure?
    ) {
        let reason = failure?.text ?? "successfully sent cancel request"
        logPeer(peer, endpoint, number, .info, "closing because: \(reason)")
        peerPools[peer]?.connectionEnded()
        servePeer(peer)
    }

    // MARK: What SHOW tells

    /// The rows of SHOW PEERS.
    func peerSnapshots() -> [PeerSnapshot] {
        let configuration = directory.configuration
        return configuration.sortedPeers.map { peer in
            PeerSnapshot(
                id: peer.id,
                host: ByteString(peer.host),
                port: peer.port,
                poolSize: configuration.poolSize(of: peer)
            )
        }
    }

    /// The rows of SHOW PEER_POOLS: the peers for which there is anything under way.
    func peerPoolSnapshots() -> [PeerPoolSnapshot] {
        var rows: [PeerPoolSnapshot] = []
        for (peer, pool) in peerPools.sorted(by: { $0.key < $1.key }) where !pool.isEmpty {
            var row = PeerPoolSnapshot(id: peer)
            row.clientWaitingCancelRequest = pool.waitingCount
            for slot in 0..<UInt32(cancelers.slotCount) where cancelers.isUsed(slot) {
                guard case .peer(peer, _, _) = cancelers[slot].target else { continue }
                switch cancelers[slot].phase {
                case .connecting, .askingForTLS, .shakingHands: row.serverLogin += 1
                case .heldBack, .sent: row.serverActiveCancel += 1
                }
            }
            row.clientActiveCancelRequest = row.serverActiveCancel
            row.clientWaitingCancelRequest += row.serverLogin
            rows.append(row)
        }
        return rows
    }
}
