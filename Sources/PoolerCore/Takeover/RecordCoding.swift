// How the records of a takeover become bytes and come back: numbers of eight bytes, big endian, texts
// behind their length, lists behind their count. Nothing is optional in a record, so that the bytes of
// two records that are equal are equal.
//
// What is read was written by another process, perhaps of another version: every length is checked, and
// whatever does not fit is an error, never a trap.

public import PostgresWire

/// Something that goes from one process to its successor.
public protocol TakeoverRecord: Equatable, Sendable {
    /// Appends the record.
    func encode(into writer: inout RecordWriter)

    /// Reads a record.
    ///
    /// - Throws: `WireError` when the bytes are not one.
    init(decoding reader: inout RecordReader) throws(WireError)
}

/// Appends the fields of records.
public struct RecordWriter: Sendable {
    /// What has been written so far.
    public private(set) var bytes: [UInt8] = []

    public init() {}

    /// Appends a number.
    public mutating func write(_ value: UInt64) {
        for shift in stride(from: UInt64(56), through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    /// Appends a number that may be negative.
    public mutating func write(_ value: Int64) {
        write(UInt64(bitPattern: value))
    }

    /// Appends yes or no.
    public mutating func write(_ value: Bool) {
        bytes.append(value ? 1 : 0)
    }

    /// Appends a text behind its length.
    public mutating func write(_ value: ByteString) {
        write(value.bytes)
    }

    /// Appends bytes behind their number.
    public mutating func write(_ value: [UInt8]) {
        write(UInt64(value.count))
        bytes.append(contentsOf: value)
    }

    /// Appends records behind their number.
    public mutating func write(_ values: [some TakeoverRecord]) {
        write(UInt64(values.count))
        for value in values { value.encode(into: &self) }
    }

    /// Appends texts behind their number.
    public mutating func write(_ values: [ByteString]) {
        write(UInt64(values.count))
        for value in values { write(value) }
    }

    /// Appends whether there is a record, and then the record.
    public mutating func write(_ value: (some TakeoverRecord)?) {
        write(value != nil)
        value?.encode(into: &self)
    }
}

/// Reads the fields of records one after the other.
public struct RecordReader: Sendable {
    private let bytes: [UInt8]
    private var offset = 0

    /// Starts at the first byte.
    public init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    private var remainingByteCount: Int { bytes.count - offset }

    /// Reads a number.
    public mutating func number() throws(WireError) -> UInt64 {
        guard remainingByteCount >= 8 else { throw .truncated }
        defer { offset += 8 }
        return bytes[offset..<offset + 8].reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Reads a number that may be negative.
    public mutating func signedNumber() throws(WireError) -> Int64 {
        Int64(bitPattern: try number())
    }

    /// Reads a number that has to fit into fewer than 64 bits.
    public mutating func narrowNumber<Number: FixedWidthInteger>(
        _ type: Number.Type = Number.self
    ) throws(WireError) -> Number {
        let value =
            Number.isSigned
            ? Number(exactly: try signedNumber()) : Number(exactly: try number())
        guard let value else { throw .invalidField }
        return value
    }

    /// Reads yes or no.
    public mutating func flag() throws(WireError) -> Bool {
        guard remainingByteCount >= 1 else { throw .truncated }
        defer { offset += 1 }
        switch bytes[offset] {
        case 0: return false
        case 1: return true
        default: throw .invalidField
        }
    }

    /// Reads bytes that stand behind their number.
    public mutating func byteArray() throws(WireError) -> [UInt8] {
        guard let count = Int(exactly: try number()), count <= remainingByteCount else {
            throw .truncated
        }
        defer { offset += count }
        return Array(bytes[offset..<offset + count])
    }

    /// Reads a text that stands behind its length.
    public mutating func text() throws(WireError) -> ByteString {
        ByteString(try byteArray())
    }

    /// Reads texts that stand behind their number.
    public mutating func texts() throws(WireError) -> [ByteString] {
        var values: [ByteString] = []
        // Whatever the number says: it ends with the bytes.
        for _ in 0..<(try number()) { values.append(try text()) }
        return values
    }

    /// Reads records that stand behind their number.
    public mutating func records<Record: TakeoverRecord>(
        _ type: Record.Type = Record.self
    ) throws(WireError) -> [Record] {
        var values: [Record] = []
        for _ in 0..<(try number()) { values.append(try Record(decoding: &self)) }
        return values
    }

    /// Reads a record that need not be there.
    public mutating func optionalRecord<Record: TakeoverRecord>(
        _ type: Record.Type = Record.self
    ) throws(WireError) -> Record? {
        try flag() ? try Record(decoding: &self) : nil
    }

    /// Checks that everything has been read.
    ///
    /// - Throws: `WireError.trailingBytes` when something is left.
    public func finish() throws(WireError) {
        guard remainingByteCount == 0 else { throw .trailingBytes }
    }
}
