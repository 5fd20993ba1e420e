// What clients leave in the sessions of their servers. While statements pass it is noted what they
// may change; between two transactions the server is asked what became of it, and then goes back to
// its pool or, when it has something that cannot be moved, stays with its client.

internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// The longest Query that is looked at, in bytes; a longer one may do anything.
    private static var trackedQueryLimit: Int { 65_536 }

    // MARK: Statements pass

    /// Notes what a Query or FunctionCall may change.
    ///
    /// - Returns: false when more of it has to arrive first, or the client is held back.
    mutating func noteQuery(
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) -> Bool {
        let server = clients[slot].server
        let end = offset + header.messageByteCount
        guard FrontendMessageType(rawValue: header.typeByte) == .query, header.bodyByteCount > 0,
            header.bodyByteCount <= Self.trackedQueryLimit
        else {
            servers[server].doubts.add(.opaque)
            return true
        }
        guard end <= bytes.byteCount else { return false }
        let text = bytes.extracting(offset + MessageHeader.byteCount..<end - 1)
        let rules = clients[slot].scanRules
        var effects = StatementClassifier.effects(of: text, rules: rules)
        if refuses(effects, server) { return true }
        noteHiddenCalls(&effects, text, rules, on: server)
        guard showStatements(to: effects, of: text, .query, from: slot, among: bytes) else {
            return false
        }
        note(effects, of: text, rules, on: server)
        return true
    }

    /// Notes what executing a prepared statement may change.
    ///
    /// - Parameters:
    ///   - statement: its slot in the statement store.
    ///   - values: the Bind message, as far as it has arrived.
    /// - Returns: false when the client is held back.
    mutating func noteExecution(
        of statement: UInt32,
        _ effects: SessionEffects,
        with values: RawSpan,
        from slot: UInt32,
        among bytes: RawSpan
    ) -> Bool {
        let server = clients[slot].server
        guard
            mayHideSomething(effects, on: server)
                || !effects.isDisjoint(with: SessionDoubts.relevantEffects),
            !refuses(effects, server)
        else { return true }
        let body = statements.body(of: statement)
        let text = body.span.upToZero()
        var effects = effects
        noteHiddenCalls(&effects, text, clients[slot].scanRules, on: server)
        guard !effects.isDisjoint(with: SessionDoubts.relevantEffects) else { return true }
        guard showStatements(to: effects, of: text, .batch, from: slot, among: bytes) else {
            return false
        }
        if !effects.isDisjoint(with: [.unnamedSettings, .unknownFunction]) {
            servers[server].doubts.add(names: CustomNames.candidates(in: values))
        }
        note(effects, of: text, clients[slot].scanRules, on: server)
        return true
    }

    /// Whether the server will execute nothing of a text, because the transaction has failed and
    /// nothing in the text ends it.
    private func refuses(_ effects: SessionEffects, _ server: UInt32) -> Bool {
        servers[server].machine.refusesStatements && !effects.contains(.transactionControl)
    }

    /// Notes what a Parse or Bind may change where prepared statements are not tracked: what any
    /// statement of the client's may.
    mutating func noteUntracked(
        _ kind: Expectation.Request,
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        from slot: UInt32
    ) {
        let server = clients[slot].server
        guard !pools[servers[server].pool].tracksStatements else { return }
        let (start, end) = (offset + MessageHeader.byteCount, offset + header.messageByteCount)
        switch kind {
        case .parse:
            guard end <= bytes.byteCount,
                let nameEnd = bytes.extracting(0..<end).indexOfZero(from: start)
            else {
                clients[slot].unnamedEffects = .opaque
                return
            }
            let body = bytes.extracting(nameEnd + 1..<end)
            var effects = effects(ofParse: body, from: slot)
            noteHiddenCalls(&effects, body.upToZero(), clients[slot].scanRules, on: server)
            if !effects.isDisjoint(with: SessionDoubts.relevantEffects) {
                // Which settings, nobody remembers.
                clients[slot].unnamedEffects.formUnion(effects.union(.opaque))
            }
        case .bind: servers[server].doubts.add(clients[slot].unnamedEffects)
        case .query, .sync, .describe, .execute, .close, .copyEnd: break
        }
    }

    /// What the text of a Parse may change when it is executed.
    ///
    /// - Parameter body: all that follows the name.
    func effects(ofParse body: RawSpan, from slot: UInt32) -> SessionEffects {
        guard let pool = clients[slot].pool, pools[pool].tracksSessions else { return [] }
        return StatementClassifier.effects(of: body.upToZero(), rules: clients[slot].scanRules)
    }

    private mutating func note(
        _ effects: SessionEffects,
        of text: RawSpan,
        _ rules: ScanRules,
        on server: UInt32
    ) {
        let relevant = effects.intersection(SessionDoubts.relevantEffects)
        guard !relevant.isEmpty else { return }
        if !effects.isDisjoint(with: .mayNotify), shared.notifiers.areWanted {
            noteNotifier(server)
        }
        if relevant == .notify { return }
        // Only the name of a custom setting, which has a dot in it, outlasts SET LOCAL.
        if relevant == .localSettings, !text.hasDot { return }
        let pool = servers[server].pool
        if effects.contains(.unknownFunction), pools[pool].functionTrust.asks() {
            servers[server].doubts.add(.opaque)
        }
        if !effects.isDisjoint(with: [.opaque, .unknownFunction, .unnamedSettings]) {
            servers[server].doubts.add(names: CustomNames.candidates(in: text))
        }
        if effects.contains(.sequenceValue) { ensureOwnSequences(on: server) }
        if effects.isDisjoint(with: SessionDoubts.effectsWithNames) {
            servers[server].doubts.add(effects)
        } else {
            // What a replay under way sets, it has for sure.
            let state = clients[servers[server].client].settings
            let statements = StatementClassifier.statements(in: text, rules: rules)
            noteResets(statements, of: text, on: server)
            let reported =
                effects.contains(.sqlPrepare)
                ? reportedSettings(on: server, before: effects) : nil
            for statement in statements {
                if statement.effects == .localSettings, states.hasAll(statement.settings, in: state)
                {
                    continue
                }
                servers[server].doubts.add(statement, of: text, under: reported)
                if statement.effects.contains(.sqlExecute), let name = statement.name {
                    noteExecution(named: name, on: server)
                }
            }
        }
        if servers[server].pins.isEmpty { servers[server].pinStatement = text.excerpt }
    }

    /// The settings that a server has reported, if they are those under which it executes a text.
    private func reportedSettings(
        on server: UInt32,
        before effects: SessionEffects
    ) -> [SettingRecord]? {
        guard !servers[server].machine.hasExecuted, effects.isDisjoint(with: .changesSettings)
        else { return nil }
        return states.records(of: servers[server].settings).filter(\.isReported)
    }

    /// Notes what EXECUTE of one of the client's prepared statements may change.
    private mutating func noteExecution(named name: ByteString, on server: UInt32) {
        let names = clients[servers[server].client].names
        guard names != noSlot, let entry = statementNames[names].entry(named: name.span) else {
            return
        }
        // EXECUTE of an EXECUTE is an error.
        var effects = statementNames[names].effects(of: entry).subtracting(.sqlExecute)
        let body = statements.body(of: statementNames[names].slot(of: entry))
        let rules = clients[servers[server].client].scanRules
        noteHiddenCalls(&effects, body.span.upToZero(), rules, on: server)
        note(effects, of: body.span.upToZero(), rules, on: server)
    }

    /// Sees to it that the values which the session has drawn from sequences are its client's own:
    /// where they may be another's, there shall be none, as in a new session.
    ///
    /// The first time that anybody asks for them, they are left alone in a transaction that has done
    /// something before, because its client may have drawn them there.
    private mutating func ensureOwnSequences(on server: UInt32) {
        let slot = servers[server].client
        clients[slot].usesSequences = true
        let pool = servers[server].pool
        pools[pool].usesSequences = true
        let status = servers[server].machine.transactionStatus
        let mayHaveDrawn = status != .idle && servers[server].answerCount > 1
        guard servers[server].sequenceOwner != clients[slot].number,
            servers[server].machine.isSettled, status != .inFailedTransaction, !mayHaveDrawn,
            toServer.isEmpty
        else { return }
        servers[server].sequenceOwner = clients[slot].number
        toServer.insert(internalQuery("DISCARD SEQUENCES", to: server))
    }

    // MARK: Between transactions

    /// Parts a server from its client, or keeps them together, as what the server has in its session
    /// demands.
    mutating func settleSession(_ server: UInt32) {
        if servers[server].doubts.awaitsSurvey, !settleSurvey(server) { return }
        let doubts = servers[server].doubts
        let customNames = pools[servers[server].pool].shared.withLock { pool in
            pool.noteCustomNames(doubts.settingNames)
            return pool.customNames
        }
        let lasting = PinReasons(lastingOf: doubts.effects)
        if !lasting.isEmpty { setPins(server, servers[server].pins.union(lasting)) }
        guard
            let probe = SessionProbe(
                doubts,
                pins: servers[server].pins,
                knownNames: states.names(of: servers[server].settings),
                customNames: customNames,
                tracksStatements: pools[servers[server].pool].tracksStatements
            )
        else {
            settleDoubts(server)
            adoptSettings(servers[server].client, from: server)
            return stayOrRelease(server)
        }
        clients[servers[server].client].isPreparing = true
        ask(probe, of: server)
    }

    private mutating func ask(_ probe: SessionProbe, of server: UInt32) {
        servers[server].probe = probe
        servers[server].task = .probing
        pools[servers[server].pool].counters.probes &+= 1
        sendInternal(probe.text, to: server)
    }

    /// The server has answered what it has in its session.
    mutating func sessionProbed(_ server: UInt32, _ error: ErrorResponse?) {
        let pool = servers[server].pool
        let answer = exchange(&servers[server].taskAnswer, with: [])
        let probe = exchange(&servers[server].probe, with: nil)
        // A cancel request that was meant for the client's last statement came late.
        if error?.sqlState == "57014", var again = probe, !again.isRepeated {
            again.isRepeated = true
            return ask(again, of: server)
        }
        guard error == nil, servers[server].machine.transactionStatus == .idle,
            var evidence = probe?.evidence(in: unsafe answer.span.bytes)
        else {
            if let error { logServer(server, .warning, "session probe failed: \(error.message)") }
            guard servers[server].hasClient else { return closeServer(server, .uncertainState) }
            settleDoubts(server)
            adoptSettings(servers[server].client, from: server)
            setPins(server, servers[server].pins.union(.unknown))
            // What it listens to besides what the listener has.
            if servers[server].hasChannels {
                setPins(server, servers[server].pins.union(.listen))
            }
            return stayOrRelease(server)
        }
        noteCustomNames(in: &evidence, of: server)
        let (old, oldPins) = (servers[server].settings, servers[server].pins)
        let assigned = servers[server].doubts.assignedNames
        servers[server].settings = states.confirmed(by: evidence, in: old)
        defer { states.release(old) }
        let oldStatements = servers[server].ownStatements
        if let count = evidence.poolerStatementCount, count < servers[server].statements.count {
            // A function has executed DEALLOCATE ALL; what has been prepared since is not known.
            statementsEnded(on: server, forClient: true)
            if count > 0 { requireClose(server) }
        }
        let pinsByPrepare =
            evidence.statements.map { !adoptStatements($0, from: server) }
            ?? oldPins.contains(.prepare)
        var pins = oldPins
        if probe?.asksForPins == true { pins = pins.intersection(.lasting).union(evidence.pins) }
        // As long as the listener can be had, nothing is pinned for it.
        if pools[pool].settings.sharedListener, servers[server].hasClient,
            !oldPins.contains(.listen)
        {
            pins.remove(.listen)
        }
        if pools[pool].tracksStatements {
            pins.remove(.prepare)
            if pinsByPrepare { pins.insert(.prepare) }
        }
        setPins(server, pins)
        settleDoubts(server)
        if evidence.isComplete {
            pools[pool].functionTrust.learn(
                isInnocent: servers[server].settings == old && pins == oldPins
                    && servers[server].ownStatements == oldStatements && evidence.channels.isEmpty
            )
        }
        guard servers[server].hasClient else { return cleanSession(server) }
        adoptSettings(servers[server].client, from: server)
        if evidence.isComplete {
            let changed = evidence.changedNames.union(
                evidence.emptyNames.filter {
                    assigned.contains($0) || states.value(of: $0, in: old)?.isEmpty == true
                }
            )
            restoreStart(of: servers[server].client, on: server, unless: changed)
        }
        if probe?.asksForPins == true, handOverChannels(server, evidence.channels) { return }
        stayOrRelease(server)
    }

    /// Notes which custom settings the server knows, and which of them its client has touched.
    mutating func noteCustomNames(in evidence: inout SessionEvidence, of server: UInt32) {
        guard evidence.hasCustomNames else { return }
        let slot = servers[server].client
        var (known, found) = (servers[server].customNames, evidence)
        var touched = slot == noSlot ? [] : clients[slot].customNames
        let named = servers[server].doubts.settingNames
        pools[servers[server].pool].shared.withLock {
            $0.customNameBook.learn(from: &found, server: &known, client: &touched, named: named)
        }
        servers[server].customNames = known
        if slot != noSlot { clients[slot].customNames = touched }
        evidence = found
    }

    private mutating func settleDoubts(_ server: UInt32) {
        servers[server].doubts.settle(keepsStatements: servers[server].pins.contains(.prepare))
        settleOwnRequests(server)
    }

    /// RESET has given the client what its server began with: it gets what it began with itself.
    private mutating func restoreStart(
        of slot: UInt32,
        on server: UInt32,
        unless changed: Set<ByteString>
    ) {
        guard let defaults = defaults(of: servers[server].pool) else { return }
        let old = clients[slot].settings
        clients[slot].settings = states.restored(
            old,
            start: clients[slot].startSettings,
            defaults: defaults,
            unless: changed
        )
        states.release(old)
        states.release(defaults)
        // What the server has reported of it, the client does not have after all.
        let news = states.reportedMessages(
            from: servers[server].settings,
            to: clients[slot].settings
        )
        guard !news.isEmpty else { return }
        clients[slot].transport.send(unsafe news.span.bytes, reactor)
        waitForReader(slot)
    }

    /// The server goes back to its pool, if nothing holds it.
    mutating func stayOrRelease(_ server: UInt32) {
        // The listener has them.
        if servers[server].hasChannels, !servers[server].pins.contains(.listen) {
            return unlisten(server)
        }
        let slot = servers[server].client
        let client = clients[slot].id
        clients[slot].isPreparing = false
        guard servers[server].pins.isEmpty else {
            if isOverPinLimit(server) {
                return closeClient(slot, .tooManyPinned(servers[server].pins))
            }
            tellOfPin(slot, on: server)
            if replaySettings(slot, on: server) { serverIsReady(for: slot) }
            if clients.holds(slot, generation: client.generation) {
                deliverNotifications(to: slot)
            }
            return
        }
        release(server, keepingSettings: true)
        if clients.holds(slot, generation: client.generation) {
            deliverNotifications(to: slot)
            resume(slot)
        }
    }

    /// pin_notice: tells the client once that it keeps its server, and why.
    ///
    /// It has had all its answers, so that nothing can be torn apart.
    private mutating func tellOfPin(_ slot: UInt32, on server: UInt32) {
        guard pools[servers[server].pool].settings.pinNotice, !servers[server].isPinNoticed,
            clients[slot].phase == .ready, servers[server].machine.isClean
        else { return }
        servers[server].isPinNoticed = true
        let text = "this session keeps its server connection: \(servers[server].pins.text)"
        var writer = ByteWriter()
        writer.noticeResponse(ErrorResponse(.notice, .successfulCompletion, text))
        clients[slot].transport.send(unsafe writer.bytes.span.bytes, reactor)
    }

    /// Whether a server that has just been pinned is one too many (max_pinned).
    private func isOverPinLimit(_ server: UInt32) -> Bool {
        let pool = servers[server].pool
        let limit = pools[pool].settings.maxPinned
        guard limit > 0, servers[server].pinTime == now else { return false }
        return pools[pool].shared.withLock { $0.pinnedCount } > limit
    }

    // MARK: Pins

    /// Notes what holds a server to its client.
    mutating func setPins(_ server: UInt32, _ pins: PinReasons) {
        let old = exchange(&servers[server].pins, with: pins)
        guard old != pins else { return }
        let pool = servers[server].pool
        pools[pool].counters.count(pinnedBy: pins.subtracting(old))
        if old.isEmpty != pins.isEmpty {
            pools[pool].shared.withLock { $0.pinnedCount += pins.isEmpty ? -1 : 1 }
            servers[server].isPinNoticed = false
            if pins.isEmpty {
                pools[pool].counters.pinMicroseconds &+= UInt64(
                    max(0, now - servers[server].pinTime)
                )
            } else {
                pools[pool].counters.pins &+= 1
                servers[server].pinTime = now
            }
        }
        let text =
            pins.isEmpty ? "unpinned" : "pinned (\(pins.text)) by: \(servers[server].pinStatement)"
        logServer(server, .info, text)
    }

    /// Makes a session that its client has left ready for others.
    mutating func cleanSession(_ server: UInt32) {
        guard servers[server].pins.isDisjoint(with: .lasting) else {
            return closeServer(server, .uncertainState)
        }
        servers[server].task = .resetting
        move(server, to: .tested)
        sendInternal("DISCARD ALL", to: server)
    }
}

extension RawSpan {
    /// The bytes before the first zero.
    @_lifetime(copy self)
    func upToZero() -> RawSpan {
        extracting(0..<(indexOfZero(from: 0) ?? byteCount))
    }

    fileprivate var hasDot: Bool {
        (0..<byteCount).contains { byte(at: $0) == UInt8(ascii: ".") }
    }

    /// The beginning of a statement, for people.
    var excerpt: ByteString {
        ByteString(copying: extracting(0..<min(byteCount, 100)))
    }
}
