// A value under a lock, as ThreadSanitizer can see it. The Mutex of the standard library works inside a
// library that is not instrumented: without a word to the sanitizer, every access that it protects
// looks like a data race.

internal import CLinux
internal import Synchronization

/// A value that one thread at a time may touch.
struct Locked<Value: ~Copyable>: ~Copyable, Sendable {
    private let mutex: Mutex<Value>

    init(_ value: consuming sending Value) {
        mutex = Mutex(value)
    }

    /// Looks at the value or changes it while nobody else does; waits until that is so.
    borrowing func withLock<Result: ~Copyable>(
        _ body: (inout sending Value) -> sending Result
    ) -> sending Result {
        mutex.withLock { value in
            // The lock stands for what it protects: a pointer to the value would be a change of it, which
            // the sanitizer sees before it hears of the lock.
            unsafe withUnsafePointer(to: mutex) { unsafe martlet_lock_acquired($0) }
            let result = body(&value)
            unsafe withUnsafePointer(to: mutex) { unsafe martlet_lock_released($0) }
            return result
        }
    }
}
