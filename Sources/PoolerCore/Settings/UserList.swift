// Reads an auth_file: the users who may log in and their secrets.
//
// `"user" "secret"` per line, `""` in quotes for a quote, the rest of the line ignored, `;` starts
// a comment line. What kind of secret a text is (plain, MD5, SCRAM) is decided by authentication,
// not here. A broken line does not keep the users of other lines out (PgBouncer stops at the first
// one).

public import PostgresWire

/// Users and their secrets.
public struct UserList: Sendable, Equatable {
    /// The secrets as they stand in the file; empty = the user has no usable password.
    public private(set) var secrets: [ByteString: ByteString] = [:]
    /// The users in the order of the file.
    public private(set) var names: [ByteString] = []
    /// One error for each line that could not be read, in order; they never contain a secret.
    public private(set) var brokenLines: [ConfigurationError] = []

    /// Makes a list without users.
    public init() {}

    /// Reads the contents of an auth_file; `path` is for error messages.
    public init(path: String, contents: [UInt8]) {
        let lines = contents.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            do {
                try read(line)
            } catch {
                brokenLines.append(
                    ConfigurationError(file: path, line: index + 1, message: error.message)
                )
            }
        }
    }

    /// Adds a user or replaces its secret.
    public mutating func add(_ name: ByteString, secret: ByteString) {
        if secrets.updateValue(secret, forKey: name) == nil {
            names.append(name)
        }
    }

    private mutating func read(_ line: ArraySlice<UInt8>) throws(SettingError) {
        var rest = line.drop(while: isASCIISpace)
        guard let first = rest.first, first != UInt8(ascii: ";") else { return }
        let name = try quoted("user name", atMost: LengthLimit.userName, &rest)
        guard !name.isEmpty else { throw SettingError("broken auth file: the user name is empty") }
        rest = rest.drop(while: isASCIIBlank)
        let secret = try quoted("secret", atMost: LengthLimit.secret, &rest)
        add(name, secret: secret)
    }

    private func quoted(
        _ what: String,
        atMost limit: Int,
        _ rest: inout ArraySlice<UInt8>
    ) throws(SettingError) -> ByteString {
        guard rest.first == UInt8(ascii: "\"") else {
            throw SettingError("broken auth file: expected a \(what) in double quotes")
        }
        guard let text = takeQuoted(&rest) else {
            throw SettingError("broken auth file: the \(what) has no closing quote")
        }
        guard text.count <= limit, !text.bytes.contains(0) else {
            throw SettingError(
                "broken auth file: expected a \(what) of at most \(limit) bytes, none of them zero"
            )
        }
        return text
    }
}
