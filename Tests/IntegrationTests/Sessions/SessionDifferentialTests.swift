// The same random script on a private session and through the pooler: an application must not be
// able to tell that it does not own its session.

import Foundation
import Testing

@Suite struct SessionDifferentialTests {
    /// Otherwise a difference through the pooler would prove nothing.
    @Test(arguments: SessionFamily.allCases)
    func scriptsDependOnNothingButThemselves(family: SessionFamily) throws {
        try compare(.privately, family.scriptFamilies, SessionPlan(scripts: 3, share: 0.01))
    }

    @Test func scriptsOfAllFamiliesDependOnNothingButThemselves() throws {
        try compare(.privately, SessionFamily.all, SessionPlan(scripts: 12, share: 0.05))
    }

    @Test func aServerForTheWholeSessionIsLikeAPrivateOne() throws {
        let families = SessionFamily.all
        try compare(.throughSessionPool, families, SessionPlan(scripts: 12, share: 0.05))
    }

    @Test(arguments: SessionFamily.chosen.sorted())
    func familiesSeeNoOtherSession(family: SessionFamily) throws {
        let plan = try SessionPlan(scripts: 12, share: 0.4 / Double(SessionFamily.chosen.count))
        try compare(.throughTransactionPool, family.scriptFamilies, plan)
    }

    @Test func familiesTogetherSeeNoOtherSession() throws {
        let plan = try SessionPlan(scripts: 50, share: 0.4)
        let families = SessionFamily.chosen.subtracting([.absentSettings])
        try compare(.throughTransactionPool, families, plan)
    }

    /// With isolate_custom_settings.
    ///
    /// What a client has asked for at login does not always come back behind a RESET in the middle of a
    /// pipeline: that is not drawn here.
    @Test func familiesTogetherSeeNoNamesOfOthers() throws {
        let plan = try SessionPlan(scripts: 25, share: 0.2)
        let families = SessionFamily.chosen.subtracting([.startup])
        try compare(.throughTransactionPool, families, plan)
    }

    /// How many scripts of each family differ through the pooler (MARTLET_SESSION_SURVEY=100), with
    /// examples (MARTLET_SESSION_REPORTS=1); privately none may.
    @Test(
        .enabled(if: surveyedScriptCount > 0),
        arguments: (SessionFamily.named ?? SessionFamily.all).sorted()
    )
    func survey(family: SessionFamily) throws {
        let comparisons = [
            SessionComparison.privately, .throughSessionPool, .throughTransactionPool,
        ]
        for comparison in comparisons {
            try SessionBench.with(comparison, family.scriptFamilies) { bench in
                let failures = try (1...surveyedScriptCount).compactMap {
                    try bench.failure(seed: $0)
                }
                let count = "\(failures.count) of \(surveyedScriptCount)"
                print("Survey: \(comparison), \(family): \(count) differ")
                for failure in failures.prefix(surveyedReportCount) {
                    print(try bench.report(failure))
                }
                #expect(comparison != .privately || failures.isEmpty)
            }
        }
    }

    private func compare(
        _ comparison: SessionComparison,
        _ families: Set<SessionFamily>,
        _ plan: SessionPlan
    ) throws {
        try SessionBench.with(comparison, families) { bench in
            plan.forEachSeed { seed in
                do {
                    guard let failure = try bench.failure(seed: seed) else { return true }
                    Issue.record("\(try bench.report(failure))")
                } catch {
                    let script = SessionGenerator.script(seed: seed, families: families)
                    Issue.record("\(comparison), seed \(seed): \(error)\n\(script)")
                }
                return false
            }
        }
    }
}

private let surveyedScriptCount =
    Int(ProcessInfo.processInfo.environment["MARTLET_SESSION_SURVEY"] ?? "") ?? 0
private let surveyedReportCount =
    Int(ProcessInfo.processInfo.environment["MARTLET_SESSION_REPORTS"] ?? "") ?? 1
