// What the kernel gives back with an event: which connection, and which of those that used the slot.
//
//     | kind: 4 | generation: 28 | slot: 32 |

/// Names the object that an event is about.
struct Token: Equatable, BitwiseCopyable, Sendable {
    /// What sort of object it is.
    enum Kind: UInt64, BitwiseCopyable, Sendable {
        case listener
        case client
        case server
        case canceler
        case signal
        case resolver
        case mailbox
        case keyDeriver
    }

    let rawValue: UInt64

    init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    init(_ kind: Kind, slot: UInt32, generation: UInt32 = 0) {
        rawValue = kind.rawValue << 60 | UInt64(generation & 0xFFF_FFFF) << 32 | UInt64(slot)
    }

    /// Nil for a value that no token has.
    var kind: Kind? { Kind(rawValue: rawValue >> 60) }

    var slot: UInt32 { UInt32(truncatingIfNeeded: rawValue) }

    /// The low 28 bits of the generation.
    var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) & 0xFFF_FFFF }
}
