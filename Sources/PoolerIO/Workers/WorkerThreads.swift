// The threads that the workers run on.

internal import CLinux

/// The threads of all workers but the chief, which runs on the main thread.
struct WorkerThreads {
    private var threads: [pthread_t] = []

    /// Starts the workers, each on the thread that makes it, and waits until all run.
    ///
    /// - Throws: `SystemError` when one of them cannot start.
    init(_ start: WorkerStart) throws(SystemError) {
        let starts = try Starts()
        for id in start.shared.workers.dropFirst() {
            let thread = try Thread.startJoinable {
                do throws(SystemError) {
                    var worker = try Worker.make(id, start)
                    try worker.run { starts.report(nil) }
                } catch {
                    starts.report(error)
                }
            }
            threads.append(thread)
        }
        for _ in threads { starts.wait() }
        if let failure = starts.failure { throw failure }
    }

    /// Waits until all have ended.
    func join() {
        for thread in threads { pthread_join(thread, nil) }
    }
}

/// How the start of each worker went.
private final class Starts: Sendable {
    private let failures = Locked<[SystemError]>([])
    private let descriptor: Int32

    init() throws(SystemError) {
        descriptor = eventfd(0, Int32(EFD_SEMAPHORE | EFD_CLOEXEC))
        guard descriptor >= 0 else { throw SystemError.current("eventfd") }
    }

    deinit {
        close(descriptor)
    }

    /// One worker has started, or failed to.
    func report(_ failure: SystemError?) {
        if let failure { failures.withLock { $0.append(failure) } }
        eventfd_write(descriptor, 1)
    }

    /// Waits for one report.
    func wait() {
        var count: UInt64 = 0
        while unsafe eventfd_read(descriptor, &count) < 0, martlet_errno() == EINTR {}
    }

    var failure: SystemError? { failures.withLock { $0.first } }
}
