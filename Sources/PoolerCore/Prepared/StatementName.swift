// What tracked statements are called on servers: a prefix and a number that is never used twice.

/// Builds the names of tracked statements on servers.
public enum StatementName {
    /// What the names begin with.
    public static let prefix: [UInt8] = Array("MARTLET_".utf8)

    /// The number of no statement.
    public static let missing: UInt64 = 0

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
