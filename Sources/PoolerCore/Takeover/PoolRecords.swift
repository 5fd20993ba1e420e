// What the successor of a process has to know before the first connection comes: which pools there are,
// how their servers are logged in to, and how many seats of theirs are taken elsewhere.

internal import Digests
public import PostgresWire

/// A pool.
public struct PoolRecord: TakeoverRecord {
    public var key: PoolKeyRecord
    /// Where its servers are: not to be kept when the successor's configuration says otherwise.
    public var target: ByteString
    public var credentials: CredentialsRecord
    /// What a client is told at login besides its own settings.
    public var fixedParameters: [UInt8]
    /// What the session of a new server begins with.
    public var defaults: [SettingRecord]?
    /// Names of custom settings that sessions may have set.
    public var customNames: [ByteString]
    /// How many servers it has that work for clients.
    public var serverCount: Int

    public init(
        key: PoolKeyRecord,
        target: ByteString,
        credentials: CredentialsRecord,
        fixedParameters: [UInt8],
        defaults: [SettingRecord]?,
        customNames: [ByteString],
        serverCount: Int
    ) {
        self.key = key
        self.target = target
        self.credentials = credentials
        self.fixedParameters = fixedParameters
        self.defaults = defaults
        self.customNames = customNames
        self.serverCount = serverCount
    }

    public func encode(into writer: inout RecordWriter) {
        key.encode(into: &writer)
        writer.write(target)
        credentials.encode(into: &writer)
        writer.write(fixedParameters)
        writer.write(defaults != nil)
        if let defaults { writer.write(defaults) }
        writer.write(customNames)
        writer.write(UInt64(serverCount))
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        key = try PoolKeyRecord(decoding: &reader)
        target = try reader.text()
        credentials = try CredentialsRecord(decoding: &reader)
        fixedParameters = try reader.byteArray()
        defaults = try reader.flag() ? try reader.records() : nil
        customNames = try reader.texts()
        serverCount = Int(try reader.narrowNumber(UInt32.self))
    }
}

/// What the servers of a pool are logged in with.
public struct CredentialsRecord: TakeoverRecord, Redacted {
    public var credentials: Credentials

    public init(_ credentials: Credentials) {
        self.credentials = credentials
    }

    public func encode(into writer: inout RecordWriter) {
        switch credentials {
        case .none: writer.write(UInt64(0))
        case .plain(let password):
            writer.write(UInt64(1))
            writer.write(password)
        case .md5(let secret):
            writer.write(UInt64(2))
            writer.write(secret.text)
        case .scram(let keys):
            writer.write(UInt64(3))
            for key in [keys.clientKey, keys.storedKey, keys.serverKey] {
                writer.write(key.bytes)
            }
            writer.write(keys.salt)
            writer.write(UInt64(max(0, keys.iterations)))
        }
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        switch try reader.number() {
        case 0: credentials = .none
        case 1: credentials = .plain(try reader.text())
        case 2:
            guard let secret = MD5Secret(parsing: try reader.text()) else { throw .invalidField }
            credentials = .md5(secret)
        case 3:
            guard let clientKey = Digest32(try reader.byteArray()),
                let storedKey = Digest32(try reader.byteArray()),
                let serverKey = Digest32(try reader.byteArray())
            else { throw .invalidField }
            credentials = .scram(
                SCRAMKeys(
                    clientKey: clientKey,
                    storedKey: storedKey,
                    serverKey: serverKey,
                    salt: try reader.byteArray(),
                    iterations: Int(try reader.narrowNumber(Int32.self))
                )
            )
        default: throw .invalidField
        }
    }
}

/// What the successor needs before it takes clients.
public struct BeginRecord: TakeoverRecord {
    /// Larger than the number of every connection so far.
    public var nextNumber: UInt64
    /// Client connections, whether they come or stay.
    public var clientCount: Int
    /// Whether PAUSE without a database is in force.
    public var isPaused: Bool
    public var pausedDatabases: [ByteString]
    public var disabledDatabases: [ByteString]
    public var pools: [PoolRecord]

    public init(
        nextNumber: UInt64,
        clientCount: Int,
        isPaused: Bool,
        pausedDatabases: [ByteString],
        disabledDatabases: [ByteString],
        pools: [PoolRecord]
    ) {
        self.nextNumber = nextNumber
        self.clientCount = clientCount
        self.isPaused = isPaused
        self.pausedDatabases = pausedDatabases
        self.disabledDatabases = disabledDatabases
        self.pools = pools
    }

    public func encode(into writer: inout RecordWriter) {
        writer.write(nextNumber)
        writer.write(UInt64(clientCount))
        writer.write(isPaused)
        writer.write(pausedDatabases)
        writer.write(disabledDatabases)
        writer.write(pools)
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        nextNumber = try reader.number()
        clientCount = Int(try reader.narrowNumber(UInt32.self))
        isPaused = try reader.flag()
        pausedDatabases = try reader.texts()
        disabledDatabases = try reader.texts()
        pools = try reader.records()
    }
}

/// A client that has begun to log in and waits for the pooler, not the other way round.
public struct LoginRecord: TakeoverRecord {
    public var address: AddressRecord
    public var number: UInt64
    public var database: ByteString
    public var user: ByteString
    /// The settings that it asks for.
    public var settings: [SettingRecord]
    /// Whether it has proved who it is; otherwise it has not been asked yet.
    public var isAuthenticated: Bool
    public var cancelSecret: Int32
    /// What it has sent behind that.
    public var held: [UInt8]
    /// What it has not been sent yet.
    public var unsent: [UInt8]

    public init(
        address: AddressRecord,
        number: UInt64,
        database: ByteString,
        user: ByteString,
        settings: [SettingRecord],
        isAuthenticated: Bool,
        cancelSecret: Int32,
        held: [UInt8],
        unsent: [UInt8]
    ) {
        self.address = address
        self.number = number
        self.database = database
        self.user = user
        self.settings = settings
        self.isAuthenticated = isAuthenticated
        self.cancelSecret = cancelSecret
        self.held = held
        self.unsent = unsent
    }

    public func encode(into writer: inout RecordWriter) {
        address.encode(into: &writer)
        writer.write(number)
        writer.write(database)
        writer.write(user)
        writer.write(settings)
        writer.write(isAuthenticated)
        writer.write(Int64(cancelSecret))
        writer.write(held)
        writer.write(unsent)
    }

    public init(decoding reader: inout RecordReader) throws(WireError) {
        address = try AddressRecord(decoding: &reader)
        number = try reader.number()
        database = try reader.text()
        user = try reader.text()
        settings = try reader.records()
        isAuthenticated = try reader.flag()
        cancelSecret = try reader.narrowNumber()
        held = try reader.byteArray()
        unsent = try reader.byteArray()
    }
}

extension DatabaseEntry {
    /// Equal for entries whose servers may go on serving one another's clients: what `connectsLike`
    /// compares, in one text.
    public var target: ByteString {
        var writer = RecordWriter()
        writer.write(serverDatabaseName)
        writer.write(hosts.map { ByteString($0) })
        writer.write(UInt64(port))
        writer.write(user.map { [$0] } ?? [])
        writer.write(ByteString("\(loadBalanceHosts)"))
        writer.write(connectQuery.map { [$0] } ?? [])
        writer.write(startupParameters.flatMap { [$0.name, $0.value] })
        return ByteString(writer.bytes)
    }
}
