// `martlet check` and `martlet explain`.

import Foundation
import Testing

@Suite struct ReviewTests {
    private static func file(_ text: String) throws -> String {
        let directory = try ScratchDirectory.make("review")
        let path = directory + "/pooler.ini"
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        return path
    }

    @Test func aUsableFile() throws {
        let path = try Self.file("[databases]\napp = host=127.0.0.1\n[martlet]\nadmin_users = a\n")
        let outcome = try run([Pooler.executable, "check", path])
        #expect(outcome.succeeded)
        #expect(outcome.output == "\(path): 1 databases, 0 users: can be used\n")
    }

    @Test func aRiskyFile() throws {
        let path = try Self.file(
            "[databases]\n[martlet]\nlisten_addr = *\nauth_type = trust\npkt_buf = 1\n"
        )
        let outcome = try run([Pooler.executable, "check", path])
        #expect(outcome.succeeded)
        for beginning in [
            "warning: auth_type: trust", "note: admin_users:", "warning: [databases]:",
            "note: pkt_buf:",
        ] {
            #expect(outcome.output.contains(beginning))
        }
    }

    @Test(arguments: ["check", "explain"])
    func aWrongFile(command: String) throws {
        let path = try Self.file("[databases]\n[martlet]\npool_mode = often\n")
        let outcome = try run([Pooler.executable, command, path])
        #expect(outcome.status == .exited(1))
        #expect(outcome.errors.contains("pooler.ini:3"))
        #expect(outcome.output.isEmpty)
    }

    @Test func serversAreTried() throws {
        let server = try PostgresServer.shared.get()
        let password = PostgresServer.password(of: "app")
        let place = "host=127.0.0.1 port=\(server.port) dbname=app user=app"
        let closed = Ports.free()
        let path = try Self.file(
            """
            [databases]
            good = \(place) password=\(password) pool_size=5000
            wrong = \(place) password=wrong
            away = host=127.0.0.1 port=\(closed) user=app password=x
            own = host=127.0.0.1
            [martlet]
            """
        )
        let outcome = try run([Pooler.executable, "check", "--connect", path])
        #expect(outcome.status == .exited(1))
        let lines = outcome.output.split(separator: "\n")
        func line(_ database: String) -> Substring {
            lines.first { $0.hasPrefix("database \(database)") } ?? ""
        }
        #expect(line("good").contains(" at 127.0.0.1:\(server.port) as app: PostgreSQL "))
        #expect(line("wrong").contains("password authentication failed for user \"app\""))
        #expect(line("away").contains("Connection refused"))
        #expect(line("own").contains("each client logs in as itself"))
        #expect(lines.contains { $0.hasPrefix("warning: 127.0.0.1:\(server.port): the pools") })
    }

    @Test func valuesAndTheirSources() throws {
        let path = try Self.file(
            """
            [databases]
            app = host=127.0.0.1 pool_size=7
            [users]
            bob = pool_mode=session
            [martlet]
            query_timeout = 4
            """
        )
        let all = try run([Pooler.executable, "explain", path]).output
        #expect(all.contains(/\nquery_timeout +4 +.*pooler\.ini:6\n/))
        #expect(all.contains(/\nquery_wait_timeout +120 +default of \[martlet\]\n/))
        #expect(all.contains(/\n\ndatabase app\ndefault_pool_size +7 +\[databases\] app\n/))
        #expect(all.contains(/\n\nuser bob\npool_mode +session +\[users\] bob\n/))
        let one = try run([Pooler.executable, "explain", path, "-d", "app", "-u", "bob"]).output
        #expect(one.contains(/\ndefault_pool_size +7 +\[databases\] app\n/))
        #expect(one.contains(/\npool_mode +session +\[users\] bob\n/))
        #expect(!one.contains("\n\n"))
        let missing = try run([Pooler.executable, "explain", path, "-d", "none"])
        #expect(!missing.succeeded)
        #expect(missing.errors.contains("no database \"none\""))
    }
}
