// Splits a pooler.ini into sections, keys and values, following its includes. An include can also name
// a folder, whose files `*.ini` are meant, or a pattern like `conf.d/*.conf`.
//
// The grammar is PgBouncer's: `[section]`, `key = value`, comment lines with `;` or `#`, `%include
// file`. A value is the rest of its line without surrounding blanks; there is no quoting, no
// comment behind a value and no continuation. A key is made of letters, digits, `_`, `.`, `*` and
// `-`, or is quoted with '…' or "…" (a doubled quote stands for one; PgBouncer refuses "…", which
// its manual promises). Nothing here knows which sections and keys exist.

public import PostgresWire

/// A place in a configuration file.
public struct SourceLine: Sendable, Equatable, CustomStringConvertible {
    /// The file as the operator, or the include, named it.
    public let file: String
    /// Counted from 1.
    public let line: Int

    func error(_ message: String) -> ConfigurationError {
        ConfigurationError(file: file, line: line, message: message)
    }

    /// `file:line`, as compilers print it.
    public var description: String { "\(file):\(line)" }
}

/// One thing that a configuration file says.
public enum IniItem: Sendable, Equatable {
    /// `[name]`; what follows belongs to it, also after the end of an included file.
    case section(ByteString, SourceLine)
    /// `key = value`.
    case entry(key: ByteString, value: ByteString, SourceLine)
}

/// Why the content of a file could not be had, in the words of the system.
public struct FileUnavailable: Error, Equatable, Sendable {
    /// For example `No such file or directory`.
    public let reason: String

    /// Makes an error with the system's words.
    public init(reason: String) {
        self.reason = reason
    }
}

/// Gives the content of the file at a path; the only contact of the configuration with the world.
public typealias FileReader = (_ path: String) throws(FileUnavailable) -> [UInt8]

/// Gives the files that a path means which is a pattern or a folder, in order; nil if it is neither.
public typealias FileFinder = (_ path: String) -> [String]?

/// Reads the items of a file and of the files it includes, in order.
///
/// - Parameters:
///   - path: The name of the file, for error messages and relative includes.
///   - contents: What the file holds.
///   - findFiles: Finds the files of a pattern or a folder.
///   - readFile: Reads an included file.
/// - Returns: All items up to the end.
/// - Throws: The first thing that does not follow the grammar, with its line.
public func parseIniFile(
    path: String,
    contents: [UInt8],
    findFiles: FileFinder = { _ in nil },
    readFile: FileReader
) throws(ConfigurationError) -> [IniItem] {
    var items: [IniItem] = []
    try parseIniFile(path, contents, depth: 0, findFiles, readFile, into: &items)
    return items
}

/// Includes in includes, as many as PgBouncer follows.
private let maximumIncludeDepth = 10

private func parseIniFile(
    _ path: String,
    _ contents: [UInt8],
    depth: Int,
    _ findFiles: FileFinder,
    _ readFile: FileReader,
    into items: inout [IniItem]
) throws(ConfigurationError) {
    let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
    let text = contents.starts(with: byteOrderMark) ? contents.dropFirst(3) : contents[...]
    let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() {
        let place = SourceLine(file: path, line: index + 1)
        var scanner = IniLineScanner(rest: trimmed(line))
        guard !line.contains(0) else { throw place.error("the line contains a zero byte") }
        while let statement = try scanner.next(place) {
            switch statement {
            case .section(let name):
                items.append(.section(name, place))
            case .entry(let key, let value):
                items.append(.entry(key: key, value: value, place))
            case .include(let name):
                guard depth < maximumIncludeDepth else {
                    throw place.error("more than \(maximumIncludeDepth) includes in one another")
                }
                for included in try include(name, from: place, findFiles, readFile) {
                    try parseIniFile(
                        included.path,
                        included.contents,
                        depth: depth + 1,
                        findFiles,
                        readFile,
                        into: &items
                    )
                }
            }
        }
    }
}

/// Reads what is included: relative to the folder of the including file or, as PgBouncer has it, to
/// the current directory.
///
/// - Returns: one file, or those of a folder or a pattern, of which there may be none.
private func include(
    _ name: ByteString,
    from place: SourceLine,
    _ findFiles: FileFinder,
    _ readFile: FileReader
) throws(ConfigurationError) -> [(path: String, contents: [UInt8])] {
    guard let given = String(validating: name.bytes, as: UTF8.self), !given.isEmpty else {
        throw place.error("expected a file name after %include")
    }
    var candidates = [given]
    if !given.hasPrefix("/"), let slash = place.file.lastIndex(of: "/") {
        candidates.insert(String(place.file[...slash]) + given, at: 0)
    }
    let found = candidates.compactMap(findFiles)
    if let paths = found.first(where: { !$0.isEmpty }) ?? found.first {
        return try paths.map { path throws(ConfigurationError) in
            do throws(FileUnavailable) {
                return (path, try readFile(path))
            } catch {
                throw place.error("cannot read included file \"\(path)\": \(error.reason)")
            }
        }
    }
    var reason = ""
    for path in candidates {
        do {
            return [(path, try readFile(path))]
        } catch {
            reason = reason.isEmpty ? error.reason : reason
        }
    }
    throw place.error("cannot read included file \(quotedForMessage(name)): \(reason)")
}

private enum IniStatement {
    case section(ByteString)
    case entry(ByteString, ByteString)
    case include(ByteString)
}

/// Takes the statements off one line.
///
/// Only a section header can be followed by another one.
private struct IniLineScanner {
    var rest: ArraySlice<UInt8>

    mutating func next(_ place: SourceLine) throws(ConfigurationError) -> IniStatement? {
        rest = rest.drop(while: isASCIISpace)
        switch rest.first {
        case nil, UInt8(ascii: ";"), UInt8(ascii: "#"):
            return nil
        case UInt8(ascii: "["):
            return .section(try sectionName(place))
        case UInt8(ascii: "%"):
            return .include(try includedName(place))
        default:
            return try entry(place)
        }
    }

    private mutating func sectionName(_ place: SourceLine) throws(ConfigurationError) -> ByteString
    {
        guard let end = rest.firstIndex(of: UInt8(ascii: "]")) else {
            throw place.error("expected \"]\" at the end of the section name")
        }
        let name = rest[..<end].dropFirst()
        rest = rest[(end + 1)...]
        return ByteString(Array(name))
    }

    private mutating func includedName(
        _ place: SourceLine
    ) throws(ConfigurationError) -> ByteString {
        let directive = Array("%include".utf8)
        let name = rest.dropFirst(directive.count)
        guard rest.starts(with: directive), let next = name.first, isASCIIBlank(next) else {
            throw place.error("expected \"%include\" and a file name")
        }
        rest = []
        return ByteString(Array(trimmed(name)))
    }

    private mutating func entry(_ place: SourceLine) throws(ConfigurationError) -> IniStatement {
        let key = try self.key(place)
        rest = rest.drop(while: isASCIIBlank)
        guard rest.first == UInt8(ascii: "=") else {
            throw place.error("expected \"key = value\": \(equalsMissing(after: key))")
        }
        let value = ByteString(Array(trimmed(rest.dropFirst())))
        rest = []
        return .entry(key, value)
    }

    private mutating func key(_ place: SourceLine) throws(ConfigurationError) -> ByteString {
        if let quote = rest.first, quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") {
            guard let name = takeQuoted(&rest) else {
                throw place.error("the quoted name has no closing quote")
            }
            return name
        }
        let name = rest.prefix(while: isKeyByte)
        rest = rest[name.endIndex...]
        return ByteString(Array(name))
    }

    private func equalsMissing(after key: ByteString) -> String {
        guard !key.isEmpty else {
            return "the line starts with \(quotedForMessage(ByteString(Array(rest.prefix(20)))))"
        }
        return "no \"=\" after \(quotedForMessage(key))"
    }
}

/// Takes a quoted text off the front; nil if it does not end.
///
/// The first byte is the quote; doubled, it stands for itself.
func takeQuoted(_ rest: inout ArraySlice<UInt8>) -> ByteString? {
    guard let quote = rest.popFirst() else { return nil }
    var text: [UInt8] = []
    while let byte = rest.popFirst() {
        if byte != quote {
            text.append(byte)
        } else if rest.first == quote {
            rest.removeFirst()
            text.append(quote)
        } else {
            return ByteString(text)
        }
    }
    return nil
}

private func isKeyByte(_ byte: UInt8) -> Bool {
    isASCIIAlphanumeric(byte) || "_.-*".utf8.contains(byte)
}
