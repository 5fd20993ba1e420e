// Follows the bytes of a server that has logged in: which of them go to the client, when an answer
// is complete, when the server is free. It looks at five header bytes of every message and at the
// body of the few that change what the pooler knows. It never holds bytes and never does I/O.

internal import DequeModule
public import PostgresWire

/// What a stretch of bytes from a server means to the driver.
public enum ServerEvent: Equatable, Sendable {
    /// Nothing: the bytes ran out.
    case none
    /// The next message must be complete before it can be judged: keep the bytes from `end` on.
    case incomplete
    /// ReadyForQuery. `isQuiet`: nothing else is owed, the server could be released.
    case ready(TransactionStatus, route: Expectation.Route, isQuiet: Bool)
    /// A ParameterStatus; its body lies at these offsets of the scanned bytes.
    case parameterStatus(bodyStart: Int, bodyEnd: Int)
    /// A NotificationResponse, which begins at this offset of the scanned bytes and ends with the
    /// step.
    case notification(start: Int)
    /// DEALLOCATE ALL has been executed, or, `withSession`, DISCARD ALL.
    case statementsDiscarded(withSession: Bool)
    /// The answer to a request about a tracked statement arrived, or at least began.
    case answered(Expectation)
    /// The types of the parameters of a statement that the pooler wants described; the body lies at
    /// these offsets of the scanned bytes.
    case parametersDescribed(bodyStart: Int, bodyEnd: Int)
    /// The columns of that statement; nothing lies at these offsets if it gives no rows.
    case described(statement: UInt32, bodyStart: Int, bodyEnd: Int)
    /// A message ended behind which an answer of the pooler's is due.
    case answerDue
    /// An ErrorResponse; what goes unanswered because of it is in `takeDropped()`. `route` tells
    /// whose request failed; without one it is `client`.
    case failed(bodyStart: Int, bodyEnd: Int, route: Expectation.Route)
    /// The server sent something that the protocol does not allow here.
    case protocolViolation
}

/// What is to be done with a stretch of bytes from a server.
public enum Disposition: Equatable, Sendable {
    /// They go to the client unchanged.
    case forward
    /// They are of no concern to the client.
    case swallow
}

/// The result of a scan: what to do with the bytes up to `end`, and what happened there.
public struct ServerStep: Equatable, Sendable {
    public let end: Int
    public let disposition: Disposition
    public let event: ServerEvent
}

/// What a failure took away of the unnamed prepared statement.
public struct UnnamedLoss: Equatable, Sendable {
    /// How many of the client's requests about it were skipped: what it had before them, it has still.
    public var skippedCount = 0
    /// Whether a Parse failed: that ends the statement which there was.
    public var hasFailed = false

    public init(skippedCount: Int = 0, hasFailed: Bool = false) {
        self.skippedCount = skippedCount
        self.hasFailed = hasFailed
    }
}

/// The state of a server connection after its login.
public struct ServerMachine: ~Copyable {
    private let inPlace = InPlace()
    /// Answers that are still to come, the next one first.
    private var expectations = Deque<Expectation>()
    /// Requests that go unanswered because of a failure, in the order they were sent, until taken.
    private var dropped: [Expectation] = []
    /// Answers about named and about unnamed prepared statements that are still to come.
    private var namedDebt = StatementDebt()
    private var unnamedDebt = StatementDebt()
    /// How many requests that may end all named statements are unanswered.
    private var endOfStatementsDebt = 0
    private var unnamedLoss: UnnamedLoss?
    /// The requests that the last failure left unanswered, the failed one first, and whether the
    /// client had no answer to others of their batch.
    private var failedRequests: [Expectation] = []
    private var answersToBatch = 0
    /// Whether the client has been told the types of a statement's parameters, but not yet its columns,
    /// and whether it shall not be told them once more.
    private var hasToldParameters = false
    private var skipsParameters = false
    /// How much of the message in passage is still to come, and where it goes.
    public private(set) var bodyRemaining = 0
    private var passingDisposition = Disposition.forward
    /// The status byte of the last ReadyForQuery.
    public private(set) var transactionStatus = TransactionStatus.idle
    /// Whether something that can be a statement was sent since the server last owed nothing.
    public private(set) var hasExecuted = false
    /// Whether nothing was sent since the last ReadyForQuery.
    public private(set) var isSettled = true
    /// Whether the server skips everything up to the next Sync.
    public private(set) var isSkippingToSync = false
    /// Whether the server reads COPY data from the client.
    public private(set) var isCopyingIn = false
    /// Whether what statements mean may have changed since the last ReadyForQuery outside of a
    /// transaction block: ALTER or DROP of anything, or a view made anew.
    public private(set) var hasChangedSchema = false
    private var copyEndWasSent = false
    private var copySyncCount = 0
    /// Whether it can no longer be told which Sync an answer belongs to: the server must stay with
    /// its client, and be closed after it.
    public private(set) var isUncertain = false
    /// Whether the last message was an ErrorResponse, and nothing was sent since: what a dying server
    /// sends last.
    public private(set) var endedWithError = false
    /// Whether the last ErrorResponse came when nothing was asked and no transaction was open: then it
    /// says why the server ends.
    public private(set) var isErrorUnasked = false

    /// Whether the server has just said why it ends; it may take a while until it does.
    public var isDying: Bool { endedWithError && isErrorUnasked }

    /// The longest message that is inspected whole, in bytes.
    private static let inspectionLimit = 65_536
    /// The same for RowDescription: PostgreSQL allows 1,664 columns with names of 63 bytes; and for
    /// ParameterDescription with its at most 65,535 parameters.
    private static let descriptionLimit = 524_288

    public init() {}

    /// Goes on where another process has left a server that owed nothing.
    ///
    /// - Parameters:
    ///   - status: what its last ReadyForQuery said.
    ///   - hasChangedSchema: whether what statements mean may have changed in its transaction.
    public init(settledIn status: TransactionStatus, hasChangedSchema: Bool) {
        transactionStatus = status
        self.hasChangedSchema = hasChangedSchema
    }

    /// Whether nothing is under way, so that another process could go on with the server.
    public var canMove: Bool {
        isSettled && bodyRemaining == 0 && !isUncertain && expectations.isEmpty && dropped.isEmpty
            && !isSkippingToSync && !isCopyingIn && !endedWithError
    }

    /// Whether a message from the server has been passed on only in part.
    public var isMidMessage: Bool { bodyRemaining > 0 }

    /// Whether every request has been answered and no transaction is open.
    public var isClean: Bool {
        isSettled && transactionStatus == .idle && bodyRemaining == 0 && !isUncertain
    }

    /// Whether the last thing that was asked for ends with ReadyForQuery.
    public var endsWithReady: Bool {
        expectations.last.map { $0.request == .query || $0.request == .sync } ?? true
    }

    /// Whether the server will execute nothing but the end of its transaction, which has failed.
    public var refusesStatements: Bool {
        transactionStatus == .inFailedTransaction && !hasExecuted
    }

    /// Whether the next answer is to a query of the pooler's own.
    public var answersPooler: Bool {
        expectations.first.map { $0.route == .pooler && $0.request == .query } ?? false
    }

    /// How many answers are still to come.
    public var owedCount: Int { expectations.count }

    /// Whether an answer to something the client sent is still to come.
    public var owesClient: Bool {
        expectations.contains { $0.route != .pooler && $0.request != .copyEnd }
    }

    /// Whether answers to requests about tracked statements are still to come.
    public var owesStatements: Bool {
        expectations.contains { $0.isAboutStatement && !$0.mayEndStatements }
    }

    /// Whether a request is unanswered that may end all named statements, DEALLOCATE ALL: what comes
    /// behind it, even in the same batch, must not count on any.
    public var owesEndOfStatements: Bool { endOfStatementsDebt > 0 }

    /// Whether answers to the client's batches or Queries of the past are still to come, apart from a
    /// batch that it has not ended yet.
    ///
    /// What the pooler has asked for, such as the client's settings, goes in front of the client's own
    /// request: to wait for that would be to wait without having anything under way.
    public var owesEarlierBatch: Bool {
        expectations.contains {
            ($0.request == .query || $0.request == .sync) && $0.route != .pooler
        }
    }

    /// Whether the last request belongs to a batch that has not ended.
    public var isInBatch: Bool { expectations.last?.isExtended ?? false }

    /// Whether it is still open which named statements there are.
    ///
    /// An error could make the server skip a request about one that an earlier batch has, or a Query
    /// could discard them. Within a batch all are skipped together, so that what comes later may count
    /// on what came before.
    public var hasNamedInDoubt: Bool { namedDebt.isInDoubt }

    /// The same for the unnamed statement, unless this batch has made it anew.
    public var hasUnnamedInDoubt: Bool { unnamedDebt.isInDoubt && unnamedDebt.inBatch == 0 }

    /// Whether requests are unanswered that make the unnamed statement anew or end it.
    public var owesUnnamed: Bool { unnamedDebt.total > 0 }

    /// What became of the unnamed statement by a failure, unless a later request about it is under way.
    public mutating func takeUnnamedLoss() -> UnnamedLoss? {
        guard let loss = unnamedLoss, unnamedDebt.total == 0 else { return nil }
        unnamedLoss = nil
        return loss
    }

    /// Binds the server to its client for good, because it got something that cannot be tracked.
    public mutating func becomeUncertain() {
        isUncertain = true
    }

    /// Whether an answer that the server gives to its client is still to come.
    public var owesAnswerToClient: Bool { expectations.contains { $0.route == .client } }

    /// The statement that has just failed to be bound or described for the client, if it is a tracked
    /// one.
    public var failedStatement: UInt32? {
        guard let request = failedRequests.first, request.route == .client,
            request.request == .bind || request.request == .describe,
            request.statement < Expectation.ownStatement
        else { return nil }
        return request.statement
    }

    /// Prepares for sending a batch again of which the first answer was an error: the client shall
    /// not see the end of the failed one.
    ///
    /// Possible only where the batch begins with Describe of a statement or with Bind and has a Describe,
    /// so that the client learns what columns there are now, and ends what was sent.
    ///
    /// - Parameter isNew: whether the client has prepared the statement in this very batch, so that it
    ///   relies on no columns.
    /// - Returns: what is to be expected of the batch, once what has to be sent in front of it is
    ///   expected; nil if it cannot be sent again.
    public mutating func repeatFailedBatch(ofNewStatement isNew: Bool = false) -> [Expectation]? {
        guard expectations.count == 1, let sync = expectations.first, sync.request == .sync,
            sync.route == .client, answersToBatch == 0, transactionStatus == .idle,
            failedRequests.first?.request == .bind || failedRequests.first?.request == .describe,
            isNew || failedRequests.contains(where: { $0.request == .describe }),
            failedRequests.allSatisfy({ $0.route == .client && !$0.isAboutStatement })
        else { return nil }
        expectations[expectations.startIndex] = Expectation(.sync, .pooler)
        // PostgreSQL tells them before it finds out that the columns have changed.
        skipsParameters = hasToldParameters
        return failedRequests + [sync]
    }

    /// What statements mean may have changed, and the transaction is over.
    ///
    /// - Returns: whether that is so; it is told once.
    public mutating func takeSchemaChange() -> Bool {
        guard hasChangedSchema, transactionStatus == .idle else { return false }
        hasChangedSchema = false
        return true
    }

    /// Takes every answer that is still to come, because the connection has ended.
    public mutating func takeAll() -> [Expectation] {
        namedDebt = StatementDebt()
        unnamedDebt = StatementDebt()
        endOfStatementsDebt = 0
        defer { expectations.removeAll() }
        return Array(expectations)
    }

    /// The rest of the message in passage concerns no client, because its beginning did not.
    public mutating func swallowRest() {
        passingDisposition = .swallow
    }

    // MARK: Requests

    /// Notes that a request is being sent (or, if synthetic, would have been).
    public mutating func expect(_ expectation: Expectation) {
        // The end of a COPY that is already over: the server ignores it.
        if expectation.request == .copyEnd && expectations.isEmpty { return }
        isSettled = false
        endedWithError = false
        if isSkippingToSync {
            // The server reads and forgets everything but a Sync.
            guard expectation.request == .sync else {
                drop(expectation)
                return
            }
            isSkippingToSync = false
        }
        if isCopyingIn {
            switch expectation.request {
            case .sync where !copyEndWasSent:
                // A server that reads COPY data ignores Sync (PostgreSQL documentation, section
                // 55.2.6). Whether it still read COPY data then is known only if the COPY succeeds.
                copySyncCount += 1
                return
            case .copyEnd:
                copyEndWasSent = true
            case .query, .sync, .parse, .bind, .describe, .execute, .close:
                break
            }
        }
        append(expectation)
    }

    private mutating func append(_ expectation: Expectation) {
        expectations.append(expectation)
        if expectation.isAboutNamed { namedDebt.grew() }
        if expectation.isAboutUnnamed { unnamedDebt.grew() }
        if expectation.mayEndStatements { endOfStatementsDebt += 1 }
        switch expectation.request {
        case .sync:
            namedDebt.batchEnded()
            unnamedDebt.batchEnded()
        case .query:
            namedDebt.batchEnded()
            hasExecuted = true
        case .execute: hasExecuted = true
        case .parse, .bind, .describe, .close, .copyEnd: break
        }
    }

    private mutating func removeHead() -> Expectation {
        let expectation = expectations.removeFirst()
        if expectation.isAboutNamed { namedDebt.shrank() }
        if expectation.isAboutUnnamed { unnamedDebt.shrank() }
        if expectation.mayEndStatements { endOfStatementsDebt -= 1 }
        return expectation
    }

    /// The answer that the pooler has to give now, if it is the next in order.
    ///
    /// Call until nil.
    public mutating func takeDueAnswer() -> Expectation? {
        // Nothing may be put into the middle of a message.
        guard bodyRemaining == 0 else { return nil }
        while isAnswerDue {
            let expectation = removeHead()
            if expectation.request != .copyEnd { return expectation }
        }
        return nil
    }

    /// Whether an answer of the pooler's can wait for what the server will say next, because there is
    /// something: one packet is better than two.
    public var hasAnswerBehindDue: Bool {
        expectations.contains { $0.route != .synthetic && $0.request != .copyEnd }
    }

    /// Whether the next in order is not the server's to answer.
    private var isAnswerDue: Bool {
        guard let head = expectations.first else { return false }
        return head.route == .synthetic || (head.request == .copyEnd && !isCopyingIn)
    }

    /// Takes the requests that will not be answered because of a failure, the newest first, so that
    /// their effects can be undone in that order.
    public mutating func takeDropped() -> [Expectation] {
        guard !dropped.isEmpty else { return [] }
        defer { dropped.removeAll(keepingCapacity: true) }
        return dropped.reversed()
    }

    /// - Parameter hasFailed: whether the server has tried it.
    private mutating func drop(_ expectation: Expectation, hasFailed: Bool = false) {
        if expectation.isAboutStatement {
            dropped.append(expectation)
        } else if expectation.isAboutUnnamed {
            var loss = unnamedLoss ?? UnnamedLoss()
            if expectation.route != .pooler {
                if hasFailed { loss.hasFailed = true } else { loss.skippedCount += 1 }
            }
            unnamedLoss = loss
        }
    }

    // MARK: Answers

    /// Follows `bytes` from `start` to the next thing that the driver has to know of.
    ///
    /// - Parameters:
    ///   - bytes: what arrived, behind what was kept back before.
    ///   - start: where the last step ended, below `bytes.byteCount`.
    ///   - limit: the largest length field to accept.
    /// - Returns: a step that ends behind `start`, unless its event is `incomplete` or
    ///   `protocolViolation`.
    public mutating func scan(_ bytes: RawSpan, from start: Int, limit: Int) -> ServerStep {
        var offset = start
        var stretch = passingDisposition
        if bodyRemaining > 0 {
            let count = min(bodyRemaining, bytes.byteCount - start)
            bodyRemaining -= count
            offset += count
            if bodyRemaining == 0 && isAnswerDue {
                return ServerStep(end: offset, disposition: stretch, event: .answerDue)
            }
        }
        while offset < bytes.byteCount {
            let peeked: MessageHeader?
            do throws(WireError) {
                peeked = try MessageHeader(peeking: bytes, at: offset, limit: limit)
            } catch {
                return ServerStep(end: offset, disposition: stretch, event: .protocolViolation)
            }
            guard let header = peeked else {
                return ServerStep(end: offset, disposition: stretch, event: .incomplete)
            }
            let type = BackendMessageType(rawValue: header.typeByte)
            if isRow(type) && offset > start && stretch == .forward {
                // A row behind other messages of the same answer: nearly everything in a large result.
                offset = passRow(header, at: offset, of: bytes)
                continue
            }
            let disposition = disposition(of: type)
            if disposition != stretch {
                if offset > start {
                    return ServerStep(end: offset, disposition: stretch, event: .none)
                }
                stretch = disposition
            }
            let end = offset + header.messageByteCount
            if end > bytes.byteCount && isInspected(type, header) {
                return ServerStep(end: offset, disposition: stretch, event: .incomplete)
            }
            let event = received(type, header, at: offset, of: bytes)
            if case .protocolViolation = event {
                return ServerStep(end: offset, disposition: stretch, event: event)
            }
            passingDisposition = stretch
            offset = min(end, bytes.byteCount)
            bodyRemaining = end - offset
            if case .none = event { continue }
            return ServerStep(end: offset, disposition: stretch, event: event)
        }
        return ServerStep(end: offset, disposition: stretch, event: .none)
    }

    private func isRow(_ type: BackendMessageType) -> Bool {
        type == .dataRow || type == .copyData
    }

    /// Passes a DataRow or CopyData to the client, as far as it has arrived.
    ///
    /// - Returns: where the next message starts, or the end of `bytes`.
    private mutating func passRow(
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan
    ) -> Int {
        let end = offset + header.messageByteCount
        let arrivedEnd = min(end, bytes.byteCount)
        endedWithError = false
        passingDisposition = .forward
        bodyRemaining = end - arrivedEnd
        return arrivedEnd
    }

    private func disposition(of type: BackendMessageType) -> Disposition {
        guard let head = expectations.first else { return .forward }
        guard head.route == .pooler else {
            return skipsParameters && type == .parameterDescription ? .swallow : .forward
        }
        // What fails of the pooler's own requests within a batch of the client's fails for the client.
        return type == .errorResponse && head.isExtended && !isInOwnBatch ? .forward : .swallow
    }

    /// Whether the batch that is being answered was ended by the pooler itself.
    private var isInOwnBatch: Bool {
        expectations.first { $0.request == .sync }?.route == .pooler
    }

    /// Whether a message's body is looked at, so that all of it must be there.
    private func isInspected(_ type: BackendMessageType, _ header: MessageHeader) -> Bool {
        let isDescription = type == .rowDescription || type == .parameterDescription
        let limit = isDescription ? Self.descriptionLimit : Self.inspectionLimit
        guard header.bodyByteCount <= limit else { return false }
        switch type {
        case .readyForQuery, .parameterStatus, .errorResponse, .notificationResponse: return true
        case .parameterDescription, .rowDescription:
            return expectations.first?.wantsDescription ?? false
        case .commandComplete: return header.bodyByteCount <= CommandTag.limit
        default: return false
        }
    }

    private mutating func received(
        _ type: BackendMessageType,
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan
    ) -> ServerEvent {
        let bodyStart = offset + MessageHeader.byteCount
        endedWithError = type == .errorResponse
        switch type {
        case .dataRow, .copyData, .copyDone, .noticeResponse, .functionCallResponse,
            .copyOutResponse:
            return .none
        case .notificationResponse:
            return isInspected(type, header) ? .notification(start: offset) : .protocolViolation
        case .parameterDescription:
            guard let head = expectations.first, head.wantsDescription else {
                hasToldParameters = expectations.first?.request == .describe
                return .none
            }
            let bodyEnd = min(bodyStart + header.bodyByteCount, bytes.byteCount)
            return .parametersDescribed(bodyStart: bodyStart, bodyEnd: bodyEnd)
        case .rowDescription, .noData:
            guard let head = expectations.first, head.request == .describe else { return .none }
            guard head.wantsDescription else {
                hasToldParameters = false
                skipsParameters = false
                return answered()
            }
            _ = removeHead()
            let bodyEnd = min(bodyStart + header.bodyByteCount, bytes.byteCount)
            return .described(
                statement: head.statement,
                bodyStart: bodyStart,
                bodyEnd: type == .noData ? bodyStart : bodyEnd
            )
        case .commandComplete:
            let event = commandCompleted()
            guard let tag = CommandTag(header, bodyStart: bodyStart, of: bytes) else {
                return event
            }
            if tag.changesSchema { hasChangedSchema = true }
            return tag.discardsStatements
                ? .statementsDiscarded(withSession: tag.discardsSession) : event
        case .emptyQueryResponse, .portalSuspended:
            return expectations.first?.request == .execute ? answered() : .none
        case .parseComplete: return answered(.parse)
        case .bindComplete: return answered(.bind)
        case .closeComplete: return answered(.close)
        case .copyInResponse, .copyBothResponse:
            copyInStarted()
            return .none
        case .parameterStatus:
            let bodyEnd = bodyStart + header.bodyByteCount
            guard isInspected(type, header) else { return .protocolViolation }
            return .parameterStatus(bodyStart: bodyStart, bodyEnd: bodyEnd)
        case .errorResponse:
            let route = expectations.first?.route ?? .client
            isErrorUnasked = isClean
            failed()
            let bodyEnd = min(bodyStart + header.bodyByteCount, bytes.byteCount)
            return .failed(bodyStart: bodyStart, bodyEnd: bodyEnd, route: route)
        case .readyForQuery:
            guard header.bodyByteCount == 1 else { return .protocolViolation }
            return becameReady(bytes.byte(at: bodyStart))
        default:
            return .protocolViolation
        }
    }

    // MARK: What an answer changes

    /// Takes the head off the queue.
    ///
    /// Reported only if somebody has to act on it, or what follows goes to somebody else.
    private mutating func answered() -> ServerEvent {
        let expectation = removeHead()
        if expectation.route == .client { answersToBatch &+= 1 }
        return expectation.isAboutStatement || isAnswerDue
            || expectation.request == .bind && expectations.first?.route == .pooler
            ? .answered(expectation) : .none
    }

    private mutating func commandCompleted() -> ServerEvent {
        isCopyingIn = false
        return expectations.first?.request == .execute ? answered() : .none
    }

    /// The requests that the client sent behind the COPY without waiting: the server reads them as
    /// part of the COPY, and ignores Sync there, unless the COPY fails before it comes to them.
    private mutating func copyInStarted() {
        isCopyingIn = true
        copyEndWasSent = false
        copySyncCount = 0
        var index = expectations.startIndex + 1
        while index < expectations.endIndex {
            switch expectations[index].request {
            case .copyEnd:
                copyEndWasSent = true
                return
            case .sync:
                expectations.remove(at: index)
                copySyncCount += 1
            case .query, .parse, .bind, .describe, .execute, .close:
                index += 1
            }
        }
    }

    private mutating func failed() {
        if isCopyingIn {
            isCopyingIn = false
            if copySyncCount > 0 { isUncertain = true }
        }
        guard let head = expectations.first, head.isExtended else { return }
        var skipped = 0
        while skipped < expectations.count && expectations[skipped].request != .sync {
            skipped += 1
        }
        isSkippingToSync = skipped == expectations.count
        failedRequests = Array(expectations.prefix(skipped))
        // What the pooler asks for in front of a client's request is a part of it.
        let failed = failedRequests.firstIndex { $0.route != .pooler } ?? 0
        for index in 0..<skipped { drop(removeHead(), hasFailed: index <= failed) }
    }

    private mutating func becameReady(_ statusByte: UInt8) -> ServerEvent {
        guard let status = TransactionStatus(rawValue: statusByte) else {
            return .protocolViolation
        }
        removeCopyEnds()
        let route: Expectation.Route
        if let head = expectations.first, head.request == .query || head.request == .sync {
            route = head.route
            _ = removeHead()
            removeCopyEnds()
        } else if isUncertain {
            // A Sync that was thought to be part of a COPY was answered after all.
            route = .client
            isSkippingToSync = false
        } else {
            return .protocolViolation
        }
        transactionStatus = status
        answersToBatch = 0
        hasToldParameters = false
        if route == .client { skipsParameters = false }
        isCopyingIn = false
        isSettled = expectations.isEmpty
        if isSettled { hasExecuted = false }
        return .ready(status, route: route, isQuiet: isSettled && !isSkippingToSync)
    }

    private mutating func removeCopyEnds() {
        while expectations.first?.request == .copyEnd { _ = removeHead() }
    }

    /// Takes the head off the queue if it is a request of this kind, as it must be.
    private mutating func answered(_ request: Expectation.Request) -> ServerEvent {
        if expectations.first?.request == request { return answered() }
        // Taken for skipped, when it could not be told what the server skipped.
        return isUncertain ? .none : .protocolViolation
    }
}
