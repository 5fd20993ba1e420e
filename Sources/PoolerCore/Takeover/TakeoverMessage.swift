// What the two processes of a takeover say to one another, on the connection on which the new one has
// asked the console of the old one for TAKEOVER.
//
//     old                                                     new
//      | hello, with the listening sockets    --------------->  checks, starts its workers
//      |  <----------------------------------------------------  ready
//      | accepts no more; begin               --------------->  accepts
//      | statement, connections, seats        --------------->  accepted(n), newcomers with cancel keys
//      |    each as soon as it is quiet        <---------------
//      | end, when it has nothing left        --------------->
//
// A message is a byte for its kind, the length of the rest as a record's number, and the rest. How many
// descriptors come with it follows from its kind. `accepted` counts the messages of the old process:
// what has not been accepted when the connection breaks is still the old one's.

public import PostgresWire

/// A message of a takeover.
public enum TakeoverMessage: Equatable, Sendable {
    /// The old process's greeting, with its listening sockets.
    ///
    /// `generation` is the number of processes before the new one.
    case hello(version: UInt64, generation: UInt64, listenerCount: Int)
    /// The new process has all that it needs to go on.
    case ready
    /// The old process takes no more clients.
    case begin(BeginRecord)
    /// A statement that connections to come have.
    case statement(StatementRecord)
    /// A client without a server.
    case client(ClientRecord)
    /// A client with its server.
    case pair(ClientRecord, ServerRecord)
    /// A server without a client.
    case server(ServerRecord)
    /// A client that waits in the middle of its login.
    case login(LoginRecord)
    /// A connection that has not begun to log in, or, from the new process, one that has brought a
    /// CancelRequest for a client that the old one may have.
    case newcomer(NewcomerRecord)
    /// A server of the old process has been closed: its seat is free.
    case serverLeft(PoolKeyRecord)
    /// A client of the old process has gone.
    case clientLeft
    /// The new process has as many messages of the old one, and all that came with them.
    case accepted(count: UInt64)
    /// The old process has nothing left.
    case end

    /// The version of all this: another one is not understood.
    public static let version: UInt64 = 1

    /// How many descriptors come with it.
    public var descriptorCount: Int {
        switch self {
        case .hello(_, _, let listenerCount): listenerCount
        case .pair: 2
        case .client, .server, .login, .newcomer: 1
        case .ready, .begin, .statement, .serverLeft, .clientLeft, .accepted, .end: 0
        }
    }

    /// The most listening sockets that a process can hand over.
    public static let listenerLimit = 250

    private static let headerByteCount = 9
    /// The longest message, in bytes: a client may have 16 MiB of statements, and as much waiting.
    private static let byteLimit = 1 << 30

    private var kind: UInt8 {
        switch self {
        case .hello: 1
        case .ready: 2
        case .begin: 3
        case .statement: 4
        case .client: 5
        case .pair: 6
        case .server: 7
        case .login: 8
        case .newcomer: 9
        case .serverLeft: 10
        case .clientLeft: 11
        case .accepted: 12
        case .end: 13
        }
    }

    /// The message as bytes.
    public var bytes: [UInt8] {
        var body = RecordWriter()
        switch self {
        case .hello(let version, let generation, let listenerCount):
            body.write(version)
            body.write(generation)
            body.write(UInt64(listenerCount))
        case .ready, .clientLeft, .end: break
        case .begin(let record): record.encode(into: &body)
        case .statement(let record): record.encode(into: &body)
        case .client(let record): record.encode(into: &body)
        case .pair(let client, let server):
            client.encode(into: &body)
            server.encode(into: &body)
        case .server(let record): record.encode(into: &body)
        case .login(let record): record.encode(into: &body)
        case .newcomer(let record): record.encode(into: &body)
        case .serverLeft(let record): record.encode(into: &body)
        case .accepted(let count): body.write(count)
        }
        var header = RecordWriter()
        header.write(UInt64(body.bytes.count))
        return [kind] + header.bytes + body.bytes
    }

    /// How many bytes the first message has.
    ///
    /// - Returns: nil when too few are there to tell.
    /// - Throws: `WireError` when that can be no message.
    public static func byteCount(peeking bytes: ArraySlice<UInt8>) throws(WireError) -> Int? {
        guard bytes.count >= headerByteCount else { return nil }
        let header = Array(bytes.dropFirst().prefix(headerByteCount - 1))
        var reader = RecordReader(header)
        guard let count = Int(exactly: try reader.number()), count <= byteLimit else {
            throw .invalidLength(Int(UInt32.max))
        }
        return headerByteCount + count
    }

    /// Reads a whole message.
    ///
    /// - Throws: `WireError` when the bytes are not one.
    public init(decoding bytes: ArraySlice<UInt8>) throws(WireError) {
        guard let kind = bytes.first, try Self.byteCount(peeking: bytes) == bytes.count else {
            throw .invalidLength(bytes.count)
        }
        var reader = RecordReader(Array(bytes.dropFirst(Self.headerByteCount)))
        switch kind {
        case 1:
            let version = try reader.number()
            // The rest may look otherwise in another version.
            guard version == Self.version else {
                self = .hello(version: version, generation: 0, listenerCount: 0)
                return
            }
            let generation = try reader.number()
            let listenerCount = Int(try reader.narrowNumber(UInt8.self))
            guard listenerCount <= Self.listenerLimit, generation < Self.generationLimit else {
                throw .invalidField
            }
            self = .hello(
                version: version,
                generation: generation,
                listenerCount: listenerCount
            )
        case 2: self = .ready
        case 3: self = .begin(try BeginRecord(decoding: &reader))
        case 4: self = .statement(try StatementRecord(decoding: &reader))
        case 5: self = .client(try ClientRecord(decoding: &reader))
        case 6:
            let client = try ClientRecord(decoding: &reader)
            self = .pair(client, try ServerRecord(decoding: &reader))
        case 7: self = .server(try ServerRecord(decoding: &reader))
        case 8: self = .login(try LoginRecord(decoding: &reader))
        case 9: self = .newcomer(try NewcomerRecord(decoding: &reader))
        case 10: self = .serverLeft(try PoolKeyRecord(decoding: &reader))
        case 11: self = .clientLeft
        case 12: self = .accepted(count: try reader.number())
        case 13: self = .end
        default: throw .invalidField
        }
        try reader.finish()
    }

    /// There can be no more processes one after the other: each has numbers of its own for statements.
    private static let generationLimit: UInt64 = 1 << 31
}
