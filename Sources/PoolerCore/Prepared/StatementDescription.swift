// What clients rely on when they execute a prepared statement: the types of its parameters and what
// its columns are. PostgreSQL settles both when it reads the text and refuses to execute the statement
// when its columns have become others; a statement that the pooler prepares again on another server
// has to be held to the same.

internal import PostgresWire

/// What Describe says of a prepared statement, as far as a client may rely on it.
public struct StatementDescription: Equatable, Sendable {
    /// The OIDs of the types of its parameters.
    public let parameterTypes: [UInt32]
    /// A fingerprint of names and types of its columns; nil if it gives no rows.
    ///
    /// Equal for equal columns, and practically never for others. Which tables they come from does not
    /// matter, as PostgreSQL does not look at it either.
    public let columns: UInt64?

    /// - Parameters:
    ///   - parameterTypes: what ParameterDescription said.
    ///   - rowDescription: the body of a RowDescription; empty for NoData.
    public init(parameterTypes: [UInt32], rowDescription: RawSpan) {
        self.parameterTypes = parameterTypes
        columns = rowDescription.isEmpty ? nil : Self.fingerprint(rowDescription)
    }

    /// Takes up what another process has been told.
    init(_ record: DescriptionRecord) {
        parameterTypes = record.parameterTypes
        columns = record.columns
    }

    /// The OIDs in the body of a ParameterDescription.
    ///
    /// Source: PostgreSQL documentation, section 55.7 "Message Formats". One that is too short has
    /// fewer than it says.
    public static func parameterTypes(decoding body: RawSpan) -> [UInt32] {
        var types: [UInt32] = []
        var offset = 2
        while offset + 4 <= body.byteCount {
            types.append(body.bigEndianUInt32(at: offset))
            offset += 4
        }
        return types
    }

    /// FNV-1a: the same in every process, so that one can take up what another has been told.
    private static func fingerprint(_ body: RawSpan) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        func combine(_ range: Range<Int>) {
            for offset in range {
                hash = (hash ^ UInt64(body.byte(at: offset))) &* 0x100_0000_01B3
            }
        }
        // The count, then for each column: name, table and column number there, type, its size and
        // modifier, format.
        var offset = min(2, body.byteCount)
        combine(0..<offset)
        while let nameEnd = body.indexOfZero(from: offset), nameEnd + 19 <= body.byteCount {
            combine(offset..<nameEnd + 1)
            combine(nameEnd + 7..<nameEnd + 17)
            offset = nameEnd + 19
        }
        // What cannot be read counts as it is.
        combine(offset..<body.byteCount)
        return hash
    }
}

/// The descriptions that a server owes for statements that have just been prepared on it.
public struct AwaitedDescriptions {
    /// A statement whose description is to come.
    public struct Request: Equatable, Sendable {
        /// The statement's slot in the store.
        public let statement: UInt32
        /// The client's entry on whose account it has been prepared, or `Expectation.noStatement`.
        public let entry: UInt32
        /// Whether the client has prepared it itself, just now: it relies on nothing earlier.
        public let isFresh: Bool
        /// Whether the client is held back until it is certain that it may rely on what it knows.
        public fileprivate(set) var isReliedOn = false
        /// The types of its parameters, once they have arrived.
        public fileprivate(set) var parameterTypes: [UInt32] = []
    }

    private var requests: [Request] = []

    public init() {}

    /// Whether none is owed.
    public var isEmpty: Bool { requests.isEmpty }

    /// Whether a client is held back for one of them.
    public var holdsClient: Bool { requests.contains { $0.isReliedOn } }

    /// Whether the description of a statement is owed that was not prepared on account of `entry`.
    public func awaits(_ statement: UInt32, unlessFor entry: UInt32) -> Bool {
        requests.contains { $0.statement == statement && $0.entry != entry }
    }

    /// The description of a statement has been asked for.
    public mutating func asked(_ statement: UInt32, for entry: UInt32, isFresh: Bool) {
        requests.append(Request(statement: statement, entry: entry, isFresh: isFresh))
    }

    /// The client is held back until the description of a statement has come.
    ///
    /// - Returns: false if none is owed.
    public mutating func relies(on statement: UInt32) -> Bool {
        guard let index = requests.firstIndex(where: { $0.statement == statement }) else {
            return false
        }
        requests[index].isReliedOn = true
        return true
    }

    /// The parameters of the statement came whose description is the next.
    public mutating func parametersArrived(_ types: [UInt32]) {
        if !requests.isEmpty { requests[0].parameterTypes = types }
    }

    /// The description of a statement came, or will not come.
    public mutating func take(_ statement: UInt32) -> Request? {
        guard let index = requests.firstIndex(where: { $0.statement == statement }) else {
            return nil
        }
        return requests.remove(at: index)
    }
}
