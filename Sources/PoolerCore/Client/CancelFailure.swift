// Why a CancelRequest did not do anything, for the log: who sent it is never told. The words are
// PgBouncer's where it has any.

/// Why a CancelRequest ended without being delivered.
public enum CancelFailure: CaseIterable, Sendable {
    /// No client has its key.
    case wrongKey
    /// It was passed on among peers too often.
    case lost
    /// Its key names a pooler that [peers] does not have.
    case unknownPeer
    /// The peer refused the connection, or has no address.
    case unreachable
    /// cancel_wait_timeout.
    case timeout

    /// As it stands in the log.
    public var text: String {
        switch self {
        case .wrongKey: "failed cancel request"
        case .lost: "failed to forward cancel request because its TTL was exhausted"
        case .unknownPeer: "could not find peer to forward request to"
        case .unreachable: "failed to forward cancel request because its peer cannot be reached"
        case .timeout: "cancel_wait_timeout"
        }
    }
}
