import PoolerCore
import PostgresWire
import Testing

/// Every kind of request with every type of answer.
@Suite struct ServerMachineTests {
    private static let columns: [Expectation.Request?] = [
        nil, .query, .sync, .parse, .bind, .describe, .execute, .close,
    ]

    /// What a message does when it comes first, by what the server owes: nothing, or an answer to one
    /// request, in the order of `columns`.
    ///
    ///     .  passes, and the answer is still owed   x  protocol violation
    ///     a  answers the request                    r  ready
    ///     n  notifies
    ///     p  reports a setting                      c  begins a COPY from the client
    ///     f  fails, ReadyForQuery still to come     s  fails, and the server skips to the next Sync
    private static let rows: [(type: BackendMessageType, outcomes: String)] = [
        //                     none query sync parse bind describe execute close
        (.authentication, "x x x x x x x x"),
        (.backendKeyData, "x x x x x x x x"),
        (.bindComplete, "x x x x a x x x"),
        (.closeComplete, "x x x x x x x a"),
        (.commandComplete, ". . . . . . a ."),
        (.copyBothResponse, "c c c c c c c c"),
        (.copyData, ". . . . . . . ."),
        (.copyDone, ". . . . . . . ."),
        (.copyInResponse, "c c c c c c c c"),
        (.copyOutResponse, ". . . . . . . ."),
        (.dataRow, ". . . . . . . ."),
        (.emptyQueryResponse, ". . . . . . a ."),
        (.errorResponse, "f f f s s s s s"),
        (.functionCallResponse, ". . . . . . . ."),
        (.negotiateProtocolVersion, "x x x x x x x x"),
        (.noData, ". . . . . a . ."),
        (.noticeResponse, ". . . . . . . ."),
        (.notificationResponse, "n n n n n n n n"),
        (.parameterDescription, ". . . . . . . ."),
        (.parameterStatus, "p p p p p p p p"),
        (.parseComplete, "x x x a x x x x"),
        (.portalSuspended, ". . . . . . a ."),
        (.readyForQuery, "x r r x x x x x"),
        (.rowDescription, ". . . . . a . ."),
    ]

    @Test(arguments: rows, [Expectation.Route.client, .pooler])
    func firstAnswer(
        _ row: (type: BackendMessageType, outcomes: String),
        route: Expectation.Route
    ) throws {
        let outcomes = row.outcomes.filter { $0 != " " }
        try #require(outcomes.count == Self.columns.count)
        for (request, outcome) in zip(Self.columns, outcomes) {
            let expectation = request.map { Expectation($0, route, statement: 7) }
            try check(row.type, expectation, outcome)
        }
    }

    @Test func bytesThatAreNoTypesAreViolations() {
        let known = Self.rows.map(\.type.rawValue)
        for byte in UInt8.min...UInt8.max where !known.contains(byte) {
            var machine = ServerMachine()
            let step = Self.scan(&machine, Wire.backend(BackendMessageType(rawValue: byte)))
            #expect(step.end == 0 && step.event == .protocolViolation, "\(byte)")
        }
    }

    private func check(
        _ type: BackendMessageType,
        _ expectation: Expectation?,
        _ outcome: Character
    ) throws {
        var machine = ServerMachine()
        if let expectation { machine.expect(expectation) }
        let message = Self.message(type)
        let step = Self.scan(&machine, message)
        let comment: Comment =
            "\(Character(UnicodeScalar(type.rawValue))) for \(String(describing: expectation))"

        // Bind names a statement, but changes nothing of it; so does Describe of a client.
        let changes =
            expectation?.request != .bind
            && (expectation?.request != .describe || expectation?.route == .pooler)

        #expect(step.end == (outcome == "x" ? 0 : message.count), comment)
        let isDescription = expectation?.request == .describe && expectation?.route == .pooler
        let expected =
            (isDescription ? Self.description(type, message) : nil)
            ?? event(outcome, expectation, message)
        #expect(step.event == expected, comment)
        let isSwallowed = expectation?.route == .pooler && outcome != "s"
        #expect(outcome == "x" || step.disposition == (isSwallowed ? .swallow : .forward), comment)
        #expect(machine.isSkippingToSync == (outcome == "s"), comment)
        #expect(machine.isCopyingIn == (outcome == "c"), comment)
        #expect(machine.endedWithError == (type == .errorResponse), comment)
        #expect(machine.isSettled == (expectation == nil || outcome == "r"), comment)
        #expect(
            machine.takeDropped()
                == (outcome == "s" && changes ? [expectation].compactMap { $0 } : []),
            comment
        )
        let canBeOutdated =
            expectation?.request == .bind || expectation?.request == .describe
        let hasFailed = outcome == "s" && canBeOutdated && expectation?.route == .client
        #expect(machine.failedStatement == (hasFailed ? 7 : nil), comment)
        let isOwed = !["a", "r", "s"].contains(outcome)
        #expect(machine.takeAll() == (isOwed ? [expectation].compactMap { $0 } : []), comment)
    }

    private func event(
        _ outcome: Character,
        _ expectation: Expectation?,
        _ message: [UInt8]
    ) -> ServerEvent? {
        let route = expectation?.route ?? .client
        return switch outcome {
        case ".", "c": ServerEvent.none
        case "a":
            expectation.map {
                $0.request == .bind || $0.request == .describe ? ServerEvent.none : .answered($0)
            }
        case "f", "s": .failed(bodyStart: 5, bodyEnd: message.count, route: route)
        case "n": .notification(start: 0)
        case "p": .parameterStatus(bodyStart: 5, bodyEnd: message.count)
        case "r": .ready(.inTransaction, route: route, isQuiet: true)
        case "x": .protocolViolation
        default: nil
        }
    }

    /// What the machine says of an answer to the pooler's own Describe of a statement.
    private static func description(_ type: BackendMessageType, _ message: [UInt8]) -> ServerEvent?
    {
        switch type {
        case .parameterDescription: .parametersDescribed(bodyStart: 5, bodyEnd: message.count)
        case .rowDescription: .described(statement: 7, bodyStart: 5, bodyEnd: message.count)
        case .noData: .described(statement: 7, bodyStart: 5, bodyEnd: 5)
        default: nil
        }
    }

    private static func message(_ type: BackendMessageType) -> [UInt8] {
        switch type {
        case .readyForQuery: Wire.ready(.inTransaction)
        case .errorResponse: Wire.error("no")
        case .parameterStatus: Wire.parameterStatus("TimeZone", "UTC")
        case .commandComplete: Wire.complete("SELECT 1")
        default: Wire.backend(type, [0, 0])
        }
    }

    static func scan(_ machine: inout ServerMachine, _ bytes: [UInt8]) -> ServerStep {
        machine.scan(bytes.span.bytes, from: 0, limit: 1 << 20)
    }
}

/// What a server may not send, or only in parts.
@Suite struct ServerMachineLimitTests {
    @Test(arguments: [[], [0x49, 0x49], [0x00], [0x69]] as [[UInt8]])
    func readyForQueryNeedsOneValidByte(_ body: [UInt8]) {
        var machine = ServerMachine()
        machine.expect(Expectation(.sync, .client))
        let step = ServerMachineTests.scan(&machine, Wire.backend(.readyForQuery, body))
        #expect(step.event == .protocolViolation)
    }

    @Test(
        arguments: [[0x5A, 0, 0, 0, 3], [0x44, 0, 0x10, 0, 1], [0x44, 255, 255, 255, 255]]
            as [[UInt8]]
    )
    func lengthsOutOfBoundsAreViolations(_ header: [UInt8]) {
        var machine = ServerMachine()
        let row = Wire.row("a")
        let step = ServerMachineTests.scan(&machine, row + header)
        #expect(step.end == row.count && step.event == .protocolViolation)
        #expect(step.disposition == .forward)
    }

    /// An error so long that it is not kept until it is complete is an error all the same.
    @Test(arguments: [10, 40_000, 70_000])
    func longErrorsPassInParts(_ firstByteCount: Int) {
        var follower = AnswerFollower()
        follower.send(ask(.query))
        let error = Wire.error(String(repeating: "x", count: 80_000))
        follower.receive(Array(error.prefix(firstByteCount)))
        follower.receive(Array(error.dropFirst(firstByteCount)))
        follower.receive(Wire.ready())
        #expect(follower.forwarded == error + Wire.ready())
        #expect(follower.notes.count == 2)
        #expect(follower.machine.isClean == true)
    }

    /// Whether a setting's value is too long does not depend on how it arrives.
    @Test(arguments: [10, 40_000, 70_020])
    func longParameterStatusIsAViolation(_ firstByteCount: Int) {
        var follower = AnswerFollower()
        let value = ByteString([UInt8](repeating: 120, count: 70_000))
        let status = Wire.parameterStatus("search_path", value)
        follower.receive(Array(status.prefix(firstByteCount)))
        follower.receive(Array(status.dropFirst(firstByteCount)))
        #expect(follower.notes == [.violation])
    }

    @Test func aRowIsNeverHeld() {
        var follower = AnswerFollower()
        follower.send(ask(.query))
        let row = Wire.row(ByteString([UInt8](repeating: 1, count: 200_000)))
        for chunk in [row.prefix(5), row.dropFirst(5).prefix(100_000)] {
            follower.receive(Array(chunk))
        }
        #expect(follower.forwarded.count == 100_005)
        #expect(follower.machine.bodyRemaining == row.count - 100_005)
        #expect(follower.machine.isClean == false)
        follower.receive(Array(row.dropFirst(100_005)))
        #expect(follower.holdsNothing == true)
    }

    /// The client may ask for something while a message of the server's is half through.
    @Test(arguments: 1..<Wire.notice.count)
    func nothingGetsIntoTheMiddleOfAMessage(_ firstByteCount: Int) {
        var follower = AnswerFollower()
        follower.receive(Array(Wire.notice.prefix(firstByteCount)))
        follower.send([synthetic(.parse, statement: 1)])
        follower.receive(Array(Wire.notice.dropFirst(firstByteCount)))
        #expect(
            follower.forwarded
                == (firstByteCount < MessageHeader.byteCount
                    ? Wire.parseComplete + Wire.notice : Wire.notice + Wire.parseComplete)
        )
        #expect(follower.notes == [.gave(synthetic(.parse, statement: 1))])
    }

    @Test func whatIsOwedIsTold() {
        var machine = ServerMachine()
        #expect(machine.isClean && !machine.owesClient && !machine.owesStatements)
        machine.expect(own(.query))
        #expect(!machine.isSettled && !machine.owesClient && !machine.owesStatements)
        machine.expect(ask(.parse, statement: 3))
        #expect(machine.owesClient && machine.owesStatements)
        #expect(machine.takeAll() == [own(.query), ask(.parse, statement: 3)])
        #expect(!machine.owesClient && !machine.isClean)
    }

    /// DEALLOCATE ALL: nothing behind it may count on a statement until it has been answered, but it
    /// leaves no statement of a later request in doubt by itself.
    @Test func theEndOfStatementsIsOwed() {
        for hasFailed in [false, true] {
            var follower = AnswerFollower()
            follower.send(ask(.bind))
            #expect(follower.machine.owesEndOfStatements == false)
            follower.send([ask(.execute, statement: Expectation.unnumberedStatement)])
            #expect(follower.machine.owesEndOfStatements && !follower.machine.owesStatements)
            #expect(follower.machine.hasNamedInDoubt == false)
            follower.send(ask(.sync))
            #expect(follower.machine.hasNamedInDoubt == true)
            follower.receive(
                Wire.bindComplete + (hasFailed ? Wire.error("no") : Wire.complete("DEALLOCATE ALL"))
            )
            #expect(!follower.machine.owesEndOfStatements && !follower.machine.hasNamedInDoubt)
        }
        var machine = ServerMachine()
        machine.expect(ask(.execute, statement: Expectation.unnumberedStatement))
        #expect(machine.takeAll().count == 1 && !machine.owesEndOfStatements)
    }

    /// In a failed transaction nothing is executed, until something has been sent that could end it.
    @Test func aFailedTransactionRefusesStatements() {
        var follower = AnswerFollower()
        follower.send(ask(.query))
        follower.receive(Wire.error("no") + Wire.ready(.inFailedTransaction))
        #expect(follower.machine.refusesStatements == true)
        follower.send(ask(.parse, .bind))
        #expect(follower.machine.refusesStatements == true)
        follower.send(ask(.execute))
        #expect(follower.machine.refusesStatements == false)
        follower.send(ask(.sync))
        follower.receive(
            Wire.parseComplete + Wire.bindComplete + Wire.complete("SAVEPOINT")
                + Wire.ready(.inFailedTransaction)
        )
        #expect(follower.machine.refusesStatements == true)
        follower.send(ask(.query))
        follower.receive(Wire.complete("ROLLBACK") + Wire.ready())
        #expect(follower.machine.refusesStatements == false)
    }

    @Test func uncertaintyLasts() {
        var follower = AnswerFollower()
        follower.becomeUncertain()
        follower.send(ask(.sync))
        follower.receive(Wire.ready())
        #expect(follower.machine.isUncertain && !follower.machine.isClean)
    }
}
