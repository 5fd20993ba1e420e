// What can be wrong with bytes from a peer. Thrown, never trapped: the bytes come from the network.

/// A violation of the frontend/backend protocol by the peer.
public enum WireError: Error, Equatable, Sendable {
    /// A message length field below 4 or above the limit.
    case invalidLength(Int)
    /// A message ended before its last field.
    case truncated
    /// A message went on after its last field.
    case trailingBytes
    /// A string field without its terminating zero byte.
    case unterminatedString
    /// A startup packet whose parameter list lacks its final zero byte.
    case missingTerminator
    /// A field with a value that the protocol does not allow.
    case invalidField
}
