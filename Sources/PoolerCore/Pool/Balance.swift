// Which worker gets a new connection.

/// Spreads connections over workers.
public enum Balance {
    /// The worker for a connection that `acceptor` has accepted: the one with the fewest, or, while
    /// no other has fewer by more than an eighth, the acceptor itself, which saves waking another.
    ///
    /// So the first few connections are spread exactly, and many nearly so.
    public static func worker(forConnectionOf acceptor: Int, loads: [Int]) -> Int {
        guard let least = loads.min() else { return acceptor }
        if loads[acceptor] <= least + least / 8 { return acceptor }
        return loads.firstIndex(of: least) ?? acceptor
    }
}
