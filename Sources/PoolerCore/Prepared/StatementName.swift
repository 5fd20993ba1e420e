// What tracked statements are called on servers: a prefix and a number that is never used twice.

public import PostgresWire

/// Builds the names of tracked statements on servers.
public enum StatementName {
    /// What the names begin with.
    public static let prefix: [UInt8] = Array("MARTLET_".utf8)

    /// The number of no statement.
    public static let missing: UInt64 = 0

    /// Whether a server that was told to use the statement of that number says that there is none.
    ///
    /// - Parameter message: of its error, in whatever language.
    public static func isMissing(in message: ByteString) -> Bool {
        let name = prefix + [UInt8(ascii: "0")]
        return message.bytes.indices.contains { message.bytes[$0...].starts(with: name) }
    }

    /// The size of a name with its terminating zero byte.
    public static func byteCount(serial: UInt64) -> Int {
        var count = prefix.count + 2
        var rest = serial / 10
        while rest > 0 {
            count += 1
            rest /= 10
        }
        return count
    }

    /// Appends the decimal digits of a serial number, without making a String.
    public static func appendDigits(of serial: UInt64, to bytes: inout [UInt8]) {
        let start = bytes.count
        var rest = serial
        repeat {
            bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
        } while rest > 0
        bytes[start...].reverse()
    }
}
