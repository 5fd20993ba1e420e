// What reads the console: exporters with drivers that speak the extended protocol, scripts around psql.

import Foundation
import Glibc
import PoolerCore
import Testing

@Suite(.serialized) struct ExporterTests {
    private static let checkout = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// psycopg, as from PyPI.
    @Test func everyTableIsReadByPsycopg() throws {
        let python = try run([Self.checkout.path + "/Scripts/python-with-psycopg"])
        try #require(python.succeeded, "\(python.errors)")
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query("begin")
            _ = try pooler.connect(database: "other").query("select 1")
            let outcome = try run(
                [
                    python.output.trimmingCharacters(in: .newlines),
                    Self.checkout.path + "/Tests/Conformance/exporter.py",
                    "host=127.0.0.1 port=\(pooler.port) user=stats dbname=pgbouncer",
                ] + ShowKind.allCases.filter { $0.definition.role == .stats }.map(\.rawValue)
            )
            #expect(outcome.succeeded, "\(outcome.errors)")
            let count = ShowKind.allCases.count { $0.definition.role == .stats }
            #expect(outcome.output == "checked \(count)\n")
        }
    }

    private static func environment(_ pooler: Pooler) -> [String: String] {
        [
            "PGHOST": "127.0.0.1", "PGPORT": String(pooler.port), "PGUSER": "stats",
            "PGDATABASE": "pgbouncer",
        ]
    }

    private static func psql(
        _ pooler: Pooler,
        _ options: [String],
        input: String
    ) throws -> CommandOutcome {
        try run(["psql", "-X"] + options, environment: environment(pooler), input: input)
    }

    /// As check_postgres asks: a file, no headings, a separator of its own.
    @Test func scriptsWithoutHeadings() throws {
        try withPooler(["max_client_conn": "77"]) { pooler in
            try pooler.connect().query("select 1")
            let options = ["-q", "-A", "-t", "-F", "\u{1}", "-f", "/dev/stdin"]
            let pools = try Self.psql(pooler, options, input: "SHOW POOLS")
            let rows = pools.output.split(separator: "\n").map {
                $0.split(separator: "\u{1}", omittingEmptySubsequences: false).map(String.init)
            }
            let beginnings = rows.map { $0.prefix(4).joined(separator: " ") }
            #expect(beginnings == ["app app 1 0", "pgbouncer pgbouncer 1 0"])
            let settings = try Self.psql(pooler, options, input: "SHOW CONFIG;\n")
            #expect(settings.output.contains("\nmax_client_conn\u{1}77\u{1}100\u{1}yes\n"))
            let lists = try Self.psql(pooler, ["-tA", "-c", "SHOW LISTS"], input: "")
            #expect(lists.output.contains("\nused_clients|2\n"))
        }
    }

    /// psql's \watch, until somebody presses Ctrl-C.
    @Test func repeatedly() throws {
        try withPooler { pooler in
            let input = try ScratchFile("watch.sql", "SHOW LISTS \\watch 0.2\n")
            let (output, errors) = (pooler.directory + "/output", pooler.directory + "/errors")
            let psql = try ChildProcess(
                ["psql", "-X"],
                environment: Self.environment(pooler),
                input: input.path,
                output: output,
                errors: errors
            )
            try eventually("it has been shown three times") {
                try String(contentsOfFile: output, encoding: .utf8)
                    .components(separatedBy: "used_clients").count > 3
            }
            psql.send(signal: SIGINT)
            _ = try psql.waitForExit(within: .patience)
            try #expect(String(contentsOfFile: errors, encoding: .utf8).isEmpty)
        }
    }

    /// An operator at a terminal: several commands, comments, what is wrong.
    @Test func atATerminal() throws {
        try withPooler { pooler in
            let script = """
                -- what there is
                SHOW VERSION; SHOW STATE;
                SHOW /* all */ LISTS;
                SELECT DATABASES;
                SHOW NOTHING;
                SHOW TOTALS \\gx
                """
            let outcome = try Self.psql(pooler, [], input: script)
            #expect(outcome.output.contains("PgBouncer 1.25.2 (Martlet"))
            #expect(outcome.output.contains("suspended | no"))
            #expect(outcome.output.contains("used_clients"))
            #expect(outcome.output.contains("pgbouncer | "))
            #expect(outcome.output.contains("-[ RECORD 1 ]"))
            #expect(outcome.errors.contains("invalid command 'SHOW NOTHING;', use SHOW HELP;"))
        }
    }
}
