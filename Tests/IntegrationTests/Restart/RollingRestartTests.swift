// so_reuseport: a second process listens beside the first, which ends when its clients have left.

import Foundation
import Glibc
import Testing

@Suite(.serialized) struct RollingRestartTests {
    private func load(
        _ database: LoadDatabase,
        _ pooler: Pooler,
        seconds: Int,
        _ name: String
    ) throws -> ChildProcess {
        try ChildProcess(
            ["pgbench", "-n", "-c", "8", "-T", String(seconds), "-M", "prepared"],
            environment: database.environment(pooler),
            output: pooler.directory + "/" + name
        )
    }

    private func expectNoFailure(_ load: ChildProcess, _ pooler: Pooler, _ name: String) throws {
        let status = try load.waitForExit(within: .patience)
        let text = try String(contentsOfFile: pooler.directory + "/" + name, encoding: .utf8)
        #expect(status == .exited(0), "\(text)")
        #expect(text.contains("number of failed transactions: 0"))
    }

    @Test func underLoad() throws {
        let database = try LoadDatabase("rolling_restart")
        try withPooler(["so_reuseport": "1"], databases: [database.name: ""]) { pooler in
            try database.fill(pooler)
            let first = try load(database, pooler, seconds: 600, "first")
            try eventually("all of its clients are in") {
                try pooler.show("CLIENTS").count { $0["database"] == database.name } == 8
            }
            let client = try pooler.connect()
            // The same again, with a Unix socket of its own.
            let folder = pooler.directory + "/second"
            try FileManager.default.createDirectory(
                atPath: folder,
                withIntermediateDirectories: true
            )
            var configuration = pooler.configuration
            configuration.settings["unix_socket_dir"] = folder
            try configuration.iniText.write(
                toFile: folder + "/pooler.ini",
                atomically: false,
                encoding: .utf8
            )
            let second = try ChildProcess(
                Pooler.command + [folder + "/pooler.ini"],
                output: folder + "/log"
            )
            eventually("the second process is up") {
                (try? String(contentsOfFile: folder + "/log", encoding: .utf8))?
                    .contains("process up") == true
            }
            pooler.send(signal: SIGTERM)
            eventually("the first process takes no more clients") {
                pooler.log.contains("got SIGTERM")
            }
            // Nobody is given to a socket that is just being closed.
            _ = try run(
                [
                    "psql", "-X", "-h", pooler.directory, "-p", String(pooler.port), "-c",
                    "show state",
                ],
                environment: ["PGUSER": "admin", "PGDATABASE": "pgbouncer"]
            )
            let other = try load(database, pooler, seconds: 2, "other")
            try expectNoFailure(other, pooler, "other")
            #expect(!first.hasExited)
            first.endPgbench()
            try expectNoFailure(first, pooler, "first")
            #expect(!pooler.hasExited)
            try #expect(client.value("select 1") == "1")
            client.close()
            try #expect(pooler.waitForExit() == .exited(0))
            second.send(signal: SIGINT)
            try #expect(second.waitForExit(within: .patience) == .exited(0))
        }
    }
}
