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

    /// Runs `body` on a new detached thread.
    ///
    /// - Parameter niceness: by how much it is to be nicer than the thread that starts it, 0...19;
    ///   Linux keeps this per thread.
    static func start(niceness: Int32 = 0, _ body: @escaping @Sendable () -> Void) {
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
        if status == 0 {
            pthread_detach(thread)
        } else {
            unsafe Unmanaged<Body>.fromOpaque(argument).release()
            body()
        }
    }
}
