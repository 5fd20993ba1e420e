import Glibc
import Testing

@testable import PoolerCore
@testable import PoolerIO

/// What clients' sockets take over from the socket that they came in by.
@Suite struct SocketOptionsTests {
    private static let level = Int32(IPPROTO_TCP)

    @Test func acceptedSocketsTakeOverTheSettings() throws {
        let listener = try Listening()
        let preset = listener.option(Self.level, TCP_KEEPIDLE)
        var settings = Settings(flavor: .martlet)
        (settings.tcpKeepalive, settings.tcpKeepidle, settings.tcpKeepcnt) = (true, 77, 5)
        settings.tcpUserTimeout = 12_345
        settings.tcpDeferAccept = false  // the client never sends anything
        SocketOptions.apply(settings, toListener: listener.descriptor)
        var client = try listener.accept()
        #expect(client.option(Self.level, TCP_NODELAY) != 0)
        #expect(client.option(SOL_SOCKET, SO_KEEPALIVE) != 0)
        #expect(client.option(Self.level, TCP_KEEPIDLE) == 77)
        #expect(client.option(Self.level, TCP_KEEPCNT) == 5)
        #expect(client.option(Self.level, TCP_USER_TIMEOUT) == 12_345)

        (settings.tcpKeepalive, settings.tcpKeepidle, settings.tcpUserTimeout) = (false, 0, 0)
        SocketOptions.apply(settings, toListener: listener.descriptor)
        client = try listener.accept()
        #expect(client.option(Self.level, TCP_NODELAY) != 0)
        #expect(client.option(SOL_SOCKET, SO_KEEPALIVE) == 0)
        #expect(client.option(Self.level, TCP_KEEPIDLE) == preset)
        #expect(client.option(Self.level, TCP_USER_TIMEOUT) == 0)
    }

    @Test func listenersPassOptionsOnFromTheStart() throws {
        var settings = Settings(flavor: .martlet)
        settings.unixSocketDir = ""
        settings.listenAddr = ["127.0.0.1"]
        settings.listenPort = 0
        settings.tcpKeepidle = 99
        settings.tcpDeferAccept = false
        var listeners = try Listener.open(settings) { Issue.record("\($0)") }
        defer { listeners[0].stop() }
        let client = try Listening(descriptor: dup(listeners[0].descriptor)).accept()
        #expect(client.option(Self.level, TCP_KEEPIDLE) == 99)
    }

    @Test func everyOptionOfTheSettings() throws {
        let listener = try Listening()
        var settings = Settings(flavor: .martlet)
        (settings.tcpKeepintvl, settings.tcpSocketBuffer) = (33, 50_000)
        settings.tcpDeferAccept = false  // as above
        SocketOptions.apply(settings, toListener: listener.descriptor)
        let client = try listener.accept()
        SocketOptions.applyToAccepted(settings, client.descriptor)
        #expect(client.option(Self.level, TCP_KEEPINTVL) == 33)
        // The kernel doubles what it is asked for.
        #expect(client.option(SOL_SOCKET, SO_RCVBUF) == 100_000)
        #expect(client.option(SOL_SOCKET, SO_SNDBUF) == 100_000)
    }

    @Test func theBacklogIsTheListeners() throws {
        var settings = Settings(flavor: .martlet)
        (settings.unixSocketDir, settings.listenPort) = ("", 0)
        settings.listenBacklog = 7
        var listeners = try Listener.open(settings) { Issue.record("\($0)") }
        defer { listeners[0].stop() }
        var info = tcp_info()
        var size = socklen_t(MemoryLayout<tcp_info>.size)
        let descriptor = listeners[0].descriptor
        try #require(unsafe getsockopt(descriptor, Self.level, TCP_INFO, &info, &size) == 0)
        // Of a listening socket it is the length of the queue.
        #expect(info.tcpi_sacked == 7)
    }
}

/// A socket that is closed with the value.
private class Socket {
    let descriptor: Int32

    init(descriptor: Int32) throws {
        self.descriptor = descriptor
        try #require(descriptor >= 0)
    }

    deinit { close(descriptor) }

    func option(_ level: Int32, _ name: Int32) -> Int32 {
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        #expect(unsafe getsockopt(descriptor, level, name, &value, &size) == 0)
        return value
    }
}

/// A socket that listens.
private final class Listening: Socket {
    /// On a port of the kernel's choice.
    convenience init() throws {
        try self.init(descriptor: socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
        try #require(listen(descriptor, 8) == 0)
    }

    /// Connects, and closes the connecting side.
    func accept() throws -> Socket {
        let peer = try Socket(descriptor: socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
        var address = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let status = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                let status = unsafe getsockname(descriptor, address, &size)
                return status == 0 ? unsafe connect(peer.descriptor, address, size) : status
            }
        }
        try #require(status == 0)
        return try Socket(descriptor: Glibc.accept(descriptor, nil, nil))
    }
}
