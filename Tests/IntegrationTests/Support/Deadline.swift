// Waiting in tests: a deadline for everything that blocks, and polling instead of fixed sleeps.

import Glibc
import Testing

extension Duration {
    /// How long a test waits for what has to come by itself.
    ///
    /// Only a test that fails waits so long: the machine may be slow, and busy with other things.
    static let patience: Duration = .seconds(45)
}

/// A point in time after which a blocking step of a test gives up.
struct Deadline {
    private let instant: ContinuousClock.Instant

    init(in duration: Duration) {
        instant = ContinuousClock.now + duration
    }

    var hasPassed: Bool { ContinuousClock.now >= instant }

    /// What poll(2) wants: milliseconds left, never negative.
    var millisecondsLeft: Int32 {
        let left = instant - ContinuousClock.now
        guard left > .zero else { return 0 }
        return Int32(min(left / .milliseconds(1), 1_000_000)) + 1
    }
}

/// A step did not come to its end in time.
struct TimedOut: Error, CustomStringConvertible {
    let description: String

    init(_ step: String) {
        description = "timed out: \(step)"
    }
}

/// Lets time pass where the test is about time itself.
func pause(_ duration: Duration) {
    usleep(UInt32(max(0, duration / .microseconds(1))))
}

/// Asks again and again until the condition holds; a failure is recorded at the caller's line.
func eventually(
    _ what: Comment,
    within limit: Duration = .patience,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () throws -> Bool
) rethrows {
    let deadline = Deadline(in: limit)
    while try !condition() {
        if deadline.hasPassed {
            Issue.record("never came true: \(what)", sourceLocation: sourceLocation)
            return
        }
        pause(.milliseconds(20))
    }
}

/// How long a step takes.
func duration(of step: () throws -> Void) rethrows -> Duration {
    try ContinuousClock().measure(step)
}
