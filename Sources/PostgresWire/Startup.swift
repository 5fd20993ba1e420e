// What a frontend may send first: a length, a 32-bit code, and what the code calls for. The length
// is bounded before anything is read, as PostgreSQL bounds it.
//
// Source: PostgreSQL documentation, section 55.7, "StartupMessage", "CancelRequest", "SSLRequest",
// "GSSENCRequest"; MAX_STARTUP_PACKET_LENGTH is 10,000.

/// The version that a StartupMessage asks for.
public struct ProtocolVersion: Equatable, Comparable, Sendable {
    public let major: UInt16
    public let minor: UInt16

    /// The only version that the pooler speaks: 3.0.
    public static let v3 = ProtocolVersion(major: 3, minor: 0)

    public init(major: UInt16, minor: UInt16) {
        self.major = major
        self.minor = minor
    }

    public static func < (left: ProtocolVersion, right: ProtocolVersion) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }
}

/// A name and value of a StartupMessage.
public struct StartupParameter: Hashable, Sendable {
    public let name: ByteString
    public let value: ByteString

    public init(name: ByteString, value: ByteString) {
        self.name = name
        self.value = value
    }
}

/// The identity that a CancelRequest carries, given out earlier by BackendKeyData.
public struct CancelKey: Hashable, Sendable {
    public let processID: Int32
    public let secretKey: Int32

    public init(processID: Int32, secretKey: Int32) {
        self.processID = processID
        self.secretKey = secretKey
    }
}

/// A packet without a type byte, the first thing on a connection.
public enum StartupPacket: Equatable, Sendable {
    case startupMessage(version: ProtocolVersion, parameters: [StartupParameter])
    case cancelRequest(CancelKey)
    case sslRequest
    case gssencRequest

    /// The longest packet that is accepted, in bytes, its length field included.
    public static let byteCountLimit = 10_000

    private static let cancelRequestCode: Int32 = 80_877_102
    fileprivate static let sslRequestCode: Int32 = 80_877_103
    private static let gssencRequestCode: Int32 = 80_877_104

    /// The size of the packet at the start of `bytes`, or nil when its length has not arrived.
    ///
    /// - Throws: `WireError.invalidLength` outside 8...10,000.
    public static func byteCount(peeking bytes: RawSpan) throws(WireError) -> Int? {
        guard bytes.byteCount >= 4 else { return nil }
        let length = Int(bytes.bigEndianUInt32(at: 0))
        guard length >= 8, length <= byteCountLimit else { throw .invalidLength(length) }
        return length
    }

    /// Decodes one complete packet.
    ///
    /// - Parameter packet: exactly the bytes that `byteCount(peeking:)` announced.
    /// - Throws: `WireError` for a packet that PostgreSQL would refuse. An unknown major version is
    ///   not an error here; its parameters are left out.
    public init(decoding packet: RawSpan) throws(WireError) {
        var reader = ByteReader(packet)
        _ = try reader.readInt32()
        let code = try reader.readInt32()
        switch code {
        case Self.cancelRequestCode:
            let processID = try reader.readInt32()
            let secretKey = try reader.readInt32()
            try reader.finish()
            self = .cancelRequest(CancelKey(processID: processID, secretKey: secretKey))
        case Self.sslRequestCode:
            try reader.finish()
            self = .sslRequest
        case Self.gssencRequestCode:
            try reader.finish()
            self = .gssencRequest
        default:
            let bits = UInt32(bitPattern: code)
            let version = ProtocolVersion(
                major: UInt16(truncatingIfNeeded: bits >> 16),
                minor: UInt16(truncatingIfNeeded: bits)
            )
            let parameters = version.major == 3 ? try Self.parameters(&reader) : []
            self = .startupMessage(version: version, parameters: parameters)
        }
    }

    private static func parameters(
        _ reader: inout ByteReader
    ) throws(WireError) -> [StartupParameter] {
        var parameters: [StartupParameter] = []
        while reader.remainingByteCount > 0 {
            let name = try reader.readCString()
            if name.isEmpty {
                guard reader.remainingByteCount == 0 else { throw .missingTerminator }
                return parameters
            }
            guard reader.remainingByteCount > 0 else { throw .missingTerminator }
            parameters.append(StartupParameter(name: name, value: try reader.readCString()))
        }
        throw .missingTerminator
    }
}

extension ByteWriter {
    /// Appends a StartupMessage for version 3.0.
    public mutating func startupMessage(_ parameters: [StartupParameter]) {
        lengthPrefixed { packet in
            packet.write(Int32(3 << 16))
            for parameter in parameters {
                packet.writeCString(parameter.name)
                packet.writeCString(parameter.value)
            }
            packet.write(UInt8(0))
        }
    }

    /// Appends an SSLRequest.
    public mutating func sslRequest() {
        lengthPrefixed { $0.write(StartupPacket.sslRequestCode) }
    }

    /// Appends a CancelRequest.
    public mutating func cancelRequest(_ key: CancelKey) {
        lengthPrefixed { packet in
            packet.write(Int32(80_877_102))
            packet.write(key.processID)
            packet.write(key.secretKey)
        }
    }
}
