// Prepared statements that do not fit the tables any more. PostgreSQL refuses to execute a statement
// whose columns have changed since it was prepared; a client that has prepared it only since then, or
// learns the columns each time, must not suffer for a server that knows it for longer. And where a
// statement is prepared on a further server, its columns must be those that its clients were told of.

internal import PoolerCore
internal import PostgresWire

/// A message that names a prepared statement.
struct StatementMessage: ~Escapable {
    let name: RawSpan
    /// The portal that it makes, of a Bind; it is empty in a Describe, which makes none.
    let portal: RawSpan

    @_lifetime(copy name, copy portal)
    init(_ name: RawSpan, portal: RawSpan) {
        self.name = name
        self.portal = portal
    }

    @_lifetime(copy name)
    init(_ name: RawSpan) {
        self.init(name, portal: name.extracting(0..<0))
    }
}

/// What became of the search for a client's statement on a server.
enum StatementPresence {
    /// The client has no such statement, or only the server knows.
    case unknown
    /// The server has it under this number.
    case present(UInt64)
    /// The server has to say first what its columns are.
    case awaited
}

extension Worker {
    // MARK: What may have to be sent again

    /// Keeps what follows up to the end of the batch, if nothing of it has been sent.
    mutating func beginBatch(on server: UInt32, with entry: UInt32?) {
        guard servers[server].machine.transactionStatus == .idle,
            servers[server].repeatableBatch.entry == noSlot,
            !servers[server].machine.owesAnswerToClient
        else { return }
        servers[server].repeatableBatch.entry = entry ?? noSlot
        servers[server].repeatableBatch.skipped = toServer.byteCount
    }

    /// Keeps what is about to be sent.
    mutating func keepBatch(_ server: UInt32, among bytes: RawSpan) {
        let skipped = exchange(&servers[server].repeatableBatch.skipped, with: 0)
        let count = servers[server].repeatableBatch.bytes.count + toServer.byteCount - skipped
        guard count <= RepeatableBatch.limit else {
            return servers[server].repeatableBatch.forget()
        }
        toServer.copy(after: skipped, of: bytes, to: &servers[server].repeatableBatch.bytes)
    }

    // MARK: What the client knows

    /// Whether the messages of a batch from `offset` on ask for the columns of a statement, or of the
    /// portal that is made of it, before they ask for rows.
    func learnsColumns(
        of message: borrowing StatementMessage,
        behind offset: Int,
        of bytes: RawSpan
    ) -> Bool {
        var offset = offset
        while let header = try? MessageHeader(peeking: bytes, at: offset, limit: Int(Int32.max)) {
            let end = offset + header.messageByteCount
            switch FrontendMessageType(rawValue: header.typeByte) {
            case .describe:
                guard end <= bytes.byteCount, header.bodyByteCount >= 2 else { return false }
                let start = offset + MessageHeader.byteCount
                let described = bytes.extracting(start + 1..<end - 1)
                let isStatement = bytes.byte(at: start) == UInt8(ascii: "S")
                let wanted = isStatement ? message.name : message.portal
                if described.hasSameBytes(as: wanted) { return true }
            case .execute, .sync, .query: return false
            default: break
            }
            offset = end
        }
        return false
    }

    // MARK: Statements on further servers

    /// Has a server say what the statement is that has just been prepared there, if it may be another
    /// than elsewhere.
    ///
    /// - Parameters:
    ///   - entry: the client's, on whose account it was prepared.
    ///   - isFresh: whether the client has sent the Parse itself.
    mutating func askForDescription(
        of statement: UInt32,
        for entry: UInt32,
        isFresh: Bool,
        on server: UInt32,
        among bytes: RawSpan
    ) {
        // Without columns only the types of parameters could differ, and the pooler declares them.
        if let known = statements.description(of: statement), known.columns == nil,
            !isFresh || known.parameterTypes.isEmpty
        {
            return
        }
        if !servers[server].machine.isSkippingToSync {
            servers[server].awaitedDescriptions.asked(statement, for: entry, isFresh: isFresh)
        }
        servers[server].machine.expect(Expectation(.describe, .pooler, statement: statement))
        toServer.insertDescribe(serial: statements.serial(of: statement), among: bytes)
    }

    /// The client will rely on what it has been told of a statement: it has to wait for what the server
    /// says of it.
    ///
    /// - Returns: false if the server will say nothing.
    mutating func reliesOnDescription(
        of statement: UInt32,
        on server: UInt32,
        among bytes: RawSpan
    ) -> Bool {
        guard servers[server].awaitedDescriptions.relies(on: statement) else { return false }
        toServer.insertHeader(.flush, bodyByteCount: 0, among: bytes)
        return true
    }

    /// A server has said what a statement is that was prepared there.
    ///
    /// Should tables have changed since it was prepared elsewhere, nobody uses it here; the client that
    /// has just prepared it, or has just been told of its columns, means by its name what it is now.
    mutating func statementDescribed(_ statement: UInt32, _ columns: RawSpan, on server: UInt32) {
        guard let request = servers[server].awaitedDescriptions.take(statement) else { return }
        let description = StatementDescription(
            parameterTypes: request.parameterTypes,
            rowDescription: columns
        )
        if statements.note(description, of: statement) { return }
        servers[server].statements.becameUnfit(statement)
        statements.outdate(statement)
        pools[servers[server].pool].counters.repreparations &+= 1
        if request.isReliedOn { servers[server].refusedStatement = statement }
        guard servers[server].hasClient else { return }
        let slot = servers[server].client
        let names = clients[slot].names
        guard request.entry != Expectation.noStatement, names != noSlot,
            statementNames[names].slot(of: request.entry) == statement
        else { return }
        let new = renew(request.entry, of: slot, asPreparedByClient: request.isFresh)
        // Known already if another server was faster, and then perhaps as something else: found out
        // where it is prepared next.
        _ = statements.note(description, of: new)
    }

    // MARK: Statements that are outdated

    /// Makes a client's name stand for its statement as it would be prepared now.
    ///
    /// - Parameter isPreparedByClient: whether the client has just prepared it; if not, it counts on the
    ///   types that its parameters had.
    /// - Returns: the statement's slot in the store.
    mutating func renew(
        _ entry: UInt32,
        of slot: UInt32,
        asPreparedByClient isPreparedByClient: Bool = false
    ) -> UInt32 {
        let names = clients[slot].names
        let old = statementNames[names].slot(of: entry)
        let new = statements.retain(
            body: isPreparedByClient
                ? statements.body(of: old) : statements.declaredBody(of: old),
            settings: statements.settings(of: old)
        )
        _ = statementNames[names].replace(entry, slot: new, serial: statements.serial(of: new))
        statements.release(old)
        return new
    }

    /// Sees to a statement that the server has refused to execute.
    ///
    /// If tables have changed, whoever prepares it from now on gets another one, and a client that
    /// asks for the columns in the same batch has that executed instead.
    ///
    /// - Returns: whether the client shall not see the error; another may have been put in its place.
    mutating func repairPlan(_ server: UInt32, _ error: RawSpan) -> Bool {
        guard servers[server].hasClient,
            let statement = servers[server].machine.failedStatement
        else { return false }
        guard ErrorResponse.isOutdatedPlan(error) else {
            guard let response = try? ErrorResponse(decoding: error),
                response.sqlState == "26000", StatementName.isMissing(in: response.message)
            else { return false }
            // What is prepared here has columns that the client does not know.
            var writer = ByteWriter()
            writer.outdatedPlanError()
            toClient.insert(writer.bytes, among: RawSpan())
            return true
        }
        statements.outdate(statement)
        pools[servers[server].pool].counters.repreparations &+= 1
        let (slot, entry) = (servers[server].client, servers[server].repeatableBatch.entry)
        let isUnnamed = entry == RepeatableBatch.unnamed
        guard entry != noSlot, toServer.isEmpty,
            !isUnnamed || clients[slot].unnamedStatement == statement,
            let batch = servers[server].machine.repeatFailedBatch(ofNewStatement: isUnnamed)
        else { return false }
        let new = isUnnamed ? renewUnnamed(of: slot) : renew(entry, of: slot)
        if !servers[server].statements.use(new) {
            let name = isUnnamed ? Expectation.noStatement : entry
            prepare(new, for: name, isFresh: isUnnamed, on: server, among: RawSpan())
        }
        for request in batch {
            let statement = request.statement == statement ? new : request.statement
            servers[server].machine.expect(
                Expectation(request.request, request.route, statement: statement)
            )
        }
        let serial = statements.serial(of: new)
        toServer.insert(
            servers[server].repeatableBatch.bytes.naming(
                serial,
                insteadOf: statements.serial(of: statement)
            ),
            among: RawSpan()
        )
        servers[server].repeatableBatch.forget()
        toServer.flush(RawSpan(), to: &servers[server].transport, reactor)
        return true
    }
}

extension [UInt8] {
    /// These messages, with another statement in each Bind and Describe that names `old`.
    fileprivate func naming(_ new: UInt64, insteadOf old: UInt64) -> [UInt8] {
        let bytes = unsafe span.bytes
        let oldName = Self.name(of: old)
        var writer = ByteWriter()
        var offset = 0
        while let header = try? MessageHeader(peeking: bytes, at: offset, limit: Int(Int32.max)) {
            let end = Swift.min(offset + header.messageByteCount, count)
            let bodyStart = offset + MessageHeader.byteCount
            var nameStart = end
            switch FrontendMessageType(rawValue: header.typeByte) {
            case .bind: nameStart = bytes.indexOfZero(from: bodyStart).map { $0 + 1 } ?? end
            case .describe where bodyStart < end && bytes.byte(at: bodyStart) == UInt8(ascii: "S"):
                nameStart = bodyStart + 1
            default: break
            }
            if self[nameStart..<Swift.max(nameStart, end)].starts(with: oldName) {
                let newName = Self.name(of: new)
                let growth = newName.count - oldName.count
                writer.write(header.typeByte)
                writer.write(Int32(truncatingIfNeeded: header.bodyByteCount + 4 + growth))
                writer.write(self[bodyStart..<nameStart])
                writer.write(newName)
                writer.write(self[(nameStart + oldName.count)..<end])
            } else {
                writer.write(self[offset..<end])
            }
            offset = end
        }
        writer.write(self[offset...])
        return writer.bytes
    }

    /// What a statement is called on servers, with the zero byte behind.
    private static func name(of serial: UInt64) -> [UInt8] {
        var name = StatementName.prefix
        StatementName.appendDigits(of: serial, to: &name)
        name.append(0)
        return name
    }
}
