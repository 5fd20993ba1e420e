// Deadlines of the clients that are on their way in or out. Each of the two kinds is a queue in the
// order of the deadlines, so that only the head needs a look: an idle client costs nothing here.

internal import DequeModule
internal import PoolerCore

/// The deadlines of logins and of last errors.
struct LoginQueue {
    private struct Entry {
        let client: ClientID
        let deadline: Microseconds
    }

    private var logins = Deque<Entry>()
    private var drains = Deque<Entry>()

    /// Adds a deadline that is not before any other of its kind.
    mutating func add(_ client: ClientID, deadline: Microseconds, isDraining: Bool) {
        let entry = Entry(client: client, deadline: deadline)
        if isDraining { drains.append(entry) } else { logins.append(entry) }
    }

    /// Takes a client whose deadline for login has passed; it may have logged in, or gone.
    mutating func takeOverdueLogin(now: Microseconds) -> ClientID? {
        guard let first = logins.first, first.deadline <= now else { return nil }
        return logins.removeFirst().client
    }

    /// Forgets the logins that have ended, as far as they stand before all others.
    mutating func prune(_ hasEnded: (ClientID) -> Bool) {
        while let first = logins.first, hasEnded(first.client) { logins.removeFirst() }
        if logins.isEmpty { logins = Deque() }
    }

    /// Takes a client whose deadline for reading its last error has passed; it may have gone.
    mutating func takeOverdueDrain(now: Microseconds) -> ClientID? {
        guard let first = drains.first, first.deadline <= now else { return nil }
        return drains.removeFirst().client
    }
}
