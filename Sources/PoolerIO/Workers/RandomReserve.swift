// Random bytes in stock: drawing them costs the same for a few as for many, and each login needs some.

internal import Digests

/// Bytes that nobody can predict, each given out once.
struct RandomReserve {
    private var bytes: [UInt8] = []
    /// 0 <= next <= bytes.count; what is before it has been given out and overwritten.
    private var next = 0

    /// How many are drawn at once.
    static let byteCount = 4_096

    /// Takes bytes out.
    /// - Parameter count: at most `byteCount`.
    /// - Throws: `DigestError` when there is no entropy.
    mutating func take(_ count: Int) throws(DigestError) -> [UInt8] {
        precondition(count <= Self.byteCount)
        if bytes.count - next < count {
            bytes = try unpredictableBytes(count: Self.byteCount)
            next = 0
        }
        let taken = Array(bytes[next..<next + count])
        for index in next..<next + count { bytes[index] = 0 }
        next += count
        return taken
    }

    /// Takes a number of four bytes out.
    /// - Throws: `DigestError` when there is no entropy.
    mutating func takeNumber() throws(DigestError) -> UInt32 {
        try take(4).reduce(0) { $0 << 8 | UInt32($1) }
    }
}
