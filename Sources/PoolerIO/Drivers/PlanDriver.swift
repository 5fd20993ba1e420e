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

    // MARK: Statements that are outdated

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
        let serial = statements.serial(of: statement)
        toServer.insertHeader(
            .describe,
            bodyByteCount: 1 + StatementName.byteCount(serial: serial),
            among: bytes
        )
        toServer.insert(CollectionOfOne(UInt8(ascii: "S")), among: bytes)
        toServer.insertServerName(serial: serial, among: bytes)
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
        guard entry != noSlot, toServer.isEmpty,
            let batch = servers[server].machine.repeatFailedBatch()
        else { return false }
        let new = renew(entry, of: slot)
        if !servers[server].statements.use(new) {
            prepare(new, for: entry, on: server, among: RawSpan())
        }
        for (index, request) in batch.enumerated() {
            let statement = index == 0 ? new : request.statement
            servers[server].machine.expect(
                Expectation(request.request, request.route, statement: statement)
            )
        }
        let serial = statements.serial(of: new)
        toServer.insert(
            servers[server].repeatableBatch.bytes.bound(toServerStatement: serial),
            among: RawSpan()
        )
        servers[server].repeatableBatch.forget()
        toServer.flush(RawSpan(), to: &servers[server].transport, reactor)
        return true
    }
}

extension [UInt8] {
    /// These messages, of which the first is a Bind or a Describe, with another statement in that.
    fileprivate func bound(toServerStatement serial: UInt64) -> [UInt8] {
        let zero = UInt8(0)
        guard var nameStart = dropFirst(MessageHeader.byteCount).indices.first else { return self }
        if self[0] == FrontendMessageType.describe.rawValue {
            nameStart += 1
        } else {
            guard let portalEnd = self[nameStart...].firstIndex(of: zero) else { return self }
            nameStart = portalEnd + 1
        }
        guard nameStart < count, let nameEnd = self[nameStart...].firstIndex(of: zero) else {
            return self
        }
        let length = Int(unsafe span.bytes.bigEndianUInt32(at: 1))
        let nameCount = StatementName.byteCount(serial: serial)
        var writer = ByteWriter()
        writer.write(self[0])
        writer.write(Int32(truncatingIfNeeded: length - (nameEnd + 1 - nameStart) + nameCount))
        writer.write(self[MessageHeader.byteCount..<nameStart])
        var name = StatementName.prefix
        StatementName.appendDigits(of: serial, to: &name)
        writer.write(name + [zero])
        writer.write(self[(nameEnd + 1)...])
        return writer.bytes
    }
}
