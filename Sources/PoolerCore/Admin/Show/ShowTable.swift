// How a SHOW table is declared and written. A table is a list of columns, each with its name, type,
// meaning and value; RowDescription, DataRow in both formats, the documentation and any other
// rendering derive from that one list. Nothing here knows a particular table.

public import PostgresWire

/// A value of a SHOW table.
public enum ShowValue: Equatable, Sendable {
    case null
    case text(ByteString)
    case integer(Int64)
    case natural(UInt64)
}

/// The name, type and meaning of a column.
public struct ColumnDescription: Equatable, Sendable {
    public let name: String
    public let type: ColumnType
    public let doc: String
}

/// A column of a table whose rows are made from `Row`s.
struct ShowColumn<Row>: Sendable {
    let description: ColumnDescription
    let value: @Sendable (Row) -> ShowValue

    static func text(
        _ name: String,
        _ doc: String,
        _ value: @escaping @Sendable (Row) -> ByteString?
    ) -> Self {
        Self(description: ColumnDescription(name: name, type: .text, doc: doc)) { row in
            value(row).map { .text($0) } ?? .null
        }
    }

    static func int4(
        _ name: String,
        _ doc: String,
        _ value: @escaping @Sendable (Row) -> Int
    ) -> Self {
        Self(description: ColumnDescription(name: name, type: .int4, doc: doc)) { row in
            .integer(Int64(Int32(clamping: value(row))))
        }
    }

    static func int8(
        _ name: String,
        _ doc: String,
        _ value: @escaping @Sendable (Row) -> Int
    ) -> Self {
        Self(description: ColumnDescription(name: name, type: .int8, doc: doc)) { row in
            .integer(Int64(value(row)))
        }
    }

    static func numeric(
        _ name: String,
        _ doc: String,
        _ value: @escaping @Sendable (Row) -> UInt64
    ) -> Self {
        Self(description: ColumnDescription(name: name, type: .numeric, doc: doc)) { row in
            .natural(value(row))
        }
    }
}

/// A SHOW table, whatever its rows are made of.
public struct ShowDefinition: Sendable {
    /// What the table tells.
    public let doc: String
    /// Who may look at it.
    public let role: AdminRole
    /// What the pooler has to collect for it.
    public let parts: SnapshotParts
    /// The columns; none for SHOW HELP, which answers with a notice.
    public let columns: [ColumnDescription]
    /// The rows as values.
    public let values: @Sendable (ConsoleSnapshot) -> [[ShowValue]]
    /// Appends one DataRow for each row and returns where each ends in the writer's bytes.
    let appendRows: @Sendable (ConsoleSnapshot, ResultFormats, inout ByteWriter) -> [Int]

    init<Row>(
        _ doc: String,
        role: AdminRole = .stats,
        parts: SnapshotParts,
        columns: [ShowColumn<Row>],
        rows: @escaping @Sendable (ConsoleSnapshot) -> [Row]
    ) {
        self.doc = doc
        self.role = role
        self.parts = parts
        self.columns = columns.map(\.description)
        self.values = { snapshot in
            rows(snapshot).map { row in columns.map { $0.value(row) } }
        }
        self.appendRows = { snapshot, formats, writer in
            rows(snapshot).map { row in
                writer.message(.dataRow) { body in
                    body.write(Int16(truncatingIfNeeded: columns.count))
                    for (index, column) in columns.enumerated() {
                        body.write(
                            column.value(row),
                            as: column.description.type,
                            isBinary: formats.isBinary(index)
                        )
                    }
                }
                return writer.bytes.count
            }
        }
    }
}

/// The format codes of a Bind message: none, one for all columns, or one for each.
public struct ResultFormats: Equatable, Sendable {
    private let areBinary: [Bool]

    /// Everything as text.
    public static let text = ResultFormats([])

    /// Takes the codes, of which true is binary.
    public init(_ areBinary: [Bool]) {
        self.areBinary = areBinary
    }

    /// Whether the codes fit a result of `columnCount` columns.
    public func fits(columnCount: Int) -> Bool {
        areBinary.count <= 1 || areBinary.count == columnCount
    }

    /// Whether the column is to be sent in binary format.
    public func isBinary(_ column: Int) -> Bool {
        switch areBinary.count {
        case 0: false
        case 1: areBinary[0]
        default: column < areBinary.count && areBinary[column]
        }
    }
}

extension ByteWriter {
    /// Appends a RowDescription.
    mutating func rowDescription(_ columns: [ColumnDescription], _ formats: ResultFormats) {
        message(.rowDescription) { body in
            body.write(Int16(truncatingIfNeeded: columns.count))
            for (index, column) in columns.enumerated() {
                body.writeCString(column.name)
                body.write(Int32(0))
                body.write(Int16(0))
                body.write(column.type.objectID)
                body.write(column.type.byteCount)
                body.write(Int32(-1))
                body.write(Int16(formats.isBinary(index) ? 1 : 0))
            }
        }
    }

    /// Appends a field of a DataRow: its length and its bytes.
    fileprivate mutating func write(_ value: ShowValue, as type: ColumnType, isBinary: Bool) {
        switch value {
        case .null: write(Int32(-1))
        case .text(let text): writeField(text.bytes)
        case .integer(let number):
            if isBinary {
                writeBinary(number.magnitude, isNegative: number < 0, as: type)
            } else {
                writeField(String(number).utf8)
            }
        case .natural(let number):
            if isBinary {
                writeBinary(number, isNegative: false, as: type)
            } else {
                writeField(String(number).utf8)
            }
        }
    }

    private mutating func writeField(_ bytes: some Collection<UInt8>) {
        write(Int32(truncatingIfNeeded: bytes.count))
        write(bytes)
    }

    /// Appends a number in the binary format of `type`; a value out of its range is cut to fit.
    private mutating func writeBinary(_ magnitude: UInt64, isNegative: Bool, as type: ColumnType) {
        let number = isNegative ? Int64(clamping: magnitude) * -1 : Int64(clamping: magnitude)
        switch type {
        case .int4:
            write(Int32(4))
            write(Int32(clamping: number))
        case .int8:
            write(Int32(8))
            write(Int32(truncatingIfNeeded: number >> 32))
            write(Int32(truncatingIfNeeded: number))
        case .numeric: writeBinaryNumeric(magnitude, isNegative: isNegative)
        case .text, .bytea: writeField(String(number).utf8)
        }
    }

    /// Appends a whole number as numeric_send does: digits of base 10,000, the most significant
    /// first, behind their number, the weight of the first, the sign and the display scale.
    private mutating func writeBinaryNumeric(_ magnitude: UInt64, isNegative: Bool) {
        var digits: [Int16] = []
        var rest = magnitude
        while rest > 0 {
            digits.append(Int16(rest % 10_000))
            rest /= 10_000
        }
        let weight = max(digits.count - 1, 0)
        while digits.first == 0 { digits.removeFirst() }
        write(Int32(8 + 2 * digits.count))
        write(Int16(digits.count))
        write(Int16(weight))
        write(Int16(isNegative ? 0x4000 : 0))
        write(Int16(0))
        for digit in digits.reversed() { write(digit) }
    }
}
