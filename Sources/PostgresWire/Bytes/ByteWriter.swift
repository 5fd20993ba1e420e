// Builds messages in memory that it owns: logins, console answers, internal queries. Forwarded
// messages never pass through it.

/// Appends fields and whole messages to a growing array of bytes.
public struct ByteWriter: Sendable {
    /// What has been written so far.
    public private(set) var bytes: [UInt8] = []

    /// Starts empty.
    ///
    /// - Parameter capacity: how many bytes can be written before memory has to be found anew.
    public init(capacity: Int = 0) {
        bytes.reserveCapacity(capacity)
    }

    /// Appends one byte.
    public mutating func write(_ value: UInt8) {
        bytes.append(value)
    }

    /// Appends a 16-bit number, big endian.
    public mutating func write(_ value: Int16) {
        append(value.bigEndian)
    }

    /// Appends a 32-bit number, big endian.
    public mutating func write(_ value: Int32) {
        append(value.bigEndian)
    }

    /// Appends bytes as they are.
    public mutating func write(_ value: [UInt8]) {
        bytes.append(contentsOf: value)
    }

    /// Appends bytes as they are.
    ///
    /// Slow from another module, where it is not specialised.
    public mutating func write(_ value: some Sequence<UInt8>) {
        bytes.append(contentsOf: value)
    }

    /// Appends the bytes of `value` and a terminating zero byte.
    public mutating func writeCString(_ value: ByteString) {
        bytes.append(contentsOf: value.bytes)
        bytes.append(0)
    }

    /// Appends the UTF-8 form of `value` and a terminating zero byte.
    public mutating func writeCString(_ value: String) {
        bytes.append(contentsOf: value.utf8)
        bytes.append(0)
    }

    /// Appends a message: type byte, length, and the body that `body` writes.
    public mutating func message(_ type: BackendMessageType, body: (inout ByteWriter) -> Void) {
        write(type.rawValue)
        lengthPrefixed(body)
    }

    /// Appends a message: type byte, length, and the body that `body` writes.
    public mutating func message(_ type: FrontendMessageType, body: (inout ByteWriter) -> Void) {
        write(type.rawValue)
        lengthPrefixed(body)
    }

    /// Appends what `body` writes, behind a 32-bit length that counts itself.
    public mutating func lengthPrefixed(_ body: (inout ByteWriter) -> Void) {
        let start = bytes.count
        write(Int32(0))
        body(&self)
        let length = UInt32(truncatingIfNeeded: bytes.count - start)
        for index in 0..<4 {
            bytes[start + index] = UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32(index)))
        }
    }

    private mutating func append(_ value: some FixedWidthInteger & BitwiseCopyable) {
        unsafe withUnsafeBytes(of: value) { unsafe bytes.append(contentsOf: $0) }
    }
}
