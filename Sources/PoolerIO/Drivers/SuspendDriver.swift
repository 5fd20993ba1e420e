// SUSPEND: what has been received is passed on, and then nothing more is received, from clients and from
// their servers. A client is *flushed* when no message is half through and nothing waits to be sent;
// those that are not within suspend_timeout are closed.

internal import PoolerCore
internal import Synchronization

extension Worker {
    /// Stops or continues to receive.
    mutating func setSuspended(_ isSuspended: Bool) {
        lifecycle.isSuspended = isSuspended
        shared.forgetFlushed()
        issue(.lifecycle(lifecycle))
        mustAdvanceLifecycle = true
    }

    /// The pooler is suspended, or it goes on.
    mutating func suspensionChanged() {
        guard isSuspended != lifecycle.isSuspended else { return }
        isSuspended = lifecycle.isSuspended
        suspendTime = now
        if isSuspended { return }
        for slot in 0..<UInt32(clients.slotCount) where clients.isUsed(slot) {
            let generation = clients[slot].id.generation
            if clients[slot].hasServer, clients[slot].transport.isDrained {
                servers[clients[slot].server].transport.setReading(true, reactor)
            }
            if isSuspendable(slot) { readIfWelcome(slot) }
            guard clients.holds(slot, generation: generation) else { continue }
            switch clients[slot].phase {
            case .startup: continueLogin(slot)
            case .ready, .replicating: resume(slot)
            default: break
            }
        }
    }

    /// Stops to receive wherever no message is half through.
    mutating func suspend() {
        var isFlushed = true
        let limit = settings.suspendTimeout
        let isOverdue = limit > 0 && now - suspendTime >= limit
        for slot in 0..<UInt32(clients.slotCount)
        where clients.isUsed(slot) && isSuspendable(slot) {
            if !suspendIfFlushed(slot) {
                isFlushed = false
                if isOverdue { closeClient(slot, .suspendTimeout) }
            }
        }
        if shared.setFlushed(isFlushed, worker: id) {
            if isChief {
                mustAdvanceLifecycle = true
            } else {
                shared.post(.connectionGone, to: .chief)
            }
        }
    }

    private func isSuspendable(_ slot: UInt32) -> Bool {
        switch clients[slot].phase {
        case .authenticating, .awaitingSecret, .awaitingWelcome, .ready, .replicating: true
        // It may bring a cancel request, or want the console.
        case .startup, .shakingHands, .console, .leaving, .departing, .draining: false
        }
    }

    /// - Returns: whether nothing of the client's is half through.
    private mutating func suspendIfFlushed(_ slot: UInt32) -> Bool {
        let isReceived = clients[slot].machine.isBetweenMessages
        if isReceived { clients[slot].transport.setReading(false, reactor) }
        guard clients[slot].hasServer else {
            return isReceived && clients[slot].transport.isDrained
        }
        let server = clients[slot].server
        let isAnswered = !servers[server].machine.isMidMessage
        if isAnswered { servers[server].transport.setReading(false, reactor) }
        return isReceived && isAnswered && clients[slot].transport.isDrained
            && servers[server].transport.isDrained
    }
}
