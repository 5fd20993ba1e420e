// Threads of the pooler's own. Signals go to the event loop by signalfd, so every thread blocks them.

internal import CLinux

/// Starts threads.
enum Thread {
    private final class Body {
        let niceness: Int32
        let run: () -> Void

        init(niceness: Int32, _ run: @escaping () -> Void) {
            self.niceness = niceness
            self.run = run
        }
    }

    /// Runs `body` on a new thread of its own, or, when there can be none, here and now.
    ///
    /// - Parameter niceness: by how much it is to be nicer than the thread that starts it, 0...19;
    ///   Linux keeps this per thread.
    static func start(niceness: Int32 = 0, _ body: @escaping @Sendable () -> Void) {
        do {
            pthread_detach(try startJoinable(niceness: niceness, body))
        } catch {
            body()
        }
    }

    /// Runs `body` on a new thread that has to be joined.
    ///
    /// - Throws: `SystemError` when there can be no more threads.
    static func startJoinable(
        niceness: Int32 = 0,
        _ body: @escaping @Sendable () -> Void
    ) throws(SystemError) -> pthread_t {
        var thread = pthread_t()
        let argument = unsafe Unmanaged.passRetained(Body(niceness: niceness, body)).toOpaque()
        let status = unsafe pthread_create(
            &thread,
            nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                let body = unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
                if body.niceness > 0 { _ = nice(body.niceness) }
                body.run()
                return nil
            },
            argument
        )
        guard status == 0 else {
            unsafe Unmanaged<Body>.fromOpaque(argument).release()
            throw SystemError(call: "pthread_create", code: status)
        }
        return thread
    }
}
