// Which unnamed statements are worth a name: those that come again and again, with other values. What
// may do more than read and write rows is left alone, and so is what has no parameters, because it is
// another text each time.

public import PostgresWire

/// Decides which unnamed statements are served from prepared ones.
public struct UnnamedReuse {
    /// What a statement may do that is prepared once for all who send it.
    private static let excludedEffects: SessionEffects = [
        .opaque, .sqlPrepare, .sqlExecute, .temporary, .creation, .drop, .definition, .cursor,
        .copy,
        .transactionControl,
    ]
    private static let placeCount = 1_024

    /// Texts that came lately, each at the place that its hash gives it.
    private var hashes: [Int] = []

    public init() {}

    /// Whether a statement can be served from a prepared one.
    ///
    /// - Parameter body: all that follows the name in its Parse.
    public static func isPossible(_ body: RawSpan, _ effects: SessionEffects) -> Bool {
        guard effects.isDisjoint(with: excludedEffects), let textEnd = body.indexOfZero(from: 0)
        else { return false }
        if textEnd + 2 < body.byteCount, body.byte(at: textEnd + 2) != 0 { return true }
        for offset in 0..<textEnd where body.byte(at: offset) == UInt8(ascii: "$") {
            // The first parameter; in a string it does no harm.
            if body.byte(at: offset + 1) == UInt8(ascii: "1") { return true }
        }
        return false
    }

    /// Notes that a statement has come.
    ///
    /// - Returns: whether it has come before, as far as that is known; one that comes once shall not
    ///   take the place of another on servers.
    public mutating func note(_ body: ByteString, _ settings: ParseSettings) -> Bool {
        if hashes.isEmpty { hashes = [Int](repeating: 0, count: Self.placeCount) }
        var hasher = Hasher()
        hasher.combine(body)
        hasher.combine(settings.fingerprint)
        let hash = hasher.finalize()
        let place = hash & (Self.placeCount - 1)
        if hashes[place] == hash { return true }
        hashes[place] = hash
        return false
    }
}
