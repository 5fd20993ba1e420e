// A host of its own that can fail as a machine does: it listens on a loopback address and passes bytes on
// to PostgreSQL, until the test has it refuse, fall silent or break.

import Foundation
import Glibc

final class HostProxy: @unchecked Sendable {
    let address: String
    let port: Int
    private let target: Int
    private let lock = NSCondition()
    private var listener: Int32 = -1
    private var descriptors: [Int32] = []
    private var isSilent = false

    /// - Parameters:
    ///   - address: one of 127.0.0.0/8.
    ///   - target: PostgreSQL's port on 127.0.0.1.
    init(_ address: String, port: Int, to target: Int) throws {
        self.address = address
        self.port = port
        self.target = target
        try start()
    }

    /// Listens, and passes on what comes.
    func start() throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var reuse: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
        guard connectOrBind(listener, address, port, Glibc.bind) == 0, listen(listener, 128) == 0
        else {
            throw SpawnFailed(description: "host proxy: \(String(cString: strerror(errno)))")
        }
        lock.withLock {
            self.listener = listener
            isSilent = false
        }
        Thread.detachNewThread { [self] in
            while case let client = accept(listener, nil, nil), client >= 0 {
                let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
                guard connectOrBind(server, "127.0.0.1", target, Glibc.connect) == 0 else {
                    Glibc.close(client)
                    Glibc.close(server)
                    continue
                }
                lock.withLock { descriptors += [client, server] }
                Thread.detachNewThread { self.pass(from: client, to: server) }
                Thread.detachNewThread { self.pass(from: server, to: client) }
            }
        }
    }

    /// Refuses connections from now on, and breaks those that there are.
    func refuse() {
        let (listener, descriptors) = lock.withLock {
            defer { (self.listener, self.descriptors, isSilent) = (-1, [], false) }
            lock.broadcast()
            return (self.listener, self.descriptors)
        }
        shutdown(listener, Int32(SHUT_RDWR))
        Glibc.close(listener)
        // Closed by nobody, so that their numbers are not used again meanwhile.
        for descriptor in descriptors { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }

    /// Takes connections and bytes, and passes nothing on: packets are lost.
    func fallSilent() { lock.withLock { isSilent = true } }

    private func pass(from source: Int32, to target: Int32) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while case let count = recv(source, &buffer, buffer.count, 0), count > 0 {
            lock.withLock { while isSilent { lock.wait() } }
            var sent = 0
            while sent < count {
                let written = buffer[sent..<count].withUnsafeBytes {
                    Glibc.send(target, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                if written <= 0 { break }
                sent += written
            }
        }
        shutdown(target, Int32(SHUT_RDWR))
    }
}

/// A listening port whose queue is full: the kernel drops who comes next.
final class FullBacklog {
    private var descriptors: [Int32] = []

    init(_ address: String, port: Int) throws {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let listener = socket(AF_INET, type, 0)
        guard connectOrBind(listener, address, port, Glibc.bind) == 0, listen(listener, 0) == 0
        else {
            throw SpawnFailed(description: "full backlog: \(String(cString: strerror(errno)))")
        }
        descriptors = [listener]
        for _ in 0..<8 {
            let filler = socket(AF_INET, type, 0)
            _ = connectOrBind(filler, address, port, Glibc.connect)
            descriptors.append(filler)
        }
    }

    deinit { for descriptor in descriptors { Glibc.close(descriptor) } }
}

private func connectOrBind(
    _ descriptor: Int32,
    _ host: String,
    _ port: Int,
    _ call: (Int32, UnsafePointer<sockaddr>?, socklen_t) -> Int32
) -> Int32 {
    var address = sockaddr_in(loopbackPort: port)
    inet_pton(AF_INET, host, &address.sin_addr)
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            call(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
}
