// Work that would hold up an event loop, on a thread of its own. The loop hands in jobs and is woken
// when answers are there.

internal import CLinux
internal import DequeModule

/// One thread that does jobs in the order in which they come.
final class SideThread<Job: Hashable & Sendable, Answer: Sendable>: Sendable {
    private struct Queue {
        var jobs = Deque<Job>()
        /// The jobs whose answers somebody still waits for.
        var wanted: Set<Job> = []
        var answers: [Answer] = []
        var isRunning = false
    }

    private let queue = Locked(Queue())
    private let niceness: Int32
    private let work: @Sendable (Job) -> Answer
    /// Readable when there are answers.
    let wakeup: Int32

    /// - Parameters:
    ///   - niceness: by how much the thread is to be nicer than the event loops, 0...19.
    ///   - work: does a job; may wait and take its time.
    /// - Throws: `SystemError` when the kernel gives no event descriptor.
    init(
        niceness: Int32 = 0,
        _ work: @escaping @Sendable (Job) -> Answer
    ) throws(SystemError) {
        wakeup = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        guard wakeup >= 0 else { throw SystemError.current("eventfd") }
        self.niceness = niceness
        self.work = work
    }

    deinit {
        close(wakeup)
    }

    /// Hands in a job.
    func start(_ job: Job) {
        let mustRun = queue.withLock { queue in
            queue.wanted.insert(job)
            queue.jobs.append(job)
            defer { queue.isRunning = true }
            return !queue.isRunning
        }
        if mustRun { run() }
    }

    /// Does without the answer to a job; it may still come.
    func cancel(_ job: Job) {
        _ = queue.withLock { $0.wanted.remove(job) }
    }

    /// Takes the answers that have come.
    func takeAnswers() -> [Answer] {
        var count: UInt64 = 0
        unsafe eventfd_read(wakeup, &count)
        return queue.withLock { queue in
            defer { queue.answers = [] }
            return queue.answers
        }
    }

    /// The thread lives as long as there are jobs.
    private func run() {
        Thread.start(niceness: niceness) { [self] in
            while let job = nextJob() {
                let answer = work(job)
                queue.withLock { $0.answers.append(answer) }
                eventfd_write(wakeup, 1)
            }
        }
    }

    private func nextJob() -> Job? {
        queue.withLock { queue in
            while let job = queue.jobs.popFirst() {
                if queue.wanted.remove(job) != nil { return job }
            }
            queue.isRunning = false
            return nil
        }
    }
}
