// Goes once over the tokens of a text: finds where each statement ends, and what its expressions
// call or mention. Functions can stand anywhere, so that every token counts, also in subqueries and
// in the bodies of EXPLAIN, PREPARE and COPY. What a statement's first words mean is the business of
// StatementHead.
//
// A statement ends at a semicolon that is outside of parentheses (the actions of CREATE RULE have
// some inside) and outside of a function body BEGIN ATOMIC ... END (PostgreSQL documentation, CREATE
// FUNCTION). A body's END is the one behind a semicolon or behind ATOMIC itself: any other belongs
// to a CASE or is a label.

import PostgresWire

/// Reads the statements of a text one after the other.
///
/// Nothing is allocated unless names are asked for.
struct StatementScanner: ~Escapable {
    private let text: RawSpan
    private let rules: ScanRules
    private var lexer: SQLLexer
    private let collectsNames: Bool

    /// The first token of the statement.
    private(set) var first = SQLToken.none
    /// Where the statement's last token ends.
    private(set) var end = 0
    /// What its expressions do.
    private(set) var effects: SessionEffects = []
    /// The names of settings that it gives to `set_config` as literals.
    private(set) var settingNames: [ByteString] = []
    /// The name behind AS EXECUTE.
    private(set) var executedName = SQLToken.none

    private var previous = SQLToken.none
    /// The token before the name that ended at `previous`, and before its qualifiers.
    private var beforeName = SQLToken.none
    /// The last qualifier of that name.
    private var qualifier = SQLToken.none
    /// The token before the last dot.
    private var beforeDot = SQLToken.none
    private var depth = 0
    private var isInBody = false
    private var isAfterInto = false
    private var isAfterExecute = false
    private var mentionsUpdate = false
    private var mentionsSettings = false
    private var call = SettingCall()

    @_lifetime(copy text)
    init(_ text: RawSpan, rules: ScanRules, collectsNames: Bool) {
        self.text = text
        self.rules = rules
        self.lexer = SQLLexer(text, rules: rules)
        self.collectsNames = collectsNames
    }

    /// Goes over the next statement that is not empty; false when there is none.
    @_lifetime(self: copy self)
    mutating func nextStatement() -> Bool {
        var token = lexer.next()
        while token.kind == .semicolon { token = lexer.next() }
        guard token.kind != .end else { return false }
        begin(with: token)
        while true {
            see(token)
            previous = token
            token = lexer.next()
            if token.kind == .end { break }
            if token.kind == .semicolon, depth == 0, !isInBody { break }
        }
        end = previous.end
        if call.isOpen { finishCall() }
        if mentionsUpdate, mentionsSettings {
            // A rule of the view makes it a call of set_config (section 54.24 "pg_settings").
            effects.formUnion([.settings, .role, .unnamedSettings])
        }
        return true
    }

    @_lifetime(self: copy self)
    private mutating func begin(with token: SQLToken) {
        first = token
        effects = []
        if collectsNames { settingNames = [] }
        previous = .none
        beforeName = .none
        qualifier = .none
        depth = 0
        isInBody = false
        isAfterInto = false
        isAfterExecute = false
        executedName = .none
        mentionsUpdate = false
        mentionsSettings = false
        call = SettingCall()
    }

    @inline(__always)
    @_lifetime(self: copy self)
    private mutating func see(_ token: SQLToken) {
        if call.isOpen { noteArgument(token) }
        switch token.kind {
        case .word, .quotedName, .unicodeName:
            seeName(token)
        case .openParenthesis:
            if previous.isName, previous.start != first.start { seeCall(of: previous) }
            depth &+= 1
        case .closeParenthesis:
            depth = max(0, depth &- 1)
        case .dot:
            beforeDot = previous
        case .typecast:
            effects.insert(.unseenCalls)
        case .operator where token.byteCount > 1 && !isCommon(token):
            effects.insert(.unseenCalls)
        default:
            break
        }
    }

    /// Whether an operator of several characters is one that mostly compares or joins texts.
    private func isCommon(_ token: SQLToken) -> Bool {
        guard token.byteCount == 2 else { return false }
        switch (text.byte(at: token.start), text.byte(at: token.start &+ 1)) {
        case (UInt8(ascii: "<"), UInt8(ascii: "=")), (UInt8(ascii: ">"), UInt8(ascii: "=")),
            (UInt8(ascii: "<"), UInt8(ascii: ">")), (UInt8(ascii: "!"), UInt8(ascii: "=")),
            (UInt8(ascii: "|"), UInt8(ascii: "|")), (UInt8(ascii: "-"), UInt8(ascii: ">")):
            return true
        default: return false
        }
    }

    // MARK: - Names

    @inline(__always)
    @_lifetime(self: copy self)
    private mutating func seeName(_ token: SQLToken) {
        if previous.kind != .dot {
            qualifier = .none
            beforeName = previous
        } else if beforeDot.isName {
            qualifier = beforeDot
        } else {
            qualifier = .none
            beforeName = previous
            seeSelection(of: token)
        }
        if isAfterExecute, executedName.kind == .end { executedName = token }
        switch token.kind {
        case .word: seeWord(token)
        case .quotedName:
            if isTemporarySchema(token.start &+ 1, byteCount: token.byteCount &- 2, folded: false) {
                effects.insert(.temporary)
            }
            if isPgSettings(token) { mentionsSettings = true }
            if isPreparedStatements(token.start &+ 1..<max(token.start &+ 1, token.end &- 1)) {
                effects.insert(.preparedStatements)
            }
            afterInto(token)
        default:
            effects.formUnion([.temporary, .preparedStatements])
            mentionsSettings = true
            afterInto(token)
        }
    }

    /// What follows a value and a dot: a field, or a function of the value, without parentheses
    /// behind it (section 8.16.5 "Using Composite Types in Queries").
    @inline(never)
    @_lifetime(self: copy self)
    private mutating func seeSelection(of name: SQLToken) {
        let special = SpecialFunction.effects(of: name, in: text)
        if !special.isEmpty {
            effects.formUnion(special)
        } else if !isKnown(name, isQualified: true) {
            effects.insert(.unknownFunction)
        }
    }

    /// The words that mean something wherever they stand.
    @inline(__always)
    @_lifetime(self: copy self)
    private mutating func seeWord(_ token: SQLToken) {
        if isAfterInto { afterInto(token) }
        switch token.byteCount {
        case 3 where isInBody:
            if token.isWord("end"), previous.kind == .semicolon || previous.isWord("atomic") {
                isInBody = false
            }
        case 4:
            if token.isWord("from") {
                effects.insert(.unseenCalls)
            } else if token.isWord("into") {
                effects.insert(.unseenCalls)
                if !previous.isWord("insert"), !previous.isWord("merge") { isAfterInto = true }
            } else if token.isWord("copy") || token.isWord("cast") {
                effects.insert(.unseenCalls)
            }
        case 5:
            if token.isWord("table") { effects.insert(.unseenCalls) }
        case 6:
            if token.isWord("update") {
                mentionsUpdate = true
                effects.insert(.unseenCalls)
            }
            if token.isWord("atomic"), previous.isWord("begin"), depth == 0, isRoutine {
                isInBody = true
            }
        case 7 where token.isWord("execute") && previous.isWord("as"):
            effects.insert(.sqlExecute)
            isAfterExecute = true
            return
        case 11 where isPgSettings(token):
            mentionsSettings = true
        case 21, 22:
            if isPreparedStatements(token.range) { effects.insert(.preparedStatements) }
        default:
            break
        }
        if token.byteCount >= 7, token.key & 0x00FF_FFFF_FFFF_FFFF == WordKey.of("pg_temp"),
            isTemporarySchema(token.start, byteCount: token.byteCount, folded: true)
        {
            effects.insert(.temporary)
        }
    }

    /// Whether the statement begins with CREATE [OR REPLACE] { FUNCTION | PROCEDURE }: elsewhere
    /// `begin atomic` can be a column and its label.
    private var isRoutine: Bool {
        guard first.isWord("create") else { return false }
        var lexer = SQLLexer(text, rules: rules, offset: first.end)
        var token = lexer.next()
        if token.isWord("or") {
            guard lexer.next().isWord("replace") else { return false }
            token = lexer.next()
        }
        return token.isWord("function")
            || token.kind == .word && isText(token.range, "procedure", folded: true)
    }

    @_lifetime(self: copy self)
    private mutating func afterInto(_ token: SQLToken) {
        guard isAfterInto else { return }
        isAfterInto = false
        effects.insert(.creation)
        if token.isWord("temp") || token.isWord("local") || token.isWord("global")
            || isText(token.range, "temporary", folded: true)
        {
            effects.insert(.temporary)
        }
    }

    /// The view, or the function behind it.
    @inline(never)
    private func isPreparedStatements(_ range: Range<Int>) -> Bool {
        isText(range, "pg_prepared_statements", folded: true)
            || isText(range, "pg_prepared_statement", folded: true)
    }

    private func isPgSettings(_ token: SQLToken) -> Bool {
        token.kind == .quotedName
            ? isText(token.start &+ 1..<max(token.start &+ 1, token.end &- 1), "pg_settings")
            : isText(token.range, "pg_settings", folded: true)
    }

    /// Whether these bytes are `pg_temp` or begin with `pg_temp_`.
    private func isTemporarySchema(_ start: Int, byteCount: Int, folded: Bool) -> Bool {
        guard byteCount >= 7, isText(start..<start &+ 7, "pg_temp", folded: folded) else {
            return false
        }
        return byteCount == 7 || text.byte(at: start &+ 7) == UInt8(ascii: "_")
    }

    private func isText(_ range: Range<Int>, _ name: StaticString, folded: Bool = false) -> Bool {
        text.hasText(at: range, name, folded: folded)
    }

    // MARK: - Calls

    @_lifetime(self: copy self)
    private mutating func seeCall(of name: SQLToken) {
        let isQualified = qualifier.kind != .end
        if isQualified, !isOwnSchema(of: name) {
            if !isNoCall { effects.insert(.unknownFunction) }
            return
        }
        let special = SpecialFunction.effects(of: name, in: text)
        if !special.isEmpty {
            if special.contains(.settings) {
                beginCall()
            } else {
                effects.formUnion(special)
            }
            return
        }
        guard !isKnown(name, isQualified: isQualified), !isNoCall else { return }
        effects.insert(.unknownFunction)
    }

    /// Whether `name` belongs to a schema of PostgreSQL's own.
    private func isOwnSchema(of name: SQLToken) -> Bool {
        if qualifier.kind == .word {
            return isText(qualifier.range, "pg_catalog", folded: true)
                || isText(qualifier.range, "information_schema", folded: true)
                    && name.byteCount > 4
                    && isText(name.start..<name.start &+ 4, "_pg_", folded: true)
        }
        return isText(qualifier.range, "\"pg_catalog\"")
    }

    private func isKnown(_ name: SQLToken, isQualified: Bool) -> Bool {
        switch name.kind {
        case .word:
            if !isQualified, isSyntax(name) { return true }
            return NameTable.functions.contains(text, name.range, folded: true)
                || isText(qualifier.range, "information_schema", folded: true)
        case .quotedName:
            let range = name.start &+ 1..<max(name.start &+ 1, name.end &- 1)
            return NameTable.functions.contains(text, range, folded: false)
        default:
            return false
        }
    }

    /// Whether a parenthesis behind this word belongs to the syntax and not to a call.
    private func isSyntax(_ name: SQLToken) -> Bool {
        if NameTable.syntaxKeywords.contains(text, name.range, folded: true) { return true }
        switch name.byteCount {
        case 2:
            return name.isWord("by")
                && (beforeName.isWord("order") || beforeName.isWord("group")
                    || isText(beforeName.range, "partition", folded: true))
        case 3:
            return name.isWord("set")
                || name.isWord("key")
                    && (beforeName.isWord("primary") || beforeName.isWord("foreign"))
        case 4: return name.isWord("over") && beforeName.kind == .closeParenthesis
        case 6:
            return name.isWord("filter") && beforeName.kind == .closeParenthesis
                || name.isWord("insert") && beforeName.isWord("then")
        case 8: return name.isWord("conflict") && beforeName.isWord("on")
        case 12:
            return isText(name.range, "materialized", folded: true)
                && (beforeName.isWord("as") || beforeName.isWord("not"))
        default: return false
        }
    }

    /// Whether the name is that of a table or an alias, with a list of columns behind it: it follows
    /// INTO, AS and the like, or another name that is no keyword.
    private var isNoCall: Bool {
        switch beforeName.kind {
        case .quotedName, .unicodeName: return true
        case .word: break
        default: return false
        }
        switch beforeName.byteCount {
        case 2: if beforeName.isWord("as") { return true }
        case 4:
            if beforeName.isWord("into") || beforeName.isWord("with") || beforeName.isWord("copy")
                || beforeName.isWord("view")
            {
                return true
            }
        case 5: if beforeName.isWord("table") { return true }
        case 6: if beforeName.isWord("exists") { return true }
        case 7:
            if beforeName.isWord("execute") || beforeName.isWord("prepare")
                || beforeName.isWord("analyze")
            {
                return true
            }
        case 8: if beforeName.isWord("function") { return true }
        case 9:
            if isText(beforeName.range, "recursive", folded: true)
                || isText(beforeName.range, "procedure", folded: true)
            {
                return true
            }
        case 10:
            if isText(beforeName.range, "references", folded: true)
                || isText(beforeName.range, "ordinality", folded: true)
            {
                return true
            }
        default: break
        }
        return !NameTable.syntaxKeywords.contains(text, beforeName.range, folded: true)
            && !NameTable.otherKeywords.contains(text, beforeName.range, folded: true)
    }

    // MARK: - set_config(name, value, is_local)

    @_lifetime(self: copy self)
    private mutating func beginCall() {
        if call.isOpen {
            // One within another: the inner one is not looked into.
            effects.formUnion([.settings, .role, .unnamedSettings])
        } else {
            call = SettingCall(depth: depth &+ 1)
        }
    }

    @_lifetime(self: copy self)
    private mutating func noteArgument(_ token: SQLToken) {
        if token.kind == .closeParenthesis, depth == call.depth {
            finishCall()
        } else {
            call.note(token, isOutermost: depth == call.depth)
        }
    }

    @_lifetime(self: copy self)
    private mutating func finishCall() {
        let isLocal = call.isLocal
        effects.insert(isLocal ? .localSettings : .settings)
        if let name = call.name {
            let range = name.start &+ 1..<max(name.start &+ 1, name.end &- 1)
            if !isLocal,
                isText(range, "role", folded: true)
                    || isText(range, "session_authorization", folded: true)
            {
                effects.insert(.role)
            }
            if collectsNames {
                settingNames.append(SQLName.string(text, name).lowercasedASCII)
            }
        } else {
            effects.insert(.unnamedSettings)
            if !isLocal { effects.insert(.role) }
        }
        call = SettingCall()
    }
}

/// What has been seen of a call of `set_config`.
private struct SettingCall {
    /// The depth of parentheses within the call; 0 when there is none.
    var depth = 0
    private var argument = 0
    private var tokenCount = 0
    private var literal = SQLToken.none
    private var isLiteral = true
    private var isTrue = false

    init(depth: Int = 0) {
        self.depth = depth
    }

    var isOpen: Bool { depth > 0 }
    /// The literal that is the first argument.
    var name: SQLToken? { isLiteral && literal.kind == .string ? literal : nil }
    /// Whether the third argument is the word `true`, and the last.
    var isLocal: Bool { isTrue && argument == 2 }

    mutating func note(_ token: SQLToken, isOutermost: Bool) {
        if token.kind == .comma, isOutermost {
            argument &+= 1
            tokenCount = 0
            return
        }
        switch argument {
        case 0:
            switch tokenCount {
            case 0: literal = token
            case 1: if token.kind != .typecast { isLiteral = false }
            case 2: if !token.isWord("text") && !token.isWord("varchar") { isLiteral = false }
            default: isLiteral = false
            }
        case 2:
            isTrue = tokenCount == 0 && token.isWord("true")
        default:
            break
        }
        tokenCount &+= 1
    }
}
