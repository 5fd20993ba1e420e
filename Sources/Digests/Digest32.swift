// Thirty-two bytes: a SHA-256 digest, or a key that SCRAM makes of one. Comparison takes the same
// time wherever the values differ, so that no caller can get this wrong; the description never shows
// the bytes.

/// A 32-byte value, compared in constant time.
public struct Digest32: Sendable {
    /// The number of bytes.
    public static let byteCount = 32

    private var storage: InlineArray<32, UInt8>

    /// Makes a digest of exactly 32 bytes; nil for any other number.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.storage = InlineArray { bytes[$0] }
    }

    /// Makes a digest of what `fill` leaves in 32 zeroed bytes.
    init(filledBy fill: (inout MutableSpan<UInt8>) throws(DigestError) -> Void) throws(DigestError)
    {
        self.storage = InlineArray(repeating: 0)
        var span = storage.mutableSpan
        try fill(&span)
    }

    /// The bytes in place.
    var span: Span<UInt8> {
        @_lifetime(borrow self)
        borrowing get { storage.span }
    }

    /// The bytes as an array.
    public var bytes: [UInt8] {
        unsafe storage.span.withUnsafeBufferPointer { unsafe Array($0) }
    }

    /// The bytes of both values, combined one by one by exclusive or.
    public static func ^ (left: Digest32, right: Digest32) -> Digest32 {
        var result = left
        for index in result.storage.indices { result.storage[index] ^= right.storage[index] }
        return result
    }
}

extension Digest32: Hashable {
    public static func == (left: Digest32, right: Digest32) -> Bool {
        constantTimeEqual(left.storage.span, right.storage.span)
    }

    public func hash(into hasher: inout Hasher) {
        for index in storage.indices { hasher.combine(storage[index]) }
    }
}

extension Digest32: CustomStringConvertible, CustomReflectable {
    /// Says what it is, never its bytes.
    public var description: String { "<32 bytes>" }

    public var customMirror: Mirror { Mirror(self, children: []) }
}
