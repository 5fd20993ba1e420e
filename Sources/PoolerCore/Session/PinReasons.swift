// Why a server stays with its client between transactions.

/// What of a client's session lives in its server and cannot be moved to another one.
public struct PinReasons: OptionSet, Hashable, BitwiseCopyable, Sendable {
    public let rawValue: UInt16

    public init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    /// Temporary tables, views, sequences, types or functions.
    public static let temporary = PinReasons(rawValue: 1 << 0)
    /// Cursors WITH HOLD.
    public static let holdCursor = PinReasons(rawValue: 1 << 1)
    /// Advisory locks of the session.
    public static let advisoryLock = PinReasons(rawValue: 1 << 2)
    /// Channels that it listens on.
    public static let listen = PinReasons(rawValue: 1 << 3)
    /// Statements made by PREPARE.
    public static let prepare = PinReasons(rawValue: 1 << 4)
    /// A library that was loaded, which nothing unloads.
    public static let load = PinReasons(rawValue: 1 << 5)
    /// The state of random(), which nothing shows.
    public static let setseed = PinReasons(rawValue: 1 << 6)
    /// A replication slot or origin that the session uses, or a backup that it has begun.
    public static let replication = PinReasons(rawValue: 1 << 7)
    /// What the session has could not be found out.
    public static let unknown = PinReasons(rawValue: 1 << 8)

    /// Those that no question to the server can find gone: they last until the client leaves, and
    /// the server is closed then.
    public static let lasting: PinReasons = [.load, .setseed, .replication, .unknown]

    /// Those of `effects` that last until the client leaves.
    public init(lastingOf effects: SessionEffects) {
        self = []
        if effects.contains(.load) { insert(.load) }
        if effects.contains(.setseed) { insert(.setseed) }
        if !effects.isDisjoint(with: [.replicationSlot, .backup]) { insert(.replication) }
    }

    /// Each reason's name, as SHOW and log lines have it.
    private static let names: [(PinReasons, String)] = [
        (.temporary, "temporary"), (.holdCursor, "hold_cursor"),
        (.advisoryLock, "advisory_lock"), (.listen, "listen"), (.prepare, "prepare"),
        (.load, "load"), (.setseed, "setseed"), (.replication, "replication"),
        (.unknown, "unknown"),
    ]

    /// The names of all single reasons.
    public static var allNames: [String] { names.map(\.1) }

    /// The single reasons, by their places in `allNames`.
    public static var all: [PinReasons] { names.map(\.0) }

    /// The names of the reasons, separated by commas.
    public var text: String {
        Self.names.filter { contains($0.0) }.map(\.1).joined(separator: ",")
    }
}
