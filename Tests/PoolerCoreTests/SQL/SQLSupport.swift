import PostgresWire

@testable import PoolerCore

/// Texts as bytes, and tokens as texts.
enum SQL {
    /// The tokens of a text without the one at the end.
    static func tokens(_ bytes: [UInt8], _ rules: ScanRules = ScanRules()) -> [SQLToken] {
        var lexer = SQLLexer(bytes.span.bytes, rules: rules)
        var tokens: [SQLToken] = []
        while true {
            let token = lexer.next()
            if token.kind == .end { return tokens }
            tokens.append(token)
        }
    }

    /// The same, each as its text.
    static func pieces(_ text: String, _ rules: ScanRules = ScanRules()) -> [String] {
        let bytes = Array(text.utf8)
        return tokens(bytes, rules).map { String(decoding: bytes[$0.range], as: UTF8.self) }
    }

    static func kinds(_ text: String, _ rules: ScanRules = ScanRules()) -> [SQLToken.Kind] {
        tokens(Array(text.utf8), rules).map(\.kind)
    }

    static func effects(_ text: String, _ rules: ScanRules = ScanRules()) -> SessionEffects {
        let bytes = Array(text.utf8)
        return StatementClassifier.effects(of: bytes.span.bytes, rules: rules)
    }

    static func statements(
        _ text: String,
        _ rules: ScanRules = ScanRules()
    ) -> [SessionStatement] {
        let bytes = Array(text.utf8)
        return StatementClassifier.statements(in: bytes.span.bytes, rules: rules)
    }

    /// The parts of a text that are statements.
    static func statementTexts(_ text: String, _ rules: ScanRules = ScanRules()) -> [String] {
        let bytes = Array(text.utf8)
        return statements(text, rules).map { String(decoding: bytes[$0.range], as: UTF8.self) }
    }
}
