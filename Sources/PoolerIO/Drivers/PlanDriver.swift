// Prepared statements that do not fit the tables any more. PostgreSQL refuses to execute a statement
// whose columns have changed since it was prepared; a client that has prepared it only since then, or
// learns the columns each time, must not suffer for a server that knows it for longer.

internal import PoolerCore
internal import PostgresWire

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

    /// Whether the messages of a batch from `offset` on ask for columns before they ask for rows.
    func learnsColumns(behind offset: Int, of bytes: RawSpan) -> Bool {
        var offset = offset
        while let header = try? MessageHeader(peeking: bytes, at: offset, limit: Int(Int32.max)) {
            switch FrontendMessageType(rawValue: header.typeByte) {
            case .describe: return true
            case .execute, .sync, .query: return false
            default: offset += header.messageByteCount
            }
        }
        return false
    }

    /// Makes a client's name stand for its statement as it would be prepared now.
    ///
    /// - Returns: the statement's slot in the store.
    mutating func renew(_ entry: UInt32, of slot: UInt32) -> UInt32 {
        let names = clients[slot].names
        let old = statementNames[names].slot(of: entry)
        let new = statements.retain(
            body: statements.body(of: old),
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
        let isOutdated = ErrorResponse.isOutdatedPlan(error)
        if !isOutdated, statements.isOutdated(statement) {
            guard (try? ErrorResponse(decoding: error))?.sqlState == "26000" else { return false }
            // It would have been prepared here for the first time, with columns that the client does
            // not know.
            var writer = ByteWriter()
            writer.errorResponse(
                ErrorResponse(.error, "0A000", "cached plan must not change result type")
            )
            toClient.insert(writer.bytes, among: RawSpan())
            return true
        }
        guard isOutdated else { return false }
        statements.outdate(statement)
        pools[servers[server].pool].counters.repreparations &+= 1
        let (slot, entry) = (servers[server].client, servers[server].repeatableBatch.entry)
        guard entry != noSlot, toServer.isEmpty,
            let batch = servers[server].machine.repeatFailedBatch()
        else { return false }
        let new = renew(entry, of: slot)
        if !servers[server].statements.use(new) { prepare(new, on: server, among: RawSpan()) }
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
    /// These messages, of which the first is a Bind, with another statement in that.
    fileprivate func bound(toServerStatement serial: UInt64) -> [UInt8] {
        let zero = UInt8(0)
        guard let portalEnd = dropFirst(MessageHeader.byteCount).firstIndex(of: zero),
            let nameEnd = self[(portalEnd + 1)...].firstIndex(of: zero)
        else { return self }
        let length = Int(unsafe span.bytes.bigEndianUInt32(at: 1))
        let nameCount = StatementName.byteCount(serial: serial)
        var writer = ByteWriter()
        writer.write(self[0])
        writer.write(Int32(truncatingIfNeeded: length - (nameEnd - portalEnd) + nameCount))
        writer.write(self[MessageHeader.byteCount...portalEnd])
        var name = StatementName.prefix
        StatementName.appendDigits(of: serial, to: &name)
        writer.write(name + [zero])
        writer.write(self[(nameEnd + 1)...])
        return writer.bytes
    }
}
