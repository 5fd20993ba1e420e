// How TLS sessions reach the network: they have no sockets, but read what a loop has received and write
// to memory that it sends. All sessions of a loop use the same channel, one at a time.

internal import COpenSSL

/// What a session reads from and writes to while it is called.
@safe
struct TLSChannel: ~Copyable {
    @unsafe
    private struct State {
        /// What the session has not read yet of the bytes received.
        var input = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        /// What it has written.
        var output: UnsafeMutableRawBufferPointer
        var outputCount = 0

        mutating func read(_ buffer: UnsafeMutableRawPointer, _ limit: Int) -> Int {
            let count = unsafe min(limit, input.count)
            guard count > 0, let start = unsafe input.baseAddress else { return 0 }
            unsafe buffer.copyMemory(from: start, byteCount: count)
            unsafe input = unsafe UnsafeRawBufferPointer(rebasing: input.dropFirst(count))
            return count
        }

        mutating func write(_ bytes: UnsafeRawPointer, _ count: Int) {
            if unsafe outputCount + count > output.count {
                let larger = unsafe UnsafeMutableRawBufferPointer.allocate(
                    byteCount: 2 * (outputCount + count),
                    alignment: 64
                )
                unsafe larger.copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: output[..<outputCount])
                )
                unsafe output.deallocate()
                unsafe output = unsafe larger
            }
            unsafe UnsafeMutableRawBufferPointer(rebasing: output[outputCount...]).copyMemory(
                from: UnsafeRawBufferPointer(start: bytes, count: count)
            )
            unsafe outputCount += count
        }
    }

    private let state: UnsafeMutablePointer<State>

    /// What is kept from one use to the next, in bytes.
    private static let keptCapacity = 131_072

    init() {
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(
            to: State(output: .allocate(byteCount: Self.keptCapacity, alignment: 64))
        )
    }

    deinit {
        unsafe state.pointee.output.deallocate()
        unsafe state.deallocate()
    }

    /// What a session has written since the last `reset`.
    var output: RawSpan {
        @_lifetime(borrow self)
        get {
            let written = unsafe UnsafeRawBufferPointer(
                rebasing: state.pointee.output[..<state.pointee.outputCount]
            )
            return unsafe _overrideLifetime(RawSpan(_unsafeBytes: written), borrowing: self)
        }
    }

    /// Forgets what was written.
    func reset() {
        unsafe state.pointee.outputCount = 0
        guard unsafe state.pointee.output.count > Self.keptCapacity else { return }
        unsafe state.pointee.output.deallocate()
        unsafe state.pointee.output = .allocate(byteCount: Self.keptCapacity, alignment: 64)
    }

    /// Lets a session that has the BIO read these bytes, and write, as long as `body` runs.
    func serve<Result: ~Copyable>(
        _ bio: OpaquePointer,
        _ input: RawSpan,
        _ body: () -> Result
    ) -> Result {
        unsafe input.withUnsafeBytes { bytes in
            unsafe state.pointee.input = unsafe bytes
            defer {
                unsafe state.pointee.input = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
            }
            unsafe BIO_set_data(bio, state)
            return body()
        }
    }

    // MARK: The BIO

    /// The kind of BIO that sessions get: an end of whatever channel serves them.
    private static let method = makeMethod()

    /// - Returns: a BIO for a session, which owns it; nil when there is no memory.
    static func makeBIO() -> OpaquePointer? {
        unsafe method.flatMap { unsafe BIO_new($0.raw) }
    }

    private static func makeMethod() -> TLSPointer? {
        guard let method = unsafe BIO_meth_new(BIO_TYPE_SOURCE_SINK, "martlet") else { return nil }
        unsafe BIO_meth_set_create(method) { bio in
            unsafe BIO_set_init(bio, 1)
            return 1
        }
        unsafe BIO_meth_set_read(method) { bio, buffer, limit in
            unsafe martlet_bio_clear_retry(bio)
            guard let buffer = unsafe buffer, limit > 0,
                let state = unsafe BIO_get_data(bio)?.assumingMemoryBound(to: State.self)
            else { return -1 }
            let count = unsafe state.pointee.read(buffer, Int(limit))
            if count > 0 { return Int32(truncatingIfNeeded: count) }
            unsafe martlet_bio_retry_read(bio)
            return -1
        }
        unsafe BIO_meth_set_write(method) { bio, bytes, count in
            unsafe martlet_bio_clear_retry(bio)
            guard let bytes = unsafe bytes, count > 0,
                let state = unsafe BIO_get_data(bio)?.assumingMemoryBound(to: State.self)
            else { return -1 }
            unsafe state.pointee.write(bytes, Int(count))
            return count
        }
        unsafe BIO_meth_set_ctrl(method) { _, command, _, _ in
            command == BIO_CTRL_FLUSH ? 1 : 0
        }
        return unsafe TLSPointer(method)
    }
}
