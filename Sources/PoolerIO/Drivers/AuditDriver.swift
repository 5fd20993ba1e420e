// What nobody has seen: triggers, operators, casts and trusted functions can change a session, and no
// text of a client tells. So idle servers are asked now and then, when nobody needs them.

internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// Asks a free server that this worker has taken hold of what is left in its session, if it is time
    /// for one of its pool.
    ///
    /// - Returns: whether it is being asked, and not free for now.
    mutating func auditIfDue(_ server: UInt32) -> Bool {
        let pool = servers[server].pool
        let interval = settings.auditInterval
        guard servers[server].isAuditDue, servers[server].state == .idle, interval > 0,
            now - pools[pool].lastAudit >= interval, pools[pool].tracksSessions,
            pools[pool].gate.isOpen
        else { return false }
        pools[pool].lastAudit = now
        if isSurveyOld(pool) {
            move(server, to: .tested)
            servers[server].lastAnswerTime = now
            askForSurvey(server)
            return true
        }
        pools[pool].counters.audits &+= 1
        servers[server].isAuditDue = false
        let names =
            pools[pool].shared.withLock { $0.customNames }
            + states.names(of: servers[server].settings)
        // What connect_query has set is nobody's leftover, and is not known.
        let database = directory.configuration.database(named: pools[pool].key.database)
        let hasOwnSettings = database?.connectQuery?.isEmpty == false
        let probe = SessionProbe(auditing: hasOwnSettings ? nil : names)
        servers[server].probe = probe
        servers[server].task = .auditing
        servers[server].lastAnswerTime = now
        move(server, to: .tested)
        sendInternal(probe.text, to: server)
        return true
    }

    /// The server has said what is left in its session: it is taken for what it is, and what cannot be
    /// taken over goes.
    mutating func audited(_ server: UInt32, _ error: ErrorResponse?) {
        let answer = exchange(&servers[server].taskAnswer, with: [])
        let probe = exchange(&servers[server].probe, with: nil)
        // A cancel request that was meant for its last client came late.
        if error?.sqlState == "57014" { return becomeFree(server) }
        guard error == nil, servers[server].machine.transactionStatus == .idle,
            var evidence = probe?.evidence(in: unsafe answer.span.bytes)
        else { return closeServer(server, .uncertainState) }
        let old = servers[server].settings
        let known = Set(states.names(of: old))
        var traces = evidence
        noteCustomNames(in: &traces, of: server)
        evidence.removeTraces(except: known)
        if pools[servers[server].pool].tracksStatements { evidence.pins.remove(.prepare) }
        servers[server].settings = states.confirmed(by: evidence, in: old)
        states.release(old)
        let unknown = states.names(of: servers[server].settings).filter { !known.contains($0) }
        guard !unknown.isEmpty || !evidence.pins.isEmpty else { return becomeFree(server) }
        let pool = servers[server].pool
        pools[pool].counters.leaks &+= 1
        pools[pool].functionTrust = FunctionTrust()
        let findings = unknown.map { $0.text } + (evidence.pins.isEmpty ? [] : [evidence.pins.text])
        let list = findings.sorted().joined(separator: ", ")
        logServer(server, .warning, "audit: unknown to the pooler was: \(list)")
        evidence.pins.isEmpty ? becomeFree(server) : cleanSession(server)
    }
}
