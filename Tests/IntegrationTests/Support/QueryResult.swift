// What PostgreSQL answered to one statement, copied out of libpq.

import CLibpq

/// The fields of an ErrorResponse or NoticeResponse, by their code.
struct ErrorFields: CustomStringConvertible {
    let fields: [Character: String]

    var severity: String { fields["S"] ?? "" }
    var sqlstate: String { fields["C"] ?? "" }
    var message: String { fields["M"] ?? "" }
    var detail: String? { fields["D"] }

    var description: String { "\(severity) \(sqlstate): \(message)" }
}

extension ErrorFields {
    init(_ handle: OpaquePointer?) {
        var fields: [Character: String] = [:]
        for code in "SVCMDHPW" {
            let value = PQresultErrorField(handle, Int32(code.asciiValue ?? 0))
            if let value { fields[code] = String(cString: value) }
        }
        if fields.isEmpty, let text = PQresultErrorMessage(handle) {
            fields["M"] = String(cString: text)  // libpq's own words, e.g. a lost connection
        }
        self.fields = fields
    }
}

struct Column: Equatable {
    let name: String
    let type: UInt32
}

struct QueryResult {
    let status: ExecStatusType
    let tag: String
    let columns: [Column]
    let rows: [[String?]]
    let error: ErrorFields?
    let parameterTypes: [UInt32]

    init(_ handle: OpaquePointer?) {
        status = PQresultStatus(handle)
        tag = PQcmdStatus(handle).map { String(cString: $0) } ?? ""
        columns = (0..<PQnfields(handle)).map {
            // COPY has columns without names.
            Column(
                name: PQfname(handle, $0).map { String(cString: $0) } ?? "",
                type: PQftype(handle, $0)
            )
        }
        rows = (0..<PQntuples(handle)).map { row in
            (0..<PQnfields(handle)).map { column in
                guard PQgetisnull(handle, row, column) == 0 else { return nil }
                return PQgetvalue(handle, row, column).map { String(cString: $0) }
            }
        }
        parameterTypes = (0..<PQnparams(handle)).map { PQparamtype(handle, $0) }
        let failed = status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE
        error = failed ? ErrorFields(handle) : nil
    }

    /// First column of the first row.
    var value: String? { rows.first?.first ?? nil }
    var sqlstate: String? { error?.sqlstate }
    var columnNames: [String] { columns.map(\.name) }

    /// Rows as dictionaries, for the console's wide tables.
    var records: [[String: String]] {
        rows.map { row in
            Dictionary(
                zip(columnNames, row).map { ($0, $1 ?? "") },
                uniquingKeysWith: { first, _ in first }
            )
        }
    }
}

/// A statement failed where the test did not expect it.
struct QueryFailed: Error, CustomStringConvertible {
    let statement: String
    let error: ErrorFields

    var description: String { "\(error) in: \(statement.prefix(200))" }
}

/// The login was refused.
///
/// The text has the SQLSTATE in it, as psql shows with VERBOSITY verbose.
struct ConnectionFailed: Error, CustomStringConvertible {
    let description: String
}
