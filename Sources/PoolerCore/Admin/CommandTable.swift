// One row for each console command: its name, the shape of its argument, who may use it, and what it
// does. The parser, authorization, tags, SHOW HELP and the documentation derive from the rows, so
// that no command can forget one of them. The order is alphabetical, and tested.

public import PostgresWire

/// The name of a command, as SHOW HELP spells it.
public enum CommandName: String, CaseIterable, Sendable {
    case disable = "DISABLE"
    case enable = "ENABLE"
    case kill = "KILL"
    case killClient = "KILL_CLIENT"
    case pause = "PAUSE"
    case reconnect = "RECONNECT"
    case reload = "RELOAD"
    case resume = "RESUME"
    case set = "SET"
    case show = "SHOW"
    case shutdown = "SHUTDOWN"
    case suspend = "SUSPEND"
    case takeOver = "TAKEOVER"
    case waitClose = "WAIT_CLOSE"
}

/// What may stand behind a command's name, and the command it makes.
public enum ArgumentShape: Sendable {
    /// Nothing.
    case none(AdminCommand)
    /// A database, or nothing for all of them.
    case optionalDatabase(@Sendable (ByteString?) -> AdminCommand)
    /// A database.
    case requiredDatabase(@Sendable (ByteString) -> AdminCommand)
    /// A client's `id` or `ptr`.
    case client(@Sendable (ClientReference) -> AdminCommand)
    /// One of some words, or nothing.
    case keyword(AdminCommand, [(word: String, command: AdminCommand)])
    /// The name of a table.
    case table
    /// `key = value` or `key TO value`.
    case setting

    /// The argument as SHOW HELP and the documentation show it.
    public var synopsis: String {
        switch self {
        case .none: ""
        case .optionalDatabase: " [<db>]"
        case .requiredDatabase: " <db>"
        case .client: " <client_id>"
        case .keyword(_, let words): " [\(words.map(\.word).joined(separator: "|"))]"
        case .table: " <table>"
        case .setting: " key = arg"
        }
    }
}

/// A row of the command table.
public struct CommandRow: Sendable {
    /// The command's name.
    public let name: CommandName
    /// Other words for it.
    public let aliases: [String]
    /// What may follow the name.
    public let argument: ArgumentShape
    /// Who may use it; SHOW tables can ask for more.
    public let role: AdminRole
    /// The tag of CommandComplete; nil when there is no answer, or the tag repeats the argument.
    public let tag: String?
    /// What it does.
    public let doc: String

    fileprivate init(
        _ name: CommandName,
        _ argument: ArgumentShape,
        aliases: [String] = [],
        role: AdminRole = .admin,
        tag: String?,
        _ doc: String
    ) {
        self.name = name
        self.aliases = aliases
        self.argument = argument
        self.role = role
        self.tag = tag
        self.doc = doc
    }
}

/// Every command of the console.
public let commandTable: [CommandRow] = [
    CommandRow(
        .disable,
        .requiredDatabase { .disable(database: $0) },
        tag: "DISABLE",
        "Refuse new logins to a database. Clients that are connected stay."
    ),
    CommandRow(
        .enable,
        .requiredDatabase { .enable(database: $0) },
        tag: "ENABLE",
        "Allow logins to a database after DISABLE."
    ),
    CommandRow(
        .kill,
        .optionalDatabase { .kill(database: $0) },
        tag: "KILL",
        "Drop all clients and servers of a database, or of all, at once, and leave it paused."
    ),
    CommandRow(
        .killClient,
        .client { .killClient($0) },
        tag: "KILL_CLIENT",
        "Drop one client, named by `id` or `ptr` of SHOW CLIENTS."
    ),
    CommandRow(
        .pause,
        .optionalDatabase { .pause(database: $0) },
        tag: "PAUSE",
        "Close servers as they become free and let clients wait; answers when no server is left."
    ),
    CommandRow(
        .reconnect,
        .optionalDatabase { .reconnect(database: $0) },
        tag: "RECONNECT",
        "Replace every server by a new connection as it becomes free."
    ),
    CommandRow(
        .reload,
        .none(.reload),
        tag: "RELOAD",
        "Read the configuration files again; a file with errors changes nothing."
    ),
    CommandRow(
        .resume,
        .optionalDatabase { .resume(database: $0) },
        tag: "RESUME",
        "Go on after PAUSE, KILL or SUSPEND."
    ),
    CommandRow(
        .set,
        .setting,
        tag: nil,
        "Change a setting until the next RELOAD. The tag is `SET key=value`."
    ),
    CommandRow(
        .show,
        .table,
        aliases: ["SELECT"],
        role: .stats,
        tag: "SHOW",
        "Show one of the tables below."
    ),
    CommandRow(
        .shutdown,
        .keyword(
            .shutdown(.immediate),
            [
                ("WAIT_FOR_SERVERS", .shutdown(.waitForServers)),
                ("WAIT_FOR_CLIENTS", .shutdown(.waitForClients)),
            ]
        ),
        tag: "SHUTDOWN",
        "End the process: at once and without an answer, or when all servers or clients have left."
    ),
    CommandRow(
        .suspend,
        .none(.suspend),
        tag: "SUSPEND",
        "Pass on what has been received and receive nothing more; answers when that is done. Clients "
            + "of which something is still half through after `suspend_timeout` are dropped."
    ),
    CommandRow(
        .takeOver,
        .none(.takeOver),
        tag: nil,
        "Hand everything over to the process that asks: what `martlet -R` does. Only for the pooler's "
            + "own user on the Unix socket."
    ),
    CommandRow(
        .waitClose,
        .optionalDatabase { .waitClose(database: $0) },
        tag: "WAIT_CLOSE",
        "Answer when the servers that RECONNECT or RELOAD marked are gone."
    ),
]

extension CommandRow {
    /// The row whose name or alias is `word`, in any case.
    public static func named(_ word: ByteString) -> CommandRow? {
        commandTable.first { row in
            word.equalsIgnoringCase(row.name.rawValue)
                || row.aliases.contains { word.equalsIgnoringCase($0) }
        }
    }

    /// The row of a command.
    public static func of(_ command: AdminCommand) -> CommandRow {
        let name = command.name
        guard let row = commandTable.first(where: { $0.name == name }) else {
            preconditionFailure("no row for \(name.rawValue)")
        }
        return row
    }
}

extension AdminCommand {
    /// The command's name, by which its row is found.
    public var name: CommandName {
        switch self {
        case .disable: .disable
        case .enable: .enable
        case .kill: .kill
        case .killClient: .killClient
        case .pause: .pause
        case .reconnect: .reconnect
        case .reload: .reload
        case .resume: .resume
        case .set, .setIgnored: .set
        case .show, .showFake: .show
        case .shutdown: .shutdown
        case .suspend: .suspend
        case .takeOver: .takeOver
        case .waitClose: .waitClose
        }
    }

    /// The tag of CommandComplete.
    public var tag: ByteString {
        switch self {
        case .set(let key, let value):
            ByteString(Array("SET ".utf8) + key.bytes + Array("=".utf8) + value.bytes)
        case .setIgnored: "SET"
        default: ByteString(CommandRow.of(self).tag ?? name.rawValue)
        }
    }

    /// Who may run the command: the row's role, unless the table shown asks for more, or nothing
    /// happens at all.
    public var requiredRole: AdminRole {
        switch self {
        case .setIgnored: .stats
        case .show(let kind): max(CommandRow.of(self).role, kind.definition.role)
        default: CommandRow.of(self).role
        }
    }
}

extension ByteString {
    /// Whether this is `word`, ASCII letters compared without case.
    public func equalsIgnoringCase(_ word: String) -> Bool {
        bytes.count == word.utf8.count
            && zip(bytes, word.utf8).allSatisfy { $0.lowercasedASCII == $1.lowercasedASCII }
    }
}

extension UInt8 {
    /// The lower-case form of an ASCII letter, any other byte unchanged.
    fileprivate var lowercasedASCII: UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self) ? self | 0x20 : self
    }
}
