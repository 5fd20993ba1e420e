// What a StartupMessage asks for: which database, as whom, with which settings. Everything in it is
// the peer's claim; nothing here decides whether it may log in.
//
// Source: PostgreSQL documentation, section 55.7 "StartupMessage", and section 34.1.2 for `options`.

public import PostgresWire

/// The contents of a StartupMessage.
public struct LoginRequest: Equatable, Sendable {
    public var database: ByteString
    public var user: ByteString
    /// Whether the connection is for replication.
    public private(set) var replication = ReplicationKind.none
    /// `options` as they are, for a server of its own: nil where there are none, or they have been
    /// taken apart.
    public private(set) var options: ByteString?
    /// The settings asked for, by name or through `options`, in order.
    public var settings: [StartupParameter] = []
    /// The application_name among them, if PostgreSQL takes it as it is: that needs no confirmation.
    public private(set) var applicationName: ByteString?
    /// The settings that a server has to confirm.
    public private(set) var uncertainSettings: [StartupParameter] = []
    /// The names of the custom settings among them.
    public private(set) var customNames: [ByteString] = []
    /// The answer to a newer minor version or unknown `_pq_.` options, to be sent before anything
    /// else; empty when there is nothing to negotiate.
    public var negotiation: [UInt8] = []

    /// The longest name of a database and of a user, in bytes, as PgBouncer has them.
    private static let databaseNameLimit = 63
    private static let userNameLimit = 127

    /// Reads the parameters of a StartupMessage.
    ///
    /// - Parameter ignored: the names in ignore_startup_parameters, in lower case.
    /// - Throws: the ErrorResponse that the client gets before the connection is closed.
    public init(
        version: ProtocolVersion,
        parameters: [StartupParameter],
        ignored: [ByteString]
    ) throws(ErrorResponse) {
        guard version.major == 3 else {
            throw Self.refusal(
                version.major == 2
                    ? "old V2 protocol not supported"
                    : "unsupported frontend protocol \(version.major).\(version.minor)"
            )
        }
        database = ""
        user = ""
        replication = try Self.replication(in: parameters)
        var ofOptions = RangeSet<Int>()
        var unrecognizedOptions: [ByteString] = []
        for parameter in parameters {
            let name = parameter.name.lowercasedASCII
            if name.isText("database") {
                database = parameter.value
            } else if name.isText("user") {
                user = parameter.value
            } else if name.isText("options"), replication != .none {
                options = parameter.value
            } else if name.isText("options") {
                let some = try Self.settings(inOptions: parameter.value, ignored: ignored)
                ofOptions.insert(contentsOf: settings.count..<settings.count + some.count)
                settings += some
            } else if name.isText("replication") {
                continue
            } else if name.bytes.starts(with: "_pq_.".utf8) {
                unrecognizedOptions.append(parameter.name)
            } else if !ignored.contains(name) {
                settings.append(parameter)
            }
        }
        // As PostgreSQL has it: a parameter counts more than what options say.
        if !ofOptions.isEmpty { settings = Self.parametersFirst(settings, ofOptions) }
        for parameter in settings {
            if parameter.name.lowercasedASCII.isText("application_name"),
                parameter.value.count < 64,
                parameter.value.bytes.allSatisfy({ (0x20...0x7E).contains($0) })
            {
                applicationName = parameter.value
            } else {
                uncertainSettings.append(parameter)
            }
        }
        customNames = settings.map(\.name).filter { $0.bytes.contains(UInt8(ascii: ".")) }
        guard !user.isEmpty else { throw Self.refusal("no username supplied") }
        if database.isEmpty { database = user }
        guard user.count <= Self.userNameLimit else { throw Self.refusal("username too long") }
        guard database.count <= Self.databaseNameLimit else {
            throw Self.refusal("database name too long")
        }
        if version > .v3 || !unrecognizedOptions.isEmpty {
            var writer = ByteWriter()
            writer.negotiateProtocolVersion(
                newest: .v3,
                unrecognizedOptions: unrecognizedOptions
            )
            negotiation = writer.bytes
        }
    }

    /// Whether parameters ask for replication; the last word counts.
    private static func replication(
        in parameters: [StartupParameter]
    ) throws(ErrorResponse) -> ReplicationKind {
        var kind = ReplicationKind.none
        for parameter in parameters where parameter.name.lowercasedASCII.isText("replication") {
            guard let read = ReplicationKind(parameter.value) else {
                throw ErrorResponse(
                    .fatal,
                    "22023",
                    "invalid value for parameter \"replication\": \"\(parameter.value.text)\"",
                    hint: "Valid values are: \"false\", 0, \"true\", 1, \"database\"."
                )
            }
            kind = read
        }
        return kind
    }

    private static func parametersFirst(
        _ settings: [StartupParameter],
        _ ofOptions: RangeSet<Int>
    ) -> [StartupParameter] {
        let others = settings.indices.filter { !ofOptions.contains($0) }
        let names = Set(others.map { settings[$0].name.lowercasedASCII })
        return settings.indices.filter { index in
            !ofOptions.contains(index) || !names.contains(settings[index].name.lowercasedASCII)
        }.map { settings[$0] }
    }

    private static func refusal(_ text: String) -> ErrorResponse {
        ErrorResponse(.fatal, .protocolViolation, text)
    }

    // MARK: options

    /// The settings in an `options` string: `-c name=value` and `--name=value`.
    private static func settings(
        inOptions text: ByteString,
        ignored: [ByteString]
    ) throws(ErrorResponse) -> [StartupParameter] {
        let words = words(of: text)
        var settings: [StartupParameter] = []
        var index = 0
        while index < words.count {
            var word = words[index][...]
            index += 1
            if word == Array("-c".utf8)[...] {
                guard index < words.count else { throw unsupportedOptions }
                word = words[index][...]
                index += 1
            } else if word.starts(with: "-c".utf8) || word.starts(with: "--".utf8) {
                word = word.dropFirst(2)
            } else {
                throw unsupportedOptions
            }
            guard let equals = word.firstIndex(of: UInt8(ascii: "=")), equals > word.startIndex
            else { throw unsupportedOptions }
            // As PostgreSQL does, a dash in the name stands for an underscore.
            let name = word[..<equals].map { $0 == UInt8(ascii: "-") ? UInt8(ascii: "_") : $0 }
            let parameter = StartupParameter(
                name: ByteString(name),
                value: ByteString(Array(word[(equals + 1)...]))
            )
            if !ignored.contains(parameter.name.lowercasedASCII) { settings.append(parameter) }
        }
        return settings
    }

    private static let unsupportedOptions = refusal(
        "unsupported options startup parameter: only '-c config=val' and '--config=val' are allowed"
    )

    /// Words are separated by white space; a backslash takes the next byte as it is.
    private static func words(of text: ByteString) -> [[UInt8]] {
        var words: [[UInt8]] = []
        var word: [UInt8]?
        var isEscaped = false
        for byte in text.bytes {
            if isEscaped {
                word = (word ?? []) + [byte]
                isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == 0x20 || (0x09...0x0D).contains(byte) {
                if let word { words.append(word) }
                word = nil
            } else {
                word = (word ?? []) + [byte]
            }
        }
        if let word { words.append(word) }
        return words
    }
}

extension ErrorResponse: Error {}
