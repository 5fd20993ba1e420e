// The unnamed prepared statement of clients that change servers: it is prepared again when another client
// has used the server since. With reuse_unnamed_statements one that comes again and again is prepared
// once, under a name of the pooler's. What PostgreSQL would refuse is left for it to refuse.

internal import PoolerCore
internal import PostgresWire

/// What became of a message about the unnamed statement or a portal.
enum UnnamedTracking {
    /// It can go to the server as it is.
    case unchanged
    /// The client is held back, because it is in doubt which statement the server has.
    case heldBack
    /// It is dealt with; the next message starts there.
    case sent(Int)
}

extension Worker {
    /// Among a client's earlier unnamed statements: the same as the next one.
    private static var sameStatement: UInt32 { noSlot - 1 }

    /// Sees to it that what the client says of the unnamed statement is about its own.
    ///
    /// Source: PostgreSQL documentation, section 55.2.3 "Extended Query": it lasts until the next
    /// Parse of the unnamed statement or the next simple Query.
    mutating func trackUnnamed(
        _ kind: Expectation.Request,
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> UnnamedTracking {
        let server = clients[slot].server
        switch kind {
        case .parse:
            let owner = servers[server].unnamedOwner
            guard rememberUnnamed(header, at: offset, of: bytes, from: slot) else {
                return .heldBack
            }
            clients[slot].isUnnamedReused = false
            guard clients[slot].canReuseUnnamed, pools[servers[server].pool].reusesUnnamed,
                reuseUnnamed(of: slot, on: server, among: bytes)
            else { return .unchanged }
            // The server has what it had before; if that was the client's, it is that no more.
            servers[server].unnamedOwner = owner == clients[slot].number ? 0 : owner
            return .sent(offset + header.messageByteCount)
        case .describe, .close:
            let position = offset + MessageHeader.byteCount
            guard position < bytes.byteCount, bytes.byte(at: position) == UInt8(ascii: "S") else {
                return .unchanged
            }
            if kind == .close {
                servers[server].unnamedOwner = 0
                releaseUnnamedStatement(of: slot)
                return .unchanged
            }
        case .bind: break
        case .query, .sync, .execute, .copyEnd: return .unchanged
        }
        let isReused = clients[slot].isUnnamedReused
        if servers[server].machine.hasUnnamedInDoubt
            || isReused && servers[server].machine.hasNamedInDoubt
        {
            clients[slot].isHeldBack = true
            return .heldBack
        }
        let effects = clients[slot].unnamedEffects
        if kind == .bind || effects.contains(.sqlExecute) {
            let end = min(offset + header.messageByteCount, bytes.byteCount)
            let isNoted = noteExecution(
                of: clients[slot].unnamedStatement,
                effects,
                with: bytes.extracting(offset..<end),
                from: slot,
                among: bytes
            )
            guard isNoted else { return .heldBack }
        }
        if isReused {
            if let next = sendReused(kind, header, at: offset, of: bytes, from: slot) {
                return .sent(next)
            }
            clients[slot].isUnnamedReused = false
        }
        ensureUnnamed(on: server, for: slot, among: bytes)
        return .unchanged
    }

    // MARK: Unnamed statements under a name

    /// Sees to it that the server has the client's unnamed statement, which the client has just sent,
    /// under a name, if it has come before.
    ///
    /// Not behind a request that is unanswered: what that does to tables cannot be known yet, and what
    /// fails for it could not be sent again.
    ///
    /// - Returns: whether the server has it; the pooler answers the Parse.
    private mutating func reuseUnnamed(
        of slot: UInt32,
        on server: UInt32,
        among bytes: RawSpan
    ) -> Bool {
        guard servers[server].machine.transactionStatus != .inFailedTransaction,
            !servers[server].machine.isSkippingToSync, !servers[server].machine.hasChangedSchema,
            !servers[server].machine.owesClient
        else { return false }
        let (pool, statement) = (servers[server].pool, clients[slot].unnamedStatement)
        if !servers[server].statements.use(statement, of: shared.schemaGeneration) {
            let body = statements.body(of: statement)
            let settings = statements.settings(of: statement)
            guard pools[pool].unnamedReuse.note(body, settings) else { return false }
            prepare(statement, isFresh: true, on: server, among: bytes)
        }
        beginBatch(on: server, with: RepeatableBatch.unnamed)
        servers[server].machine.expect(Expectation(.parse, .synthetic))
        clients[slot].isUnnamedReused = true
        return true
    }

    /// Sends a Bind or Describe of the unnamed statement with the name that this has on the server.
    ///
    /// - Returns: where the next message starts, or nil if the server does not have it.
    private mutating func sendReused(
        _ kind: Expectation.Request,
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Int? {
        let (server, statement) = (clients[slot].server, clients[slot].unnamedStatement)
        let bodyStart = offset + MessageHeader.byteCount
        // The name is empty; in front of it stands the portal's, or the letter S.
        let portalEnd = kind == .bind ? bytes.indexOfZero(from: bodyStart) : bodyStart
        guard let nameStart = portalEnd.map({ $0 + 1 }), nameStart < bytes.byteCount,
            statement != noSlot, servers[server].statements.use(statement)
        else { return nil }
        servers[server].machine.expect(Expectation(kind, .client, statement: statement))
        let serial = statements.serial(of: statement)
        let growth = StatementName.byteCount(serial: serial) - 1
        toServer.insertHeader(
            kind == .bind ? .bind : .describe,
            bodyByteCount: header.bodyByteCount + growth,
            among: bytes
        )
        toServer.take(bodyStart..<nameStart, of: bytes)
        toServer.insertServerName(serial: serial, among: bytes)
        let end = clients[slot].machine.pass(header, at: offset, of: bytes, .forward)
        if nameStart + 1 < end { toServer.take(nameStart + 1..<end, of: bytes) }
        return end
    }

    /// Makes a client's unnamed statement what it would be if it was prepared now.
    ///
    /// - Returns: its slot in the store.
    mutating func renewUnnamed(of slot: UInt32) -> UInt32 {
        let old = clients[slot].unnamedStatement
        let new = statements.retain(
            body: statements.body(of: old),
            settings: statements.settings(of: old)
        )
        clients[slot].unnamedStatement = new
        statements.release(old)
        return new
    }

    // MARK: What the client has

    /// - Returns: false when the client is held back.
    private mutating func rememberUnnamed(
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Bool {
        let server = clients[slot].server
        let end = offset + header.messageByteCount
        let old = clients[slot].unnamedStatement
        guard header.bodyByteCount > 1, header.bodyByteCount <= Self.trackedParseLimit,
            end <= bytes.byteCount
        else {
            servers[server].unnamedOwner = clients[slot].number
            replaceUnnamedStatement(of: slot, with: noSlot, .opaque)
            return true
        }
        let body = bytes.extracting(offset + MessageHeader.byteCount + 1..<end)
        if old != noSlot, !clients[slot].unnamedEffects.contains(.sqlExecute),
            statements.isBody(of: old, body, fingerprint: parseFingerprint(on: server))
        {
            servers[server].unnamedOwner = clients[slot].number
            rememberEarlierUnnamed(Self.sameStatement, of: slot)
            return true
        }
        let effects = effects(ofParse: body, from: slot)
        guard showExecuted(by: body, effects, from: slot, among: bytes) else { return false }
        servers[server].unnamedOwner = clients[slot].number
        let statement = statements.retain(
            body: ByteString(copying: body),
            settings: parseSettings(on: server)
        )
        replaceUnnamedStatement(of: slot, with: statement, effects)
        clients[slot].canReuseUnnamed =
            pools[servers[server].pool].reusesUnnamed && UnnamedReuse.isPossible(body, effects)
        return true
    }

    /// Prepares the client's unnamed statement again, if the server has another one; if the client
    /// has none, neither shall the server.
    private mutating func ensureUnnamed(
        on server: UInt32,
        for slot: UInt32,
        among bytes: RawSpan
    ) {
        guard servers[server].unnamedOwner != clients[slot].number else { return }
        let statement = clients[slot].unnamedStatement
        if statement != noSlot {
            let body = statements.body(of: statement)
            underSettings(of: statement, on: server, among: bytes) { worker in
                worker.servers[server].machine.expect(Expectation(.parse, .pooler))
                worker.toServer.insertHeader(.parse, bodyByteCount: 1 + body.count, among: bytes)
                worker.toServer.insert(CollectionOfOne(0), among: bytes)
                worker.toServer.insert(body.bytes, among: bytes)
            }
        } else {
            servers[server].machine.expect(Expectation(.close, .pooler))
            toServer.insertHeader(.close, bodyByteCount: 2, among: bytes)
            toServer.insert([UInt8(ascii: "S"), 0], among: bytes)
        }
        servers[server].unnamedOwner = clients[slot].number
    }

    /// A simple Query ends the unnamed statement, on the server and for the client.
    mutating func forgetUnnamedStatement(of slot: UInt32) {
        servers[clients[slot].server].unnamedOwner = 0
        releaseUnnamedStatement(of: slot)
    }

    /// After a failure, takes what the server has for nobody's, and gives the client what it had
    /// before the requests that were skipped.
    mutating func unnamedStatementLost(_ loss: UnnamedLoss, on server: UInt32) {
        servers[server].unnamedOwner = 0
        guard servers[server].hasClient else { return }
        let slot = servers[server].client
        clients[slot].isUnnamedReused = false
        clients[slot].canReuseUnnamed = false
        if loss.hasFailed { return releaseUnnamedStatement(of: slot) }
        for _ in 0..<loss.skippedCount {
            let before =
                clients[slot].unnamedPending.popLast()
                ?? exchange(&clients[slot].unnamedBefore, with: noSlot)
            if before == Self.sameStatement { continue }
            let skipped = exchange(&clients[slot].unnamedStatement, with: before)
            if skipped != noSlot { statements.release(skipped) }
        }
        let statement = clients[slot].unnamedStatement
        clients[slot].unnamedEffects =
            statement == noSlot
            ? [] : effects(ofParse: statements.body(of: statement).span, from: slot)
    }

    /// Gives a client another unnamed statement, and keeps the one that it had until the server has
    /// taken the request.
    private mutating func replaceUnnamedStatement(
        of slot: UInt32,
        with statement: UInt32,
        _ effects: SessionEffects
    ) {
        let before = exchange(&clients[slot].unnamedStatement, with: statement)
        clients[slot].unnamedEffects = effects
        clients[slot].canReuseUnnamed = false
        rememberEarlierUnnamed(before, of: slot)
    }

    private mutating func rememberEarlierUnnamed(_ before: UInt32, of slot: UInt32) {
        if servers[clients[slot].server].machine.owesUnnamed {
            clients[slot].unnamedPending.append(before)
        } else {
            releaseEarlierUnnamedStatements(of: slot)
            clients[slot].unnamedBefore = before
        }
    }

    private mutating func releaseEarlierUnnamedStatements(of slot: UInt32) {
        let before = exchange(&clients[slot].unnamedBefore, with: noSlot)
        if before < Self.sameStatement { statements.release(before) }
        guard !clients[slot].unnamedPending.isEmpty else { return }
        for statement in exchange(&clients[slot].unnamedPending, with: [])
        where statement < Self.sameStatement {
            statements.release(statement)
        }
    }

    /// Forgets the unnamed statement of a client.
    mutating func releaseUnnamedStatement(of slot: UInt32) {
        clients[slot].unnamedEffects = []
        clients[slot].canReuseUnnamed = false
        clients[slot].isUnnamedReused = false
        let statement = exchange(&clients[slot].unnamedStatement, with: noSlot)
        if statement != noSlot { statements.release(statement) }
        releaseEarlierUnnamedStatements(of: slot)
    }
}
