// Whose notifications the ones are that a server process sends: PostgreSQL names the process, but what
// clients know of one another are the process numbers that the pooler gave them.

internal import PoolerCore
internal import Synchronization

/// The clients that last may have notified, by the process of the server that they had.
final class Notifiers: Sendable {
    private struct Process: Hashable {
        let host: String
        let port: Int
        let number: Int32
    }

    private let clients = Locked<[Process: Int32]>([:])
    private let listenerCount = Atomic<Int>(0)

    /// Whether there is anybody whom it could matter to.
    var areWanted: Bool { listenerCount.load(ordering: .relaxed) > 0 }

    /// Counts a listener more or less.
    func listenersChanged(by change: Int) {
        listenerCount.wrappingAdd(change, ordering: .relaxed)
    }

    /// Notes that a client may notify from a server process.
    func note(_ client: Int32, on process: Int32, at endpoint: Endpoint) {
        let process = Process(host: endpoint.host, port: endpoint.port, number: process)
        clients.withLock { $0[process] = client }
    }

    /// Forgets a server process that has ended.
    func forget(_ process: Int32, at endpoint: Endpoint) {
        let process = Process(host: endpoint.host, port: endpoint.port, number: process)
        clients.withLock { $0[process] = nil }
    }

    /// The client that last may have notified from a server process.
    func client(on process: Int32, at endpoint: Endpoint) -> Int32? {
        let process = Process(host: endpoint.host, port: endpoint.port, number: process)
        return clients.withLock { $0[process] }
    }
}
