// RowDescription and DataRow in text format: the results that the pooler itself gives, on its console,
// and the answers of servers to its own questions. Results for clients are never decoded.
//
// Source: PostgreSQL documentation, section 55.7.

/// The PostgreSQL types of the console's columns.
public enum ColumnType: Sendable {
    case text
    case int4
    case int8
    case numeric
    case bytea

    /// The type's row in pg_type.
    public var objectID: Int32 {
        switch self {
        case .text: 25
        case .int4: 23
        case .int8: 20
        case .numeric: 1_700
        case .bytea: 17
        }
    }

    /// The size as pg_type gives it; -1 means of varying size.
    public var byteCount: Int16 {
        switch self {
        case .text, .numeric, .bytea: -1
        case .int4: 4
        case .int8: 8
        }
    }
}

/// A DataRow of values in text format.
public struct DataRow: Equatable, Sendable {
    /// The values; nil is NULL.
    public let columns: [ByteString?]

    /// Reads the body of a DataRow.
    ///
    /// - Throws: `WireError` when it is not one.
    public init(decoding body: RawSpan) throws(WireError) {
        var reader = ByteReader(body)
        var columns: [ByteString?] = []
        for _ in 0..<max(0, try reader.readInt16()) {
            let count = try reader.readInt32()
            columns.append(count < 0 ? nil : try reader.readBytes(Int(count)))
        }
        self.columns = columns
    }

    /// Reads the rows among the messages of an answer.
    ///
    /// - Parameter answer: whole messages.
    /// - Throws: `WireError` when one is not whole, or a DataRow is not one.
    public static func rows(in answer: RawSpan) throws(WireError) -> [DataRow] {
        var rows: [DataRow] = []
        var offset = 0
        while offset < answer.byteCount {
            guard
                let header = try MessageHeader(
                    peeking: answer,
                    at: offset,
                    limit: answer.byteCount
                ),
                offset + header.messageByteCount <= answer.byteCount
            else { throw .truncated }
            let bodyStart = offset + MessageHeader.byteCount
            offset += header.messageByteCount
            if BackendMessageType(rawValue: header.typeByte) == .dataRow {
                rows.append(try DataRow(decoding: answer.extracting(bodyStart..<offset)))
            }
        }
        return rows
    }
}

extension ByteWriter {
    /// Appends a RowDescription of columns that belong to no table, in text format.
    public mutating func rowDescription(_ columns: [(name: String, type: ColumnType)]) {
        message(.rowDescription) { body in
            body.write(Int16(truncatingIfNeeded: columns.count))
            for column in columns {
                body.writeCString(column.name)
                body.write(Int32(0))
                body.write(Int16(0))
                body.write(column.type.objectID)
                body.write(column.type.byteCount)
                body.write(Int32(-1))
                body.write(Int16(0))
            }
        }
    }

    /// Appends a DataRow of text values; nil is NULL.
    public mutating func dataRow(_ values: [ByteString?]) {
        message(.dataRow) { body in
            body.write(Int16(truncatingIfNeeded: values.count))
            for value in values {
                guard let value else {
                    body.write(Int32(-1))
                    continue
                }
                body.write(Int32(truncatingIfNeeded: value.count))
                body.write(value.bytes)
            }
        }
    }
}
