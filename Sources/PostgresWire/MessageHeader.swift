// The five bytes in front of every message after startup: a type byte and a length that counts
// itself. This is the only place that computes with a raw length from the network.
//
//     | type: 1 | length: 4, big endian, >= 4 | body: length - 4 |

/// A message's type byte and the size of its body.
public struct MessageHeader: Equatable, BitwiseCopyable, Sendable {
    /// The size of a header: one type byte and four length bytes.
    public static let byteCount = 5

    /// The type byte, to be wrapped by the direction's message type.
    public let typeByte: UInt8
    /// The number of bytes after the header, 0 or more.
    public let bodyByteCount: Int

    /// The size of header and body together.
    @inlinable
    public var messageByteCount: Int { Self.byteCount &+ bodyByteCount }

    /// Makes a header from its parts.
    @inlinable
    public init(typeByte: UInt8, bodyByteCount: Int) {
        self.typeByte = typeByte
        self.bodyByteCount = bodyByteCount
    }

    /// Reads the header that starts at `offset`, or returns nil when fewer than five bytes are there.
    ///
    /// - Parameters:
    ///   - bytes: received bytes.
    ///   - offset: where the message starts, within `bytes`.
    ///   - limit: the largest length field to accept, in bytes.
    /// - Throws: `WireError.invalidLength` for a length below 4 or above `limit`.
    @inlinable
    public init?(peeking bytes: RawSpan, at offset: Int, limit: Int) throws(WireError) {
        guard bytes.byteCount &- offset >= Self.byteCount else { return nil }
        let length = Int(bytes.bigEndianUInt32(at: offset &+ 1))
        guard length >= 4, length <= limit else { throw .invalidLength(length) }
        self.typeByte = bytes.byte(at: offset)
        self.bodyByteCount = length &- 4
    }
}
