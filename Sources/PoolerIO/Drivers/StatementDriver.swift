// Prepared statements of clients that change servers. A named statement is known to servers under a
// name of the pooler's, and prepared wherever it is missing. What PostgreSQL would refuse is left for it
// to refuse.

internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// The longest Parse that is tracked, in bytes; longer ones bind the client to its server.
    static var trackedParseLimit: Int { 1 << 20 }

    // MARK: Answers without a server

    /// Whether it cannot be said yet if a message needs a server, because more of it has to come.
    func needsRest(
        of request: ClientRequest,
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        _ slot: UInt32
    ) -> Bool {
        switch request {
        case .named(.parse), .named(.close): break
        case .query, .sync, .flush, .execute, .extended, .named, .copyData, .copyEnd, .terminate:
            return false
        }
        guard let pool = clients[slot].pool, pools[pool].tracksStatements else { return false }
        return offset + header.messageByteCount > bytes.byteCount
            && header.bodyByteCount <= Self.trackedParseLimit
    }

    /// Answers what needs no server: Parse of a statement that a server of the pool has accepted
    /// before, Close, and the Sync behind them.
    ///
    /// A client that prepares its statements while all servers are busy would otherwise wait; one
    /// whose other connections keep them busy, for ever.
    ///
    /// - Returns: where the next message starts, or nil when the client needs a server.
    mutating func answerWithoutServer(
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
                entry(named: bytes.extracting(bodyStart..<nameEnd), of: slot) == nil,
                !hasTooManyStatements(slot)
            else { return nil }
            let body = ByteString(copying: bytes.extracting(nameEnd + 1..<end))
            let settings = states.parseSettings(of: clients[slot].settings)
                .ofPool(pools[pool].statementMark)
            guard let serial = statements.serial(ofBody: body, settings: settings),
                pools[pool].shared.withLock({ $0.acceptedStatements.contains(serial) })
            else { return nil }
            let effects = effects(ofParse: body.span, from: slot)
            // What it says of itself depends on another statement.
            if effects.contains(.sqlExecute) { return nil }
            let name = ByteString(copying: bytes.extracting(bodyStart..<nameEnd))
            let statement = statements.retain(body: body, settings: settings)
            _ = insertStatement(name, statement, effects, of: slot)
            pools[pool].counters.clientParses &+= 1
            toClient.insertEmptyMessage(.parseComplete, among: bytes)
        case .named(.close):
            guard let name = Self.describedName(header, at: offset, of: bytes),
                let entry = entry(named: name, of: slot)
            else { return nil }
            statements.release(statementNames[clients[slot].names].remove(entry))
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

    // MARK: Named statements

    /// Puts a message that names a prepared statement into the stream to the server.
    ///
    /// - Returns: where the next message starts, or nil when more of this one must arrive first.
    mutating func sendNamed(
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
            return passUntracked(header, at: offset, of: bytes, from: slot)
        }
        guard end <= bytes.byteCount else { return nil }
        let message = bytes.extracting(0..<end)
        guard let nameEnd = message.indexOfZero(from: bodyStart) else {
            servers[server].machine.expect(Expectation(.parse, .client))
            return passOn(header, at: offset, of: bytes, from: slot)
        }
        let name = bytes.extracting(bodyStart..<nameEnd)
        pools[servers[server].pool].counters.clientParses &+= 1
        if isChangedBySQL(name, on: server) {
            return passParse(header, at: offset, of: bytes, from: slot)
        }
        if entry(named: name, of: slot) != nil {
            // PostgreSQL itself shall refuse it, in its own words.
            guard showStatement(named: name, from: slot, among: bytes) else { return nil }
            return passParse(header, at: offset, of: bytes, from: slot)
        }
        if hasTooManyStatements(slot) {
            return passUntracked(header, at: offset, of: bytes, from: slot)
        }
        let body = ByteString(copying: bytes.extracting(nameEnd + 1..<end))
        let effects = effects(ofParse: body.span, from: slot)
        guard showExecuted(by: body.span, effects, from: slot, among: bytes) else { return nil }
        var settings = parseSettings(on: server)
        if effects.contains(.sqlExecute) { settings = settings.ofClient(clients[slot].number) }
        let statement = statements.retain(body: body, settings: settings)
        let entry = insertStatement(ByteString(copying: name), statement, effects, of: slot)
        if servers[server].machine.transactionStatus != .inFailedTransaction,
            !servers[server].machine.hasChangedSchema, servers[server].statements.use(statement)
        {
            servers[server].machine.expect(Expectation(.parse, .synthetic, statement: entry))
            return end
        }
        // In a failed transaction the server has to refuse even what it has, and in one that has changed
        // tables what it has may be outdated; should the transaction have ended by then, the name must be
        // free.
        makePlace(for: statement, on: server, among: bytes)
        servers[server].statements.insert(statement, of: shared.schemaGeneration)
        statements.retain(statement)
        pools[servers[server].pool].counters.serverParses &+= 1
        servers[server].machine.expect(Expectation(.parse, .client, statement: entry))
        let serial = statementNames[clients[slot].names].serial(of: entry)
        toServer.insertHeader(
            .parse,
            bodyByteCount: StatementName.byteCount(serial: serial) + body.count,
            among: bytes
        )
        toServer.insertServerName(serial: serial, among: bytes)
        toServer.take(nameEnd + 1..<end, of: bytes)
        askForDescription(of: statement, for: entry, isFresh: true, on: server, among: bytes)
        return end
    }

    /// Parse of a statement that is too much to be remembered: the server stays with its client, and
    /// has the statement under the client's own name.
    private mutating func passUntracked(
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Int {
        let server = clients[slot].server
        if servers[server].pins.isEmpty {
            let start = offset + MessageHeader.byteCount
            let arrived = bytes.extracting(
                0..<min(offset + header.messageByteCount, bytes.byteCount)
            )
            let textStart = arrived.indexOfZero(from: start).map { $0 + 1 } ?? start
            let text = arrived.extracting(textStart..<arrived.byteCount).upToZero()
            servers[server].pinStatement = text.excerpt
        }
        setPins(server, servers[server].pins.union(.prepare))
        requireClose(server)
        servers[server].machine.becomeUncertain()
        servers[server].machine.expect(Expectation(.parse, .client))
        return passOn(header, at: offset, of: bytes, from: slot)
    }

    /// Parse of a name about which the server has to decide.
    private mutating func passParse(
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Int {
        servers[clients[slot].server].machine.expect(
            Expectation(.parse, .client, statement: Expectation.unnumberedStatement)
        )
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
        let name = bytes.extracting(portalEnd + 1..<nameEnd)
        let values = arrived.extracting(nameEnd..<arrivedEnd)
        guard hideOthers(name, from: slot, among: bytes),
            noteExecution(ofNamed: name, with: values, from: slot, among: bytes)
        else { return nil }
        let serial: UInt64
        let message = StatementMessage(name, portal: bytes.extracting(bodyStart..<portalEnd))
        let end = offset + header.messageByteCount
        switch ensureStatement(message, from: slot, on: server, among: bytes, end) {
        case .awaited:
            clients[slot].isHeldBack = true
            return nil
        case .unknown:
            pools[servers[server].pool].counters.binds &+= 1
            servers[server].machine.expect(Expectation(.bind, .client))
            return passOn(header, at: offset, of: bytes, from: slot)
        case .present(let number): serial = number
        }
        pools[servers[server].pool].counters.binds &+= 1
        beginBatch(on: server, with: entry(named: name, of: slot))
        let statement = statement(named: name, of: slot)
        servers[server].machine.expect(Expectation(.bind, .client, statement: statement))
        let growth = StatementName.byteCount(serial: serial) - (name.byteCount + 1)
        toServer.insertHeader(.bind, bodyByteCount: header.bodyByteCount + growth, among: bytes)
        toServer.take(bodyStart..<portalEnd + 1, of: bytes)
        toServer.insertServerName(serial: serial, among: bytes)
        let passedEnd = clients[slot].machine.pass(header, at: offset, of: bytes, .forward)
        if nameEnd + 1 < passedEnd { toServer.take(nameEnd + 1..<passedEnd, of: bytes) }
        return passedEnd
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
        guard hideOthers(name, from: slot, among: bytes) else { return nil }
        if let entry = entry(named: name, of: slot) {
            let names = clients[slot].names
            let effects = statementNames[names].effects(of: entry)
            let body = statements.body(of: statementNames[names].slot(of: entry))
            guard showExecuted(by: body.span, effects, from: slot, among: bytes) else { return nil }
        }
        let serial: UInt64
        let message = StatementMessage(name)
        switch ensureStatement(message, from: slot, on: server, among: bytes, offset) {
        case .awaited:
            clients[slot].isHeldBack = true
            return nil
        case .unknown:
            servers[server].machine.expect(Expectation(.describe, .client))
            return passOn(header, at: offset, of: bytes, from: slot)
        case .present(let number): serial = number
        }
        beginBatch(on: server, with: entry(named: name, of: slot))
        let statement = statement(named: name, of: slot)
        servers[server].machine.expect(Expectation(.describe, .client, statement: statement))
        toServer.insertDescribe(serial: serial, among: bytes)
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
        guard hideOthers(name, from: slot, among: bytes) else { return nil }
        guard let entry = entry(named: name, of: slot), !isChangedBySQL(name, on: server) else {
            servers[server].machine.expect(Expectation(.close, .client))
            return passOn(header, at: offset, of: bytes, from: slot)
        }
        statementNames[clients[slot].names].unlist(entry)
        servers[server].machine.expect(Expectation(.close, .synthetic, statement: entry))
        closeOwnStatement(name, on: server, among: bytes)
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
        guard isComplete || bytes.byteCount - offset > 2 * ClientMachine.nameLimit else {
            return nil
        }
        servers[clients[slot].server].machine.expect(Expectation(kind, .client))
        return passOn(header, at: offset, of: bytes, from: slot)
    }

    /// Sees to it that the server has what an EXECUTE names when that is prepared itself: what it
    /// says of its columns is settled then.
    ///
    /// - Parameter body: the text of the Parse, and what follows it.
    /// - Returns: false when the client is held back.
    mutating func showExecuted(
        by body: RawSpan,
        _ effects: SessionEffects,
        from slot: UInt32,
        among bytes: RawSpan
    ) -> Bool {
        guard effects.contains(.sqlExecute) else { return true }
        return showStatements(to: effects, of: body.upToZero(), .batch, from: slot, among: bytes)
    }

    /// Notes what executing a statement may change that the client means by `name`.
    ///
    /// - Returns: false when the client is held back.
    private mutating func noteExecution(
        ofNamed name: RawSpan,
        with values: RawSpan,
        from slot: UInt32,
        among bytes: RawSpan
    ) -> Bool {
        guard let entry = entry(named: name, of: slot) else { return true }
        let names = clients[slot].names
        return noteExecution(
            of: statementNames[names].slot(of: entry),
            statementNames[names].effects(of: entry),
            with: values,
            from: slot,
            among: bytes
        )
    }

    /// What a client means by the name of a prepared statement.
    func entry(named name: RawSpan, of slot: UInt32) -> UInt32? {
        let names = clients[slot].names
        return names == noSlot ? nil : statementNames[names].entry(named: name)
    }

    /// Gives a statement a name of a client's.
    ///
    /// - Parameter text: the PREPARE that did so, if it was one.
    mutating func insertStatement(
        _ name: ByteString,
        _ statement: UInt32,
        _ effects: SessionEffects,
        text: ByteString? = nil,
        of slot: UInt32
    ) -> UInt32 {
        if clients[slot].names == noSlot {
            clients[slot].names = statementNames.nextIdentity.slot
            statementNames.insert(ClientStatements())
        }
        return statementNames[clients[slot].names].insert(
            name: name,
            slot: statement,
            serial: statements.serial(of: statement),
            effects: effects,
            text: text,
            bodyByteCount: statements.body(of: statement).count
        )
    }

    /// Sees to it that the server has the statement that the client means by a name, and that it is
    /// what the client takes it for.
    ///
    /// - Parameter end: where in `bytes` those messages begin that can say what its columns are.
    private mutating func ensureStatement(
        _ message: borrowing StatementMessage,
        from slot: UInt32,
        on server: UInt32,
        among bytes: RawSpan,
        _ end: Int
    ) -> StatementPresence {
        guard let entry = entry(named: message.name, of: slot),
            !isChangedBySQL(message.name, on: server)
        else { return .unknown }
        let statement = statementNames[clients[slot].names].slot(of: entry)
        let serial = statementNames[clients[slot].names].serial(of: entry)
        if servers[server].statements.use(statement) {
            guard servers[server].awaitedDescriptions.awaits(statement, unlessFor: entry),
                !learnsColumns(of: message, behind: end, of: bytes),
                reliesOnDescription(of: statement, on: server, among: bytes)
            else { return .present(serial) }
            return .awaited
        }
        let isRefused = servers[server].refusedStatement == statement
        if isRefused { servers[server].refusedStatement = noSlot }
        if isRefused || statements.isOutdated(statement) {
            if learnsColumns(of: message, behind: end, of: bytes) {
                let new = renew(entry, of: slot)
                if !servers[server].statements.use(new) {
                    prepare(new, for: entry, on: server, among: bytes)
                }
                return .present(statements.serial(of: new))
            }
            if isRefused { return .present(StatementName.missing) }
        }
        if statements.description(of: statement)?.columns == nil
            || learnsColumns(of: message, behind: end, of: bytes)
        {
            prepare(statement, for: entry, on: server, among: bytes)
            return .present(serial)
        }
        prepare(statement, on: server, among: bytes)
        let waits = reliesOnDescription(of: statement, on: server, among: bytes)
        return waits ? .awaited : .present(serial)
    }

    /// Gives a server a statement that it does not have.
    ///
    /// - Parameters:
    ///   - entry: the client's, which shall stand for the statement as it is prepared here, should it
    ///     turn out to be another than elsewhere.
    ///   - isFresh: whether the client has just sent the text: its parameters have the types that they
    ///     get now.
    mutating func prepare(
        _ statement: UInt32,
        for entry: UInt32 = Expectation.noStatement,
        isFresh: Bool = false,
        on server: UInt32,
        among bytes: RawSpan
    ) {
        let serial = statements.serial(of: statement)
        makePlace(for: statement, on: server, among: bytes)
        servers[server].statements.insert(statement, of: shared.schemaGeneration)
        statements.retain(statement)
        pools[servers[server].pool].counters.serverParses &+= 1
        let body =
            isFresh ? statements.body(of: statement) : statements.declaredBody(of: statement)
        underSettings(of: statement, on: server, among: bytes) { worker in
            worker.servers[server].machine.expect(
                Expectation(.parse, .pooler, statement: statement)
            )
            worker.toServer.insertHeader(
                .parse,
                bodyByteCount: StatementName.byteCount(serial: serial) + body.count,
                among: bytes
            )
            worker.toServer.insertServerName(serial: serial, among: bytes)
            worker.toServer.insert(body.bytes, among: bytes)
            worker.askForDescription(
                of: statement,
                for: entry,
                isFresh: isFresh,
                on: server,
                among: bytes
            )
        }
    }

    /// The statement that a client means by a name, or `noSlot`.
    private func statement(named name: RawSpan, of slot: UInt32) -> UInt32 {
        guard let entry = entry(named: name, of: slot) else { return noSlot }
        return statementNames[clients[slot].names].slot(of: entry)
    }

    /// The settings under which a server reads what is sent to it next.
    func parseSettings(on server: UInt32) -> ParseSettings {
        let mark = pools[servers[server].pool].statementMark
        return states.parseSettings(of: settingsToBe(on: server)).ofPool(mark)
    }

    /// The fingerprint of those.
    func parseFingerprint(on server: UInt32) -> UInt64 {
        let mark = pools[servers[server].pool].statementMark
        return ParseSettings.fingerprint(
            states.parseFingerprint(of: settingsToBe(on: server)),
            ofPool: mark
        )
    }

    /// The state of a server, or the one that a replay gives it.
    private func settingsToBe(on server: UInt32) -> SettingsID {
        if case .replaying = servers[server].task, servers[server].hasClient {
            return clients[servers[server].client].settings
        }
        return servers[server].settings
    }

    /// Puts a Parse into the stream so that it is read under the settings under which the client has
    /// prepared the statement, whatever it has now.
    mutating func underSettings(
        of statement: UInt32,
        on server: UInt32,
        among bytes: RawSpan,
        _ parse: (inout Worker) -> Void
    ) {
        let current = parseSettings(on: server)
        let prepared = statements.settings(of: statement)
        let changes = prepared.changes(from: current)
        setLocally(changes, on: server, among: bytes)
        parse(&self)
        if !changes.isEmpty {
            setLocally(current.changes(from: prepared), on: server, among: bytes)
        }
    }

    /// Changes settings until the end of the transaction.
    private mutating func setLocally(
        _ changes: [SettingsChange],
        on server: UInt32,
        among bytes: RawSpan
    ) {
        guard !changes.isEmpty else { return }
        let text = InternalSQL.applyLocally(changes)
        execute(text, Expectation.noStatement, on: server, among: bytes)
    }

    /// Sees to it that a statement can be prepared on a server that has none of its name fit for use,
    /// or shall have it anew.
    private mutating func makePlace(
        for statement: UInt32,
        on server: UInt32,
        among bytes: RawSpan
    ) {
        if servers[server].statements.contains(statement) {
            closeStatement(statement, on: server, among: bytes)
        } else {
            makeRoom(on: server, among: bytes)
        }
    }

    /// Closes the statement that the server used longest ago, if it has as many as it may.
    private mutating func makeRoom(on server: UInt32, among bytes: RawSpan) {
        let limit = pools[servers[server].pool].settings.maxPreparedStatements
        guard servers[server].statements.count >= limit,
            let victim = servers[server].statements.leastRecentlyUsed
        else { return }
        closeStatement(victim, on: server, among: bytes)
    }

    /// Closes a statement that the server has.
    private mutating func closeStatement(
        _ statement: UInt32,
        on server: UInt32,
        among bytes: RawSpan
    ) {
        guard servers[server].statements.remove(statement) else { return }
        let serial = statements.serial(of: statement)
        servers[server].machine.expect(Expectation(.close, .pooler, statement: statement))
        toServer.insertHeader(
            .close,
            bodyByteCount: 1 + StatementName.byteCount(serial: serial),
            among: bytes
        )
        toServer.insert(CollectionOfOne(UInt8(ascii: "S")), among: bytes)
        toServer.insertServerName(serial: serial, among: bytes)
    }
}
