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
        try reserve(count)
        let taken = Array(bytes[next..<next + count])
        for _ in 0..<count { _ = takeByte() }
        return taken
    }

    /// Takes a number of four bytes out.
    /// - Throws: `DigestError` when there is no entropy.
    mutating func takeNumber() throws(DigestError) -> UInt32 {
        try reserve(4)
        var number: UInt32 = 0
        for _ in 0..<4 { number = number << 8 | UInt32(takeByte()) }
        return number
    }

    /// Sees to it that as many bytes can be taken.
    private mutating func reserve(_ count: Int) throws(DigestError) {
        precondition(count <= Self.byteCount)
        guard bytes.count - next < count else { return }
        bytes = try unpredictableBytes(count: Self.byteCount)
        next = 0
    }

    private mutating func takeByte() -> UInt8 {
        defer { next += 1 }
        return exchange(&bytes[next], with: 0)
    }
}
