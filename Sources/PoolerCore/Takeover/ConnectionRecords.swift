// The connections that go from one process to its successor. A record is complete: whoever reads it
// needs only the descriptors that came with it, and the statements that came before it.

public import PostgresWire

/// A pool's key.
public struct PoolKeyRecord: TakeoverRecord, Hashable {
    public var database: ByteString
    public var user: ByteString

    public init(_ key: PoolKey) {
        database = key.database
        user = key.user
    }

    /// The key.
    public var key: PoolKey { PoolKey(database: database, user: user) }

    public func encode(into writer: inout RecordWriter) {
        writer.write(database)
        writer.write(user)
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        database = try reader.text()
        user = try reader.text()
    }
}

/// The address of one end of a socket, as numbers.
public struct AddressRecord: TakeoverRecord {
    public var kind: UInt8
    public var high: UInt64
    public var low: UInt64
    public var scope: UInt16
    public var port: Int32

    public init(kind: UInt8, high: UInt64, low: UInt64, scope: UInt16, port: Int32) {
        self.kind = kind
        self.high = high
        self.low = low
        self.scope = scope
        self.port = port
    }

    public func encode(into writer: inout RecordWriter) {
        writer.write(UInt64(kind))
        writer.write(high)
        writer.write(low)
        writer.write(UInt64(scope))
        writer.write(Int64(port))
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        kind = try reader.narrowNumber()
        high = try reader.number()
        low = try reader.number()
        scope = try reader.narrowNumber()
        port = try reader.narrowNumber()
    }
}

/// A client connection on its way to another process.
public struct ClientRecord: TakeoverRecord {
    public var number: UInt64 = 0
    public var cancelKey = CancelKey(processID: 0, secretKey: 0)
    public var address: AddressRecord
    public var database: ByteString
    public var user: ByteString
    public var pool: PoolKeyRecord
    public var connectTime: Microseconds = 0
    public var requestTime: Microseconds = 0
    public var settings: [SettingRecord] = []
    /// What RESET gives it.
    public var startSettings: [SettingRecord] = []
    public var statements: [NamedStatementRecord] = []
    /// Its unnamed statement, under an empty name.
    public var unnamed: NamedStatementRecord?
    public var unnamedEffects: SessionEffects = []
    public var canReuseUnnamed = false
    public var isUnnamedReused = false
    public var usesSequences = false
    /// The custom settings that its session has touched.
    public var customNames: [ByteString] = []
    /// Whether everything since its last Sync was answered without a server.
    public var hasOwnAnswers = false
    /// What it listens to.
    public var channels: [ByteString] = []
    /// What it has sent and nobody has looked at.
    public var held: [UInt8] = []
    /// What it has not been sent yet.
    public var unsent: [UInt8] = []

    public init(
        address: AddressRecord,
        database: ByteString,
        user: ByteString,
        pool: PoolKeyRecord
    ) {
        self.address = address
        self.database = database
        self.user = user
        self.pool = pool
    }

    public func encode(into writer: inout RecordWriter) {
        writer.write(number)
        writer.write(cancelKey)
        address.encode(into: &writer)
        writer.write(database)
        writer.write(user)
        pool.encode(into: &writer)
        writer.write(connectTime)
        writer.write(requestTime)
        writer.write(settings)
        writer.write(startSettings)
        writer.write(statements)
        writer.write(unnamed)
        writer.write(unnamedEffects.rawValue)
        writer.write(canReuseUnnamed)
        writer.write(isUnnamedReused)
        writer.write(usesSequences)
        writer.write(customNames)
        writer.write(hasOwnAnswers)
        writer.write(channels)
        writer.write(held)
        writer.write(unsent)
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        number = try reader.number()
        cancelKey = try reader.cancelKey()
        address = try AddressRecord(decoding: &reader)
        database = try reader.text()
        user = try reader.text()
        pool = try PoolKeyRecord(decoding: &reader)
        connectTime = try reader.signedNumber()
        requestTime = try reader.signedNumber()
        settings = try reader.records()
        startSettings = try reader.records()
        statements = try reader.records()
        unnamed = try reader.optionalRecord()
        unnamedEffects = SessionEffects(rawValue: try reader.number())
        canReuseUnnamed = try reader.flag()
        isUnnamedReused = try reader.flag()
        usesSequences = try reader.flag()
        customNames = try reader.texts()
        hasOwnAnswers = try reader.flag()
        channels = try reader.texts()
        held = try reader.byteArray()
        unsent = try reader.byteArray()
    }
}

/// Where a server is.
public struct EndpointRecord: TakeoverRecord {
    /// The path of its Unix socket; empty for TCP.
    public var path: ByteString
    public var address: AddressRecord

    public init(path: ByteString, address: AddressRecord) {
        self.path = path
        self.address = address
    }

    public func encode(into writer: inout RecordWriter) {
        writer.write(path)
        address.encode(into: &writer)
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        path = try reader.text()
        address = try AddressRecord(decoding: &reader)
    }
}

/// A server connection on its way to another process: one that owes nothing.
public struct ServerRecord: TakeoverRecord {
    public var pool: PoolKeyRecord
    /// The host that it counts for, and where that was found.
    public var host: HostName
    public var endpoint: EndpointRecord
    public var localAddress: AddressRecord
    public var cancelKey: CancelKey?
    public var settings: [SettingRecord] = []
    /// The custom settings that its session knows.
    public var customNames: [ByteString] = []
    /// What it has under the pooler's names, the least recently used first.
    public var statements: [ServerStatementRecord] = []
    /// What it has under names of clients.
    public var ownStatements: [NamedStatementRecord] = []
    /// The numbers of the clients whose unnamed statement and whose sequence values it has.
    public var unnamedOwner: UInt64 = 0
    public var sequenceOwner: UInt64 = 0
    public var doubts = SessionDoubts()
    public var pins: PinReasons = []
    public var pinTime: Microseconds = 0
    public var pinStatement: ByteString = ""
    public var isPinNoticed = false
    public var hasChannels = false
    public var hasAllChannels = false
    public var transactionStatus = TransactionStatus.idle
    /// Whether what statements mean may have changed in its transaction.
    public var hasChangedSchema = false
    public var answerCount: UInt8 = 0
    public var queryStart: Microseconds = 0
    public var transactionStart: Microseconds = 0
    public var isAuditDue = false
    public var isCloseNeeded = false
    public var hasServed = false
    public var connectTime: Microseconds = 0
    public var requestTime: Microseconds = 0
    public var lastAnswerTime: Microseconds = 0
    public var lifetime: Microseconds = 0
    /// What it has sent and nobody has looked at.
    public var held: [UInt8] = []

    public init(
        pool: PoolKeyRecord,
        host: HostName,
        endpoint: EndpointRecord,
        localAddress: AddressRecord
    ) {
        self.pool = pool
        self.host = host
        self.endpoint = endpoint
        self.localAddress = localAddress
    }

    public func encode(into writer: inout RecordWriter) {
        pool.encode(into: &writer)
        writer.write(ByteString(host.host))
        writer.write(UInt64(UInt16(clamping: host.port)))
        endpoint.encode(into: &writer)
        localAddress.encode(into: &writer)
        writer.write(cancelKey != nil)
        if let cancelKey { writer.write(cancelKey) }
        writer.write(settings)
        writer.write(customNames)
        writer.write(statements)
        writer.write(ownStatements)
        writer.write(unnamedOwner)
        writer.write(sequenceOwner)
        doubts.encode(into: &writer)
        writer.write(UInt64(pins.rawValue))
        writer.write(pinTime)
        writer.write(pinStatement)
        writer.write(isPinNoticed)
        writer.write(hasChannels)
        writer.write(hasAllChannels)
        writer.write(UInt64(transactionStatus.rawValue))
        writer.write(hasChangedSchema)
        writer.write(UInt64(answerCount))
        writer.write(queryStart)
        writer.write(transactionStart)
        writer.write(isAuditDue)
        writer.write(isCloseNeeded)
        writer.write(hasServed)
        writer.write(connectTime)
        writer.write(requestTime)
        writer.write(lastAnswerTime)
        writer.write(lifetime)
        writer.write(held)
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        pool = try PoolKeyRecord(decoding: &reader)
        let (name, port) = (try reader.text(), try reader.number())
        host = HostName(host: name.text, port: Int(UInt16(clamping: port)))
        endpoint = try EndpointRecord(decoding: &reader)
        localAddress = try AddressRecord(decoding: &reader)
        cancelKey = try reader.flag() ? try reader.cancelKey() : nil
        settings = try reader.records()
        customNames = try reader.texts()
        statements = try reader.records()
        ownStatements = try reader.records()
        unnamedOwner = try reader.number()
        sequenceOwner = try reader.number()
        doubts = try SessionDoubts(decoding: &reader)
        pins = PinReasons(rawValue: try reader.narrowNumber())
        pinTime = try reader.signedNumber()
        pinStatement = try reader.text()
        isPinNoticed = try reader.flag()
        hasChannels = try reader.flag()
        hasAllChannels = try reader.flag()
        guard let status = TransactionStatus(rawValue: try reader.narrowNumber()) else {
            throw .invalidField
        }
        transactionStatus = status
        hasChangedSchema = try reader.flag()
        answerCount = try reader.narrowNumber()
        queryStart = try reader.signedNumber()
        transactionStart = try reader.signedNumber()
        isAuditDue = try reader.flag()
        isCloseNeeded = try reader.flag()
        hasServed = try reader.flag()
        connectTime = try reader.signedNumber()
        requestTime = try reader.signedNumber()
        lastAnswerTime = try reader.signedNumber()
        lifetime = try reader.signedNumber()
        held = try reader.byteArray()
    }
}

/// A connection that has not logged in: it begins again, with what it has sent so far.
public struct NewcomerRecord: TakeoverRecord {
    public var address: AddressRecord
    public var number: UInt64
    public var held: [UInt8]
    /// Whether it came from the process that it goes to: there is nobody else to ask.
    public var isReturned: Bool

    public init(address: AddressRecord, number: UInt64, held: [UInt8], isReturned: Bool) {
        self.address = address
        self.number = number
        self.held = held
        self.isReturned = isReturned
    }

    public func encode(into writer: inout RecordWriter) {
        address.encode(into: &writer)
        writer.write(number)
        writer.write(held)
        writer.write(isReturned)
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        address = try AddressRecord(decoding: &reader)
        number = try reader.number()
        held = try reader.byteArray()
        isReturned = try reader.flag()
    }
}

extension RecordWriter {
    /// Appends a cancel key.
    mutating func write(_ key: CancelKey) {
        write(Int64(key.processID))
        write(Int64(key.secretKey))
    }
}

extension RecordReader {
    /// Reads a cancel key.
    mutating func cancelKey() throws(WireError) -> CancelKey {
        let process: Int32 = try narrowNumber()
        return CancelKey(processID: process, secretKey: try narrowNumber())
    }
}
