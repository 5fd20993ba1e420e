// Prepared statements that do not fit the tables any more. PostgreSQL refuses to execute a statement
// whose columns have changed since it was prepared; a client that has prepared it only since then, or
// learns the columns each time, must not suffer for a server that knows it for longer.

internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// Keeps what follows up to the end of the batch, if nothing of it has been sent.
    mutating func beginBatch(on server: UInt32, with statement: UInt32) {
        guard servers[server].machine.transactionStatus == .idle,
            servers[server].repeatableBatch.statement == noSlot,
            !servers[server].machine.owesAnswerToClient
        else { return }
        servers[server].repeatableBatch.statement = statement
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

    /// Has statements prepared anew after the server has said that tables have changed, and executes
    /// the client's once more if it can.
    ///
    /// - Returns: whether it is executed again, so that the client need not know.
    mutating func repairPlan(_ server: UInt32, _ error: RawSpan) -> Bool {
        guard ErrorResponse.isOutdatedPlan(error), servers[server].hasClient else { return false }
        servers[server].statements.becomeOutdated()
        pools[servers[server].pool].counters.repreparations &+= 1
        let statement = servers[server].repeatableBatch.statement
        guard statement != noSlot, toServer.isEmpty,
            let batch = servers[server].machine.repeatFailedBatch()
        else { return false }
        prepareAgain(statement, on: server)
        for expectation in batch { servers[server].machine.expect(expectation) }
        toServer.insert(servers[server].repeatableBatch.bytes, among: RawSpan())
        servers[server].repeatableBatch.forget()
        toServer.flush(RawSpan(), to: &servers[server].transport, reactor)
        return true
    }
}
