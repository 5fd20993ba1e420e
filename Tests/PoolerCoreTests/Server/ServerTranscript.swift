import PoolerCore
import PostgresWire
import Testing

/// A conversation with a server, and what the driver must make of it.
struct ServerTranscript: CustomTestStringConvertible, Sendable {
    enum Step {
        case sent([Expectation])
        case uncertain
        case received([[UInt8]])
    }

    let name: String
    let steps: [Step]
    /// What the client gets; nil for everything that was received.
    let forwarded: [[UInt8]]?
    let notes: [AnswerFollower.Note]
    /// Whether the server can be released at the end.
    let isCleanAtEnd: Bool

    var testDescription: String { name }

    init(
        _ name: String,
        _ steps: Step...,
        forwards forwarded: [[UInt8]]? = nil,
        notes: [AnswerFollower.Note],
        isCleanAtEnd: Bool = true
    ) {
        self.name = name
        self.steps = steps
        self.forwarded = forwarded
        self.notes = notes
        self.isCleanAtEnd = isCleanAtEnd
    }

    /// The bytes that the client must have got at the end.
    var forwardedBytes: [UInt8] {
        if let forwarded { return Array(forwarded.joined()) }
        return steps.flatMap { step -> [UInt8] in
            guard case .received(let messages) = step else { return [] }
            return Array(messages.joined())
        }
    }

    /// Follows the conversation with the bytes of each step cut by `cut`.
    func follow(_ cut: (_ step: Int, _ bytes: [UInt8]) -> [[UInt8]]) -> AnswerFollower {
        var follower = AnswerFollower()
        for (index, step) in steps.enumerated() {
            switch step {
            case .sent(let expectations):
                follower.send(expectations)
            case .uncertain:
                follower.becomeUncertain()
            case .received(let messages):
                for chunk in cut(index, Array(messages.joined())) { follower.receive(chunk) }
            }
        }
        return follower
    }
}

/// A request of the client's.
func ask(_ requests: Expectation.Request...) -> [Expectation] {
    requests.map { Expectation($0, .client) }
}

/// A client's request about a tracked statement.
func ask(_ request: Expectation.Request, statement: UInt32) -> Expectation {
    Expectation(request, .client, statement: statement)
}

/// A request of the pooler's.
func own(
    _ request: Expectation.Request,
    statement: UInt32 = Expectation.noStatement
) -> Expectation {
    Expectation(request, .pooler, statement: statement)
}

/// A client's request that no server sees.
func synthetic(_ request: Expectation.Request, statement: UInt32) -> Expectation {
    Expectation(request, .synthetic, statement: statement)
}
