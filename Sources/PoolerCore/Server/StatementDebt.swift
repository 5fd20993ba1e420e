// Which answers about prepared statements are still to come: as long as there are any, it is not
// certain which statements a server has.

/// How many answers about prepared statements are still to come.
struct StatementDebt {
    private(set) var total = 0
    /// Those whose requests came behind the last Sync.
    private(set) var inBatch = 0

    var isInDoubt: Bool { total > inBatch }

    mutating func grew() {
        total += 1
        inBatch += 1
    }

    /// The oldest one was paid.
    mutating func shrank() {
        total -= 1
        inBatch = min(inBatch, total)
    }

    mutating func batchEnded() {
        inBatch = 0
    }
}

extension Expectation {
    /// A client's Query can be DEALLOCATE ALL.
    var isAboutNamed: Bool {
        isAboutStatement || request == .query && route == .client
    }

    /// Whether it changes which statements there are, or decides which of them may be used.
    var isAboutStatement: Bool {
        guard statement != Self.noStatement else { return false }
        switch request {
        case .bind: return false
        case .describe: return route == .pooler
        case .query, .sync, .parse, .execute, .close, .copyEnd: return true
        }
    }

    /// Whether the pooler wants to know what the statement's parameters and columns are.
    var wantsDescription: Bool {
        request == .describe && route == .pooler && statement != Self.noStatement
    }

    /// Whether it is an Execute of the client's that may end all statements.
    var mayEndStatements: Bool {
        request == .execute && route == .client && statement != Self.noStatement
    }

    /// Only the pooler closes the unnamed statement with an effect that it counts on.
    var isAboutUnnamed: Bool {
        statement == Self.noStatement
            && (request == .parse || request == .close && route == .pooler)
    }
}
