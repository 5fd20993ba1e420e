// A name or value as PostgreSQL sees it: bytes, compared byte by byte.
//
// `String` will not do for database, user, statement and parameter names: it compares by Unicode
// canonical equivalence and repairs invalid UTF-8, so two names that PostgreSQL keeps apart could
// become one here.

/// An immutable sequence of bytes with byte-wise equality, order and hash.
public struct ByteString: Sendable {
    /// The bytes, without a terminator.
    public let bytes: [UInt8]

    /// Makes a byte string that holds exactly `bytes`.
    public init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// Makes a byte string from the UTF-8 form of `string`.
    public init(_ string: String) {
        self.bytes = Array(string.utf8)
    }

    /// Makes a byte string by copying `span`.
    public init(copying span: RawSpan) {
        self.bytes = unsafe span.withUnsafeBytes { unsafe Array($0) }
    }

    /// The number of bytes.
    public var count: Int { bytes.count }

    /// The bytes in place.
    public var span: RawSpan {
        @_lifetime(borrow self)
        borrowing get { unsafe bytes.span.bytes }
    }

    /// Whether the bytes are those of `other`.
    ///
    /// Does not allocate.
    public func hasSameBytes(as other: RawSpan) -> Bool {
        span.hasSameBytes(as: other)
    }

    /// Whether the bytes are those of `text`.
    ///
    /// Does not allocate, as making a byte string of a literal for the comparison would.
    public func isText(_ text: StaticString) -> Bool {
        text.withUTF8Buffer { text in
            unsafe bytes.count == text.count && bytes.elementsEqual(text)
        }
    }

    /// Whether there are no bytes.
    public var isEmpty: Bool { bytes.isEmpty }

    /// The bytes as text for people; bytes that are not UTF-8 appear as U+FFFD.
    public var text: String { String(decoding: bytes, as: UTF8.self) }
}

extension ByteString: Hashable, Comparable {
    public static func == (left: ByteString, right: ByteString) -> Bool {
        left.hasSameBytes(as: right.span)
    }

    /// All bytes at once; an array would feed them one by one, which takes many times as long.
    public func hash(into hasher: inout Hasher) {
        unsafe bytes.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
        // So that two in a row differ wherever the one ends.
        hasher.combine(0xFF as UInt8)
    }

    public static func < (left: ByteString, right: ByteString) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}

extension ByteString: ExpressibleByStringLiteral {
    public init(stringLiteral value: String) {
        self.init(value)
    }
}

extension ByteString: CustomStringConvertible {
    public var description: String { text }
}
