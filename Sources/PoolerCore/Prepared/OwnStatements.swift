// The prepared statements that a server has under names which clients have given, and not under the
// pooler's: SQL sees statements by name, so that what a client's SQL names must be there under the
// client's name. Statements of earlier clients stay until they are in the way.

public import PostgresWire

/// A statement as it stands under a client's name.
public struct OwnStatement: Equatable, Sendable {
    /// The statement's slot in the store; who keeps this counts as a use.
    public let slot: UInt32
    /// The PREPARE that made it; nil if a Parse did.
    public let text: ByteString?

    public init(slot: UInt32, text: ByteString?) {
        self.slot = slot
        self.text = text
    }
}

/// The statements that SQL can see by their names.
public struct NamedStatements: Equatable, Sendable {
    /// Those that it names.
    public var names: [ByteString] = []
    /// Whether it can see those as well that were made by PREPARE.
    public var includesPrepared = false
    /// Whether it can see all.
    public var includesAll = false

    /// None.
    public init() {}

    /// Those that statements with these effects can see.
    public init(_ effects: SessionEffects) {
        includesPrepared = !effects.isDisjoint(with: Self.opaqueEffects)
        includesAll = effects.contains(.preparedStatements)
    }

    /// Effects of statements that name others.
    public static let namingEffects: SessionEffects = [
        .sqlPrepare, .sqlExecute, .sqlDeallocate, .preparedStatements,
    ]
    /// Effects of statements that may run others which name some, or that begin a transaction: when
    /// that has failed, it is too late.
    public static let opaqueEffects: SessionEffects = [
        .opaque, .unknownFunction, .transactionControl,
    ]

    /// Adds what a statement names.
    public mutating func add(_ statement: SessionStatement) {
        guard !statement.effects.isDisjoint(with: [.sqlPrepare, .sqlExecute, .sqlDeallocate]) else {
            return
        }
        if let name = statement.name {
            if !names.contains(name) { names.append(name) }
        } else {
            includesAll = true
        }
    }
}

/// What has to be done to one of a server's own statements so that it is the client's.
public enum OwnStatementChange: Equatable, Sendable {
    case close(ByteString)
    case make(ByteString, OwnStatement)
}

/// What a server has under clients' names.
public struct OwnStatements: Equatable {
    /// A request to give a name to a statement or to free it.
    private struct Request: Equatable {
        var name: ByteString
        /// What stood under the name before it was freed.
        var freed: OwnStatement?
    }

    private var statements: [ByteString: OwnStatement] = [:]
    /// What the server was asked for, so that it can be undone.
    private var requests: [Request] = []

    /// As many of other clients may stay.
    private static let limit = 100

    public init() {}

    /// Whether there is none.
    public var isEmpty: Bool { statements.isEmpty }

    /// What stands under a name, or nil.
    public subscript(name: ByteString) -> OwnStatement? {
        get { statements[name] }
        set { statements[name] = newValue }
    }

    /// Notes that the server is asked to give a statement a name that is free.
    ///
    /// - Returns: the number of the request.
    public mutating func make(_ statement: OwnStatement, as name: ByteString) -> UInt32 {
        statements[name] = statement
        requests.append(Request(name: name, freed: nil))
        return UInt32(requests.count - 1)
    }

    /// Notes that the server is asked to free a name.
    ///
    /// - Returns: the number of the request.
    public mutating func close(_ name: ByteString) -> UInt32 {
        requests.append(Request(name: name, freed: statements.removeValue(forKey: name)))
        return UInt32(requests.count - 1)
    }

    /// Takes back a request that the server will not execute; of several the newest has to be taken
    /// back first.
    ///
    /// - Returns: the slot of the statement that is not used any more, if there is one.
    public mutating func undo(_ request: UInt32) -> UInt32? {
        guard Int(request) < requests.count else { return nil }
        let (name, freed) = (requests[Int(request)].name, requests[Int(request)].freed)
        requests[Int(request)].freed = nil
        let made = statements.removeValue(forKey: name)
        statements[name] = freed
        return made?.slot
    }

    /// All requests have been answered.
    ///
    /// - Returns: the slots of statements that are not used any more.
    public mutating func settle() -> [UInt32] {
        guard !requests.isEmpty else { return [] }
        defer { requests = [] }
        return requests.compactMap { $0.freed?.slot }
    }

    /// The names, in no particular order.
    public var names: [ByteString] { Array(statements.keys) }

    /// What has to be done so that SQL sees of the client's statements those that it can see, and
    /// none of another client's.
    public func changes(
        toShow seen: NamedStatements,
        of client: ClientStatements?
    ) -> [OwnStatementChange] {
        var names = seen.names
        if seen.includesAll || seen.includesPrepared && (client?.sqlCount ?? 0) > 0 {
            names += client?.names(madeBySQL: !seen.includesAll) ?? []
        }
        if seen.includesAll || seen.includesPrepared || statements.count > Self.limit {
            names += statements.keys
        }
        var looked: Set<ByteString> = []
        var changes: [OwnStatementChange] = []
        for name in names where looked.insert(name).inserted {
            let wanted = client?.entry(named: name.span).flatMap { client?.own($0) }
            let present = statements[name]
            guard wanted != present else { continue }
            if present != nil { changes.append(.close(name)) }
            if let wanted { changes.append(.make(name, wanted)) }
        }
        return changes
    }

    /// Forgets all statements.
    ///
    /// - Returns: their slots.
    public mutating func removeAll() -> [UInt32] {
        defer { statements = [:] }
        return settle() + statements.values.map { $0.slot }
    }
}

// MARK: - What a server says of them

/// A row of pg_prepared_statements.
///
/// Source: PostgreSQL documentation, section 54.16 "pg_prepared_statements".
public struct PreparedStatementRow: Equatable, Sendable {
    public let name: ByteString
    /// The text that the client sent, with all the statements that it had.
    public let text: ByteString
    /// Whether it was made by PREPARE.
    public let isFromSQL: Bool
    /// The OIDs of the types of its parameters.
    public let types: [UInt32]

    public init(name: ByteString, text: ByteString, isFromSQL: Bool, types: [UInt32]) {
        self.name = name
        self.text = text
        self.isFromSQL = isFromSQL
        self.types = types
    }

    /// Reads the columns name, statement, from_sql, and parameter_types as an array of OIDs.
    ///
    /// - Returns: nil when they are not that.
    init?(_ columns: [ByteString?]) {
        guard columns.count == 4, let name = columns[0], let text = columns[1],
            let isFromSQL = columns[2], let array = columns[3]
        else { return nil }
        var types: [UInt32] = []
        let comma = UInt8(ascii: ",")
        for element in array.bytes.dropFirst().dropLast().split(separator: comma) {
            guard let type = UInt32(String(decoding: element, as: UTF8.self)) else { return nil }
            types.append(type)
        }
        self.init(name: name, text: text, isFromSQL: isFromSQL.isText("t"), types: types)
    }

    /// What all of it stands for: the rest of a Parse behind the name, and the PREPARE by itself.
    ///
    /// - Returns: nil when the text does not show what was prepared.
    public func statement(_ rules: ScanRules) -> (body: ByteString, text: ByteString?)? {
        guard isFromSQL else { return (body(text), nil) }
        let all = StatementClassifier.statements(in: text.span, rules: rules)
        // Of several in one text the first has made it, unless something has ended that.
        let end = all.lastIndex { Self.endingKinds.contains($0.kind) } ?? all.startIndex
        let isMaker = { (one: SessionStatement) in one.kind == .prepare && one.name == name }
        let maker = all[end...].first(where: isMaker) ?? all.first(where: isMaker)
        guard let made = maker, let range = made.body else { return nil }
        let prepare = all.count == 1 ? text : ByteString(Array(text.bytes[made.range]))
        return (body(ByteString(Array(text.bytes[range]))), prepare)
    }

    private static let endingKinds: Set<SessionStatement.Kind> = [
        .deallocate, .deallocateAll, .discardAll,
    ]

    /// Whether this is what a Parse with such a rest behind the name has made: the server fills in
    /// the types that the client left open.
    public func isOfParse(_ body: ByteString) -> Bool {
        !isFromSQL && body.bytes.starts(with: text.bytes)
            && body.bytes.dropFirst(text.count).first == 0
    }

    private func body(_ text: ByteString) -> ByteString {
        var writer = ByteWriter()
        writer.writeCString(text)
        writer.write(Int16(clamping: types.count))
        for type in types { writer.write(Int32(bitPattern: type)) }
        return ByteString(writer.bytes)
    }
}
