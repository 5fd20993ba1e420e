// Logins that wait for keys: those that need the same ones share a derivation, and go on when it is
// done. The loop never derives keys itself.

internal import PoolerCore

/// A login that waits for keys.
enum KeyWaiter: Equatable {
    case client(ClientID)
    case server(ServerID)
}

extension Worker {
    /// Has keys derived for a login.
    mutating func deriveKeys(_ parameters: SCRAMKeyParameters, for waiter: KeyWaiter) {
        if keyWaiters[parameters] == nil { keyDeriver.start(parameters) }
        keyWaiters[parameters, default: []].append(waiter)
    }

    /// A client gives up its login.
    mutating func stopWaitingForKeys(_ slot: UInt32) {
        guard let parameters = clients[slot].login?.awaitedKeys else { return }
        let id = clients[slot].id
        keyWaiters[parameters]?.removeAll { $0 == .client(id) }
        if keyWaiters[parameters] == [] {
            keyWaiters[parameters] = nil
            keyDeriver.cancel(parameters)
        }
    }

    /// Keys have come: the logins that wait for them go on.
    mutating func keysDerived() {
        for answer in keyDeriver.takeAnswers() {
            for waiter in keyWaiters.removeValue(forKey: answer.parameters) ?? [] {
                switch waiter {
                case .client(let id) where clients.holds(id.index, generation: id.generation):
                    clientKeysDerived(id.index, answer.keys)
                case .server(let id) where servers.holds(id.index, generation: id.generation):
                    serverKeysDerived(id.index, answer.keys)
                case .client, .server:
                    break
                }
            }
        }
    }
}
