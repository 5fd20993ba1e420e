// The command line: PgBouncer's, and a connection URL in place of the file.

internal import ArgumentParser
internal import CLinux
internal import PoolerCore
internal import PoolerIO
internal import PostgresWire

/// The command.
struct Martlet: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "A transaction-mode connection pooler for PostgreSQL.",
        discussion: """
            Give a configuration file, as for PgBouncer, or a connection URL: then that one database \
            is pooled on 127.0.0.1:6543, for the same user and password. Without either, DATABASE_URL \
            is taken from the environment.

            `martlet check FILE` says what is wrong or risky with a configuration, `martlet explain \
            FILE` what it means.
            """,
        version: "Martlet \(MartletVersion.current)"
    )

    /// What is meant by the words of the command line; PgBouncer's have no command in them.
    static func command(for words: [String]) throws -> any ParsableCommand {
        switch words.first {
        case "check": try Check.parseAsRoot(Array(words.dropFirst()))
        case "explain": try Explain.parseAsRoot(Array(words.dropFirst()))
        default: try parseAsRoot(words)
        }
    }

    @Argument(help: "A configuration file, or postgres://user:password@host:port/database.")
    var configuration: String?

    @Flag(name: .shortAndLong, help: "Write nothing to standard error.")
    var quiet = false

    @Flag(name: .shortAndLong, help: "Log more; may be given several times.")
    var verbose: Int

    @Flag(name: .shortAndLong, help: "Run in the background; needs the setting pidfile.")
    var daemon = false

    @Flag(
        name: [.customShort("R"), .customLong("reboot")],
        help: "Take over the clients and servers of the running process."
    )
    var reboot = false

    @Option(name: .shortAndLong, help: "Run as this user of the operating system.")
    var user: String?

    @Flag(name: [.customShort("V"), .long], help: "Show the version.")
    var version = false

    mutating func run() throws {
        if version {
            print("Martlet \(MartletVersion.current)")
            return
        }
        do {
            var options = StartOptions()
            options.isQuiet = quiet
            options.verbosity = verbose
            options.isDaemon = daemon
            options.takesOver = reboot
            options.user = user ?? ""
            try Pooler.run(try source(), options)
        } catch {
            complain("martlet: \(error)")
            throw ExitCode(1)
        }
    }

    private func source() throws -> ConfigurationSource {
        guard let text = configuration ?? environment("DATABASE_URL") else {
            throw ValidationError("a configuration file or a connection URL is needed (see --help)")
        }
        guard ConnectionURL.isURL(text) else { return .file(path: text) }
        return .url(
            try ConnectionURL(text, defaultUser: ByteString(environment("USER") ?? "postgres"))
        )
    }

    private func environment(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        return unsafe String(cString: value)
    }

}

/// Writes a line to standard error.
func complain(_ text: String) {
    let line = Array("\(text)\n".utf8)
    _ = unsafe write(2, line, line.count)
}
