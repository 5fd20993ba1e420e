// The first byte of each message after startup. The two directions use the same letters for
// different messages, so there are two types; an unknown byte stays representable.
//
// Source: PostgreSQL documentation, section 55.7 "Message Formats".

/// The type byte of a message that a frontend sends.
public struct FrontendMessageType: Equatable, BitwiseCopyable, Sendable {
    /// The byte on the wire.
    public let rawValue: UInt8

    public static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

    /// Lets a `switch` compare bytes directly.
    public static func ~= (pattern: Self, value: Self) -> Bool {
        pattern.rawValue == value.rawValue
    }

    /// Wraps a byte as received.
    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    public static var bind: Self { Self(rawValue: UInt8(ascii: "B")) }
    public static var close: Self { Self(rawValue: UInt8(ascii: "C")) }
    public static var copyData: Self { Self(rawValue: UInt8(ascii: "d")) }
    public static var copyDone: Self { Self(rawValue: UInt8(ascii: "c")) }
    public static var copyFail: Self { Self(rawValue: UInt8(ascii: "f")) }
    public static var describe: Self { Self(rawValue: UInt8(ascii: "D")) }
    public static var execute: Self { Self(rawValue: UInt8(ascii: "E")) }
    public static var flush: Self { Self(rawValue: UInt8(ascii: "H")) }
    public static var functionCall: Self { Self(rawValue: UInt8(ascii: "F")) }
    public static var parse: Self { Self(rawValue: UInt8(ascii: "P")) }
    /// PasswordMessage, SASLInitialResponse, SASLResponse and GSSResponse share one letter.
    public static var password: Self { Self(rawValue: UInt8(ascii: "p")) }
    public static var query: Self { Self(rawValue: UInt8(ascii: "Q")) }
    public static var sync: Self { Self(rawValue: UInt8(ascii: "S")) }
    public static var terminate: Self { Self(rawValue: UInt8(ascii: "X")) }
}

/// The type byte of a message that a backend sends.
public struct BackendMessageType: Equatable, BitwiseCopyable, Sendable {
    /// The byte on the wire.
    public let rawValue: UInt8

    public static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

    /// Lets a `switch` compare bytes directly.
    public static func ~= (pattern: Self, value: Self) -> Bool {
        pattern.rawValue == value.rawValue
    }

    /// Wraps a byte as received.
    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    public static var authentication: Self { Self(rawValue: UInt8(ascii: "R")) }
    public static var backendKeyData: Self { Self(rawValue: UInt8(ascii: "K")) }
    public static var bindComplete: Self { Self(rawValue: UInt8(ascii: "2")) }
    public static var closeComplete: Self { Self(rawValue: UInt8(ascii: "3")) }
    public static var commandComplete: Self { Self(rawValue: UInt8(ascii: "C")) }
    public static var copyBothResponse: Self { Self(rawValue: UInt8(ascii: "W")) }
    public static var copyData: Self { Self(rawValue: UInt8(ascii: "d")) }
    public static var copyDone: Self { Self(rawValue: UInt8(ascii: "c")) }
    public static var copyInResponse: Self { Self(rawValue: UInt8(ascii: "G")) }
    public static var copyOutResponse: Self { Self(rawValue: UInt8(ascii: "H")) }
    public static var dataRow: Self { Self(rawValue: UInt8(ascii: "D")) }
    public static var emptyQueryResponse: Self { Self(rawValue: UInt8(ascii: "I")) }
    public static var errorResponse: Self { Self(rawValue: UInt8(ascii: "E")) }
    public static var functionCallResponse: Self { Self(rawValue: UInt8(ascii: "V")) }
    public static var negotiateProtocolVersion: Self { Self(rawValue: UInt8(ascii: "v")) }
    public static var noData: Self { Self(rawValue: UInt8(ascii: "n")) }
    public static var noticeResponse: Self { Self(rawValue: UInt8(ascii: "N")) }
    public static var notificationResponse: Self { Self(rawValue: UInt8(ascii: "A")) }
    public static var parameterDescription: Self { Self(rawValue: UInt8(ascii: "t")) }
    public static var parameterStatus: Self { Self(rawValue: UInt8(ascii: "S")) }
    public static var parseComplete: Self { Self(rawValue: UInt8(ascii: "1")) }
    public static var portalSuspended: Self { Self(rawValue: UInt8(ascii: "s")) }
    public static var readyForQuery: Self { Self(rawValue: UInt8(ascii: "Z")) }
    public static var rowDescription: Self { Self(rawValue: UInt8(ascii: "T")) }
}
