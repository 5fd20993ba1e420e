// Files as operators write them for PgBouncer (Tests/Configurations): each starts as it is, serves its
// clients, and can be read again.

import Foundation
import Glibc
import Testing

@Suite struct ConfigurationTests {
    /// What is expected of a folder.
    struct Example: CustomTestStringConvertible {
        let folder: String
        let user: String
        let database: String
        /// What `current_user` and `current_database()` are there.
        let identity: String
        let poolMode: String
        var consoleUser = "operator"
        var isOverUnixSocket = false
        /// The user who is refused, and how.
        var refused: (user: String, message: String)?

        var testDescription: String { folder }
    }

    static let examples = [
        Example(
            folder: "single",
            user: "app",
            database: "app",
            identity: "app app",
            poolMode: "transaction",
            refused: ("nobody", "FATAL:  08P01: SASL authentication failed")
        ),
        Example(
            folder: "forced-users",
            user: "shop",
            database: "tenant_b",
            identity: "other other",
            poolMode: "session",
            refused: ("nobody", "password authentication failed")
        ),
        Example(
            folder: "auth-query",
            user: "other",
            database: "other",
            identity: "other other",
            poolMode: "transaction"
        ),
        Example(
            folder: "hba",
            user: "app",
            database: "app",
            identity: "app app",
            poolMode: "session",
            refused: ("other", "login rejected")
        ),
        Example(
            folder: "unix-socket",
            user: "app",
            database: "app",
            identity: "app app",
            poolMode: "statement",
            isOverUnixSocket: true,
            refused: ("nobody", "password authentication failed")
        ),
        Example(
            folder: "conf.d",
            user: "app",
            database: "other",
            identity: "app other",
            poolMode: "transaction"
        ),
        Example(
            folder: "peers",
            user: "app",
            database: "app",
            identity: "app app",
            poolMode: "transaction",
            refused: ("nobody", "password authentication failed")
        ),
        Example(
            folder: "bitnami",
            user: "other",
            database: "other",
            identity: "other other",
            poolMode: "session"
        ),
        Example(
            folder: "edoburu",
            user: "app",
            database: "app",
            identity: "app app",
            poolMode: "session",
            refused: ("nobody", "bouncer config error")
        ),
    ]

    private static let folders = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Configurations")

    @Test func everyFolderIsUsed() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.folders.path)
        #expect(Set(names).subtracting(["README.md"]) == Set(Self.examples.map(\.folder)))
    }

    /// Copies a folder, with what depends on the machine filled in.
    private static func copy(_ folder: String, _ values: [String: String]) throws {
        let source = folders.appending(path: folder).path
        let target = values["@DIR@"] ?? ""
        for name in try FileManager.default.subpathsOfDirectory(atPath: source) {
            var isFolder: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: "\(source)/\(name)", isDirectory: &isFolder)
            if isFolder.boolValue {
                try FileManager.default.createDirectory(
                    atPath: "\(target)/\(name)",
                    withIntermediateDirectories: true
                )
                continue
            }
            var text = try String(contentsOfFile: "\(source)/\(name)", encoding: .utf8)
            for (mark, value) in values { text = text.replacing(mark, with: value) }
            try text.write(toFile: "\(target)/\(name)", atomically: false, encoding: .utf8)
        }
    }

    @Test(arguments: examples)
    func itServes(_ example: Example) throws {
        let server = try PostgresServer.shared.get()
        let directory = try ScratchDirectory.make("configuration")
        let port = Ports.free()
        let user = getpwuid(geteuid()).flatMap { String(cString: $0.pointee.pw_name) } ?? ""
        try Self.copy(
            example.folder,
            [
                "@DIR@": directory, "@LISTEN_PORT@": "\(port)", "@SERVER_PORT@": "\(server.port)",
                "@OS_USER@": user,
            ]
        )
        let path = directory + "/pgbouncer.ini"
        let check = try run([Pooler.executable, "check", path])
        #expect(check.succeeded, "\(check.errors)")

        let process = try ChildProcess(Pooler.command + [path], output: directory + "/stderr")
        defer { process.stop(signal: SIGQUIT) }
        func log() -> String {
            (try? String(contentsOfFile: directory + "/stderr", encoding: .utf8)) ?? ""
        }
        eventually("it is up") { log().contains("process up") || process.hasExited }
        func connect(_ user: String, _ database: String) throws -> Connection {
            try Connection([
                "host": example.isOverUnixSocket ? directory : "127.0.0.1", "port": "\(port)",
                "user": user, "dbname": database, "password": PostgresServer.password(of: user),
            ])
        }
        let client = try connect(example.user, example.database)
        defer { client.close() }
        let asked = "select current_user || ' ' || current_database()"
        try #expect(client.value(asked) == example.identity)
        try #expect(client.execute("select $1::int + 1", ["6"]).value == "7")
        if let (user, message) = example.refused {
            let error = #expect(throws: ConnectionFailed.self) {
                try connect(user, example.database)
            }
            #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
        }

        let console = try connect(example.consoleUser, "pgbouncer")
        defer { console.close() }
        let pools = try console.execute("SHOW POOLS").records
        let pool = pools.first { $0["database"] == example.database }
        #expect(pool?["pool_mode"] == example.poolMode)
        process.send(signal: SIGHUP)
        try eventually("it has read its files again") {
            try client.value(asked) == example.identity && log().contains("got SIGHUP")
        }
        try #expect(console.execute("SHOW CONFIG").rows.count > 100)
        #expect(!log().contains("nothing changed"))
        #expect(!process.hasExited)
    }
}
