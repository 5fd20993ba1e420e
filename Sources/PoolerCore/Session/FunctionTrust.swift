// Whether it is worth asking a server what a function has left in its session. What a function does
// cannot be seen in the statement that calls it; most do nothing to the session.

/// What experience says of the functions of a pool's database.
public struct FunctionTrust: Equatable, Sendable {
    /// How many questions in a row have found nothing.
    private var innocentCount = 0
    private var callCount = 0

    /// After so many questions without a finding, only samples are taken.
    private static let trial = 200
    /// Of so many calls one is then asked about.
    private static let sampling = 16

    public init() {}

    /// Whether to ask after a transaction that calls a function which is not PostgreSQL's own.
    public mutating func asks() -> Bool {
        guard innocentCount >= Self.trial else { return true }
        callCount = (callCount + 1) % Self.sampling
        return callCount == 0
    }

    /// Takes in what a question has found.
    ///
    /// - Parameter isInnocent: whether the session was as it had been before.
    public mutating func learn(isInnocent: Bool) {
        innocentCount = isInnocent ? min(innocentCount + 1, Self.trial) : 0
    }
}
