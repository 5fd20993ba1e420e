// Turns host names into addresses beside the event loop, because getaddrinfo blocks.

internal import CLinux

/// The addresses of a name, or none.
struct Resolution: Sendable {
    let name: String
    let addresses: [SocketAddress]
}

/// The thread that resolves names.
typealias Resolver = SideThread<String, Resolution>

extension Resolver {
    static func make() throws(SystemError) -> Resolver {
        try Resolver { Resolution(name: $0, addresses: addresses(of: $0)) }
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
