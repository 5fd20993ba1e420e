// The settings that decide what the text of a prepared statement means. PostgreSQL turns literals such
// as '02/03/2024'::date into values when it reads the text, so that a text that two clients prepared
// under different settings is two statements.

internal import PostgresWire

/// The settings under which a statement was prepared.
public struct ParseSettings: Equatable, Sendable {
    /// Equal for equal values, and practically never for others.
    public let fingerprint: UInt64
    /// The values, each as what gives it to a session.
    public let values: [SettingsChange]

    /// No setting is known.
    public static let none = ParseSettings(fingerprint: 0, values: [])

    private init(fingerprint: UInt64, values: [SettingsChange]) {
        self.fingerprint = fingerprint
        self.values = values
    }

    /// Picks from the settings of a state those that matter.
    ///
    /// - Parameter settings: names as the server spells them, and values.
    init(of settings: [(name: ByteString, value: ByteString)]) {
        var fingerprint: UInt64 = 0
        var values: [SettingsChange] = []
        for (name, value) in settings where Self.names.contains(name.lowercasedASCII) {
            var hasher = Hasher()
            hasher.combine(name.lowercasedASCII)
            hasher.combine(value)
            // In whatever order they come.
            fingerprint &+= UInt64(bitPattern: Int64(hasher.finalize()))
            values.append(.set(name: name, value: value))
        }
        self.init(fingerprint: fingerprint, values: values)
    }

    /// The same values for a statement that is shared only within a pool: the same text is about
    /// other tables in another database.
    ///
    /// - Parameter mark: a number that no other pool has. Does not allocate.
    public func ofPool(_ mark: UInt64) -> ParseSettings {
        ParseSettings(fingerprint: Self.fingerprint(fingerprint, ofPool: mark), values: values)
    }

    /// The fingerprint that `ofPool` gives.
    public static func fingerprint(_ fingerprint: UInt64, ofPool mark: UInt64) -> UInt64 {
        fingerprint ^ mark
    }

    /// The same values for a statement that no other client shall share.
    ///
    /// - Parameter number: that of the client's connection.
    public func ofClient(_ number: UInt64) -> ParseSettings {
        var hasher = Hasher()
        hasher.combine(fingerprint)
        hasher.combine(number)
        return ParseSettings(
            fingerprint: UInt64(bitPattern: Int64(hasher.finalize())),
            values: values
        )
    }

    /// The same values for a statement that nobody else shall share.
    ///
    /// - Parameter serial: the statement's serial number.
    func ofStatement(_ serial: UInt64) -> ParseSettings { ofClient(~serial) }

    /// The same settings with values that some of them had at another time.
    public func replaced(by records: [SettingRecord]) -> ParseSettings {
        ParseSettings(
            of: values.compactMap { change in
                guard case .set(let name, let value) = change else { return nil }
                let other = records.first { $0.name.lowercasedASCII == name.lowercasedASCII }
                return (name, other?.value ?? value)
            }
        )
    }

    /// The values, for another process.
    var records: [SettingRecord] {
        values.compactMap { change in
            guard case .set(let name, let value) = change else { return nil }
            return SettingRecord(name: name, value: value, isReported: true)
        }
    }

    /// What has to be set so that a statement means the same in a session that has `current`.
    ///
    /// A setting that one of them does not name is not known, and left alone.
    public func changes(from current: ParseSettings) -> [SettingsChange] {
        guard fingerprint != current.fingerprint else { return [] }
        return values.filter { change in
            !current.values.contains(change)
                && current.values.contains {
                    $0.name.lowercasedASCII == change.name.lowercasedASCII
                }
        }
    }

    private static let names: Set<ByteString> = [
        "timezone", "datestyle", "intervalstyle", "standard_conforming_strings", "client_encoding",
        "search_path", "lc_monetary", "default_text_search_config", "xmloption", "array_nulls",
        "backslash_quote", "transform_null_equals",
    ]
}
