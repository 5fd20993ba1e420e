// The Authentication messages: a 32-bit code, and what the code calls for. Requests that the pooler
// cannot answer stay representable by their code.
//
// Source: PostgreSQL documentation, section 55.7, "AuthenticationOk" to "AuthenticationSASLFinal".

/// What a backend asks of, or tells, a frontend that logs in.
public enum AuthenticationRequest: Equatable, Sendable {
    /// The login is complete.
    case ok
    case cleartextPassword
    /// The salt is the four bytes on the wire, read as a big-endian number.
    case md5Password(salt: UInt32)
    case sasl(mechanisms: [ByteString])
    case saslContinue(ByteString)
    case saslFinal(ByteString)
    /// Kerberos, GSSAPI, SSPI, or something newer.
    case unsupported(code: Int32)

    private static let okCode: Int32 = 0
    private static let cleartextPasswordCode: Int32 = 3
    private static let md5PasswordCode: Int32 = 5
    private static let saslCode: Int32 = 10
    private static let saslContinueCode: Int32 = 11
    private static let saslFinalCode: Int32 = 12

    /// Decodes a body.
    /// - Throws: `WireError` when the body is not what its code calls for.
    public init(decoding body: RawSpan) throws(WireError) {
        var reader = ByteReader(body)
        switch try reader.readInt32() {
        case Self.okCode:
            self = .ok
        case Self.cleartextPasswordCode:
            self = .cleartextPassword
        case Self.md5PasswordCode:
            self = .md5Password(salt: UInt32(bitPattern: try reader.readInt32()))
        case Self.saslCode:
            self = .sasl(mechanisms: try Self.mechanisms(&reader))
        case Self.saslContinueCode:
            self = .saslContinue(reader.readRemainder())
        case Self.saslFinalCode:
            self = .saslFinal(reader.readRemainder())
        case let code:
            self = .unsupported(code: code)
            return
        }
        try reader.finish()
    }

    private static func mechanisms(
        _ reader: inout ByteReader
    ) throws(WireError) -> [ByteString] {
        var mechanisms: [ByteString] = []
        while reader.remainingByteCount > 0 {
            let mechanism = try reader.readCString()
            if mechanism.isEmpty { return mechanisms }
            mechanisms.append(mechanism)
        }
        throw .missingTerminator
    }

    fileprivate func write(to body: inout ByteWriter) {
        switch self {
        case .ok:
            body.write(Self.okCode)
        case .cleartextPassword:
            body.write(Self.cleartextPasswordCode)
        case .md5Password(let salt):
            body.write(Self.md5PasswordCode)
            body.write(Int32(bitPattern: salt))
        case .sasl(let mechanisms):
            body.write(Self.saslCode)
            for mechanism in mechanisms { body.writeCString(mechanism) }
            body.write(UInt8(0))
        case .saslContinue(let data):
            body.write(Self.saslContinueCode)
            body.write(data.bytes)
        case .saslFinal(let data):
            body.write(Self.saslFinalCode)
            body.write(data.bytes)
        case .unsupported(let code):
            body.write(code)
        }
    }
}

extension ByteWriter {
    /// Appends an Authentication message.
    public mutating func authenticationRequest(_ request: AuthenticationRequest) {
        message(.authentication) { request.write(to: &$0) }
    }
}
