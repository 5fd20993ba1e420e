// A client without libpq: bytes out, messages in. For what no well-behaved driver sends, and for
// looking at the answers message by message.

import Glibc

/// One message from the pooler.
struct WireMessage: Equatable, CustomStringConvertible {
    let type: Character
    let body: [UInt8]

    var description: String { "\(type)(\(body.count))" }

    /// Fields of an ErrorResponse or NoticeResponse.
    var fields: ErrorFields {
        var fields: [Character: String] = [:]
        for field in body.split(separator: 0) {
            guard let code = field.first else { continue }
            fields[Character(UnicodeScalar(code))] = String(
                decoding: field.dropFirst(),
                as: UTF8.self
            )
        }
        return ErrorFields(fields: fields)
    }

    /// The body as text up to its first zero byte.
    var text: String { String(decoding: body.prefix { $0 != 0 }, as: UTF8.self) }

    /// The columns of a DataRow, as text.
    var row: [String?] {
        var reader = body[...]
        return (0..<reader.removeInteger(2)).map { _ in
            let length = Int32(truncatingIfNeeded: reader.removeInteger(4))
            guard length >= 0 else { return nil }
            defer { reader.removeFirst(min(Int(length), reader.count)) }
            return String(decoding: reader.prefix(Int(length)), as: UTF8.self)
        }
    }
}

extension [WireMessage] {
    var types: [Character] { map(\.type) }
    var rows: [[String?]] { filter { $0.type == "D" }.map(\.row) }
    var error: ErrorFields? { first { $0.type == "E" }?.fields }
    /// Of the ReadyForQuery at the end.
    var transactionStatus: String? { last?.type == "Z" ? last?.text : nil }
}

extension ArraySlice<UInt8> {
    /// Takes a big-endian integer off the front.
    mutating func removeInteger(_ byteCount: Int) -> Int {
        let value = prefix(byteCount).reduce(0) { $0 << 8 | Int($1) }
        removeFirst(Swift.min(byteCount, count))
        return value
    }
}

/// Bytes of messages that a client sends.
enum Frontend {
    static let ssl = integer(8) + integer(80_877_103)
    static let gssEncryption = integer(8) + integer(80_877_104)
    static let sync = message("S")
    static let flush = message("H")
    static let terminate = message("X")

    static func integer(_ value: Int, byteCount: Int = 4) -> [UInt8] {
        (0..<byteCount).reversed().map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    static func string(_ text: String) -> [UInt8] { Array(text.utf8) + [0] }

    static func message(_ type: Character, _ body: [UInt8] = []) -> [UInt8] {
        [type.asciiValue ?? 0] + integer(body.count + 4) + body
    }

    static func startup(version: (Int, Int) = (3, 0), _ parameters: [(String, String)]) -> [UInt8] {
        let pairs = parameters.flatMap { string($0.0) + string($0.1) }
        let body = integer(version.0 << 16 | version.1) + pairs + [0]
        return integer(body.count + 4) + body
    }

    static func cancel(processID: Int, secretKey: [UInt8]) -> [UInt8] {
        integer(12 + secretKey.count) + integer(80_877_102) + integer(processID) + secretKey
    }

    static func query(_ statement: String) -> [UInt8] { message("Q", string(statement)) }

    static func parse(_ name: String, _ statement: String) -> [UInt8] {
        message("P", string(name) + string(statement) + integer(0, byteCount: 2))
    }

    static func bind(
        portal: String = "",
        _ statement: String,
        _ parameters: [String] = []
    ) -> [UInt8] {
        let values = parameters.flatMap { integer($0.utf8.count) + Array($0.utf8) }
        let head = string(portal) + string(statement) + integer(0, byteCount: 2)
        let count = integer(parameters.count, byteCount: 2)
        return message("B", head + count + values + integer(0, byteCount: 2))
    }

    static func execute(portal: String = "", rows: Int = 0) -> [UInt8] {
        message("E", string(portal) + integer(rows))
    }

    static func describe(_ kind: Character, _ name: String) -> [UInt8] {
        message("D", [kind.asciiValue ?? 0] + string(name))
    }

    static func close(_ kind: Character, _ name: String) -> [UInt8] {
        message("C", [kind.asciiValue ?? 0] + string(name))
    }
}

final class RawClient {
    private let descriptor: Int32
    private var isOpen = true
    private var received: [UInt8] = []
    private var consumed = 0
    private(set) var processID = 0
    private(set) var secretKey: [UInt8] = []
    var timeout: Duration = .patience

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in(loopbackPort: port)
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else {
            Glibc.close(descriptor)
            isOpen = false
            throw ConnectionFailed(description: "port \(port): \(String(cString: strerror(errno)))")
        }
        var on: Int32 = 1
        setsockopt(
            descriptor,
            Int32(IPPROTO_TCP),
            TCP_NODELAY,
            &on,
            socklen_t(MemoryLayout<Int32>.size)
        )
    }

    deinit { close() }

    /// The client's own port, by which the pooler's log names it.
    var localPort: Int {
        var address = sockaddr_in()
        var byteCount = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(descriptor, $0, &byteCount)
            }
        }
        return Int(in_port_t(bigEndian: address.sin_port))
    }

    func close() {
        guard isOpen else { return }
        isOpen = false
        Glibc.close(descriptor)
    }

    /// Closes so that the peer sees a reset instead of an end.
    func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(
            descriptor,
            SOL_SOCKET,
            SO_LINGER,
            &option,
            socklen_t(MemoryLayout<linger>.size)
        )
        close()
    }

    /// Says "no more bytes from me" and goes on reading.
    func finishWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// A small receive buffer makes a slow reader felt early.
    ///
    /// Set before the data comes.
    func limitReceiveBuffer(_ byteCount: Int32) {
        var size = byteCount
        setsockopt(
            descriptor,
            SOL_SOCKET,
            SO_RCVBUF,
            &size,
            socklen_t(MemoryLayout<Int32>.size)
        )
    }

    // MARK: - Sending

    func send(_ bytes: [UInt8]) throws {
        let deadline = Deadline(in: timeout)
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, withoutBlocking)
            }
            if count > 0 {
                sent += count
            } else if count < 0 && errno == EAGAIN {
                try wait(for: POLLOUT, deadline, "writing")
            } else {
                throw ConnectionFailed(description: "write: \(String(cString: strerror(errno)))")
            }
        }
    }

    /// Every byte in a write, and so mostly in a packet, of its own.
    func sendByteByByte(_ bytes: [UInt8]) throws {
        for byte in bytes { try send([byte]) }
    }

    /// Sends until the sockets have taken nothing for so long; returns the count.
    func sendWhilePossible(_ bytes: [UInt8], upTo limit: Int, stuckFor duration: Duration) -> Int {
        var deadline = Deadline(in: duration)
        var sent = 0
        while sent < limit && !deadline.hasPassed {
            // What the kernel took only in part goes on where it stopped.
            let rest = bytes[(sent % bytes.count)...]
            let count = rest.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, withoutBlocking)
            }
            if count > 0 {
                sent += count
                deadline = Deadline(in: duration)
            } else if errno == EAGAIN {
                pause(.milliseconds(5))
            } else {
                return sent
            }
        }
        return sent
    }

    // MARK: - Receiving

    /// One byte outside any message: the answer to SSLRequest.
    func receiveByte() throws -> Character {
        try fill(1)
        defer { consumed += 1 }
        return Character(UnicodeScalar(received[consumed]))
    }

    func receive() throws -> WireMessage {
        try fill(5)
        let type = Character(UnicodeScalar(received[consumed]))
        var header = received[(consumed + 1)..<(consumed + 5)]
        let length = header.removeInteger(4)
        guard length >= 4 else { throw ConnectionFailed(description: "length \(length)") }
        try fill(length + 1)
        defer {
            consumed += length + 1
            compact()
        }
        let body = Array(received[(consumed + 5)..<(consumed + length + 1)])
        return WireMessage(type: type, body: body)
    }

    /// Messages up to and with the first of this type.
    func receive(until type: Character) throws -> [WireMessage] {
        var messages: [WireMessage] = []
        repeat { messages.append(try receive()) } while messages.last?.type != type
        return messages
    }

    /// Messages up to ReadyForQuery.
    func receiveUntilReady() throws -> [WireMessage] { try receive(until: "Z") }

    /// Everything up to the end of the connection; a reset counts as the end.
    func receiveUntilClosed() throws -> [WireMessage] {
        var messages: [WireMessage] = []
        do {
            while true { messages.append(try receive()) }
        } catch is ConnectionEnded {
            return messages
        }
    }

    /// True once the pooler has closed the connection; what it said before is dropped.
    func isClosed(within limit: Duration = .patience) -> Bool {
        let saved = timeout
        timeout = limit
        defer { timeout = saved }
        return (try? receiveUntilClosed()) != nil
    }

    /// True when nothing arrives for so long.
    func isSilent(for duration: Duration = .milliseconds(200)) -> Bool {
        guard consumed == received.count else { return false }
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, Deadline(in: duration).millisecondsLeft) == 0
    }

    // MARK: - Login

    /// Logs in without a password and remembers the cancel key; returns the messages.
    @discardableResult
    func login(user: String, database: String) throws -> [WireMessage] {
        try send(Frontend.startup([("user", user), ("database", database)]))
        return try finishLogin()
    }

    @discardableResult
    func finishLogin() throws -> [WireMessage] {
        var messages: [WireMessage] = []
        repeat {
            messages.append(try receive())
            if messages.last?.type == "E" {
                throw ConnectionFailed(description: messages.last?.fields.description ?? "")
            }
        } while messages.last?.type != "Z"
        if let key = messages.first(where: { $0.type == "K" }) {
            var reader = key.body[...]
            processID = reader.removeInteger(4)
            secretKey = Array(reader)
        }
        return messages
    }

    private func compact() {
        guard consumed == received.count || consumed > 1 << 20 else { return }
        received.removeFirst(consumed)
        consumed = 0
    }

    private func fill(_ byteCount: Int) throws {
        guard received.count - consumed < byteCount else { return }
        let deadline = Deadline(in: timeout)
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while received.count - consumed < byteCount {
            try wait(for: POLLIN, deadline, "message")
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else {
                throw ConnectionEnded(
                    errorNumber: count < 0 ? errno : 0,
                    isMidMessage: consumed < received.count
                )
            }
            received.append(contentsOf: buffer[..<count])
        }
    }

    private func wait(for events: Int32, _ deadline: Deadline, _ step: String) throws {
        var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        if poll(&entry, 1, deadline.millisecondsLeft) == 0 { throw TimedOut(step) }
    }
}

private let withoutBlocking = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)

/// The other side closed (0) or reset the connection.
struct ConnectionEnded: Error {
    let errorNumber: Int32
    /// Whether a message had begun: nothing could be said any more.
    let isMidMessage: Bool
}
