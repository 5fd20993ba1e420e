// Every setting, by the table in SettingExpectations.swift: none can be added without a row there.

import Foundation
import PoolerCore
import PostgresWire
import Testing

@Suite struct SettingTests {
    @Test func everySettingIsExpected() {
        let expected = SettingExpectation.all.map(\.name)
        #expect(settingTable.map(\.name) == expected)
        for (row, expected) in zip(settingTable, SettingExpectation.all) {
            #expect(row.defaultValue(.pgbouncer).text == expected.pgbouncerDefault, "\(row.name)")
            #expect(row.defaultValue(.martlet).text == expected.martletDefault, "\(row.name)")
            #expect((row.change == .live) == expected.isLive, "\(row.name)")
            let sections = row.override.map { Set($0.sections.map(\.rawValue)) } ?? []
            #expect(sections == expected.sections, "\(row.name)")
            // What has no effect is documented under a heading that says so, and why.
            #expect((row.topic == .compatibility) == (expected.test == nil), "\(row.name)")
        }
    }

    /// The tests that the table names exist and have to do with the setting.
    @Test func everyEffectIsSeenByATest() throws {
        let tests = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let files = FileManager.default.enumerator(at: tests, includingPropertiesForKeys: nil)
        var texts: [String: String] = [:]
        for case let file as URL in try #require(files) where file.pathExtension == "swift" {
            let suite = file.deletingPathExtension().lastPathComponent
            texts[suite, default: ""] += try String(contentsOf: file, encoding: .utf8)
        }
        for expected in SettingExpectation.all {
            guard let test = expected.test?.split(separator: ".").map(String.init) else { continue }
            let text = texts[test[0]] ?? ""
            #expect(text.contains("func \(test[1])("), "\(expected.name)")
        }
    }

    @Test func badValuesStopTheStart() throws {
        for expected in SettingExpectation.all {
            guard let bad = expected.values.badValue else { continue }
            let text = "[databases]\n[pgbouncer]\n\(expected.name) = \(bad.text)\n"
            let error = #expect(throws: ConfigurationError.self, "\(expected.name)") {
                try Configuration.parse(path: "p.ini", contents: Array(text.utf8)) {
                    _ throws(FileUnavailable) in throw FileUnavailable(reason: "no file")
                }
            }
            let beginning = "p.ini:3: \(expected.name): \(bad.message)"
            #expect(error?.description.hasPrefix(beginning) == true, "\(expected.name)")
        }
    }

    // MARK: On a running pooler

    /// A value that is not the one in use.
    private static func otherValue(_ expected: SettingExpectation, than value: String) -> String {
        switch expected.values {
        case .bool: return value == "0" ? "1" : "0"
        case .seconds, .secondsAtLeast: return "77.5"
        case .fileMode: return "448"
        case .countOrPercentage: return "75%"
        case .number(let range): return "\(range.upperBound / 2 + 1)"
        case .protocols: return "tlsv1.3"
        case .text: return "something else"
        case .word:
            guard case .keyword(let words)? = settingRow(named: expected.name)?.kind else {
                return value
            }
            return words.first { $0 != value } ?? value
        }
    }

    private static func values(_ pooler: Pooler) throws -> [String: [String: String]] {
        Dictionary(try pooler.show("CONFIG").map { ($0["key"] ?? "", $0) }) { $1 }
    }

    /// What the test itself needs as it is, files that are not there, and what OpenSSL does not know.
    private static let fixed: Set<String> = [
        "admin_users", "auth_type", "auth_file", "auth_hba_file", "auth_ident_file", "conffile",
        "disable_pqexec", "logfile", "syslog", "max_packet_size", "client_tls13_ciphers",
        "client_tls_ca_file", "client_tls_cert_file", "client_tls_ciphers", "client_tls_ecdhcurve",
        "client_tls_key_file", "client_tls_sslmode", "server_tls13_ciphers", "server_tls_ca_file",
        "server_tls_cert_file", "server_tls_ciphers", "server_tls_key_file",
        "server_tls_negotiation",
    ]

    @Test func eachIsChangedBySet() throws {
        try withPooler { pooler in
            let before = try Self.values(pooler)
            let console = try pooler.console()
            for expected in SettingExpectation.all where !Self.fixed.contains(expected.name) {
                let name = expected.name
                let value = Self.otherValue(expected, than: before[name]?["value"] ?? "")
                let result = try console.execute("SET \(name) = '\(value)'")
                if expected.isLive {
                    #expect(result.tag == "SET \(name)=\(value)")
                } else {
                    #expect(result.error?.message == "SET failed", "\(name)")
                    #expect(result.error?.detail == "\(name) takes effect only at start")
                }
                let row = try Self.values(pooler)[name]
                let shown = expected.isLive ? value : before[name]?["value"]
                #expect(row?["value"] == shown, "\(name)")
                #expect(row?["default"] == expected.pgbouncerDefault, "\(name)")
                #expect(row?["changeable"] == (expected.isLive ? "yes" : "no"), "\(name)")
                guard let bad = expected.values.badValue else { continue }
                let error = try console.execute("SET \(name) = '\(bad.text)'").error
                #expect(error?.message == "SET failed")
                #expect(error?.detail?.hasPrefix("\(name): \(bad.message)") == true, "\(name)")
            }
            try #expect(console.execute("RELOAD").tag == "RELOAD")
            try #expect(Self.values(pooler) == before)
        }
    }

    /// What is removed from the file goes back to its default; what needs a restart is named.
    @Test func eachIsChangedByReload() throws {
        try withPooler { pooler in
            let before = try Self.values(pooler)
            var changed: [String: String] = [:]
            for expected in SettingExpectation.all where !Self.fixed.contains(expected.name) {
                let value = Self.otherValue(expected, than: before[expected.name]?["value"] ?? "")
                let isOctal = expected.values == .fileMode
                changed[expected.name] = isOctal ? "0700" : value
            }
            let own = pooler.configuration.settings
            try pooler.rewrite { $0.settings = own.merging(changed) { $1 } }
            try #expect(pooler.console().execute("RELOAD").tag == "RELOAD")
            let after = try Self.values(pooler)
            for expected in SettingExpectation.all where !Self.fixed.contains(expected.name) {
                let name = expected.name
                let wanted = expected.isLive ? changed[name] : before[name]?["value"]
                #expect(after[name]?["value"] == wanted, "\(name)")
                let line = "\(name) is changed in the file: that takes effect at the next start"
                #expect(pooler.log.contains(line) == !expected.isLive, "\(name)")
            }
            try pooler.rewrite { $0.settings = own }
            try #expect(pooler.console().execute("RELOAD").tag == "RELOAD")
            try #expect(Self.values(pooler) == before)
        }
    }
}
