// A server and a client whose settings differ can be joined at once, which costs a query that replays
// the settings, or both wait for a moment: often one that fits comes next. What pays depends on the
// load, so that it is learned.

/// How long a replay takes, which is how long it is worth to wait for one not to be needed.
public struct ReplayTime: Sendable {
    /// Eight times the mean of the last few, in microseconds.
    private var sum: Microseconds = 8 * 100
    private static let longest: Microseconds = 5_000

    public init() {}

    /// A replay has been answered.
    ///
    /// - Parameter time: how long that took, in microseconds.
    public mutating func add(_ time: Microseconds) {
        sum += min(max(time, 0), Self.longest) - sum / 8
    }

    /// How long it is still worth to wait, in microseconds; 0 when the moment is over.
    ///
    /// - Parameter start: when the wait began.
    public func left(since start: Microseconds, now: Microseconds) -> Microseconds {
        let mean = sum / 8
        return max(0, min(mean, mean - (now - start)))
    }
}

/// Whether it is worth to wait for a moment for a server or a client with the same settings.
public struct Patience: Sendable {
    private var score = Self.highestScore
    private var refusals = 0

    public init() {}

    private static let highestScore = 16
    /// Below this it is tried now and then only, to learn whether it would pay again.
    private static let leastScore = 8
    private static let trialPeriod = 16

    /// Whether to wait the next time; to be asked once for each.
    public mutating func isWorthwhile() -> Bool {
        if score >= Self.leastScore { return true }
        refusals += 1
        guard refusals == Self.trialPeriod else { return false }
        refusals = 0
        return true
    }

    /// A wait is over.
    ///
    /// - Parameter wasRewarded: whether one with the same settings has come.
    public mutating func ended(wasRewarded: Bool) {
        score = wasRewarded ? min(score + 2, Self.highestScore) : max(score - 1, 0)
    }
}
