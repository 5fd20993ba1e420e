// The free servers of a pool that are at home in one worker. Others may take a server from here
// without a word, so that an entry is only a hint: who uses it has to take hold of the server first.
// The hints are made anew each time that the worker looks through its servers.

/// Which servers of a pool are free here, as far as this worker knows.
public struct IdleServers {
    private struct Entry {
        let server: ServerID
        let settings: SettingsID
    }

    /// The one that became free last stands last.
    private var entries: [Entry] = []

    public init() {}

    /// Among how many of the servers used last one with the client's settings is looked for.
    private static let preferenceDepth = 16

    /// The number of entries, outdated ones included.
    public var count: Int { entries.count }

    /// Notes that a server has become free.
    ///
    /// - Parameter settings: the state of its session.
    public mutating func insert(_ server: ServerID, settings: SettingsID) {
        entries.append(Entry(server: server, settings: settings))
    }

    /// Takes the server that was used last, or, of the last few, one whose session is in the state
    /// `settings`, because that needs no replay.
    public mutating func take(preferring settings: SettingsID) -> ServerID? {
        guard let last = entries.last else { return nil }
        if last.settings != settings {
            for index in entries.indices.suffix(Self.preferenceDepth).reversed()
            where entries[index].settings == settings {
                return entries.remove(at: index).server
            }
        }
        entries.removeLast()
        return last.server
    }

    /// Forgets all entries; the memory is kept.
    ///
    /// Without it the entries of servers that others have taken, or that were noted twice, would add
    /// up.
    public mutating func removeAll() {
        entries.removeAll(keepingCapacity: true)
    }
}
