// The kinds of statements that session scripts are made of, and which of them the tests through the
// pooler use today.

/// A family of statements that can be switched on by itself.
enum SessionFamily: String, CaseIterable, Sendable, Comparable, CustomStringConvertible {
    /// Settings that the server reports by ParameterStatus.
    case reportedSettings
    /// SET and RESET of settings that it does not report.
    case otherSettings
    /// Settings with a dot in their name; never set and reset to '' are taken for the same.
    case customSettings
    /// The same, and NULL (never touched by this session) is told from ''.
    case absentSettings
    /// set_config in select lists, in WHERE, over several rows.
    case setConfig
    /// Settings that functions, DO blocks, triggers and SET clauses change.
    case settingsInFunctions
    /// SET ROLE, SET SESSION AUTHORIZATION.
    case role
    /// RESET, RESET ALL, DISCARD.
    case resetAndDiscard
    /// Blocks, savepoints, implicit transactions, errors, failed commits, pipelines.
    case transactions
    /// What ends with the transaction: SET LOCAL, SET TRANSACTION, SET CONSTRAINTS.
    case localSettings
    /// Parse, Bind, Describe, Close with names and without.
    case protocolStatements
    /// PREPARE, EXECUTE, DEALLOCATE.
    case sqlStatements
    /// Names given by Parse used in EXECUTE and DEALLOCATE, and the other way round.
    case mixedStatements
    /// Tables, views, sequences and functions in pg_temp.
    case temporaryObjects
    /// DECLARE with hold and without.
    case cursors
    /// Advisory locks of all forms.
    case advisoryLocks
    /// LISTEN, UNLISTEN, NOTIFY.
    case notifications
    /// What pg_listening_channels() says of them.
    case listeningChannels
    /// nextval, setval, currval, lastval.
    case sequences
    /// Parameters and `options` of the client's startup message.
    case startup
    /// Looking at the session after a step.
    case probes

    static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    var description: String { rawValue }

    static let all = Set(allCases)

    /// Families whose scripts do not yet see through the pooler what they see on a private session.
    ///
    /// Take one out, and the tests use it: by itself, and together with all others that are in use.
    static let notYet: Set<SessionFamily> = []

    static var inUse: Set<SessionFamily> { all.subtracting(notYet) }

    /// What the scripts of this family are made of: all have transactions and probes.
    var scriptFamilies: Set<SessionFamily> { [self, .transactions, .probes] }
}
