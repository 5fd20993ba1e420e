// The messages by which a backend describes its session: parameters, keys, readiness.
//
// Source: PostgreSQL documentation, section 55.7.

/// The transaction status byte of ReadyForQuery.
public enum TransactionStatus: UInt8, Sendable {
    case idle = 0x49  // I
    case inTransaction = 0x54  // T
    case inFailedTransaction = 0x45  // E
}

/// ParameterStatus: the value of a setting that the server reports.
public struct ParameterStatus: Equatable, Sendable {
    public let name: ByteString
    public let value: ByteString

    public init(name: ByteString, value: ByteString) {
        self.name = name
        self.value = value
    }

    /// Decodes a body.
    /// - Throws: `WireError` unless it is exactly two strings.
    public init(decoding body: RawSpan) throws(WireError) {
        var reader = ByteReader(body)
        self.name = try reader.readCString()
        self.value = try reader.readCString()
        try reader.finish()
    }
}

extension CancelKey {
    /// Decodes the body of a BackendKeyData message of protocol 3.0.
    /// - Throws: `WireError` unless it is exactly two numbers.
    public init(decodingBackendKeyData body: RawSpan) throws(WireError) {
        var reader = ByteReader(body)
        self.init(processID: try reader.readInt32(), secretKey: try reader.readInt32())
        try reader.finish()
    }
}

extension ByteWriter {
    /// Appends a ParameterStatus.
    public mutating func parameterStatus(name: ByteString, value: ByteString) {
        message(.parameterStatus) { body in
            body.writeCString(name)
            body.writeCString(value)
        }
    }

    /// Appends a BackendKeyData.
    public mutating func backendKeyData(_ key: CancelKey) {
        message(.backendKeyData) { body in
            body.write(key.processID)
            body.write(key.secretKey)
        }
    }

    /// Appends a ReadyForQuery.
    public mutating func readyForQuery(_ status: TransactionStatus) {
        message(.readyForQuery) { $0.write(status.rawValue) }
    }

    /// Appends a CommandComplete with `tag`.
    public mutating func commandComplete(_ tag: String) {
        message(.commandComplete) { $0.writeCString(tag) }
    }

    /// Appends a NegotiateProtocolVersion.
    ///
    /// - Parameters:
    ///   - newest: the newest minor version that is supported; the whole version number is sent, as
    ///     PostgreSQL does.
    ///   - unrecognizedOptions: the `_pq_.` options that are not supported.
    public mutating func negotiateProtocolVersion(
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
