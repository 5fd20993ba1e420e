// Everything that can be wrong with a console statement, with its text and SQLSTATE in one table.
// The texts are PgBouncer's, letter by letter: scripts look for them. Errors that PgBouncer cannot
// have, because it does not speak the extended protocol, are PostgreSQL's.

public import PostgresWire

/// Why a console statement failed.
public enum AdminError: Error, Equatable, Sendable {
    /// The statement does not parse, or names no command.
    case invalidCommand(ByteString)
    /// A name or value is longer than the console takes.
    case badArguments
    /// The role of this client does not reach.
    case adminAccessNeeded
    /// DISABLE or ENABLE without a database.
    case databaseRequired
    /// No database of that name is configured.
    case noSuchDatabase(ByteString)
    /// The command was aimed at the console itself; the verb is in lower case.
    case refusedForConsole(verb: String, database: ByteString)
    /// PAUSE, KILL or SUSPEND while one of them holds.
    case alreadySuspendedOrPaused
    /// SUSPEND while single databases are paused.
    case cannotSuspendWithPausedDatabases
    /// RESUME with nothing to resume.
    case notPausedOrSuspended
    /// RESUME of a database that is not paused.
    case databaseNotPaused(ByteString)
    /// RESUME during SHUTDOWN.
    case shuttingDown
    /// KILL_CLIENT of a client that is not there.
    case clientNotFound
    /// KILL_CLIENT of something that is no number.
    case invalidClientReference
    /// SET of an unknown key or a wrong value; the reason, for people, goes into DETAIL.
    case setFailed(detail: String?)
    /// RELOAD of a file with errors; the reason, for people, goes into DETAIL.
    case reloadFailed(detail: String?)
    /// TAKEOVER while another one has not ended.
    case takeoverUnderWay
    /// SHOW FDS: a descriptor without the session that the pooler keeps for it is of no use to anybody.
    case descriptorsNotShown
    /// The client asked to cancel a command that was waiting.
    case canceled

    /// Parse of several statements in one message.
    case multipleCommands
    /// Parse of a name in use.
    case statementExists(ByteString)
    /// Bind, Describe of a statement that was not parsed.
    case noSuchStatement(ByteString)
    /// Bind of a name in use.
    case portalExists(ByteString)
    /// Describe, Execute of a portal that was not bound.
    case noSuchPortal(ByteString)
    /// Execute of a portal that has run.
    case portalAlreadyRun(ByteString)
    /// Bind with parameters, or with formats that do not fit.
    case invalidBind
    /// More statements or portals than a console client may keep.
    case tooManyNames
    /// A message that the console does not know.
    case unsupportedMessage(type: UInt8)

    /// The SQLSTATE.
    public var sqlState: SQLState {
        switch self {
        case .reloadFailed: "F0000"
        case .canceled: "57014"
        case .multipleCommands: "42601"
        case .statementExists: "42P05"
        case .noSuchStatement: "26000"
        case .portalExists: "42P03"
        case .noSuchPortal: "34000"
        case .portalAlreadyRun: "55000"
        case .tooManyNames: "54000"
        case .invalidCommand, .badArguments, .adminAccessNeeded, .databaseRequired,
            .noSuchDatabase, .refusedForConsole, .alreadySuspendedOrPaused,
            .cannotSuspendWithPausedDatabases, .notPausedOrSuspended, .databaseNotPaused,
            .shuttingDown, .takeoverUnderWay, .descriptorsNotShown, .clientNotFound,
            .invalidClientReference,
            .setFailed, .invalidBind,
            .unsupportedMessage:
            .protocolViolation
        }
    }

    /// The text of field M, not cut.
    public var message: ByteString {
        switch self {
        case .invalidCommand(let query): Self.join("invalid command '", query, "', use SHOW HELP;")
        case .badArguments: "bad arguments"
        case .adminAccessNeeded: "admin access needed"
        case .databaseRequired: "a database is required"
        case .noSuchDatabase(let database): Self.join("no such database: ", database)
        case .refusedForConsole(let verb, let database):
            Self.join("cannot \(verb) admin db: ", database)
        case .alreadySuspendedOrPaused: "already suspended/paused"
        case .cannotSuspendWithPausedDatabases: "cannot suspend with paused databases"
        case .notPausedOrSuspended: "pooler is not paused/suspended"
        case .databaseNotPaused(let database): Self.join("database ", database, " is not paused")
        case .shuttingDown: "pooler is shutting down"
        case .clientNotFound: "client not found"
        case .invalidClientReference: "invalid client pointer supplied"
        case .setFailed: "SET failed"
        case .reloadFailed: "RELOAD failed, see logs for additional details"
        case .takeoverUnderWay: "a takeover is under way"
        case .descriptorsNotShown: "SHOW FDS is not supported, martlet -R takes over without it"
        case .canceled: "canceling statement due to user request"
        case .multipleCommands: "cannot insert multiple commands into a prepared statement"
        case .statementExists(let name):
            Self.join("prepared statement \"", name, "\" already exists")
        case .noSuchStatement(let name):
            Self.join("prepared statement \"", name, "\" does not exist")
        case .portalExists(let name): Self.join("portal \"", name, "\" already exists")
        case .noSuchPortal(let name): Self.join("portal \"", name, "\" does not exist")
        case .portalAlreadyRun(let name): Self.join("portal \"", name, "\" cannot be run")
        case .invalidBind: "the admin console takes no parameters and knows text and binary format"
        case .tooManyNames: "too many prepared statements or portals on the admin console"
        case .unsupportedMessage(let type):
            ByteString("unsupported packet type for admin console: \(type)")
        }
    }

    /// The text of field D, when there is more to say.
    public var detail: String? {
        switch self {
        case .setFailed(let detail), .reloadFailed(let detail): detail
        default: nil
        }
    }

    /// The error as a message, with a text of bounded length.
    public var response: ErrorResponse {
        var response = ErrorResponse(.error, sqlState, "", detail: detail)
        response.message =
            message.count <= Self.byteCountLimit
            ? message : ByteString(Array(message.bytes.prefix(Self.byteCountLimit)))
        return response
    }

    /// The longest text that is sent, in bytes: it may quote a whole query.
    public static let byteCountLimit = 1_023

    private static func join(
        _ prefix: String,
        _ text: ByteString,
        _ suffix: String = ""
    ) -> ByteString {
        ByteString(Array(prefix.utf8) + text.bytes + Array(suffix.utf8))
    }
}
