// A cursor over one complete message body. Invariant: 0 <= offset <= bytes.byteCount.

/// Reads the fields of a message body one after the other.
public struct ByteReader: ~Escapable {
    private let bytes: RawSpan
    /// Where the next field starts, counted from the start of the body.
    public private(set) var offset = 0

    /// Starts at the first byte of `body`.
    @_lifetime(copy body)
    public init(_ body: RawSpan) {
        self.bytes = body
    }

    /// How many bytes are left.
    public var remainingByteCount: Int { bytes.byteCount - offset }

    /// Reads one byte.
    /// - Throws: `WireError.truncated` at the end of the body.
    @_lifetime(self: copy self)
    public mutating func readUInt8() throws(WireError) -> UInt8 {
        guard remainingByteCount >= 1 else { throw .truncated }
        defer { offset += 1 }
        return bytes.byte(at: offset)
    }

    /// Reads a 16-bit number.
    /// - Throws: `WireError.truncated` when fewer than two bytes are left.
    @_lifetime(self: copy self)
    public mutating func readInt16() throws(WireError) -> Int16 {
        let high = try readUInt8()
        let low = try readUInt8()
        return Int16(bitPattern: UInt16(high) << 8 | UInt16(low))
    }

    /// Reads a 32-bit number.
    /// - Throws: `WireError.truncated` when fewer than four bytes are left.
    @_lifetime(self: copy self)
    public mutating func readInt32() throws(WireError) -> Int32 {
        guard remainingByteCount >= 4 else { throw .truncated }
        defer { offset += 4 }
        return Int32(bitPattern: bytes.bigEndianUInt32(at: offset))
    }

    /// Reads a zero-terminated string.
    /// - Throws: `WireError.unterminatedString` when no zero byte follows.
    @_lifetime(self: copy self)
    public mutating func readCString() throws(WireError) -> ByteString {
        guard let end = bytes.indexOfZero(from: offset) else { throw .unterminatedString }
        defer { offset = end + 1 }
        return ByteString(copying: bytes.extracting(offset..<end))
    }

    /// Reads exactly `count` bytes.
    /// - Throws: `WireError.truncated` when fewer are left or `count` is negative.
    @_lifetime(self: copy self)
    public mutating func readBytes(_ count: Int) throws(WireError) -> ByteString {
        guard count >= 0, count <= remainingByteCount else { throw .truncated }
        defer { offset += count }
        return ByteString(copying: bytes.extracting(offset..<offset + count))
    }

    /// Reads everything that is left.
    @_lifetime(self: copy self)
    public mutating func readRemainder() -> ByteString {
        defer { offset = bytes.byteCount }
        return ByteString(copying: bytes.extracting(offset..<bytes.byteCount))
    }

    /// Checks that the whole body has been read.
    /// - Throws: `WireError.trailingBytes` when something is left.
    public func finish() throws(WireError) {
        guard remainingByteCount == 0 else { throw .trailingBytes }
    }
}
