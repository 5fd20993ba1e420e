// ErrorResponse and NoticeResponse: a list of fields, each a letter and a string, ended by a zero.
//
// Source: PostgreSQL documentation, section 55.8 "Error and Notice Message Fields".

/// How bad an error or notice is, as field S (and V) spells it.
public enum Severity: String, Sendable {
    case error = "ERROR"
    case fatal = "FATAL"
    case notice = "NOTICE"
}

/// A five-character SQLSTATE.
public struct SQLState: Equatable, Sendable, ExpressibleByStringLiteral {
    public let code: ByteString

    public init(stringLiteral value: String) {
        self.code = ByteString(value)
    }

    public init(_ code: ByteString) {
        self.code = code
    }

    public static let successfulCompletion: SQLState = "00000"
    public static let protocolViolation: SQLState = "08P01"
    public static let invalidAuthorizationSpecification: SQLState = "28000"
}

/// The fields of an ErrorResponse or NoticeResponse that the pooler reads or writes.
public struct ErrorResponse: Equatable, Sendable {
    public var severity: ByteString
    public var sqlState: SQLState
    public var message: ByteString
    public var detail: ByteString?
    public var hint: ByteString?

    public init(
        _ severity: Severity,
        _ sqlState: SQLState,
        _ message: String,
        detail: String? = nil,
        hint: String? = nil
    ) {
        self.severity = ByteString(severity.rawValue)
        self.sqlState = sqlState
        self.message = ByteString(message)
        self.detail = detail.map { ByteString($0) }
        self.hint = hint.map { ByteString($0) }
    }

    /// Whether a body says that a prepared statement does not fit the tables any more: "cached plan
    /// must not change result type".
    ///
    /// PostgreSQL uses the code 0A000 for much else; the place in its source tells them apart
    /// (documentation, section 55.8 "Error and Notice Message Fields"). Does not allocate.
    public static func isOutdatedPlan(_ body: RawSpan) -> Bool {
        var hasCode = false
        var offset = 0
        while offset < body.byteCount, let end = body.indexOfZero(from: offset + 1) {
            let value = body.extracting(offset + 1..<end)
            switch body.byte(at: offset) {
            case UInt8(ascii: "C"):
                guard value.isText("0A000") else { return false }
                hasCode = true
            case UInt8(ascii: "R"): return hasCode && value.isText("RevalidateCachedQuery")
            default: break
            }
            offset = end + 1
        }
        return false
    }

    /// Decodes a body.
    ///
    /// Missing fields, which a hostile server may leave out, read as empty.
    ///
    /// - Throws: `WireError` when a field is not terminated.
    public init(decoding body: RawSpan) throws(WireError) {
        self.init(.error, "XX000", "")
        severity = ""
        var reader = ByteReader(body)
        while reader.remainingByteCount > 0 {
            let field = try reader.readUInt8()
            if field == 0 { return }
            let value = try reader.readCString()
            switch field {
            case UInt8(ascii: "V"): severity = value
            case UInt8(ascii: "S") where severity.isEmpty: severity = value
            case UInt8(ascii: "C"): sqlState = SQLState(value)
            case UInt8(ascii: "M"): message = value
            case UInt8(ascii: "D"): detail = value
            case UInt8(ascii: "H"): hint = value
            default: continue
            }
        }
        throw .truncated
    }
}

extension ByteWriter {
    /// Appends an ErrorResponse with the fields S, C, M (and D, H where there are a detail and a hint).
    public mutating func errorResponse(_ response: ErrorResponse) {
        message(.errorResponse) { $0.fields(of: response) }
    }

    /// Appends what PostgreSQL says where a prepared statement does not fit the tables any more.
    ///
    /// Drivers know the error by its place in the source, which is said in no language.
    public mutating func outdatedPlanError() {
        message(.errorResponse) { body in
            for (field, value) in [
                ("S", "ERROR"), ("V", "ERROR"), ("C", "0A000"),
                ("M", "cached plan must not change result type"), ("F", "plancache.c"),
                ("R", "RevalidateCachedQuery"),
            ] {
                body.write(field.utf8)
                body.writeCString(ByteString(value))
            }
            body.write(UInt8(0))
        }
    }

    /// Appends a NoticeResponse.
    public mutating func noticeResponse(_ response: ErrorResponse) {
        message(.noticeResponse) { $0.fields(of: response) }
    }

    private mutating func fields(of response: ErrorResponse) {
        write(UInt8(ascii: "S"))
        writeCString(response.severity)
        write(UInt8(ascii: "C"))
        writeCString(response.sqlState.code)
        write(UInt8(ascii: "M"))
        writeCString(response.message)
        if let detail = response.detail {
            write(UInt8(ascii: "D"))
            writeCString(detail)
        }
        if let hint = response.hint {
            write(UInt8(ascii: "H"))
            writeCString(hint)
        }
        write(UInt8(0))
    }
}
