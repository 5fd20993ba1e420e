// The free servers of a pool that are at home in one worker. Others may take a server from here
// without a word, so that an entry is only a hint: who uses it has to take hold of the server first.
// The hints are made anew each time that the worker looks through its servers.

/// Which servers of a pool are free here, as far as this worker knows.
public struct IdleServers {
    private struct Entry {
        let server: ServerID
        let settings: SettingsID
        let customNames: CustomNameSet

        /// How well it fits a client; less for a name that the client has not touched than for
        /// settings that have to be replayed.
        func rank(_ settings: SettingsID, _ customNames: CustomNameSet) -> Int {
            (customNames.isSuperset(of: self.customNames) ? 4 : 0)
                + (self.settings == settings ? 2 : 0) + (self.customNames == customNames ? 1 : 0)
        }
    }

    /// The one that became free last stands last.
    private var entries: [Entry] = []

    public init() {}

    /// Among how many of the servers used last one that fits the client is looked for.
    private static let preferenceDepth = 16

    /// The number of entries, outdated ones included.
    public var count: Int { entries.count }

    /// Notes that a server has become free.
    ///
    /// - Parameters:
    ///   - settings: the state of its session.
    ///   - customNames: the custom settings that its session knows.
    public mutating func insert(
        _ server: ServerID,
        settings: SettingsID,
        customNames: CustomNameSet = []
    ) {
        entries.append(Entry(server: server, settings: settings, customNames: customNames))
    }

    /// Whether there are servers, but none of the last few is in the state `settings`.
    public func lacks(_ settings: SettingsID) -> Bool {
        guard let last = entries.last, last.settings != settings else { return false }
        return !entries.suffix(Self.preferenceDepth).contains { $0.settings == settings }
    }

    /// Takes the server that was used last, or, of the last few, the one that fits best.
    ///
    /// That one knows no custom setting that the client has not touched, and its session is in the
    /// state `settings`, so that nothing has to be replayed. Where none is in that state, it is the one
    /// that has been free for longest.
    ///
    /// - Parameters:
    ///   - customNames: the custom settings that the client has touched.
    ///   - insisting: whether it shall get none at all rather than one that knows others.
    public mutating func take(
        preferring settings: SettingsID,
        customNames: CustomNameSet = [],
        insisting: Bool = false
    ) -> ServerID? {
        guard let last = entries.last else { return nil }
        if last.settings == settings, last.customNames == customNames {
            entries.removeLast()
            return last.server
        }
        var best = entries.endIndex - 1
        var bestRank = last.rank(settings, customNames)
        let depth = insisting ? entries.count : Self.preferenceDepth
        for index in entries.indices.suffix(depth).dropLast().reversed() {
            let rank = entries[index].rank(settings, customNames)
            // Of those that do not fit, the one that is missed least.
            let isMissedLess = rank == bestRank && entries[index].settings != settings
            if rank > bestRank || isMissedLess { (best, bestRank) = (index, rank) }
        }
        if insisting, !customNames.isSuperset(of: entries[best].customNames) { return nil }
        return entries.remove(at: best).server
    }

    /// Forgets all entries; the memory is kept.
    ///
    /// Without it the entries of servers that others have taken, or that were noted twice, would add
    /// up.
    public mutating func removeAll() {
        entries.removeAll(keepingCapacity: true)
    }
}
