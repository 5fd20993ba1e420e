// Signals arrive as bytes on a descriptor that the event loop watches: nothing runs in a handler.

internal import CLinux

/// The signals that the pooler acts on.
struct Signals: ~Copyable {
    let descriptor: Int32

    /// Blocks the signals for this thread and all that it starts.
    /// - Throws: `SystemError` when the kernel gives no descriptor.
    init() throws(SystemError) {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in [SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2] {
            unsafe sigaddset(&set, signal)
        }
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
        martlet_ignore_sigpipe()
        descriptor = unsafe signalfd(-1, &set, Int32(SFD_NONBLOCK | SFD_CLOEXEC))
        guard descriptor >= 0 else { throw SystemError.current("signalfd") }
    }

    deinit {
        close(descriptor)
    }

    /// The next signal that has arrived.
    func take() -> Int32? {
        var info = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        guard unsafe read(descriptor, &info, size) == size else { return nil }
        return Int32(bitPattern: info.ssi_signo)
    }
}
