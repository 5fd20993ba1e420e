// A server that says what a test wants it to say: for what PostgreSQL does only when it is broken.

import Foundation
import Glibc
import Testing

/// One connection of the pooler to a scripted server.
struct ScriptedConnection {
    let descriptor: Int32
    /// Which connection this is, from 1.
    let number: Int

    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            sent += count
        }
    }

    /// The next message, or nil at the end of the connection.
    func receive() -> WireMessage? {
        guard let header = receive(5) else { return nil }
        var length = header[1...]
        guard let body = receive(length.removeInteger(4) - 4) else { return nil }
        return WireMessage(type: Character(UnicodeScalar(header[0])), body: body)
    }

    /// Takes the StartupMessage and lets the pooler in.
    func letIn() {
        guard let header = receive(4) else { return }
        var length = header[...]
        _ = receive(length.removeInteger(4) - 4)
        send(Backend.welcome)
    }

    /// Takes a CancelRequest, or the end of the connection.
    func receiveCancelRequest() {
        _ = receive(16)
    }

    private func receive(_ count: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: max(count, 1))
        while bytes.count < count {
            let received = recv(descriptor, &chunk, count - bytes.count, 0)
            guard received > 0 else { return nil }
            bytes += chunk[..<received]
        }
        return bytes
    }
}

/// Bytes of messages that a server sends.
enum Backend {
    static let ready = Frontend.message("Z", Array("I".utf8))
    static let notice = Frontend.message(
        "N",
        Array("SNOTICE".utf8) + [0] + Frontend.string("Mhello") + [0]
    )
    static let welcome =
        Frontend.message("R", Frontend.integer(0)) + parameter("server_version", "15.1")
        + parameter("client_encoding", "UTF8")
        + Frontend.message("K", Frontend.integer(7) + Frontend.integer(8)) + ready

    static func parameter(_ name: String, _ value: String) -> [UInt8] {
        Frontend.message("S", Frontend.string(name) + Frontend.string(value))
    }

    static func row(_ value: String) -> [UInt8] {
        let column = Frontend.integer(value.utf8.count) + Array(value.utf8)
        return Frontend.message("D", Frontend.integer(1, byteCount: 2) + column)
    }

    static func fatal(_ text: String) -> [UInt8] {
        let fields = ["SFATAL", "C57P01", "M" + text].flatMap(Frontend.string)
        return Frontend.message("E", fields + [0])
    }

    /// The whole answer to a Query.
    static func answer(_ value: String) -> [UInt8] {
        row(value) + Frontend.message("C", Frontend.string("SELECT 1")) + ready
    }
}

/// Listens on a port and runs a script for each connection, each on a thread of its own.
final class ScriptedServer: @unchecked Sendable {
    let port: Int
    private let listener: Int32

    init(_ script: @escaping @Sendable (ScriptedConnection) -> Void) throws {
        port = Ports.free()
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in(loopbackPort: port)
        let listener = listener
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard bound == 0, listen(listener, 128) == 0 else {
            throw SpawnFailed(description: "scripted server: \(String(cString: strerror(errno)))")
        }
        Thread.detachNewThread {
            var number = 0
            while true {
                let descriptor = accept(listener, nil, nil)
                if descriptor < 0 {
                    // Other tests may have all descriptors for the moment.
                    guard [EMFILE, ENFILE, EINTR, ECONNABORTED].contains(errno) else { return }
                    pause(.milliseconds(10))
                    continue
                }
                number += 1
                let connection = ScriptedConnection(descriptor: descriptor, number: number)
                Thread.detachNewThread {
                    script(connection)
                    Glibc.close(connection.descriptor)
                }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        Glibc.close(listener)
    }

    /// What [databases] says of this server.
    var database: String {
        "host=127.0.0.1 port=\(port) dbname=app server_tls_sslmode=disable"
    }
}

/// Runs a test against a pooler before a scripted server, which audits would get no answer from.
func withPooler(
    _ settings: [String: String] = [:],
    before server: ScriptedServer,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: (Pooler) throws -> Void
) throws {
    try withPooler(
        settings.merging(["audit_interval": "0"]) { $1 },
        databases: ["app": server.database],
        sourceLocation: sourceLocation,
        body
    )
}

/// Answers every Query with one row.
@Sendable func answerQueries(_ connection: ScriptedConnection) {
    connection.letIn()
    while let message = connection.receive() {
        if message.type == "Q" { connection.send(Backend.answer(message.text)) }
    }
}
