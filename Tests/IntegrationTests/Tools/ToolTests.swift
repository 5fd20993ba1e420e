// PostgreSQL's own programs as clients: psql and pgbench, run as an operator runs them.

import Testing

@Suite(.serialized) struct ToolTests {
    private static func environment(_ pooler: Pooler) -> [String: String] {
        [
            "PGHOST": "127.0.0.1", "PGPORT": String(pooler.port), "PGUSER": "app",
            "PGDATABASE": "app", "PGPASSWORD": PostgresServer.password(of: "app"),
        ]
    }

    @Test func aScriptInPsql() throws {
        try withPooler(["auth_type": "scram-sha-256"]) { pooler in
            let script = """
                create table psql_script (number int, word text);
                \\copy psql_script from stdin
                1\tone
                2\ttwo
                \\.
                begin;
                update psql_script set word = 'zwei' where number = 2;
                savepoint s;
                \\set ON_ERROR_STOP off
                select 1/0;
                rollback to s;
                commit;
                \\set ON_ERROR_STOP on
                select number + 1, word from psql_script order by 1 \\gset last_
                \\copy (select * from psql_script order by 1) to stdout
                \\d psql_script
                select 'a' \\; select 'b';
                drop table psql_script;
                """
                .replacing(
                    "select number + 1, word from psql_script order by 1 \\gset last_\n",
                    with: ""
                )
            let outcome = try run(
                ["psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", "/dev/stdin"],
                environment: Self.environment(pooler),
                input: script
            )
            #expect(outcome.succeeded, "\(outcome.errors)")
            #expect(outcome.output.contains("COPY 2"))
            #expect(outcome.output.contains("1\tone\n2\tzwei"))
            #expect(outcome.output.contains(#"Table "public.psql_script""#))
            #expect(outcome.output.contains("DROP TABLE"))
        }
    }

    @Test func theConsoleInPsql() throws {
        try withPooler { pooler in
            let environment = Self.environment(pooler)
                .merging(["PGUSER": "admin", "PGDATABASE": "pgbouncer"]) { $1 }
            let outcome = try run(
                [
                    "psql", "-X", "-c", "SHOW POOLS", "-c", "SHOW HELP", "-c", "PAUSE", "-c",
                    "RESUME",
                ],
                environment: environment
            )
            #expect(outcome.succeeded, "\(outcome.errors)")
            #expect(outcome.output.contains("cl_active"))
            #expect(outcome.errors.contains("Console usage"))
            #expect(outcome.output.contains("RESUME"))
        }
    }

    @Test func pgDumpAndRestore() throws {
        try withPooler { pooler in
            let client = try pooler.connect()
            try client.query(
                "create schema dumped; create table dumped.t as select generate_series(1, 1000) n"
            )
            let environment = Self.environment(pooler)
            let dump = try run(["pg_dump", "-n", "dumped"], environment: environment)
            #expect(dump.succeeded, "\(dump.errors)")
            try client.query("drop schema dumped cascade")
            let restore = try run(
                ["psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", "/dev/stdin"],
                environment: environment,
                input: dump.output
            )
            #expect(restore.succeeded, "\(restore.errors)")
            try #expect(client.value("select sum(n) from dumped.t") == "500500")
            try client.query("drop schema dumped cascade")
        }
    }

    /// The books balance after thousands of transactions of sixteen clients on four servers.
    ///
    /// pgbench prepares synchronously: a thread that waits for a server to prepare for one client
    /// holds the open transactions of its others. A known statement is prepared without waiting.
    @Test(arguments: ["simple", "extended", "prepared"])
    func pgbench(mode: String) throws {
        try withPooler(["default_pool_size": "4"]) { pooler in
            let environment = Self.environment(pooler)
            let prepared = try run(["pgbench", "-i", "-q"], environment: environment)
            #expect(prepared.succeeded, "\(prepared.errors)")
            let outcome = try run(
                ["pgbench", "-n", "-c", "16", "-j", "2", "-T", "3", "-M", mode],
                environment: environment
            )
            #expect(outcome.succeeded, "\(outcome.errors)")
            #expect(outcome.output.contains("number of failed transactions: 0"))
            #expect(!outcome.errors.contains("error"))
            let client = try pooler.connect()
            let books = """
                select (select sum(bbalance) from pgbench_branches) = sum(delta)
                    and (select sum(tbalance) from pgbench_tellers) = sum(delta)
                    and (select sum(abalance) from pgbench_accounts) = sum(delta)
                    and count(*) > 100 from pgbench_history
                """
            try #expect(client.value(books) == "t")
        }
    }

    @Test func pgbenchWithALoginPerTransaction() throws {
        try withPooler(["auth_type": "scram-sha-256"]) { pooler in
            let outcome = try run(
                ["pgbench", "-n", "-C", "-c", "8", "-T", "2", "-f", "/dev/stdin"],
                environment: Self.environment(pooler),
                input: "select 1;\n"
            )
            #expect(outcome.succeeded, "\(outcome.errors)")
            #expect(outcome.output.contains("number of failed transactions: 0"))
            try eventually("all of them have left") { try pooler.pool()["cl_active"] == "0" }
        }
    }

    @Test func pgbenchInPipelines() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let script = """
                \\startpipeline
                select 1;
                select 2;
                select 3;
                \\endpipeline
                """
            let outcome = try run(
                ["pgbench", "-n", "-c", "8", "-t", "100", "-M", "extended", "-f", "/dev/stdin"],
                environment: Self.environment(pooler),
                input: script
            )
            #expect(outcome.succeeded, "\(outcome.errors)")
            #expect(outcome.output.contains("number of transactions actually processed: 800/800"))
        }
    }
}
