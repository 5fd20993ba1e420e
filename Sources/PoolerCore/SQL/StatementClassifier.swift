// The questions that session tracking asks about the text of a Query or Parse message.

import PostgresWire

/// Says what the statements of a text may do to the session.
public enum StatementClassifier {
    /// What all statements of `text` together may do; `text` has no terminating zero.
    ///
    /// Goes once over the text and allocates nothing.
    public static func effects(of text: RawSpan, rules: ScanRules) -> SessionEffects {
        var scanner = StatementScanner(text, rules: rules, collectsNames: false)
        var effects: SessionEffects = []
        while scanner.nextStatement() {
            effects.formUnion(scanner.effects)
            if StatementHead.mayMatter(scanner.first) {
                let head = StatementHead(text, rules, scanner.first.start..<scanner.end)
                effects.formUnion(head.effects)
            }
        }
        return effects
    }

    /// Every statement of `text` in order, as PostgreSQL answers them; empty ones are left out.
    public static func statements(in text: RawSpan, rules: ScanRules) -> [SessionStatement] {
        var scanner = StatementScanner(text, rules: rules, collectsNames: true)
        var statements: [SessionStatement] = []
        while scanner.nextStatement() {
            let range = scanner.first.start..<scanner.end
            let head = StatementHead(text, rules, range)
            var statement = SessionStatement(
                kind: head.kind,
                effects: scanner.effects.union(head.effects),
                range: range
            )
            statement.settings = head.settingNames(text, rules) + scanner.settingNames
            if head.kind == .load, head.name.kind == .string {
                statement.name = SQLName.string(text, head.name)
            } else {
                let name = head.name.kind == .end ? scanner.executedName : head.name
                statement.name = SQLName.name(text, name, rules.encoding)
            }
            statement.body = head.body
            if head.body != nil { statement.bodyEffects = scanner.effects }
            statements.append(statement)
        }
        return statements
    }
}
