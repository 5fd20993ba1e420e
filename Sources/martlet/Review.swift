// `martlet check` and `martlet explain`: what a configuration means, before it is used.

internal import ArgumentParser
internal import PoolerCore
internal import PoolerIO
internal import PostgresWire

/// `martlet check`.
struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet check",
        abstract: "Read a configuration and say what is wrong or risky with it.",
        discussion:
            "The exit status is 1 if something is wrong, and with --connect also if a server cannot be used."
    )

    @Argument(help: "A configuration file.")
    var file: String

    @Flag(help: "Log in to the servers, too, as the users of the databases' entries.")
    var connect = false

    mutating func run() throws {
        let (settings, users) = try load(file)
        var isUsable = true
        for outcome in ConfigurationFiles.tryTLS(settings) {
            print(outcome.text)
            isUsable = isUsable && outcome.isGood
        }
        for remark in ConfigurationFiles.remarks(settings, users) {
            print("\(remark.weight.rawValue): \(remark.subject): \(remark.text)")
        }
        if connect && isUsable {
            for outcome in ConfigurationFiles.connect(settings, users) {
                print(outcome.text)
                isUsable = isUsable && outcome.isGood
            }
        }
        guard isUsable else { throw ExitCode(1) }
        print(
            "\(file): \(settings.databaseNames.count) databases, \(users.names.count) users: can be used"
        )
    }
}

/// `martlet explain`.
struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet explain",
        abstract: "Show the value of every setting and where it comes from.",
        discussion:
            "Without --database and --user: for each entry of the file, what it has of its own."
    )

    @Argument(help: "A configuration file.")
    var file: String

    @Option(name: .shortAndLong, help: "As it holds in this database.")
    var database: String?

    @Option(name: .shortAndLong, help: "As it holds for this user.")
    var user: String?

    mutating func run() throws {
        let (settings, _) = try load(file)
        if let database, settings.database(named: ByteString(database)) == nil {
            throw ValidationError("no database \"\(database)\" in \(file)")
        }
        printTable(
            settings.explained(
                database: database.map { ByteString($0) },
                user: user.map { ByteString($0) }
            )
        )
        guard database == nil, user == nil else { return }
        for name in settings.databaseNames {
            printOwn("database \(name)", settings.explained(database: name, user: nil))
        }
        for name in settings.userNames {
            printOwn("user \(name)", settings.explained(database: nil, user: name))
        }
    }

    private typealias Line = (row: SettingRow, value: ByteString, source: SettingSource)

    private func printTable(_ lines: [Line]) {
        let values = lines.map(\.value.text)
        let nameWidth = lines.map(\.row.name.count).max() ?? 0
        let valueWidth = min(40, values.map(\.count).max() ?? 0)
        for (line, value) in zip(lines, values) {
            print(
                "\(padded(line.row.name, nameWidth))  \(padded(value, valueWidth))  \(line.source.text)"
            )
        }
    }

    private func printOwn(_ title: String, _ lines: [Line]) {
        let own = lines.filter {
            switch $0.source {
            case .database, .user: true
            case .standard, .file: false
            }
        }
        guard !own.isEmpty else { return }
        print("\n\(title)")
        printTable(own)
    }

    private func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}

/// Reads a file, or says on standard error why not.
private func load(_ path: String) throws -> (Configuration, UserList) {
    do {
        return try ConfigurationSource.file(path: path).load()
    } catch {
        complain("martlet: \(error)")
        throw ExitCode(1)
    }
}
