// What all clients of a stress test and its operator write into: counts, and what went wrong.

import Synchronization

/// What is counted during a stress test.
enum StressEvent: Hashable, Sendable {
    case login
    case transaction
    case cancelRequest, cancelled
    case vanished
    case queryWaitTimeout, idleTransactionTimeout, forcedDisconnect, lostServer
    case killedClient, terminatedServer
    case pause, reload, reconnect, show
}

/// Something that must not happen.
struct StressFinding: Sendable {
    let text: String
    /// The client's own port, by which the pooler's log names it.
    let port: Int?
}

final class StressRecord: Sendable {
    private struct Contents {
        var counts: [StressEvent: Int] = [:]
        var findings: [StressFinding] = []
        var running = 0
        var isOver = false
    }

    private let contents = Mutex(Contents())
    /// More findings than these tell nothing new.
    private static let findingLimit = 12

    func count(_ event: StressEvent) {
        contents.withLock { $0.counts[event, default: 0] += 1 }
    }

    subscript(event: StressEvent) -> Int { contents.withLock { $0.counts[event, default: 0] } }

    /// Whether everything that the test is about has happened, however slow the machine.
    var hasSeenAll: Bool {
        let wanted: [StressEvent] = [
            .cancelled, .vanished, .queryWaitTimeout, .idleTransactionTimeout, .pause,
        ]
        return self[.transaction] > 100 && wanted.allSatisfy { self[$0] > 0 }
    }

    /// Writes down what must not happen; too much of it ends the test.
    func find(_ text: String, port: Int? = nil) {
        contents.withLock {
            guard $0.findings.count < Self.findingLimit else { return }
            $0.findings.append(StressFinding(text: text, port: port))
            if $0.findings.count == Self.findingLimit { $0.isOver = true }
        }
    }

    var findings: [StressFinding] { contents.withLock { $0.findings } }

    /// True once nobody is to begin anything new.
    var isOver: Bool { contents.withLock { $0.isOver } }
    func end() { contents.withLock { $0.isOver = true } }

    /// Clients that have not come to their end.
    var running: Int { contents.withLock { $0.running } }
    func started() { contents.withLock { $0.running += 1 } }
    func finished() { contents.withLock { $0.running -= 1 } }

    var summary: String {
        let counts = contents.withLock { $0.counts }
        return counts.map { "\($0.value) \($0.key)" }.sorted().joined(separator: ", ")
    }
}
