import Foundation
import Testing

/// Rules about the sources that the compiler does not check.
@Suite struct TidyTests {
    /// Targets that do no I/O: they are tested without sockets, files or clocks.
    private static let pureTargets = ["PostgresWire", "PoolerCore"]
    private static let checkedTargets = ["PostgresWire", "PoolerCore", "PoolerIO"]
    private static let impureModules = [
        "Foundation", "FoundationEssentials", "Glibc", "Musl", "CLinux", "COpenSSL", "Dispatch",
    ]
    private static let bannedWords = [
        "print(", "Date()", "fatalError(", "try!", "@unchecked", "nonisolated(unsafe)",
    ]
    /// Where the compiler cannot prove that threads may share something, and why they may is said.
    private static let uncheckedSources = [
        "TLS/TLSPointer.swift", "TLS/TLSSession.swift", "Workers/ServerTable.swift",
        "Workers/SharedPool.swift", "Workers/SharedState.swift",
    ]
    private static let lineLimit = 700

    @Test(arguments: pureTargets)
    func pureTargetsImportNothingThatDoesInputOrOutput(_ target: String) throws {
        for source in try Source.all(under: "Sources/\(target)") {
            let impure = source.importedModules.filter {
                Self.impureModules.contains($0) || $0.hasPrefix("NIO")
            }
            #expect(impure.isEmpty, "\(source.path) imports \(impure)")
        }
    }

    @Test(arguments: checkedTargets)
    func nobodyUsesWhatIsBanned(_ target: String) throws {
        for source in try Source.all(under: "Sources/\(target)") {
            for (index, line) in source.lines.enumerated() {
                let code = Source.withoutComment(line)
                let found = Self.bannedWords.filter { word in
                    Source.uses(word, code)
                        && !(word == "@unchecked"
                            && Self.uncheckedSources.contains { source.path.hasSuffix($0) })
                }
                #expect(found.isEmpty, "\(source.path):\(index + 1) uses \(found)")
            }
        }
    }

    @Test func everySourceSaysWhatItIsFor() throws {
        for source in try Source.all(under: "Sources") where !source.isManifest {
            #expect(
                source.lines.first?.hasPrefix("// ") == true,
                "\(source.path) does not begin with a // paragraph"
            )
        }
    }

    @Test(arguments: ["Sources", "Tests"])
    func noSourceIsTooLong(_ folder: String) throws {
        for source in try Source.all(under: folder) {
            let count = source.lines.count
            #expect(count <= Self.lineLimit, "\(source.path) has \(count) lines")
        }
    }

    /// A check that looks at nothing would always pass.
    @Test func theChecksFindWhatTheyLookFor() throws {
        #expect(try Source.all(under: "Sources/PoolerCore").count > 20)
        let source = Source(
            path: "a.swift",
            text: "package import struct Glibc.stat\n@testable import NIOCore // x\nimported()"
        )
        #expect(source.importedModules == ["Glibc", "NIOCore"])
        #expect(Source.uses("print(", "fingerprint(1); print(1)"))
        #expect(!Source.uses("print(", "fingerprint(1)"))
        #expect(Source.withoutComment("a // print(1)") == "a ")
    }
}

/// A Swift file of the repository.
private struct Source {
    let path: String
    let lines: [String]

    init(path: String, text: String) {
        self.path = path
        var lines = text.components(separatedBy: "\n")
        if lines.last == "" { lines.removeLast() }
        self.lines = lines
    }

    var isManifest: Bool { path.hasSuffix("Package.swift") }

    /// The modules of the import declarations.
    var importedModules: [String] {
        lines.compactMap { line in
            let words = Self.withoutComment(line).split(separator: " ")
            guard let place = words.firstIndex(of: "import"), place <= 2 else { return nil }
            let kinds: Set<Substring> = ["struct", "class", "enum", "func", "var", "let"]
            let names = words[(place + 1)...].drop { kinds.contains($0) }
            return names.first?.split(separator: ".").first.map(String.init)
        }
    }

    static func withoutComment(_ line: String) -> String {
        line.range(of: "//").map { String(line[..<$0.lowerBound]) } ?? line
    }

    /// Whether `code` contains `word`, and not as the end of a longer one.
    static func uses(_ word: String, _ code: String) -> Bool {
        code.ranges(of: word).contains { range in
            guard range.lowerBound > code.startIndex else { return true }
            let before = code[code.index(before: range.lowerBound)]
            return !(before.isLetter || before.isNumber || before == "_")
        }
    }

    static func all(under folder: String) throws -> [Source] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let names = try FileManager.default.subpathsOfDirectory(
            atPath: root.appendingPathComponent(folder).path
        )
        return try names.filter { $0.hasSuffix(".swift") }.sorted().map { name in
            let url = root.appendingPathComponent(folder).appendingPathComponent(name)
            return Source(
                path: "\(folder)/\(name)",
                text: try String(contentsOf: url, encoding: .utf8)
            )
        }
    }
}
