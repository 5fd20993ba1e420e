// Unaligned reads from received bytes. The bounds checks of RawSpan stay: they are what makes a
// wrong offset a crash in a test and not a leak of a neighbour's bytes.

extension RawSpan {
    /// The byte at `offset`, which must lie within the span.
    @inlinable
    public func byte(at offset: Int) -> UInt8 {
        unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self)
    }

    /// The four bytes at `offset` as a big-endian number; they must lie within the span.
    @inlinable
    public func bigEndianUInt32(at offset: Int) -> UInt32 {
        unsafe UInt32(bigEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// Whether both spans hold the same bytes; compares eight at a time.
    public func hasSameBytes(as other: RawSpan) -> Bool {
        guard byteCount == other.byteCount else { return false }
        var offset = 0
        while offset &+ 8 <= byteCount {
            let left = unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
            let right = unsafe other.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
            guard left == right else { return false }
            offset &+= 8
        }
        while offset < byteCount {
            guard byte(at: offset) == other.byte(at: offset) else { return false }
            offset &+= 1
        }
        return true
    }

    /// Whether the bytes are those of `text`.
    public func isText(_ text: StaticString) -> Bool {
        guard byteCount == text.utf8CodeUnitCount else { return false }
        for offset in 0..<byteCount {
            guard unsafe byte(at: offset) == text.utf8Start[offset] else { return false }
        }
        return true
    }

    /// Where the next zero byte at or after `offset` stands, or nil when there is none.
    @inlinable
    public func indexOfZero(from offset: Int) -> Int? {
        var index = offset
        while index < byteCount {
            if byte(at: index) == 0 { return index }
            index &+= 1
        }
        return nil
    }
}
