// Splits the value of a database or user entry, `key=value key='value'`, into its pairs.
//
// Blanks separate pairs and may surround `=`. A quoted value may contain blanks, `''` in it stands
// for a quote, and a backslash for itself. Which keys exist is not known here.

public import PostgresWire

/// A key and its value in an entry.
public struct ConnectionPair: Sendable, Equatable {
    public let key: String
    public let value: ByteString
}

/// Reads all pairs of an entry; errors never contain a value, because it may be a password.
public func parseConnectionString(
    _ text: ByteString
) throws(SettingError) -> [ConnectionPair] {
    var pairs: [ConnectionPair] = []
    var rest = text.bytes[...].drop(while: isASCIISpace)
    while !rest.isEmpty {
        let key = rest.prefix { $0 != UInt8(ascii: "=") && !isASCIISpace($0) }
        rest = rest[key.endIndex...].drop(while: isASCIISpace)
        let name = String(decoding: key, as: UTF8.self)
        guard !key.isEmpty else {
            throw SettingError("expected key=value pairs: \"=\" without a key")
        }
        guard rest.first == UInt8(ascii: "=") else {
            throw SettingError(
                "expected key=value pairs: no \"=\" after \(quotedForMessage(ByteString(name)))"
            )
        }
        rest = rest.dropFirst().drop(while: isASCIISpace)
        pairs.append(ConnectionPair(key: name, value: try takeValue(of: name, &rest)))
        rest = rest.drop(while: isASCIISpace)
    }
    return pairs
}

private func takeValue(
    of name: String,
    _ rest: inout ArraySlice<UInt8>
) throws(SettingError) -> ByteString {
    guard rest.first == UInt8(ascii: "'") else {
        let value = rest.prefix { !isASCIISpace($0) }
        guard !value.isEmpty else {
            throw SettingError("\(name): expected a value after \"=\"; write '' for an empty one")
        }
        rest = rest[value.endIndex...]
        return ByteString(Array(value))
    }
    guard let value = takeQuoted(&rest) else {
        throw SettingError("\(name): the quoted value has no closing quote")
    }
    if let next = rest.first, !isASCIISpace(next) {
        throw SettingError("\(name): expected a blank after the closing quote")
    }
    return value
}
