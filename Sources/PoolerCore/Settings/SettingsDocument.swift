// Writes Docs/Settings.md from the settings table and the keys of entries.

/// The text of `Docs/Settings.md`.
public func settingsDocument() -> String {
    let topics = SettingTopic.allCases.map(topicSection).joined(separator: "\n")
    return [documentHead, topics, databaseSection(), userSection(), peerSection()].joined(
        separator: "\n"
    )
}

private func topicSection(_ topic: SettingTopic) -> String {
    let rows = settingTable.filter { $0.topic == topic }.map { row in
        tableRow([
            "`\(row.name)`", kindText(row.kind), code(row.fileValue(.martlet)),
            pgbouncerDefault(row), row.change == .live ? "RELOAD" : "restart", row.doc,
        ])
    }
    let head = table(["Setting", "Value", "Default", "In `[pgbouncer]`", "Changed by", "Meaning"])
    return "## \(topic.rawValue)\n\n" + head + rows.joined()
}

private func pgbouncerDefault(_ row: SettingRow) -> String {
    let value = row.fileValue(.pgbouncer)
    return value == row.fileValue(.martlet) ? "same" : code(value)
}

private func kindText(_ kind: SettingKind) -> String {
    switch kind {
    case .bool: "0 or 1"
    case .int(let range): "\(range.lowerBound) to \(range.upperBound)"
    case .fileMode: "octal, 0 to 0777"
    case .duration(let range):
        range.lowerBound == 0 ? "seconds" : "seconds, at least \(secondsText(range.lowerBound))"
    case .keyword(let words): words.map(code).joined(separator: ", ")
    case .text: "text"
    case .path: "path"
    case .list: "list"
    case .countOrPercentage: "a number, or `1%` to `100%`"
    case .tlsProtocols: "`secure`, `all`, or a list of versions"
    }
}

private func databaseSection() -> String {
    let own = DatabaseEntry.keys.map { tableRow(["`\($0.name)`", $0.doc]) }
    return """
        ## Entries of [databases]

        `name = key=value ...` says where the database is that clients ask for as `name`. The entry
        `*` serves all names without an entry of their own; its `dbname` is then the name asked for.
        The names `pgbouncer` and `martlet` belong to the console.


        """ + table(["Key", "Meaning"]) + (own + overrideRows(.databases)).joined()
}

private func userSection() -> String {
    """
    ## Entries of [users]

    `name = key=value ...` replaces settings for one user, and wins over the database's entry.


    """ + table(["Key", "Meaning"]) + overrideRows(.users).joined()
}

private func peerSection() -> String {
    let own = PeerEntry.keys.map { tableRow(["`\($0.name)`", $0.doc]) }
    return """
        ## Entries of [peers]

        `id = key=value ...` says where the pooler is whose `peer_id` is `id`: cancel requests for its
        clients are passed on to it. An entry for the own `peer_id` is allowed and not used, so that all
        can have the same section.


        """ + table(["Key", "Meaning"]) + (own + overrideRows(.peers)).joined()
}

private func overrideRows(_ section: EntrySection) -> [String] {
    settingTable.compactMap { row in
        guard let override = row.override, override.sections.contains(section) else { return nil }
        let aliases = override.aliases.map { ", also `\($0)`" }.joined()
        return tableRow(["`\(override.name)`\(aliases)", "Replaces `\(row.name)`."])
    }
}

private func table(_ columns: [String]) -> String {
    tableRow(columns) + tableRow(columns.map { _ in "---" })
}

private func tableRow(_ cells: [String]) -> String {
    "| " + cells.joined(separator: " | ") + " |\n"
}

private func code(_ text: String) -> String { text.isEmpty ? "none" : "`\(text)`" }

private let documentHead = """
    # Settings

    <!-- Generated from Sources/PoolerCore/Settings/SettingTable.swift by `settingsDocument()`. -->

    A configuration file has a main section, `[martlet]` or `[pgbouncer]`, and may have
    `[databases]`, `[users]` and `[peers]`. The name of the main section only decides which defaults
    hold.

    - A line is `[section]`, `key = value`, a comment (`;` or `#` first), or `%include file`.
    - A value is the rest of its line. There is no quoting, no comment behind a value, no
      continuation.
    - A key with other characters than letters, digits and `_.*-` is written in quotes, `'…'` or
      `"…"`, with a quote inside doubled.
    - The last of several equal keys counts. A section may appear several times.
    - An included file is looked for beside the including one, then in the current directory. It
      continues the section in which it is included. Ten levels are followed.
    - Numbers may be hexadecimal (`0x1f`) or octal (leading `0`). A 0-or-1 setting also takes
      `yes`, `no`, `on`, `off`, `true` and `false`. Durations are seconds with an optional
      fraction and no unit.
    - The values of entries are `key=value` pairs separated by blanks; a value with blanks is
      written `'in quotes'`, with a quote inside doubled.
    - Anything that is not understood stops the start, with file and line. At RELOAD it changes
      nothing.

    Where Martlet means more than PgBouncer with the same words: a second main section does not
    reset the settings of the first; a setting whose line is gone has its default again after
    RELOAD; `0` in an entry means what it means globally, and `-1` "as globally" (a negative
    duration: practically forever).

    """
