// How a server gets from the worker where it is at home to the client that waits for it: taken out of one
// event loop and added to another, or asked for by mail where only its own loop can let it go.

internal import PoolerCore

extension Worker {
    /// Takes hold of the next free server for the client that waits longest.
    func nextMatch(_ pool: PoolID) -> Match? {
        switch pools[pool].shared.match(
            servers,
            by: id,
            takesFromOthers: reactor.letsOthersTake
        ) {
        case .match(let match): return match
        case .ask(let worker):
            shared.post(.serveWaiters(pool), to: worker)
            return nil
        case .nothing: return nil
        }
    }

    /// Brings a server that this worker has taken hold of to its client, wherever that is.
    mutating func give(_ match: Match) {
        let (client, ticket) = (match.waiter.client, match.waiter.ticket)
        if match.waiter.worker == id {
            if takeIn(match) { assign(match.server.index, to: client, ticket: ticket) }
            return
        }
        servers[match.server.index].destination = match.waiter
        if stopReceiving(match.server.index, at: match.home) { serverLeft(match.server.index) }
    }

    /// Makes this worker the home of a server that it has taken hold of for one of its clients.
    ///
    /// - Returns: false when the kernel refused; the client then waits on, at the head of the queue.
    mutating func takeIn(_ match: Match) -> Bool {
        if match.home == id { return true }
        _ = stopReceiving(match.server.index, at: match.home)
        return startReceiving(match.server, for: match.waiter.client, match.waiter.ticket)
    }

    /// Takes a server out of the event loop in which it is at home.
    ///
    /// - Returns: whether it has left; otherwise an event will tell.
    mutating func stopReceiving(_ server: UInt32, at home: WorkerID) -> Bool {
        if home == id { return servers[server].transport.detach(from: reactor) }
        Reactor.remove(servers[server].transport.descriptor, fromEpoll: shared.reactors[home])
        return true
    }

    /// A server has left this worker's event loop, for that of the client which waits for it.
    mutating func serverLeft(_ server: UInt32) {
        guard let waiter = exchange(&servers[server].destination, with: nil) else { return }
        let id = servers[server].id
        servers.pass(server, to: waiter.worker)
        shared.post(.server(id, for: waiter.client, ticket: waiter.ticket), to: waiter.worker)
    }

    private mutating func startReceiving(
        _ server: ServerID,
        for client: ClientID,
        _ ticket: UInt32
    ) -> Bool {
        checkIsCurrent(server.index)
        if servers[server.index].transport.add(to: reactor) { return true }
        closeServer(server.index, .serverConnectionLost)
        serverLost(client, ticket)
        return false
    }

    /// A server has come from another worker.
    private mutating func checkIsCurrent(_ server: UInt32) {
        if servers[server].number < pools[servers[server].pool].firstCurrentServer {
            requireClose(server)
        }
    }

    /// The server that a client of this worker was to get is no more: it waits on, before all others.
    mutating func serverLost(_ client: ClientID, _ ticket: UInt32) {
        guard isWaiting(client, ticket: ticket), let pool = clients[client.index].pool else {
            return
        }
        rejoin(client.index)
        serveWaiters(pool)
        openServersIfWanted(pool)
    }

    /// Another worker has passed a free server on, for a client of this one.
    mutating func serverArrived(_ server: ServerID, _ client: ClientID, _ ticket: UInt32) {
        servers.receive(server)
        let pool = servers[server.index].pool
        let outerPool = exchange(&servedPool, with: pool)
        if startReceiving(server, for: client, ticket) {
            assign(server.index, to: client, ticket: ticket)
        }
        servedPool = outerPool
        if !pools[pool].gate.isOpen { serveWaiters(pool) }
    }

    /// Gives a free server to the client that waits under a ticket, or, if it has left, to the next.
    mutating func assign(_ server: UInt32, to client: ClientID, ticket: UInt32) {
        guard isWaiting(client, ticket: ticket) else { return offer(server) }
        waitEnded(client.index)
        if link(client.index, server) { serverIsReady(for: client.index) }
    }
}
