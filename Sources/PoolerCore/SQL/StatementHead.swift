// Reads the first words of a statement: whether it is SET, LISTEN, DISCARD and the like, and what it
// names. The grammar is that of PostgreSQL's reference pages for these commands. Many of their words
// are not reserved, so that `SET local.tenant = 1` sets a custom setting for the session: a word is
// taken as part of the syntax only when what follows it leaves no other reading.

import PostgresWire

/// What the first words of a statement say.
struct StatementHead {
    /// Which settings a statement names.
    enum Setting {
        case none
        /// A name in the text, of several parts perhaps.
        case named(Range<Int>)
        /// One that has syntax of its own.
        case fixed(StaticString)
        /// What SET TRANSACTION sets, and with the prefix what SET SESSION CHARACTERISTICS does.
        case transactionModes(isDefault: Bool)
    }

    private(set) var kind = SessionStatement.Kind.other
    private(set) var effects: SessionEffects = []
    private(set) var setting = Setting.none
    /// The prepared statement, channel, savepoint, cursor or file.
    private(set) var name = SQLToken.none
    /// What PREPARE prepares.
    private(set) var body: Range<Int>?

    /// Whether a statement that begins with this token has to be read at all.
    @inline(__always)
    static func mayMatter(_ first: SQLToken) -> Bool {
        guard first.kind == .word else { return false }
        switch first.key & 0xFF {
        case UInt64(UInt8(ascii: "i")), UInt64(UInt8(ascii: "v")), UInt64(UInt8(ascii: "w")):
            return false
        default:
            return !first.isWord("select") && !first.isWord("update") && !first.isWord("delete")
        }
    }

    /// Reads the statement at `range`.
    init(_ text: RawSpan, _ rules: ScanRules, _ range: Range<Int>) {
        var reader = Reader(text, rules, range)
        read(&reader, isExplained: false)
    }

    /// The names of the settings, in small letters.
    func settingNames(_ text: RawSpan, _ rules: ScanRules) -> [ByteString] {
        switch setting {
        case .none:
            return []
        case .named(let range):
            var bytes: [UInt8] = []
            var lexer = SQLLexer(
                text.extracting(0..<range.upperBound),
                rules: rules,
                offset: range.lowerBound
            )
            var token = lexer.next()
            while token.kind != .end {
                if token.kind == .dot {
                    bytes.append(UInt8(ascii: "."))
                } else if let part = SQLName.name(text, token, rules.encoding) {
                    bytes += part.lowercasedASCII.bytes
                } else {
                    return []
                }
                token = lexer.next()
            }
            return [ByteString(bytes)]
        case .fixed(let name):
            return [ByteString("\(name)")]
        case .transactionModes(let isDefault):
            let prefix = isDefault ? "default_" : ""
            return ["transaction_isolation", "transaction_read_only", "transaction_deferrable"].map
            {
                ByteString(prefix + $0)
            }
        }
    }
}

// MARK: - Commands

extension StatementHead {
    private mutating func read(_ reader: inout Reader, isExplained: Bool) {
        let first = reader.token
        guard first.kind == .word else { return }
        reader.advance()
        switch first.byteCount {
        case 2:
            if first.isWord("do") { become(.doBlock, .opaque) }
        case 3:
            if first.isWord("set") { readSet(&reader) }
            if first.isWord("end") { become(.commit, .transactionControl) }
        case 4:
            if first.isWord("call") { become(.call, .opaque) }
            if first.isWord("copy") { become(.copy, .copy) }
            if first.isWord("drop") { readDefinition(&reader, .drop, .drop) }
            if first.isWord("load") { become(.load, .load, reader.token) }
            if first.isWord("move") { become(.move, .cursor) }
            if first.isWord("show") { readShow(&reader) }
        case 5:
            if first.isWord("abort") { become(.rollback, .transactionControl) }
            if first.isWord("alter") { readDefinition(&reader, .alter, []) }
            if first.isWord("begin") { become(.begin, .transactionControl) }
            if first.isWord("close") { readClose(&reader) }
            if first.isWord("fetch") { become(.fetch, .cursor) }
            if first.isWord("reset") { readReset(&reader) }
            if first.isWord("start") { become(.begin, .transactionControl) }
        case 6:
            if first.isWord("commit") { readCommit(&reader) }
            if first.isWord("create") { readDefinition(&reader, .create, .creation) }
            if first.isWord("listen") { become(.listen, .listen, reader.token) }
            if first.isWord("notify") { become(.notify, .notify, reader.token) }
        case 7:
            if first.isWord("declare") { readDeclare(&reader) }
            if first.isWord("discard") { readDiscard(&reader) }
            if first.isWord("execute") { become(.execute, .sqlExecute, reader.token) }
            if first.isWord("explain"), !isExplained { readExplain(&reader) }
            if first.isWord("prepare") { readPrepare(&reader) }
            if first.isWord("release") { readRelease(&reader) }
        case 8:
            if first.isWord("rollback") { readRollback(&reader) }
            if first.isWord("unlisten") { readUnlisten(&reader) }
        case 9:
            if reader.isText(first, "savepoint") {
                become(.savepoint, .transactionControl, reader.token)
            }
        case 10:
            if reader.isText(first, "deallocate") { readDeallocate(&reader) }
        default:
            break
        }
    }

    private mutating func become(
        _ kind: SessionStatement.Kind,
        _ effects: SessionEffects,
        _ name: SQLToken = .none
    ) {
        self.kind = kind
        self.effects.formUnion(effects)
        if name.kind != .end { self.name = name }
    }

    // MARK: Settings

    /// The rest of SET [SESSION | LOCAL].
    private mutating func readSet(_ reader: inout Reader) {
        var isLocal = false
        if reader.token.isWord("local"), !reader.nextEndsName {
            isLocal = true
            reader.advance()
        } else if reader.token.isWord("session"), !reader.nextEndsName,
            !reader.next.isText("authorization", reader),
            !reader.next.isText("characteristics", reader)
        {
            reader.advance()
        }
        if reader.isText(reader.token, "constraints"), !reader.nextEndsName {
            return become(.other, [])
        }
        readSettingName(&reader)
        switch setting {
        case .transactionModes(isDefault: false): isLocal = true
        default: break
        }
        become(.set, isLocal ? .localSettings : .settings)
        if !isLocal, isRole(reader) { effects.insert(.role) }
    }

    /// The rest of RESET, which has syntax of its own for a few settings.
    private mutating func readReset(_ reader: inout Reader) {
        if reader.token.isWord("all"), reader.next.kind != .dot {
            return become(.resetAll, [.resetAll, .settings])
        }
        readSettingName(&reader)
        switch setting {
        case .transactionModes: become(.reset, .localSettings)
        default: become(.reset, .settings)
        }
        if isRole(reader) { effects.insert(.role) }
    }

    private mutating func readShow(_ reader: inout Reader) {
        become(.show, .show)
        if reader.token.isWord("all"), reader.next.kind != .dot { return }
        readSettingName(&reader)
    }

    /// The name of a setting, or what stands for one.
    private mutating func readSettingName(_ reader: inout Reader) {
        let token = reader.token
        let next = reader.next
        if token.isWord("names"), next.kind == .end {
            setting = .fixed("client_encoding")
            return
        }
        guard token.kind == .word, !reader.nextEndsName else { return readPlainName(&reader) }
        if token.isWord("time"), next.isWord("zone") {
            setting = .fixed("timezone")
        } else if token.isWord("names") {
            setting = .fixed("client_encoding")
        } else if token.isWord("schema") {
            setting = .fixed("search_path")
        } else if token.isWord("role") {
            setting = .fixed("role")
        } else if token.isWord("xml"), next.isWord("option") {
            setting = .fixed("xmloption")
        } else if token.isWord("session"), next.isText("authorization", reader) {
            setting = .fixed("session_authorization")
        } else if token.isWord("session"), next.isText("characteristics", reader) {
            reader.advance()
            guard reader.next.isWord("as") else { return readPlainName(&reader) }
            setting = .transactionModes(isDefault: true)
        } else if token.isText("transaction", reader) {
            setting = .transactionModes(isDefault: false)
        } else {
            readPlainName(&reader)
        }
    }

    private mutating func readPlainName(_ reader: inout Reader) {
        let start = reader.token.start
        var end = start
        var isKnown = true
        while reader.token.isName {
            if reader.token.kind == .unicodeName { isKnown = false }
            end = reader.token.end
            reader.advance()
            guard reader.token.kind == .dot else { break }
            reader.advance()
        }
        if isKnown, end > start {
            setting = .named(start..<end)
        } else {
            effects.insert(.unnamedSettings)
        }
    }

    private func isRole(_ reader: borrowing Reader) -> Bool {
        switch setting {
        case .named(let range):
            reader.isSetting(range, "role") || reader.isSetting(range, "session_authorization")
        case .fixed(let name):
            name.utf8CodeUnitCount == 4 || name.utf8CodeUnitCount == 21
        case .none: true
        case .transactionModes: false
        }
    }

    // MARK: Prepared statements

    /// PREPARE name [(types)] AS statement, or PREPARE TRANSACTION 'id'.
    private mutating func readPrepare(_ reader: inout Reader) {
        if reader.token.isText("transaction", reader), reader.next.isString {
            return become(.prepareTransaction, .transactionControl)
        }
        become(.prepare, .sqlPrepare, reader.token)
        reader.advance()
        var depth = 0
        while reader.token.kind != .end {
            switch reader.token.kind {
            case .openParenthesis: depth &+= 1
            case .closeParenthesis: depth &-= 1
            default:
                if depth == 0, reader.token.isWord("as") {
                    reader.advance()
                    body = reader.token.start..<reader.end
                    return
                }
            }
            reader.advance()
        }
    }

    /// The rest of DEALLOCATE [PREPARE] { name | ALL }.
    private mutating func readDeallocate(_ reader: inout Reader) {
        if reader.token.isWord("prepare"), reader.next.kind != .end { reader.advance() }
        if reader.token.isWord("all") {
            become(.deallocateAll, .deallocateAll)
        } else {
            become(.deallocate, .sqlDeallocate, reader.token)
        }
    }

    /// EXPLAIN [ANALYZE] [VERBOSE] statement, or EXPLAIN (options) statement.
    private mutating func readExplain(_ reader: inout Reader) {
        if reader.token.kind == .openParenthesis {
            while reader.token.kind != .end, reader.token.kind != .closeParenthesis {
                reader.advance()
            }
            reader.advance()
        } else {
            while reader.token.isWord("analyze") || reader.token.isWord("analyse")
                || reader.token.isWord("verbose")
            {
                reader.advance()
            }
        }
        read(&reader, isExplained: true)
        kind = .explain
    }

    // MARK: Cursors

    /// The rest of DECLARE name [options] CURSOR [{ WITH | WITHOUT } HOLD] FOR query.
    private mutating func readDeclare(_ reader: inout Reader) {
        become(.declare, .cursor, reader.token)
        reader.advance()
        while reader.token.kind != .end, !reader.token.isWord("for") {
            if reader.token.isWord("with"), reader.next.isWord("hold") {
                effects.insert(.holdCursor)
            }
            reader.advance()
        }
    }

    private mutating func readClose(_ reader: inout Reader) {
        if reader.token.isWord("all") {
            become(.closeAll, [.closeAll, .cursor])
        } else {
            become(.close, .cursor, reader.token)
        }
    }

    // MARK: Transactions

    private mutating func readCommit(_ reader: inout Reader) {
        become(
            reader.token.isWord("prepared") ? .commitPrepared : .commit,
            .transactionControl
        )
    }

    /// The rest of RELEASE [SAVEPOINT] name.
    private mutating func readRelease(_ reader: inout Reader) {
        become(.release, .transactionControl, savepointName(&reader))
    }

    /// ROLLBACK [WORK | TRANSACTION] [TO [SAVEPOINT] name], or ROLLBACK PREPARED 'id'.
    private mutating func readRollback(_ reader: inout Reader) {
        if reader.token.isWord("prepared") {
            return become(.rollbackPrepared, .transactionControl)
        }
        if reader.token.isWord("work") || reader.token.isText("transaction", reader) {
            reader.advance()
        }
        if reader.token.isWord("to") {
            reader.advance()
            become(.rollbackToSavepoint, .transactionControl, savepointName(&reader))
        } else {
            become(.rollback, .transactionControl)
        }
    }

    private func savepointName(_ reader: inout Reader) -> SQLToken {
        if reader.token.isText("savepoint", reader), reader.next.isName { reader.advance() }
        return reader.token
    }

    // MARK: The rest

    private mutating func readUnlisten(_ reader: inout Reader) {
        if reader.token.kind == .operator {
            become(.unlistenAll, .unlistenAll)
        } else {
            become(.unlisten, .unlisten, reader.token)
        }
    }

    private mutating func readDiscard(_ reader: inout Reader) {
        let what = reader.token
        if what.isWord("all") { become(.discardAll, .discardAll) }
        if what.isWord("plans") { become(.discardPlans, .discardPlans) }
        if what.isText("sequences", reader) { become(.discardSequences, .discardSequences) }
        if what.isWord("temp") || what.isText("temporary", reader) {
            become(.discardTemp, .discardTemp)
        }
    }

    /// CREATE, ALTER and DROP: the words before the kind of object, and that kind.
    private mutating func readDefinition(
        _ reader: inout Reader,
        _ kind: SessionStatement.Kind,
        _ effects: SessionEffects
    ) {
        become(kind, effects)
        // Not more words than CREATE OR REPLACE LOCAL TEMPORARY RECURSIVE has in front.
        for _ in 0..<6 where reader.token.kind == .word {
            let word = reader.token
            if word.isWord("temp") || word.isText("temporary", reader) {
                self.effects.insert(.temporary)
            } else if kind == .alter, word.isWord("table") {
                // It may get a default, or a policy.
                self.effects.insert(.definition)
            } else if Self.isDefinition(word, reader) {
                self.effects.insert(.definition)
                // Its script can run anything.
                if word.isText("extension", reader), kind != .drop { self.effects.insert(.opaque) }
            }
            reader.advance()
        }
    }

    private static func isDefinition(_ word: SQLToken, _ reader: borrowing Reader) -> Bool {
        switch word.byteCount {
        case 4:
            word.isWord("role") || word.isWord("user") || word.isWord("rule") || word.isWord("cast")
                || word.isWord("type")
        case 5: word.isWord("group") || word.isWord("event") || word.isWord("owned")
        case 6: word.isWord("policy") || word.isWord("domain") || word.isWord("system")
        case 7: word.isWord("routine") || word.isWord("trigger")
        case 8:
            word.isWord("function") || word.isWord("database") || word.isWord("operator")
                || word.isWord("language")
        case 9:
            word.isText("procedure", reader) || word.isText("aggregate", reader)
                || word.isText("extension", reader) || word.isText("transform", reader)
        default: false
        }
    }
}

/// The tokens of one statement, with one to look ahead.
private struct Reader: ~Escapable {
    private let text: RawSpan
    private var lexer: SQLLexer
    /// Where the statement ends.
    let end: Int
    private(set) var token: SQLToken
    private(set) var next: SQLToken

    @_lifetime(copy text)
    init(_ text: RawSpan, _ rules: ScanRules, _ range: Range<Int>) {
        self.text = text
        self.end = range.upperBound
        var lexer = SQLLexer(
            text.extracting(0..<range.upperBound),
            rules: rules,
            offset: range.lowerBound
        )
        self.token = lexer.next()
        self.next = lexer.next()
        self.lexer = lexer
    }

    @_lifetime(self: copy self)
    mutating func advance() {
        token = next
        next = lexer.next()
    }

    /// Whether the token is a whole name of a setting, or its beginning, because of what follows.
    var nextEndsName: Bool {
        switch next.kind {
        case .dot, .end: true
        case .operator: next.byteCount == 1 && text.byte(at: next.start) == UInt8(ascii: "=")
        case .word: next.isWord("to") || next.isWord("from")
        default: false
        }
    }

    func isText(_ token: SQLToken, _ word: StaticString) -> Bool {
        token.kind == .word && text.hasText(at: token.range, word, folded: true)
    }

    /// Whether the name at `range`, quoted or not, is that of a setting.
    func isSetting(_ range: Range<Int>, _ name: StaticString) -> Bool {
        if text.byte(at: range.lowerBound) == UInt8(ascii: "\""), range.count >= 2 {
            let inner = range.lowerBound &+ 1..<range.upperBound &- 1
            return text.hasText(at: inner, name, folded: true)
        }
        return text.hasText(at: range, name, folded: true)
    }
}

extension SQLToken {
    fileprivate func isText(_ word: StaticString, _ reader: borrowing Reader) -> Bool {
        reader.isText(self, word)
    }

    fileprivate var isString: Bool {
        kind == .string || kind == .otherString || kind == .dollarString
    }
}
