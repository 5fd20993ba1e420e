// State that nobody's statement names: changed by triggers, views, defaults, operators and casts.

import Testing

@Suite(.serialized) struct HiddenCallTests {
    /// A pooler with two servers, of which the client gets another one for each statement, and a schema
    /// for what a test makes, which goes with it.
    private static func withServers(
        _ settings: [String: String] = [:],
        _ body: (Pooler, Connection, () throws -> Void) throws -> Void
    ) throws {
        let fixed = ["default_pool_size": "2", "server_round_robin": "1", "audit_interval": "0"]
        try withPooler(fixed.merging(settings) { $1 }) { pooler in
            let superuser = try pooler.server.superuser()
            defer { superuser.close() }
            try superuser.query("drop schema if exists hidden cascade; create schema hidden")
            try superuser.query("grant all on schema hidden to public")
            let (client, other) = (try pooler.connect(), try pooler.connect())
            let move = { () throws -> Void in
                try other.query("begin")
                try client.query("select 1")
                try other.query("commit")
            }
            try move()
            try body(pooler, client, move)
            try superuser.query("drop schema hidden cascade")
        }
    }

    private static let makeSetter = """
        create function hidden.set_it(value text) returns text language plpgsql as $$begin
            perform set_config('hide.it', value, false); return value; end$$;
        """
    private static let question = "select current_setting('hide' || '.it', true)"

    @Test(arguments: [
        (
            """
            create table hidden.t (v text);
            create function hidden.f() returns trigger language plpgsql as $$begin
                perform hidden.set_it(new.v); return new; end$$;
            create trigger f before insert or update on hidden.t
                for each row execute function hidden.f()
            """, "insert into hidden.t values ('new')"
        ),
        (
            """
            create table hidden.t (v text default hidden.set_it('new'), n int)
            """, "insert into hidden.T (n) values (1)"
        ),
        (
            """
            create view hidden.v as select hidden.set_it('new'); create view hidden.w as table hidden.v
            """, "select * from hidden.w"
        ),
        (
            """
            create view hidden."A View" as select set_config('hide.it', 'new', false)
            """, "table hidden.\"A View\""
        ),
        (
            """
            create operator hidden.@+@ (rightarg = text, function = hidden.set_it)
            """, "select operator(hidden.@+@) 'new'::text"
        ),
        (
            """
            create type hidden.pair as (a text);
            create function hidden.f(hidden.pair) returns text language sql
                as $$select hidden.set_it(($1).a)$$;
            create cast (hidden.pair as text) with function hidden.f(hidden.pair)
            """, "select row('new')::hidden.pair::text"
        ),
        (
            """
            create domain hidden.checked as text check (hidden.set_it(value) is not null)
            """, "select 'new'::hidden.checked"
        ),
    ])
    func itFollowsTheClient(_ definition: String, _ statement: String) throws {
        try Self.withServers { pooler, client, move in
            // Nobody else has named it, and the functions are made beside the pooler.
            let superuser = try pooler.server.superuser()
            try superuser.query(Self.makeSetter)
            try superuser.query(definition)
            try superuser.query("grant all on all tables in schema hidden to public")
            superuser.close()
            for _ in 0..<3 {
                try client.query(statement)
                try #expect(client.value(Self.question) == "new")
                try move()
                try #expect(client.value(Self.question) == "new")
                try client.query("select set_config('hide.it', 'old', false)")
                try move()
                try #expect(client.value(Self.question) == "old")
            }
            // Prepared as well.
            try #expect(client.prepare("p", statement).error == nil)
            try #expect(client.executePrepared("p").error == nil)
            // On the other server, and then on that one again.
            try #expect(client.value(Self.question) == "new")
            try move()
            try #expect(client.value(Self.question) == "new")
        }
    }

    /// What is known of a database holds for a user who comes later.
    @Test func otherUsersNeedNotAsk() throws {
        try Self.withServers { pooler, client, _ in
            try client.query(Self.makeSetter)
            try client.query("select hidden.set_it('first')")
            let (late, holder) = (
                try pooler.connect(user: "postgres"), try pooler.connect(user: "postgres")
            )
            try holder.query("begin")
            try late.query("select hidden.set_it('new')")
            try holder.query("commit")
            for _ in 0..<4 { try #expect(late.value(Self.question) == "new") }
        }
    }

    /// What is made through the pooler is known at once.
    @Test func aNewTriggerCounts() throws {
        try Self.withServers { pooler, client, move in
            try client.query(
                "create table hidden.t (v text); insert into hidden.t values ('first')"
            )
            try client.query(Self.makeSetter)
            try client.query(
                """
                create function hidden.f() returns trigger language plpgsql as $$begin
                    perform hidden.set_it(new.v); return new; end$$;
                create trigger f before insert on hidden.t
                    for each row execute function hidden.f()
                """
            )
            try move()
            try client.query("insert into hidden.t values ('second')")
            try move()
            try #expect(client.value(Self.question) == "second")
            try client.query("begin; set hide.it = 'third'; drop trigger f on hidden.t; commit")
            try client.query("insert into hidden.t values ('fourth')")
            try move()
            try #expect(client.value(Self.question) == "third")
        }
    }

    @Test func aNewViewAndANewDefaultCount() throws {
        try Self.withServers { pooler, client, move in
            try client.query(Self.makeSetter)
            try client.query("create table hidden.t (n int); insert into hidden.t values (1)")
            try client.query("create view hidden.v as select hidden.set_it('view') from hidden.t")
            try client.query("select * from hidden.v")
            try move()
            try #expect(client.value(Self.question) == "view")
            try client.query("alter table hidden.t add d text")
            try client.query("insert into hidden.t values (2)")
            try client.query("alter table hidden.t alter d set default hidden.set_it('default')")
            try client.query("insert into hidden.t values (3)")
            try move()
            try #expect(client.value(Self.question) == "default")
        }
    }

    /// However many calls have left everything as it was: those that may not, by what their source says,
    /// are not among those of which samples are taken.
    @Test(arguments: ["select hidden.set_it('new')", "insert into hidden.t values ('new')"])
    func afterManyInnocentCalls(_ statement: String) throws {
        try Self.withServers { _, client, move in
            try client.query(Self.makeSetter)
            try client.query(
                """
                create function hidden.innocent() returns int language sql as 'select 1';
                create table hidden.t (v text);
                create function hidden.f() returns trigger language plpgsql as $$begin
                    perform hidden.set_it(new.v); return new; end$$;
                create trigger f before insert on hidden.t for each row execute function hidden.f()
                """
            )
            for _ in 0..<210 { try client.query("select hidden.innocent()") }
            for round in 1...3 {
                try client.query(statement.replacing("new", with: "new \(round)"))
                try move()
                try #expect(client.value(Self.question) == "new \(round)")
            }
        }
    }

    /// A lock that a trigger takes stays with its client.
    @Test func itPins() throws {
        try Self.withServers { pooler, client, _ in
            try client.query(
                """
                create table hidden.t (n int);
                create function hidden.f() returns trigger language plpgsql as $$begin
                    perform pg_advisory_lock(new.n); return new; end$$;
                create trigger f before insert on hidden.t
                    for each row execute function hidden.f()
                """
            )
            try client.query("insert into hidden.t values (4712)")
            try eventually("the server stays with its client") {
                try pooler.show("PINS").map { $0["reasons"] } == ["advisory_lock"]
            }
            try #expect(client.value("select pg_advisory_unlock(4712)") == "t")
            try eventually("it goes") { try pooler.show("PINS").isEmpty }
        }
    }

    /// Where nothing is hidden the server is asked once, not after each statement.
    @Test func ordinaryTablesCostNothing() throws {
        try withPooler(databases: ["plain": "dbname=other"]) { pooler in
            let client = try pooler.connect(database: "plain")
            let superuser = try pooler.server.superuser(database: "other")
            defer { superuser.close() }
            try superuser.query("create table if not exists plain (n int)")
            try superuser.query("grant all on plain to public")
            for number in 0..<50 { try client.query("insert into plain values (\(number))") }
            let row = try pooler.show("STATS").first { $0["database"] == "plain" }
            try #expect(#require(Int(row?["total_probe_count"] ?? "")) <= 2)
            try superuser.query("drop table plain")
        }
    }
}
