// Clients that have logged in: their bytes go to the server they have, or wait until they have one.
// What each message means is ClientMachine's to say, who gets a server the pool's.

internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// How much a client may have waiting before it is no longer read from, in bytes.
    private static var heldLimit: Int { 65_536 }
    /// The longest Parse of a named statement that is tracked, in bytes; longer ones bind the client
    /// to its server.
    private static var trackedParseLimit: Int { 1 << 20 }

    /// Bytes came from a client, whatever it is doing.
    mutating func clientReceived(_ slot: UInt32, _ bytes: RawSpan) {
        switch clients[slot].phase {
        case .ready:
            if clients[slot].held.isEmpty && !clients[slot].isBlocked {
                forward(slot, bytes)
            } else {
                hold(slot, bytes)
                resume(slot)
            }
        case .startup, .authenticating, .awaitingWelcome:
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
            clients[slot].transport.finishSending()
        } else if clients[slot].hasServer {
            servers[clients[slot].server].transport.setReading(true, reactor)
        }
    }

    /// The client has closed its side, or its connection broke.
    mutating func clientEnded(_ slot: UInt32) {
        if clients[slot].phase == .draining {
            removeClient(slot)
        } else {
            closeClient(slot, .clientUnexpectedEOF)
        }
    }

    /// Keeps bytes for later; a client that has much waiting is not read from.
    mutating func hold(_ slot: UInt32, _ bytes: RawSpan) {
        unsafe bytes.withUnsafeBytes { unsafe clients[slot].held.append(contentsOf: $0) }
        if clients[slot].isBlocked && clients[slot].held.count >= Self.heldLimit {
            clients[slot].transport.setReading(false, reactor)
        }
    }

    /// Goes on with the bytes that were kept, unless they still have to wait.
    mutating func resume(_ slot: UInt32) {
        guard !clients[slot].isBlocked, !clients[slot].held.isEmpty else { return }
        let held = exchange(&clients[slot].held, with: [])
        clients[slot].transport.setReading(true, reactor)
        forward(slot, unsafe held.span.bytes)
    }

    // MARK: Forwarding

    /// Sends a client's messages on, up to one that has to wait.
    private mutating func forward(_ slot: UInt32, _ bytes: RawSpan) {
        let limit = messageLimit
        var offset = 0
        while offset < bytes.byteCount {
            switch clients[slot].machine.next(bytes, at: offset, limit: limit) {
            case .body(let end, let disposition):
                if case .forward = disposition { toServer.take(offset..<end, of: bytes) }
                offset = end
            case .message(let request, let header):
                if !clients[slot].hasServer {
                    if case .terminate = request { return closeClient(slot, .clientCloseRequest) }
                    if request.concernsNobody(header) {
                        offset = clients[slot].machine.pass(header, at: offset, of: bytes, .swallow)
                        continue
                    }
                    if let next = answerWithoutServer(
                        request, header, at: offset, of: bytes, to: slot)
                    {
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
    }

    /// Sends what was collected to the client's server, and the answers that need no server.
    private mutating func flushToServer(_ slot: UInt32, _ bytes: RawSpan) {
        let server = clients[slot].server
        guard server != noSlot else {
            toServer.discard()
            return flushToClient(slot, bytes)
        }
        if let pool = clients[slot].pool {
            pools[pool].counters.bytesReceived &+= UInt64(bytes.byteCount)
        }
        toServer.flush(bytes, to: &servers[server].transport, reactor)
        if !servers[server].transport.isDrained {
            clients[slot].transport.setReading(false, reactor)
        }
        undoDropped(server)
        giveDueAnswers(server, among: bytes)
        flushToClient(slot, bytes)
    }

    /// Puts one message into the stream to the server.
    ///
    /// - Returns: where the next message starts, or nil when more of this one must arrive first.
    private mutating func send(
        _ request: ClientRequest,
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Int? {
        let server = clients[slot].server
        clients[slot].hasOwnAnswers = false
        startClock(slot)
        switch request {
        case .query: servers[server].machine.expect(Expectation(.query, .client))
        case .sync: servers[server].machine.expect(Expectation(.sync, .client))
        case .execute: servers[server].machine.expect(Expectation(.execute, .client))
        case .extended(let kind): servers[server].machine.expect(Expectation(kind, .client))
        case .copyEnd: servers[server].machine.expect(Expectation(.copyEnd, .client))
        case .copyData, .flush, .terminate: break
        case .named(let kind):
            if pools[servers[server].pool].tracksStatements {
                return sendNamed(kind, header, at: offset, of: bytes, from: slot)
            }
            servers[server].machine.expect(Expectation(kind, .client))
        }
        return passOn(header, at: offset, of: bytes, from: slot)
    }

    private mutating func passOn(
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Int {
        let end = clients[slot].machine.pass(header, at: offset, of: bytes, .forward)
        toServer.take(offset..<end, of: bytes)
        return end
    }

    private mutating func startClock(_ slot: UInt32) {
        guard clients[slot].queryStart == 0 else { return }
        clients[slot].queryStart = now
        if clients[slot].transactionStart == 0 { clients[slot].transactionStart = now }
    }

    // MARK: Answers without a server

    /// Answers what needs no server: Parse of a statement that a server of the pool has accepted
    /// before, Close, and the Sync behind them. A client that prepares its statements while all
    /// servers are busy would otherwise wait; one whose other connections keep them busy, for ever.
    ///
    /// - Returns: where the next message starts, or nil when the client needs a server.
    private mutating func answerWithoutServer(
        _ request: ClientRequest,
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        to slot: UInt32
    ) -> Int? {
        let bodyStart = offset + MessageHeader.byteCount
        let end = offset + header.messageByteCount
        guard let pool = clients[slot].pool, pools[pool].tracksStatements, end <= bytes.byteCount
        else { return nil }
        switch request {
        case .named(.parse):
            guard let nameEnd = bytes.extracting(0..<end).indexOfZero(from: bodyStart),
                clients[slot].statements?.entry(named: bytes.extracting(bodyStart..<nameEnd)) == nil
            else { return nil }
            let body = ByteString(copying: bytes.extracting(nameEnd + 1..<end))
            guard let serial = statements.serial(ofBody: body),
                pools[pool].acceptedStatements.contains(serial)
            else { return nil }
            let name = ByteString(copying: bytes.extracting(bodyStart..<nameEnd))
            _ = clients[slot].insertStatement(name, statements.retain(body: body))
            pools[pool].counters.clientParses &+= 1
            toClient.insertEmptyMessage(.parseComplete, among: bytes)
        case .named(.close):
            guard let name = Self.describedName(header, at: offset, of: bytes),
                let entry = clients[slot].statements?.entry(named: name),
                let statement = clients[slot].statements?.remove(entry)
            else { return nil }
            statements.release(statement)
            toClient.insertEmptyMessage(.closeComplete, among: bytes)
        case .sync where clients[slot].hasOwnAnswers && header.bodyByteCount == 0:
            clients[slot].hasOwnAnswers = false
            toClient.insertReadyForQuery(.idle, among: bytes)
            return end
        case .query, .sync, .flush, .execute, .extended, .named, .copyData, .copyEnd, .terminate:
            return nil
        }
        clients[slot].hasOwnAnswers = true
        return end
    }

    // MARK: Prepared statements

    private mutating func sendNamed(
        _ kind: Expectation.Request,
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Int? {
        switch kind {
        case .parse: sendParse(header, at: offset, of: bytes, from: slot)
        case .bind: sendBind(header, at: offset, of: bytes, from: slot)
        case .describe: sendDescribe(header, at: offset, of: bytes, from: slot)
        case .close: sendClose(header, at: offset, of: bytes, from: slot)
        case .query, .sync, .execute, .copyEnd: nil
        }
    }

    /// Parse: the statement gets a place in the store; the server sees it only if it is new there.
    private mutating func sendParse(
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Int? {
        let server = clients[slot].server
        let bodyStart = offset + MessageHeader.byteCount
        let end = offset + header.messageByteCount
        if header.bodyByteCount > Self.trackedParseLimit {
            servers[server].isCloseNeeded = true
            servers[server].machine.becomeUncertain()
            servers[server].machine.expect(Expectation(.parse, .client))
            return passOn(header, at: offset, of: bytes, from: slot)
        }
        guard end <= bytes.byteCount else { return nil }
        let message = bytes.extracting(0..<end)
        guard let nameEnd = message.indexOfZero(from: bodyStart) else {
            servers[server].machine.expect(Expectation(.parse, .client))
            return passOn(header, at: offset, of: bytes, from: slot)
        }
        let name = bytes.extracting(bodyStart..<nameEnd)
        pools[servers[server].pool].counters.clientParses &+= 1
        if clients[slot].statements?.entry(named: name) != nil {
            return sendDuplicateParse(header, name, at: offset, of: bytes, from: slot)
        }
        let body = ByteString(copying: bytes.extracting(nameEnd + 1..<end))
        let statement = statements.retain(body: body)
        let entry =
            clients[slot].insertStatement(ByteString(copying: name), statement)
        if servers[server].machine.transactionStatus != .inFailedTransaction,
            servers[server].statements.use(statement)
        {
            servers[server].machine.expect(Expectation(.parse, .synthetic, statement: entry))
            return end
        }
        if servers[server].statements.use(statement) == false {
            makeRoom(on: server, among: bytes)
            servers[server].statements.insert(statement)
            statements.retain(statement)
        }
        pools[servers[server].pool].counters.serverParses &+= 1
        servers[server].machine.expect(Expectation(.parse, .client, statement: entry))
        let serial = statements.serial(of: statement)
        toServer.insertHeader(
            .parse, bodyByteCount: StatementName.byteCount(serial: serial) + body.count,
            among: bytes)
        toServer.insertServerName(serial: serial, among: bytes)
        toServer.take(nameEnd + 1..<end, of: bytes)
        return end
    }

    /// Parse of a name that is taken: PostgreSQL itself shall refuse it, in its own words. So the
    /// server is made to have a statement of that name, and is not used by anybody else afterwards.
    private mutating func sendDuplicateParse(
        _ header: MessageHeader,
        _ name: RawSpan,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Int {
        let server = clients[slot].server
        servers[server].isCloseNeeded = true
        servers[server].machine.expect(Expectation(.parse, .pooler))
        toServer.insertHeader(.parse, bodyByteCount: name.byteCount + 4, among: bytes)
        toServer.insert(ByteString(copying: name).bytes, among: bytes)
        toServer.insert([0, 0, 0, 0], among: bytes)
        servers[server].machine.expect(Expectation(.parse, .client))
        return passOn(header, at: offset, of: bytes, from: slot)
    }

    /// Bind: the client's name is replaced by the server's; the rest passes.
    private mutating func sendBind(
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Int? {
        let server = clients[slot].server
        let bodyStart = offset + MessageHeader.byteCount
        let arrivedEnd = min(offset + header.messageByteCount, bytes.byteCount)
        let arrived = bytes.extracting(0..<arrivedEnd)
        guard let portalEnd = arrived.indexOfZero(from: bodyStart),
            let nameEnd = arrived.indexOfZero(from: portalEnd + 1)
        else { return incomplete(.bind, header, at: offset, of: bytes, from: slot) }
        pools[servers[server].pool].counters.binds &+= 1
        let name = bytes.extracting(portalEnd + 1..<nameEnd)
        guard let serial = ensureStatement(name, from: slot, on: server, among: bytes) else {
            servers[server].machine.expect(Expectation(.bind, .client))
            return passOn(header, at: offset, of: bytes, from: slot)
        }
        servers[server].machine.expect(Expectation(.bind, .client))
        let growth = StatementName.byteCount(serial: serial) - (name.byteCount + 1)
        toServer.insertHeader(.bind, bodyByteCount: header.bodyByteCount + growth, among: bytes)
        toServer.take(bodyStart..<portalEnd + 1, of: bytes)
        toServer.insertServerName(serial: serial, among: bytes)
        let end = clients[slot].machine.pass(header, at: offset, of: bytes, .forward)
        if nameEnd + 1 < end { toServer.take(nameEnd + 1..<end, of: bytes) }
        return end
    }

    private mutating func sendDescribe(
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Int? {
        let server = clients[slot].server
        guard let name = Self.describedName(header, at: offset, of: bytes) else {
            return incomplete(.describe, header, at: offset, of: bytes, from: slot)
        }
        guard let serial = ensureStatement(name, from: slot, on: server, among: bytes) else {
            servers[server].machine.expect(Expectation(.describe, .client))
            return passOn(header, at: offset, of: bytes, from: slot)
        }
        servers[server].machine.expect(Expectation(.describe, .client))
        toServer.insertHeader(
            .describe, bodyByteCount: 1 + StatementName.byteCount(serial: serial), among: bytes)
        toServer.insert(CollectionOfOne(UInt8(ascii: "S")), among: bytes)
        toServer.insertServerName(serial: serial, among: bytes)
        return offset + header.messageByteCount
    }

    /// Close: only the client's name goes; the statement stays for whoever else has it.
    private mutating func sendClose(
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Int? {
        let server = clients[slot].server
        guard let name = Self.describedName(header, at: offset, of: bytes) else {
            return incomplete(.close, header, at: offset, of: bytes, from: slot)
        }
        guard let entry = clients[slot].statements?.entry(named: name) else {
            servers[server].machine.expect(Expectation(.close, .client))
            return passOn(header, at: offset, of: bytes, from: slot)
        }
        clients[slot].statements?.unlist(entry)
        servers[server].machine.expect(Expectation(.close, .synthetic, statement: entry))
        return offset + header.messageByteCount
    }

    /// The statement's name in a complete Describe or Close.
    @_lifetime(copy bytes)
    private static func describedName(
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan
    ) -> RawSpan? {
        let start = offset + MessageHeader.byteCount + 1
        let end = offset + header.messageByteCount
        guard end <= bytes.byteCount, start < end,
            bytes.extracting(0..<end).indexOfZero(from: start) == end - 1
        else { return nil }
        return bytes.extracting(start..<end - 1)
    }

    /// A message whose names are not there: wait for them, or let PostgreSQL refuse it.
    private mutating func incomplete(
        _ kind: Expectation.Request,
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Int? {
        let isComplete = offset + header.messageByteCount <= bytes.byteCount
        guard isComplete || bytes.byteCount - offset > 2 * ClientMachine.nameLimit else { return nil }
        servers[clients[slot].server].machine.expect(Expectation(kind, .client))
        return passOn(header, at: offset, of: bytes, from: slot)
    }

    /// Sees to it that the server has the statement that the client means by `name`.
    ///
    /// - Returns: the number in its name there; nil when the client has no such statement.
    private mutating func ensureStatement(
        _ name: RawSpan,
        from slot: UInt32,
        on server: UInt32,
        among bytes: RawSpan
    ) -> UInt64? {
        guard let entry = clients[slot].statements?.entry(named: name),
            let statement = clients[slot].statements?.slot(of: entry)
        else { return nil }
        let serial = statements.serial(of: statement)
        if servers[server].statements.use(statement) { return serial }
        makeRoom(on: server, among: bytes)
        servers[server].statements.insert(statement)
        statements.retain(statement)
        pools[servers[server].pool].counters.serverParses &+= 1
        servers[server].machine.expect(Expectation(.parse, .pooler, statement: statement))
        let body = statements.body(of: statement)
        toServer.insertHeader(
            .parse, bodyByteCount: StatementName.byteCount(serial: serial) + body.count,
            among: bytes)
        toServer.insertServerName(serial: serial, among: bytes)
        toServer.insert(body.bytes, among: bytes)
        return serial
    }

    /// Closes the statement that the server used longest ago, if it has as many as it may.
    private mutating func makeRoom(on server: UInt32, among bytes: RawSpan) {
        let limit = pools[servers[server].pool].settings.maxPreparedStatements
        guard servers[server].statements.count >= limit,
            let victim = servers[server].statements.leastRecentlyUsed,
            servers[server].statements.remove(victim)
        else { return }
        let serial = statements.serial(of: victim)
        servers[server].machine.expect(Expectation(.close, .pooler, statement: victim))
        toServer.insertHeader(
            .close, bodyByteCount: 1 + StatementName.byteCount(serial: serial), among: bytes)
        toServer.insert(CollectionOfOne(UInt8(ascii: "S")), among: bytes)
        toServer.insertServerName(serial: serial, among: bytes)
    }
}

extension Client {
    /// Gives a statement a name of the client's.
    mutating func insertStatement(_ name: ByteString, _ statement: UInt32) -> UInt32 {
        var names = exchange(&statements, with: nil) ?? ClientStatements()
        let entry = names.insert(name: name, slot: statement)
        statements = names
        return entry
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
