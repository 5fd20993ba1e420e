// The first byte of each message after startup. The two directions use the same letters for
// different messages, so there are two types; an unknown byte stays representable.
//
// Source: PostgreSQL documentation, section 55.7 "Message Formats".

/// The type byte of a message that a frontend sends.
package struct FrontendMessageType: Equatable, Sendable {
    /// The byte on the wire.
    package let rawValue: UInt8

    /// Wraps a byte as received.
    @inlinable
    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    package static let bind = Self(rawValue: 0x42)  // B
    package static let close = Self(rawValue: 0x43)  // C
    package static let copyData = Self(rawValue: 0x64)  // d
    package static let copyDone = Self(rawValue: 0x63)  // c
    package static let copyFail = Self(rawValue: 0x66)  // f
    package static let describe = Self(rawValue: 0x44)  // D
    package static let execute = Self(rawValue: 0x45)  // E
    package static let flush = Self(rawValue: 0x48)  // H
    package static let functionCall = Self(rawValue: 0x46)  // F
    package static let parse = Self(rawValue: 0x50)  // P
    /// PasswordMessage, SASLInitialResponse, SASLResponse and GSSResponse share one letter.
    package static let password = Self(rawValue: 0x70)  // p
    package static let query = Self(rawValue: 0x51)  // Q
    package static let sync = Self(rawValue: 0x53)  // S
    package static let terminate = Self(rawValue: 0x58)  // X
}

/// The type byte of a message that a backend sends.
package struct BackendMessageType: Equatable, Sendable {
    /// The byte on the wire.
    package let rawValue: UInt8

    /// Wraps a byte as received.
    @inlinable
    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    package static let authentication = Self(rawValue: 0x52)  // R
    package static let backendKeyData = Self(rawValue: 0x4B)  // K
    package static let bindComplete = Self(rawValue: 0x32)  // 2
    package static let closeComplete = Self(rawValue: 0x33)  // 3
    package static let commandComplete = Self(rawValue: 0x43)  // C
    package static let copyBothResponse = Self(rawValue: 0x57)  // W
    package static let copyData = Self(rawValue: 0x64)  // d
    package static let copyDone = Self(rawValue: 0x63)  // c
    package static let copyInResponse = Self(rawValue: 0x47)  // G
    package static let copyOutResponse = Self(rawValue: 0x48)  // H
    package static let dataRow = Self(rawValue: 0x44)  // D
    package static let emptyQueryResponse = Self(rawValue: 0x49)  // I
    package static let errorResponse = Self(rawValue: 0x45)  // E
    package static let functionCallResponse = Self(rawValue: 0x56)  // V
    package static let negotiateProtocolVersion = Self(rawValue: 0x76)  // v
    package static let noData = Self(rawValue: 0x6E)  // n
    package static let noticeResponse = Self(rawValue: 0x4E)  // N
    package static let notificationResponse = Self(rawValue: 0x41)  // A
    package static let parameterDescription = Self(rawValue: 0x74)  // t
    package static let parameterStatus = Self(rawValue: 0x53)  // S
    package static let parseComplete = Self(rawValue: 0x31)  // 1
    package static let portalSuspended = Self(rawValue: 0x73)  // s
    package static let readyForQuery = Self(rawValue: 0x5A)  // Z
    package static let rowDescription = Self(rawValue: 0x54)  // T
}
