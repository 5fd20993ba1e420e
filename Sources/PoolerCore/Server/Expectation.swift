// What a server still owes: one entry for each message sent to it that it will answer.
//
// Answers come in the order of the requests (PostgreSQL documentation, section 55.2.4
// "Pipelining"), so the entry at the head says what the next answer is about, whether the client
// or the pooler asked for it, and what is to be undone when it fails.

/// One answer that is still to come.
public struct Expectation: Equatable, BitwiseCopyable, Sendable {
    /// What kind of request is to be answered.
    public enum Request: UInt8, BitwiseCopyable, Sendable {
        /// Query or FunctionCall: ends with ReadyForQuery.
        case query
        /// Sync: ends with ReadyForQuery.
        case sync
        /// Parse: ends with ParseComplete.
        case parse
        /// Bind: ends with BindComplete.
        case bind
        /// Describe: ends with RowDescription or NoData.
        case describe
        /// Execute: ends with CommandComplete, EmptyQueryResponse or PortalSuspended.
        case execute
        /// Close: ends with CloseComplete.
        case close
        /// Not answered: marks where the client ended a COPY among its requests.
        case copyEnd
    }

    /// Who gets the answer, and who gives it.
    public enum Route: UInt8, BitwiseCopyable, Sendable {
        /// The client asked, the server answers.
        case client
        /// The pooler asked on its own account; the client sees nothing of the answer.
        case pooler
        /// The client asked, the server was not bothered: the pooler answers when its turn comes.
        case synthetic
    }

    /// What kind of request is to be answered.
    public let request: Request
    /// Who gets the answer, and who gives it.
    public let route: Route
    /// Which statement the request is about.
    ///
    /// For parse, close, bind and describe: the statement's slot in the statement store, or
    /// `ownStatement` and the number of a request about one that a server has under a client's name;
    /// else `noStatement`. For parse and close of a client: its entry. For execute of a client:
    /// `unnumberedStatement` if it may end all statements.
    public let statement: UInt32

    /// The value of `statement` for requests that are not about a tracked statement.
    public static let noStatement = UInt32.max
    /// The least value of `statement` for requests about statements under a client's name, and the
    /// one for those of them that change nothing.
    public static let ownStatement: UInt32 = 0x8000_0000
    public static let unnumberedStatement = UInt32.max - 1

    public init(_ request: Request, _ route: Route, statement: UInt32 = noStatement) {
        self.request = request
        self.route = route
        self.statement = statement
    }

    /// Whether the request belongs to the extended query protocol, where an error makes the server
    /// skip everything up to the next Sync.
    var isExtended: Bool {
        switch request {
        case .query, .sync, .copyEnd: false
        case .parse, .bind, .describe, .execute, .close: true
        }
    }
}
