// A client as applications are: a thin wrapper of libpq. Every wait has a deadline, so a pooler
// that hangs fails a test and never stops the run; `send` and `receive` apart let one thread play
// several clients at once.

import CLibpq
import Foundation
import Glibc

final class Connection {
    private let handle: OpaquePointer
    private let noticeBox = NoticeBox()
    private var isOpen = true
    var timeout: Duration = .patience

    /// Logs in, or throws `ConnectionFailed`.
    convenience init(_ parameters: [String: String]) throws {
        self.init(starting: parameters)
        do {
            try finishConnecting()
        } catch {
            close()
            throw error
        }
    }

    /// Begins to log in; `finishConnecting` does the rest.
    init(starting parameters: [String: String]) {
        let names = parameters.keys.sorted()
        let started = withOptionalCStrings(names) { keywords in
            withOptionalCStrings(names.map { parameters[$0] }) { values in
                PQconnectStartParams(keywords, values, 0)
            }
        }
        guard let started else { fatalError("libpq is out of memory") }
        handle = started
        PQsetErrorVerbosity(handle, PQERRORS_VERBOSE)
        let box = Unmanaged.passUnretained(noticeBox).toOpaque()
        PQsetNoticeReceiver(
            handle,
            { context, notice in
                guard let context else { return }
                Unmanaged<NoticeBox>.fromOpaque(context).takeUnretainedValue().add(notice)
            },
            box
        )
    }

    deinit { close() }

    /// Goes on with the login; after a time-out it can be called again.
    func finishConnecting(within limit: Duration? = nil) throws {
        let deadline = Deadline(in: limit ?? timeout)
        var status = PGRES_POLLING_WRITING
        while status != PGRES_POLLING_OK {
            if status == PGRES_POLLING_FAILED || PQstatus(handle) == CONNECTION_BAD {
                throw ConnectionFailed(description: errorMessage)
            }
            try wait(for: status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline, "login")
            status = PQconnectPoll(handle)
        }
        PQsetnonblocking(handle, 1)
    }

    /// Leaves with Terminate, as PQfinish does.
    func close() {
        guard isOpen else { return }
        isOpen = false
        PQfinish(handle)
    }

    /// Breaks the connection without a word, as a killed application does.
    func vanish() {
        shutdown(PQsocket(handle), Int32(SHUT_RDWR))
        close()
    }

    // MARK: - State

    var isConnected: Bool { isOpen && PQstatus(handle) == CONNECTION_OK }
    var transactionStatus: PGTransactionStatusType { PQtransactionStatus(handle) }
    var serverProcessID: String { String(PQbackendPID(handle)) }
    var errorMessage: String { String(cString: PQerrorMessage(handle)) }
    var notices: [ErrorFields] { noticeBox.notices }
    var protocolVersion: Int { Int(PQprotocolVersion(handle)) }
    /// Bytes that arrived and libpq has not seen, for tests that do not read.
    var socket: Int32 { PQsocket(handle) }

    func parameter(_ name: String) -> String? {
        PQparameterStatus(handle, name).map { String(cString: $0) }
    }

    /// The version of TLS, as libpq calls it; nil without TLS.
    var tlsVersion: String? {
        PQsslInUse(handle) == 1
            ? PQsslAttribute(handle, "protocol").map { String(cString: $0) } : nil
    }

    /// NOTIFY messages that have arrived: channel and payload.
    func notifications() throws -> [[String]] {
        PQconsumeInput(handle)
        var found: [[String]] = []
        while let notification = PQnotifies(handle) {
            found.append([
                String(cString: notification.pointee.relname),
                String(cString: notification.pointee.extra),
            ])
            PQfreemem(notification)
        }
        return found
    }

    // MARK: - Simple query

    /// Runs one Query message; the answer is its first error or its last result.
    func execute(_ statement: String) throws -> QueryResult {
        try send(statement)
        return try receive()
    }

    /// The results of every statement in one Query message.
    func executeAll(_ statements: String) throws -> [QueryResult] {
        try send(statements)
        return try receiveAll()
    }

    /// Rows of a statement that must succeed.
    @discardableResult
    func query(_ statement: String) throws -> [[String?]] {
        let result = try execute(statement)
        if let error = result.error { throw QueryFailed(statement: statement, error: error) }
        return result.rows
    }

    /// First value of a statement that must succeed.
    func value(_ statement: String) throws -> String? {
        try query(statement).first?.first ?? nil
    }

    func send(_ statement: String) throws {
        try require(PQsendQuery(handle, statement), statement)
    }

    /// True when nothing has been answered after the time given.
    func isWaiting(for duration: Duration = .milliseconds(150)) throws -> Bool {
        try flush()
        let deadline = Deadline(in: duration)
        while PQisBusy(handle) == 1 {
            var descriptor = pollfd(fd: PQsocket(handle), events: Int16(POLLIN), revents: 0)
            if poll(&descriptor, 1, deadline.millisecondsLeft) == 1 { PQconsumeInput(handle) }
            if deadline.hasPassed { return PQisBusy(handle) == 1 }
        }
        return false
    }

    func receive() throws -> QueryResult {
        let results = try receiveAll()
        guard let result = results.first(where: { $0.error != nil }) ?? results.last else {
            throw QueryFailed(statement: "", error: ErrorFields(fields: ["M": "no result"]))
        }
        return result
    }

    func receiveAll() throws -> [QueryResult] {
        var results: [QueryResult] = []
        while let result = try nextResult() {
            results.append(result)
            if [PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH].contains(result.status) { break }
        }
        return results
    }

    /// The next result; nil where PQgetResult says so (end of a query, gap in a pipeline).
    func nextResult() throws -> QueryResult? {
        let deadline = Deadline(in: timeout)
        try flush()
        while PQisBusy(handle) == 1 {
            try wait(for: POLLIN, deadline, "result")
            PQconsumeInput(handle)
        }
        guard let result = PQgetResult(handle) else { return nil }
        defer { PQclear(result) }
        return QueryResult(result)
    }

    // MARK: - Extended query

    func execute(_ statement: String, _ parameters: [String?]) throws -> QueryResult {
        try send(statement, parameters)
        return try receive()
    }

    func prepare(_ name: String, _ statement: String) throws -> QueryResult {
        try sendPrepare(name, statement)
        return try receive()
    }

    func executePrepared(_ name: String, _ parameters: [String?] = []) throws -> QueryResult {
        try sendPrepared(name, parameters)
        return try receive()
    }

    func describePrepared(_ name: String) throws -> QueryResult {
        try require(PQsendDescribePrepared(handle, name), "describe \(name)")
        return try receive()
    }

    func send(_ statement: String, _ parameters: [String?]) throws {
        let sent = withOptionalCStrings(parameters) {
            PQsendQueryParams(handle, statement, Int32(parameters.count), nil, $0, nil, nil, 0)
        }
        try require(sent, statement)
    }

    func sendPrepare(_ name: String, _ statement: String) throws {
        try require(PQsendPrepare(handle, name, statement, 0, nil), "prepare \(name)")
    }

    func sendPrepared(_ name: String, _ parameters: [String?] = []) throws {
        let sent = withOptionalCStrings(parameters) {
            PQsendQueryPrepared(handle, name, Int32(parameters.count), $0, nil, nil, 0)
        }
        try require(sent, "execute \(name)")
    }

    // MARK: - Pipeline

    func enterPipeline() throws { try require(PQenterPipelineMode(handle), "enter pipeline") }
    func exitPipeline() throws { try require(PQexitPipelineMode(handle), "exit pipeline") }
    func sync() throws { try require(PQpipelineSync(handle), "Sync") }
    func flushRequest() throws { try require(PQsendFlushRequest(handle), "Flush") }

    /// The next result of a pipeline, past the nil that ends each statement.
    func nextPipelineResult() throws -> QueryResult {
        for _ in 0..<2 {
            if let result = try nextResult() { return result }
        }
        throw QueryFailed(statement: "pipeline", error: ErrorFields(fields: ["M": "no result"]))
    }

    // MARK: - COPY

    func sendCopyData(_ bytes: [UInt8]) throws {
        let deadline = Deadline(in: timeout)
        while true {
            let sent = bytes.withUnsafeBytes { buffer in
                PQputCopyData(
                    handle,
                    buffer.bindMemory(to: CChar.self).baseAddress,
                    Int32(buffer.count)
                )
            }
            if sent == 1 { return }
            if sent < 0 { throw ConnectionFailed(description: errorMessage) }
            try flush()
            if deadline.hasPassed { throw TimedOut("COPY data") }
        }
    }

    /// Ends COPY IN, with CopyFail if there is an error text.
    func endCopy(failing error: String? = nil) throws {
        while PQputCopyEnd(handle, error) == 0 { try flush() }
        try flush()
    }

    /// The next row of COPY OUT; nil at its end.
    func receiveCopyData() throws -> [UInt8]? {
        try receiveCopyRow { Array($0) }
    }

    private func receiveCopyRow<Value>(
        _ body: (UnsafeRawBufferPointer) -> Value
    ) throws -> Value? {
        let deadline = Deadline(in: timeout)
        while true {
            var row: UnsafeMutablePointer<CChar>?
            let count = PQgetCopyData(handle, &row, 1)
            if count < 0 { return nil }
            if count > 0, let row {
                defer { PQfreemem(row) }
                return body(UnsafeRawBufferPointer(start: row, count: Int(count)))
            }
            try wait(for: POLLIN, deadline, "COPY row")
            PQconsumeInput(handle)
        }
    }

    /// Reads COPY OUT to its end without keeping it; returns the count of bytes.
    func drainCopy() throws -> Int {
        var byteCount = 0
        while let count = try receiveCopyRow({ $0.count }) { byteCount += count }
        return byteCount
    }

    // MARK: - Cancel

    /// Sends a CancelRequest over a connection of its own, as psql does on Ctrl-C.
    func cancel() throws {
        let token = CancelToken(PQgetCancel(handle))
        try token.send()
    }

    // MARK: - Waiting

    private func require(_ success: Int32, _ step: String) throws {
        guard success == 1 else {
            throw QueryFailed(statement: step, error: ErrorFields(fields: ["M": errorMessage]))
        }
        try flush()
    }

    /// Writes what libpq holds back, reading meanwhile so that both sides never wait for the other.
    private func flush() throws {
        let deadline = Deadline(in: timeout)
        while PQflush(handle) == 1 {
            try wait(for: POLLIN | POLLOUT, deadline, "writing")
            PQconsumeInput(handle)
        }
    }

    private func wait(for events: Int32, _ deadline: Deadline, _ step: String) throws {
        var descriptor = pollfd(fd: PQsocket(handle), events: Int16(events), revents: 0)
        if poll(&descriptor, 1, deadline.millisecondsLeft) == 0 { throw TimedOut(step) }
    }
}

/// libpq's cancel object; PQcancel blocks until the other side closes, so it has a thread.
private final class CancelToken: @unchecked Sendable {
    private let handle: OpaquePointer?

    init(_ handle: OpaquePointer?) { self.handle = handle }

    deinit { PQfreeCancel(handle) }

    func send() throws {
        let ends = Pipe()
        let thread = Thread {
            var message = [CChar](repeating: 0, count: 256)
            let sent = PQcancel(self.handle, &message, 256)
            ends.fileHandleForWriting.write(Data([UInt8(sent)]))
        }
        thread.start()
        let reader = ends.fileHandleForReading
        var descriptor = pollfd(fd: reader.fileDescriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&descriptor, 1, Deadline(in: .patience).millisecondsLeft) == 1 else {
            throw TimedOut("cancel request")
        }
        guard reader.availableData == Data([1]) else {
            throw ConnectionFailed(description: "the cancel request was not sent")
        }
    }
}

private final class NoticeBox {
    var notices: [ErrorFields] = []

    func add(_ result: OpaquePointer?) { notices.append(ErrorFields(result)) }
}

private func withOptionalCStrings<Value>(
    _ strings: [String?],
    _ body: ([UnsafePointer<CChar>?]) -> Value
) -> Value {
    let copies = strings.map { string in string.flatMap { strdup($0) } }
    defer { copies.forEach { free($0) } }
    return body(copies.map { UnsafePointer<CChar>($0) } + [nil])
}
