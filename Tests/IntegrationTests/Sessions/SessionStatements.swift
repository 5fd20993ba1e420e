// The statements of session scripts that are single SQL statements, and what shows their effect.

import TestSupport

extension SessionGenerator {
    /// One statement of a family.
    mutating func statement(of family: SessionFamily) -> String {
        switch family {
        case .reportedSettings: reportedSetting()
        case .otherSettings: otherSetting()
        case .customSettings, .absentSettings: customSetting()
        case .setConfig: setConfig()
        case .settingsInFunctions: settingInFunction()
        case .role: role()
        case .resetAndDiscard: resetOrDiscard()
        case .transactions: transactionStatement()
        case .localSettings: localSetting()
        case .sqlStatements: sqlStatement(names: ["q1", "q2", "Q 3"])
        case .mixedStatements: sqlStatement(names: ["q1", "q2"])
        case .temporaryObjects: temporaryObject()
        case .cursors: cursor()
        case .advisoryLocks: advisoryLock()
        case .notifications, .listeningChannels: notification()
        case .sequences: sequence()
        case .startup:
            random.pick(["reset all", "discard all", "reset work_mem", "reset timezone"])
        case .protocolStatements, .probes: "select 1"
        }
    }

    // MARK: - Settings

    static let reportedValues: [(name: String, values: [String])] = [
        ("TimeZone", ["'Asia/Tokyo'", "'America/Lima'", "'UTC'", "'Europe/Paris'", "-7"]),
        ("DateStyle", ["'SQL, DMY'", "'German'", "ISO, YMD", "'Postgres, MDY'", "dmy"]),
        ("IntervalStyle", ["iso_8601", "'sql_standard'", "postgres", "postgres_verbose"]),
        ("client_encoding", ["'LATIN1'", "'UTF8'", "'SQL_ASCII'"]),
        ("application_name", ["'a'", "'b''c'", "''", "'d \\ e'", "\"F g\""]),
        ("standard_conforming_strings", ["on", "off"]),
        ("default_transaction_read_only", ["off"]),
    ]

    static let otherValues: [(name: String, values: [String])] = [
        ("work_mem", ["'3MB'", "8192", "'64kB'"]),
        ("statement_timeout", ["'10min'", "600001", "0"]),
        ("search_path", ["one", "two, one", "\"$user\", two", "''", "one, \"No Such\""]),
        ("extra_float_digits", ["0", "-3", "3"]),
        (
            "default_transaction_isolation",
            ["'repeatable read'", "serializable", "'read committed'"]
        ),
        ("default_transaction_read_only", ["on", "off"]),
        ("default_transaction_deferrable", ["off"]),
        ("lock_timeout", ["'300s'", "0"]),
        ("idle_in_transaction_session_timeout", ["'20min'", "0"]),
        ("enable_seqscan", ["off", "on"]),
        ("bytea_output", ["escape", "hex"]),
    ]

    private mutating func assignment(
        _ settings: [(name: String, values: [String])],
        _ scope: String = ""
    ) -> String {
        let (name, values) = random.pick(settings)
        if random.oneIn(8) { return "set \(scope)\(name) to default" }
        let value = random.oneIn(12) ? "'no such value'" : random.pick(values)
        return "\(random.pick(["set", "SET", "set /* x */"])) \(scope)\(name) "
            + "\(random.pick(["=", "to"])) \(value)"
    }

    private mutating func reportedSetting() -> String {
        random.oneIn(6)
            ? random.pick([
                "set time zone 'Asia/Tokyo'", "set time zone local", "set names 'LATIN1'",
                "set names default", "set time zone interval '+02:00' hour to minute",
                "set no_such_setting = 1", "reset TimeZone", "RESET datestyle",
            ]) : assignment(Self.reportedValues, random.pick(["", "", "session "]))
    }

    private mutating func otherSetting() -> String {
        random.oneIn(5)
            ? random.pick([
                "set schema 'two'",
                "set session characteristics as transaction isolation level repeatable read",
                "set session characteristics as transaction read only, isolation level serializable",
                "set session characteristics as transaction read write",
                "reset work_mem", "reset search_path", "reset default_transaction_read_only",
                "set no_such_setting = 1", "set work_mem from current",
            ]) : assignment(Self.otherValues, random.pick(["", "", "session "]))
    }

    private mutating func customSetting() -> String {
        random.pick([
            "set app.tenant = '\(random.number(1...3))'", "set app.tenant to 'a;b=c'",
            "set app.tenant = ''", "set \"app\".\"Two Words\" = 'x'", "reset app.tenant",
            "set app.tenant to default", "set app.region = 'south'", "reset app.region",
            "set app.a.b = 'deep'", "set session app.tenant = 5", "set app.tenant = a, b",
        ])
    }

    private mutating func setConfig() -> String {
        random.pick([
            "select set_config('work_mem', '3MB', false)",
            "select set_config('search_path', 'two', false), set_config('TimeZone', 'UTC', false)",
            "select set_config('app.tenant', i::text, false) from generate_series(1, 3) i",
            "select set_config('app.tenant', 'x', i % 2 = 0) from generate_series(1, 2) i",
            "select set_config('work_mem', '4MB', true)",
            "select 1 where set_config('app.tenant', 'where', false) = 'where'",
            "select (select set_config('lock_timeout', '5min', false)) || 'x'",
            "with c as (select set_config('app.tenant', 'cte', false) v) select v from c",
            "select set_config('application_name', v, false) from one.t order by id",
            "select pg_catalog . \"set_config\"('app.tenant', 'quoted', false)",
            // A RESET, and of what a client has asked for at login it says at once what the server
            // began with.
            families.contains(.startup)
                ? "select set_config('app.tenant', '', false)"
                : "select set_config('app.tenant', null, false)",
            "select set_config('work_mem', 'x', false)",
            "select set_config('app.tenant', 'kept', false), 1/0",
            "insert into one.t select 9, set_config('app.tenant', 'inserted', false)",
            "select set_config('Session Authorization', 'no_such_role', false)",
        ])
    }

    private mutating func settingInFunction() -> String {
        random.pick([
            "do $$begin set work_mem = '6MB'; end$$",
            "do $x$begin perform set_config('app.tenant', 'do', false); set datestyle = dmy; end$x$",
            "do $$begin set local work_mem = '6MB'; end$$",
            "select lib.set_plain('work_mem', '3MB')",
            "select lib.set_plain('TimeZone', 'Asia/Tokyo')",
            "select lib.set_plain('app.tenant', 'f')", "select lib.set_body()",
            "select lib.set_clause()", "select lib.set_clause_and_body()",
            "select lib.set_and_fail()",
            "select lib.set_and_catch()", "call lib.set_twice('c')",
            "insert into lib.touch values ('t1')", "insert into lib.touch values ('t2'), ('t3')",
            "create or replace function lib.g() returns text language sql set search_path from current "
                + "as $$select current_setting('search_path')$$",
            "select lib.g()",
        ])
    }

    private mutating func role() -> String {
        random.pick([
            "set role session_reader", "set role session_writer", "set role session_stranger",
            "set role none", "reset role", "set role 'session_reader'", "set role no_such_role",
            "set session role session_writer", "set local role session_reader",
            "set session authorization session_reader", "set session authorization trusty",
            "set session authorization default", "reset session authorization",
            "select set_config('role', 'session_writer', false)",
            "select lib.set_role('session_reader')",
        ])
    }

    private mutating func resetOrDiscard() -> String {
        random.pick([
            "reset all", "discard all", "discard plans", "discard sequences", "discard temp",
            "discard temporary", "reset timezone", "reset work_mem", "reset app.tenant",
            "reset session authorization", "reset no_such_setting", "DISCARD  ALL",
            "set work_mem = '3MB'", "set timezone = 'Asia/Tokyo'", "set search_path = two",
        ])
    }

    private mutating func localSetting() -> String {
        random.pick([
            "set local timezone = 'Asia/Tokyo'", "set local work_mem = '3MB'",
            "set local search_path = two", "set local app.tenant = 'local'",
            "set local role session_reader", "set transaction isolation level repeatable read",
            "set transaction read only", "set constraints all immediate",
            "set constraints all deferred", "set local datestyle = dmy",
            "set local statement_timeout to default", "set transaction_read_only = on",
            "select set_config('TimeZone', 'UTC', true)",
        ])
    }

    // MARK: - Objects of the session

    /// PREPARE and what uses it.
    private mutating func sqlStatement(names: [String]) -> String {
        let name = "\"\(random.pick(names))\""
        return random.pick([
            "prepare \(name) as select '\(random.number(1...3))' as a",
            "prepare \(name) (int) as select $1 + 1 as b",
            "prepare \(name) as select '02/03/2024'::date, '2024-01-01 00:00'::timestamptz",
            "prepare \(name) as select v from t", "prepare \(name) as selec",
            "execute \(name)", "execute \(name)", "execute \(name)", "execute \(name)(1)",
            "EXECUTE \(name) (41)", "explain (costs off) execute \(name)",
            "create table lib.made_\(random.number(1...2)) as execute \(name)",
            "deallocate \(name)", "deallocate prepare \(name)", "deallocate all",
            "set datestyle = 'SQL, DMY'", "set timezone = 'Asia/Tokyo'", "reset datestyle",
            "select lib.prepare_it()", "discard all",
        ])
    }

    private mutating func temporaryObject() -> String {
        let name = random.pick(["tmp1", "tmp2", "t"])
        return random.pick([
            "create temp table \(name) (a int)",
            "create temporary table if not exists \(name) (a int)",
            "create table pg_temp.\(name) as select 7 as a", "select 8 as a into temp \(name)",
            "create temp table \(name) on commit drop as select 9 as a",
            "create temp table \(name) (a int) on commit delete rows",
            "insert into \(name) values (1)", "drop table \(name)",
            "drop table if exists pg_temp.\(name)",
            "create temp view view1 as select 'view' as a", "drop view view1",
            "select * from view1",
            "create temp sequence sequence1", "select nextval('sequence1')",
            "drop sequence sequence1",
            "create function pg_temp.f1() returns text language sql as $$select 'temporary'$$",
            "select pg_temp.f1()", "drop function pg_temp.f1()", "discard temp",
            "select lib.make_temporary()", "select * from \(name)",
        ])
    }

    private mutating func cursor() -> String {
        let name = random.pick(["c1", "c2"])
        return random.pick([
            "declare \(name) cursor with hold for select generate_series(1, 5)",
            "declare \(name) scroll cursor with hold for select i, i * i from generate_series(1, 4) i",
            "declare \(name) cursor for select generate_series(1, 5)",
            "declare \(name) cursor with hold for select 1/(3 - i) from generate_series(1, 5) i",
            "fetch \(name)", "fetch 2 from \(name)", "fetch all \(name)", "move 1 in \(name)",
            "fetch backward 1 from \(name)", "close \(name)", "close all",
            "select lib.declare_it()",
        ])
    }

    private mutating func advisoryLock() -> String {
        let key = random.number(1...2)
        return random.pick([
            "select pg_advisory_lock(\(key))", "select pg_advisory_lock(\(key), 7)",
            "select pg_advisory_lock_shared(\(key))", "select pg_try_advisory_lock(\(key))",
            "select pg_try_advisory_lock_shared(\(key), 7)",
            "select pg_advisory_unlock(\(key))", "select pg_advisory_unlock(\(key))",
            "select pg_advisory_unlock(\(key), 7)", "select pg_advisory_unlock_shared(\(key))",
            "select pg_advisory_unlock_all()", "select pg_advisory_xact_lock(\(key))",
            "select pg_try_advisory_xact_lock_shared(\(key))",
            "select pg_try_advisory_lock(hashtext('k'))",
            "select pg_advisory_unlock(hashtext('k'))",
            "select lib.take_lock(\(key))", "discard all",
        ])
    }

    private mutating func notification() -> String {
        let channel = random.pick(["news", "\"Big News\"", "News"])
        return random.pick([
            "listen \(channel)", "listen \(channel)", "unlisten \(channel)", "unlisten *",
            "notify \(channel)", "notify \(channel), 'pay''load'",
            "notify \(channel), '\(random.number(1...9))'",
            "select pg_notify('news', 'by function')",
            "select pg_notify('Big News', i::text) from generate_series(1, 3) i",
            "select lib.listen_to('Big News')", "discard all",
        ])
    }

    private mutating func sequence() -> String {
        random.pick([
            "select nextval('lib.s')", "select nextval('lib.u')", "select setval('lib.s', 40)",
            "select setval('lib.u', 2000, false)", "discard sequences",
            "select nextval('lib.s'), currval('lib.s'), lastval()",
        ])
    }

    /// The value of a session's last nextval, mostly between transactions.
    ///
    /// Where the pooler has lost it, the error would end a block, and the comparison with it.
    mutating func addSequenceProbe() {
        if isInBlock {
            add(.query("commit"))
            isInBlock = false
        }
        addStatement(probe(of: .sequences))
    }

    // MARK: - Startup

    /// Parameters of the startup message.
    mutating func startup() -> [String: String] {
        let known = [
            ("TimeZone", "Asia/Tokyo"), ("DateStyle", "SQL, DMY"), ("application_name", "start"),
            ("client_encoding", "LATIN1"), ("search_path", "two"), ("work_mem", "3MB"),
            ("statement_timeout", "10min"), ("app.tenant", "start"), ("extra_float_digits", "-2"),
            ("options", "-c work_mem=6MB -c app.tenant=by\\ options"),
            ("options", "--search_path=two,one --TimeZone=America/Lima"),
            ("options", "-c default_transaction_read_only=on"), ("IntervalStyle", "iso_8601"),
        ]
        var parameters: [String: String] = [:]
        for _ in 0..<random.number(0...4) {
            let (name, value) = random.pick(known)
            parameters[name] = value
        }
        if random.oneIn(12) { parameters["work_mem"] = "no number" }
        return parameters
    }

    // MARK: - Probes

    /// What shows the effect of a family's statements.
    mutating func probe(of family: SessionFamily) -> String {
        switch family {
        case .reportedSettings:
            random.pick([
                "show timezone", "select current_setting('DateStyle')", "show client_encoding",
                "select to_char('2024-07-01 12:00+00'::timestamptz, 'YYYY-MM-DD HH24:MI TZ')",
                "select '2024-07-01 12:00+00'::timestamptz, interval '1 day 2 hours'",
                "select '02/03/2024'::date", "select 'a\\'", "select chr(233), chr(8364)",
                "show application_name", "show standard_conforming_strings",
            ])
        case .otherSettings:
            random.pick(
                Self.otherValues.map { "show \($0.name)" } + [
                    "select f(), current_schemas(false)", "select * from t order by id",
                    "select 0.1::float8 + 0.2::float8", "select '\\000'::bytea",
                    "show transaction_isolation",
                    "show transaction_read_only",
                ]
            )
        case .customSettings:
            "select nullif(current_setting('\(random.pick(["app.tenant", "app.region"]))', true), ''), "
                + "nullif(current_setting('app.Two Words', true), ''), "
                + "nullif(current_setting('app.a.b', true), '')"
        case .absentSettings:
            random.pick([
                "select current_setting('app.tenant', true)", "show app.tenant", "show app.a.b",
                "select current_setting('app.never', true)", "show app.region",
            ])
        case .setConfig, .settingsInFunctions, .resetAndDiscard, .localSettings, .startup:
            "select current_setting('work_mem'), current_setting('TimeZone'), "
                + "current_setting('DateStyle'), current_setting('search_path'), "
                + "current_setting('lock_timeout'), current_setting('application_name'), "
                + "current_setting('statement_timeout'), "
                + "nullif(current_setting('app.tenant', true), ''), "
                + "nullif(current_setting('app.touched', true), '')"
        case .role:
            random.pick([
                "select current_user, session_user, current_setting('role')",
                "select current_setting('is_superuser')", "select count(*) from two.t",
            ])
        case .transactions: "select (select count(*) from one.t), (select count(*) from lib.child)"
        case .protocolStatements: "select '02/03/2024'::date"
        case .sqlStatements:
            "select name from pg_prepared_statements where from_sql order by name collate \"C\""
        case .mixedStatements:
            "select name, from_sql, parameter_types from pg_prepared_statements "
                + "where name !~ '^MARTLET_' order by name collate \"C\""
        case .temporaryObjects:
            random.pick([
                "select relname from pg_class where relnamespace = pg_my_temp_schema() order by 1",
                "select * from tmp1", "select * from t", "select pg_temp.f1()",
            ])
        case .cursors: "select name, is_holdable, is_scrollable from pg_cursors order by name"
        case .advisoryLocks:
            "select classid, objid, objsubid, mode, granted from pg_locks "
                + "where pid = pg_backend_pid() and locktype = 'advisory' order by 1, 2, 3, 4"
        case .notifications: "select 1"
        case .listeningChannels:
            random.pick([
                "select count(*) from pg_listening_channels()",
                "select * from pg_listening_channels() as c order by c collate \"C\"",
            ])
        case .sequences:
            random.pick(["select lastval()", "select currval('lib.s')", "select currval('lib.u')"])
        case .probes: "select 1"
        }
    }
}
