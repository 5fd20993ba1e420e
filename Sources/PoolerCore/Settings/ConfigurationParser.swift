// Makes a configuration from the text of a pooler.ini.
//
// Decides what each section, key and value means. The first thing that is wrong ends it with an
// error that names its line; there is no half-read configuration.

import PostgresWire

extension Configuration {
    /// Reads a configuration file.
    ///
    /// - Parameters:
    ///   - path: The name of the file, for error messages and relative includes.
    ///   - contents: What the file holds.
    ///   - find: Finds the files of a pattern or a folder that `%include` names.
    ///   - include: Reads a file that `%include` names.
    /// - Returns: A wholly new configuration.
    /// - Throws: The first thing that is wrong, with its line.
    public static func parse(
        path: String,
        contents: [UInt8],
        find: FileFinder = { _ in nil },
        include: FileReader
    ) throws(ConfigurationError) -> Configuration {
        let items = try parseIniFile(
            path: path,
            contents: contents,
            findFiles: find,
            readFile: include
        )
        var parser = ConfigurationParser(flavor: try mainFlavor(items, path: path))
        for item in items {
            switch item {
            case .section(let name, let place):
                try parser.enter(name, place)
            case .entry(let key, let value, let place):
                try parser.read(key, value, place)
            }
        }
        let configuration = parser.configuration
        if let problem = configuration.tlsProblem {
            let message = "\(problem.setting): \(problem.text)"
            throw configuration.places[problem.setting]?.error(message)
                ?? ConfigurationError(file: path, message: message)
        }
        return configuration
    }

    /// Which main section there is; one, repeated or not, must be.
    private static func mainFlavor(
        _ items: [IniItem],
        path: String
    ) throws(ConfigurationError) -> Flavor {
        var found: Flavor?
        for case .section(let name, let place) in items {
            guard let flavor = Flavor(rawValue: name.text) else { continue }
            guard found == nil || found == flavor else {
                throw place.error("sections [martlet] and [pgbouncer] exclude each other")
            }
            found = flavor
        }
        guard let found else {
            throw ConfigurationError(
                file: path,
                message: "expected a section [martlet] or [pgbouncer], found none"
            )
        }
        return found
    }
}

private struct ConfigurationParser {
    private enum Section {
        case main
        case entries(EntrySection)
    }

    var configuration: Configuration
    private var section: Section?

    init(flavor: Flavor) {
        configuration = Configuration(flavor: flavor)
    }

    mutating func enter(_ name: ByteString, _ place: SourceLine) throws(ConfigurationError) {
        if Flavor(rawValue: name.text) != nil {
            section = .main
        } else if let entries = EntrySection(rawValue: name.text) {
            section = .entries(entries)
        } else {
            let names = [configuration.flavor.rawValue] + EntrySection.allCases.map(\.rawValue)
            let hint =
                suggestion(for: name.text, among: names)
                .map { "; did you mean [\($0)]?" } ?? ""
            throw place.error("unknown section \(quotedForMessage(name))\(hint)")
        }
    }

    mutating func read(
        _ key: ByteString,
        _ value: ByteString,
        _ place: SourceLine
    ) throws(ConfigurationError) {
        do throws(SettingError) {
            switch section {
            case nil: throw SettingError("\(quotedForMessage(key)) stands before the first section")
            case .main:
                try readSetting(key, value)
                configuration.places[key.text] = place
            case .entries(.databases): try readDatabase(key, value)
            case .entries(.users): try readUser(key, value)
            case .entries(.peers): configuration.add(try PeerEntry(name: key, text: value))
            }
        } catch {
            throw place.error(error.message)
        }
    }

    private mutating func readSetting(
        _ key: ByteString,
        _ value: ByteString
    ) throws(SettingError) {
        try configuration.settings.set(
            key.text,
            to: value,
            section: configuration.flavor.rawValue
        )
    }

    private mutating func readDatabase(
        _ name: ByteString,
        _ value: ByteString
    ) throws(SettingError) {
        guard !Configuration.consoleNames.contains(name) else {
            throw SettingError(
                "database name \(quotedForMessage(name)) is reserved for the console"
            )
        }
        var entry = DatabaseEntry(
            name: try checkName(name, of: "database", atMost: LengthLimit.databaseName)
        )
        try within("database", name) { () throws(SettingError) in try entry.read(value) }
        configuration.add(entry)
    }

    private mutating func readUser(_ name: ByteString, _ value: ByteString) throws(SettingError) {
        var entry = UserEntry(name: try checkName(name, of: "user", atMost: LengthLimit.userName))
        try within("user", name) { () throws(SettingError) in try entry.read(value) }
        configuration.add(entry)
    }

    private func checkName(
        _ name: ByteString,
        of what: String,
        atMost limit: Int
    ) throws(SettingError) -> ByteString {
        guard !name.isEmpty else {
            throw SettingError("expected the name of a \(what) before \"=\"")
        }
        return try within(what, name) { () throws(SettingError) in
            try checkLength(name, atMost: limit)
        }
    }

    /// Adds to an error which entry it is about.
    private func within<Value>(
        _ what: String,
        _ name: ByteString,
        _ body: () throws(SettingError) -> Value
    ) throws(SettingError) -> Value {
        do {
            return try body()
        } catch {
            throw SettingError("\(what) \(quotedForMessage(name)): \(error.message)")
        }
    }
}
