// From the text of a setting to its value and back, one codec per kind of value.
//
// A codec decides whether a text is acceptable and says what was expected when it is not. It knows
// neither the setting's name nor where the text came from. Rendering then parsing gives the same
// value: SHOW CONFIG prints what SET accepts.

public import PostgresWire

/// Why a text is not a value of a setting; says what was expected.
public struct SettingError: Error, Equatable, CustomStringConvertible {
    /// What was expected and what was found, without the name of the setting.
    public let message: String
    /// Same as `message`.
    public var description: String { message }

    /// Makes an error with a message for the operator.
    public init(_ message: String) {
        self.message = message
    }

    static func expected(_ what: String, found text: ByteString) -> SettingError {
        SettingError("expected \(what), found \(quotedForMessage(text))")
    }
}

/// What kind of value a setting takes, for documentation and for the console.
public enum SettingKind: Sendable, Equatable {
    case bool
    case int(ClosedRange<Int>)
    case fileMode
    case duration(ClosedRange<Microseconds>)
    case keyword([String])
    case text
    case path
    case list
    case countOrPercentage
    case tlsProtocols
}

/// A pair of functions between text and value.
public struct SettingCodec<Value: Sendable & Equatable>: Sendable {
    /// The kind of value, for people.
    public let kind: SettingKind
    /// Reads a value.
    public let parse: @Sendable (ByteString) throws(SettingError) -> Value
    /// Prints a value so that `parse` gives it back.
    public let render: @Sendable (Value) -> ByteString
}

/// The longest duration a setting takes, ten thousand million seconds (317 years).
///
/// A sum of several such durations and a moment still fits into `Microseconds`.
public let longestDuration: Microseconds = .seconds(10_000_000_000)

extension SettingCodec<Bool> {
    static let bool = SettingCodec(kind: .bool) { text throws(SettingError) in
        switch text.lowercasedASCII {
        case "1", "yes", "on", "true": return true
        case "0", "no", "off", "false": return false
        default: throw .expected("0 or 1", found: text)
        }
    } render: {
        $0 ? "1" : "0"
    }
}

extension SettingCodec<Int> {
    static func int(_ range: ClosedRange<Int>) -> SettingCodec {
        SettingCodec(kind: .int(range)) { text throws(SettingError) in
            guard let value = integer(text), range.contains(value) else {
                throw .expected("a whole number from \(expectedRange(range))", found: text)
            }
            return value
        } render: {
            ByteString(String($0))
        }
    }

    /// Permission bits.
    ///
    /// A decimal number above 511 is most likely an octal one without its leading
    /// zero, and is refused. SHOW CONFIG prints them in decimal, as PgBouncer does.
    static let fileMode = SettingCodec(kind: .fileMode) { text throws(SettingError) in
        guard let value = integer(text), 0...0o777 ~= value else {
            throw .expected("an octal number from 0 to 0777, with its leading 0", found: text)
        }
        return value
    } render: {
        ByteString(String($0))
    }

    private static func expectedRange(_ range: ClosedRange<Int>) -> String {
        "\(range.lowerBound) to \(range.upperBound)"
    }
}

extension SettingCodec<Microseconds> {
    /// Seconds with an optional fraction, rounded up to a whole microsecond.
    static func duration(_ range: ClosedRange<Microseconds>) -> SettingCodec {
        SettingCodec(kind: .duration(range)) { text throws(SettingError) in
            guard let value = durationSeconds(text), range.contains(value) else {
                let bounds = "\(secondsText(range.lowerBound)) to \(secondsText(range.upperBound))"
                throw .expected(
                    "a number of seconds from \(bounds), such as 15 or 1.5 without a unit",
                    found: text
                )
            }
            return value
        } render: {
            ByteString(secondsText($0))
        }
    }
}

extension SettingCodec where Value: SettingKeyword {
    static var keyword: SettingCodec {
        SettingCodec(kind: .keyword(Value.allCases.map(\.rawValue))) { text throws(SettingError) in
            let word = text.lowercasedASCII.text
            if let value = Value(rawValue: word) { return value }
            if let reason = Value.unsupportedKeywords[word] {
                throw SettingError("\"\(word)\" is not supported: \(reason); use \(wordList)")
            }
            throw .expected(wordList, found: text)
        } render: {
            ByteString($0.rawValue)
        }
    }

    private static var wordList: String {
        let words = Value.allCases.map(\.rawValue)
        guard let last = words.last, words.count > 1 else { return words.joined() }
        return words.dropLast().joined(separator: ", ") + " or " + last
    }
}

extension SettingCodec<String> {
    static let path = string(kind: .path)
    static let text = string(kind: .text)

    private static func string(kind: SettingKind) -> SettingCodec {
        SettingCodec(kind: kind) { text throws(SettingError) in
            guard let value = String(validating: text.bytes, as: UTF8.self) else {
                throw .expected("text in UTF-8", found: text)
            }
            return value
        } render: {
            ByteString($0)
        }
    }
}

extension SettingCodec<ByteString> {
    static let bytes = SettingCodec(kind: .text) {
        $0
    } render: {
        $0
    }
}

extension SettingCodec<ByteString> {
    /// The name of a database that is not the console, or nothing.
    static let databaseName = SettingCodec(kind: .text) { text throws(SettingError) in
        guard !Configuration.consoleNames.contains(text) else {
            throw SettingError(
                "database name \(quotedForMessage(text)) is reserved for the console"
            )
        }
        return try checkLength(text, atMost: LengthLimit.databaseName)
    } render: {
        $0
    }
}

extension SettingCodec<ServerCheckQuery> {
    static let serverCheckQuery = SettingCodec(kind: .text) {
        ServerCheckQuery(settingText: $0)
    } render: {
        $0.settingText
    }
}

extension SettingCodec<HostLimit> {
    static let hostLimit = SettingCodec(kind: .countOrPercentage) { text throws(SettingError) in
        guard let limit = HostLimit(settingText: text) else {
            throw .expected("a whole number, or a percentage from 1% to 100%", found: text)
        }
        return limit
    } render: {
        $0.settingText
    }
}

extension SettingCodec<[ByteString]> {
    static let names = SettingCodec(kind: .list) {
        commaSeparated($0)
    } render: { items in
        ByteString(Array(items.map(\.bytes).joined(separator: Array(", ".utf8))))
    }
}

extension SettingCodec<[String]> {
    static let list = SettingCodec(kind: .list) { text throws(SettingError) in
        let value = try SettingCodec<String>.text.parse(text)
        return commaSeparated(ByteString(value)).map(\.text)
    } render: {
        ByteString($0.joined(separator: ", "))
    }
}
