// What goes with a connection from one process to its successor: settings, prepared statements, doubts.
// Everything by value: slots, ids and interned states mean nothing to another process.

public import PostgresWire

/// A setting of a session.
public struct SettingRecord: TakeoverRecord {
    public var name: ByteString
    public var value: ByteString
    /// Whether the server reports it.
    public var isReported: Bool

    public init(name: ByteString, value: ByteString, isReported: Bool) {
        self.name = name
        self.value = value
        self.isReported = isReported
    }

    public func encode(into writer: inout RecordWriter) {
        writer.write(name)
        writer.write(value)
        writer.write(isReported)
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        name = try reader.text()
        value = try reader.text()
        isReported = try reader.flag()
    }
}

/// A prepared statement, whoever has it.
public struct StatementRecord: TakeoverRecord {
    /// The number in its name on servers.
    public var serial: UInt64
    /// All that follows the name in its Parse.
    public var body: ByteString
    /// The settings under which it was prepared.
    public var settings: [SettingRecord]
    /// The pool whose clients share it; nil when it is one client's own, or nobody prepares its text
    /// any more in the hope to get it.
    public var pool: PoolKeyRecord?
    /// What Describe has said of it.
    public var description: DescriptionRecord?

    public init(
        serial: UInt64,
        body: ByteString,
        settings: [SettingRecord],
        pool: PoolKeyRecord?,
        description: DescriptionRecord?
    ) {
        self.serial = serial
        self.body = body
        self.settings = settings
        self.pool = pool
        self.description = description
    }

    public func encode(into writer: inout RecordWriter) {
        writer.write(serial)
        writer.write(body)
        writer.write(settings)
        writer.write(pool)
        writer.write(description)
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        serial = try reader.number()
        body = try reader.text()
        settings = try reader.records()
        pool = try reader.optionalRecord()
        description = try reader.optionalRecord()
    }
}

/// What Describe has said of a statement.
public struct DescriptionRecord: TakeoverRecord {
    public var parameterTypes: [UInt32]
    /// The fingerprint of its columns, if it gives rows.
    public var columns: UInt64?

    public init(parameterTypes: [UInt32], columns: UInt64?) {
        self.parameterTypes = parameterTypes
        self.columns = columns
    }

    public func encode(into writer: inout RecordWriter) {
        writer.write(UInt64(parameterTypes.count))
        for type in parameterTypes { writer.write(UInt64(type)) }
        writer.write(columns != nil)
        if let columns { writer.write(columns) }
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        parameterTypes = []
        for _ in 0..<(try reader.number()) { parameterTypes.append(try reader.narrowNumber()) }
        columns = try reader.flag() ? try reader.number() : nil
    }
}

/// A statement under a name that a client has given it.
public struct NamedStatementRecord: TakeoverRecord {
    public var name: ByteString
    /// The statement's serial number.
    public var serial: UInt64
    /// What executing it may change in the session.
    public var effects: SessionEffects
    /// The PREPARE that made it, if one did.
    public var text: ByteString?
    /// The length of the statement, by which the client's limit counts it.
    public var bodyByteCount: Int

    public init(
        name: ByteString,
        serial: UInt64,
        effects: SessionEffects,
        text: ByteString?,
        bodyByteCount: Int
    ) {
        self.name = name
        self.serial = serial
        self.effects = effects
        self.text = text
        self.bodyByteCount = bodyByteCount
    }

    public func encode(into writer: inout RecordWriter) {
        writer.write(name)
        writer.write(serial)
        writer.write(effects.rawValue)
        writer.write(text.map { [$0] } ?? [])
        writer.write(UInt64(bodyByteCount))
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        name = try reader.text()
        serial = try reader.number()
        effects = SessionEffects(rawValue: try reader.number())
        text = try reader.texts().first
        bodyByteCount = Int(try reader.narrowNumber(UInt32.self))
    }
}

/// A statement that a server has under the pooler's name for it.
public struct ServerStatementRecord: TakeoverRecord {
    public var serial: UInt64
    /// Whether it is what its clients take it for.
    public var isFit: Bool
    /// Whether it was prepared for the tables as they are now.
    public var isCurrent: Bool

    public init(serial: UInt64, isFit: Bool, isCurrent: Bool) {
        self.serial = serial
        self.isFit = isFit
        self.isCurrent = isCurrent
    }

    public func encode(into writer: inout RecordWriter) {
        writer.write(serial)
        writer.write(isFit)
        writer.write(isCurrent)
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        serial = try reader.number()
        isFit = try reader.flag()
        isCurrent = try reader.flag()
    }
}

/// Under which settings a statement was prepared by SQL.
public struct PreparationRecord: TakeoverRecord {
    /// The statement's name.
    public var name: ByteString
    public var settings: [SettingRecord]

    public init(name: ByteString, settings: [SettingRecord]) {
        self.name = name
        self.settings = settings
    }

    public func encode(into writer: inout RecordWriter) {
        writer.write(name)
        writer.write(settings)
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        name = try reader.text()
        settings = try reader.records()
    }
}

/// What a client may have changed of its server's session since that was last certain.
extension SessionDoubts: TakeoverRecord {
    public func encode(into writer: inout RecordWriter) {
        writer.write(effects.rawValue)
        writer.write(settingNames)
        writer.write(asksForAllSettings)
        writer.write(statementNames.sorted())
        writer.write(preparations)
        writer.write(assignedNames.sorted())
        writer.write(awaitsSurvey)
        writer.write(hasNewDefinitions)
        writer.write(preparedEffects.rawValue)
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        self.init(
            effects: SessionEffects(rawValue: try reader.number()),
            settingNames: try reader.texts(),
            asksForAllSettings: try reader.flag(),
            statementNames: Set(try reader.texts()),
            preparations: try reader.records(),
            assignedNames: Set(try reader.texts()),
            awaitsSurvey: try reader.flag(),
            hasNewDefinitions: try reader.flag(),
            preparedEffects: SessionEffects(rawValue: try reader.number())
        )
    }
}
