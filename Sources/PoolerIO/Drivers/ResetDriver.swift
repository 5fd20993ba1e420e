// RESET gives what the session began with. A server's session began without what the client has asked
// for at login, so that this is given to it behind the RESET, before the client hears of it.

internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    // MARK: The request

    /// Whether a client that keeps its server has asked at login for what RESET would not give it.
    func mustWatchForResets(of slot: UInt32) -> Bool {
        guard let pool = clients[slot].pool, case .session = pools[pool].settings.poolMode,
            case .full = pools[pool].settings.sessionTracking, let defaults = defaults(of: pool)
        else { return false }
        defer { states.release(defaults) }
        return !states.startChanges(clients[slot].startSettings, defaults, of: nil).isEmpty
    }

    /// Looks at a statement of a client whose session is not tracked otherwise.
    mutating func watchForResets(
        _ request: ClientRequest,
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) {
        var start = offset + MessageHeader.byteCount
        let end = offset + header.messageByteCount
        guard end <= bytes.byteCount else { return }
        switch request {
        case .query: break
        case .named(.parse), .extended(.parse):
            // Only where it is executed at once.
            guard end < bytes.byteCount,
                FrontendMessageType(rawValue: bytes.byte(at: end)) == .bind,
                let nameEnd = bytes.extracting(0..<end).indexOfZero(from: start)
            else { return }
            start = nameEnd + 1
        default: return
        }
        let text = bytes.extracting(start..<end).upToZero()
        let rules = clients[slot].scanRules
        let effects = StatementClassifier.effects(of: text, rules: rules)
        guard !effects.isDisjoint(with: [.settings, .localSettings, .discardAll]) else { return }
        let statements = StatementClassifier.statements(in: text, rules: rules)
        noteResets(statements, of: text, on: clients[slot].server)
    }

    /// Notes what has to follow statements of a client that reset settings.
    mutating func noteResets(_ statements: [SessionStatement], of text: RawSpan, on server: UInt32)
    {
        let slot = servers[server].client
        guard let defaults = defaults(of: servers[server].pool) else { return }
        defer { states.release(defaults) }
        guard clients[slot].startSettings != defaults else { return }
        var changes: [SettingsChange] = []
        for statement in statements where SessionDoubts.isReset(statement, of: text) {
            let isOfAll = statement.kind == .resetAll || statement.kind == .discardAll
            let names = isOfAll ? nil : statement.settings
            changes += states.startChanges(clients[slot].startSettings, defaults, of: names)
        }
        guard !changes.isEmpty else { return }
        if servers[server].startChanges.isEmpty {
            var settings = servers[server].settings
            if case .replaying = servers[server].task { settings = clients[slot].settings }
            states.retain(settings)
            servers[server].settingsBeforeReset = settings
        }
        for change in changes where !servers[server].startChanges.contains(change) {
            servers[server].startChanges.append(change)
        }
    }

    // MARK: The answer

    /// Puts a stretch of the answer to a RESET into the stream to the client, but not what the server
    /// reports of settings, which is not the end of it.
    ///
    /// - Returns: whether the answer is complete, so that what has to follow can follow: then it has
    ///   no ReadyForQuery yet.
    mutating func takeBehindReset(
        _ server: UInt32,
        _ step: ServerStep,
        from start: Int,
        of bytes: RawSpan
    ) -> Bool {
        switch step.event {
        case .notification(let messageStart): toClient.take(start..<messageStart, of: bytes)
        case .parameterStatus(let bodyStart, _):
            toClient.take(start..<bodyStart - MessageHeader.byteCount, of: bytes)
        case .ready(let status, _, let isQuiet):
            let messageStart = step.end - MessageHeader.byteCount - 1
            toClient.take(start..<messageStart, of: bytes)
            if isQuiet && status != .inFailedTransaction { return true }
            // The client has sent more behind it, or the transaction is lost.
            toClient.insert(newsSinceReset(server), among: bytes)
            toClient.take(messageStart..<step.end, of: bytes)
        default:
            toClient.take(start..<step.end, of: bytes)
        }
        return false
    }

    /// Whether the client hears at once what the server reports of a setting that belongs to no state
    /// (is_superuser): other reports are told when the reset is complete.
    func reportsAtOnce(_ server: UInt32, _ disposition: Disposition) -> Bool {
        servers[server].hasClient && !servers[server].startChanges.isEmpty
            && (disposition == .forward || servers[server].task == .restoring)
    }

    /// Gives the server what its client began with; the client's ReadyForQuery waits for that.
    mutating func restore(_ server: UInt32) {
        clients[servers[server].client].isPreparing = true
        servers[server].task = .restoring
        let text = InternalSQL.apply(servers[server].startChanges)
        sendInternal(text, to: server)
    }

    /// The server has what its client began with: now the client hears of it.
    mutating func restored(_ server: UInt32, _ error: ErrorResponse?) {
        let status = servers[server].machine.transactionStatus
        guard servers[server].hasClient else {
            resetEnded(server)
            if status == .idle { return resetOrFree(server) }
            servers[server].task = .rollingBack
            move(server, to: .tested)
            return sendInternal("ROLLBACK", to: server)
        }
        let slot = servers[server].client
        var writer = ByteWriter()
        if let error {
            logServer(server, .warning, "after RESET: \(error.message)")
            writer.errorResponse(error)
        }
        writer.write(newsSinceReset(server))
        clients[slot].isPreparing = false
        let mustWait = status == .idle && mustAwaitOwnNotifications(slot)
        if mustWait { keepReady(of: slot) } else { writer.readyForQuery(status) }
        clients[slot].transport.send(unsafe writer.bytes.span.bytes, reactor)
        waitForReader(slot)
        if !mustWait || !awaitOwnNotifications(server) { serverIsReady(for: slot) }
    }

    /// What the client has not heard of its settings since a RESET.
    mutating func newsSinceReset(_ server: UInt32) -> [UInt8] {
        let news = states.reportedMessages(
            from: servers[server].settingsBeforeReset,
            to: servers[server].settings
        )
        resetEnded(server)
        return news
    }

    /// Forgets that there was a RESET.
    mutating func resetEnded(_ server: UInt32) {
        guard !servers[server].startChanges.isEmpty else { return }
        servers[server].startChanges = []
        servers[server].isResetLasting = false
        states.release(exchange(&servers[server].settingsBeforeReset, with: .empty))
    }
}
