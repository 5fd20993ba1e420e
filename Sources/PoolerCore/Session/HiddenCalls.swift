// What of a database can change a session without being named by a statement: triggers, rules,
// views, defaults, policies, operators, casts that call functions which do. A database is asked which
// there are, once and then rarely, so that only those statements have to be asked about that name
// such a table or view; in most databases there is none, and nobody is asked for anything.
//
// Source: PostgreSQL documentation, chapter 53 "System Catalogs".

public import PostgresWire

/// The tables, views and functions of a database that may change the session.
public struct HiddenCalls: Equatable, Sendable {
    /// Names of one kind, without schemas, by their length in bytes.
    private struct Names: Equatable, Sendable {
        private var byLength = [[ByteString]](repeating: [], count: longestName + 1)
        private(set) var count = 0

        mutating func insert(_ name: ByteString) {
            guard name.count <= longestName else { return }
            byLength[name.count].append(name)
            count += 1
        }

        func contains(_ word: RawSpan, folded: Bool) -> Bool {
            // PostgreSQL cuts longer ones.
            if word.byteCount > longestName { return true }
            for name in byLength[word.byteCount] where isSame(name, word, folded: folded) {
                return true
            }
            return false
        }
    }

    /// Tables and views with which functions are called that may change the session.
    private var relations = Names()
    /// The functions that may: those that have it in their source, and those that call them.
    private var functions = Names()
    /// Whether any statement may do so: by an operator, a cast, a domain or an event trigger.
    public private(set) var isAnywhere = false
    /// The custom settings that these functions name, in small letters.
    public private(set) var settingNames: [ByteString] = []

    /// More tables than this, and each statement is suspected.
    private static let relationLimit = 100

    /// There are none.
    public init() {}

    /// What a database has of which nobody knows anything.
    public static var unknown: HiddenCalls {
        var calls = HiddenCalls()
        calls.isAnywhere = true
        return calls
    }

    /// Whether nothing is called that statements do not name.
    public var isEmpty: Bool { relations.count == 0 && !isAnywhere }

    /// Whether there is anything that may change the session.
    public var hasAny: Bool { !isEmpty || functions.count > 0 }

    /// Reads what a server answered to `question`: all messages up to ReadyForQuery.
    ///
    /// - Returns: nil when the answer is not one to this question.
    public init?(answer bytes: RawSpan) {
        guard let rows = try? DataRow.rows(in: bytes) else { return nil }
        for row in rows {
            guard row.columns.count == 2, let kind = row.columns[0], let name = row.columns[1]
            else { return nil }
            switch kind.text {
            case "r": relations.insert(name)
            case "f": functions.insert(name)
            case "a": isAnywhere = true
            case "s": settingNames.append(name.lowercasedASCII)
            default: return nil
            }
        }
        if relations.count > Self.relationLimit || rows.count >= answerLimit { isAnywhere = true }
    }

    /// Whether a text may name one of the tables, views and functions; does not allocate.
    public func areNamed(in text: RawSpan, rules: ScanRules) -> Bool {
        if relations.count + functions.count == 0 { return false }
        var lexer = SQLLexer(text, rules: rules)
        while true {
            let token = lexer.next()
            switch token.kind {
            case .end: return false
            case .word: if isNamed(text.extracting(token.range), folded: true) { return true }
            case .quotedName:
                let inner = token.start &+ 1..<max(token.start &+ 1, token.end &- 1)
                if isNamed(text.extracting(inner), folded: false) { return true }
            case .unicodeName: return true
            default: continue
            }
        }
    }

    private func isNamed(_ word: RawSpan, folded: Bool) -> Bool {
        relations.contains(word, folded: folded) || functions.contains(word, folded: folded)
    }

    // MARK: The question

    /// The text of the Query.
    ///
    /// It begins with the functions whose source says that they may change the session, or run a
    /// text that they put together, and goes on to what calls them, however many steps away:
    /// functions that name them, triggers, rules, views, defaults, policies, constraints, indexes;
    /// from tables to views, to those whose foreign keys reach them, and to what they are partitions
    /// of. A kind `r` is a table or view, `f` a function, `a` anything else that calls, `s`
    /// a custom setting. The
    /// literals do not depend on standard_conforming_strings.
    public static let question = ByteString(questionText)
}

private func isSame(_ name: ByteString, _ word: RawSpan, folded: Bool) -> Bool {
    let bytes = name.bytes
    for index in bytes.indices {
        var byte = word.byte(at: index)
        if folded, (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) { byte |= 0x20 }
        if byte != bytes[index] { return false }
    }
    return true
}

/// The longest name of PostgreSQL's, in bytes.
private let longestName = 63
/// As many rows, and there may be more.
private let answerLimit = 2_000

private let questionText = #"""
    SET LOCAL search_path TO pg_catalog;
    SET LOCAL statement_timeout TO 10000;
    WITH RECURSIVE code AS (
     SELECT p.oid, p.proname, regexp_replace(lower(CASE WHEN p.prosrc = '' THEN
       pg_get_functiondef(p.oid) ELSE p.prosrc END), E'--[^\\n]*|/\\*.*?\\*/', ' ', 'g') AS src
     FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
     WHERE l.lanname NOT IN ('internal','c') AND p.pronamespace NOT IN (SELECT oid FROM
       pg_namespace WHERE nspname IN ('pg_catalog','information_schema'))
    ), calls AS (
     SELECT ':funcid (' || string_agg(oid::text, '|') || ') ' AS pattern FROM pg_proc
     WHERE pronamespace = 'pg_catalog'::regnamespace AND proname IN
       ('set_config','setseed','pg_advisory_lock','pg_advisory_lock_shared',
        'pg_try_advisory_lock','pg_try_advisory_lock_shared')
    ), direct AS (
     SELECT ev_class AS oid, pg_get_ruledef(r.oid) AS src FROM pg_rewrite r, calls WHERE
       ev_class >= 16384 AND ev_action::text ~ pattern
     UNION ALL SELECT adrelid, pg_get_expr(adbin, adrelid) FROM pg_attrdef, calls WHERE
       adbin::text ~ pattern
     UNION ALL SELECT polrelid, concat(pg_get_expr(polqual, polrelid),
       pg_get_expr(polwithcheck, polrelid)) FROM pg_policy, calls WHERE
       concat(polqual::text, polwithcheck::text) ~ pattern
    ), reach(kind, oid, name) AS (
     SELECT 'f', c.oid, c.proname::text FROM code c, calls
     WHERE c.src ~
       (E'set_config|advisory_lock|setseed|\\m(execute|temp|temporary|pg_temp|listen|unlisten|'
        || E'hold|dblink\\w*)\\M|(^|;|\\m(?:begin|then|else|loop|atomic)\\M)\\s*'
        || E'(set|reset|load|prepare|deallocate|discard)\\M|' || pattern)
     UNION SELECT 'r', d.oid, r.relname::text FROM direct d JOIN pg_class r ON r.oid = d.oid
     UNION SELECT n.* FROM reach, LATERAL (
      SELECT 'f', c.oid, c.proname::text FROM code c
      WHERE kind <> 'a' AND strpos(c.src, lower(name)) > 0 AND c.src ~ (E'\\m' ||
        regexp_replace(lower(name), E'(\\W)', E'\\\\\\1', 'g') || E'\\M')
      UNION ALL SELECT CASE WHEN r.oid IS NULL THEN 'a' ELSE 'r' END, coalesce(r.oid,
        d.objid), coalesce(r.relname::text, '')
      FROM pg_depend d LEFT JOIN pg_class r ON r.oid = CASE d.classid
        WHEN 'pg_trigger'::regclass THEN (SELECT tgrelid FROM pg_trigger t WHERE t.oid =
          d.objid)
        WHEN 'pg_rewrite'::regclass THEN (SELECT ev_class FROM pg_rewrite t WHERE t.oid =
          d.objid)
        WHEN 'pg_attrdef'::regclass THEN (SELECT adrelid FROM pg_attrdef t WHERE t.oid =
          d.objid)
        WHEN 'pg_policy'::regclass THEN (SELECT polrelid FROM pg_policy t WHERE t.oid =
          d.objid)
        WHEN 'pg_constraint'::regclass THEN (SELECT conrelid FROM pg_constraint t WHERE
          t.oid = d.objid)
        WHEN 'pg_class'::regclass THEN (SELECT indrelid FROM pg_index t WHERE t.indexrelid =
          d.objid) END
      WHERE kind = 'f' AND d.refclassid = 'pg_proc'::regclass AND d.refobjid = reach.oid
        AND d.classid NOT IN ('pg_proc'::regclass, 'pg_extension'::regclass)
      UNION ALL SELECT 'r', r.oid, r.relname::text FROM pg_class r
      WHERE kind = 'r' AND r.oid IN (
       SELECT w.ev_class FROM pg_depend d JOIN pg_rewrite w ON w.oid = d.objid WHERE
         d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND
         d.refobjid = reach.oid
       UNION ALL SELECT confrelid FROM pg_constraint WHERE conrelid = reach.oid AND contype
         = 'f'
       UNION ALL SELECT inhparent FROM pg_inherits WHERE inhrelid = reach.oid)
     ) n(kind, oid, name)
    )
    SELECT DISTINCT kind, name FROM reach
    UNION ALL SELECT DISTINCT 's', coalesce(m[1], m[2]) FROM (
      SELECT src FROM code WHERE oid IN (SELECT oid FROM reach WHERE kind = 'f')
      UNION ALL SELECT src FROM direct) s(src),
     LATERAL regexp_matches(src,
       E'''([a-z_]\\w*(?:\\.[a-z_]\\w*)+)''|'
        || E'\\m(?:set|local|session)\\s+([a-z_]\\w*(?:\\.[a-z_]\\w*)+)',
       'g') m
    LIMIT 2000;
    """#
