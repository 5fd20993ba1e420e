// Threads of the pooler's own. Signals go to the event loop by signalfd, so every thread blocks them.

internal import CLinux

/// Starts threads.
enum Thread {
    private final class Body {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    /// Runs `body` on a new thread of its own, or, when there can be none, here and now.
    static func start(_ body: @escaping @Sendable () -> Void) {
        do {
            pthread_detach(try startJoinable(body))
        } catch {
            body()
        }
    }

    /// Runs `body` on a new thread that has to be joined.
    ///
    /// - Throws: `SystemError` when there can be no more threads.
    static func startJoinable(
        _ body: @escaping @Sendable () -> Void
    ) throws(SystemError) -> pthread_t {
        var thread = pthread_t()
        let argument = unsafe Unmanaged.passRetained(Body(body)).toOpaque()
        let status = unsafe pthread_create(
            &thread,
            nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
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
