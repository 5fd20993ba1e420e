// Follows the bytes of a client that has logged in: where its messages begin and end, and what each
// of them asks for. It looks at the headers, and at the first bytes of the messages that may name a
// prepared statement. It never holds bytes and never does I/O.

public import PostgresWire

/// What a message from a client asks for.
public enum ClientRequest: Equatable, Sendable {
    /// Query or FunctionCall.
    case query
    case sync
    case flush
    case execute
    /// Parse, Bind, Describe or Close about the unnamed statement or a portal.
    case extended(Expectation.Request)
    /// Parse, Bind, Describe or Close that names a prepared statement.
    case named(Expectation.Request)
    case copyData
    /// CopyDone or CopyFail.
    case copyEnd
    case terminate
}

/// The next thing in the bytes from a client.
public enum ClientStep: Equatable, Sendable {
    /// More bytes of the message in passage, up to `end`.
    case body(end: Int, Disposition)
    /// A message begins; `header` tells how long it is.
    case message(ClientRequest, MessageHeader)
    /// Too little has arrived to judge the next message: keep the bytes.
    case incomplete
    /// The client sent something that the protocol does not allow here.
    case protocolViolation
}

/// The state of the byte stream of a client after its login.
public struct ClientMachine {
    /// How much of the message in passage is still to come.
    private var bodyRemaining: UInt32 = 0
    private var disposition = Disposition.forward

    public init() {}

    /// Whether the last message that began has been passed on to its end.
    public var isBetweenMessages: Bool { bodyRemaining == 0 }

    /// Looks at what stands at `offset`, without moving on.
    ///
    /// - Parameters:
    ///   - bytes: what arrived, behind what was kept back before.
    ///   - offset: where the last step ended, below `bytes.byteCount`.
    ///   - limit: the largest length field to accept.
    public mutating func next(_ bytes: RawSpan, at offset: Int, limit: Int) -> ClientStep {
        if bodyRemaining > 0 {
            let count = min(Int(bodyRemaining), bytes.byteCount - offset)
            bodyRemaining -= UInt32(count)
            return .body(end: offset + count, disposition)
        }
        let peeked: MessageHeader?
        do throws(WireError) {
            peeked = try MessageHeader(peeking: bytes, at: offset, limit: limit)
        } catch {
            return .protocolViolation
        }
        guard let header = peeked else { return .incomplete }
        switch FrontendMessageType(rawValue: header.typeByte) {
        case .query, .functionCall: return .message(.query, header)
        case .sync: return .message(.sync, header)
        case .flush: return .message(.flush, header)
        case .execute: return .message(.execute, header)
        case .copyData: return .message(.copyData, header)
        case .copyDone, .copyFail: return .message(.copyEnd, header)
        case .terminate: return .message(.terminate, header)
        case .parse: return namesStatement(header, .parse, nameAt: 0, of: bytes, at: offset)
        case .bind: return bindsStatement(header, of: bytes, at: offset)
        case .describe: return describesStatement(header, .describe, of: bytes, at: offset)
        case .close: return describesStatement(header, .close, of: bytes, at: offset)
        default: return .protocolViolation
        }
    }

    /// Moves on past the message at `offset`, as far as it has arrived; the rest will go the same way.
    ///
    /// - Returns: where the next message starts, or the end of `bytes`.
    public mutating func pass(
        _ header: MessageHeader,
        at offset: Int,
        of bytes: RawSpan,
        _ disposition: Disposition
    ) -> Int {
        let end = offset + header.messageByteCount
        guard end > bytes.byteCount else { return end }
        // Below 2^32, because the length field has 32 bits.
        bodyRemaining = UInt32(truncatingIfNeeded: end - bytes.byteCount)
        self.disposition = disposition
        return bytes.byteCount
    }

    /// Where the first request ends in bytes that wait for a server: behind the first Query,
    /// FunctionCall or Sync.
    ///
    /// Nil when that has not arrived whole.
    public static func endOfRequest(_ bytes: RawSpan, limit: Int) -> Int? {
        var offset = 0
        while let header = try? MessageHeader(peeking: bytes, at: offset, limit: limit) {
            offset += header.messageByteCount
            guard offset <= bytes.byteCount else { return nil }
            switch FrontendMessageType(rawValue: header.typeByte) {
            case .query, .functionCall, .sync: return offset
            default: continue
            }
        }
        return nil
    }

    // MARK: Which statement

    /// Parse: the statement's name stands at `nameAt` in the body.
    private func namesStatement(
        _ header: MessageHeader,
        _ request: Expectation.Request,
        nameAt: Int,
        of bytes: RawSpan,
        at offset: Int
    ) -> ClientStep {
        let position = offset + MessageHeader.byteCount + nameAt
        guard header.bodyByteCount > nameAt else { return .message(.extended(request), header) }
        guard position < bytes.byteCount else { return .incomplete }
        return .message(
            bytes.byte(at: position) == 0 ? .extended(request) : .named(request),
            header
        )
    }

    /// Bind: the statement's name follows the portal's.
    private func bindsStatement(
        _ header: MessageHeader,
        of bytes: RawSpan,
        at offset: Int
    ) -> ClientStep {
        let bodyStart = offset + MessageHeader.byteCount
        let bodyEnd = min(bodyStart + header.bodyByteCount, bytes.byteCount)
        let arrived = bytes.extracting(0..<bodyEnd)
        guard let portalEnd = arrived.indexOfZero(from: bodyStart) else {
            let isComplete = bodyStart + header.bodyByteCount == bodyEnd
            if isComplete { return .message(.extended(.bind), header) }
            return bodyEnd - bodyStart > Self.nameLimit ? .protocolViolation : .incomplete
        }
        return namesStatement(
            header,
            .bind,
            nameAt: portalEnd + 1 - bodyStart,
            of: bytes,
            at: offset
        )
    }

    /// Describe and Close: a byte tells statements from portals, the name follows.
    private func describesStatement(
        _ header: MessageHeader,
        _ request: Expectation.Request,
        of bytes: RawSpan,
        at offset: Int
    ) -> ClientStep {
        let position = offset + MessageHeader.byteCount
        guard header.bodyByteCount > 1 else { return .message(.extended(request), header) }
        guard position < bytes.byteCount else { return .incomplete }
        guard bytes.byte(at: position) == UInt8(ascii: "S") else {
            return .message(.extended(request), header)
        }
        return namesStatement(header, request, nameAt: 1, of: bytes, at: offset)
    }

    /// The longest portal or statement name that is looked at, in bytes.
    public static let nameLimit = 65_536
}
