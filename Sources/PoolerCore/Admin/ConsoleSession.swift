// The protocol of one console client after its login: simple and extended query. It takes complete
// messages and says what to send and which command to run; it never runs one. PgBouncer's console
// knows simple queries only; drivers and exporters that always use the extended protocol work here.
//
//     received --> receive                      (answered, or nothing to answer)
//              --> run(command) --> completed   (the driver stops reading until then)
//              --> close
//
// A Query may hold several statements: `completed` then says what comes next.

public import PostgresWire

/// What the driver does next, after sending `bytes`.
public struct ConsoleStep: Equatable, Sendable {
    /// The step that follows the bytes.
    public enum Next: Equatable, Sendable {
        /// Go on reading.
        case receive
        /// Run the command, now or over time, and call `completed`. Until then `received` must not
        /// be called; if the client leaves, the session is dropped.
        case run(AdminCommand)
        /// Close the connection.
        case close
    }

    /// What to send, possibly nothing.
    public var bytes: [UInt8]
    /// What to do then.
    public var next: Next
    /// The error among the bytes, for the log.
    public var failure: AdminError?

    /// Joins the parts of a step.
    public init(bytes: [UInt8], next: Next, failure: AdminError? = nil) {
        self.bytes = bytes
        self.next = next
        self.failure = failure
    }
}

/// The state of a console client.
public struct ConsoleSession: Sendable {
    /// The most statements and the most portals that a client may keep.
    public static let nameLimit = 64

    /// What the client may do.
    public let role: AdminRole

    private enum Mode: Sendable {
        /// Waits for a message.
        case ready
        /// After an error in an extended query: ignores everything up to Sync.
        case skippingToSync
        /// A command of a simple query runs; `rest` comes after it.
        case runningQuery(AdminCommand, rest: ArraySlice<AdminStatement>)
        /// A command of a portal runs.
        case runningPortal(AdminCommand, name: ByteString, rowLimit: Int)
    }

    private struct Portal: Sendable {
        enum State: Sendable {
            /// Has not run.
            case bound
            /// Has rows that were not fetched.
            case suspended(EncodedRows, nextRow: Int)
            /// Has run to its end.
            case finished
        }

        /// nil for an empty query.
        let statement: AdminStatement?
        let formats: ResultFormats
        var state = State.bound
    }

    private var mode = Mode.ready
    private var statements: [ByteString: AdminStatement?] = [:]
    private var portals: [ByteString: Portal] = [:]
    private var writer = ByteWriter()
    private var failure: AdminError?

    /// Starts a session for a client that has logged in.
    public init(role: AdminRole) {
        self.role = role
    }

    /// Whether a command runs whose end has not been reported.
    public var isWaiting: Bool {
        switch mode {
        case .ready, .skippingToSync: false
        case .runningQuery, .runningPortal: true
        }
    }

    /// Takes one complete message.
    ///
    /// - Parameters:
    ///   - type: the message's type byte.
    ///   - body: what follows its length.
    /// - Returns: what to send and what to do then.
    public mutating func received(_ type: FrontendMessageType, body: RawSpan) -> ConsoleStep {
        precondition(!isWaiting, "a message was read while a command runs")
        if case .skippingToSync = mode, type != .sync, type != .terminate { return step(.receive) }
        do {
            switch type {
            case .query: return runQuery(try ConsoleMessages.query(body))
            case .parse: return parse(try ConsoleMessages.parse(body))
            case .bind: return bind(try ConsoleMessages.bind(body))
            case .describe: return describe(try ConsoleMessages.target(body))
            case .execute: return execute(try ConsoleMessages.execute(body))
            case .close: return close(try ConsoleMessages.target(body))
            case .flush: return step(.receive)
            case .sync: return sync()
            case .terminate: return step(.close)
            default: return refuse(.unsupportedMessage(type: type.rawValue))
            }
        } catch {
            return refuse(nil)
        }
    }

    /// Takes the outcome of the command that the last step named.
    public mutating func completed(_ outcome: ConsoleOutcome) -> ConsoleStep {
        switch mode {
        case .ready, .skippingToSync:
            preconditionFailure("no command runs")
        case .runningQuery(let command, let rest):
            mode = .ready
            if case .failed(let error) = outcome { return endQuery(error) }
            answerQuery(command, outcome)
            return runStatements(rest)
        case .runningPortal(let command, let name, let rowLimit):
            mode = .ready
            return answerPortal(name, command, outcome, rowLimit: rowLimit)
        }
    }

    // MARK: Simple query

    private mutating func runQuery(_ query: ByteString) -> ConsoleStep {
        statements[""] = nil
        portals = [:]
        let parsed: [AdminStatement]
        do {
            parsed = try AdminGrammar.parse(query)
        } catch {
            return endQuery(error)
        }
        if parsed.isEmpty { writer.message(.emptyQueryResponse) { _ in } }
        return runStatements(parsed[...])
    }

    private mutating func runStatements(_ statements: ArraySlice<AdminStatement>) -> ConsoleStep {
        var rest = statements
        while let statement = rest.popFirst() {
            let command: AdminCommand
            do {
                command = try statement.authorized(for: role)
            } catch {
                return endQuery(error)
            }
            guard let outcome = command.immediateOutcome else {
                mode = .runningQuery(command, rest: rest)
                return step(.run(command))
            }
            answerQuery(command, outcome)
        }
        return endQuery(nil)
    }

    private mutating func answerQuery(_ command: AdminCommand, _ outcome: ConsoleOutcome) {
        if let columns = command.resultColumns { writer.rowDescription(columns, .text) }
        writer.write(command.rows(outcome.snapshot, .text).bytes)
        writer.notices(of: command, outcome)
        writer.commandComplete(command)
    }

    private mutating func endQuery(_ error: AdminError?) -> ConsoleStep {
        if let error {
            failure = error
            writer.adminError(error)
        }
        writer.readyForQuery(.idle)
        return step(.receive)
    }

    // MARK: Extended query

    private mutating func parse(_ message: ConsoleMessages.Parse) -> ConsoleStep {
        let isUnnamed = message.statement.isEmpty
        guard isUnnamed || statements[message.statement] == nil else {
            return fail(.statementExists(message.statement))
        }
        guard isUnnamed || statements.count < Self.nameLimit else { return fail(.tooManyNames) }
        let parsed: [AdminStatement]
        do {
            parsed = try AdminGrammar.parse(message.query)
        } catch {
            return fail(error)
        }
        guard parsed.count <= 1 else { return fail(.multipleCommands) }
        statements[message.statement] = .some(parsed.first)
        return reply(.parseComplete)
    }

    private mutating func bind(_ message: ConsoleMessages.Bind) -> ConsoleStep {
        guard let statement = statements[message.statement] else {
            return fail(.noSuchStatement(message.statement))
        }
        let isUnnamed = message.portal.isEmpty
        guard isUnnamed || portals[message.portal] == nil else {
            return fail(.portalExists(message.portal))
        }
        guard isUnnamed || portals.count < Self.nameLimit else { return fail(.tooManyNames) }
        let columnCount = statement?.resultColumns?.count ?? 0
        guard let formats = message.formats, formats.fits(columnCount: columnCount) else {
            return fail(.invalidBind)
        }
        portals[message.portal] = Portal(statement: statement, formats: formats)
        return reply(.bindComplete)
    }

    private mutating func describe(_ target: ConsoleMessages.Target) -> ConsoleStep {
        switch target {
        case .statement(let name):
            guard let statement = statements[name] else { return fail(.noSuchStatement(name)) }
            writer.message(.parameterDescription) { $0.write(Int16(0)) }
            describe(statement, .text)
        case .portal(let name):
            guard let portal = portals[name] else { return fail(.noSuchPortal(name)) }
            describe(portal.statement, portal.formats)
        }
        return step(.receive)
    }

    private mutating func describe(_ statement: AdminStatement?, _ formats: ResultFormats) {
        if let columns = statement?.resultColumns {
            writer.rowDescription(columns, formats)
        } else {
            writer.message(.noData) { _ in }
        }
    }

    private mutating func execute(_ message: ConsoleMessages.Execute) -> ConsoleStep {
        guard let portal = portals[message.portal] else {
            return fail(.noSuchPortal(message.portal))
        }
        guard let statement = portal.statement else { return reply(.emptyQueryResponse) }
        let command: AdminCommand
        do {
            command = try statement.authorized(for: role)
        } catch {
            return fail(error)
        }
        switch portal.state {
        case .bound: break
        case .suspended(let rows, let nextRow):
            return sendRows(message.portal, command, rows, from: nextRow, limit: message.rowLimit)
        case .finished: return fail(.portalAlreadyRun(message.portal))
        }
        guard let outcome = command.immediateOutcome else {
            mode = .runningPortal(command, name: message.portal, rowLimit: message.rowLimit)
            return step(.run(command))
        }
        return answerPortal(message.portal, command, outcome, rowLimit: message.rowLimit)
    }

    private mutating func answerPortal(
        _ name: ByteString,
        _ command: AdminCommand,
        _ outcome: ConsoleOutcome,
        rowLimit: Int
    ) -> ConsoleStep {
        if case .failed(let error) = outcome { return fail(error) }
        writer.notices(of: command, outcome)
        let rows = command.rows(outcome.snapshot, portals[name]?.formats ?? .text)
        return sendRows(name, command, rows, from: 0, limit: rowLimit)
    }

    /// Sends at most `limit` rows, or all when that is not positive.
    private mutating func sendRows(
        _ name: ByteString,
        _ command: AdminCommand,
        _ rows: EncodedRows,
        from first: Int,
        limit: Int
    ) -> ConsoleStep {
        let left = rows.ends.count - first
        let count = limit > 0 ? min(limit, left) : left
        if count > 0 {
            let start = first == 0 ? 0 : rows.ends[first - 1]
            writer.write(rows.bytes[start..<rows.ends[first + count - 1]])
        }
        // Like PostgreSQL: a limit that was reached exactly suspends too, and the next Execute
        // finds nothing.
        if limit > 0, count == limit {
            portals[name]?.state = .suspended(rows, nextRow: first + count)
            return reply(.portalSuspended)
        }
        portals[name]?.state = .finished
        writer.commandComplete(command)
        return step(.receive)
    }

    private mutating func close(_ target: ConsoleMessages.Target) -> ConsoleStep {
        switch target {
        case .statement(let name): statements[name] = nil
        case .portal(let name): portals[name] = nil
        }
        return reply(.closeComplete)
    }

    private mutating func sync() -> ConsoleStep {
        mode = .ready
        portals = [:]
        writer.readyForQuery(.idle)
        return step(.receive)
    }

    // MARK: Steps

    private mutating func reply(_ type: BackendMessageType) -> ConsoleStep {
        writer.message(type) { _ in }
        return step(.receive)
    }

    /// Answers an error within an extended query.
    private mutating func fail(_ error: AdminError) -> ConsoleStep {
        mode = .skippingToSync
        failure = error
        writer.adminError(error)
        return step(.receive)
    }

    /// Ends the session over a message that does not belong here, as PgBouncer.
    private mutating func refuse(_ error: AdminError?) -> ConsoleStep {
        if let error {
            failure = error
            writer.adminError(error)
            writer.readyForQuery(.idle)
        }
        writer.errorResponse(ConsoleAnswer.badPacket)
        return step(.close)
    }

    private mutating func step(_ next: ConsoleStep.Next) -> ConsoleStep {
        defer {
            writer = ByteWriter()
            failure = nil
        }
        return ConsoleStep(bytes: writer.bytes, next: next, failure: failure)
    }
}

extension ConsoleOutcome {
    fileprivate var snapshot: ConsoleSnapshot {
        switch self {
        case .snapshot(let snapshot): snapshot
        case .done, .noticed, .failed: ConsoleSnapshot()
        }
    }
}

extension AdminStatement {
    fileprivate var resultColumns: [ColumnDescription]? {
        switch command {
        case .success(let command): command.resultColumns
        case .failure: nil
        }
    }
}
