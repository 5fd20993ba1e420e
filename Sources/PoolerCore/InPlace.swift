// Large structures and the methods that change nothing of them.

internal import Synchronization

/// Keeps the structure that has it in its place while its methods run.
///
/// To call a method that changes nothing, the compiler may copy a large structure: 4 KB for a worker,
/// several times for each transaction. It does not where a part is one that lives in memory only, as
/// an atomic is.
public struct InPlace: ~Copyable, Sendable {
    private let anchor = Atomic<UInt8>(0)

    public init() {}
}
