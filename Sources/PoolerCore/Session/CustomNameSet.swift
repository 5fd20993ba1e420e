// Which custom settings (`app.tenant`) a session has heard of. Until it has, such a setting is NULL to
// `current_setting(name, true)` and an error to SHOW; afterwards it is '' at least, and nothing but a
// new connection makes it NULL again. So a client can tell whether somebody else has used its server.

public import PostgresWire

/// A set of names of custom settings, as one pool numbers them.
public struct CustomNameSet: OptionSet, Hashable, BitwiseCopyable, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// The set of the name with a number; the names of large numbers are not told apart.
    fileprivate init(number: Int) {
        rawValue = 1 << UInt64(min(number, 63))
    }
}

/// The names of custom settings that the sessions of a pool have been told.
public struct CustomNameBook: Sendable {
    private var numbers: [ByteString: Int] = [:]

    public init() {}

    /// More names are not told apart from one another.
    private static let nameLimit = 63

    /// The set of those of `names` that custom settings have, in any spelling.
    public mutating func set(of names: [ByteString]) -> CustomNameSet {
        var set: CustomNameSet = []
        for name in names where Self.isCustom(name) {
            set.formUnion(self.set(of: name.lowercasedASCII))
        }
        return set
    }

    /// The names in a set, for another process; an empty one stands for those that are not told apart.
    public func names(in set: CustomNameSet) -> [ByteString] {
        if set.isEmpty { return [] }
        let names = numbers.keys.filter { name in
            numbers[name].map { set.isSuperset(of: CustomNameSet(number: $0)) } ?? false
        }
        return names.sorted()
            + (set.isSuperset(of: CustomNameSet(number: Self.nameLimit)) ? [""] : [])
    }

    /// The set that `names` has made in another process.
    public mutating func set(adopting names: [ByteString]) -> CustomNameSet {
        names.reduce(into: []) { set, name in
            set.formUnion(
                name.isEmpty ? CustomNameSet(number: Self.nameLimit) : self.set(of: name)
            )
        }
    }

    /// Notes which custom settings a server knows, and which of them because of its client.
    ///
    /// Where the client has neither named a setting nor ever touched it, and the server knew it before,
    /// without a value, it is taken out of the evidence: to this client it does not exist.
    ///
    /// - Parameters:
    ///   - server: what the server is known to know.
    ///   - client: what the client has touched.
    ///   - named: the settings that its statements have named since the server was last asked.
    public mutating func learn(
        from evidence: inout SessionEvidence,
        server: inout CustomNameSet,
        client: inout CustomNameSet,
        named: [ByteString]
    ) {
        for index in evidence.settings.indices {
            let (name, value) = evidence.settings[index]
            guard let value, Self.isCustom(name) else { continue }
            let set = set(of: name)
            let wasKnown = server.isSuperset(of: set)
            server.formUnion(set)
            if !wasKnown || !value.isEmpty || client.isSuperset(of: set) || named.contains(name) {
                client.formUnion(set)
            } else {
                evidence.settings[index].value = nil
            }
        }
    }

    private mutating func set(of name: ByteString) -> CustomNameSet {
        if let number = numbers[name] { return CustomNameSet(number: number) }
        guard numbers.count < Self.nameLimit else { return CustomNameSet(number: Self.nameLimit) }
        let number = numbers.count
        numbers[name] = number
        return CustomNameSet(number: number)
    }

    private static func isCustom(_ name: ByteString) -> Bool {
        name.bytes.contains(UInt8(ascii: "."))
    }
}
