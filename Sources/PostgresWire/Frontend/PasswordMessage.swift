// The messages of type 'p', by which a frontend answers authentication requests. They share one
// letter, so the request that came before says which of them a body is.
//
// Source: PostgreSQL documentation, section 55.7, "PasswordMessage", "SASLInitialResponse",
// "SASLResponse".

/// PasswordMessage: the password itself, or its md5 form.
public struct PasswordMessage: Equatable, Sendable, Redacted {
    public let password: ByteString

    public init(password: ByteString) {
        self.password = password
    }

    /// Decodes a body.
    /// - Throws: `WireError` unless it is exactly one string.
    public init(decoding body: RawSpan) throws(WireError) {
        var reader = ByteReader(body)
        self.password = try reader.readCString()
        try reader.finish()
    }
}

/// SASLInitialResponse: the chosen mechanism and the client's first message.
public struct SASLInitialResponse: Equatable, Sendable, Redacted {
    public let mechanism: ByteString
    /// nil when the client leaves the first word to the other side.
    public let initialResponse: ByteString?

    public init(mechanism: ByteString, initialResponse: ByteString?) {
        self.mechanism = mechanism
        self.initialResponse = initialResponse
    }

    /// Decodes a body.
    /// - Throws: `WireError` when the response is not as long as announced.
    public init(decoding body: RawSpan) throws(WireError) {
        var reader = ByteReader(body)
        self.mechanism = try reader.readCString()
        let byteCount = try reader.readInt32()
        self.initialResponse = byteCount == -1 ? nil : try reader.readBytes(Int(byteCount))
        try reader.finish()
    }
}

/// SASLResponse: whatever the mechanism calls for.
public struct SASLResponse: Equatable, Sendable, Redacted {
    public let data: ByteString

    public init(data: ByteString) {
        self.data = data
    }

    /// Takes the whole body.
    public init(decoding body: RawSpan) {
        self.data = ByteString(copying: body)
    }
}

extension ByteWriter {
    /// Appends a PasswordMessage.
    public mutating func passwordMessage(_ message: PasswordMessage) {
        self.message(.password) { $0.writeCString(message.password) }
    }

    /// Appends a SASLInitialResponse.
    public mutating func saslInitialResponse(_ response: SASLInitialResponse) {
        message(.password) { body in
            body.writeCString(response.mechanism)
            guard let initialResponse = response.initialResponse else {
                body.write(Int32(-1))
                return
            }
            body.write(Int32(truncatingIfNeeded: initialResponse.count))
            body.write(initialResponse.bytes)
        }
    }

    /// Appends a SASLResponse.
    public mutating func saslResponse(_ response: SASLResponse) {
        message(.password) { $0.write(response.data.bytes) }
    }
}
