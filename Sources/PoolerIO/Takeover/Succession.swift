// The new process's side of a takeover: it asks the running process for what that has, and hands what
// comes to its workers.

internal import CLinux
internal import Logging
internal import PoolerCore
internal import PostgresWire

/// The process that this one takes over from.
final class Succession: Sendable {
    private let channel: TakeoverChannel
    /// The listening sockets of the other process.
    let listeners: [Int32]
    /// How many processes there were before this one.
    let generation: UInt64

    private init(_ channel: TakeoverChannel, listeners: [Int32], generation: UInt64) {
        self.channel = channel
        self.listeners = listeners
        self.generation = generation
    }

    /// Asks the process that listens on the Unix socket of the settings for what it has.
    ///
    /// - Returns: nil when there is no such process.
    /// - Throws: `StartError` when it refuses.
    static func ask(_ settings: Settings) throws(StartError) -> Succession? {
        guard !settings.unixSocketDir.isEmpty else {
            throw StartError("-R needs the setting unix_socket_dir")
        }
        let path = "\(settings.unixSocketDir)/.s.PGSQL.\(settings.listenPort)"
        guard let (address, size) = Endpoint.unixAddress(path) else {
            throw StartError("unix_socket_dir is too long: \(settings.unixSocketDir)")
        }
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_UNIX, type, 0)
        guard descriptor >= 0 else { throw StartError("\(SystemError.current("socket"))") }
        var storage = address
        guard unsafe martlet_connect(descriptor, &storage, size) == 0 else {
            close(descriptor)
            return nil
        }
        do throws(StartError) {
            try request(on: descriptor)
        } catch {
            close(descriptor)
            throw error
        }
        let channel = TakeoverChannel(descriptor)
        var inbox = TakeoverChannel.Inbox()
        guard let parcel = try? channel.receive(&inbox),
            case .hello(let version, let generation, _) = parcel.message
        else {
            inbox.discard()
            throw StartError("the running process does not answer to TAKEOVER")
        }
        guard version == TakeoverMessage.version else {
            inbox.discard()
            parcel.discard()
            throw StartError(
                "the running process cannot be taken over: it speaks version \(version) of that"
            )
        }
        return Succession(channel, listeners: parcel.descriptors, generation: generation)
    }

    /// Logs in to the console as its owner and asks for TAKEOVER.
    private static func request(on descriptor: Int32) throws(StartError) {
        var writer = ByteWriter()
        writer.startupMessage([
            StartupParameter(name: "user", value: "pgbouncer"),
            StartupParameter(name: "database", value: "pgbouncer"),
        ])
        try send(writer.bytes, on: descriptor)
        while true {
            let (type, body) = try message(on: descriptor)
            if type == .readyForQuery { break }
            if type == .errorResponse { throw refusal(body) }
        }
        writer = ByteWriter()
        writer.message(.query) { $0.writeCString("TAKEOVER") }
        try send(writer.bytes, on: descriptor)
        // What comes next are messages of another kind; an error says why none come.
        guard martlet_wait(descriptor, 0, patience) == 1 else { throw lost }
        var first: UInt8 = 0
        let count = unsafe recv(descriptor, &first, 1, Int32(MSG_PEEK))
        guard count == 1 else { throw lost }
        guard first == BackendMessageType.errorResponse.rawValue else { return }
        throw refusal(try message(on: descriptor).body)
    }

    /// How long the running process may take for an answer, in milliseconds.
    private static let patience: Int32 = 10_000

    private static var lost: StartError {
        StartError("the running process does not answer, or has closed the connection")
    }

    private static func refusal(_ body: [UInt8]) -> StartError {
        let text =
            (try? ErrorResponse(decoding: unsafe body.span.bytes))?.message.text ?? "unreadable"
        return StartError("the running process refuses to be taken over: \(text)")
    }

    private static func send(_ bytes: [UInt8], on descriptor: Int32) throws(StartError) {
        guard unsafe martlet_send(descriptor, bytes, bytes.count) == bytes.count else { throw lost }
    }

    private static func message(
        on descriptor: Int32
    ) throws(StartError) -> (type: BackendMessageType, body: [UInt8]) {
        let header = try read(MessageHeader.byteCount, on: descriptor)
        guard
            let peeked = try? MessageHeader(peeking: unsafe header.span.bytes, at: 0, limit: 65_536)
        else { throw lost }
        return (
            BackendMessageType(rawValue: peeked.typeByte),
            try read(peeked.bodyByteCount, on: descriptor)
        )
    }

    private static func read(_ count: Int, on descriptor: Int32) throws(StartError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        guard count > 0 else { return bytes }
        guard martlet_wait(descriptor, 0, patience) == 1 else { throw lost }
        guard unsafe recv(descriptor, &bytes, count, Int32(MSG_WAITALL)) == count else {
            throw lost
        }
        return bytes
    }

    // MARK: Receiving

    /// Says that this process is ready, and takes what comes.
    ///
    /// - Parameters:
    ///   - configuration: the one in effect at the start.
    ///   - log: told how it goes.
    func start(_ shared: SharedState, _ configuration: Configuration, _ log: Logger) {
        shared.foreign.predecessor = self
        let statements = TakeoverStatements(shared.statements)
        Thread.start { self.receiveAll(shared, configuration, statements, log) }
    }

    private func receiveAll(
        _ shared: SharedState,
        _ configuration: Configuration,
        _ statements: TakeoverStatements,
        _ log: Logger
    ) {
        var inbox = TakeoverChannel.Inbox()
        // The greeting was the first.
        var count: UInt64 = 1
        var isComplete = false
        var isGoingOn = channel.send(TakeoverParcel(.ready))
        while isGoingOn {
            let parcel: TakeoverParcel
            do throws(WireError) {
                guard let next = try channel.receive(&inbox) else { break }
                parcel = next
            } catch {
                log.error("takeover: the old process sent something unreadable (\(error))")
                break
            }
            count += 1
            if case .end = parcel.message {
                isComplete = true
                // From here on this process can be taken over itself.
                shared.foreign.predecessor = nil
            }
            // Before anything of it is read: what is not accepted can go back.
            isGoingOn = channel.send(TakeoverParcel(.accepted(count: count)))
            take(parcel, shared, configuration, statements)
        }
        inbox.discard()
        channel.end()
        shared.foreign.predecessor = nil
        shared.forgetForeignConnections()
        for worker in shared.workers { shared.post(.predecessorGone, to: worker) }
        if isComplete {
            log.info("takeover: the old process has handed over everything")
        } else {
            log.warning("takeover: the old process has gone before it had handed over everything")
        }
    }

    private func take(
        _ parcel: TakeoverParcel,
        _ shared: SharedState,
        _ configuration: Configuration,
        _ statements: TakeoverStatements
    ) {
        switch parcel.message {
        case .begin(let record):
            shared.begin(record, configuration)
            for worker in shared.workers {
                shared.post(.predecessorBegun(isPaused: record.isPaused), to: worker)
            }
        case .statement(let record):
            guard statements[record.serial] == nil else { return }
            let mark = record.pool.map { LocalPool.statementMark(of: $0.key) } ?? 0
            statements[record.serial] = shared.statements.adopt(record, mark: mark)
        case .client, .pair, .login, .newcomer:
            shared.foreign.clientLeft()
            shared.post(
                .adopt(Adoption(parcel, statements)),
                to: shared.loads.place(acceptedBy: .chief)
            )
        case .server:
            shared.post(.adopt(Adoption(parcel, statements)), to: shared.nextServerHome())
        case .serverLeft(let key):
            shared.foreignServerLeft(key.key)
        case .clientLeft: shared.foreign.clientLeft()
        case .hello, .ready, .accepted, .end: parcel.discard()
        }
    }

    /// Passes a CancelRequest on whose client is not here.
    ///
    /// - Parameter parcel: the connection that has brought it, which stays open here.
    /// - Returns: false when the other process has gone.
    func forward(_ parcel: TakeoverParcel) -> Bool { channel.send(parcel) }
}
