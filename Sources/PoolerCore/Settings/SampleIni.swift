// Writes pooler.ini.example from the settings table.
//
// Every setting appears, commented out, with its default in a [martlet] section, so that deleting a
// `;` changes nothing.

import PostgresWire

/// The text of `pooler.ini.example`.
public func sampleIni() -> String {
    let topics = SettingTopic.allCases.map(sampleTopic).joined(separator: "\n")
    return sampleHead + topics + sampleEntries
}

private func sampleTopic(_ topic: SettingTopic) -> String {
    let rows = settingTable.filter { $0.topic == topic }.map(sampleRow).joined(separator: "\n")
    return ";;; \(topic.rawValue)\n\n" + rows
}

private func sampleRow(_ row: SettingRow) -> String {
    let value = row.fileValue(.martlet)
    let line = value.isEmpty ? ";\(row.name) =" : ";\(row.name) = \(value)"
    return commentLines("\(row.doc)\(sampleValues(row.kind))") + "\(line)\n"
}

/// The text as comments, with a new line before what would make one too long.
private func commentLines(_ text: String) -> String {
    let longest = 110
    var result = ""
    for line in text.split(separator: "\n") {
        var comment = ";;"
        for word in line.split(separator: " ") {
            if comment.utf8.count + 1 + word.utf8.count > longest {
                result += comment + "\n"
                comment = ";;"
            }
            comment += " " + word
        }
        result += comment + "\n"
    }
    return result
}

private func sampleValues(_ kind: SettingKind) -> String {
    switch kind {
    case .keyword(let words): "\nOne of: \(words.joined(separator: ", "))."
    case .duration: " In seconds."
    case .bool, .int, .fileMode, .text, .path, .list, .countOrPercentage, .tlsProtocols: ""
    }
}

extension SettingRow {
    /// The default as one would write it in a file.
    func fileValue(_ flavor: Flavor) -> String {
        let value = defaultValue(flavor)
        guard kind == .fileMode, let mode = integer(value) else { return value.text }
        return "0" + String(mode, radix: 8)
    }
}

private let sampleHead = """
    ;; Martlet's configuration file: an example with every setting there is.
    ;;
    ;; A line that starts with ";;" is an explanation, one that starts with ";" a setting with its
    ;; default value. A comment cannot stand behind a value. "%include file" reads another file.

    [martlet]

    ;; These are Martlet's defaults. With [pgbouncer] in place of [martlet] the defaults are
    ;; those of PgBouncer.


    """

private let sampleEntries = """

    [databases]

    ;; name = key=value ...
    ;;
    ;; Where the databases are that clients ask for by name; "*" is for all other names.
    ;; Quote a value that contains blanks: password='with ''quotes'' and blanks'
    ;shop = host=127.0.0.1 port=5432 dbname=shop
    ;reports = host=replica.example dbname=shop pool_mode=session pool_size=5
    ;* = host=127.0.0.1

    [users]

    ;; name = key=value ...
    ;;
    ;; Settings that differ for a user.
    ;batch = pool_size=3 query_timeout=0

    [peers]

    ;; peer_id = key=value ...
    ;;
    ;; The other poolers behind the same address: cancel requests for their clients are passed on.
    ;1 = host=/run/martlet-1 port=6543
    ;2 = host=/run/martlet-2 port=6543

    """
