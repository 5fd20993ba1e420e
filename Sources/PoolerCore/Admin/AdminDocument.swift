// Docs/Admin.md, made from the tables: what can be typed on the console, who may, what it does, and
// the columns of every SHOW table. The file is checked by a test, so it cannot go stale.

import PostgresWire

/// The reference of the console, in Markdown.
public func adminDocument() -> String {
    let sections = [documentIntroduction, commandSection, settingSection, tableSection]
    return sections.joined(separator: "\n") + "\n"
}

private let documentIntroduction = """
    # The admin console

    <!-- Made from the command and SHOW tables by `adminDocument()`; changes belong there. -->

    Connect to the database `pgbouncer` (or `martlet`) on the pooler's port. Users in `admin_users` may
    do everything; users in `stats_users` may look. With `auth_type = any` everybody may look. Over the
    Unix socket, the user `pgbouncer` needs no password when the client runs under the pooler's own
    user id.

    Commands and names of tables are read without regard to case. Names with other characters than
    letters, digits and `_ . - + $ / : @ *` stand in double quotes. Comments, empty queries and several
    commands separated by `;` are accepted, and so is the extended query protocol. `SELECT x` means
    `SHOW x`.

    """

private var commandSection: String {
    let rows = commandTable.map { row in
        let synopsis = (row.name.rawValue + row.argument.synopsis).inTable
        return
            "| `\(synopsis)` | \(row.role.text) | \(row.tag ?? "see there") | \(row.doc.inTable) |"
    }
    let header = "## Commands\n\n| command | role | tag | effect |\n|---|---|---|---|\n"
    return header + rows.joined(separator: "\n") + "\n"
}

private var settingSection: String {
    let rows = FakeSetting.allCases.map { "| `\($0.rawValue)` | `\($0.value)` |" }
    return """
        ## Settings for drivers

        Some drivers read or change these unasked. `SHOW` gives a fixed value; `SET` is accepted with the
        notice `SET ignored`.

        | setting | value |
        |---|---|

        """ + rows.joined(separator: "\n") + "\n"
}

private var tableSection: String {
    let tables = ShowKind.allCases.map { kind in
        let definition = kind.definition
        let title = "### SHOW \(kind.rawValue)\n\n\(definition.doc)"
        let role = definition.role == .stats ? "" : " Needs the role \(definition.role.text)."
        guard !definition.columns.isEmpty else { return title + role + "\n" }
        let rows = definition.columns.map { column in
            "| \(column.name) | \(column.type) | \(column.doc.inTable) |"
        }
        return title + role + "\n\n| column | type | meaning |\n|---|---|---|\n"
            + rows.joined(separator: "\n") + "\n"
    }
    return "## Tables\n\n" + tables.joined(separator: "\n")
}

extension AdminRole {
    fileprivate var text: String {
        switch self {
        case .stats: "stats"
        case .admin: "admin"
        }
    }
}

extension String {
    /// The text with the bars escaped that would end a table cell.
    fileprivate var inTable: String {
        split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
    }
}
