// Servers that have logged in: their bytes go to the client they have, except for the answers to the
// pooler's own queries. What the bytes mean is ServerMachine's to say.

internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// Bytes came from a server, whatever it is doing.
    mutating func serverReceived(_ slot: UInt32, _ bytes: RawSpan) {
        if servers[slot].held.isEmpty {
            followServer(slot, bytes)
        } else {
            var held = exchange(&servers[slot].held, with: [])
            unsafe bytes.withUnsafeBytes { unsafe held.append(contentsOf: $0) }
            followServer(slot, unsafe held.span.bytes)
        }
    }

    private mutating func followServer(_ slot: UInt32, _ bytes: RawSpan) {
        switch servers[slot].task {
        case .loggingIn: followLogin(slot, bytes)
        case .askingForTLS: serverAnswered(slot, SSLAnswer(bytes))
        case .listening: followListener(slot, bytes)
        case .departing: servers[slot].held = [UInt8](copying: bytes)
        default: followAnswers(slot, bytes)
        }
    }

    /// The header of the next message that a server has sent, when all of the message has come; the rest
    /// is kept.
    ///
    /// - Parameter offset: where the message begins, and then where it ends.
    mutating func wholeMessage(
        of slot: UInt32,
        in bytes: RawSpan,
        at offset: inout Int,
        limit: Int
    ) throws(WireError) -> MessageHeader? {
        let header = try MessageHeader(peeking: bytes, at: offset, limit: limit)
        guard let header, offset + header.messageByteCount <= bytes.byteCount else {
            servers[slot].held = [UInt8](copying: bytes.extracting(offset..<bytes.byteCount))
            return nil
        }
        offset += header.messageByteCount
        return header
    }

    /// The socket of a server is connected, or takes bytes again.
    mutating func serverBecameWritable(_ slot: UInt32) {
        if servers[slot].task == .connecting { return serverConnected(slot) }
        servers[slot].transport.flush(reactor)
        guard servers[slot].transport.isDrained, servers[slot].hasClient else { return }
        let client = servers[slot].client
        readIfWelcome(client)
        resume(client)
    }

    /// The kernel did not take everything of what the last turn sent.
    mutating func sendFellShort(_ short: ShortSend) {
        let (slot, generation) = (short.token.slot, short.token.generation)
        switch short.token.kind {
        case .client where clients.holds(slot, generation: generation):
            clients[slot].transport.keepRest(of: short, reactor)
            if clients[slot].isServed { waitForReader(slot) }
        case .server where servers.holds(slot, generation: generation):
            servers[slot].transport.keepRest(of: short, reactor)
            if servers[slot].hasClient { readIfWelcome(servers[slot].client) }
        case .canceler where cancelers.holds(slot, generation: generation):
            cancelers[slot].transport.keepRest(of: short, reactor)
        default: break
        }
    }

    // MARK: Answers

    /// Follows what a server sends after its login.
    mutating func followAnswers(_ slot: UInt32, _ bytes: RawSpan) {
        let limit = settings.maxPacketSize
        var offset = 0
        var isQuiet = false
        var isTaskDone = false
        var isDying = false
        var mustRestore = false
        giveDueAnswers(slot, among: bytes)
        while offset < bytes.byteCount {
            let step = servers[slot].machine.scan(bytes, from: offset, limit: limit)
            if case .failed = step.event, isDyingWords(slot) {
                isDying = true
            } else if case .failed(let start, let end, .client) = step.event,
                servers[slot].hasClient
            {
                let messageStart = start - MessageHeader.byteCount
                toClient.take(offset..<messageStart, of: bytes)
                if repairPlan(slot, bytes.extracting(start..<end)) {
                    undoDropped(slot)
                    offset = step.end
                    continue
                }
                toClient.take(messageStart..<step.end, of: bytes)
            } else if case .forward = step.disposition, step.end > offset,
                servers[slot].hasClient
            {
                if servers[slot].startChanges.isEmpty {
                    let end = forwardedEnd(of: step, from: slot)
                    if end > offset { toClient.take(offset..<end, of: bytes) }
                } else if takeBehindReset(slot, step, from: offset, of: bytes) {
                    mustRestore = true
                }
            } else if servers[slot].probe != nil || servers[slot].task == .surveying
                || servers[slot].task == .measuring || servers[slot].lookup != nil
            {
                keepAnswer(slot, bytes.extracting(offset..<step.end))
            }
            offset = step.end
            switch step.event {
            case .none:
                continue
            case .notification(let start):
                if servers[slot].hasClient {
                    serverNotified(slot, bytes.extracting(start..<step.end), among: bytes)
                }
            case .incomplete:
                servers[slot].held = [UInt8](copying: bytes.extracting(offset..<bytes.byteCount))
                offset = bytes.byteCount
            case .ready(let status, let route, let isQuietNow):
                isQuiet = isQuietNow
                switch route {
                case .client, .synthetic:
                    countAnswer(slot, status)
                    if servers[slot].repeatableBatch.entry != noSlot {
                        servers[slot].repeatableBatch.forget()
                    }
                // A server that waits for the listener may still answer what was put in front.
                case .pooler: if servers[slot].task != .awaitingListener { isTaskDone = true }
                }
                if servers[slot].machine.takeSchemaChange() { shared.schemaChanged() }
            case .parameterStatus(let bodyStart, let bodyEnd):
                if !settingReported(slot, bytes.extracting(bodyStart..<bodyEnd)),
                    reportsAtOnce(slot, step.disposition)
                {
                    toClient.take(bodyStart - MessageHeader.byteCount..<bodyEnd, of: bytes)
                }
            case .statementsDiscarded(let withSession):
                discardStatements(slot)
                if withSession, !servers[slot].startChanges.isEmpty {
                    servers[slot].isResetLasting = true
                }
            case .answered(let expectation):
                statementAnswered(expectation, on: slot)
            case .parametersDescribed(let bodyStart, let bodyEnd):
                let types = StatementDescription.parameterTypes(
                    decoding: bytes.extracting(bodyStart..<bodyEnd)
                )
                servers[slot].awaitedDescriptions.parametersArrived(types)
            case .described(let statement, let bodyStart, let bodyEnd):
                statementDescribed(statement, bytes.extracting(bodyStart..<bodyEnd), on: slot)
            case .answerDue:
                break
            case .failed(let bodyStart, let bodyEnd, let route):
                undoDropped(slot)
                if route == .client, !servers[slot].isResetLasting { resetEnded(slot) }
                if servers[slot].machine.answersPooler || !servers[slot].hasClient {
                    // One that cannot be read is an error all the same.
                    let response =
                        try? ErrorResponse(decoding: bytes.extracting(bodyStart..<bodyEnd))
                    servers[slot].taskError =
                        response ?? ErrorResponse(.error, "XX000", "unreadable error")
                    if servers[slot].hasClient && !clients[servers[slot].client].isPreparing {
                        return replayFailed(slot, bytes)
                    }
                }
            case .protocolViolation:
                flushAnswers(slot, bytes)
                return serverFailed(slot, .serverProtocolViolation)
            }
            giveDueAnswers(slot, among: bytes)
        }
        flushAnswers(slot, bytes)
        let client = servers[slot].hasClient ? clients[servers[slot].client].id : nil
        defer { if let client { resumeHeldBack(client) } }
        if isDying {
            // The client takes its settings along, those that have just been replayed, too.
            if isTaskDone, case .replaying(let changes) = servers[slot].task {
                applyReplay(changes, on: slot)
            }
            closeDyingServer(slot)
        } else if mustRestore {
            let generation = servers[slot].id.generation
            if isTaskDone && servers[slot].task != .none { finishTask(slot) }
            // Not if the server has said since that it ends.
            if servers.holds(slot, generation: generation), servers[slot].hasClient,
                !servers[slot].startChanges.isEmpty
            {
                restore(slot)
            }
        } else if isTaskDone && servers[slot].task != .none {
            let (server, isCanceled) = (servers[slot].id, servers[slot].cancelCount > 0)
            finishTask(slot)
            // The client's own answer may have come in the same receive.
            if isQuiet, servers.holds(slot, generation: server.generation),
                servers[slot].hasClient, servers[slot].task == .none,
                servers[slot].machine.isSettled
            {
                becameQuiet(slot)
            }
            if isCanceled { deliverHeldBackCancels(to: server) }
        } else if servers[slot].hasClient {
            if isQuiet || servers[slot].machine.isClean { becameQuiet(slot) }
        } else if servers[slot].machine.isMidMessage {
            // The next client shall not get the rest.
            servers[slot].machine.swallowRest()
        }
    }

    /// Where that part of a step ends which the client gets as it came, and now.
    private mutating func forwardedEnd(of step: ServerStep, from slot: UInt32) -> Int {
        switch step.event {
        case .notification(let start): return start
        case .ready(.idle, .client, isQuiet: true):
            guard mustAwaitOwnNotifications(servers[slot].client) else { return step.end }
            keepReady(of: servers[slot].client)
            return step.end - (MessageHeader.byteCount + 1)
        default: return step.end
        }
    }

    /// Keeps a part of the answer to the question about the server's session.
    private mutating func keepAnswer(_ slot: UInt32, _ bytes: RawSpan) {
        guard servers[slot].taskAnswer.count + bytes.byteCount <= SessionProbe.answerLimit else {
            servers[slot].taskError = ErrorResponse(.error, "54000", "the answer is too long")
            return
        }
        unsafe bytes.withUnsafeBytes { unsafe servers[slot].taskAnswer.append(contentsOf: $0) }
    }

    /// Whether the ErrorResponse that was just read says only why the server ends.
    ///
    /// It concerns a client that keeps its server between transactions, but no other.
    private func isDyingWords(_ slot: UInt32) -> Bool {
        guard servers[slot].machine.isErrorUnasked, servers[slot].replication == .none else {
            return false
        }
        guard servers[slot].hasClient else { return true }
        // What it has changed of its session is lost with the server.
        guard !servers[slot].isSessionTouched else { return false }
        if case .session = pools[servers[slot].pool].settings.poolMode { return false }
        return true
    }

    /// Closes a server that has said that it ends; the client whose transaction it had just finished
    /// goes on without it.
    private mutating func closeDyingServer(_ slot: UInt32) {
        // A client that it was being made ready for has sent something that is still to be done.
        guard servers[slot].hasClient,
            servers[slot].task == .awaitingListener || !clients[servers[slot].client].isPreparing
        else { return serverFailed(slot, .serverConnectionLost) }
        let client = part(slot)
        let generation = clients[client].id.generation
        giveKeptReady(to: client)
        closeServer(slot, .serverConnectionLost)
        guard clients.holds(client, generation: generation) else { return }
        readIfWelcome(client)
        // What it has sent while its server waited for the listener.
        resume(client)
    }

    private mutating func flushAnswers(_ slot: UInt32, _ bytes: RawSpan) {
        guard servers[slot].hasClient else { return toClient.discard() }
        let client = servers[slot].client
        flushToClient(client, bytes)
        if !clients[client].transport.isReading { readIfWelcome(client) }
    }

    /// Sends what was collected to a client; a server whose client is slow is not read from.
    mutating func flushToClient(_ slot: UInt32, _ bytes: RawSpan) {
        guard !toClient.isEmpty else { return }
        if let pool = clients[slot].pool {
            pools[pool].counters.bytesSent &+= UInt64(toClient.byteCount)
        }
        toClient.flush(bytes, to: &clients[slot].transport, reactor)
        waitForReader(slot)
    }

    /// The client may have fallen behind: nothing more is asked for on its account.
    mutating func waitForReader(_ slot: UInt32) {
        guard !clients[slot].transport.isDrained else { return }
        if clients[slot].hasServer {
            servers[clients[slot].server].transport.setReading(false, reactor)
        } else {
            clients[slot].transport.setReading(false, reactor)
        }
    }

    /// The server owes nothing: in transaction mode it can go, unless a transaction is open.
    mutating func becameQuiet(_ slot: UInt32) {
        let client = servers[slot].client
        if clients[client].subscriptions != noSlot, awaitOwnNotifications(slot) { return }
        guard clients[client].machine.isBetweenMessages, !clients[client].isPreparing,
            servers[slot].replication == .none
        else { return }
        let mode = pools[servers[slot].pool].settings.poolMode
        if servers[slot].machine.transactionStatus != .idle {
            if mode == .statement { closeClient(client, .transactionInStatementMode) }
            return
        }
        guard mode != .session && servers[slot].machine.isClean else { return }
        servers[slot].isSessionTouched ? settleSession(slot) : release(slot)
    }

    private mutating func countAnswer(_ slot: UInt32, _ status: TransactionStatus) {
        let pool = servers[slot].pool
        servers[slot].lastAnswerTime = now
        pools[pool].counters.queries &+= 1
        guard servers[slot].hasClient else { return }
        let waitTime = servers[slot].answerCount == 0 ? servers[slot].waitTime : 0
        if servers[slot].answerCount < 2 { servers[slot].answerCount += 1 }
        let queryTime = now - servers[slot].queryStart
        pools[pool].counters.queryMicroseconds &+= UInt64(max(0, queryTime))
        if waitTime + queryTime >= pools[pool].slowQueryLimit, servers[slot].queryStart > 0 {
            logSlowQuery(on: slot, waitTime: waitTime, serverTime: queryTime)
        }
        if !servers[slot].queryText.isEmpty {
            servers[slot].queryText.removeAll(keepingCapacity: true)
        }
        servers[slot].queryStart = servers[slot].machine.isSettled ? 0 : now
        guard case .idle = status else { return }
        pools[pool].counters.transactions &+= 1
        let transactionTime = now - servers[slot].transactionStart
        pools[pool].counters.transactionMicroseconds &+= UInt64(max(0, transactionTime))
        servers[slot].transactionStart = servers[slot].machine.isSettled ? 0 : now
    }

    /// The server reports a setting: its state changes, and with it that of its client.
    ///
    /// - Returns: whether the setting belongs to a state.
    private mutating func settingReported(_ slot: UInt32, _ body: RawSpan) -> Bool {
        guard let status = try? ParameterStatus(decoding: body),
            SettingsStates.isTracked(status.name)
        else { return false }
        let old = servers[slot].settings
        servers[slot].settings = states.setting(
            status.name,
            to: status.value,
            in: old,
            isReported: true
        )
        states.release(old)
        if servers[slot].hasClient { clients[servers[slot].client].scanRules.adopt(status) }
        return true
    }

    // MARK: Tracked statements

    /// Gives the client the answers whose turn has come and that no server gives.
    mutating func giveDueAnswers(_ slot: UInt32, among bytes: RawSpan) {
        while let due = servers[slot].machine.takeDueAnswer() {
            let type: BackendMessageType = due.request == .close ? .closeComplete : .parseComplete
            toClient.insertEmptyMessage(type, among: bytes)
            statementAnswered(due, on: slot)
        }
    }

    /// A request about a tracked statement succeeded.
    private mutating func statementAnswered(_ expectation: Expectation, on slot: UInt32) {
        guard expectation.statement < Expectation.ownStatement else { return }
        switch expectation.request {
        case .parse: statementAccepted(expectation, by: slot)
        case .close where expectation.route == .pooler:
            statements.release(expectation.statement)
        case .close:
            guard let names = clientNames(slot) else { return }
            statements.release(statementNames[names].remove(expectation.statement))
        case .query, .sync, .bind, .describe, .execute, .copyEnd: return
        }
    }

    private mutating func statementAccepted(_ expectation: Expectation, by slot: UInt32) {
        var statement = expectation.statement
        switch expectation.route {
        case .pooler: break
        case .synthetic: return
        case .client:
            guard let names = clientNames(slot) else { return }
            statement = statementNames[names].slot(of: statement)
        }
        let serial = statements.serial(of: statement)
        pools[servers[slot].pool].shared.withLock { $0.accepted(statement: serial) }
    }

    /// Where the names of the prepared statements of a server's client are.
    private func clientNames(_ slot: UInt32) -> UInt32? {
        guard servers[slot].hasClient else { return nil }
        let names = clients[servers[slot].client].names
        return names == noSlot ? nil : names
    }

    /// Takes back what requests did that the server will never execute, the newest first.
    mutating func undoDropped(_ slot: UInt32) {
        if let loss = servers[slot].machine.takeUnnamedLoss() {
            unnamedStatementLost(loss, on: slot)
        }
        for expectation in servers[slot].machine.takeDropped() {
            if expectation.statement >= Expectation.ownStatement {
                undoOwnRequest(expectation.statement, on: slot)
                continue
            }
            switch (expectation.request, expectation.route) {
            case (.parse, .pooler):
                forgetStatement(expectation.statement, on: slot)
            case (.parse, let route):
                guard let names = clientNames(slot) else { continue }
                let statement = statementNames[names].remove(expectation.statement)
                if route == .client { forgetStatement(statement, on: slot) }
                statements.release(statement)
            case (.describe, .pooler):
                _ = servers[slot].awaitedDescriptions.take(expectation.statement)
                servers[slot].statements.becameUnfit(expectation.statement)
            case (.close, .pooler):
                if servers[slot].statements.contains(expectation.statement) {
                    statements.release(expectation.statement)
                } else {
                    // It may have been closed because it was unfit.
                    servers[slot].statements.insert(expectation.statement)
                    servers[slot].statements.becameUnfit(expectation.statement)
                }
            case (.close, _):
                if let names = clientNames(slot) {
                    statementNames[names].list(expectation.statement)
                }
            case (.query, _), (.sync, _), (.bind, _), (.describe, _), (.execute, _), (.copyEnd, _):
                continue
            }
        }
    }

    private mutating func forgetStatement(_ statement: UInt32, on slot: UInt32) {
        if servers[slot].statements.remove(statement) { statements.release(statement) }
    }

    /// DEALLOCATE ALL or DISCARD ALL ran: the server has no statements any more, nor has its client if
    /// it asked for that.
    private mutating func discardStatements(_ slot: UInt32) {
        if servers[slot].machine.owesStatements {
            // Requests behind it are about statements that are in doubt now.
            requireClose(slot)
            servers[slot].machine.becomeUncertain()
            return
        }
        statementsEnded(on: slot, forClient: !servers[slot].machine.answersPooler)
    }

    /// A server has no statements any more.
    ///
    /// - Parameter forClient: whether the same holds for its client.
    mutating func statementsEnded(on slot: UInt32, forClient: Bool) {
        for statement in servers[slot].statements.removeAll() { statements.release(statement) }
        forgetOwnStatements(on: slot)
        if forClient, servers[slot].hasClient { forgetStatements(of: servers[slot].client) }
    }

    // MARK: The pooler's own queries

    /// The server has answered the pooler's query.
    private mutating func finishTask(_ slot: UInt32) {
        let task = exchange(&servers[slot].task, with: .none)
        let error = exchange(&servers[slot].taskError, with: nil)
        servers[slot].lastAnswerTime = now
        let isIdle = servers[slot].machine.transactionStatus == .idle
        switch task {
        case .none, .resolving, .connecting, .askingForTLS, .shakingHands, .loggingIn, .departing:
            break
        case .measuring: isIdle ? measured(slot, error) : closeServer(slot, .checkFailed)
        case .settingUp:
            if let error { logServer(slot, .warning, "connect_query failed: \(error.message)") }
            if servers[slot].replication != .none {
                isIdle ? replicationBegins(slot) : loginFailed(slot, .checkFailed)
            } else {
                isIdle ? serverIsSetUp(slot) : closeServer(slot, .checkFailed)
            }
        case .checking:
            if error != nil || !isIdle { return serverFailed(slot, .checkFailed) }
            guard servers[slot].hasClient else { return resetOrFree(slot) }
            let client = servers[slot].client
            if replaySettings(client, on: slot) { serverIsReady(for: client) }
        case .replaying(let changes):
            settingsReplayed(slot, changes, error)
        case .auditing:
            audited(slot, error)
        case .surveying:
            surveyed(slot, error)
        case .restoring:
            restored(slot, error)
        case .probing:
            sessionProbed(slot, error)
        case .preparingLookup(let changes): preparedForLookup(slot, changes, error)
        case .lookingUp: lookupAnswered(slot, error)
        case .awaitingListener, .listening: break
        case .handingOver: channelsHandedOver(slot, error)
        case .unlistening: channelsForgotten(slot, error)
        case .rollingBack:
            isIdle ? resetOrFree(slot) : closeServer(slot, .clientLeftInTransaction)
        case .resetting:
            guard error == nil, isIdle else { return closeServer(slot, .resetFailed) }
            let old = servers[slot].settings
            servers[slot].settings = states.reportedPart(of: old)
            states.release(old)
            servers[slot].doubts.forget()
            servers[slot].hasChannels = false
            servers[slot].hasAllChannels = false
            setPins(slot, [])
            becomeFree(slot)
        }
    }

    private mutating func settingsReplayed(
        _ slot: UInt32,
        _ changes: [SettingsChange],
        _ error: ErrorResponse?
    ) {
        if error == nil { applyReplay(changes, on: slot) }
        guard servers[slot].hasClient else { return resetOrFree(slot) }
        let client = servers[slot].client
        if var error {
            error.severity = ByteString(Severity.fatal.rawValue)
            // Nothing is under way any more: the server is free for others.
            clients[client].isPreparing = false
            return closeClient(client, .clientRefused(error))
        }
        adoptSettings(client, from: slot)
        if clients[client].isPreparing { serverIsReady(for: client) }
    }

    /// The server has made `changes` of its settings.
    private mutating func applyReplay(_ changes: [SettingsChange], on slot: UInt32) {
        let old = servers[slot].settings
        servers[slot].settings = states.applying(changes, to: old)
        states.release(old)
        pools[servers[slot].pool].replayTime.add(now - servers[slot].replayStart)
    }

    /// The client's own request is under way behind a replay that failed: nobody may see what it gives,
    /// but why.
    private mutating func replayFailed(_ slot: UInt32, _ bytes: RawSpan) {
        flushAnswers(slot, bytes)
        let client = servers[slot].client
        guard var error = servers[slot].taskError else {
            return serverFailed(slot, .settingsRejected)
        }
        error.severity = ByteString(Severity.fatal.rawValue)
        clients[client].server = noSlot
        servers[slot].client = noSlot
        closeServer(slot, .settingsRejected)
        closeClient(client, .clientRefused(error))
    }

    // MARK: The end of a server

    /// The server has closed the connection, or it broke.
    mutating func serverEnded(_ slot: UInt32) {
        // Whoever has it next sees that, too.
        if servers[slot].task == .departing { return }
        serverFailed(
            slot,
            servers[slot].task == .connecting ? .serverConnectFailed : .serverConnectionLost
        )
    }

    /// The server can no longer be used.
    ///
    /// Its client gets the server's own last words if there were any; one that had not sent
    /// anything yet gets another server.
    mutating func serverFailed(_ slot: UInt32, _ reason: CloseReason) {
        let pool = servers[slot].pool
        if servers[slot].state == .login { return loginFailed(slot, reason) }
        guard servers[slot].hasClient else { return closeServer(slot, reason) }
        let client = servers[slot].client
        if clients[client].isPreparing && !servers[slot].isSessionTouched
            && servers[slot].task != .restoring && servers[slot].task != .awaitingListener
        {
            waitAgain(client)
            servers[slot].client = noSlot
            closeServer(slot, reason)
            return serveWaiters(pool)
        }
        // In the middle of a message nothing more can be said. What the server said to a question of the
        // pooler's own, the client has not seen.
        let hasLastWords =
            servers[slot].machine.isMidMessage
            || servers[slot].machine.endedWithError && !clients[client].isPreparing
        clients[client].server = noSlot
        servers[slot].client = noSlot
        let isReplication = servers[slot].replication != .none
        closeServer(slot, reason)
        // Who replicates hears the end of its stream, and nothing that is not PostgreSQL's.
        closeClient(client, hasLastWords || isReplication ? .serverSaidWhy : reason)
    }

    /// Ends a server that has no client.
    mutating func closeServer(_ slot: UInt32, _ reason: CloseReason) {
        if let error = servers[slot].taskError {
            logServer(slot, .warning, "server said: \(error.message)")
        }
        logServerClosed(slot, reason)
        setPins(slot, [])
        if servers[slot].machine.isClean && servers[slot].replication == .none {
            sendTerminate(slot)
        }
        // Nobody will say any more whether it has been committed.
        if servers[slot].machine.hasChangedSchema { shared.schemaChanged() }
        servers[slot].transport.close(reactor)
        forgetServer(slot, reason)
    }

    /// Gives back all that a server has, whose connection has been closed or is somebody else's now.
    ///
    /// - Parameter reason: why it was closed; nil when another process goes on with it.
    mutating func forgetServer(_ slot: UInt32, _ reason: CloseReason?) {
        let pool = servers[slot].pool
        for expectation in servers[slot].machine.takeAll()
        where expectation.request == .close && expectation.route == .pooler
            && expectation.statement < Expectation.ownStatement
        {
            statements.release(expectation.statement)
        }
        for statement in servers[slot].statements.removeAll() { statements.release(statement) }
        forgetOwnStatements(on: slot)
        resetEnded(slot)
        states.release(servers[slot].settings)
        if let waiter = servers[slot].destination {
            shared.post(.serverLost(for: waiter.client, ticket: waiter.ticket), to: waiter.worker)
        }
        let lookup = exchange(&servers[slot].lookup, with: nil)
        let (id, state, isOutdated) = (
            servers[slot].id, servers[slot].state, servers[slot].isCloseNeeded
        )
        let host = servers[slot].host
        let (isListener, wasListening) = (
            servers[slot].isListener, servers[slot].task == .listening
        )
        if servers[slot].notifier != 0, let process = servers[slot].cancelKey?.processID {
            shared.notifiers.forget(process, at: servers[slot].endpoint)
        }
        let (isReplication, hasServed) = (
            servers[slot].replication != .none, servers[slot].hasServed
        )
        servers.remove(slot)
        pools[pool].shared.withLock { pool in
            pool.serverClosed(id, in: state, asListener: isListener)
            if isReplication { pool.replicationServerClosing(wasReady: hasServed) }
            if isOutdated { pool.outdatedCount -= 1 }
        }
        let key = pools[pool].key
        placeIsFree(of: key, at: host)
        if isListener { listenerClosed(pool, wasReady: wasListening) }
        if let reason {
            if let lookup { lookupLost(lookup, reason) }
            if !isListener { handover?.post(TakeoverParcel(.serverLeft(PoolKeyRecord(key)))) }
        }
        openServersIfWanted(pool)
        tellReplicationOpener(pool)
        connectionGone()
    }

    mutating func sendTerminate(_ slot: UInt32) {
        var writer = ByteWriter()
        writer.message(.terminate) { _ in }
        servers[slot].transport.send(unsafe writer.bytes.span.bytes, reactor)
    }
}

extension [UInt8] {
    /// Copies a span.
    init(copying span: RawSpan) {
        self = unsafe span.withUnsafeBytes { unsafe Array($0) }
    }
}
