// Addresses of peers: as the kernel wants them, and as people read them.

internal import CLinux
internal import PoolerCore
internal import PostgresWire

/// The address of one end of a socket.
struct SocketAddress: Equatable, Sendable {
    private enum Kind: UInt8 {
        case ipv4
        case ipv6
        case unix
    }

    /// The address in network order read as numbers; an IPv4 address is in `low`.
    private let high: UInt64
    private let low: UInt64
    /// The TCP port; for Unix sockets the peer's process id.
    let port: Int32
    /// The interface of a link-local IPv6 address.
    private let scope: UInt16
    private let kind: Kind

    /// A Unix socket, with the process at its other end.
    static func unix(process: Int32) -> SocketAddress {
        SocketAddress(kind: .unix, port: process)
    }

    private init(
        kind: Kind,
        high: UInt64 = 0,
        low: UInt64 = 0,
        scope: UInt32 = 0,
        port: Int32
    ) {
        self.kind = kind
        self.high = high
        self.low = low
        self.scope = UInt16(truncatingIfNeeded: scope)
        self.port = port
    }

    /// Reads what accept, getsockname or getaddrinfo gave.
    init(_ storage: sockaddr_storage) {
        switch Int32(storage.ss_family) {
        case AF_INET:
            let address = unsafe withUnsafeBytes(of: storage) {
                unsafe $0.load(as: sockaddr_in.self)
            }
            self.init(
                kind: .ipv4,
                low: UInt64(UInt32(bigEndian: address.sin_addr.s_addr)),
                port: Int32(UInt16(bigEndian: address.sin_port))
            )
        case AF_INET6:
            let address = unsafe withUnsafeBytes(of: storage) {
                unsafe $0.load(as: sockaddr_in6.self)
            }
            let halves = unsafe withUnsafeBytes(of: address.sin6_addr) {
                unsafe (
                    $0.loadUnaligned(as: UInt64.self),
                    $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
                )
            }
            self.init(
                kind: .ipv6,
                high: UInt64(bigEndian: halves.0),
                low: UInt64(bigEndian: halves.1),
                scope: address.sin6_scope_id,
                port: Int32(UInt16(bigEndian: address.sin6_port))
            )
        default:
            self.init(kind: .unix, port: 0)
        }
    }

    /// Reads a numeric address; nil when `text` is none.
    init?(numeric text: String, port: Int) {
        var ipv4 = in_addr()
        var ipv6 = in6_addr()
        if unsafe inet_pton(AF_INET, text, &ipv4) == 1 {
            self.init(
                kind: .ipv4,
                low: UInt64(UInt32(bigEndian: ipv4.s_addr)),
                port: Int32(truncatingIfNeeded: port)
            )
        } else if unsafe inet_pton(AF_INET6, text, &ipv6) == 1 {
            let halves = unsafe withUnsafeBytes(of: ipv6) {
                unsafe (
                    $0.loadUnaligned(as: UInt64.self),
                    $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
                )
            }
            self.init(
                kind: .ipv6,
                high: UInt64(bigEndian: halves.0),
                low: UInt64(bigEndian: halves.1),
                port: Int32(truncatingIfNeeded: port)
            )
        } else {
            return nil
        }
    }

    /// The address, for another process.
    var record: AddressRecord {
        AddressRecord(kind: kind.rawValue, high: high, low: low, scope: scope, port: port)
    }

    /// Reads what `record` has made; an unknown kind is taken for a Unix socket.
    init(_ record: AddressRecord) {
        self.init(
            kind: Kind(rawValue: record.kind) ?? .unix,
            high: record.high,
            low: record.low,
            scope: UInt32(record.scope),
            port: record.port
        )
    }

    var isUnix: Bool { kind == .unix }

    /// The address without its port.
    var peer: PeerAddress {
        switch kind {
        case .ipv4: .ipv4(UInt32(truncatingIfNeeded: low))
        case .ipv6: .ipv6(high: high, low: low)
        case .unix: .unix
        }
    }

    /// The same address with another port.
    func with(port: Int) -> SocketAddress {
        SocketAddress(
            kind: kind,
            high: high,
            low: low,
            scope: UInt32(scope),
            port: Int32(truncatingIfNeeded: port)
        )
    }

    /// The address family for socket(2).
    var family: Int32 {
        switch kind {
        case .ipv4: AF_INET
        case .ipv6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    /// The address as the kernel takes it, with its size.
    ///
    /// Not for Unix sockets.
    var storage: (sockaddr_storage, socklen_t) {
        var storage = sockaddr_storage()
        let networkPort = UInt16(truncatingIfNeeded: port).bigEndian
        switch kind {
        case .ipv4:
            var inet = sockaddr_in()
            inet.sin_family = sa_family_t(AF_INET)
            inet.sin_port = networkPort
            inet.sin_addr.s_addr = UInt32(truncatingIfNeeded: low).bigEndian
            unsafe withUnsafeMutableBytes(of: &storage) {
                unsafe $0.storeBytes(of: inet, as: sockaddr_in.self)
            }
            return (storage, socklen_t(MemoryLayout<sockaddr_in>.size))
        case .ipv6:
            var inet = sockaddr_in6()
            inet.sin6_family = sa_family_t(AF_INET6)
            inet.sin6_port = networkPort
            inet.sin6_scope_id = UInt32(scope)
            unsafe withUnsafeMutableBytes(of: &inet.sin6_addr) {
                unsafe $0.storeBytes(of: high.bigEndian, as: UInt64.self)
                unsafe $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            unsafe withUnsafeMutableBytes(of: &storage) {
                unsafe $0.storeBytes(of: inet, as: sockaddr_in6.self)
            }
            return (storage, socklen_t(MemoryLayout<sockaddr_in6>.size))
        case .unix:
            storage.ss_family = sa_family_t(AF_UNIX)
            return (storage, socklen_t(MemoryLayout<sa_family_t>.size))
        }
    }

    /// The host alone, `unix` for Unix sockets: the addr column of SHOW CLIENTS.
    var host: String {
        var (storage, size) = self.storage
        if isUnix { return "unix" }
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let status = unsafe withUnsafePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getnameinfo(
                    $0,
                    size,
                    &text,
                    socklen_t(text.count),
                    nil,
                    0,
                    Int32(NI_NUMERICHOST)
                )
            }
        }
        guard status == 0 else { return "?" }
        return String(
            decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) },
            as: UTF8.self
        )
    }

    /// Host and port as the log has them: `10.0.0.1:5432`, `[::1]:5432`, `unix(1234)`.
    var logText: String {
        switch kind {
        case .unix: "unix(\(port))"
        case .ipv6: "[\(host)]:\(port)"
        case .ipv4: "\(host):\(port)"
        }
    }
}

extension SocketAddress {
    /// The local address of a socket.
    static func local(of descriptor: Int32) -> SocketAddress {
        var storage = sockaddr_storage()
        return unsafe martlet_local_address(descriptor, &storage) == 0
            ? SocketAddress(storage) : .unix(process: 0)
    }
}
