// How a stress test goes: for how long, from which seed, with how many clients and servers.
//
// MARTLET_SOAK_SECONDS and MARTLET_SOAK_SEED (`make soak`) make it longer or another one.

import Foundation
import TestSupport

struct StressPlan: Sendable {
    /// Seconds in which clients begin new transactions.
    var seconds = 4
    var seed = 42
    let clientCount = 24
    /// Servers per pool; the operator changes the size within this range.
    let poolSizes = 2...4
    let preparedStatementLimit = 6
    /// Seconds, for the settings of the same names.
    let queryWaitTimeout = 1
    let idleTransactionTimeout = 1

    init(environment: [String: String] = ProcessInfo.processInfo.environment) throws {
        seconds = try Self.number("MARTLET_SOAK_SECONDS", 1...86_400, environment) ?? seconds
        seed = try Self.number("MARTLET_SOAK_SEED", 0...Int.max, environment) ?? seed
    }

    /// Most clients share one pool; every third has another database and user.
    static let pools = [(user: "trusty", database: "app"), (user: "other", database: "other")]

    /// The pools as SQL lists them: other tests have servers of the same users.
    static var poolList: String {
        pools.map { "('\($0.user)', '\($0.database)')" }.joined(separator: ", ")
    }

    static func pool(ofClient number: Int) -> (user: String, database: String) {
        pools[number % 3 == 2 ? 1 : 0]
    }

    /// A stream of random numbers for each client, and one (-1) for the operator.
    func random(for number: Int) -> SplitMix {
        SplitMix(seed: seed &* 1_000 &+ number)
    }

    /// Servers that are replaced every second, statements that do not fit, short timeouts.
    var settings: [String: String] {
        [
            "default_pool_size": String(poolSizes.upperBound),
            "server_lifetime": "1", "max_client_conn": "1000",
            "max_prepared_statements": String(preparedStatementLimit),
            "query_wait_timeout": String(queryWaitTimeout),
            "idle_transaction_timeout": String(idleTransactionTimeout),
            "stats_period": "1",
        ]
    }

    private static func number(
        _ name: String,
        _ range: ClosedRange<Int>,
        _ environment: [String: String]
    ) throws -> Int? {
        guard let text = environment[name], !text.isEmpty else { return nil }
        guard let value = Int(text), range.contains(value) else {
            throw SpawnFailed(description: "\(name) is '\(text)', no number of \(range)")
        }
        return value
    }
}
