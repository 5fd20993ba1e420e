// The common grammar of HBA and ident files: lines of fields, a field being one word or several with
// commas between them. What the words mean is not known here.
//
// A word ends at white space, a comma or `#`, which starts a comment; in double quotes all of these are
// ordinary, and `""` stands for a quote. A backslash at the end of a line joins the next one to it.
//
// Source: PostgreSQL documentation, sections 21.1 "The pg_hba.conf File" and 21.2 "User Name Maps".

internal import PostgresWire

/// A word of a field.
struct RuleWord: Equatable {
    let text: ByteString
    /// Whether it began with a quote: then it is no keyword, and names no file.
    let isQuoted: Bool

    /// Whether it is this keyword.
    func isKeyword(_ keyword: StaticString) -> Bool { !isQuoted && text.isText(keyword) }
}

/// A line that has at least one field.
struct RuleLine {
    let place: SourceLine
    let fields: [[RuleWord]]
}

/// Reads the lines of a file that are not empty.
func parseRuleFile(path: String, contents: [UInt8]) throws(ConfigurationError) -> [RuleLine] {
    var lines: [RuleLine] = []
    var joined: [UInt8] = []
    var start = 1
    var number = 0
    for line in contents.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
        number += 1
        if joined.isEmpty { start = number }
        joined += line.last == UInt8(ascii: "\r") ? line.dropLast() : line
        if joined.last == UInt8(ascii: "\\") {
            joined.removeLast()
            // Else the number of the first line would be lost.
            if joined.isEmpty { joined = [UInt8(ascii: " ")] }
            continue
        }
        let place = SourceLine(file: path, line: start)
        let fields = try parseFields(joined, place)
        if !fields.isEmpty { lines.append(RuleLine(place: place, fields: fields)) }
        joined = []
    }
    let rest = try parseFields(joined, SourceLine(file: path, line: start))
    if !rest.isEmpty {
        lines.append(RuleLine(place: SourceLine(file: path, line: start), fields: rest))
    }
    return lines
}

private func parseFields(
    _ line: [UInt8],
    _ place: SourceLine
) throws(ConfigurationError) -> [[RuleWord]] {
    guard !line.contains(0) else { throw place.error("the line contains a zero byte") }
    var rest = line[...]
    var fields: [[RuleWord]] = []
    var isListOpen = false
    while true {
        rest = rest.drop(while: isASCIISpace)
        guard let first = rest.first, first != UInt8(ascii: "#") else { break }
        if first == UInt8(ascii: ",") {
            guard !isListOpen, !fields.isEmpty else { throw place.error("unexpected comma") }
            isListOpen = true
            rest = rest.dropFirst()
            continue
        }
        let word = try takeWord(&rest, place)
        if isListOpen { fields[fields.count - 1].append(word) } else { fields.append([word]) }
        isListOpen = false
    }
    guard !isListOpen else { throw place.error("expected another name behind the comma") }
    return fields
}

private func takeWord(
    _ rest: inout ArraySlice<UInt8>,
    _ place: SourceLine
) throws(ConfigurationError) -> RuleWord {
    let quote = UInt8(ascii: "\"")
    let isQuoted = rest.first == quote
    var text: [UInt8] = []
    var isInQuotes = false
    while let byte = rest.first {
        if byte == quote {
            rest = rest.dropFirst()
            if isInQuotes, rest.first == quote {
                text.append(quote)
                rest = rest.dropFirst()
            } else {
                isInQuotes.toggle()
            }
            continue
        }
        let isEnd =
            isASCIISpace(byte) || byte == UInt8(ascii: ",") || byte == UInt8(ascii: "#")
        if isEnd && !isInQuotes { break }
        text.append(byte)
        rest = rest.dropFirst()
    }
    guard !isInQuotes else { throw place.error("a quote is not closed") }
    return RuleWord(text: ByteString(text), isQuoted: isQuoted)
}
