// The one question by which the pooler learns, between two transactions, what a client has left in
// its server's session: which settings have which values, and what there is that cannot be moved to
// another server. PostgreSQL's own answer takes rollbacks, savepoints and functions into account.
//
// Source: PostgreSQL documentation, sections 9.27 "System Administration Functions" and 54.24
// "pg_settings", 54.13 "pg_locks", 54.6 "pg_cursors", 54.16 "pg_prepared_statements".

public import PostgresWire

/// What is asked of a server about its session.
public struct SessionProbe: Equatable, Sendable {
    /// Which settings are asked for.
    public enum Settings: Equatable, Sendable {
        case none
        case named([ByteString])
        /// All that the session has changed; custom settings only those with these names, because
        /// the server does not list them.
        case all(custom: [ByteString])
    }

    public let settings: Settings
    public let asksForPins: Bool
    /// Whether it asks for the prepared statements, and how many there are with names of the pooler's.
    public let asksForStatements: Bool
    /// Whether it has been asked before, and the answer was interrupted.
    public var isRepeated = false

    /// What has to be asked because of `doubts`; nil when nothing has.
    ///
    /// - Parameters:
    ///   - pins: what is known to be left in the session.
    ///   - knownNames: the settings that the session's state has, in small letters.
    ///   - customNames: the custom ones that any session of the pool has been seen to name.
    ///   - tracksStatements: whether prepared statements follow their client.
    public init?(
        _ doubts: SessionDoubts,
        pins: PinReasons,
        knownNames: [ByteString],
        customNames: Set<ByteString> = [],
        tracksStatements: Bool
    ) {
        let effects = doubts.effects
        let custom = { (name: ByteString) in name.bytes.contains(UInt8(ascii: ".")) }
        var names = doubts.settingNames
        if effects.contains(.role) { names += ["role", "session_authorization"] }
        if doubts.asksForAllSettings {
            let all = names + knownNames + customNames
            settings = .all(custom: Self.unique(all.filter(custom)))
        } else if effects.contains(.settings) {
            let all = Self.unique((knownNames + customNames).filter(custom))
            settings = names.isEmpty ? .all(custom: all) : .named(names)
        } else if effects.contains(.localSettings) {
            // The name of a custom setting is known to the server from now on, with an empty value.
            let new = names.filter { custom($0) && !knownNames.contains($0) }
            settings = new.isEmpty ? .none : .named(new)
        } else {
            settings = .none
        }
        asksForPins =
            !effects.isDisjoint(with: Self.pinningEffects)
            || effects.contains(.sqlPrepare) && !tracksStatements
            || !pins.subtracting(.lasting).isEmpty
                && !effects.isDisjoint(with: Self.releasingEffects)
        asksForStatements =
            tracksStatements
            && (!effects.isDisjoint(with: Self.statementEffects)
                || asksForPins && pins.contains(.prepare))
        if settings == .none && !asksForPins && !asksForStatements { return nil }
    }

    /// What an audit asks: everything but prepared statements, which may stay.
    ///
    /// - Parameter knownNames: as above; nil leaves settings out.
    public init(auditing knownNames: [ByteString]?) {
        settings =
            knownNames.map { names in
                .all(custom: Self.unique(names.filter { $0.bytes.contains(UInt8(ascii: ".")) }))
            } ?? .none
        asksForPins = true
        asksForStatements = false
    }

    private static let statementEffects: SessionEffects = [
        .opaque, .sqlPrepare, .sqlDeallocate,
    ]

    private static let pinningEffects: SessionEffects = [
        .opaque, .listen, .temporary, .holdCursor, .advisoryLock,
    ]
    private static let releasingEffects: SessionEffects = [
        .sqlDeallocate, .deallocateAll, .discardAll, .discardTemp, .unlisten, .unlistenAll, .drop,
        .cursor, .closeAll, .advisoryUnlock,
    ]

    private static func unique(_ names: [ByteString]) -> [ByteString] {
        var seen: Set<ByteString> = []
        return names.filter { seen.insert($0).inserted }
    }

    // MARK: The question

    /// The text of the Query.
    public var text: ByteString {
        var text: [UInt8] = []
        switch settings {
        case .none: break
        case .named(let names):
            text += Array("SELECT n,pg_catalog.current_setting(n,true) FROM (VALUES ".utf8)
            text += Self.rows(names)
            text += Array(") v(n);".utf8)
        case .all(let custom):
            text += Array(
                """
                SELECT name,pg_catalog.current_setting(name) FROM pg_catalog.pg_settings \
                WHERE source OPERATOR(pg_catalog.=) 'session' UNION ALL \
                SELECT n,pg_catalog.current_setting(n,true) FROM (VALUES 
                """.utf8
            )
            text += Self.rows(["role"] + custom)
            text += Array(") v(n);".utf8)
        }
        if asksForStatements { text += Array(Self.statementQuestion.utf8) }
        if asksForPins { text += Array((Self.pinQuestion + Self.channelQuestion).utf8) }
        return ByteString(text)
    }

    private static func rows(_ names: [ByteString]) -> [UInt8] {
        Array(
            names.map {
                [UInt8(ascii: "(")] + InternalSQL.quotedLiteral($0).bytes + [UInt8(ascii: ")")]
            }
            .joined(separator: [UInt8(ascii: ",")])
        )
    }

    private static let statementQuestion = """
        SELECT name,statement,from_sql,parameter_types::pg_catalog.oid[]::pg_catalog.text \
        FROM pg_catalog.pg_prepared_statements \
        WHERE pg_catalog.left(name,8) OPERATOR(pg_catalog.<>) 'MARTLET_' UNION ALL \
        SELECT NULL,count(*)::pg_catalog.text,NULL,NULL FROM pg_catalog.pg_prepared_statements \
        WHERE pg_catalog.left(name,8) OPERATOR(pg_catalog.=) 'MARTLET_' \
        AND name OPERATOR(pg_catalog.<>) 'MARTLET_INTERNAL';
        """

    /// Five counts, in the order of `pinColumns`.
    private static let pinQuestion = """
        SELECT (SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace \
        OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) OPERATOR(pg_catalog.+) \
        (SELECT count(*) FROM pg_catalog.pg_proc WHERE pronamespace \
        OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) OPERATOR(pg_catalog.+) \
        (SELECT count(*) FROM pg_catalog.pg_type WHERE typnamespace \
        OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()),\
        (SELECT count(*) FROM pg_catalog.pg_cursors WHERE is_holdable),\
        (SELECT count(*) FROM pg_catalog.pg_locks WHERE pid OPERATOR(pg_catalog.=) \
        pg_catalog.pg_backend_pid() AND locktype OPERATOR(pg_catalog.=) 'advisory'),\
        (SELECT count(*) FROM pg_catalog.pg_listening_channels()),\
        (SELECT count(*) FROM pg_catalog.pg_prepared_statements WHERE from_sql)
        """
    private static let channelQuestion = ";SELECT c FROM pg_catalog.pg_listening_channels() c"
    private static let pinColumns: [PinReasons] = [
        .temporary, .holdCursor, .advisoryLock, .listen, .prepare,
    ]

    // MARK: The answer

    /// The longest answer that is read, in bytes, and the most settings that a session may have:
    /// clients can make up as many and as long ones as they like.
    public static let answerLimit = 1 << 20
    private static let settingLimit = 200

    /// Reads what the server answered: all messages up to ReadyForQuery.
    ///
    /// - Returns: nil when the answer is not one to this question, or is too much.
    public func evidence(in bytes: RawSpan) -> SessionEvidence? {
        var evidence = SessionEvidence()
        if case .all = settings { evidence.isComplete = true }
        if asksForStatements { evidence.statements = [] }
        var hasPins = false
        guard let rows = try? DataRow.rows(in: bytes) else { return nil }
        for row in rows {
            if row.columns.count == 2, let name = row.columns[0] {
                evidence.settings.append((name.lowercasedASCII, row.columns[1]))
            } else if asksForStatements, row.columns.count == 4, row.columns[0] == nil,
                let count = row.columns[1].flatMap({
                    Int(String(decoding: $0.bytes, as: UTF8.self))
                })
            {
                evidence.poolerStatementCount = count
            } else if asksForStatements, let statement = PreparedStatementRow(row.columns) {
                evidence.statements?.append(statement)
            } else if row.columns.count == Self.pinColumns.count {
                hasPins = true
                for (reason, count) in zip(Self.pinColumns, row.columns) where count != "0" {
                    evidence.pins.insert(reason)
                }
            } else if row.columns.count == 1, let channel = row.columns[0] {
                evidence.channels.append(channel)
            } else {
                return nil
            }
        }
        guard hasPins == asksForPins, evidence.settings.count <= Self.settingLimit else {
            return nil
        }
        if case .named(let names) = settings, evidence.settings.count != names.count { return nil }
        return evidence
    }
}

/// What a server said about its session.
public struct SessionEvidence: Sendable {
    /// Values of settings, by names in small letters; nil for a custom setting that the session has
    /// never heard of.
    public var settings: [(name: ByteString, value: ByteString?)] = []
    /// Whether `settings` has all that the session has changed.
    public var isComplete = false
    /// The settings that have a value of the session's own; a custom one that is empty has been reset,
    /// as far as can be told.
    public var changedNames: Set<ByteString> {
        Set(
            settings.compactMap { name, value in
                guard let value else { return nil }
                return value.isEmpty && name.bytes.contains(UInt8(ascii: ".")) ? nil : name
            }
        )
    }

    /// Takes out the custom settings that are empty, as far as nobody knows them: their names stay in
    /// a session for good.
    public mutating func removeTraces(except known: Set<ByteString>) {
        let changed = changedNames
        settings.removeAll { !changed.contains($0.name) && !known.contains($0.name) }
    }

    /// The custom settings that have an empty value.
    public var emptyNames: [ByteString] {
        settings.compactMap { name, value in
            value?.isEmpty == true && name.bytes.contains(UInt8(ascii: ".")) ? name : nil
        }
    }

    /// Whether it has the value of a custom setting.
    public var hasCustomNames: Bool {
        settings.contains { $0.value != nil && $0.name.bytes.contains(UInt8(ascii: ".")) }
    }

    /// The channels that the server listens to, in the order in which it began to.
    public var channels: [ByteString] = []
    /// What cannot be moved, of the reasons that a server can be asked for.
    public var pins: PinReasons = []

    /// The prepared statements under names of the client's; nil if they were not asked for.
    public var statements: [PreparedStatementRow]?
    /// How many prepared statements there are under names of the pooler's; nil if that was not asked.
    public var poolerStatementCount: Int?

    /// Nothing has been said.
    public init() {}
}
