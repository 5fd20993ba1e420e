// Derives SCRAM keys on a thread of its own, because PBKDF2 takes a millisecond and more. The event
// loop hands in what the keys are made of and is woken when they are there.

internal import CLinux
internal import DequeModule
internal import PoolerCore

/// The keys for some parameters; nil when OpenSSL failed.
struct KeyDerivation: Sendable {
    let parameters: SCRAMKeyParameters
    let keys: SCRAMKeys?
}

/// One thread that derives keys in the order in which they are asked for.
final class KeyDeriver: Sendable {
    private struct Queue {
        var jobs = Deque<SCRAMKeyParameters>()
        /// The jobs that somebody still waits for.
        var wanted: Set<SCRAMKeyParameters> = []
        var answers: [KeyDerivation] = []
        var isRunning = false
    }

    private let queue = Locked(Queue())
    /// Readable when there are answers.
    let wakeup: Int32

    /// - Throws: `SystemError` when the kernel gives no event descriptor.
    init() throws(SystemError) {
        wakeup = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        guard wakeup >= 0 else { throw SystemError.current("eventfd") }
    }

    deinit {
        close(wakeup)
    }

    /// Asks for keys.
    func derive(_ parameters: SCRAMKeyParameters) {
        let mustStart = queue.withLock { queue in
            queue.wanted.insert(parameters)
            queue.jobs.append(parameters)
            defer { queue.isRunning = true }
            return !queue.isRunning
        }
        if mustStart { start() }
    }

    /// Does without keys that were asked for; they may still come.
    func cancel(_ parameters: SCRAMKeyParameters) {
        _ = queue.withLock { $0.wanted.remove(parameters) }
    }

    /// Takes the keys that have come.
    func takeAnswers() -> [KeyDerivation] {
        var count: UInt64 = 0
        unsafe eventfd_read(wakeup, &count)
        return queue.withLock { queue in
            defer { queue.answers = [] }
            return queue.answers
        }
    }

    /// The thread lives as long as there are jobs; where processors are short, running transactions go
    /// before logins.
    private func start() {
        Thread.start(niceness: 10) { [self] in
            while let job = nextJob() {
                let answer = KeyDerivation(parameters: job, keys: job.derive())
                queue.withLock { $0.answers.append(answer) }
                eventfd_write(wakeup, 1)
            }
        }
    }

    private func nextJob() -> SCRAMKeyParameters? {
        queue.withLock { queue in
            while let job = queue.jobs.popFirst() {
                if queue.wanted.remove(job) != nil { return job }
            }
            queue.isRunning = false
            return nil
        }
    }
}
