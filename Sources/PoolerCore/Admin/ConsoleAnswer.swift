// The bytes of the console's answers: what a client is told at login, the result of a command, an
// error, the help notice. It decides how an answer looks, never whether it is given or when.

public import PostgresWire

/// How a command that a console session asked for has ended.
public enum ConsoleOutcome: Sendable {
    /// It was done; the answer is its tag.
    case done
    /// It was done, but for what the notice says.
    case noticed(ErrorResponse)
    /// For SHOW: what `ShowDefinition.parts` of the table asks for.
    case snapshot(ConsoleSnapshot)
    /// It failed.
    case failed(AdminError)
}

/// Messages that the console sends besides the answers to commands.
public enum ConsoleAnswer {
    /// The parameters reported at login, in order.
    public static let loginParameters: [ParameterStatus] = [
        ParameterStatus(
            name: "server_version",
            value: ByteString(MartletVersion.consoleServerVersion)
        ),
        ParameterStatus(name: "client_encoding", value: "UTF8"),
        ParameterStatus(name: "server_encoding", value: "UTF8"),
        ParameterStatus(name: "DateStyle", value: "ISO"),
        ParameterStatus(name: "TimeZone", value: "GMT"),
        ParameterStatus(name: "standard_conforming_strings", value: "on"),
        ParameterStatus(name: "is_superuser", value: "on"),
    ]

    /// What follows AuthenticationOk: the parameters, the cancel key, ReadyForQuery.
    public static func welcome(cancelKey: CancelKey) -> [UInt8] {
        var writer = ByteWriter()
        for parameter in loginParameters {
            writer.parameterStatus(name: parameter.name, value: parameter.value)
        }
        writer.backendKeyData(cancelKey)
        writer.readyForQuery(.idle)
        return writer.bytes
    }

    /// The refusal of a client that `ConsoleAccess` gives no role.
    public static let notAllowed = ErrorResponse(.fatal, .protocolViolation, "not allowed")

    /// What is said before the connection closes on a message that cannot be.
    public static let badPacket = ErrorResponse(.fatal, .protocolViolation, "bad packet")

    /// What SHOW HELP says.
    public static let help = ErrorResponse(
        .notice,
        .successfulCompletion,
        "Console usage",
        detail: helpDetail
    )

    /// What SET of a setting that is not ours says.
    public static let setIgnored = ErrorResponse(.notice, .successfulCompletion, "SET ignored")

    /// What SET of a setting of TLS says that does not fit the others.
    public static func tlsNotApplied(detail: String) -> ErrorResponse {
        ErrorResponse(
            .notice,
            .successfulCompletion,
            "TLS settings could not be applied, still using old configuration",
            detail: detail
        )
    }

    private static var helpDetail: String {
        let tables = ShowKind.allCases.map(\.rawValue).joined(separator: "|")
        let lines = commandTable.map { row in
            row.name == .show ? "SHOW \(tables)" : row.name.rawValue + row.argument.synopsis
        }
        return lines.map { "\n\t" + $0 }.joined()
    }
}

extension AdminCommand {
    /// The columns of the command's result, or nil when it gives no rows.
    var resultColumns: [ColumnDescription]? {
        switch self {
        case .show(.help): nil
        case .show(let kind): kind.definition.columns
        case .showFake(let setting): [setting.column]
        case .disable, .enable, .kill, .killClient, .pause, .reconnect, .reload, .resume, .set,
            .setIgnored, .shutdown, .suspend, .takeOver, .waitClose:
            nil
        }
    }

    /// How the command ends when nothing has to be asked or done for it; nil for all others.
    var immediateOutcome: ConsoleOutcome? {
        switch self {
        case .setIgnored, .showFake: .done
        case .show(let kind) where kind.definition.parts.isEmpty: .snapshot(ConsoleSnapshot())
        case .disable, .enable, .kill, .killClient, .pause, .reconnect, .reload, .resume, .set,
            .show, .shutdown, .suspend, .takeOver, .waitClose:
            nil
        }
    }
}

extension FakeSetting {
    fileprivate var column: ColumnDescription {
        ColumnDescription(name: rawValue, type: .text, doc: "The setting's value.")
    }
}

/// The DataRows of a result and where each of them ends.
struct EncodedRows: Sendable {
    let bytes: [UInt8]
    let ends: [Int]
}

extension ByteWriter {
    /// Appends an error that leaves the session alive.
    mutating func adminError(_ error: AdminError) {
        errorResponse(error.response)
    }

    /// Appends what there is to be said of a command and how it ended.
    mutating func notices(of command: AdminCommand, _ outcome: ConsoleOutcome) {
        if case .noticed(let notice) = outcome { noticeResponse(notice) }
        switch command {
        case .setIgnored: noticeResponse(ConsoleAnswer.setIgnored)
        case .show(.help): noticeResponse(ConsoleAnswer.help)
        case .disable, .enable, .kill, .killClient, .pause, .reconnect, .reload, .resume, .set,
            .show, .showFake, .shutdown, .suspend, .takeOver, .waitClose:
            break
        }
    }

    /// Appends CommandComplete with the command's tag.
    mutating func commandComplete(_ command: AdminCommand) {
        message(.commandComplete) { $0.writeCString(command.tag) }
    }
}

extension AdminCommand {
    /// The DataRows of the command's result.
    func rows(_ snapshot: ConsoleSnapshot, _ formats: ResultFormats) -> EncodedRows {
        var writer = ByteWriter()
        switch self {
        case .show(let kind):
            let ends = kind.definition.appendRows(snapshot, formats, &writer)
            return EncodedRows(bytes: writer.bytes, ends: ends)
        case .showFake(let setting):
            writer.dataRow([ByteString(setting.value)])
            return EncodedRows(bytes: writer.bytes, ends: [writer.bytes.count])
        case .disable, .enable, .kill, .killClient, .pause, .reconnect, .reload, .resume, .set,
            .setIgnored, .shutdown, .suspend, .takeOver, .waitClose:
            return EncodedRows(bytes: [], ends: [])
        }
    }
}
