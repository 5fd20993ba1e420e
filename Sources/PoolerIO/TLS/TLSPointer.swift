// What of OpenSSL's objects may be shared.

/// An object of OpenSSL's that all threads may use, because nothing changes it any more.
///
/// A context that has been set up, a kind of BIO, a ticket. What OpenSSL counts in it, it counts
/// atomically.
@safe
struct TLSPointer: @unchecked Sendable {
    let raw: OpaquePointer

    init(_ raw: OpaquePointer) { unsafe self.raw = unsafe raw }
}
