// The SQL that the pooler sends on its own account. Every name and literal is quoted here, and every
// function is named with its schema, so that neither a client's values nor its search_path can turn
// the text into something else.

public import PostgresWire

/// Builds internal statements.
public enum InternalSQL {
    /// A statement that sets `changes` until the end of the transaction.
    public static func applyLocally(_ changes: [SettingsChange]) -> ByteString {
        var text = Array("SELECT ".utf8)
        for (index, change) in changes.enumerated() {
            guard case .set(let name, let value) = change else { continue }
            if index > 0 { text.append(UInt8(ascii: ",")) }
            text += Array("pg_catalog.set_config(".utf8)
            text += quotedLiteral(name).bytes + [UInt8(ascii: ",")]
            text += quotedLiteral(value).bytes + Array(",true)".utf8)
        }
        return ByteString(text)
    }

    /// One Query text that makes `changes`.
    ///
    /// The role is left first and taken last: what a session may set depends on it. What a value
    /// leaves open is as a new session has it, not as the last client of the server had it.
    ///
    /// - Parameter discardingSequences: whether the session shall forget what it has drawn from
    ///   sequences, too.
    public static func apply(
        _ changes: [SettingsChange],
        discardingSequences: Bool = false
    ) -> ByteString {
        var text: [UInt8] = []
        if discardingSequences { text += Array("DISCARD SEQUENCES; ".utf8) }
        var isFirstSet = true
        let ordered = changes.sorted { Self.rank($0) < Self.rank($1) }
        if changes.contains(where: { $0.isOfIdentity }) {
            text += Array("RESET SESSION AUTHORIZATION; RESET ROLE; ".utf8)
        }
        for change in ordered where change.isPartial {
            text += Array("RESET ".utf8) + quotedSettingName(change.name).bytes + Array("; ".utf8)
        }
        for change in ordered {
            switch change {
            case .reset(let name):
                text += Array("RESET ".utf8) + quotedSettingName(name).bytes + Array("; ".utf8)
            case .set(let name, let value):
                text += Array((isFirstSet ? "SELECT " : ", ").utf8)
                isFirstSet = false
                text += Array("pg_catalog.set_config(".utf8)
                text += quotedLiteral(name).bytes + [UInt8(ascii: ",")]
                text += quotedLiteral(value).bytes + Array(",false)".utf8)
            }
        }
        return ByteString(text)
    }

    private static func rank(_ change: SettingsChange) -> Int {
        switch change {
        case .reset: 0
        case .set(let name, _):
            name.isText("role") ? 3 : name.isText("session_authorization") ? 2 : 1
        }
    }

    /// A Query text that listens to channels.
    public static func listen(_ channels: [ByteString]) -> ByteString {
        ByteString(
            Array(
                channels.map { Array("LISTEN ".utf8) + quotedIdentifier($0).bytes }
                    .joined(separator: [UInt8(ascii: ";")])
            )
        )
    }

    /// A Query text that sends a number to a channel, and listens for it.
    public static func mark(_ channel: ByteString, with number: UInt64) -> ByteString {
        let name = quotedIdentifier(channel).bytes
        return ByteString(
            Array("LISTEN ".utf8) + name + Array(";NOTIFY ".utf8) + name
                + Array(",'\(number)'".utf8)
        )
    }

    /// A string literal that means `value` whatever standard_conforming_strings says.
    ///
    /// Source: PostgreSQL documentation, section 4.1.2 "Constants".
    public static func quotedLiteral(_ value: ByteString) -> ByteString {
        let quote = UInt8(ascii: "'")
        let backslash = UInt8(ascii: "\\")
        var text: [UInt8] = value.bytes.contains(backslash) ? Array(" E'".utf8) : [quote]
        for byte in value.bytes {
            if byte == quote || byte == backslash { text.append(byte) }
            text.append(byte)
        }
        return ByteString(text + [quote])
    }

    /// A quoted identifier.
    public static func quotedIdentifier(_ name: ByteString) -> ByteString {
        let quote = UInt8(ascii: "\"")
        var text = [quote]
        for byte in name.bytes {
            if byte == quote { text.append(byte) }
            text.append(byte)
        }
        return ByteString(text + [quote])
    }

    /// A setting's name, each part of it quoted: `"app"."tenant"`.
    private static func quotedSettingName(_ name: ByteString) -> ByteString {
        let dot = UInt8(ascii: ".")
        let parts = name.bytes.split(separator: dot, omittingEmptySubsequences: false)
        return ByteString(
            Array(
                parts.map { quotedIdentifier(ByteString(Array($0))).bytes }.joined(separator: [dot])
            )
        )
    }
}
