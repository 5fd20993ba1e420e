// The unnamed prepared statement of clients that change servers: it is prepared again when another client
// has used the server since. What PostgreSQL would refuse is left for it to refuse.

internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// Among a client's earlier unnamed statements: the same as the next one.
    private static var sameStatement: UInt32 { noSlot - 1 }

    /// Sees to it that what the client says of the unnamed statement is about its own.
    ///
    /// Source: PostgreSQL documentation, section 55.2.3 "Extended Query": it lasts until the next
    /// Parse of the unnamed statement or the next simple Query.
    ///
    /// - Returns: false when the client is held back, because it is in doubt which statement the
    ///   server has.
    mutating func trackUnnamed(
        _ kind: Expectation.Request,
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Bool {
        let server = clients[slot].server
        switch kind {
        case .parse:
            return rememberUnnamed(header, at: offset, of: bytes, from: slot)
        case .describe, .close:
            let position = offset + MessageHeader.byteCount
            guard position < bytes.byteCount, bytes.byte(at: position) == UInt8(ascii: "S") else {
                return true
            }
            if kind == .close {
                releaseUnnamedStatement(of: slot)
                return true
            }
        case .bind: break
        case .query, .sync, .execute, .copyEnd: return true
        }
        if servers[server].machine.hasUnnamedInDoubt {
            clients[slot].isHeldBack = true
            return false
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
            guard isNoted else { return false }
        }
        ensureUnnamed(on: server, for: slot, among: bytes)
        return true
    }

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
        let settings = parseSettings(on: server)
        if old != noSlot, !clients[slot].unnamedEffects.contains(.sqlExecute),
            statements.isBody(of: old, body, settings: settings)
        {
            servers[server].unnamedOwner = clients[slot].number
            rememberEarlierUnnamed(Self.sameStatement, of: slot)
            return true
        }
        let effects = effects(ofParse: body, from: slot)
        guard showExecuted(by: body, effects, from: slot, among: bytes) else { return false }
        servers[server].unnamedOwner = clients[slot].number
        let statement = statements.retain(body: ByteString(copying: body), settings: settings)
        replaceUnnamedStatement(of: slot, with: statement, effects)
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
        let statement = exchange(&clients[slot].unnamedStatement, with: noSlot)
        if statement != noSlot { statements.release(statement) }
        releaseEarlierUnnamedStatements(of: slot)
    }
}
