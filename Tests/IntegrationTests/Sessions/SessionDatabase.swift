// Where session scripts run: databases of their own, one for each test that runs at the same time
// (advisory locks and notifications do not leave a database), and the same contents before every run.

import Synchronization

final class SessionDatabase {
    let name: String
    private let superuser: Connection

    private init(_ name: String) throws {
        self.name = name
        superuser = try PostgresServer.shared.get().superuser(database: name)
    }

    deinit { superuser.close() }

    /// Users of scripts: both log in without a password; the second may become anybody.
    static let users = ["trusty", "postgres"]
    /// Roles that scripts take on; trusty is a member of the first two.
    static let roles = ["session_reader", "session_writer", "session_stranger"]

    private static let free = Mutex<(names: [String], count: Int)>(([], 0))
    private static let made = Result { try makeRoles() }

    /// Lends a database that nobody else uses.
    static func withDatabase<Value>(_ body: (SessionDatabase) throws -> Value) throws -> Value {
        try made.get()
        let (name, isNew) = free.withLock { free in
            if let name = free.names.popLast() { return (name, false) }
            free.count += 1
            return ("session_\(free.count)", true)
        }
        if isNew { try makeDatabase(name) }
        defer { free.withLock { $0.names.append(name) } }
        return try body(SessionDatabase(name))
    }

    /// The contents that every script finds.
    ///
    /// First the sessions of the last script have to end, with their locks and tables; `release` makes
    /// the pooler give up its servers.
    func reset(_ release: () throws -> Void = {}) throws {
        try waitUntilAlone(release)
        try superuser.query(Self.tables)
    }

    private func waitUntilAlone(_ release: () throws -> Void) throws {
        let others = """
            select count(*) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()
            """
        let deadline = Deadline(in: .patience)
        while try superuser.value(others) != "0" {
            if deadline.hasPassed {
                let left = try superuser.query(
                    """
                    select pid, usename, application_name, state, query from pg_stat_activity
                    where datname = current_database() and pid <> pg_backend_pid()
                    """
                )
                throw TimedOut("others to leave the database \(name): \(left)")
            }
            try release()
            pause(.milliseconds(1))
        }
    }

    private static func makeRoles() throws {
        let connection = try PostgresServer.shared.get().superuser(database: "postgres")
        defer { connection.close() }
        for role in roles { try connection.query("create role \(role)") }
        try connection.query("grant session_reader, session_writer to trusty")
    }

    /// Values of its own for some settings: RESET has to find them again.
    private static func makeDatabase(_ name: String) throws {
        let connection = try PostgresServer.shared.get().superuser(database: "postgres")
        defer { connection.close() }
        try connection.query("create database \(name)")
        try connection.query("alter database \(name) set work_mem = '5MB'")
        try connection.query("alter database \(name) set app.region = 'north'")
        try connection.query("alter role trusty in database \(name) set lock_timeout = '600s'")
        let superuser = try PostgresServer.shared.get().superuser(database: name)
        defer { superuser.close() }
        try superuser.query(schemasAndFunctions)
    }

    /// Schemas with the same names in them, and functions that change the session.
    private static let schemasAndFunctions = """
        create schema one;
        create schema two;
        create schema lib;
        grant all on schema one, two, lib to public;
        create function one.f() returns text language sql as $$select 'one'$$;
        create function two.f() returns text language sql as $$select 'two'$$;
        create function lib.set_plain(name text, value text) returns text language plpgsql
            as $$begin return set_config(name, value, false); end$$;
        create function lib.set_body() returns text language plpgsql
            as $$begin set work_mem = '7MB'; set application_name = 'body'; set app.tenant = 'body';
            return current_setting('work_mem'); end$$;
        create function lib.set_clause() returns text language plpgsql
            set work_mem = '9MB' set timezone = 'Asia/Tokyo' set app.tenant = 'clause'
            as $$begin return current_setting('work_mem') || current_setting('timezone')
            || current_setting('app.tenant'); end$$;
        create function lib.set_clause_and_body() returns text language plpgsql
            set work_mem = '9MB' set timezone = 'Asia/Tokyo'
            as $$begin set work_mem = '11MB'; set local timezone = 'UTC'; set lock_timeout = '77s';
            return current_setting('work_mem'); end$$;
        create function lib.set_and_fail() returns text language plpgsql
            as $$begin set work_mem = '12MB'; set timezone = 'Asia/Tokyo';
            raise exception 'on purpose'; end$$;
        create function lib.set_and_catch() returns text language plpgsql
            as $$begin begin set work_mem = '13MB'; raise exception 'on purpose';
            exception when others then set application_name = 'caught'; end;
            return current_setting('work_mem'); end$$;
        create function lib.set_role(name text) returns text language plpgsql
            as $$begin execute format('set role %I', name); return current_user; end$$;
        create procedure lib.set_twice(value text) language plpgsql
            as $$begin perform set_config('app.tenant', value, false); commit;
            perform set_config('app.tenant', value || '2', false); rollback; end$$;
        create function lib.touched() returns trigger language plpgsql
            as $$begin perform set_config('app.touched', new.v, false); return new; end$$;
        create function lib.make_temporary() returns text language plpgsql
            as $$begin create temporary table tmp1 (a int); return 'made'; end$$;
        create function lib.take_lock(key int) returns text language plpgsql
            as $$begin perform pg_advisory_lock(key); return 'taken'; end$$;
        create function lib.listen_to(channel text) returns text language plpgsql
            as $$begin execute format('listen %I', channel); return 'listening'; end$$;
        create function lib.prepare_it() returns text language plpgsql
            as $$begin execute 'prepare "Q 3" as select ''by function'''; return 'prepared'; end$$;
        create function lib.declare_it() returns text language plpgsql
            as $$begin execute 'declare c1 cursor with hold for select generate_series(1, 5)';
            return 'declared'; end$$
        """

    /// Tables, among them some with deferred constraints that fail at COMMIT, and sequences.
    private static let tables = """
        set client_min_messages = warning;
        drop function if exists lib.g;
        drop table if exists one.t, two.t, lib.parent, lib.child, lib.changing, lib.touch;
        drop table if exists lib.made_1, lib.made_2;
        drop sequence if exists lib.s, lib.u, lib.u_of_strangers;
        create table one.t (id int, v text);
        create table two.t (id int, v text, w text);
        insert into one.t values (1, 'one a'), (2, 'one b');
        insert into two.t values (1, 'two a', 'w');
        create table lib.parent (id int primary key);
        create table lib.child (
            parent int references lib.parent deferrable initially deferred,
            other int references lib.parent deferrable initially immediate
        );
        insert into lib.parent values (1);
        create table lib.changing (a int);
        create sequence lib.s;
        create sequence lib.u start 1000;
        create sequence lib.u_of_strangers start 5000;
        create table lib.touch (v text);
        create trigger touch before insert on lib.touch
            for each row execute function lib.touched();
        alter table lib.changing owner to trusty;
        grant all on all tables in schema one, two, lib to public;
        grant all on all sequences in schema lib to public;
        revoke all on two.t from session_reader, public;
        grant all on two.t to trusty, session_writer
        """
}
