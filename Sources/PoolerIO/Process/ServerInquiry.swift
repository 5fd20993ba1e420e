// Asks a server, before the pooler is started, whether it can be used: one connection, one query, no event
// loop. For `martlet check --connect`.

internal import CLinux
internal import Digests
internal import PoolerCore
internal import PostgresWire

/// What a server has said of itself.
struct ServerFacts: Equatable, Sendable {
    var version = ""
    /// How many connections it takes from users who are not superusers.
    var connectionLimit = 0
}

/// Why a server cannot be used.
struct InquiryFailed: Error, CustomStringConvertible {
    let description: String
}

/// One connection to a server, for as long as it is asked.
struct ServerInquiry: ~Copyable {
    private let descriptor: Int32
    private let deadline: Microseconds
    private var received: [UInt8] = []
    private var tls: TLSSession?
    private let channel = TLSChannel()
    private let buffer = ReceiveBuffer()

    private static let patience: Microseconds = .seconds(10)

    /// Logs in, asks, and leaves.
    static func ask(
        host: String,
        of database: DatabaseEntry,
        as user: ByteString,
        _ credentials: Credentials,
        _ settings: Settings,
        _ contexts: TLSContexts
    ) throws(InquiryFailed) -> ServerFacts {
        let endpoint = Endpoint(host: host, port: database.port)
        var inquiry = try open(endpoint, settings)
        if let plan = contexts.plan(of: database.name, to: host, at: endpoint) {
            try inquiry.startTLS(plan)
        }
        let choice = contexts.forServers(of: database.name).settings.channelBinding
        try inquiry.logIn(to: database, as: user, credentials, choice)
        return try inquiry.facts()
    }

    private init(_ descriptor: Int32) {
        self.descriptor = descriptor
        deadline = martlet_monotonic_microseconds() + Self.patience
    }

    private static func open(
        _ place: Endpoint,
        _ settings: Settings
    ) throws(InquiryFailed) -> ServerInquiry {
        var endpoint = place
        if case .name(let name, let port) = endpoint {
            guard let address = Resolver.addresses(of: name).first else {
                throw InquiryFailed(description: "no address for host name \"\(name)\"")
            }
            endpoint = .tcp(address.with(port: port))
        }
        guard let descriptor = endpoint.connect(settings) else {
            throw InquiryFailed(description: "connect failed: \(SystemError.current("connect"))")
        }
        let inquiry = ServerInquiry(descriptor)
        try inquiry.wait(toWrite: true)
        let code = martlet_socket_error(descriptor)
        guard code == 0 else {
            throw InquiryFailed(description: "\(SystemError(call: "connect", code: code))")
        }
        return inquiry
    }

    deinit {
        close(descriptor)
    }

    private mutating func logIn(
        to database: DatabaseEntry,
        as user: ByteString,
        _ credentials: Credentials,
        _ choice: ChannelBinding
    ) throws(InquiryFailed) {
        guard let nonce = try? unpredictableBytes(count: 18) else {
            throw InquiryFailed(description: "no random numbers")
        }
        var login = ServerLogin(
            ServerAuthentication(
                user: user,
                credentials: credentials,
                derivedKeys: nil,
                channelBinding: choice == .disable ? nil : channelBinding,
                requiresChannelBinding: choice == .require,
                nonce: nonce
            )
        )
        var writer = ByteWriter()
        writer.startupMessage([
            StartupParameter(name: "user", value: user),
            StartupParameter(name: "database", value: database.serverDatabaseName),
        ])
        try send(writer.bytes)
        while true {
            let (type, body) = try receive()
            var action = login.received(type, unsafe body.span.bytes)
            if case .derive(let parameters) = action { action = login.derived(parameters.derive()) }
            switch action {
            case .none: continue
            case .send(let bytes): try send(bytes)
            case .ready: return
            case .failed(let reason): throw InquiryFailed(description: reason.text)
            case .derive: throw InquiryFailed(description: "keys could not be derived")
            }
        }
    }

    private mutating func facts() throws(InquiryFailed) -> ServerFacts {
        var writer = ByteWriter()
        writer.message(.query) {
            $0.writeCString(
                """
                SELECT pg_catalog.current_setting('server_version'), \
                pg_catalog.current_setting('max_connections')::int4 \
                - pg_catalog.current_setting('superuser_reserved_connections')::int4
                """
            )
        }
        try send(writer.bytes)
        var facts = ServerFacts()
        while true {
            let (type, body) = try receive()
            let span = unsafe body.span.bytes
            switch type {
            case .dataRow:
                guard let row = try? DataRow(decoding: span), row.columns.count == 2 else {
                    throw InquiryFailed(description: "unreadable answer")
                }
                facts.version = row.columns[0]?.text ?? ""
                facts.connectionLimit = row.columns[1].flatMap { Int($0.text) } ?? 0
            case .errorResponse:
                let response = try? ErrorResponse(decoding: span)
                throw InquiryFailed(description: response?.message.text ?? "unreadable error")
            case .readyForQuery: return facts
            default: continue
            }
        }
    }

    // MARK: TLS

    private mutating func startTLS(_ plan: TLSPlan) throws(InquiryFailed) {
        if !plan.isDirect {
            var writer = ByteWriter()
            writer.sslRequest()
            try transmit(writer.bytes)
            let answer = SSLAnswer(buffer.bytes(try receiveSome()))
            if answer == .refused, !plan.isRequired { return }
            guard answer == .accepted else {
                throw InquiryFailed(description: "server refused SSL")
            }
        }
        do throws(TLSFailure) {
            tls = try plan.makeSession()
        } catch {
            throw InquiryFailed(description: "server TLS failed: \(error)")
        }
        _ = tls?.start(channel)
        try transmitRecords()
        while true {
            let progress = try open(try receiveSome())
            if progress.isEstablished { return }
        }
    }

    private var channelBinding: [UInt8]? {
        switch tls {
        case .some(let session): session.channelBinding
        case nil: nil
        }
    }

    /// Opens records that have been received.
    private mutating func open(_ range: Range<Int>) throws(InquiryFailed) -> TLSProgress {
        let records = [UInt8](copying: buffer.bytes(range))
        let progress = unsafe tls?.receive(records.span.bytes, into: buffer.plaintext, channel)
        try transmitRecords()
        guard let progress else { return TLSProgress() }
        switch progress.end {
        case .none: break
        case .closed: throw InquiryFailed(description: "the server has closed")
        case .failed(let failure):
            throw InquiryFailed(description: "server TLS failed: \(failure)")
        }
        received += [UInt8](copying: buffer.opened(progress.plaintextCount))
        return progress
    }

    private func transmitRecords() throws(InquiryFailed) {
        let records = [UInt8](copying: channel.output)
        channel.reset()
        try transmit(records)
    }

    // MARK: Bytes

    private mutating func send(_ bytes: [UInt8]) throws(InquiryFailed) {
        guard tls != nil else { return try transmit(bytes) }
        _ = unsafe tls?.send(bytes.span.bytes, channel)
        try transmitRecords()
    }

    private func transmit(_ bytes: [UInt8]) throws(InquiryFailed) {
        var rest = bytes[...]
        while !rest.isEmpty {
            try wait(toWrite: true)
            let count = unsafe rest.withUnsafeBytes {
                unsafe martlet_send(descriptor, $0.baseAddress, $0.count)
            }
            guard count > 0 else { throw InquiryFailed(description: "the server has closed") }
            rest = rest.dropFirst(count)
        }
    }

    private mutating func receive() throws(InquiryFailed) -> (BackendMessageType, [UInt8]) {
        while true {
            if let header = header(), header.messageByteCount <= received.count {
                let body = Array(received[MessageHeader.byteCount..<header.messageByteCount])
                received.removeFirst(header.messageByteCount)
                return (BackendMessageType(rawValue: header.typeByte), body)
            }
            guard received.count < ServerLogin.messageLimit else {
                throw InquiryFailed(description: "not a PostgreSQL server")
            }
            let range = try receiveSome()
            if tls == nil {
                received += [UInt8](copying: buffer.bytes(range))
            } else {
                _ = try open(range)
            }
        }
    }

    private func receiveSome() throws(InquiryFailed) -> Range<Int> {
        try wait(toWrite: false)
        guard case .bytes(let range) = buffer.receive(from: descriptor) else {
            throw InquiryFailed(description: "the server has closed")
        }
        return range
    }

    private func header() -> MessageHeader? {
        let bytes = unsafe received.span.bytes
        return try? MessageHeader(peeking: bytes, at: 0, limit: ServerLogin.messageLimit)
    }

    private func wait(toWrite isWriting: Bool) throws(InquiryFailed) {
        let left = deadline - martlet_monotonic_microseconds()
        guard left > 0, martlet_wait(descriptor, isWriting ? 1 : 0, Int32(left / 1_000) + 1) == 1
        else {
            throw InquiryFailed(description: "no answer within 10 s")
        }
    }
}
