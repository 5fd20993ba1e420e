// The messages by which a backend describes its session: parameters, keys, readiness.
//
// Source: PostgreSQL documentation, section 55.7.

/// The transaction status byte of ReadyForQuery.
package enum TransactionStatus: UInt8, Sendable {
    case idle = 0x49  // I
    case inTransaction = 0x54  // T
    case inFailedTransaction = 0x45  // E
}

/// ParameterStatus: the value of a setting that the server reports.
package struct ParameterStatus: Equatable, Sendable {
    package let name: ByteString
    package let value: ByteString

    package init(name: ByteString, value: ByteString) {
        self.name = name
        self.value = value
    }

    /// Decodes a body.
    /// - Throws: `WireError` unless it is exactly two strings.
    package init(decoding body: RawSpan) throws(WireError) {
        var reader = ByteReader(body)
        self.name = try reader.readCString()
        self.value = try reader.readCString()
        try reader.finish()
    }
}

extension CancelKey {
    /// Decodes the body of a BackendKeyData message of protocol 3.0.
    /// - Throws: `WireError` unless it is exactly two numbers.
    package init(decodingBackendKeyData body: RawSpan) throws(WireError) {
        var reader = ByteReader(body)
        self.init(processID: try reader.readInt32(), secretKey: try reader.readInt32())
        try reader.finish()
    }
}

extension ByteWriter {
    /// Appends a ParameterStatus.
    package mutating func parameterStatus(name: ByteString, value: ByteString) {
        message(.parameterStatus) { body in
            body.writeCString(name)
            body.writeCString(value)
        }
    }

    /// Appends a BackendKeyData.
    package mutating func backendKeyData(_ key: CancelKey) {
        message(.backendKeyData) { body in
            body.write(key.processID)
            body.write(key.secretKey)
        }
    }

    /// Appends a ReadyForQuery.
    package mutating func readyForQuery(_ status: TransactionStatus) {
        message(.readyForQuery) { $0.write(status.rawValue) }
    }

    /// Appends a CommandComplete with `tag`.
    package mutating func commandComplete(_ tag: String) {
        message(.commandComplete) { $0.writeCString(tag) }
    }

    /// Appends a NegotiateProtocolVersion.
    ///
    /// - Parameters:
    ///   - newest: the newest minor version that is supported; the whole version number is sent, as
    ///     PostgreSQL does.
    ///   - unrecognizedOptions: the `_pq_.` options that are not supported.
    package mutating func negotiateProtocolVersion(
        newest: ProtocolVersion,
        unrecognizedOptions: [ByteString]
    ) {
        message(.negotiateProtocolVersion) { body in
            body.write(Int32(newest.major) << 16 | Int32(newest.minor))
            body.write(Int32(truncatingIfNeeded: unrecognizedOptions.count))
            for option in unrecognizedOptions { body.writeCString(option) }
        }
    }
}
