// Clients that have logged in: their bytes go to the server they have, or wait until they have one.
// What each message means is ClientMachine's to say, who gets a server the pool's.

internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// How much a client may have waiting before it is no longer read from, in bytes.
    private static var heldLimit: Int { 65_536 }
    /// How many answers a server may owe a client before that is no longer read from: what is known
    /// of each takes a few bytes.
    private static var owedLimit: Int { 65_536 }

    /// Bytes came from a client, whatever it is doing.
    mutating func clientReceived(_ slot: UInt32, _ bytes: RawSpan) {
        switch clients[slot].phase {
        case .ready:
            if let pool = clients[slot].pool {
                pools[pool].counters.bytesReceived &+= UInt64(bytes.byteCount)
            }
            if clients[slot].held.isEmpty && !clients[slot].isBlocked {
                forward(slot, bytes)
            } else {
                hold(slot, bytes)
                resume(slot)
            }
        case .replicating: clientReplicated(slot, bytes)
        case .startup, .shakingHands, .authenticating, .awaitingSecret, .awaitingWelcome,
            .leaving, .departing:
            hold(slot, bytes)
            continueLogin(slot)
        case .console:
            hold(slot, bytes)
            continueConsole(slot)
        case .draining:
            break
        }
    }

    /// The socket of a client takes bytes again.
    mutating func clientBecameWritable(_ slot: UInt32) {
        clients[slot].transport.flush(reactor)
        guard clients[slot].transport.isDrained else { return }
        if clients[slot].phase == .draining {
            clients[slot].transport.finishSending(reactor)
        } else {
            if clients[slot].hasServer {
                servers[clients[slot].server].transport.setReading(true, reactor)
            }
            if clients[slot].subscriptions != noSlot { deliverNotifications(to: slot) }
            readIfWelcome(slot)
        }
    }

    /// Reads from a client if it may ask for more: it has taken its answers, and its server has
    /// taken its requests and does not owe too much.
    ///
    /// Otherwise it is not read from until that is so.
    mutating func readIfWelcome(_ slot: UInt32) {
        guard !clients[slot].isBlocked else { return }
        let server = clients[slot].server
        let isServerBehind =
            server != noSlot
            && (!servers[server].transport.isDrained
                || servers[server].machine.owedCount > Self.owedLimit)
        clients[slot].transport.setReading(
            clients[slot].transport.isDrained && !isServerBehind,
            reactor
        )
    }

    /// The client has closed its side, or its connection broke.
    mutating func clientEnded(_ slot: UInt32) {
        if clients[slot].phase == .draining {
            removeClient(slot)
        } else if clients[slot].phase != .departing {
            closeClient(slot, .clientUnexpectedEOF)
        }
    }

    /// Keeps bytes for later; a client that has much waiting is not read from.
    mutating func hold(_ slot: UInt32, _ bytes: RawSpan) {
        if clients[slot].held.isEmpty { clients[slot].held = spareBuffers.take() }
        unsafe bytes.withUnsafeBytes { unsafe clients[slot].held.append(contentsOf: $0) }
        if clients[slot].isBlocked && clients[slot].held.count >= Self.heldLimit {
            clients[slot].transport.setReading(false, reactor)
        }
    }

    /// Goes on with the bytes that were kept, unless they still have to wait.
    mutating func resume(_ slot: UInt32) {
        guard !clients[slot].isBlocked, !clients[slot].held.isEmpty else { return }
        let held = exchange(&clients[slot].held, with: [])
        readIfWelcome(slot)
        if clients[slot].phase == .replicating {
            forwardToOwnServer(slot, unsafe held.span.bytes)
        } else {
            forward(slot, unsafe held.span.bytes)
        }
        spareBuffers.giveBack(held)
    }

    /// Goes on with a client that was held back, if there is no doubt about its statements any more.
    mutating func resumeHeldBack(_ client: ClientID) {
        let slot = client.index
        guard clients.holds(slot, generation: client.generation), clients[slot].isHeldBack else {
            return
        }
        if clients[slot].hasServer {
            let server = clients[slot].server
            if servers[server].machine.hasNamedInDoubt
                || servers[server].machine.hasUnnamedInDoubt
                || servers[server].machine.owesEndOfStatements
                || servers[server].awaitedDescriptions.holdsClient
            {
                return
            }
        }
        clients[slot].isHeldBack = false
        resume(slot)
    }

    // MARK: Forwarding

    /// Sends a client's messages on, up to one that has to wait.
    private mutating func forward(_ slot: UInt32, _ bytes: RawSpan) {
        let limit = settings.maxPacketSize
        var offset = 0
        var hasEndedMessage = false
        while offset < bytes.byteCount {
            switch clients[slot].machine.next(bytes, at: offset, limit: limit) {
            case .body(let end, let disposition):
                if case .forward = disposition { toServer.take(offset..<end, of: bytes) }
                offset = end
                hasEndedMessage = clients[slot].machine.isBetweenMessages
            case .message(let request, let header):
                if settings.disablePqexec, case .query = request,
                    header.typeByte == FrontendMessageType.query.rawValue
                {
                    flushToServer(slot, bytes)
                    return closeClient(slot, .simpleQueryDisabled)
                }
                if !clients[slot].hasServer {
                    if case .terminate = request {
                        flushToClient(slot, bytes)
                        return closeClient(slot, .clientCloseRequest)
                    }
                    if request.concernsNobody(header) {
                        offset = clients[slot].machine.pass(header, at: offset, of: bytes, .swallow)
                        continue
                    }
                    if needsRest(of: request, header, at: offset, of: bytes, slot) {
                        hold(slot, bytes.extracting(offset..<bytes.byteCount))
                        return flushToServer(slot, bytes)
                    }
                    if let next = answerWithoutServer(
                        request,
                        header,
                        at: offset,
                        of: bytes,
                        to: slot
                    ) {
                        offset = next
                        continue
                    }
                    flushToClient(slot, bytes)
                    let id = clients[slot].id
                    guard acquireServer(for: slot) else {
                        if clients.holds(slot, generation: id.generation) {
                            hold(slot, bytes.extracting(offset..<bytes.byteCount))
                        }
                        return
                    }
                }
                if case .terminate = request {
                    flushToServer(slot, bytes)
                    return closeClient(slot, .clientCloseRequest)
                }
                guard let next = send(request, header, at: offset, of: bytes, from: slot) else {
                    hold(slot, bytes.extracting(offset..<bytes.byteCount))
                    return flushToServer(slot, bytes)
                }
                offset = next
            case .incomplete:
                hold(slot, bytes.extracting(offset..<bytes.byteCount))
                return flushToServer(slot, bytes)
            case .protocolViolation:
                flushToServer(slot, bytes)
                return closeClient(slot, .clientProtocolViolation("bad packet header"))
            }
        }
        flushToServer(slot, bytes)
        let server = clients[slot].server
        // The answer to COPY data can come before the data has ended.
        if hasEndedMessage, server != noSlot, servers[server].machine.isClean {
            becameQuiet(server)
        }
    }

    /// Sends what was collected to the client's server, and the answers that need no server.
    mutating func flushToServer(_ slot: UInt32, _ bytes: RawSpan) {
        let server = clients[slot].server
        guard server != noSlot else {
            toServer.discard()
            return flushToClient(slot, bytes)
        }
        if servers[server].repeatableBatch.entry != noSlot { keepBatch(server, among: bytes) }
        toServer.flush(bytes, to: &servers[server].transport, reactor)
        undoDropped(server)
        if !servers[server].machine.hasAnswerBehindDue { giveDueAnswers(server, among: bytes) }
        flushToClient(slot, bytes)
        readIfWelcome(slot)
    }

    /// Puts one message into the stream to the server.
    ///
    /// - Returns: where the next message starts, or nil when more of this one must arrive first, or the
    ///   client is held back.
    private mutating func send(
        _ request: ClientRequest,
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Int? {
        let server = clients[slot].server
        clients[slot].hasOwnAnswers = false
        if clients[slot].subscriptions != noSlot,
            !prepareChannels(for: request, header, at: offset, of: bytes, from: slot)
        {
            return nil
        }
        startClock(server)
        if pools[servers[server].pool].queryTextLimit > 0 {
            keepQueryText(request, header, at: offset, of: bytes, from: slot)
        }
        if clients[slot].watchesResets {
            watchForResets(request, header, at: offset, of: bytes, from: slot)
        }
        switch request {
        case .query:
            if pools[servers[server].pool].tracksSessions,
                !noteQuery(header, at: offset, of: bytes, from: slot)
            {
                return nil
            }
            forgetUnnamedStatement(of: slot)
            servers[server].machine.expect(Expectation(.query, .client))
        case .sync:
            servers[server].machine.expect(Expectation(.sync, .client))
            // What the server skipped so far shall not count for what follows.
            undoDropped(server)
        case .execute:
            let endsStatements = !servers[server].doubts.effects.isDisjoint(with: .endsStatements)
            let statement =
                endsStatements ? Expectation.unnumberedStatement : Expectation.noStatement
            servers[server].machine.expect(Expectation(.execute, .client, statement: statement))
        case .extended(let kind):
            if pools[servers[server].pool].tracksSessions {
                noteUntracked(kind, header, at: offset, of: bytes, from: slot)
            }
            if pools[servers[server].pool].tracksStatements {
                switch trackUnnamed(kind, header, at: offset, of: bytes, from: slot) {
                case .unchanged: break
                case .heldBack: return nil
                case .sent(let next): return next
                }
            }
            servers[server].machine.expect(Expectation(kind, .client))
        case .copyEnd: servers[server].machine.expect(Expectation(.copyEnd, .client))
        // What it asks for includes answers of the pooler's.
        case .flush: giveDueAnswers(server, among: bytes)
        case .copyData, .terminate: break
        case .named(let kind):
            if pools[servers[server].pool].tracksStatements {
                if servers[server].machine.hasNamedInDoubt {
                    clients[slot].isHeldBack = true
                    return nil
                }
                guard !awaitsEndOfStatements(slot, among: bytes) else { return nil }
                return sendNamed(kind, header, at: offset, of: bytes, from: slot)
            }
            if pools[servers[server].pool].tracksSessions {
                noteUntracked(kind, header, at: offset, of: bytes, from: slot)
            }
            servers[server].machine.expect(Expectation(kind, .client))
        }
        return passOn(header, at: offset, of: bytes, from: slot)
    }

    /// Forwards a message unchanged, as far as it has arrived.
    mutating func passOn(
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Int {
        let end = clients[slot].machine.pass(header, at: offset, of: bytes, .forward)
        toServer.take(offset..<end, of: bytes)
        return end
    }

    /// Notes when the current query and transaction of a server's client began.
    mutating func startClock(_ server: UInt32) {
        guard servers[server].queryStart == 0 else { return }
        servers[server].queryStart = now
        if servers[server].transactionStart == 0 { servers[server].transactionStart = now }
    }
}

extension ClientRequest {
    /// Messages that mean nothing outside of a COPY or a batch: PostgreSQL ignores them there.
    fileprivate func concernsNobody(_ header: MessageHeader) -> Bool {
        switch self {
        case .copyData, .copyEnd: true
        case .flush: header.bodyByteCount == 0
        case .query, .sync, .execute, .extended, .named, .terminate: false
        }
    }
}
