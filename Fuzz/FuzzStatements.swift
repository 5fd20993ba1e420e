// What libFuzzer calls with bytes that it makes up: the first one chooses how the rest is scanned.
// Nothing may trap, tokens and statements come in order, and both ways to ask agree.

import PoolerCore
import PostgresWire

/// libFuzzer's entry.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzStatements(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count > 0 else { return 0 }
    let bytes = Array(UnsafeBufferPointer(start: start + 1, count: count - 1))
    let encodings: [ScanEncoding] = [.asciiSafe, .doubleByte, .shiftJIS, .gb18030, .johab]
    let rules = ScanRules(
        standardConformingStrings: start[0] & 1 == 0,
        encoding: encodings[Int(start[0] >> 1) % encodings.count]
    )
    checkTokens(bytes, rules)
    checkStatements(bytes, rules)
    return 0
}

private func checkTokens(_ bytes: [UInt8], _ rules: ScanRules) {
    var lexer = SQLLexer(bytes.span.bytes, rules: rules)
    var end = 0
    while true {
        let token = lexer.next()
        precondition(token.start >= end && token.end <= bytes.count)
        if token.kind == .end { break }
        precondition(token.end > token.start)
        end = token.end
    }
}

private func checkStatements(_ bytes: [UInt8], _ rules: ScanRules) {
    let effects = StatementClassifier.effects(of: bytes.span.bytes, rules: rules)
    var union = SessionEffects()
    var end = 0
    for statement in StatementClassifier.statements(in: bytes.span.bytes, rules: rules) {
        precondition(statement.range.lowerBound >= end && !statement.range.isEmpty)
        end = statement.range.upperBound
        union.formUnion(statement.effects)
        if let body = statement.body { precondition(body.upperBound <= end) }
    }
    precondition(end <= bytes.count && union == effects)
}
