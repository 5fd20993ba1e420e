// Which user of the operating system may log in as which user of the database: the maps of
// auth_ident_file. Looking the system's user up is not done here.
//
// `map system-user database-user` per line. A system user behind a slash is a regular expression, and
// `\1` in the database user stands for what its first group has matched; a database user can be `all`,
// or a regular expression, too.
//
// Source: PostgreSQL documentation, section 21.2 "User Name Maps". Expressions are Swift's, which are
// PostgreSQL's in all that names of users need: `^(.*)@example\.com$`, classes, groups, alternatives.

public import PostgresWire

/// The maps of a file.
public struct IdentMaps: Equatable, Sendable {
    private enum Pattern: Equatable, Sendable {
        case all
        case name(ByteString)
        case expression(String)
    }

    private struct Entry: Equatable, Sendable {
        let map: ByteString
        let systemUser: Pattern
        let user: Pattern
    }

    private var entries: [Entry] = []

    /// Makes a file without maps.
    public init() {}

    /// Reads a file; `path` is for error messages.
    ///
    /// - Throws: the first thing that is wrong, with its line.
    public init(path: String, contents: [UInt8]) throws(ConfigurationError) {
        for line in try parseRuleFile(path: path, contents: contents) {
            entries.append(try Self.entry(line))
        }
    }

    /// Whether there is a map of this name.
    public func contains(_ map: ByteString) -> Bool { entries.contains { $0.map == map } }

    /// Whether a user of the operating system may log in as a user of the database.
    ///
    /// - Parameter map: the map that says so; nil means that the names have to be equal.
    public func allows(
        systemUser: ByteString,
        toBe user: ByteString,
        by map: ByteString?
    ) -> Bool {
        guard let map else { return systemUser == user }
        return entries.contains { entry in
            entry.map == map && Self.allows(systemUser, toBe: user, by: entry)
        }
    }

    private static func allows(
        _ systemUser: ByteString,
        toBe user: ByteString,
        by entry: Entry
    ) -> Bool {
        var group: Substring?
        switch entry.systemUser {
        case .all: break
        case .name(let name): guard name == systemUser else { return false }
        case .expression(let text):
            guard let expression = try? Regex(text),
                let match = try? expression.firstMatch(in: systemUser.text)
            else { return false }
            group = match.output.count > 1 ? match.output[1].substring : nil
        }
        switch entry.user {
        case .all: return true
        case .expression(let text):
            return (try? Regex(text).firstMatch(in: user.text)) != nil
        case .name(let name):
            guard case .expression = entry.systemUser else { return name == user }
            return expanded(name, with: group) == user
        }
    }

    /// A name with the first `\1` replaced; nil if there is nothing to replace it by.
    private static func expanded(_ name: ByteString, with group: Substring?) -> ByteString? {
        guard let place = backReference(in: name) else { return name }
        guard let group else { return nil }
        return ByteString(
            Array(name.bytes[..<place]) + Array(group.utf8) + Array(name.bytes[(place + 2)...])
        )
    }

    private static func backReference(in name: ByteString) -> Int? {
        name.bytes.indices.dropLast().first {
            name.bytes[$0] == UInt8(ascii: "\\") && name.bytes[$0 + 1] == UInt8(ascii: "1")
        }
    }

    // MARK: Reading

    private static func entry(_ line: RuleLine) throws(ConfigurationError) -> Entry {
        guard line.fields.count == 3, line.fields.allSatisfy({ $0.count == 1 }) else {
            throw line.place.error("expected a map, a system user and a database user")
        }
        let words = line.fields.map { $0[0] }
        let systemUser = try pattern(words[1], isSystemUser: true, line.place)
        let user = try pattern(words[2], isSystemUser: false, line.place)
        if case .expression(let text) = systemUser, case .name(let name) = user,
            backReference(in: name) != nil, !hasGroup(text)
        {
            throw line.place.error("\(quotedForMessage(words[1].text)) has no group for \\1")
        }
        return Entry(map: words[0].text, systemUser: systemUser, user: user)
    }

    private static func hasGroup(_ text: String) -> Bool {
        // Matched against itself with everything optional, an expression shows how many groups it has.
        guard let expression = try? Regex("(?:\(text))?"),
            let match = try? expression.prefixMatch(in: "")
        else { return false }
        return match.output.count > 1
    }

    private static func pattern(
        _ word: RuleWord,
        isSystemUser: Bool,
        _ place: SourceLine
    ) throws(ConfigurationError) -> Pattern {
        if word.text.bytes.first == UInt8(ascii: "/") {
            let text = ByteString(Array(word.text.bytes.dropFirst())).text
            do {
                _ = try Regex(text)
            } catch {
                throw place.error(
                    "\(quotedForMessage(word.text)) is not a regular expression: \(error)"
                )
            }
            return .expression(text)
        }
        if isSystemUser { return .name(word.text) }
        if word.isKeyword("all") { return .all }
        if !word.isQuoted, word.text.bytes.first == UInt8(ascii: "+") {
            throw place.error(
                "\(quotedForMessage(word.text)) is not supported: the pooler knows no role members"
            )
        }
        return .name(word.text)
    }
}
