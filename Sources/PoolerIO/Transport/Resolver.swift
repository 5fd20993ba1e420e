// Turns host names into addresses on a thread of its own, because getaddrinfo blocks. The event loop
// hands in names and is woken when answers are there.

internal import CLinux

/// The addresses of a name, or none.
struct Resolution: Sendable {
    let name: String
    let addresses: [SocketAddress]
}

/// One thread that resolves names in the order in which they come.
final class Resolver: Sendable {
    private struct Queue {
        var names: [String] = []
        var answers: [Resolution] = []
        var isRunning = false
    }

    private let queue = Locked(Queue())
    /// Readable when there are answers.
    let wakeup: Int32

    /// - Throws: `SystemError` when the kernel gives no event descriptor.
    init() throws(SystemError) {
        wakeup = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        guard wakeup >= 0 else { throw SystemError.current("eventfd") }
    }

    deinit {
        close(wakeup)
    }

    /// Asks for a name's addresses.
    func resolve(_ name: String) {
        let mustStart = queue.withLock { queue in
            queue.names.append(name)
            defer { queue.isRunning = true }
            return !queue.isRunning
        }
        if mustStart { start() }
    }

    /// Takes the answers that have come.
    func takeAnswers() -> [Resolution] {
        var count: UInt64 = 0
        unsafe eventfd_read(wakeup, &count)
        return queue.withLock { queue in
            defer { queue.answers = [] }
            return queue.answers
        }
    }

    /// The thread lives as long as there are names.
    private func start() {
        Thread.start { [self] in
            while let name = nextName() {
                let answer = Resolution(name: name, addresses: Self.addresses(of: name))
                queue.withLock { $0.answers.append(answer) }
                eventfd_write(wakeup, 1)
            }
        }
    }

    private func nextName() -> String? {
        queue.withLock { queue in
            if queue.names.isEmpty {
                queue.isRunning = false
                return nil
            }
            return queue.names.removeFirst()
        }
    }

    /// The addresses of a name; waits for the answer.
    static func addresses(of name: String) -> [SocketAddress] {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(name, nil, &hints, &list) == 0 else { return [] }
        defer { unsafe freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var entry = unsafe list
        while let info = unsafe entry {
            var storage = sockaddr_storage()
            unsafe withUnsafeMutableBytes(of: &storage) {
                unsafe $0.copyMemory(
                    from: UnsafeRawBufferPointer(
                        start: info.pointee.ai_addr,
                        count: Int(info.pointee.ai_addrlen)
                    )
                )
            }
            let address = SocketAddress(storage)
            if !addresses.contains(address) { addresses.append(address) }
            unsafe entry = info.pointee.ai_next
        }
        return addresses
    }
}
