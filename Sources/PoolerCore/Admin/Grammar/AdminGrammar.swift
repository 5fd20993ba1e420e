// Turns the text of a console query into statements. Everything that PgBouncer accepts means the
// same here. Accepted beyond it, because each has surprised somebody: comments, an empty query, a
// lone `;`, several statements in one query, numbers like 1.5 and names like my-db without quotes.
// It looks up rows of the command table; it never runs, and never decides who may.

public import PostgresWire

/// One statement of a console query.
public struct AdminStatement: Equatable, Sendable {
    /// Which command it is; known even where its argument is wrong.
    public let name: CommandName
    /// The command, or what is wrong with its argument.
    public let command: Result<AdminCommand, AdminError>

    /// The command, if `role` may run it.
    ///
    /// - Throws: `AdminError.adminAccessNeeded` before anything else, then what is wrong with the
    ///   argument.
    public func authorized(for role: AdminRole) throws(AdminError) -> AdminCommand {
        switch command {
        case .success(let command):
            guard role >= command.requiredRole else { throw .adminAccessNeeded }
            return command
        case .failure(let error):
            guard commandTable.contains(where: { $0.name == name && role >= $0.role }) else {
                throw .adminAccessNeeded
            }
            throw error
        }
    }
}

/// The grammar of the console.
public enum AdminGrammar {
    /// The longest query, in bytes: a token takes more memory than the byte it is made of.
    public static let queryByteLimit = 65_536
    /// The most statements in one query.
    public static let statementLimit = 64
    /// The longest command name, in bytes.
    public static let nameByteLimit = 15
    /// The longest argument or key, in bytes.
    public static let argumentByteLimit = 63
    /// The longest value of SET, in bytes.
    public static let valueByteLimit = 255

    /// Parses a whole query, which may hold any number of statements, also none.
    ///
    /// - Throws: `invalidCommand` or `badArguments`; then nothing of the query may run.
    public static func parse(_ query: ByteString) throws(AdminError) -> [AdminStatement] {
        guard query.count <= queryByteLimit else { throw .badArguments }
        guard let tokens = AdminLexer.tokens(query) else { throw .invalidCommand(query) }
        let parts = tokens.split { $0.kind == .semicolon }
        guard parts.count <= statementLimit else { throw .badArguments }
        var statements: [AdminStatement] = []
        for part in parts {
            let text = parts.count == 1 ? query : Self.text(of: part, in: query)
            statements.append(try statement(part, text: text))
        }
        return statements
    }

    private static func text(of part: ArraySlice<AdminToken>, in query: ByteString) -> ByteString {
        guard let first = part.first, let last = part.last else { return query }
        return ByteString(Array(query.bytes[first.range.lowerBound..<last.range.upperBound]))
    }

    private static func statement(
        _ tokens: ArraySlice<AdminToken>,
        text: ByteString
    ) throws(AdminError) -> AdminStatement {
        let kinds = tokens.map(\.kind)
        switch kinds.first {
        case .word(let word) where word.equalsIgnoringCase(CommandName.set.rawValue):
            return try setStatement(kinds.dropFirst(), text: text)
        case .word(let word):
            return try statement(word, kinds.dropFirst(), text: text)
        case .string, .equals, .semicolon, nil:
            throw .invalidCommand(text)
        }
    }

    private static func statement(
        _ word: ByteString,
        _ rest: ArraySlice<AdminToken.Kind>,
        text: ByteString
    ) throws(AdminError) -> AdminStatement {
        var argument: ByteString?
        switch rest.first {
        case nil: argument = nil
        case .word(let word) where rest.count == 1: argument = word
        case .word, .string, .equals, .semicolon: throw .invalidCommand(text)
        }
        guard word.count <= nameByteLimit, (argument?.count ?? 0) <= argumentByteLimit else {
            throw .badArguments
        }
        guard let row = CommandRow.named(word) else { throw .invalidCommand(text) }
        return AdminStatement(
            name: row.name,
            command: try command(row.argument, argument, text: text)
        )
    }

    private static func command(
        _ shape: ArgumentShape,
        _ argument: ByteString?,
        text: ByteString
    ) throws(AdminError) -> Result<AdminCommand, AdminError> {
        switch (shape, argument) {
        case (.none(let command), nil), (.keyword(let command, _), nil):
            return .success(command)
        case (.optionalDatabase(let make), let database):
            return .success(make(database))
        case (.requiredDatabase(let make), let database):
            guard let database else { return .failure(.databaseRequired) }
            return .success(make(database))
        case (.client(let make), let text):
            guard let client = text.flatMap({ ClientReference($0) }) else {
                return .failure(.invalidClientReference)
            }
            return .success(make(client))
        case (.keyword(_, let words), let word?):
            guard let found = words.first(where: { word.equalsIgnoringCase($0.word) }) else {
                throw .invalidCommand(text)
            }
            return .success(found.command)
        case (.table, let name?):
            if let setting = FakeSetting(name) { return .success(.showFake(setting)) }
            if let kind = ShowKind(name) { return .success(.show(kind)) }
            if name.equalsIgnoringCase("fds") { return .failure(.descriptorsNotShown) }
            throw .invalidCommand(text)
        case (.none, _?), (.table, nil), (.setting, _):
            throw .invalidCommand(text)
        }
    }

    /// `key = value`, `key TO value`; the value is a word or a string.
    private static func setStatement(
        _ tokens: ArraySlice<AdminToken.Kind>,
        text: ByteString
    ) throws(AdminError) -> AdminStatement {
        guard tokens.count == 3, case .word(let key) = tokens[tokens.startIndex],
            tokens[tokens.startIndex + 1].isAssignment
        else { throw .invalidCommand(text) }
        let value: ByteString
        switch tokens[tokens.startIndex + 2] {
        case .word(let text), .string(let text): value = text
        case .equals, .semicolon: throw .invalidCommand(text)
        }
        guard key.count <= argumentByteLimit, value.count <= valueByteLimit else {
            throw .badArguments
        }
        let command: AdminCommand =
            FakeSetting(key) == nil ? .set(key: key, value: value) : .setIgnored
        return AdminStatement(name: .set, command: .success(command))
    }
}

extension AdminToken.Kind {
    fileprivate var isAssignment: Bool {
        switch self {
        case .equals: true
        case .word(let word): word.equalsIgnoringCase("TO")
        case .string, .semicolon: false
        }
    }
}

extension FakeSetting {
    /// The setting called `name`, in any case.
    fileprivate init?(_ name: ByteString) {
        guard let setting = Self.allCases.first(where: { name.equalsIgnoringCase($0.rawValue) })
        else { return nil }
        self = setting
    }
}

extension ShowKind {
    /// The table called `name`, in any case.
    fileprivate init?(_ name: ByteString) {
        guard let kind = Self.allCases.first(where: { name.equalsIgnoringCase($0.rawValue) })
        else { return nil }
        self = kind
    }
}
