// Who has to prove what, by where it comes from: the rules of an HBA file, and which of them holds for
// a login. The first rule that fits decides; where none does nobody comes in.
//
// A file with a line that cannot be read is refused as a whole. PgBouncer leaves the line out, so that
// a `reject` with a slip in it lets in whom it should keep out.
//
// Source: PostgreSQL documentation, section 21.1 "The pg_hba.conf File".

public import PostgresWire

/// What a rule asks for.
public enum HBAMethod: Equatable, Sendable {
    case trust
    case reject
    case plain
    case md5
    case scramSHA256
    /// The client's user of the operating system; `map` names a map of auth_ident_file.
    case peer(map: ByteString?)
    /// The client's certificate, and nothing else.
    case cert
}

/// What rules look at.
public struct HBALogin: Equatable, Sendable {
    public let database: ByteString
    public let user: ByteString
    public let address: PeerAddress
    /// Whether the connection is encrypted.
    public let isEncrypted: Bool
    /// The client's certificate; nil if it has shown none, or one that is not good.
    public let certificate: ClientCertificate?
    /// Whether it is for physical replication, which only `replication` names.
    public let isReplication: Bool

    public init(
        database: ByteString,
        user: ByteString,
        address: PeerAddress,
        isEncrypted: Bool = false,
        certificate: ClientCertificate? = nil,
        isReplication: Bool = false
    ) {
        self.database = database
        self.user = user
        self.address = address
        self.isEncrypted = isEncrypted
        self.certificate = certificate
        self.isReplication = isReplication
    }
}

/// One rule.
public struct HBARule: Equatable, Sendable {
    enum Connection: Equatable, Sendable {
        case local
        case host(Network)
        case hostSSL(Network)
        case hostNoSSL(Network)
    }

    /// The names of a field.
    struct Names: Equatable, Sendable {
        var isAll = false
        var isSameUser = false
        var isReplication = false
        var names: Set<ByteString> = []
    }

    let connection: Connection
    let databases: Names
    let users: Names
    public fileprivate(set) var method: HBAMethod
    /// What is asked of the client's certificate before the method counts; nil if nothing is.
    public fileprivate(set) var certificateDemand: CertificateDemand?
    /// The line of the file, counted from 1.
    public let line: Int

    /// The map of auth_ident_file that it names.
    var mapName: ByteString? {
        if case .peer(let map) = method { return map }
        if case .name(_, let map) = certificateDemand { return map }
        return nil
    }

    /// Whether its method can have a map.
    var takesMap: Bool {
        switch method {
        case .peer, .cert: true
        case .trust, .reject, .plain, .md5, .scramSHA256: false
        }
    }

    /// Whether it can hold for connections with TLS.
    var canHaveTLS: Bool {
        switch connection {
        case .host, .hostSSL: true
        case .local, .hostNoSSL: false
        }
    }

    /// Whether it holds for connections with TLS only.
    var needsTLS: Bool {
        if case .hostSSL = connection { true } else { false }
    }

    func fits(_ login: HBALogin) -> Bool {
        switch connection {
        case .local: guard login.address == .unix else { return false }
        case .host(let network): guard network.contains(login.address) else { return false }
        case .hostSSL(let network):
            guard login.isEncrypted, network.contains(login.address) else { return false }
        case .hostNoSSL(let network):
            guard !login.isEncrypted, network.contains(login.address) else { return false }
        }
        return fitsDatabase(login) && (users.isAll || users.names.contains(login.user))
    }

    private func fitsDatabase(_ login: HBALogin) -> Bool {
        if login.isReplication { return databases.isReplication }
        return databases.isAll || databases.isSameUser && login.database == login.user
            || databases.names.contains(login.database)
            // A rule for the console holds whatever it is called.
            || Configuration.consoleNames.contains(login.database)
                && !databases.names.isDisjoint(with: Configuration.consoleNames)
    }
}

/// The rules of a file.
public struct HBARules: Equatable, Sendable {
    /// In the order of the file.
    public private(set) var rules: [HBARule] = []

    /// Makes rules that let nobody in.
    public init() {}

    /// Reads a file.
    ///
    /// - Parameters:
    ///   - path: the name of the file, for error messages and for the files that it names.
    ///   - include: reads a file that `@file` names.
    /// - Throws: the first thing that is wrong, with its file and line.
    public init(
        path: String,
        contents: [UInt8],
        include: FileReader
    ) throws(ConfigurationError) {
        for line in try parseRuleFile(path: path, contents: contents) {
            var parser = HBALineParser(line)
            rules.append(try parser.rule(include))
        }
    }

    /// The rule that holds for a login; nil if none does.
    public func rule(for login: HBALogin) -> HBARule? {
        rules.first { $0.fits(login) }
    }

    /// The maps that rules name, with the line of the first rule that does.
    public var mapNames: [(name: ByteString, line: Int)] {
        var seen: Set<ByteString> = []
        return rules.compactMap { rule in
            guard let name = rule.mapName, seen.insert(name).inserted else { return nil }
            return (name, rule.line)
        }
    }
}

/// The options behind a method.
private struct HBAOptions {
    enum ClientCert {
        case verifyCA
        case verifyFull
    }

    var map: ByteString?
    var clientCert: ClientCert?
    var clientName: CertificateName?
}

private struct HBALineParser {
    private let place: SourceLine
    private var rest: ArraySlice<[RuleWord]>

    init(_ line: RuleLine) {
        place = line.place
        rest = line.fields[...]
    }

    mutating func rule(_ include: FileReader) throws(ConfigurationError) -> HBARule {
        let type = try takeWord("a type: local, host, hostssl or hostnossl")
        let knownTypes: [ByteString] = ["local", "host", "hostssl", "hostnossl"]
        guard !type.isQuoted, knownTypes.contains(type.text) else {
            throw place.error(
                "expected local, host, hostssl or hostnossl, found \(quotedForMessage(type.text))"
            )
        }
        let databases = try names(try take("a database"), ofDatabases: true, include)
        let users = try names(try take("a user"), ofDatabases: false, include)
        let connection: HBARule.Connection =
            switch type.text {
            case "local": .local
            case "host": .host(try network())
            case "hostssl": .hostSSL(try network())
            default: .hostNoSSL(try network())
            }
        var rule = HBARule(
            connection: connection,
            databases: databases,
            users: users,
            method: .reject,
            certificateDemand: nil,
            line: place.line
        )
        try readMethod(of: &rule)
        return rule
    }

    // MARK: Names

    private func names(
        _ words: [RuleWord],
        ofDatabases: Bool,
        _ include: FileReader
    ) throws(ConfigurationError) -> HBARule.Names {
        var names = HBARule.Names()
        try add(words, ofDatabases, to: &names, place, depth: 0, include)
        return names
    }

    private func add(
        _ words: [RuleWord],
        _ ofDatabases: Bool,
        to names: inout HBARule.Names,
        _ place: SourceLine,
        depth: Int,
        _ include: FileReader
    ) throws(ConfigurationError) {
        for word in words {
            if word.isKeyword("all") {
                names.isAll = true
            } else if ofDatabases, word.isKeyword("sameuser") {
                names.isSameUser = true
            } else if ofDatabases, word.isKeyword("replication") {
                names.isReplication = true
            } else if ofDatabases, word.isKeyword("samerole") || word.isKeyword("samegroup") {
                throw place.error("\(word.text) is not supported: the pooler knows no role members")
            } else if !word.isQuoted, word.text.bytes.first == UInt8(ascii: "+") {
                throw place.error(
                    "\(quotedForMessage(word.text)) is not supported: the pooler knows no role members"
                )
            } else if !word.isQuoted, word.text.bytes.first == UInt8(ascii: "@") {
                guard depth < Self.includeDepth else {
                    throw place.error("more than \(Self.includeDepth) files in one another")
                }
                let path = try path(ofIncluded: word.text, place)
                let contents: [UInt8]
                do {
                    contents = try include(path)
                } catch {
                    throw place.error("cannot read \(path): \(error.reason)")
                }
                for line in try parseRuleFile(path: path, contents: contents) {
                    for field in line.fields {
                        try add(
                            field,
                            ofDatabases,
                            to: &names,
                            line.place,
                            depth: depth + 1,
                            include
                        )
                    }
                }
            } else {
                names.names.insert(word.text)
            }
        }
    }

    private static let includeDepth = 10

    /// Relative to the folder of the file that names it.
    private func path(
        ofIncluded word: ByteString,
        _ place: SourceLine
    ) throws(ConfigurationError) -> String {
        let bytes = Array(word.bytes.dropFirst())
        guard let name = String(validating: bytes, as: UTF8.self), !name.isEmpty else {
            throw place.error("expected the name of a file behind @")
        }
        guard !name.hasPrefix("/"), let slash = place.file.lastIndex(of: "/") else { return name }
        return place.file[...slash] + name
    }

    // MARK: Addresses

    private mutating func network() throws(ConfigurationError) -> Network {
        let word = try takeWord("an address")
        if word.isKeyword("all") { return .all }
        if word.isKeyword("samehost") || word.isKeyword("samenet") {
            throw place.error("\(word.text) is not supported: write the addresses")
        }
        let parts = word.text.bytes.split(
            separator: UInt8(ascii: "/"),
            maxSplits: 1,
            omittingEmptySubsequences: false
        )
        guard let address = PeerAddress(parsing: ByteString(Array(parts[0]))) else {
            throw place.error(
                "expected an address such as 10.0.0.0/8 or ::1/128, or all, "
                    + "found \(quotedForMessage(word.text))"
            )
        }
        if parts.count == 2 {
            guard let length = decimalNumber(parts[1]),
                let network = Network(address, prefixLength: length)
            else {
                throw place.error("the mask of \(quotedForMessage(word.text)) is none")
            }
            return network
        }
        let text = try takeWord("a mask behind the address").text
        guard let mask = PeerAddress(parsing: text), let network = Network(address, mask: mask)
        else {
            throw place.error(
                "expected a mask behind \(word.text), or \(word.text)/N, found \(quotedForMessage(text))"
            )
        }
        return network
    }

    // MARK: Methods

    private mutating func readMethod(of rule: inout HBARule) throws(ConfigurationError) {
        let word = try takeWord("a method")
        switch word.text {
        case "trust": rule.method = .trust
        case "reject": rule.method = .reject
        case "password", "plain": rule.method = .plain
        case "md5": rule.method = .md5
        case "scram-sha-256": rule.method = .scramSHA256
        case "peer": rule.method = .peer(map: nil)
        case "cert":
            // PostgreSQL wants hostssl; with host, as PgBouncer takes it, who has no TLS is refused.
            guard rule.canHaveTLS else {
                throw place.error("cert authentication is only supported on hostssl connections")
            }
            rule.method = .cert
        case "ldap", "pam":
            throw place.error("method \(word.text) is not supported: Martlet has no \(word.text)")
        default:
            throw place.error(
                "expected trust, reject, password, md5, scram-sha-256, peer or cert, "
                    + "found \(quotedForMessage(word.text))"
            )
        }
        var options = HBAOptions()
        while let option = rest.popFirst() {
            try read(option, into: &options, rule, method: word.text)
        }
        if case .peer = rule.method { rule.method = .peer(map: options.map) }
        rule.certificateDemand = try demand(rule, options)
    }

    private func read(
        _ option: [RuleWord],
        into options: inout HBAOptions,
        _ rule: HBARule,
        method: ByteString
    ) throws(ConfigurationError) {
        let text = option[0].text
        let end = option.count == 1 ? text.bytes.firstIndex(of: UInt8(ascii: "=")) : nil
        let name = ByteString(Array(text.bytes[..<(end ?? 0)]))
        let value = ByteString(Array(text.bytes.dropFirst(name.count + 1)))
        switch name {
        case "map" where rule.takesMap && !value.isEmpty:
            options.map = value
        case "clientcert":
            options.clientCert = try self.value(
                value,
                of: "clientcert",
                in: ["verify-ca": .verifyCA, "verify-full": .verifyFull],
                rule
            )
        case "clientname":
            options.clientName = try self.value(
                value,
                of: "clientname",
                in: ["CN": .commonName, "DN": .distinguishedName],
                rule
            )
        default:
            throw place.error("option \(quotedForMessage(text)) is not one of method \(method)")
        }
    }

    /// The value of an option that is about certificates.
    private func value<Value>(
        _ text: ByteString,
        of option: String,
        in values: [ByteString: Value],
        _ rule: HBARule
    ) throws(ConfigurationError) -> Value {
        guard rule.needsTLS else {
            throw place.error("\(option) can only be configured for \"hostssl\" rows")
        }
        guard let value = values[text] else {
            throw place.error("invalid value for \(option): \(quotedForMessage(text))")
        }
        return value
    }

    private func demand(
        _ rule: HBARule,
        _ options: HBAOptions
    ) throws(ConfigurationError) -> CertificateDemand? {
        let name = options.clientName ?? .commonName
        switch (rule.method, options.clientCert) {
        case (.cert, .verifyCA):
            throw place.error(
                "clientcert only accepts \"verify-full\" when using \"cert\" authentication"
            )
        case (.cert, _): return .name(name, map: options.map)
        case (_, .verifyFull): return .name(name, map: nil)
        case (_, .verifyCA): return .verified
        case (_, nil): return nil
        }
    }

    // MARK: Fields

    private mutating func take(_ what: String) throws(ConfigurationError) -> [RuleWord] {
        guard let field = rest.popFirst() else {
            throw place.error("expected \(what), found the end of the line")
        }
        return field
    }

    private mutating func takeWord(_ what: String) throws(ConfigurationError) -> RuleWord {
        let field = try take(what)
        guard field.count == 1 else {
            throw place.error("expected \(what), found a list")
        }
        return field[0]
    }
}
