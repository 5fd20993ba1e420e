// Draws session scripts. The same seed and families give the same script; what the statements are is
// in SessionStatements.swift and its neighbours.
//
// Nothing in a script may depend on when or where it runs: no clock, no OIDs, no process numbers.

import TestSupport

struct SessionGenerator {
    var random: SplitMix
    let families: Set<SessionFamily>
    /// Those that statements are drawn from, in a fixed order.
    private let sources: [SessionFamily]
    private(set) var script = SessionScript()
    /// Whether a block is open, as far as can be told without running the script.
    var isInBlock = false

    private init(seed: Int, families: Set<SessionFamily>) {
        random = SplitMix(seed: seed)
        self.families = families
        sources = families.subtracting([.probes, .startup, .transactions]).sorted()
    }

    static func script(seed: Int, families: Set<SessionFamily>) -> SessionScript {
        var generator = SessionGenerator(seed: seed, families: families)
        generator.makeScript()
        return generator.script
    }

    private mutating func makeScript() {
        // The second user is a superuser, who may take on any role.
        if random.oneIn(3) { script.user = SessionDatabase.users[1] }
        if families.contains(.startup) { script.startup = startup() }
        let stepCount = random.number(10...40)
        while script.steps.count < stepCount {
            addSomething()
            if families.contains(.probes) && random.oneIn(2) { addProbe() }
        }
        add(.query("rollback"))
        for family in families.sorted() { add(.query(probe(of: family))) }
    }

    private mutating func addSomething() {
        let hasTransactions = families.contains(.transactions)
        if hasTransactions && random.oneIn(sources.isEmpty ? 1 : 3) {
            addTransactionStep()
        } else if hasTransactions && random.oneIn(10) {
            addSeveralStatements()
        } else if let family = random.element(sources) {
            addStep(of: family)
        } else {
            addProbe()
        }
    }

    private mutating func addStep(of family: SessionFamily) {
        switch family {
        case .protocolStatements: addProtocolStep(names: ["p1", "p2", "p3"])
        case .mixedStatements where random.oneIn(2): addProtocolStep(names: ["q1", "q2"])
        case .sequences where random.oneIn(3): addSequenceProbe()
        default: addStatement(statement(of: family))
        }
    }

    mutating func add(_ step: SessionStep) { script.steps.append(step) }

    /// One statement, by the simple or the extended protocol.
    mutating func addStatement(_ text: String) {
        add(random.oneIn(3) ? .extended(text) : .query(text))
    }

    private mutating func addProbe() {
        guard let family = random.element(families.sorted()) else { return }
        addStatement(probe(of: family))
    }

    /// Any statement of the families, or what they have in common with all sessions.
    private mutating func anyStatement() -> String {
        guard let family = random.element(sources), !random.oneIn(4) else {
            return random.pick(["select 1", "select 1 where false", "table one.t"])
        }
        return statement(of: family)
    }

    // MARK: - Transactions

    private mutating func addTransactionStep() {
        if random.oneIn(6) { return addSeveralStatements() }
        addStatement(transactionStatement())
    }

    /// Blocks begin and end, savepoints, and what makes them fail.
    mutating func transactionStatement() -> String {
        guard isInBlock else {
            isInBlock = !random.oneIn(4)
            guard isInBlock else {
                return random.pick([
                    "commit", "rollback", "savepoint a", "select 1/0", "selec", "release a",
                ])
            }
            return random.pick([
                "begin", "start transaction", "begin isolation level repeatable read",
                "begin read write", "BEGIN /* a */ WORK",
            ])
        }
        if random.oneIn(3) {
            isInBlock = random.oneIn(8)
            guard !isInBlock else {
                return random.pick(["commit and chain", "rollback and chain"])
            }
            return random.pick(["commit", "end", "rollback", "abort", "commit work", "commit"])
        }
        return random.pick([
            "savepoint a", "savepoint a", "savepoint b", "rollback to a", "rollback to savepoint b",
            "release a", "release savepoint b", "select 1/0", "select * from no_such_table",
            "insert into lib.child values (99, null)", "insert into lib.child values (1, 1)",
            "begin", "insert into one.t values (3, 'new')",
        ])
    }

    /// Two to four statements in one Query, or in messages with one Sync; perhaps one that fails.
    private mutating func addSeveralStatements() {
        var texts = (0..<random.number(2...4)).map { _ in
            random.oneIn(5) ? transactionStatement() : anyStatement()
        }
        if random.oneIn(3) {
            texts.insert("select 1/0", at: random.number(0...texts.count))
        }
        if random.oneIn(4) { texts.append("insert into lib.child values (98, null)") }
        if texts.contains(where: { $0.hasPrefix("prepare \"") }) {
            // Under which settings it is prepared behind these, nobody knows (Docs/Sessions.md).
            texts.removeAll { $0.hasPrefix("set ") || $0.hasPrefix("reset ") }
        }
        // In a block that begins in a batch, the channels of before it are not listed (the same).
        let beginsBlock = texts.dropFirst().contains {
            $0.lowercased().hasPrefix("begin") || $0.hasPrefix("start")
        }
        if random.oneIn(3),
            !beginsBlock || families.isDisjoint(with: [.listeningChannels, .notifications])
        {
            add(.pipeline(texts.flatMap { SessionStep.extended($0).messages.dropLast() } + [.sync]))
        } else {
            add(.query(texts.joined(separator: random.pick(["; ", ";", ";\n  /* ; */ "]))))
        }
        // The failure may have kept a block from beginning or ending; so does nobody know.
        if random.oneIn(2) {
            add(.query("rollback"))
            isInBlock = false
        }
    }
}

extension SplitMix {
    /// One of `values`, which must not be empty.
    mutating func pick<Element>(_ values: [Element]) -> Element {
        values[number(0...(values.count - 1))]
    }

    mutating func element<Element>(_ values: [Element]) -> Element? {
        values.isEmpty ? nil : pick(values)
    }
}
