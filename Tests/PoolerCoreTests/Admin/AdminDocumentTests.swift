import Foundation
import PoolerCore
import Testing

@Suite struct AdminDocumentTests {
    /// `MARTLET_GENERATE=1 swift test --filter AdminDocument` writes the file.
    @Test func docsAreCurrent() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let file = root.appending(path: "Docs/Admin.md")
        if ProcessInfo.processInfo.environment["MARTLET_GENERATE"] == "1" {
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            try adminDocument().write(to: file, atomically: true, encoding: .utf8)
        }
        let current = try String(contentsOf: file, encoding: .utf8)
        #expect(
            current == adminDocument(),
            "run MARTLET_GENERATE=1 swift test --filter AdminDocument"
        )
    }
}
