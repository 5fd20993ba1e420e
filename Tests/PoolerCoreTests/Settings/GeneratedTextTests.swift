import Foundation
import PoolerCore
import PostgresWire
import Testing

/// The files that are generated from the settings table are in the repository as they should be.
///
/// `MARTLET_GENERATE=1 swift test --filter GeneratedTextTests` writes them anew.
@Suite struct GeneratedTextTests {
    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    @Test(arguments: [
        ("pooler.ini.example", sampleIni()), ("Docs/Settings.md", settingsDocument()),
        ("Docs/man/martlet.5", settingsManual()),
    ])
    func generatedFilesAreCurrent(_ name: String, _ text: String) throws {
        let file = Self.root.appending(path: name)
        if ProcessInfo.processInfo.environment["MARTLET_GENERATE"] == "1" {
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        #expect(try String(contentsOf: file, encoding: .utf8) == text, "\(name) is out of date")
    }

    @Test func theSampleChangesNothing() throws {
        #expect(try parse(sampleIni()) == Configuration(flavor: .martlet))
    }

    @Test func uncommentedTheSampleSaysTheDefaults() throws {
        let lines = sampleIni().split(separator: "\n").map { line in
            line.hasPrefix(";;") ? "" : line.drop { $0 == ";" }
        }
        let configuration = try parse(lines.joined(separator: "\n"))
        #expect(configuration.settings == Settings(flavor: .martlet))
        #expect(configuration.databaseNames == ["shop", "reports"])
        #expect(configuration.wildcardDatabase?.hosts == ["127.0.0.1"])
        #expect(configuration.userNames == ["batch"])
    }

    @Test func everySettingAndKeyIsInTheDocuments() {
        let sample = sampleIni()
        let document = settingsDocument()
        for row in settingTable {
            #expect(sample.contains("\n;\(row.name) ="), "\(row.name)")
            #expect(document.contains("\n| `\(row.name)` |"), "\(row.name)")
        }
        for name in DatabaseEntry.keys.map(\.name) + settingOverrides.map(\.name) {
            #expect(document.contains("\n| `\(name)`"), "\(name)")
        }
        let lines = sample.split(separator: "\n").filter { !$0.hasPrefix(";auth_query =") }
        #expect(lines.allSatisfy { $0.utf8.count <= 110 })
    }

    private func parse(_ text: String) throws(ConfigurationError) -> Configuration {
        try Configuration.parse(path: "sample", contents: Array(text.utf8)) {
            _ throws(FileUnavailable) in throw FileUnavailable(reason: "not expected")
        }
    }
}
