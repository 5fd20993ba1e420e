// What a text may change in its session, or needs of it. When in doubt an effect is reported: one
// too many costs a question to the server, one too few would let a session's state leak.

/// What the statements of a text may do to a session.
public struct SessionEffects: OptionSet, Hashable, BitwiseCopyable, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    private init(bit: UInt64) {
        self.init(rawValue: 1 << bit)
    }

    /// Changes settings until the session's end: SET, RESET, SET SESSION CHARACTERISTICS,
    /// `set_config` whose third argument is not the word `true`, UPDATE of `pg_settings`.
    public static let settings = SessionEffects(bit: 0)
    /// Changes settings until the transaction's end: SET LOCAL, SET TRANSACTION, or `set_config`
    /// with `true` behind.
    ///
    /// A custom name is known to the server from then on.
    public static let localSettings = SessionEffects(bit: 1)
    /// May change the role or the session authorization until the session's end; with `settings`.
    public static let role = SessionEffects(bit: 2)
    /// RESET ALL; with `settings`.
    public static let resetAll = SessionEffects(bit: 3)
    /// Runs code that cannot be seen: DO, CALL, an extension's script.
    public static let opaque = SessionEffects(bit: 4)
    /// May call a function that is not PostgreSQL's own, or one that runs SQL that it is given.
    public static let unknownFunction = SessionEffects(bit: 5)
    /// PREPARE.
    public static let sqlPrepare = SessionEffects(bit: 6)
    /// EXECUTE, also after EXPLAIN and in CREATE TABLE AS EXECUTE.
    public static let sqlExecute = SessionEffects(bit: 7)
    /// DEALLOCATE of one name.
    public static let sqlDeallocate = SessionEffects(bit: 8)
    /// DEALLOCATE ALL.
    public static let deallocateAll = SessionEffects(bit: 9)
    /// DISCARD ALL.
    public static let discardAll = SessionEffects(bit: 10)
    /// DISCARD PLANS.
    public static let discardPlans = SessionEffects(bit: 11)
    /// DISCARD SEQUENCES.
    public static let discardSequences = SessionEffects(bit: 12)
    /// DISCARD TEMP.
    public static let discardTemp = SessionEffects(bit: 13)
    /// LISTEN.
    public static let listen = SessionEffects(bit: 14)
    /// UNLISTEN of one channel.
    public static let unlisten = SessionEffects(bit: 15)
    /// UNLISTEN *.
    public static let unlistenAll = SessionEffects(bit: 16)
    /// NOTIFY or `pg_notify`.
    public static let notify = SessionEffects(bit: 17)
    /// Asks which channels the session listens on.
    public static let listeningChannels = SessionEffects(bit: 18)
    /// Makes or names something temporary.
    public static let temporary = SessionEffects(bit: 19)
    /// Makes something that is temporary when `search_path` begins with `pg_temp`: CREATE and
    /// SELECT INTO of any kind.
    public static let creation = SessionEffects(bit: 20)
    /// DROP: may end something temporary.
    public static let drop = SessionEffects(bit: 21)
    /// CREATE, ALTER or DROP of what decides how functions work or which settings a session begins
    /// with: functions, triggers, rules, roles, databases, extensions, ...; ALTER TABLE.
    public static let definition = SessionEffects(bit: 22)
    /// DECLARE, FETCH, MOVE or CLOSE.
    public static let cursor = SessionEffects(bit: 23)
    /// DECLARE of a cursor WITH HOLD; with `cursor`.
    public static let holdCursor = SessionEffects(bit: 24)
    /// CLOSE ALL; with `cursor`.
    public static let closeAll = SessionEffects(bit: 25)
    /// Takes an advisory lock that outlives the transaction.
    public static let advisoryLock = SessionEffects(bit: 26)
    /// Gives up such locks.
    public static let advisoryUnlock = SessionEffects(bit: 27)
    /// LOAD.
    public static let load = SessionEffects(bit: 28)
    /// `setseed`.
    public static let setseed = SessionEffects(bit: 29)
    /// May keep a replication slot or origin for the session.
    public static let replicationSlot = SessionEffects(bit: 30)
    /// Begins or ends a backup, which belongs to the session.
    public static let backup = SessionEffects(bit: 31)
    /// Uses what the session knows of sequences: `nextval`, `currval`, `lastval`, `setval`.
    public static let sequenceValue = SessionEffects(bit: 32)
    /// BEGIN, COMMIT, ROLLBACK, savepoints, two-phase commit.
    public static let transactionControl = SessionEffects(bit: 33)
    /// Asks for the process id of the server connection.
    public static let backendPID = SessionEffects(bit: 34)
    /// COPY.
    public static let copy = SessionEffects(bit: 35)
    /// SHOW, for which a session that has its own value must be asked.
    public static let show = SessionEffects(bit: 36)
    /// Settings are changed whose names the text does not tell; with `settings` or `localSettings`.
    public static let unnamedSettings = SessionEffects(bit: 37)
    /// Asks which prepared statements there are.
    public static let preparedStatements = SessionEffects(bit: 38)
    /// May call functions that it does not name: names tables or views, which can have triggers and
    /// rules, casts values, or uses an operator that is not one of the most common.
    public static let unseenCalls = SessionEffects(bit: 39)

    /// Those that may change settings, if only for a moment.
    public static let changesSettings: SessionEffects = [
        .settings, .localSettings, .discardAll, .opaque, .unknownFunction, .sqlExecute,
    ]
    /// Those after which a session has no named prepared statements.
    public static let endsStatements: SessionEffects = [.deallocateAll, .discardAll]
    /// Those after which notifications may be on their way.
    public static let mayNotify: SessionEffects = [
        .notify, .opaque, .unknownFunction, .sqlExecute,
    ]
    /// Those after which a session may listen to less.
    public static let dropsChannels: SessionEffects = [.unlisten, .unlistenAll, .discardAll]
    /// Those before which a server has to listen to what its client listens to; a transaction block can
    /// have any of the others in it.
    public static let needsChannels: SessionEffects = [
        .transactionControl, .unlisten, .unlistenAll, .listeningChannels, .opaque, .discardAll,
    ]
}
