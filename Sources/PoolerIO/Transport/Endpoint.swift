// Where a server listens, and how to get a socket that connects to it.

internal import CLinux
internal import PoolerCore

/// A place to connect to.
enum Endpoint: Equatable, Sendable {
    /// A name that is not resolved yet.
    case name(String, port: Int)
    case tcp(SocketAddress)
    case unix(path: String)

    /// The place that a host and port of the configuration mean: a path is a directory that has the
    /// Unix socket in it.
    init(host: String, port: Int) {
        if host.hasPrefix("/") || host.hasPrefix("@") {
            self = .unix(path: "\(host)/.s.PGSQL.\(port)")
        } else if let address = SocketAddress(numeric: host, port: port) {
            self = .tcp(address)
        } else {
            self = .name(host, port: port)
        }
    }

    /// The addr column of SHOW SERVERS.
    var host: String {
        switch self {
        case .name(let name, _): name
        case .tcp(let address): address.host
        case .unix: "unix"
        }
    }

    var port: Int {
        switch self {
        case .name(_, let port): port
        case .tcp(let address): Int(address.port)
        case .unix(let path): path.split(separator: ".").last.flatMap { Int($0) } ?? 0
        }
    }

    /// Starts to connect.
    ///
    /// - Returns: a socket that becomes writable when it is connected or has failed, or nil when the
    ///   attempt failed at once.
    func connect(_ settings: Settings) -> Int32? {
        switch self {
        case .name: nil
        case .tcp(let address):
            Self.connect(family: address.family, to: address.storage) { descriptor in
                SocketOptions.apply(settings, to: descriptor)
            }
        case .unix(let path):
            Self.unixAddress(path).flatMap { storage in
                Self.connect(family: AF_UNIX, to: storage) { _ in }
            }
        }
    }

    private static func connect(
        family: Int32,
        to storage: (sockaddr_storage, socklen_t),
        prepare: (Int32) -> Void
    ) -> Int32? {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family, type, 0)
        guard descriptor >= 0 else { return nil }
        prepare(descriptor)
        var (address, size) = storage
        let status = unsafe martlet_connect(descriptor, &address, size)
        guard status == 0 || status == -EINPROGRESS else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    /// The address of a Unix socket; a leading `@` names one in the abstract namespace.
    static func unixAddress(_ path: String) -> (sockaddr_storage, socklen_t)? {
        var bytes = Array(path.utf8)
        let limit = MemoryLayout.size(ofValue: sockaddr_un().sun_path)
        guard bytes.count < limit else { return nil }
        let isAbstract = bytes.first == UInt8(ascii: "@")
        if isAbstract { bytes[0] = 0 }
        var storage = sockaddr_storage()
        let offset = MemoryLayout<sa_family_t>.size
        unsafe withUnsafeMutableBytes(of: &storage) { memory in
            unsafe memory.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
            unsafe UnsafeMutableRawBufferPointer(rebasing: memory[offset...]).copyBytes(from: bytes)
        }
        return (storage, socklen_t(offset + bytes.count + (isAbstract ? 0 : 1)))
    }

    /// The path of the address of a Unix socket; one in the abstract namespace begins with `@`.
    static func path(of storage: sockaddr_storage) -> String {
        let offset = MemoryLayout<sa_family_t>.size
        var bytes = unsafe withUnsafeBytes(of: storage) { unsafe Array($0.dropFirst(offset)) }
        if bytes[0] == 0 { bytes[0] = UInt8(ascii: "@") }
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}

/// What is known of where an endpoint is.
enum ResolvedEndpoint {
    /// Not a name any more.
    case known(Endpoint)
    case unresolvable
    /// The resolver has been asked.
    case underWay
}

/// The socket options that the configuration asks for.
enum SocketOptions {
    /// For how long the kernel holds a silent connection back, in seconds: as PgBouncer.
    private static let acceptDelay = 45

    /// Sets them on a TCP socket.
    ///
    /// The kernel's refusal of one is not worth losing the connection.
    static func apply(_ settings: Settings, to descriptor: Int32) {
        func set(_ level: Int32, _ name: Int32, _ value: Int) {
            _ = martlet_set_option(descriptor, level, name, Int32(truncatingIfNeeded: value))
        }
        set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        if settings.tcpKeepalive {
            set(SOL_SOCKET, SO_KEEPALIVE, 1)
            for (name, value) in keepaliveTimes(settings) where value > 0 {
                set(Int32(IPPROTO_TCP), name, value)
            }
        }
        if settings.tcpUserTimeout > 0 {
            set(Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, settings.tcpUserTimeout)
        }
        applyToAccepted(settings, descriptor)
    }

    /// Sets on a listening TCP socket what the sockets have that it accepts from now on: they take
    /// over its options.
    ///
    /// Undoes what earlier settings have set.
    static func apply(_ settings: Settings, toListener descriptor: Int32) {
        // Who has been given 0 gets what the kernel gives to every new socket.
        let fresh = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { if fresh >= 0 { close(fresh) } }
        func set(_ level: Int32, _ name: Int32, _ value: Int) {
            _ = martlet_set_option(descriptor, level, name, Int32(truncatingIfNeeded: value))
        }
        set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        set(SOL_SOCKET, SO_KEEPALIVE, settings.tcpKeepalive ? 1 : 0)
        for (name, value) in keepaliveTimes(settings) {
            let preset = martlet_option(fresh, Int32(IPPROTO_TCP), name)
            set(Int32(IPPROTO_TCP), name, value > 0 ? value : Int(preset))
        }
        set(Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, settings.tcpUserTimeout)
        set(Int32(IPPROTO_TCP), TCP_DEFER_ACCEPT, settings.tcpDeferAccept ? acceptDelay : 0)
    }

    /// Sets on an accepted TCP socket what its listener cannot pass on: a listener whose buffers have
    /// once had a fixed size can never go back to the kernel's own choice.
    static func applyToAccepted(_ settings: Settings, _ descriptor: Int32) {
        guard settings.tcpSocketBuffer > 0 else { return }
        let size = Int32(truncatingIfNeeded: settings.tcpSocketBuffer)
        _ = martlet_set_option(descriptor, SOL_SOCKET, SO_SNDBUF, size)
        _ = martlet_set_option(descriptor, SOL_SOCKET, SO_RCVBUF, size)
    }

    /// Numbers of seconds and probes; 0 stands for the kernel's own.
    private static func keepaliveTimes(_ settings: Settings) -> [(name: Int32, value: Int)] {
        [
            (TCP_KEEPCNT, settings.tcpKeepcnt),
            (TCP_KEEPIDLE, settings.tcpKeepidle),
            (TCP_KEEPINTVL, settings.tcpKeepintvl),
        ]
    }
}
