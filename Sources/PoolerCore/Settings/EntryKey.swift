// What a key of an entry in [databases], [users] or [peers] is, and how an entry is read.
//
// An entry takes its own keys, listed in a table beside its type, and the overrides that
// `settingTable` allows in its section.

import PostgresWire

/// A key that only entries have.
public struct EntryKey<Entry: Sendable>: Sendable {
    /// The key as it is written.
    public let name: String
    /// What it means, in sentences.
    public let doc: String
    /// Reads the key's value into the entry.
    let store: @Sendable (ByteString, inout Entry) throws(SettingError) -> Void
}

/// An entry of [databases], [users] or [peers].
protocol ConfigurationEntry: Sendable {
    static var section: EntrySection { get }
    static var keys: [EntryKey<Self>] { get }
    var overrides: Overrides { get set }
}

extension ConfigurationEntry {
    /// Reads `key=value` pairs into the entry; a repeated key wins over its earlier values.
    mutating func read(_ text: ByteString) throws(SettingError) {
        for pair in try parseConnectionString(text) {
            guard let store = Self.store(for: pair.key) else { throw Self.unknown(pair.key) }
            do {
                try store(pair.value, &self)
            } catch {
                throw SettingError("\(pair.key): \(error.message)")
            }
        }
    }

    private typealias Store = (ByteString, inout Self) throws(SettingError) -> Void

    private static func store(for name: String) -> Store? {
        if let key = keys.first(where: { $0.name == name }) { return key.store }
        guard let override = overridesHere.first(where: { $0.allNames.contains(name) }) else {
            return nil
        }
        return { value, entry throws(SettingError) in
            try override.store(value, &entry.overrides)
        }
    }

    private static var overridesHere: [SettingOverride] {
        settingOverrides.filter { $0.sections.contains(section) }
    }

    private static func unknown(_ name: String) -> SettingError {
        let names = keys.map(\.name) + overridesHere.map(\.name)
        return unknownName("key", name, in: section.rawValue, among: names)
    }
}

/// Longest names and secrets, in bytes, as in PgBouncer.
enum LengthLimit {
    static let databaseName = 63
    static let userName = 127
    static let secret = 65530
}

/// Checks the length of a name or secret; the error does not contain the text.
func checkLength(_ text: ByteString, atMost limit: Int) throws(SettingError) -> ByteString {
    guard text.count <= limit else {
        throw SettingError("expected at most \(limit) bytes, found \(text.count)")
    }
    return text
}
