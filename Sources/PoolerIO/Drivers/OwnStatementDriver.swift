// Prepared statements that SQL names: PREPARE, EXECUTE and DEALLOCATE pass unchanged, and what they
// name stands on the server under the client's name before they come there. What they have made and
// ended the server says afterwards.

internal import PoolerCore
internal import PostgresWire

/// What a statement comes in.
enum StatementCarrier {
    /// A Query.
    case query
    /// A batch of the extended query protocol.
    case batch
}

extension Worker {
    // MARK: Before SQL that names statements

    /// Sees to it that the server has under the client's names what SQL can see of its prepared
    /// statements.
    ///
    /// - Returns: false when the client is held back, because what the server has depends on answers
    ///   that are still to come.
    mutating func showStatements(
        to effects: SessionEffects,
        of text: RawSpan,
        _ carrier: StatementCarrier,
        from slot: UInt32,
        among bytes: RawSpan
    ) -> Bool {
        let namesOthers = !effects.isDisjoint(with: NamedStatements.namingEffects)
        guard namesOthers || !effects.isDisjoint(with: NamedStatements.opaqueEffects) else {
            return true
        }
        let (server, names) = (clients[slot].server, clients[slot].names)
        let hasPrepared = names != noSlot && statementNames[names].sqlCount > 0
        let serverHasSome = !servers[server].ownStatements.isEmpty
        let runsUnseen = !effects.isDisjoint(with: [.opaque, .unknownFunction])
        let canDiffer =
            namesOthers
            ? names != noSlot || serverHasSome : hasPrepared || runsUnseen && serverHasSome
        guard canDiffer, pools[servers[server].pool].tracksStatements else { return true }
        var seen = NamedStatements(effects)
        if namesOthers {
            let rules = clients[slot].scanRules
            for statement in StatementClassifier.statements(in: text, rules: rules) {
                seen.add(statement)
            }
        }
        return show(seen, carrier, from: slot, among: bytes)
    }

    /// The same for one name that a message has.
    mutating func showStatement(
        named name: RawSpan,
        from slot: UInt32,
        among bytes: RawSpan
    ) -> Bool {
        var seen = NamedStatements()
        seen.names = [ByteString(copying: name)]
        return show(seen, .batch, from: slot, among: bytes)
    }

    /// Sees to it that a name which the client has not given stands for nothing on the server, even
    /// if another client has given it there.
    ///
    /// - Returns: false when the client is held back.
    mutating func hideOthers(_ name: RawSpan, from slot: UInt32, among bytes: RawSpan) -> Bool {
        let server = clients[slot].server
        guard !servers[server].ownStatements.isEmpty, entry(named: name, of: slot) == nil,
            !isChangedBySQL(name, on: server)
        else { return true }
        return showStatement(named: name, from: slot, among: bytes)
    }

    private mutating func show(
        _ seen: NamedStatements,
        _ carrier: StatementCarrier,
        from slot: UInt32,
        among bytes: RawSpan
    ) -> Bool {
        let (server, names) = (clients[slot].server, clients[slot].names)
        if servers[server].machine.isSettled { settleOwnRequests(server) }
        let changes = servers[server].ownStatements.changes(
            toShow: seen,
            of: names == noSlot ? nil : statementNames[names]
        )
        guard !changes.isEmpty else { return true }
        if servers[server].machine.owesEarlierBatch {
            clients[slot].isHeldBack = true
            return false
        }
        guard !awaitsEndOfStatements(slot, among: bytes) else { return false }
        // PostgreSQL knows no Query in a batch, but does not refuse it.
        if carrier == .query && servers[server].machine.isInBatch { return true }
        // In a failed transaction nothing can be made, but closed. If it has been ended meanwhile, nobody
        // knows; otherwise the server says of the pooler's request what it would of the client's.
        let canMake = !servers[server].machine.refusesStatements
        for change in changes {
            switch change {
            case .close(let name): close(name, on: server, among: bytes)
            case .make(let name, let statement):
                if canMake { make(statement, as: name, on: server, among: bytes) }
            }
        }
        if carrier == .query {
            servers[server].machine.expect(Expectation(.sync, .pooler))
            toServer.insertHeader(.sync, bodyByteCount: 0, among: bytes)
        }
        return true
    }

    /// Holds a client back until the server has ended its statements, if it has sent something that
    /// may do so.
    mutating func awaitsEndOfStatements(_ slot: UInt32, among bytes: RawSpan) -> Bool {
        guard servers[clients[slot].server].machine.owesEndOfStatements else { return false }
        clients[slot].isHeldBack = true
        toServer.insertHeader(.flush, bodyByteCount: 0, among: bytes)
        return true
    }

    private mutating func make(
        _ statement: OwnStatement,
        as name: ByteString,
        on server: UInt32,
        among bytes: RawSpan
    ) {
        let request = servers[server].ownStatements.make(statement, as: name)
        statements.retain(statement.slot)
        pools[servers[server].pool].counters.serverParses &+= 1
        underSettings(of: statement.slot, on: server, among: bytes) { worker in
            let number = Expectation.ownStatement + request
            if let text = statement.text {
                worker.execute(text, number, on: server, among: bytes)
            } else {
                worker.parse(name, as: statement.slot, number, on: server, among: bytes)
            }
        }
    }

    /// The client closes a statement: SQL shall not find it either.
    mutating func closeOwnStatement(_ name: RawSpan, on server: UInt32, among bytes: RawSpan) {
        guard !servers[server].ownStatements.isEmpty else { return }
        let name = ByteString(copying: name)
        if servers[server].ownStatements[name] != nil { close(name, on: server, among: bytes) }
    }

    /// Takes a name of a client's from a server.
    private mutating func close(_ name: ByteString, on server: UInt32, among bytes: RawSpan) {
        let request = servers[server].ownStatements.close(name)
        var writer = ByteWriter()
        writer.message(.close) { body in
            body.write(UInt8(ascii: "S"))
            body.writeCString(name)
        }
        servers[server].machine.expect(
            Expectation(.close, .pooler, statement: Expectation.ownStatement + request)
        )
        toServer.insert(writer.bytes, among: bytes)
    }

    private mutating func parse(
        _ name: ByteString,
        as statement: UInt32,
        _ number: UInt32,
        on server: UInt32,
        among bytes: RawSpan
    ) {
        var writer = ByteWriter()
        let rest = statements.body(of: statement)
        writer.message(.parse) { body in
            body.writeCString(name)
            body.write(rest.bytes)
        }
        servers[server].machine.expect(Expectation(.parse, .pooler, statement: number))
        toServer.insert(writer.bytes, among: bytes)
    }

    /// Executes a statement of the pooler's own in a way that leaves the client's unnamed one alone.
    ///
    /// - Parameter statement: what its execution is about, as `Expectation.statement` has it.
    mutating func execute(
        _ text: ByteString,
        _ statement: UInt32,
        on server: UInt32,
        among bytes: RawSpan
    ) {
        let name: ByteString = "MARTLET_INTERNAL"
        var writer = ByteWriter()
        func close(_ target: UInt8) {
            writer.message(.close) { body in
                body.write(target)
                body.writeCString(name)
            }
        }
        // It is still there when its last execution failed.
        close(UInt8(ascii: "S"))
        writer.message(.parse) { body in
            body.writeCString(name)
            body.writeCString(text)
            body.write(Int16(0))
        }
        writer.message(.bind) { body in
            body.writeCString(name)
            body.writeCString(name)
            for _ in 0..<3 { body.write(Int16(0)) }
        }
        writer.message(.execute) { body in
            body.writeCString(name)
            body.write(Int32(0))
        }
        close(UInt8(ascii: "P"))
        for request: Expectation.Request in [.close, .parse, .bind, .execute, .close] {
            let number = request == .execute ? statement : Expectation.unnumberedStatement
            servers[server].machine.expect(Expectation(request, .pooler, statement: number))
        }
        toServer.insert(writer.bytes, among: bytes)
    }

    // MARK: Where SQL has been at work in this transaction

    /// Whether SQL may have made or ended the statement of a name since the server was last asked:
    /// then only the server knows what it stands for, and messages about it pass unchanged.
    func isChangedBySQL(_ name: RawSpan, on server: UInt32) -> Bool {
        let names = servers[server].doubts.statementNames
        return !names.isEmpty && names.contains(ByteString(copying: name))
    }

    // MARK: Afterwards

    /// The server will not execute a request about what it has under clients' names.
    mutating func undoOwnRequest(_ number: UInt32, on server: UInt32) {
        let request = number - Expectation.ownStatement
        if let statement = servers[server].ownStatements.undo(request) {
            statements.release(statement)
        }
    }

    /// The server has answered all such requests.
    mutating func settleOwnRequests(_ server: UInt32) {
        for statement in servers[server].ownStatements.settle() { statements.release(statement) }
    }

    /// The server has said which prepared statements it has: what PREPARE and DEALLOCATE have done
    /// becomes the client's.
    ///
    /// - Returns: false if the server has something that cannot be made elsewhere.
    mutating func adoptStatements(_ rows: [PreparedStatementRow], from server: UInt32) -> Bool {
        let slot = servers[server].client
        let present = Set(rows.map { $0.name })
        for name in servers[server].ownStatements.names where !present.contains(name) {
            if slot != noSlot, let entry = entry(named: name.span, of: slot),
                statementNames[clients[slot].names].own(entry)
                    == servers[server].ownStatements[name]
            {
                removeStatement(entry, of: slot)
            }
            forgetOwnStatement(name, on: server)
        }
        var isUnderstood = true
        for row in rows {
            let rules = states.scanRules(of: servers[server].settings)
            let isTooMany = slot != noSlot && hasTooManyStatements(slot)
            guard !isTooMany || servers[server].ownStatements[row.name] != nil,
                let (body, text) = row.statement(rules)
            else {
                isUnderstood = false
                continue
            }
            if let known = servers[server].ownStatements[row.name] {
                let knownBody = statements.body(of: known.slot)
                if knownBody == body && known.text == text || row.isOfParse(knownBody) { continue }
                forgetOwnStatement(row.name, on: server)
            }
            let mark = pools[servers[server].pool].statementMark
            var settings = states.parseSettings(of: servers[server].settings)
            if let made = servers[server].doubts.preparations.first(where: { $0.name == row.name })
            {
                settings = settings.replaced(by: made.settings)
            }
            let statement = statements.retain(body: body, settings: settings.ofPool(mark))
            servers[server].ownStatements[row.name] = OwnStatement(slot: statement, text: text)
            if slot != noSlot {
                if let old = entry(named: row.name.span, of: slot) {
                    removeStatement(old, of: slot)
                }
                statements.retain(statement)
                let effects = effects(ofParse: body.span, from: slot)
                _ = insertStatement(row.name, statement, effects, text: text, of: slot)
            }
        }
        return isUnderstood
    }

    /// Whether a client has as many prepared statements as the pooler remembers.
    func hasTooManyStatements(_ slot: UInt32) -> Bool {
        let names = clients[slot].names
        return names != noSlot && statementNames[names].isFull
    }

    /// Forgets a client's statement that SQL has ended.
    private mutating func removeStatement(_ entry: UInt32, of slot: UInt32) {
        statements.release(statementNames[clients[slot].names].remove(entry))
    }

    private mutating func forgetOwnStatement(_ name: ByteString, on server: UInt32) {
        guard let statement = servers[server].ownStatements[name] else { return }
        servers[server].ownStatements[name] = nil
        statements.release(statement.slot)
    }

    /// Forgets everything that a server has under names of clients.
    mutating func forgetOwnStatements(on server: UInt32) {
        for statement in servers[server].ownStatements.removeAll() { statements.release(statement) }
    }
}
