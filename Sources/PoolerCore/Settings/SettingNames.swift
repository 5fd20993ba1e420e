// From a name to its setting, and what to say when there is none.
//
// Names that PgBouncer knows and Martlet does not are refused like unknown ones, but an operator
// deserves to hear that the name is right.

public import PostgresWire

extension Settings {
    /// Sets one setting from its text, as a line of the main section or a SET on the console does.
    ///
    /// - Parameters:
    ///   - name: The exact name of the setting.
    ///   - text: The new value.
    ///   - section: The section to name in the error about an unknown setting.
    /// - Returns: The setting's row, which says whether the change takes effect while running.
    /// - Throws: What was expected; then nothing has changed.
    @discardableResult
    public mutating func set(
        _ name: String,
        to text: ByteString,
        section: String
    ) throws(SettingError) -> SettingRow {
        guard let row = settingRow(named: name) else {
            if let reason = absentSettings[name] {
                throw SettingError("setting \"\(name)\" is not supported: \(reason)")
            }
            throw unknownName("setting", name, in: section, among: settingTable.map(\.name))
        }
        do {
            try row.set(text, in: &self)
        } catch {
            throw SettingError("\(name): \(error.message)")
        }
        return row
    }
}

/// The overrides, in the order of their settings.
public let settingOverrides: [SettingOverride] = settingTable.compactMap(\.override)

private let rowIndexByName = Dictionary(
    uniqueKeysWithValues: settingTable.enumerated().map { ($1.name, $0) }
)

/// The row of the setting with this exact name.
public func settingRow(named name: String) -> SettingRow? {
    rowIndexByName[name].map { settingTable[$0] }
}

/// Wording shared by all names that do not exist.
func unknownName(
    _ what: String,
    _ name: String,
    in section: String,
    among names: [String]
) -> SettingError {
    let hint = suggestion(for: name, among: names).map { "; did you mean \"\($0)\"?" } ?? ""
    return SettingError(
        "unknown \(what) \(quotedForMessage(ByteString(name))) in section [\(section)]\(hint)"
    )
}

/// Settings of a [pgbouncer] section for what Martlet does not have, and what that is.
let absentSettings = [
    "auth_ldap_options": "Martlet has no LDAP",
    "service_name": "it names a service on Windows",
]
