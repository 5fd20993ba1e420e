// Listening sockets: where clients come in.

internal import CLinux
internal import PoolerCore

/// A listening socket.
struct Listener: Sendable {
    private(set) var descriptor: Int32
    /// The path of a Unix socket; nil for TCP.
    let path: String?
    let logText: String
    /// Whether the supervisor has opened it, to whom its file belongs then.
    var isPassed = false

    /// Takes no more clients, and removes the file of a Unix socket.
    mutating func stop() {
        guard descriptor >= 0 else { return }
        close(descriptor)
        descriptor = -1
        if let path, !path.hasPrefix("@"), !isPassed { _ = unsafe unlink(path) }
    }

    /// Takes no more clients; the socket is closed when all workers have done so.
    mutating func forget() { descriptor = -1 }

    /// Opens the sockets that the settings ask for, unless the supervisor has opened others.
    ///
    /// - Parameters:
    ///   - passed: the sockets of the supervisor.
    ///   - handedOver: the sockets of the process that this one takes over from.
    ///   - warn: told of every address that cannot be had, and of what is not looked at.
    /// - Throws: when TCP was asked for and no address can be had, or the Unix socket is in use.
    static func open(
        _ settings: Settings,
        passed: [Int32] = [],
        handedOver: [Int32]? = nil,
        warn: (String) -> Void
    ) throws(StartError) -> [Listener] {
        if let handedOver {
            return try handedOver.map { descriptor throws(StartError) in
                var listener = try take(descriptor, settings)
                listener.isPassed = false
                return listener
            }
        }
        if !passed.isEmpty {
            if !settings.listenAddr.isEmpty {
                warn("listen_addr is not looked at: the supervisor has passed sockets")
            }
            return try passed.map { descriptor throws(StartError) in
                try take(descriptor, settings)
            }
        }
        // The Unix socket first: who sees the port open finds the socket, too.
        var listeners = settings.unixSocketDir.isEmpty ? [] : [try unix(settings)]
        let unixCount = listeners.count
        for name in settings.listenAddr {
            for address in addresses(of: name, port: settings.listenPort) {
                do throws(SystemError) {
                    listeners.append(try tcp(address, settings))
                } catch {
                    warn("cannot listen on \(address.logText): \(error)")
                }
            }
        }
        if listeners.count == unixCount && !settings.listenAddr.isEmpty {
            for index in listeners.indices { listeners[index].stop() }
            throw StartError("cannot listen on any of listen_addr")
        }
        return listeners
    }

    /// Takes a socket that the supervisor has opened.
    private static func take(
        _ descriptor: Int32,
        _ settings: Settings
    ) throws(StartError) -> Listener {
        var isListening: Int32 = 0
        let family = unsafe martlet_socket_kind(descriptor, &isListening)
        guard family >= 0, isListening != 0 else {
            throw StartError("descriptor \(descriptor) is not a listening socket")
        }
        var storage = sockaddr_storage()
        guard unsafe martlet_local_address(descriptor, &storage) == 0 else {
            throw StartError("\(SystemError.current("getsockname"))")
        }
        if family == AF_UNIX {
            let path = Endpoint.path(of: storage)
            return Listener(
                descriptor: descriptor,
                path: path,
                logText: "unix:\(path)",
                isPassed: true
            )
        }
        SocketOptions.apply(settings, toListener: descriptor)
        return Listener(
            descriptor: descriptor,
            path: nil,
            logText: SocketAddress(storage).logText,
            isPassed: true
        )
    }

    private static func addresses(of name: String, port: Int) -> [SocketAddress] {
        if name == "*" {
            return ["0.0.0.0", "::"].compactMap { SocketAddress(numeric: $0, port: port) }
        }
        if let address = SocketAddress(numeric: name, port: port) { return [address] }
        return Resolver.addresses(of: name).map { $0.with(port: port) }
    }

    private static func tcp(
        _ address: SocketAddress,
        _ settings: Settings
    ) throws(SystemError) -> Listener {
        let descriptor = try stream(address.family)
        _ = martlet_set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
        if settings.soReuseport {
            let status = martlet_set_option(descriptor, SOL_SOCKET, SO_REUSEPORT, 1)
            guard status == 0 else {
                close(descriptor)
                throw SystemError(call: "so_reuseport", code: -status)
            }
        }
        if address.family == AF_INET6 {
            _ = martlet_set_option(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1)
        }
        SocketOptions.apply(settings, toListener: descriptor)
        try bind(descriptor, to: address.storage, settings)
        return Listener(descriptor: descriptor, path: nil, logText: address.logText)
    }

    private static func unix(_ settings: Settings) throws(StartError) -> Listener {
        let path = "\(settings.unixSocketDir)/.s.PGSQL.\(settings.listenPort)"
        guard let address = Endpoint.unixAddress(path) else {
            throw StartError("unix_socket_dir is too long: \(settings.unixSocketDir)")
        }
        if isInUse(address) { throw StartError("unix socket is in use, cannot continue: \(path)") }
        if !path.hasPrefix("@") { _ = unsafe unlink(path) }
        do throws(SystemError) {
            let descriptor = try stream(AF_UNIX)
            try bind(descriptor, to: address, settings)
            if !path.hasPrefix("@") {
                _ = unsafe chmod(path, mode_t(truncatingIfNeeded: settings.unixSocketMode))
                try setGroup(settings.unixSocketGroup, of: path)
            }
            return Listener(descriptor: descriptor, path: path, logText: "unix:\(path)")
        } catch {
            throw StartError("cannot listen on unix:\(path): \(error)")
        }
    }

    private static func setGroup(_ name: String, of path: String) throws(SystemError) {
        guard !name.isEmpty else { return }
        let group: gid_t
        if let number = gid_t(name) {
            group = number
        } else if let entry = unsafe getgrnam(name) {
            group = unsafe entry.pointee.gr_gid
        } else {
            throw SystemError(call: "unix_socket_group \(name)", code: ENOENT)
        }
        guard unsafe chown(path, uid_t.max, group) == 0 else { throw .current("chown") }
    }

    private static func isInUse(_ storage: (sockaddr_storage, socklen_t)) -> Bool {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var (address, size) = storage
        return unsafe martlet_connect(descriptor, &address, size) == 0
    }

    private static func stream(_ family: Int32) throws(SystemError) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family, type, 0)
        guard descriptor >= 0 else { throw .current("socket") }
        return descriptor
    }

    private static func bind(
        _ descriptor: Int32,
        to storage: (sockaddr_storage, socklen_t),
        _ settings: Settings
    ) throws(SystemError) {
        var (address, size) = storage
        var status = unsafe martlet_bind(descriptor, &address, size)
        if status == 0 {
            status = listen(descriptor, Int32(truncatingIfNeeded: settings.listenBacklog))
            if status < 0 { status = -martlet_errno() }
        }
        guard status == 0 else {
            close(descriptor)
            throw SystemError(call: "bind", code: -status)
        }
    }
}

/// Why the pooler cannot start.
package struct StartError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}
