// Connections with TLS: handshakes, and records on their way in. Sending is Transport's alone.
//
// A handshake with a client takes longer than all that a transaction needs of the loop. So they are made
// one in a turn: however many clients come at once, whoever is in a transaction waits for one of them.

internal import DequeModule
internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    // MARK: Clients

    /// Goes over to TLS with a client.
    ///
    /// - Parameter isDirect: whether it has not asked, but begun.
    /// - Returns: false when that cannot be done.
    mutating func beginTLS(with slot: UInt32, isDirect: Bool) -> Bool {
        guard let context = tls.forClients, let session = try? TLSSession(accepting: context)
        else { return false }
        clients[slot].transport.awaitTLS(session)
        clients[slot].phase = .shakingHands
        clients[slot].isDirectTLS = isDirect
        return true
    }

    /// Records came from a client.
    mutating func clientReceivedRecords(
        _ slot: UInt32,
        _ records: RawSpan,
        in buffer: borrowing ReceiveBuffer
    ) {
        switch clients[slot].phase {
        case .draining: break
        case .shakingHands:
            hold(slot, records)
            awaitHandshake(slot)
        default: openRecords(of: slot, records, in: buffer)
        }
    }

    /// Has a client's handshake made as soon as it is its turn.
    mutating func awaitHandshake(_ slot: UInt32) {
        guard !clients[slot].awaitsHandshake else { return }
        clients[slot].awaitsHandshake = true
        handshakes.append(clients[slot].id)
    }

    /// Goes on with the handshake of the client that has waited longest.
    mutating func shakeHands(_ buffer: borrowing ReceiveBuffer) {
        while let client = handshakes.popFirst() {
            let slot = client.index
            guard clients.holds(slot, generation: client.generation),
                clients[slot].phase == .shakingHands
            else { continue }
            clients[slot].awaitsHandshake = false
            let held = exchange(&clients[slot].held, with: [])
            clients[slot].transport.setReading(true, reactor)
            return openRecords(of: slot, unsafe held.span.bytes, in: buffer)
        }
    }

    private mutating func openRecords(
        of slot: UInt32,
        _ records: RawSpan,
        in buffer: borrowing ReceiveBuffer
    ) {
        let generation = clients[slot].id.generation
        var offset = 0
        while clients.holds(slot, generation: generation), clients[slot].phase != .draining {
            let end = min(offset + buffer.recordLimit, records.byteCount)
            let progress = unsafe clients[slot].transport.open(
                records.extracting(offset..<end),
                into: buffer.plaintext,
                reactor
            )
            offset = end
            if progress.isEstablished { clientShookHands(slot) }
            if progress.plaintextCount > 0, clients.holds(slot, generation: generation) {
                clientReceived(slot, buffer.opened(progress.plaintextCount))
            }
            guard clients.holds(slot, generation: generation) else { return }
            switch progress.end {
            case .none: if offset == records.byteCount { return }
            case .closed: return clientEnded(slot)
            case .failed(let failure):
                return closeClient(slot, .clientTLSFailed(failure.description))
            }
        }
    }

    private mutating func clientShookHands(_ slot: UInt32) {
        // Who has not asked must say what for (PostgreSQL documentation, 53.2.11).
        if clients[slot].isDirectTLS, !clients[slot].transport.hasProtocolName {
            return closeClient(slot, .clientTLSFailed("no application protocol (ALPN)"))
        }
        clients[slot].phase = .startup
        logClient(slot, .debug, clients[slot].transport.tlsText)
    }

    // MARK: Servers

    /// How the connection to a server begins with TLS; nil if it has none.
    func tlsPlan(of slot: UInt32) -> TLSPlan? {
        tls.plan(
            of: pools[servers[slot].pool].key.database,
            to: servers[slot].host.host,
            at: servers[slot].endpoint
        )
    }

    /// A server is connected: TLS comes first, if it is to have it.
    mutating func beginLogin(to slot: UInt32) {
        guard let plan = tlsPlan(of: slot) else { return startLogin(to: slot) }
        servers[slot].transport.setReading(true, reactor)
        if plan.isDirect { return beginTLS(with: slot, plan) }
        servers[slot].task = .askingForTLS
        var writer = ByteWriter()
        writer.sslRequest()
        servers[slot].transport.send(unsafe writer.bytes.span.bytes, reactor)
    }

    /// A server has said whether it has TLS.
    mutating func serverAnswered(_ slot: UInt32, _ answer: SSLAnswer) {
        guard let plan = tlsPlan(of: slot) else { return startLogin(to: slot) }
        switch answer {
        case .accepted: beginTLS(with: slot, plan)
        case .refused where !plan.isRequired: startLogin(to: slot)
        case .refused: loginFailed(slot, .serverTLSFailed("server refused SSL"))
        case .invalid: loginFailed(slot, .serverTLSFailed("unexpected answer to SSLRequest"))
        }
    }

    private mutating func beginTLS(with slot: UInt32, _ plan: TLSPlan) {
        servers[slot].task = .shakingHands
        do throws(TLSFailure) {
            try servers[slot].transport.startTLS(try plan.makeSession(), reactor)
        } catch {
            loginFailed(slot, .serverTLSFailed(error.description))
        }
    }

    /// Records came from a server.
    mutating func serverReceivedRecords(
        _ slot: UInt32,
        _ records: RawSpan,
        in buffer: borrowing ReceiveBuffer
    ) {
        let generation = servers[slot].id.generation
        let progress = unsafe servers[slot].transport.open(
            records,
            into: buffer.plaintext,
            reactor
        )
        if progress.isEstablished { serverShookHands(slot) }
        if progress.plaintextCount > 0, servers.holds(slot, generation: generation) {
            serverReceived(slot, buffer.opened(progress.plaintextCount))
        }
        guard servers.holds(slot, generation: generation) else { return }
        switch progress.end {
        case .none: break
        case .closed: serverEnded(slot)
        case .failed(let failure):
            if [.shakingHands, .loggingIn].contains(servers[slot].task) {
                loginFailed(slot, .serverTLSFailed(failure.description))
            } else {
                logServer(slot, .warning, "TLS: \(failure)")
                serverEnded(slot)
            }
        }
    }

    private mutating func serverShookHands(_ slot: UInt32) {
        if tlsPlan(of: slot)?.isDirect == true, !servers[slot].transport.hasProtocolName {
            return loginFailed(slot, .serverTLSFailed("no application protocol (ALPN)"))
        }
        logServer(slot, .debug, servers[slot].transport.tlsText)
        startLogin(to: slot)
    }
}
