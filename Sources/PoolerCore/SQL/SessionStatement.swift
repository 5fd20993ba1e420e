// One statement of a text, with the names that tracking needs. Made only for texts that have an
// effect.

public import PostgresWire

/// What a statement is and what it names.
public struct SessionStatement: Equatable, Sendable {
    /// What a statement is, as far as sessions are concerned.
    public enum Kind: Equatable, Sendable {
        /// Everything that is not listed below.
        case other
        /// SET, also TIME ZONE, NAMES, ROLE, SESSION AUTHORIZATION, TRANSACTION, ...
        case set
        /// RESET of one setting.
        case reset
        case resetAll
        case show
        case prepare
        case execute
        case deallocate
        case deallocateAll
        case discardAll
        case discardPlans
        case discardSequences
        case discardTemp
        case listen
        case unlisten
        case unlistenAll
        case notify
        case load
        /// BEGIN or START TRANSACTION.
        case begin
        /// COMMIT or END.
        case commit
        /// ROLLBACK or ABORT.
        case rollback
        case savepoint
        case release
        case rollbackToSavepoint
        case prepareTransaction
        case commitPrepared
        case rollbackPrepared
        case declare
        case fetch
        case move
        case close
        case closeAll
        case call
        /// DO.
        case doBlock
        case copy
        case create
        case alter
        case drop
        case explain
    }

    public var kind: Kind
    public var effects: SessionEffects
    /// Where the statement stands in the text, without blanks and semicolons around it.
    public var range: Range<Int>
    /// The settings that it names, in small letters: of SET, RESET and SHOW, and literal first
    /// arguments of `set_config`.
    ///
    /// With `unnamedSettings` there may be others.
    public var settings: [ByteString] = []
    /// Of a prepared statement, channel, savepoint or cursor, or the file of LOAD.
    ///
    /// The prepared statement is the one that EXECUTE names, also after EXPLAIN and CREATE TABLE
    /// AS. Nil when there is none, or when it is written with U&.
    public var name: ByteString?
    /// What PREPARE prepares.
    public var body: Range<Int>?
    /// What that does each time when it is executed.
    public var bodyEffects: SessionEffects = []

    public init(kind: Kind, effects: SessionEffects, range: Range<Int>) {
        self.kind = kind
        self.effects = effects
        self.range = range
    }
}
