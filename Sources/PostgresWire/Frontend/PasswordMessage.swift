// The messages of type 'p', by which a frontend answers authentication requests. They share one
// letter, so the request that came before says which of them a body is.
//
// Source: PostgreSQL documentation, section 55.7, "PasswordMessage", "SASLInitialResponse",
// "SASLResponse".

/// PasswordMessage: the password itself, or its md5 form.
package struct PasswordMessage: Equatable, Sendable, Redacted {
    package let password: ByteString

    package init(password: ByteString) {
        self.password = password
    }

    /// Decodes a body.
    /// - Throws: `WireError` unless it is exactly one string.
    package init(decoding body: RawSpan) throws(WireError) {
        var reader = ByteReader(body)
        self.password = try reader.readCString()
        try reader.finish()
    }
}

/// SASLInitialResponse: the chosen mechanism and the client's first message.
package struct SASLInitialResponse: Equatable, Sendable, Redacted {
    package let mechanism: ByteString
    /// nil when the client leaves the first word to the other side.
    package let initialResponse: ByteString?

    package init(mechanism: ByteString, initialResponse: ByteString?) {
        self.mechanism = mechanism
        self.initialResponse = initialResponse
    }

    /// Decodes a body.
    /// - Throws: `WireError` when the response is not as long as announced.
    package init(decoding body: RawSpan) throws(WireError) {
        var reader = ByteReader(body)
        self.mechanism = try reader.readCString()
        let byteCount = try reader.readInt32()
        self.initialResponse = byteCount == -1 ? nil : try reader.readBytes(Int(byteCount))
        try reader.finish()
    }
}

/// SASLResponse: whatever the mechanism calls for.
package struct SASLResponse: Equatable, Sendable, Redacted {
    package let data: ByteString

    package init(data: ByteString) {
        self.data = data
    }

    /// Takes the whole body.
    package init(decoding body: RawSpan) {
        self.data = ByteString(copying: body)
    }
}

extension ByteWriter {
    /// Appends a PasswordMessage.
    package mutating func passwordMessage(_ message: PasswordMessage) {
        self.message(.password) { $0.writeCString(message.password) }
    }

    /// Appends a SASLInitialResponse.
    package mutating func saslInitialResponse(_ response: SASLInitialResponse) {
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
    package mutating func saslResponse(_ response: SASLResponse) {
        message(.password) { $0.write(response.data.bytes) }
    }
}
