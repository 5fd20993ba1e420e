// The bodies of the messages that a console client may send, as far as the console looks at them.
// Parameter values are not kept: no statement of the console takes any.

import PostgresWire

enum ConsoleMessages {
    struct Parse {
        let statement: ByteString
        let query: ByteString
    }

    struct Bind {
        let portal: ByteString
        let statement: ByteString
        /// nil when there are parameters, or a format is neither text nor binary.
        let formats: ResultFormats?
    }

    struct Execute {
        let portal: ByteString
        /// 0 for no limit.
        let rowLimit: Int
    }

    enum Target {
        case statement(ByteString)
        case portal(ByteString)
    }

    static func query(_ body: RawSpan) throws(WireError) -> ByteString {
        var reader = ByteReader(body)
        let text = try reader.readCString()
        try reader.finish()
        return text
    }

    static func parse(_ body: RawSpan) throws(WireError) -> Parse {
        var reader = ByteReader(body)
        let statement = try reader.readCString()
        let query = try reader.readCString()
        let typeCount = try reader.readInt16()
        for _ in 0..<max(typeCount, 0) { _ = try reader.readInt32() }
        try reader.finish()
        return Parse(statement: statement, query: query)
    }

    static func bind(_ body: RawSpan) throws(WireError) -> Bind {
        var reader = ByteReader(body)
        let portal = try reader.readCString()
        let statement = try reader.readCString()
        let formatCount = try reader.readInt16()
        for _ in 0..<max(formatCount, 0) { _ = try reader.readInt16() }
        guard try reader.readInt16() == 0 else {
            return Bind(portal: portal, statement: statement, formats: nil)
        }
        let resultFormatCount = try reader.readInt16()
        var codes: [Int16] = []
        for _ in 0..<max(resultFormatCount, 0) { codes.append(try reader.readInt16()) }
        try reader.finish()
        let formats =
            codes.allSatisfy { $0 == 0 || $0 == 1 } ? ResultFormats(codes.map { $0 == 1 }) : nil
        return Bind(portal: portal, statement: statement, formats: formats)
    }

    static func execute(_ body: RawSpan) throws(WireError) -> Execute {
        var reader = ByteReader(body)
        let portal = try reader.readCString()
        let rowLimit = try reader.readInt32()
        try reader.finish()
        return Execute(portal: portal, rowLimit: Int(rowLimit))
    }

    /// The body of Describe and Close.
    static func target(_ body: RawSpan) throws(WireError) -> Target {
        var reader = ByteReader(body)
        let kind = try reader.readUInt8()
        let name = try reader.readCString()
        try reader.finish()
        switch kind {
        case UInt8(ascii: "S"): return .statement(name)
        case UInt8(ascii: "P"): return .portal(name)
        default: throw .invalidField
        }
    }
}
