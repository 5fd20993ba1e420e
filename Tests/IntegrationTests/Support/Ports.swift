// TCP ports for tests. Several test runs on one machine never use the same at once: a port that nobody
// listens on now may be that of a server which another run is just starting again.

import Glibc
import Synchronization

/// TCP ports nobody listens on, below the kernel's range for outgoing connections.
enum Ports {
    private static let numbers = stride(from: 10_000, to: 32_000, by: 1_000)
    private static let state = Mutex<(claims: [Claim], unused: Range<Int>)>(([], 0..<0))

    static func free() -> Int {
        state.withLock { state in
            while true {
                if state.unused.isEmpty {
                    let (claim, ports) = claimPorts()
                    state = (state.claims + [claim], ports)
                }
                let port = state.unused.lowerBound
                state.unused = (port + 1)..<state.unused.upperBound
                if isFree(port) { return port }
            }
        }
    }

    private static func claimPorts() -> (Claim, Range<Int>) {
        for first in numbers {
            if let claim = Claim("ports-\(first)") { return (claim, first..<(first + 1_000)) }
        }
        fatalError("other test runs have claimed all ports")
    }

    static func isFree(_ port: Int) -> Bool {
        // A child spawned meanwhile must not inherit the port.
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_INET, type, 0)
        defer { close(descriptor) }
        var address = sockaddr_in(loopbackPort: port)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}

/// What one process of the machine can have at a time, until it gives it back or ends.
final class Claim {
    /// An abstract Unix socket, whose name goes with it.
    private let descriptor: Int32

    /// - Returns: nil if another process has it.
    init?(_ name: String) {
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue)
        descriptor = socket(AF_UNIX, type, 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = [0] + Array("martlet-tests-\(name)".utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let byteCount = MemoryLayout<sa_family_t>.size + path.count
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(byteCount))
            }
        }
        guard status == 0 else { return nil }
    }

    deinit { close(descriptor) }
}

extension sockaddr_in {
    init(loopbackPort port: Int) {
        self.init()
        sin_family = sa_family_t(AF_INET)
        sin_port = in_port_t(port).bigEndian
        sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    }
}
