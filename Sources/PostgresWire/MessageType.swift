// The first byte of each message after startup. The two directions use the same letters for
// different messages, so there are two types; an unknown byte stays representable.
//
// Source: PostgreSQL documentation, section 55.7 "Message Formats".

/// The type byte of a message that a frontend sends.
public struct FrontendMessageType: Equatable, BitwiseCopyable, Sendable {
    /// The byte on the wire.
    public let rawValue: UInt8

    @inlinable @inline(__always)
    public static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

    /// Lets a `switch` compare bytes directly.
    @inlinable @inline(__always)
    public static func ~= (pattern: Self, value: Self) -> Bool { pattern.rawValue == value.rawValue }

    /// Wraps a byte as received.
    @inlinable
    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    @inlinable @inline(__always) public static var bind: Self { Self(rawValue: 0x42) }  // B
    @inlinable @inline(__always) public static var close: Self { Self(rawValue: 0x43) }  // C
    @inlinable @inline(__always) public static var copyData: Self { Self(rawValue: 0x64) }  // d
    @inlinable @inline(__always) public static var copyDone: Self { Self(rawValue: 0x63) }  // c
    @inlinable @inline(__always) public static var copyFail: Self { Self(rawValue: 0x66) }  // f
    @inlinable @inline(__always) public static var describe: Self { Self(rawValue: 0x44) }  // D
    @inlinable @inline(__always) public static var execute: Self { Self(rawValue: 0x45) }  // E
    @inlinable @inline(__always) public static var flush: Self { Self(rawValue: 0x48) }  // H
    @inlinable @inline(__always) public static var functionCall: Self { Self(rawValue: 0x46) }  // F
    @inlinable @inline(__always) public static var parse: Self { Self(rawValue: 0x50) }  // P
    /// PasswordMessage, SASLInitialResponse, SASLResponse and GSSResponse share one letter.
    @inlinable @inline(__always) public static var password: Self { Self(rawValue: 0x70) }  // p
    @inlinable @inline(__always) public static var query: Self { Self(rawValue: 0x51) }  // Q
    @inlinable @inline(__always) public static var sync: Self { Self(rawValue: 0x53) }  // S
    @inlinable @inline(__always) public static var terminate: Self { Self(rawValue: 0x58) }  // X
}

/// The type byte of a message that a backend sends.
public struct BackendMessageType: Equatable, BitwiseCopyable, Sendable {
    /// The byte on the wire.
    public let rawValue: UInt8

    @inlinable @inline(__always)
    public static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

    /// Lets a `switch` compare bytes directly.
    @inlinable @inline(__always)
    public static func ~= (pattern: Self, value: Self) -> Bool { pattern.rawValue == value.rawValue }

    /// Wraps a byte as received.
    @inlinable
    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    @inlinable @inline(__always) public static var authentication: Self { Self(rawValue: 0x52) }  // R
    @inlinable @inline(__always) public static var backendKeyData: Self { Self(rawValue: 0x4B) }  // K
    @inlinable @inline(__always) public static var bindComplete: Self { Self(rawValue: 0x32) }  // 2
    @inlinable @inline(__always) public static var closeComplete: Self { Self(rawValue: 0x33) }  // 3
    @inlinable @inline(__always) public static var commandComplete: Self { Self(rawValue: 0x43) }  // C
    @inlinable @inline(__always) public static var copyBothResponse: Self { Self(rawValue: 0x57) }  // W
    @inlinable @inline(__always) public static var copyData: Self { Self(rawValue: 0x64) }  // d
    @inlinable @inline(__always) public static var copyDone: Self { Self(rawValue: 0x63) }  // c
    @inlinable @inline(__always) public static var copyInResponse: Self { Self(rawValue: 0x47) }  // G
    @inlinable @inline(__always) public static var copyOutResponse: Self { Self(rawValue: 0x48) }  // H
    @inlinable @inline(__always) public static var dataRow: Self { Self(rawValue: 0x44) }  // D
    @inlinable @inline(__always) public static var emptyQueryResponse: Self { Self(rawValue: 0x49) }  // I
    @inlinable @inline(__always) public static var errorResponse: Self { Self(rawValue: 0x45) }  // E
    @inlinable @inline(__always) public static var functionCallResponse: Self { Self(rawValue: 0x56) }  // V
    @inlinable @inline(__always) public static var negotiateProtocolVersion: Self { Self(rawValue: 0x76) }  // v
    @inlinable @inline(__always) public static var noData: Self { Self(rawValue: 0x6E) }  // n
    @inlinable @inline(__always) public static var noticeResponse: Self { Self(rawValue: 0x4E) }  // N
    @inlinable @inline(__always) public static var notificationResponse: Self { Self(rawValue: 0x41) }  // A
    @inlinable @inline(__always) public static var parameterDescription: Self { Self(rawValue: 0x74) }  // t
    @inlinable @inline(__always) public static var parameterStatus: Self { Self(rawValue: 0x53) }  // S
    @inlinable @inline(__always) public static var parseComplete: Self { Self(rawValue: 0x31) }  // 1
    @inlinable @inline(__always) public static var portalSuspended: Self { Self(rawValue: 0x73) }  // s
    @inlinable @inline(__always) public static var readyForQuery: Self { Self(rawValue: 0x5A) }  // Z
    @inlinable @inline(__always) public static var rowDescription: Self { Self(rawValue: 0x54) }  // T
}
