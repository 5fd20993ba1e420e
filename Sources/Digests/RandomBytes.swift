// Random bytes for nonces, salts and keys. For PoolerIO alone: pure code is handed the bytes.

internal import COpenSSL

/// Draws `count` bytes that nobody can predict.
///
/// This is not a pure function: only PoolerIO calls it.
///
/// - Throws: `DigestError` when OpenSSL has no entropy.
public func unpredictableBytes(count: Int) throws(DigestError) -> [UInt8] {
    guard let byteCount = Int32(exactly: count), count >= 0 else { throw .unavailable }
    var bytes = [UInt8](repeating: 0, count: count)
    let status = unsafe bytes.withUnsafeMutableBufferPointer { output in
        unsafe RAND_bytes(output.baseAddress, byteCount)
    }
    guard status == 1 else { throw .unavailable }
    return bytes
}
