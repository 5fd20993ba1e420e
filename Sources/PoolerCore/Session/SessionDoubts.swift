// What a client may have changed of its server's session since that was last certain. A set of
// effects is collected while statements pass; names only where a statement has an effect at all.

public import PostgresWire

/// The reasons to ask a server what has become of its session.
public struct SessionDoubts: Equatable, Sendable {
    /// The effects after which the server is asked.
    public private(set) var effects: SessionEffects = []
    /// The settings that were named, in small letters.
    public private(set) var settingNames: [ByteString] = []
    /// Whether only the server's list of changed settings tells what became of them.
    public private(set) var asksForAllSettings = false
    /// The prepared statements that may have been made or ended by SQL.
    public private(set) var statementNames: Set<ByteString> = []
    /// The reported settings under which statements have been prepared by SQL, as far as that is
    /// certain.
    public private(set) var preparations: [PreparationRecord] = []
    /// The settings that SET has given values, in small letters: if one is empty, it has not been reset.
    public private(set) var assignedNames: Set<ByteString> = []
    /// Whether it is not known what the tables do that were named, or that has just been changed.
    public private(set) var awaitsSurvey = false
    /// Whether functions, triggers and the like may have been made, changed or dropped.
    public private(set) var hasNewDefinitions = false
    /// What executing the statements may do that were made by PREPARE.
    private(set) var preparedEffects: SessionEffects = []

    public init() {}

    /// Takes up what another process has collected.
    init(
        effects: SessionEffects,
        settingNames: [ByteString],
        asksForAllSettings: Bool,
        statementNames: Set<ByteString>,
        preparations: [PreparationRecord],
        assignedNames: Set<ByteString>,
        awaitsSurvey: Bool,
        hasNewDefinitions: Bool,
        preparedEffects: SessionEffects
    ) {
        self.effects = effects
        self.settingNames = settingNames
        self.asksForAllSettings = asksForAllSettings
        self.statementNames = statementNames
        self.preparations = preparations
        self.assignedNames = assignedNames
        self.awaitsSurvey = awaitsSurvey
        self.hasNewDefinitions = hasNewDefinitions
        self.preparedEffects = preparedEffects
    }

    /// No doubt.
    public var isEmpty: Bool { effects.isEmpty && !awaitsSurvey }

    /// Effects that can leave something behind in a session, or that depend on what others left.
    public static let relevantEffects: SessionEffects = [
        .settings, .localSettings, .unnamedSettings, .role, .resetAll, .opaque, .sqlPrepare,
        .sqlExecute, .sqlDeallocate, .deallocateAll, .discardAll, .discardTemp, .listen, .unlisten,
        .unlistenAll, .temporary, .drop, .holdCursor, .cursor, .closeAll, .advisoryLock,
        .advisoryUnlock, .load, .setseed, .replicationSlot, .backup, .unknownFunction,
        .sequenceValue, .preparedStatements, .notify, .listeningChannels,
    ]

    /// Effects for which one of the statements has to be looked at: it names something.
    public static let effectsWithNames: SessionEffects = [
        .settings, .localSettings, .discardAll, .sqlPrepare, .sqlExecute, .sqlDeallocate,
    ]

    /// More names than this, and the server is asked for all settings.
    private static let nameLimit = 16

    /// Of more statements it is not remembered under which settings they were prepared.
    private static let preparationLimit = 100

    /// Adds what a text may do that names nothing.
    public mutating func add(_ effects: SessionEffects) {
        self.effects.formUnion(
            effects.intersection(Self.relevantEffects).subtracting([
                .unknownFunction, .sequenceValue, .preparedStatements, .notify, .listeningChannels,
            ])
        )
        if !effects.isDisjoint(with: [.opaque, .resetAll, .discardAll, .unnamedSettings]) {
            asksForAllSettings = true
        }
    }

    /// The server has to be asked what of its database can change a session unseen.
    ///
    /// - Parameter isChanged: whether that has just been changed.
    public mutating func awaitSurvey(isChanged: Bool) {
        awaitsSurvey = true
        if isChanged { hasNewDefinitions = true }
    }

    /// It has been asked.
    ///
    /// - Parameter foundAny: whether the statements may have changed the session in this way.
    public mutating func surveyed(foundAny: Bool) {
        awaitsSurvey = false
        hasNewDefinitions = false
        if foundAny { add(.opaque) }
    }

    /// Adds what one statement of a text may do.
    ///
    /// - Parameters:
    ///   - text: the whole text, in which the statement stands.
    ///   - reported: the settings, as the server has reported them, under which it will be executed;
    ///     nil if that is not certain.
    public mutating func add(
        _ statement: SessionStatement,
        of text: RawSpan,
        under reported: [SettingRecord]? = nil
    ) {
        add(statement.effects.subtracting(Self.passingEffects(of: statement)))
        if statement.kind == .prepare { preparedEffects.formUnion(statement.bodyEffects) }
        if statement.kind == .prepare || statement.kind == .deallocate, let name = statement.name {
            statementNames.insert(name)
            preparations.removeAll { $0.name == name }
            if statement.kind == .prepare, let reported,
                preparations.count < Self.preparationLimit
            {
                preparations.append(PreparationRecord(name: name, settings: reported))
            }
        }
        if statement.effects.contains(.sqlExecute) { add(preparedEffects) }
        if Self.isReset(statement, of: text) {
            asksForAllSettings = true
            let isOfAll = statement.settings.isEmpty
            assignedNames = isOfAll ? [] : assignedNames.subtracting(statement.settings)
        } else if statement.kind == .set {
            assignedNames.formUnion(statement.settings)
        }
        add(names: statement.settings)
    }

    /// Adds settings that may have been changed.
    public mutating func add(names: [ByteString]) {
        for name in names where !Self.isOfTransaction(name) && !settingNames.contains(name) {
            settingNames.append(name)
            if settingNames.count > Self.nameLimit { asksForAllSettings = true }
        }
    }

    /// The server has said how things are.
    ///
    /// - Parameter keepsStatements: whether what PREPARE has made stays there without being known.
    public mutating func settle(keepsStatements: Bool) {
        let prepared = keepsStatements ? preparedEffects : []
        self = SessionDoubts()
        preparedEffects = prepared
    }

    /// The session is another one now.
    public mutating func forget() {
        self = SessionDoubts()
    }

    /// Whether a statement gives settings what the session began with: those that it names, or all.
    public static func isReset(_ statement: SessionStatement, of text: RawSpan) -> Bool {
        switch statement.kind {
        case .reset, .resetAll, .discardAll: true
        case .set:
            ends(text.extracting(statement.range), with: "default")
                || statement.settings == ["timezone"]
                    && ends(text.extracting(statement.range), with: "local")
        default: false
        }
    }

    /// `SET x TO DEFAULT` is a RESET, and so is `SET TIME ZONE LOCAL`.
    private static func ends(_ statement: RawSpan, with word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard statement.byteCount > count else { return false }
        let end = statement.extracting(statement.byteCount - count..<statement.byteCount)
        return ByteString(copying: end).lowercasedASCII.isText(word)
    }

    /// The effects on settings of which nothing is left when the transaction ends.
    private static func passingEffects(of statement: SessionStatement) -> SessionEffects {
        guard !statement.settings.isEmpty, !statement.effects.contains(.unnamedSettings) else {
            return []
        }
        if statement.settings.allSatisfy(isOfTransaction) { return [.settings, .localSettings] }
        // The name of a custom setting stays known.
        let isCustom = statement.settings.contains { $0.bytes.contains(UInt8(ascii: ".")) }
        return isCustom ? [] : .localSettings
    }

    /// Settings that end with the transaction even by SET.
    private static func isOfTransaction(_ name: ByteString) -> Bool {
        transactionSettings.contains(name)
    }

    private static let transactionSettings: Set<ByteString> = [
        "transaction_isolation", "transaction_read_only", "transaction_deferrable",
    ]
}
