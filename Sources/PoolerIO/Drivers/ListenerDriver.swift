// Listening sockets and the clients that come in by them.

internal import CLinux
internal import Logging
internal import PoolerCore

extension Worker {
    /// Accepts what has come, up to a batch; the kernel tells again of what is left.
    ///
    /// The batch grows from one while it is filled turn by turn, so that to learn that there is no more
    /// costs a system call only where many come at once.
    mutating func accept(from index: Int, _ buffer: borrowing ReceiveBuffer) {
        guard !isAcceptPaused, listeners[index].descriptor >= 0 else { return }
        acceptBatch = turn == lastAcceptTurn + 1 ? min(2 * acceptBatch, 64) : 1
        lastAcceptTurn = turn
        for _ in 0..<acceptBatch {
            var storage = sockaddr_storage()
            var size: socklen_t = 0
            let descriptor = unsafe martlet_accept(listeners[index].descriptor, &storage, &size)
            guard descriptor >= 0 else {
                acceptBatch = 1
                if [-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM].contains(descriptor) {
                    pauseAccepting(SystemError(call: "accept", code: -descriptor))
                }
                return
            }
            let peer: SocketAddress
            if Int32(storage.ss_family) == AF_UNIX {
                var process: Int32 = 0
                _ = unsafe martlet_peer_user(descriptor, &process)
                peer = .unix(process: process)
            } else {
                peer = SocketAddress(storage)
                SocketOptions.applyToAccepted(settings, descriptor)
            }
            let worker = shared.loads.place(acceptedBy: id)
            if worker == id {
                guard let slot = addClient(descriptor, peer) else { continue }
                // With TCP_DEFER_ACCEPT it has sent something already.
                if buffer.receivesAtOnce && !peer.isUnix {
                    take(buffer.receive(from: descriptor), of: slot, in: buffer)
                }
            } else {
                shared.post(.connection(descriptor: descriptor, peer: peer), to: worker)
            }
        }
    }

    /// Adds a connection, which has been counted for this worker.
    ///
    /// - Returns: its slot, or nil when the kernel refused to watch it.
    @discardableResult
    mutating func addClient(
        _ descriptor: Int32,
        _ peer: SocketAddress,
        number: UInt64? = nil
    ) -> UInt32? {
        let (slot, generation) = clients.nextIdentity
        let token = Token(.client, slot: slot, generation: generation)
        var transport = Transport(descriptor: descriptor, token: token)
        guard transport.add(to: reactor) else {
            transport.close(reactor)
            shared.loads.add(-1, to: self.id)
            return nil
        }
        let id = ClientID(index: slot, generation: generation)
        clients.insert(
            Client(
                transport: transport,
                number: number ?? shared.takeNumber(),
                address: peer,
                now: now
            )
        )
        if settings.clientLoginTimeout > 0 {
            loginQueue.add(id, deadline: now + settings.clientLoginTimeout, isDraining: false)
        }
        return slot
    }

    /// There are no descriptors left: rather than being told so again and again, wait for a tick.
    private mutating func pauseAccepting(_ error: SystemError) {
        log.error("accept() failed, waiting: \(error)")
        isAcceptPaused = true
        watchListeners(false)
    }

    /// Starts or stops to be told of new clients.
    mutating func watchListeners(_ isOn: Bool) {
        let isOn = isOn && !lifecycle.isHandingOver && !awaitsPredecessor && !isAcceptPaused
        guard isOn != isListening else { return }
        isListening = isOn
        for index in 0..<listeners.count where listeners[index].descriptor >= 0 {
            let token = Token(.listener, slot: UInt32(index))
            if !isOn {
                reactor.unwatch(listeners[index].descriptor, token)
            } else if !reactor.watch(listeners[index].descriptor, token, isShared: true) {
                log.error("cannot watch \(listeners[index].logText)")
            }
        }
    }
}
