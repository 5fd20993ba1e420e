// What triggers leave in a session, where no text of a client tells, nor the source of a function.

import Testing

@Suite(.serialized) struct AuditTests {
    private func withTriggers(_ interval: String, _ body: (Pooler, Connection) throws -> Void)
        throws
    {
        let settings = ["default_pool_size": "1", "audit_interval": interval]
        try withPooler(settings) { pooler in
            let client = try pooler.connect()
            try client.query(
                """
                drop table if exists watched; create table watched (what text);
                create or replace function meddle() returns trigger language plpgsql as $$begin
                    if new.what = 'setting' then perform query_to_xml('select set' ||
                        '_config(''work_mem'', ''7MB'', false)', false, false, '');
                    else perform query_to_xml('select pg_advis' || 'ory_lock(4711)', false, false,
                        ''); end if;
                    return new; end$$;
                create trigger meddling before insert on watched for each row execute function meddle()
                """
            )
            try body(pooler, client)
            try client.query("drop table watched")
        }
    }

    private static func leaks(_ pooler: Pooler) throws -> String? {
        try pooler.show("STATS").first { $0["database"] == "app" }?["total_leak_count"]
    }

    @Test func whatWasHiddenIsFoundAndCleaned() throws {
        try withTriggers("0.2") { pooler, client in
            try client.query("insert into watched values ('lock')")
            try eventually("found") { try Self.leaks(pooler) == "1" }
            let locks =
                "select count(*) from pg_locks where locktype = 'advisory' and objid = 4711"
            try #expect(client.value(locks) == "0")
            #expect(pooler.log.contains("audit: unknown to the pooler was: advisory_lock"))
            try client.query("insert into watched values ('setting')")
            try eventually("found") { try Self.leaks(pooler) == "2" }
            #expect(pooler.log.contains("audit: unknown to the pooler was: work_mem"))
            try #expect(client.value("show work_mem") == "4MB")
        }
    }

    @Test func whatIsKnownIsNoFinding() throws {
        try withTriggers("0.1") { pooler, client in
            try client.query("set work_mem = '3MB'; set app.audited = 'x'; prepare p as select 1")
            try client.query("set app.audited to default")
            let audits = { () throws -> Int in
                let row = try pooler.show("STATS").first { $0["database"] == "app" }
                return Int(row?["total_audit_count"] ?? "") ?? 0
            }
            try eventually("asked") {
                try client.query("select 1")
                return try audits() > 3
            }
            try #expect(Self.leaks(pooler) == "0")
            try #expect(client.value("show work_mem") == "3MB")
            try #expect(client.value("execute p") == "1")
        }
    }

    @Test func nobodyIsAskedWhereThatIsSwitchedOff() throws {
        try withTriggers("0") { pooler, client in
            try client.query("insert into watched values ('setting')")
            pause(.milliseconds(700))
            try #expect(Self.leaks(pooler) == "0")
        }
    }
}
