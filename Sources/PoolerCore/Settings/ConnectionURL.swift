// A pooler without a configuration file: everything follows from a connection URL.
//
// `postgres://user:password@host:port/database?parameters`, as libpq reads it. Decides what the
// parts mean and what their absence means; errors never contain the password.

public import PostgresWire

/// A database and the user to reach it as, read from a URL.
public struct ConnectionURL: Sendable, Equatable {
    public private(set) var user: ByteString = ""
    /// Nil if the URL has none: then the server must trust its clients.
    public private(set) var password: ByteString?
    /// A host name, an address, or a folder of Unix sockets.
    public private(set) var host = "localhost"
    public private(set) var port = 5432
    public private(set) var database: ByteString = ""
    /// For clients that do not send their own.
    public private(set) var applicationName: ByteString?
    public private(set) var clientEncoding: ByteString?
    /// Nil = as `server_connect_timeout`; 0 = no limit.
    public private(set) var connectTimeout: Microseconds?
    private var tls = TLSParameters()
    private var overrides = Overrides()

    /// Whether `argument` looks like a URL rather than the name of a file.
    public static func isURL(_ argument: String) -> Bool {
        schemes.contains { argument.hasPrefix($0) }
    }

    /// Reads a URL.
    ///
    /// - Parameters:
    ///   - text: The URL.
    ///   - defaultUser: The user of a URL that names none.
    /// - Throws: What was expected; the message never contains the password.
    public init(
        _ text: String,
        defaultUser: ByteString? = nil
    ) throws(ConfigurationError) {
        do throws(SettingError) {
            try read(text)
            try tls.apply(to: &overrides)
            guard let user = user.isEmpty ? defaultUser : user else {
                throw SettingError("expected a user name: \(Self.shape)")
            }
            self.user = try Self.checked("user name", user, atMost: LengthLimit.userName)
            database = try Self.checked(
                "database name",
                database.isEmpty ? user : database,
                atMost: LengthLimit.databaseName
            )
            guard password != nil || !isUnixSocket else {
                throw SettingError(
                    "expected a password: a Unix socket tells users apart, which a pooler without "
                        + "passwords cannot"
                )
            }
            guard !Configuration.consoleNames.contains(database) else {
                throw SettingError("database name \"\(database)\" is reserved for the console")
            }
        } catch {
            throw ConfigurationError(file: Self.sourceName, message: error.message)
        }
    }

    /// The configuration that pools this database on 127.0.0.1:6543.
    ///
    /// The URL's user logs in with the URL's password and may use the console. Without a password
    /// the server trusts this machine over TCP, and so does the pooler, on its loopback address.
    public func configuration() -> Configuration {
        var configuration = Configuration(flavor: .martlet)
        var entry = DatabaseEntry(name: database)
        entry.hosts = [host]
        entry.port = port
        entry.applicationName = applicationName
        entry.clientEncoding = clientEncoding
        entry.overrides = overrides
        configuration.add(entry)
        configuration.inlineUsers.add(user, secret: password ?? "")
        configuration.settings.adminUsers = [user]
        if password == nil { configuration.settings.authType = .trust }
        if let connectTimeout { configuration.settings.serverConnectTimeout = connectTimeout }
        return configuration
    }

    private static let sourceName = "connection URL"
    private static let schemes = ["postgres://", "postgresql://"]
    private static let shape = "postgres://user:password@host:port/database"

    private var isUnixSocket: Bool { host.hasPrefix("/") || host.hasPrefix("@") }

    private mutating func read(_ text: String) throws(SettingError) {
        guard let scheme = Self.schemes.first(where: text.hasPrefix) else {
            throw SettingError("expected \(Self.shape)")
        }
        let (address, parameters) = splitOnce(
            Array(text.utf8.dropFirst(scheme.utf8.count))[...],
            at: UInt8(ascii: "?")
        )
        let (authority, path) = splitOnce(address, at: UInt8(ascii: "/"))
        try readAuthority(authority)
        if let path { database = try percentDecoded(path, "database name") }
        for parameter in (parameters ?? []).split(separator: UInt8(ascii: "&")) {
            try readParameter(parameter)
        }
    }

    /// Reads `user:password@host:port`.
    ///
    /// A password may contain `@`, a host cannot: the last one counts.
    private mutating func readAuthority(_ text: ArraySlice<UInt8>) throws(SettingError) {
        var location = text
        if let at = text.lastIndex(of: UInt8(ascii: "@")) {
            location = text[(at + 1)...]
            let (name, secret) = splitOnce(text[..<at], at: UInt8(ascii: ":"))
            user = try percentDecoded(name, "user name")
            try setPassword(
                try secret.map { (text) throws(SettingError) in
                    try percentDecoded(text, "password")
                }
            )
        }
        var portText: ArraySlice<UInt8>?
        if location.first == UInt8(ascii: "["), let end = location.firstIndex(of: UInt8(ascii: "]"))
        {
            let rest = location[(end + 1)...]
            guard rest.isEmpty || rest.first == UInt8(ascii: ":") else {
                throw SettingError("expected \":\" and a port after the address in brackets")
            }
            portText = rest.isEmpty ? nil : rest.dropFirst()
            location = location[..<end].dropFirst()
        } else {
            (location, portText) = splitOnce(location, at: UInt8(ascii: ":"))
        }
        try setHost(try percentDecoded(location, "host"))
        if let portText { try setPort(try percentDecoded(portText, "port")) }
    }

    private mutating func readParameter(_ text: ArraySlice<UInt8>) throws(SettingError) {
        let (nameText, valueText) = splitOnce(text, at: UInt8(ascii: "="))
        let name = try percentDecoded(nameText, "parameter name").text
        guard let valueText else {
            throw SettingError("parameter \(quotedForMessage(ByteString(name))) has no value")
        }
        let value = try percentDecoded(valueText, name)
        switch name {
        case "host": try setHost(value)
        case "port": try setPort(value)
        case "user": user = value
        case "password": try setPassword(value)
        case "dbname": database = value
        case "application_name": applicationName = value
        case "client_encoding": clientEncoding = value
        case "connect_timeout":
            connectTimeout = try setting(name, .duration(0...longestDuration), value)
        case "gssencmode":
            guard ["disable", "prefer"].contains(value.text) else {
                throw SettingError("gssencmode=\(value.text): Martlet has no GSSAPI; use disable")
            }
        case _ where try readTLS(name, value): break
        default: throw unknownParameter(name)
        }
    }

    private mutating func setHost(_ text: ByteString) throws(SettingError) {
        guard !text.isEmpty else { return }
        guard !text.bytes.contains(UInt8(ascii: ",")) else {
            throw SettingError("several hosts in a URL are not supported yet")
        }
        host = try setting("host", .text, text)
    }

    private mutating func setPort(_ text: ByteString) throws(SettingError) {
        guard !text.isEmpty else { return }
        port = try setting("port", .int(1...65535), text)
    }

    private mutating func setPassword(_ text: ByteString?) throws(SettingError) {
        guard let text, !text.isEmpty else { return }
        password = try Self.checked("password", text, atMost: LengthLimit.secret)
    }

    private mutating func readTLS(
        _ name: String,
        _ value: ByteString
    ) throws(SettingError) -> Bool {
        do {
            return try tls.read(name, value)
        } catch {
            throw SettingError("\(name): \(error.message)")
        }
    }

    private func setting<Value>(
        _ name: String,
        _ codec: SettingCodec<Value>,
        _ text: ByteString
    ) throws(SettingError) -> Value {
        do {
            return try codec.parse(text)
        } catch {
            throw SettingError("\(name): \(error.message)")
        }
    }

    private static func checked(
        _ what: String,
        _ text: ByteString,
        atMost limit: Int
    ) throws(SettingError) -> ByteString {
        guard text.count <= limit else {
            throw SettingError("expected a \(what) of at most \(limit) bytes, found \(text.count)")
        }
        return text
    }

    private func unknownParameter(_ name: String) -> SettingError {
        let names =
            [
                "host", "port", "user", "password", "dbname", "application_name", "client_encoding",
                "connect_timeout", "gssencmode",
            ] + TLSParameters.names
        let hint = suggestion(for: name, among: names).map { "; did you mean \"\($0)\"?" } ?? ""
        return SettingError(
            "parameter \(quotedForMessage(ByteString(name))) is not supported\(hint)"
        )
    }
}

/// The parts before and after the first `separator`; no second part if there is none.
private func splitOnce(
    _ text: ArraySlice<UInt8>,
    at separator: UInt8
) -> (ArraySlice<UInt8>, ArraySlice<UInt8>?) {
    guard let index = text.firstIndex(of: separator) else { return (text, nil) }
    return (text[..<index], text[(index + 1)...])
}

/// Replaces `%xx`; the error names the part of the URL but does not contain it.
private func percentDecoded(
    _ text: ArraySlice<UInt8>,
    _ part: String
) throws(SettingError) -> ByteString {
    var decoded: [UInt8] = []
    var rest = text
    while let byte = rest.popFirst() {
        guard byte == UInt8(ascii: "%") else {
            decoded.append(byte)
            continue
        }
        let digits = rest.prefix(2)
        rest = rest.dropFirst(2)
        guard digits.count == 2, digits.allSatisfy(isASCIIAlphanumeric),
            let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16), value != 0
        else {
            throw SettingError("\(part): expected \"%\" and two hexadecimal digits, not 00")
        }
        decoded.append(value)
    }
    return ByteString(decoded)
}
