// How many session scripts a test runs, and from which seeds.
//
// MARTLET_SOAK_SECONDS and MARTLET_SOAK_SEED (`make soak`) make it run as long as that, from there on.
// MARTLET_SESSION_FAMILIES="role,cursors" or "all" chooses other families than those in use.

import Foundation

struct SessionPlan: Sendable {
    private let deadline: Deadline?
    private let firstSeed: Int
    private let scriptCount: Int

    /// So many scripts from the same seeds every time, or those of a soak.
    init(
        scripts: Int,
        share: Double = 1,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws {
        let plan = try StressPlan(environment: environment)
        let isSoak = environment["MARTLET_SOAK_SECONDS"]?.isEmpty == false
        deadline = isSoak ? Deadline(in: .seconds(plan.seconds) * share) : nil
        scriptCount = isSoak ? Int.max : scripts
        let hasSeed = environment["MARTLET_SOAK_SEED"]?.isEmpty == false
        firstSeed = hasSeed ? plan.seed &* 1_000_000 : 1
    }

    /// Calls `body` with one seed after the other, until it returns false.
    func forEachSeed(_ body: (Int) -> Bool) {
        var count = 0
        while count < scriptCount, deadline.map({ !$0.hasPassed }) ?? true {
            guard body(firstSeed &+ count) else { return }
            count += 1
        }
    }
}

extension SessionFamily {
    /// The families that tests through the pooler use.
    static var chosen: Set<SessionFamily> { named ?? inUse }

    /// Those that the environment names; nil where it says nothing.
    static let named: Set<SessionFamily>? = {
        let text = ProcessInfo.processInfo.environment["MARTLET_SESSION_FAMILIES"] ?? ""
        guard !text.isEmpty, text != "all" else { return text.isEmpty ? nil : all }
        let names = text.split(separator: ",").map(String.init)
        let families = names.compactMap { SessionFamily(rawValue: $0) }
        precondition(families.count == names.count, "MARTLET_SESSION_FAMILIES: \(text)")
        return Set(families)
    }()
}
