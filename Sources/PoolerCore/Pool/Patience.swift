// A free server whose settings no waiting client has can be given to the first in line, which costs a
// query that replays the settings, or be kept for a moment: often a client with these settings asks
// next. What pays depends on the load, so that it is learned.

/// Whether a free server is worth keeping for a moment for a client that has its settings.
public struct Patience: Sendable {
    private var score = Self.highestScore
    private var refusals = 0

    public init() {}

    /// How long a server is kept at most, in microseconds.
    ///
    /// A replay takes about as long: to have kept it in vain costs no more than not to have tried.
    private static let longestTime: Microseconds = 100

    /// How long a server may still be kept; 0 when the moment is over.
    ///
    /// - Parameter time: since when it has been kept.
    public static func timeLeft(since time: Microseconds, now: Microseconds) -> Microseconds {
        max(0, min(longestTime, longestTime - (now - time)))
    }

    private static let highestScore = 16
    /// Below this, servers are kept now and then only, to learn whether it would pay again.
    private static let leastScore = 8
    private static let trialPeriod = 16

    /// Whether to keep the next server; to be asked once for each.
    public mutating func isWorthwhile() -> Bool {
        if score >= Self.leastScore { return true }
        refusals += 1
        guard refusals == Self.trialPeriod else { return false }
        refusals = 0
        return true
    }

    /// A server is kept no longer.
    ///
    /// - Parameter wasRewarded: whether a client with its settings has got it.
    public mutating func ended(wasRewarded: Bool) {
        score = wasRewarded ? min(score + 2, Self.highestScore) : max(score - 1, 0)
    }
}
