// What a row of the settings table is, and how one is written down.
//
// A row is the only place that knows a setting: parsing, limits, printing, reload, overrides and
// documentation go through it and never name a setting themselves.

public import PostgresWire

/// When a changed value takes effect.
public enum SettingChange: Sendable, Equatable {
    /// At RELOAD or SET.
    case live
    /// At the next start; a reload reports the setting and keeps the running value.
    case restart
}

/// The heading under which a setting is documented; the order of cases is that of the documents.
public enum SettingTopic: String, Sendable, CaseIterable {
    case process = "Process and files"
    case network = "Network"
    case pooling = "Pooling and limits"
    case servers = "Server connections"
    case timeouts = "Timeouts"
    case authentication = "Authentication"
    case tls = "TLS"
    case logging = "Logging"
    case compatibility = "Accepted for compatibility"
}

/// One setting: its name, values, defaults and documentation.
public struct SettingRow: Sendable {
    /// The key in files, in SHOW CONFIG and in SET.
    public let name: String
    /// Which values it takes.
    public let kind: SettingKind
    /// When a change takes effect.
    public let change: SettingChange
    /// Under which heading it is documented.
    public let topic: SettingTopic
    /// What it means, in sentences.
    public let doc: String
    /// How entries of [databases], [users] and [peers] may replace it.
    public let override: SettingOverride?

    private let load: @Sendable (Settings) -> ByteString
    private let save: @Sendable (ByteString, inout Settings) throws(SettingError) -> Void
    private let copy: @Sendable (Settings, inout Settings) -> Void
    let applyPgBouncerDefault: @Sendable (inout Settings) -> Void

    /// The value in `settings`, in a form that `set` accepts.
    public func value(in settings: Settings) -> ByteString { load(settings) }

    /// The value in an empty section of `flavor`.
    public func defaultValue(_ flavor: Flavor) -> ByteString {
        load(flavor == .martlet ? martletDefaults : pgbouncerDefaults)
    }

    /// Reads `text` into `settings`; if the text is not acceptable, `settings` is unchanged.
    public func set(_ text: ByteString, in settings: inout Settings) throws(SettingError) {
        try save(text, &settings)
    }

    /// Takes over the value of another `Settings`.
    public func copy(from source: Settings, to target: inout Settings) {
        copy(source, &target)
    }
}

private let martletDefaults = Settings(flavor: .martlet)
private let pgbouncerDefaults = Settings(flavor: .pgbouncer)

/// Where a value is in `Settings`.
typealias SettingPath<Value> = any WritableKeyPath<Settings, Value> & Sendable

/// Where a value is in `Overrides`.
typealias OverridePath<Value> = any WritableKeyPath<Overrides, Value?> & Sendable

/// How a row says that entries may replace its value.
struct OverrideColumn<Value: Sendable> {
    let keyPath: OverridePath<Value>
    let sections: [EntrySection]
    let name: String?
    let aliases: [String]

    static func `in`(
        _ sections: EntrySection...,
        as name: String? = nil,
        alias aliases: String...,
        at keyPath: OverridePath<Value>
    ) -> OverrideColumn {
        OverrideColumn(keyPath: keyPath, sections: sections, name: name, aliases: aliases)
    }
}

extension SettingRow {
    private init<Value>(
        _ name: String,
        _ keyPath: SettingPath<Value>,
        _ codec: SettingCodec<Value>,
        _ change: SettingChange,
        _ topic: SettingTopic,
        pgbouncer: Value?,
        override column: OverrideColumn<Value>? = nil,
        overrideParse: (@Sendable (ByteString) throws(SettingError) -> Value?)? = nil,
        doc: String
    ) {
        self.name = name
        self.kind = codec.kind
        self.change = change
        self.topic = topic
        self.doc = doc
        self.load = { codec.render($0[keyPath: keyPath]) }
        self.save = { text, settings throws(SettingError) in
            settings[keyPath: keyPath] = try codec.parse(text)
        }
        self.copy = { source, target in target[keyPath: keyPath] = source[keyPath: keyPath] }
        self.applyPgBouncerDefault = { settings in
            if let pgbouncer { settings[keyPath: keyPath] = pgbouncer }
        }
        self.override = column.map { column in
            let target = column.keyPath
            return SettingOverride(
                name: column.name ?? name,
                aliases: column.aliases,
                sections: column.sections,
                store: { text, overrides throws(SettingError) in
                    if let overrideParse {
                        overrides[keyPath: target] = try overrideParse(text)
                    } else {
                        overrides[keyPath: target] = try codec.parse(text)
                    }
                },
                apply: { overrides, settings in
                    if let value = overrides[keyPath: target] { settings[keyPath: keyPath] = value }
                },
                isPresent: { $0[keyPath: target] != nil }
            )
        }
    }

    static func bool(
        _ name: String,
        _ keyPath: SettingPath<Bool>,
        _ change: SettingChange,
        _ topic: SettingTopic,
        override: OverrideColumn<Bool>? = nil,
        doc: String
    ) -> SettingRow {
        SettingRow(
            name,
            keyPath,
            .bool,
            change,
            topic,
            pgbouncer: nil,
            override: override,
            doc: doc
        )
    }

    static func int(
        _ name: String,
        _ keyPath: SettingPath<Int>,
        _ change: SettingChange,
        _ topic: SettingTopic,
        range: ClosedRange<Int> = 0...Int(Int32.max),
        pgbouncer: Int? = nil,
        override: OverrideColumn<Int>? = nil,
        doc: String
    ) -> SettingRow {
        let codec = SettingCodec.int(range)
        return SettingRow(
            name,
            keyPath,
            codec,
            change,
            topic,
            pgbouncer: pgbouncer,
            override: override,
            // In an entry, -1 stands for "as globally".
            overrideParse: { text throws(SettingError) in
                integer(text) == -1 ? nil : try codec.parse(text)
            },
            doc: doc
        )
    }

    static func duration(
        _ name: String,
        _ keyPath: SettingPath<Microseconds>,
        _ change: SettingChange,
        _ topic: SettingTopic,
        range: ClosedRange<Microseconds> = 0...longestDuration,
        override: OverrideColumn<Microseconds>? = nil,
        doc: String
    ) -> SettingRow {
        let codec = SettingCodec.duration(range)
        return SettingRow(
            name,
            keyPath,
            codec,
            change,
            topic,
            pgbouncer: nil,
            override: override,
            // In an entry, PgBouncer takes a negative number for a huge one.
            overrideParse: { text throws(SettingError) in
                if let number = integer(text), number < 0 { return longestDuration }
                return try codec.parse(text)
            },
            doc: doc
        )
    }

    static func keyword<Value: SettingKeyword>(
        _ name: String,
        _ keyPath: SettingPath<Value>,
        _ change: SettingChange,
        _ topic: SettingTopic,
        pgbouncer: Value,
        override: OverrideColumn<Value>? = nil,
        doc: String
    ) -> SettingRow {
        SettingRow(
            name,
            keyPath,
            .keyword,
            change,
            topic,
            pgbouncer: pgbouncer,
            override: override,
            doc: doc
        )
    }

    /// Any other type of value, by its codec.
    static func value<Value>(
        _ name: String,
        _ keyPath: SettingPath<Value>,
        _ codec: SettingCodec<Value>,
        _ change: SettingChange,
        _ topic: SettingTopic,
        pgbouncer: Value? = nil,
        override: OverrideColumn<Value>? = nil,
        doc: String
    ) -> SettingRow {
        SettingRow(
            name,
            keyPath,
            codec,
            change,
            topic,
            pgbouncer: pgbouncer,
            override: override,
            doc: doc
        )
    }
}
