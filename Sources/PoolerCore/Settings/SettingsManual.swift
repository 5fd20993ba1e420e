// Writes the manual page martlet(5) from the settings table and the keys of entries, in the language of
// man(7).

/// The text of `Docs/man/martlet.5`.
public func settingsManual() -> String {
    var page = ManualPage(name: "martlet", section: 5, title: "configuration of Martlet")
    page.section("DESCRIPTION")
    page.text(
        """
        A configuration file has a main section, [martlet] or [pgbouncer], and may have [databases], \
        [users] and [peers]. The name of the main section decides which defaults hold. A line is a [section], a \
        "key = value", a comment that begins with ; or #, or "%include file". A value is the rest of its \
        line. The values of entries are key=value pairs, separated by blanks; a value with blanks is \
        written in single quotes.
        """
    )
    page.text(
        """
        What is not understood stops the start, with file and line; at RELOAD it changes nothing. \
        martlet check and martlet explain say what a file means.
        """
    )
    for topic in SettingTopic.allCases {
        page.section(topic.rawValue.uppercased())
        for row in settingTable where row.topic == topic { page.item(row.name, text(of: row)) }
    }
    page.section("ENTRIES OF [databases]")
    page.text("name = key=value ... says where the database is that clients ask for as name.")
    for key in DatabaseEntry.keys { page.item(key.name, key.doc) }
    page.overrides(.databases)
    page.section("ENTRIES OF [users]")
    page.text("name = key=value ... replaces settings for one user.")
    page.overrides(.users)
    page.section("ENTRIES OF [peers]")
    page.text("id = key=value ... says where the pooler is whose peer_id is id.")
    for key in PeerEntry.keys { page.item(key.name, key.doc) }
    page.overrides(.peers)
    page.section("SEE ALSO")
    page.text("martlet(1)")
    return page.source
}

private func text(of row: SettingRow) -> String {
    let value = row.fileValue(.martlet)
    let other = row.fileValue(.pgbouncer)
    var text = "\(row.doc) Default: \(value.isEmpty ? "none" : value)"
    if other != value { text += ", in [pgbouncer] \(other.isEmpty ? "none" : other)" }
    if case .keyword(let words) = row.kind { text += ". Values: \(words.joined(separator: ", "))" }
    return text + (row.change == .live ? "." : ". Changed by a restart.")
}

private struct ManualPage {
    private(set) var source: String

    init(name: String, section: Int, title: String) {
        source = """
            .\\" Generated from Sources/PoolerCore/Settings/SettingTable.swift by `settingsManual()`.
            .TH \(name.uppercased()) \(section) "" "Martlet \(MartletVersion.current)"
            .SH NAME
            \(name) \\- \(title)

            """
    }

    mutating func section(_ title: String) {
        source += ".SH \"\(title)\"\n"
    }

    mutating func text(_ text: String) {
        source += ".PP\n\(Self.escaped(text))\n"
    }

    mutating func item(_ name: String, _ text: String) {
        source += ".TP\n.B \(Self.escaped(name))\n\(Self.escaped(text))\n"
    }

    mutating func overrides(_ section: EntrySection) {
        for row in settingTable {
            guard let override = row.override, override.sections.contains(section) else { continue }
            item(override.name, "Replaces \(row.name).")
        }
    }

    /// Text as it is: a backslash, a hyphen and a point or quote at the beginning of a line mean
    /// something.
    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            case "`": continue
            default: result.append(character)
            }
        }
        return result.hasPrefix(".") || result.hasPrefix("'") ? "\\&" + result : result
    }
}
