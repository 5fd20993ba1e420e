import PoolerCore
import PostgresWire
import TestSupport

/// What a client (or the pooler in front of it) sends, as far as a server's answers depend on it.
enum ModelRequest: Equatable {
    enum Query: CaseIterable {
        case plain, fails, begins, commits, several, copiesOut, copiesIn, discards, isEmpty
    }

    case query(Query)
    case parse(fails: Bool)
    case bind(fails: Bool)
    case describe
    case execute(Query)
    case close
    case sync
    case flush
    case copyData(fails: Bool)
    case copyDone
    case copyFail
    /// Never reaches the server: the pooler answers it.
    case synthetic

    /// What the pooler notes when it sends this.
    var expectation: Expectation.Request? {
        switch self {
        case .query: .query
        case .parse, .synthetic: .parse
        case .bind: .bind
        case .describe: .describe
        case .execute: .execute
        case .close: .close
        case .sync: .sync
        case .copyDone, .copyFail: .copyEnd
        case .flush, .copyData: nil
        }
    }
}

/// A server as PostgreSQL's documentation describes it, one request after the other.
struct ModelServer {
    struct Sent {
        let request: ModelRequest
        let route: Expectation.Route
    }

    private enum Copy {
        case none, simple, extended
    }

    private(set) var status = TransactionStatus.idle
    private(set) var isSkipping = false
    private var copy = Copy.none
    private(set) var inbox: [Sent] = []
    /// Answered, and on the way to the pooler.
    private(set) var wire: [UInt8] = []
    /// What the client must have got in the end.
    private(set) var forClient: [UInt8] = []

    /// Whether nothing is under way that the server will answer.
    var isAtRest: Bool {
        wire.isEmpty && !isSkipping && copy == .none
            && inbox.allSatisfy { sent in
                switch sent.request {
                case .copyData, .copyDone, .copyFail, .flush: true
                default: false
                }
            }
    }

    mutating func send(_ request: ModelRequest, _ route: Expectation.Route) {
        inbox.append(Sent(request: request, route: route))
    }

    mutating func takeBytes(_ count: Int) -> [UInt8] {
        defer { wire.removeFirst(min(count, wire.count)) }
        return Array(wire.prefix(count))
    }

    /// Reads the next request, if there is one.
    mutating func step() {
        guard !inbox.isEmpty else { return }
        let sent = inbox.removeFirst()
        if copy != .none {
            readDuringCopy(sent)
        } else if isSkipping {
            guard sent.request == .sync else { return }
            isSkipping = false
            answer(sent, Wire.ready(status))
        } else {
            read(sent)
        }
    }

    private mutating func answer(_ sent: Sent, _ messages: [UInt8]...) {
        for message in messages {
            wire += message
            if sent.route != .pooler { forClient += message }
        }
    }

    private mutating func read(_ sent: Sent) {
        switch sent.request {
        case .query(let query):
            run(query, sent)
            if copy == .none { answer(sent, Wire.ready(status)) }
        case .parse(let fails), .bind(let fails):
            if fails { return fail(sent, isExtended: true) }
            answer(
                sent,
                sent.request.expectation == .parse ? Wire.parseComplete : Wire.bindComplete
            )
        case .describe:
            answer(sent, Wire.parameterDescription, Wire.rowDescription)
        case .execute(let query):
            run(query, sent)
        case .close:
            answer(sent, Wire.closeComplete)
        case .sync:
            answer(sent, Wire.ready(status))
        case .synthetic:
            forClient += Wire.parseComplete
        case .flush, .copyData, .copyDone, .copyFail:
            break
        }
    }

    private mutating func run(_ query: ModelRequest.Query, _ sent: Sent) {
        let isExtended = sent.request.expectation == .execute
        if status == .inFailedTransaction && query != .commits {
            return fail(sent, isExtended: isExtended)
        }
        switch query {
        case .plain: answer(sent, Wire.row("1"), Wire.notice, Wire.complete("SELECT 1"))
        case .fails: fail(sent, isExtended: isExtended)
        case .begins:
            status = .inTransaction
            answer(sent, Wire.complete("BEGIN"))
        case .commits:
            status = .idle
            answer(sent, Wire.complete("COMMIT"))
        case .several:
            answer(sent, Wire.row("1"), Wire.complete("SELECT 1"))
            // Execute runs one statement only.
            if !isExtended { answer(sent, Wire.complete("SET"), Wire.parameterStatus("a", "b")) }
        case .copiesOut:
            answer(sent, Wire.copyOutResponse, Wire.copyData("1\n"), Wire.copyDone)
            answer(sent, Wire.complete("COPY 1"))
        case .copiesIn:
            copy = isExtended ? .extended : .simple
            answer(sent, Wire.copyInResponse)
        case .discards: answer(sent, Wire.complete("DISCARD ALL"))
        case .isEmpty: answer(sent, Wire.emptyQueryResponse)
        }
    }

    private mutating func readDuringCopy(_ sent: Sent) {
        switch sent.request {
        case .copyData(let fails):
            if fails { endCopy(sent, succeeds: false) }
        case .copyDone: endCopy(sent, succeeds: true)
        case .copyFail: endCopy(sent, succeeds: false)
        case .sync, .flush: break
        default: endCopy(sent, succeeds: false)
        }
    }

    private mutating func endCopy(_ sent: Sent, succeeds: Bool) {
        let ended = copy
        copy = .none
        let client = Sent(request: sent.request, route: .client)
        if succeeds {
            answer(client, Wire.complete("COPY 1"))
        } else {
            fail(client, isExtended: ended == .extended)
        }
        if ended == .simple { answer(client, Wire.ready(status)) }
    }

    /// The client hears of the errors of the pooler's own Parse, too.
    private mutating func fail(_ sent: Sent, isExtended: Bool) {
        if status == .inTransaction { status = .inFailedTransaction }
        isSkipping = isExtended
        answer(
            Sent(request: sent.request, route: isExtended ? .client : sent.route),
            Wire.error("no")
        )
    }
}

extension SplitMix {
    /// Something that a client may send in one go, ended so that the server answers it.
    mutating func program() -> [ModelServer.Sent] {
        switch number(0...5) {
        case 0, 1:
            let query = ModelRequest.Query.allCases[number(0...8)]
            let isOwn = oneIn(4) && query != .copiesIn && query != .begins
            let sent = ModelServer.Sent(request: .query(query), route: isOwn ? .pooler : .client)
            return [sent] + (query == .copiesIn ? copyData(mayFail: true) : [])
        case 2:
            // A Sync that must not be answered, and the data in one piece with it.
            let syncs = [ModelServer.Sent(request: .sync, route: .client)]
            return batch(count: 2) + [client(.execute(.copiesIn))] + syncs
                + copyData(mayFail: false)
                + [client(.sync)]
        case 3:
            return batch(count: 2) + [client(.execute(.copiesIn))] + copyData(mayFail: true)
                + [client(.sync)]
        default:
            return batch(count: number(0...8)) + [client(.sync)]
        }
    }

    private func client(_ request: ModelRequest) -> ModelServer.Sent {
        ModelServer.Sent(request: request, route: .client)
    }

    private mutating func copyData(mayFail: Bool) -> [ModelServer.Sent] {
        var sent: [ModelServer.Sent] = []
        for _ in 0..<number(0...3) {
            sent.append(client(.copyData(fails: mayFail && oneIn(4))))
        }
        return sent + [client(mayFail && oneIn(4) ? .copyFail : .copyDone)]
    }

    private mutating func batch(count: Int) -> [ModelServer.Sent] {
        (0..<count).map { _ in
            switch number(0...8) {
            case 0: client(.parse(fails: oneIn(8)))
            case 1: ModelServer.Sent(request: .parse(fails: oneIn(8)), route: .pooler)
            case 2: ModelServer.Sent(request: .synthetic, route: .synthetic)
            case 3, 4: client(.bind(fails: oneIn(8)))
            case 5: client(.describe)
            case 6: client(oneIn(2) ? .close : .flush)
            default: client(.execute(execution()))
            }
        }
    }

    private mutating func execution() -> ModelRequest.Query {
        let queries = ModelRequest.Query.allCases.filter { $0 != .copiesIn }
        return queries[number(0...(queries.count - 1))]
    }
}
