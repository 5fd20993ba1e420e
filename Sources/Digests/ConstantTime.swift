// Comparison of secrets: the time depends on the number of bytes, never on where they differ.

internal import COpenSSL

/// Whether both hold the same bytes.
///
/// The lengths are no secret: if they differ it answers at once.
public func constantTimeEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    constantTimeEqual(left.span, right.span)
}

/// Whether both hold the same bytes.
///
/// The lengths are no secret: if they differ it answers at once.
public func constantTimeEqual(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Bool {
    guard left.count == right.count else { return false }
    return unsafe left.withUnsafeBytes { left in
        unsafe right.withUnsafeBytes { right in
            unsafe CRYPTO_memcmp(left.baseAddress, right.baseAddress, left.count) == 0
        }
    }
}
