// Queries that take long (log_min_duration): the beginning of their text is kept while they run, if it
// is wanted, and a line is written when they end.

internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// Keeps the beginning of the text that a message sends or names, unless there is one already.
    mutating func keepQueryText(
        _ request: ClientRequest,
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) {
        let server = clients[slot].server
        guard servers[server].queryText.isEmpty else { return }
        let limit = pools[servers[server].pool].queryTextLimit
        let start = offset + MessageHeader.byteCount
        let arrived = bytes.extracting(0..<min(offset + header.messageByteCount, bytes.byteCount))
        switch request {
        case .query:
            keep(arrived.extracting(start..<arrived.byteCount), on: server, limit)
        case .named(.parse), .extended(.parse):
            guard let nameEnd = arrived.indexOfZero(from: start) else { return }
            keep(arrived.extracting(nameEnd + 1..<arrived.byteCount), on: server, limit)
        case .named(.bind):
            guard let portalEnd = arrived.indexOfZero(from: start),
                let nameEnd = arrived.indexOfZero(from: portalEnd + 1),
                let entry = entry(named: arrived.extracting(portalEnd + 1..<nameEnd), of: slot)
            else { return }
            keepText(of: statementNames[clients[slot].names].slot(of: entry), on: server, limit)
        case .extended(.bind) where clients[slot].unnamedStatement != noSlot:
            keepText(of: clients[slot].unnamedStatement, on: server, limit)
        case .named, .extended, .sync, .execute, .copyEnd, .copyData, .flush, .terminate: return
        }
    }

    private mutating func keepText(of statement: UInt32, on server: UInt32, _ limit: Int) {
        let body = statements.body(of: statement)
        keep(body.span, on: server, limit)
    }

    private mutating func keep(_ text: RawSpan, on server: UInt32, _ limit: Int) {
        let beginning = text.upToZero()
        let kept = beginning.extracting(0..<min(beginning.byteCount, limit))
        unsafe kept.withUnsafeBytes { unsafe servers[server].queryText.append(contentsOf: $0) }
    }

    /// A query has ended that took as long as log_min_duration says, or longer.
    @inline(never)
    func logSlowQuery(on server: UInt32, waitTime: Microseconds, serverTime: Microseconds) {
        logSlowQuery(
            servers[server].client,
            SlowQuery(
                waitTime: waitTime,
                serverTime: serverTime,
                serverProcess: Int(servers[server].cancelKey?.processID ?? 0),
                text: ByteString(servers[server].queryText)
            )
        )
    }
}
