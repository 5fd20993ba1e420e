import PoolerCore
import PostgresWire
import Testing

/// Swift Testing has a type of the same name.
typealias Expectation = PoolerCore.Expectation

/// Whole messages, as they come over the wire.
enum Wire {
    static let parseComplete = backend(.parseComplete)
    static let bindComplete = backend(.bindComplete)
    static let closeComplete = backend(.closeComplete)
    static let noData = backend(.noData)
    static let portalSuspended = backend(.portalSuspended)
    static let emptyQueryResponse = backend(.emptyQueryResponse)
    static let copyInResponse = backend(.copyInResponse, [0, 0, 1, 0, 0])
    static let copyOutResponse = backend(.copyOutResponse, [0, 0, 1, 0, 0])
    static let copyDone = backend(.copyDone)
    static let parameterDescription = backend(.parameterDescription, [0, 1, 0, 0, 0, 25])
    static let functionCallResponse = backend(.functionCallResponse, [0, 0, 0, 1, 7])
    static let notice = written { $0.noticeResponse(ErrorResponse(.notice, "00000", "by the way")) }
    static let notification = backend(.notificationResponse, [0, 0, 0, 9] + Array("news\0\0".utf8))
    static let rowDescription = written { $0.rowDescription([("a", .text)]) }

    static func row(_ text: ByteString) -> [UInt8] { written { $0.dataRow([text]) } }

    static func copyData(_ text: String) -> [UInt8] { backend(.copyData, Array(text.utf8)) }

    static func complete(_ tag: String) -> [UInt8] { written { $0.commandComplete(tag) } }

    static func ready(_ status: TransactionStatus = .idle) -> [UInt8] {
        written { $0.readyForQuery(status) }
    }

    static func parameterStatus(_ name: ByteString, _ value: ByteString) -> [UInt8] {
        written { $0.parameterStatus(name: name, value: value) }
    }

    static func error(_ message: String, _ severity: Severity = .error) -> [UInt8] {
        written { $0.errorResponse(ErrorResponse(severity, "XX000", message)) }
    }

    static func backend(_ type: BackendMessageType, _ body: [UInt8] = []) -> [UInt8] {
        written { $0.message(type) { $0.write(body) } }
    }

    static func frontend(_ type: FrontendMessageType, _ body: String = "") -> [UInt8] {
        written { $0.message(type) { $0.write(body.utf8) } }
    }

    static func written(_ write: (inout ByteWriter) -> Void) -> [UInt8] {
        var writer = ByteWriter()
        write(&writer)
        return writer.bytes
    }
}

/// A server's answers, followed as the driver follows them: what cannot be judged yet is held and
/// put in front of what comes next, and answers that are due are put in between.
struct AnswerFollower: ~Copyable {
    /// What the driver has to act on.
    enum Note: Equatable {
        case ready(TransactionStatus, Expectation.Route = .client, isQuiet: Bool)
        case reported(ParameterStatus)
        case statementsDiscarded
        case answered(Expectation)
        /// What the pooler wanted to know of a statement: its parameters, its columns.
        case parameters([UInt8])
        case described(UInt32, [UInt8])
        case failed(String, Expectation.Route = .client)
        /// The pooler gave this answer.
        case gave(Expectation)
        /// This request will not be answered.
        case undone(Expectation)
        case violation
    }

    private(set) var machine = ServerMachine()
    /// What the client has got.
    private(set) var forwarded: [UInt8] = []
    private(set) var notes: [Note] = []
    private var held: [UInt8] = []

    /// Whether the bytes end between two messages.
    var holdsNothing: Bool { held.isEmpty && machine.bodyRemaining == 0 }

    mutating func send(_ expectations: [Expectation]) {
        for expectation in expectations { machine.expect(expectation) }
        settle()
    }

    mutating func becomeUncertain() {
        machine.becomeUncertain()
    }

    mutating func receive(_ chunk: [UInt8]) {
        guard notes.last != .violation else { return }
        let bytes = held + chunk
        held = []
        var offset = 0
        while offset < bytes.count {
            let step = machine.scan(bytes.span.bytes, from: offset, limit: 1 << 30)
            guard step.end >= offset, step.end <= bytes.count else {
                Issue.record("a step from \(offset) to \(step.end) of \(bytes.count)")
                return
            }
            if step.disposition == .forward { forwarded += bytes[offset..<step.end] }
            let isStuck = step.end == offset
            offset = step.end
            switch step.event {
            case .none:
                #expect(!isStuck, "nothing happened at \(offset)")
                if isStuck { return }
                continue
            case .incomplete:
                held = Array(bytes[offset...])
                offset = bytes.count
            case .protocolViolation:
                notes.append(.violation)
                return
            default:
                note(step.event, bytes)
            }
            settle()
        }
    }

    private mutating func note(_ event: ServerEvent, _ bytes: [UInt8]) {
        switch event {
        case .none, .incomplete, .answerDue, .protocolViolation:
            break
        case .ready(let status, let route, let isQuiet):
            notes.append(.ready(status, route, isQuiet: isQuiet))
        case .parameterStatus(let start, let end):
            let body = Array(bytes[start..<end])
            let status = try? ParameterStatus(decoding: body.span.bytes)
            notes.append(.reported(status ?? ParameterStatus(name: "", value: "")))
        case .notification(let start):
            #expect(bytes[start] == UInt8(ascii: "A"))
        case .statementsDiscarded:
            notes.append(.statementsDiscarded)
        case .answered(let expectation):
            notes.append(.answered(expectation))
        case .parametersDescribed(let start, let end):
            notes.append(.parameters(Array(bytes[start..<end])))
        case .described(let statement, let start, let end):
            notes.append(.described(statement, Array(bytes[start..<end])))
        case .failed(let start, let end, let route):
            let body = Array(bytes[start..<end])
            let response = try? ErrorResponse(decoding: body.span.bytes)
            notes.append(.failed(response?.message.text ?? "", route))
        }
    }

    private mutating func settle() {
        for expectation in machine.takeDropped() { notes.append(.undone(expectation)) }
        while let due = machine.takeDueAnswer() {
            forwarded += due.request == .close ? Wire.closeComplete : Wire.parseComplete
            notes.append(.gave(due))
        }
    }
}

/// A client's messages, followed as the driver follows them when it tracks no statements.
struct RequestFollower {
    private(set) var machine = ClientMachine()
    private(set) var forwarded: [UInt8] = []
    private(set) var messages: [ClientRequest] = []
    private(set) var hasViolated = false
    private var held: [UInt8] = []
    private let limit: Int

    init(limit: Int = 1 << 30) {
        self.limit = limit
    }

    /// Whether the bytes end between two messages.
    var holdsNothing: Bool { held.isEmpty && machine.isBetweenMessages }

    mutating func receive(_ chunk: [UInt8]) {
        guard !hasViolated else { return }
        let bytes = held + chunk
        held = []
        var offset = 0
        while offset < bytes.count {
            let start = offset
            switch machine.next(bytes.span.bytes, at: offset, limit: limit) {
            case .body(let end, _):
                offset = end
            case .message(let request, let header):
                messages.append(request)
                offset = machine.pass(header, at: offset, of: bytes.span.bytes, .forward)
            case .incomplete:
                held = Array(bytes[offset...])
                return
            case .protocolViolation:
                hasViolated = true
                return
            }
            guard offset > start, offset <= bytes.count else {
                Issue.record("a step from \(start) to \(offset) of \(bytes.count)")
                return
            }
            forwarded += bytes[start..<offset]
        }
    }
}
