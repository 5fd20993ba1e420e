// The unit of time in every decision of the pooler.
//
// Machines never read a clock: the time now is a parameter, and so is every limit. Both are counts of
// microseconds, the unit in which PgBouncer reports times.

/// A length of time, or a moment on a monotonic clock, in microseconds.
public typealias Microseconds = Int64

extension Microseconds {
    /// The microseconds in `count` seconds; `count` is a constant of the source, not an input.
    public static func seconds(_ count: Int64) -> Microseconds { count * 1_000_000 }

    /// The microseconds in `count` milliseconds; `count` is a constant of the source, not an input.
    public static func milliseconds(_ count: Int64) -> Microseconds { count * 1_000 }
}
