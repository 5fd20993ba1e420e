import PostgresWire
import TestSupport
import Testing

@testable import PoolerCore

@Suite struct StatementClassifierTests {
    /// Texts that change nothing and ask nothing of their session.
    @Test(arguments: [
        "",
        ";; -- nothing",
        "SELECT 1",
        "select a.b, count(*), \"lower\"(x), pg_catalog.upper(y) from t where id in (1, 2) and (a)",
        "SELECT coalesce(sum(x) FILTER (WHERE y), 0) OVER (PARTITION BY (z) ORDER BY (w)) FROM a",
        "INSERT INTO t (a, b) VALUES (1, 2) ON CONFLICT (a) DO UPDATE SET (a, b) = (3, 4)",
        "INSERT INTO s.t(a) SELECT 1",
        "INSERT INTO \"t\" AS x (a) VALUES (default)",
        "WITH RECURSIVE n(i) AS (SELECT 1) SELECT i FROM n",
        "WITH n (i) AS MATERIALIZED (SELECT 1) SELECT i FROM n",
        "SELECT * FROM json_to_recordset('[]') AS x(a int)",
        "SELECT * FROM unnest(array[1]) WITH ORDINALITY x(a, b)",
        "SELECT * FROM t, LATERAL (SELECT 1) s JOIN u y(a) USING (a)",
        "SELECT cast(a AS numeric(10, 2)), b::varchar(3), interval '1' FROM t",
        "SELECT 'set_config(', $$ SET x = 1 $$, \"set_config\" FROM t -- SET x",
        "UPDATE t SET a = 1 WHERE b = ANY ($1)",
        "DELETE FROM t",
        "MERGE INTO t USING s ON (a = b) WHEN NOT MATCHED THEN INSERT (a) VALUES (b)",
        "TABLE t",
        "VALUES (1), (2)",
        "(SELECT 1) UNION (SELECT 2)",
        "SELECT information_schema._pg_expandarray(i.indkey) FROM pg_index i",
        "SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(1)",
        "SELECT * FROM pg_settings",
        "SELECT (t).*, a.b.c, (t).length FROM t",
        "GRANT SELECT ON t TO public",
        "LOCK TABLE t",
        "VACUUM (ANALYZE) t",
        "TRUNCATE t",
        "EXPLAIN SELECT 1",
        "EXPLAIN (ANALYZE, FORMAT json) SELECT 1",
        "SET CONSTRAINTS ALL DEFERRED",
        "SELECT 1; SELECT 2;",
    ])
    func leavesMostStatementsAlone(_ text: String) {
        #expect(SQL.effects(text).subtracting(.unseenCalls).names == [])
    }

    @Test(arguments: [
        ("SELECT 1", false), ("SELECT a + 1 <= 2 AND b <> 'x' || $1", false), ("BEGIN", false),
        ("SET a = 1", false), ("VALUES (1)", false), ("SELECT \"from\", 'from t'", false),
        ("select * from t", true), ("INSERT INTO t VALUES (1)", true), ("UPDATE t SET a = 1", true),
        ("DELETE FROM t", true), ("MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE", true),
        ("COPY t FROM STDIN", true), ("COPY t TO STDOUT", true), ("TABLE t", true),
        ("SELECT 1::t", true), ("SELECT CAST(1 AS t)", true), ("SELECT a @> b", true),
        ("SELECT 1; SELECT 2; DELETE FROM t", true), ("TRUNCATE TABLE t", true),
        ("SELECT operator(s.@+@) 1", true),
    ])
    func tellsWhatMayCallUnseen(_ text: String, _ may: Bool) {
        #expect(SQL.effects(text).contains(.unseenCalls) == may)
    }

    private static let cases: [(String, SessionEffects)] = [
        // Settings
        ("SET a = 1", .settings),
        ("/* x */ set Session a.b to 1", .settings),
        ("SELECT 1; SET a = 1", .settings),
        ("SET TIME ZONE 'UTC'", .settings),
        ("SET NAMES 'UTF8'", .settings),
        ("SET SCHEMA 'a'", .settings),
        ("SET XML OPTION CONTENT", .settings),
        ("SET a FROM CURRENT", .settings),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", .settings),
        ("SET LOCAL SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", .localSettings),
        ("SET LOCAL a = 1", .localSettings),
        ("SET local.a = 1", .settings),
        ("SET LOCAL local.a = 1", .localSettings),
        ("SET session.a = 1", .settings),
        ("SET local TO 1", .settings),
        ("SET \"local\" = 1", .settings),
        ("SET TRANSACTION READ ONLY", .localSettings),
        ("SET SESSION TRANSACTION READ ONLY", .localSettings),
        ("SET transaction.a = 1", .settings),
        ("RESET a", .settings),
        ("RESET ALL", [.settings, .resetAll]),
        ("RESET \"all\"", .settings),
        ("RESET TIME ZONE", .settings),
        ("RESET TRANSACTION ISOLATION LEVEL", .localSettings),
        ("SHOW a", .show),
        // Roles
        ("SET ROLE a", [.settings, .role]),
        ("SET SESSION ROLE a", [.settings, .role]),
        ("SET role = a", [.settings, .role]),
        ("SET \"Role\" TO a", [.settings, .role]),
        ("SET role.a = 1", .settings),
        ("SET LOCAL ROLE a", .localSettings),
        ("SET SESSION AUTHORIZATION a", [.settings, .role]),
        ("SET SESSION SESSION AUTHORIZATION DEFAULT", [.settings, .role]),
        ("SET session_authorization = a", [.settings, .role]),
        ("RESET ROLE", [.settings, .role]),
        ("RESET SESSION AUTHORIZATION", [.settings, .role]),
        (
            "SET U&\"r\\006fle\" = a",
            [.settings, .role, .unnamedSettings, .temporary, .preparedStatements]
        ),
        // set_config
        ("SELECT set_config('a', 'b', false)", .settings),
        ("SELECT set_config('a', 'b', true)", .localSettings),
        ("SELECT PG_CATALOG . Set_Config /* x */ ('a', 'b', TRUE)", .localSettings),
        ("SELECT \"set_config\"('a', 'b', false)", .settings),
        ("SELECT set_config('a', f.b, t.c) FROM f", .settings),
        ("SELECT set_config('a', 'b', true and false)", .settings),
        ("SELECT set_config('a', 'b', not true)", .settings),
        ("SELECT set_config('a', 'b', 't')", .settings),
        ("SELECT set_config('a', concat('b', true), false)", .settings),
        ("SELECT set_config('a'::text, 'b', false)", .settings),
        ("SELECT set_config('Role', 'b', false)", [.settings, .role]),
        ("SELECT set_config('session_authorization', 'b', false)", [.settings, .role]),
        ("SELECT set_config('role', 'b', true)", .localSettings),
        ("SELECT set_config($1, 'b', false)", [.settings, .role, .unnamedSettings]),
        ("SELECT set_config($1, 'b', true)", [.localSettings, .unnamedSettings]),
        ("SELECT set_config('a' || b, 'b', false)", [.settings, .role, .unnamedSettings]),
        ("SELECT set_config(N'a', 'b', false)", [.settings, .role, .unnamedSettings]),
        ("SELECT set_config(E'a', 'b', false)", [.settings, .role, .unnamedSettings]),
        (
            "SELECT set_config('a', set_config('b', 'c', false), true)",
            [.settings, .localSettings, .role, .unnamedSettings]
        ),
        (
            "SELECT set_config('a', 'b', true), set_config('c', 'd', false)",
            [.localSettings, .settings]
        ),
        ("WITH x AS (SELECT set_config('a', 'b', false)) SELECT 1", .settings),
        ("COPY (SELECT set_config('a', 'b', false)) TO STDOUT", [.copy, .settings]),
        ("EXPLAIN ANALYZE SELECT set_config('a', 'b', false)", .settings),
        ("UPDATE pg_settings SET setting = 1", [.settings, .role, .unnamedSettings]),
        (
            "UPDATE pg_catalog.\"pg_settings\" SET setting = 1",
            [.settings, .role, .unnamedSettings]
        ),
        // Code that is not seen
        ("DO $$ BEGIN END $$", .opaque),
        ("CALL p()", [.opaque, .unknownFunction]),
        ("SELECT f(1)", .unknownFunction),
        ("SELECT \"Lower\"(x)", .unknownFunction),
        ("SELECT public.lower(x)", .unknownFunction),
        ("SELECT pg_catalog.f(x)", .unknownFunction),
        ("SELECT U&\"lower\"(x)", [.unknownFunction, .temporary, .preparedStatements]),
        ("SELECT * FROM f(1) AS x(a int)", .unknownFunction),
        ("SELECT DISTINCT ON (a) f(b) FROM t", .unknownFunction),
        ("SELECT a FROM t ORDER BY f(a)", .unknownFunction),
        ("SELECT \"values\"(1)", .unknownFunction),
        ("SELECT filter(1)", .unknownFunction),
        ("SELECT x AT TIME ZONE f(y)", .unknownFunction),
        ("INSERT INTO t (a) VALUES (f(1))", .unknownFunction),
        ("INSERT INTO t SELECT f(1)", .unknownFunction),
        ("SELECT query_to_xml('SELECT 1', true, true, '')", .unknownFunction),
        ("CREATE TABLE t AS SELECT * FROM a JOIN b ON f(a.x)", [.creation, .unknownFunction]),
        // Prepared statements
        ("PREPARE a AS SELECT 1", .sqlPrepare),
        ("PREPARE a (int, text) AS SELECT $1", .sqlPrepare),
        ("PREPARE a AS SELECT set_config('a', 'b', false)", [.sqlPrepare, .settings]),
        ("PREPARE transaction AS SELECT 1", .sqlPrepare),
        ("PREPARE TRANSACTION 'a'", .transactionControl),
        ("EXECUTE a", .sqlExecute),
        ("EXECUTE a (1)", .sqlExecute),
        ("EXPLAIN ANALYZE EXECUTE a", .sqlExecute),
        ("EXPLAIN (ANALYZE, COSTS off) EXECUTE a", .sqlExecute),
        ("CREATE TABLE t AS EXECUTE a", [.sqlExecute, .creation]),
        ("DEALLOCATE a", .sqlDeallocate),
        ("DEALLOCATE PREPARE a", .sqlDeallocate),
        ("DEALLOCATE prepare", .sqlDeallocate),
        ("DEALLOCATE ALL", .deallocateAll),
        ("DEALLOCATE PREPARE ALL", .deallocateAll),
        ("DEALLOCATE \"all\"", .sqlDeallocate),
        // DISCARD
        ("DISCARD ALL", .discardAll),
        ("DISCARD PLANS", .discardPlans),
        ("DISCARD SEQUENCES", .discardSequences),
        ("DISCARD TEMP", .discardTemp),
        ("DISCARD TEMPORARY", .discardTemp),
        // Notifications
        ("LISTEN a", .listen),
        ("UNLISTEN a", .unlisten),
        ("UNLISTEN *", .unlistenAll),
        ("UNLISTEN\"*\"", .unlisten),
        ("NOTIFY a, 'b'", .notify),
        ("SELECT pg_notify('a', 'b')", .notify),
        ("SELECT pg_listening_channels()", .listeningChannels),
        // Temporary objects
        ("CREATE TEMP TABLE t (a int)", [.creation, .temporary]),
        ("CREATE LOCAL TEMPORARY TABLE t (a int)", [.creation, .temporary]),
        ("CREATE GLOBAL TEMP TABLE IF NOT EXISTS t (a int)", [.creation, .temporary]),
        ("CREATE OR REPLACE TEMP RECURSIVE VIEW v (a) AS SELECT 1", [.creation, .temporary]),
        ("CREATE TEMPORARY SEQUENCE s", [.creation, .temporary]),
        ("CREATE TABLE pg_temp.t (a int)", [.creation, .temporary]),
        ("CREATE TABLE PG_TEMP_3.t (a int)", [.creation, .temporary]),
        ("CREATE TABLE \"pg_temp\".t (a int)", [.creation, .temporary]),
        ("CREATE TABLE t (temp int)", .creation),
        ("CREATE TABLE t (a int REFERENCES u (a))", .creation),
        ("SELECT 1 AS a INTO TEMP t", [.creation, .temporary]),
        ("SELECT 1 AS a INTO LOCAL TEMPORARY TABLE t", [.creation, .temporary]),
        ("SELECT 1 AS a INTO t", .creation),
        ("SELECT * INTO pg_temp.t FROM u", [.creation, .temporary]),
        ("EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1", [.creation, .temporary]),
        ("SELECT * FROM pg_temp.t", .temporary),
        ("SELECT * FROM pg_temperature", []),
        ("DROP TABLE t", .drop),
        // Cursors
        ("DECLARE c CURSOR FOR SELECT 1", .cursor),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", [.cursor, .holdCursor]),
        ("DECLARE c NO SCROLL CURSOR WITHOUT HOLD FOR SELECT 1", .cursor),
        ("FETCH 1 FROM c", .cursor),
        ("MOVE c", .cursor),
        ("CLOSE c", .cursor),
        ("CLOSE ALL", [.cursor, .closeAll]),
        // Locks and other functions
        ("SELECT pg_advisory_lock(1)", .advisoryLock),
        ("SELECT pg_try_advisory_lock_shared(1, 2)", .advisoryLock),
        ("SELECT (1::bigint).pg_advisory_lock", .advisoryLock),
        ("SELECT $1.pg_advisory_lock", .advisoryLock),
        ("SELECT (t).f FROM t", .unknownFunction),
        ("SELECT a[1].f FROM t", .unknownFunction),
        ("SELECT pg_advisory_unlock(1)", .advisoryUnlock),
        ("SELECT pg_advisory_unlock_all()", .advisoryUnlock),
        ("LOAD 'auto_explain'", .load),
        ("SELECT setseed(0.5)", .setseed),
        ("SELECT pg_create_physical_replication_slot('a', true, true)", .replicationSlot),
        ("SELECT pg_replication_origin_session_setup('a')", .replicationSlot),
        ("SELECT pg_backup_start('a')", .backup),
        ("INSERT INTO t VALUES (nextval('s'))", .sequenceValue),
        ("SELECT lastval()", .sequenceValue),
        ("SELECT currval('s'), setval('s', 1)", .sequenceValue),
        ("SELECT pg_backend_pid()", .backendPID),
        ("COPY t (a, b) FROM STDIN", .copy),
        // Transactions
        ("BEGIN", .transactionControl),
        ("START TRANSACTION READ ONLY", .transactionControl),
        ("COMMIT AND CHAIN", .transactionControl),
        ("END", .transactionControl),
        ("ABORT", .transactionControl),
        ("ROLLBACK", .transactionControl),
        ("SAVEPOINT a", .transactionControl),
        ("RELEASE a", .transactionControl),
        ("ROLLBACK TO a", .transactionControl),
        ("COMMIT PREPARED 'a'", .transactionControl),
        // Definitions
        (
            "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            [.creation, .definition]
        ),
        ("CREATE OR REPLACE PROCEDURE p() LANGUAGE sql AS ''", [.creation, .definition]),
        ("CREATE CONSTRAINT TRIGGER t AFTER INSERT ON u", [.creation, .definition]),
        ("ALTER ROLE a SET b = c", .definition),
        ("ALTER DATABASE a SET b = c", .definition),
        ("DROP FUNCTION f(int)", [.drop, .definition]),
        ("CREATE EXTENSION a", [.creation, .definition, .opaque]),
        ("ALTER TABLE t ADD a int", .definition),
        ("ALTER SEQUENCE s RESTART", []),
    ]

    @Test(arguments: cases)
    func saysWhatAStatementDoes(_ text: String, _ effects: SessionEffects) {
        #expect(SQL.effects(text).subtracting(.unseenCalls).names == effects.names)
        #expect(
            SQL.statements(text).map(\.effects).reduce(SessionEffects()) { $0.union($1) }
                == SQL.effects(text)
        )
    }

    @Test func mindsStandardConformingStrings() {
        let text = "SELECT 'a\\'; SET x = 1; --'"
        #expect(SQL.effects(text) == .settings)
        #expect(SQL.effects(text, ScanRules(standardConformingStrings: false)) == [])
    }

    private static let splits: [(String, [String])] = [
        ("", []),
        (" ; ;; ", []),
        ("a", ["a"]),
        (" a /* ; */ b ; -- ;\n c", ["a /* ; */ b", "c"]),
        ("SELECT ';'; SELECT $$;$$; SELECT \";\"", ["SELECT ';'", "SELECT $$;$$", "SELECT \";\""]),
        (
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3",
            ["CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", "SELECT 3"]
        ),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1"
                + " END; SELECT 1 end; END; SELECT 2",
            [
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1"
                    + " END; SELECT 1 end; END", "SELECT 2",
            ]
        ),
        (
            "create or replace procedure p() begin atomic end; begin; end",
            ["create or replace procedure p() begin atomic end", "begin", "end"]
        ),
        (
            "create view v as select begin atomic from t; set a = 1",
            ["create view v as select begin atomic from t", "set a = 1"]
        ),
    ]

    @Test(arguments: splits)
    func splitsAtSemicolons(_ text: String, _ statements: [String]) {
        #expect(SQL.statementTexts(text) == statements)
    }

    private static let settings: [(String, [ByteString])] = [
        ("SET Work_Mem = 1", ["work_mem"]),
        ("SET \"TimeZone\" = 1", ["timezone"]),
        ("SET app . Tenant = 1", ["app.tenant"]),
        ("SET \"a.b\".c = 1", ["a.b.c"]),
        ("SET SESSION a = 1", ["a"]),
        ("SET LOCAL a = 1", ["a"]),
        ("SET local.a = 1", ["local.a"]),
        ("SET session.a = 1", ["session.a"]),
        ("SET SESSION characteristics.a = 1", ["characteristics.a"]),
        ("SET TIME ZONE LOCAL", ["timezone"]),
        ("SET time.zone = 1", ["time.zone"]),
        ("SET NAMES", ["client_encoding"]),
        ("SET NAMES DEFAULT", ["client_encoding"]),
        ("SET SCHEMA 'a'", ["search_path"]),
        ("SET ROLE a", ["role"]),
        ("SET SESSION AUTHORIZATION a", ["session_authorization"]),
        ("RESET SESSION AUTHORIZATION", ["session_authorization"]),
        ("RESET app.b", ["app.b"]),
        ("RESET ALL", []),
        ("SHOW TIME ZONE", ["timezone"]),
        ("SHOW a.b", ["a.b"]),
        ("SHOW ALL", []),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            [
                "default_transaction_isolation", "default_transaction_read_only",
                "default_transaction_deferrable",
            ]
        ),
        (
            "SET TRANSACTION READ ONLY",
            ["transaction_isolation", "transaction_read_only", "transaction_deferrable"]
        ),
        ("SELECT set_config('App.A', '1', false), set_config('b', '2', true)", ["app.a", "b"]),
        ("SELECT set_config('it''s', '1', false)", ["it's"]),
        ("SELECT set_config($1, '1', false)", []),
        ("SET U&\"a\" = 1", []),
    ]

    @Test(arguments: settings)
    func namesSettings(_ text: String, _ names: [ByteString]) {
        #expect(SQL.statements(text).map(\.settings) == [names])
    }

    private static let names: [(String, SessionStatement.Kind, ByteString?)] = [
        ("PREPARE Abc AS SELECT 1", .prepare, "abc"),
        ("PREPARE \"A\"\"b\" (int) AS SELECT 1", .prepare, "A\"b"),
        ("PREPARE U&\"a\" AS SELECT 1", .prepare, nil),
        ("EXECUTE a(1)", .execute, "a"),
        ("EXPLAIN ANALYZE EXECUTE a(1)", .explain, "a"),
        ("CREATE TEMP TABLE t AS EXECUTE a(1)", .create, "a"),
        ("EXPLAIN CREATE TABLE t AS EXECUTE a", .explain, "a"),
        ("DEALLOCATE a", .deallocate, "a"),
        ("DEALLOCATE PREPARE a", .deallocate, "a"),
        ("DEALLOCATE prepare", .deallocate, "prepare"),
        ("DEALLOCATE ALL", .deallocateAll, nil),
        ("LISTEN A", .listen, "a"),
        ("UNLISTEN \"A\"", .unlisten, "A"),
        ("NOTIFY a", .notify, "a"),
        ("LOAD 'a/b'", .load, "a/b"),
        ("SAVEPOINT a", .savepoint, "a"),
        ("RELEASE SAVEPOINT a", .release, "a"),
        ("RELEASE savepoint", .release, "savepoint"),
        ("ROLLBACK WORK TO SAVEPOINT a", .rollbackToSavepoint, "a"),
        ("ROLLBACK TO a", .rollbackToSavepoint, "a"),
        ("ROLLBACK", .rollback, nil),
        ("ROLLBACK PREPARED 'a'", .rollbackPrepared, nil),
        ("COMMIT PREPARED 'a'", .commitPrepared, nil),
        ("PREPARE TRANSACTION 'a'", .prepareTransaction, nil),
        ("DECLARE c CURSOR FOR SELECT 1", .declare, "c"),
        ("CLOSE c", .close, "c"),
        ("SELECT 1", .other, nil),
        ("DISCARD ALL", .discardAll, nil),
        ("RESET ALL", .resetAll, nil),
    ]

    @Test(arguments: names)
    func namesOtherThings(_ text: String, _ kind: SessionStatement.Kind, _ name: ByteString?) {
        let statements = SQL.statements(text)
        #expect(statements.map(\.kind) == [kind])
        #expect(statements.map(\.name) == [name])
    }

    @Test func cutsLongNames() {
        let long = String(repeating: "a", count: 62)
        #expect(SQL.statements("LISTEN \(long)bcd")[0].name == ByteString(long + "b"))
        #expect(SQL.statements("LISTEN \(long)é")[0].name == ByteString(long))
        #expect(SQL.statements("LISTEN \"\(long)é\"")[0].name == ByteString(long))
    }

    @Test func tellsWhatIsPrepared() {
        let text = "SELECT 1; PREPARE a (int) AS SELECT set_config('a', 'b', false) ; EXECUTE a"
        let statements = SQL.statements(text)
        let bytes = Array(text.utf8)
        #expect(statements.map(\.kind) == [.other, .prepare, .execute])
        let body = statements[1].body.map { String(decoding: bytes[$0], as: UTF8.self) }
        #expect(body == "SELECT set_config('a', 'b', false)")
        #expect(statements[1].bodyEffects == .settings)
        #expect(statements[1].effects == [.settings, .sqlPrepare])
        #expect(statements[0].body == nil && statements[2].body == nil)
    }

    /// Both ways of asking agree on any text, and statements do not overlap.
    @Test(arguments: 0..<8)
    func anyTextIsClassified(_ seed: Int) {
        var random = SplitMix(seed: seed)
        for _ in 0..<2_000 {
            let text = HostileText.random(&random)
            let rules = ScanRules(standardConformingStrings: random.oneIn(2))
            let statements = SQL.statements(text, rules)
            let effects = statements.map(\.effects).reduce(SessionEffects()) { $0.union($1) }
            #expect(effects == SQL.effects(text, rules), "\(text)")
            var end = 0
            for statement in statements {
                #expect(statement.range.lowerBound >= end && !statement.range.isEmpty, "\(text)")
                end = statement.range.upperBound
            }
            #expect(end <= text.utf8.count)
        }
    }
}

extension SessionEffects {
    /// The bits, so that a failure says which differ.
    fileprivate var names: [Int] {
        (0..<64).filter { rawValue & 1 << UInt64($0) != 0 }
    }
}
