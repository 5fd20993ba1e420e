// SHA-256 and what SCRAM builds on it: HMAC and PBKDF2. OpenSSL computes; here its pointers and
// return codes end.

internal import COpenSSL

/// SHA-256, FIPS 180-4.
public enum SHA256 {
    /// Digests `bytes`.
    /// - Throws: `DigestError` when OpenSSL fails.
    public static func hash(_ bytes: [UInt8]) throws(DigestError) -> Digest32 {
        try Digest32 { (output: inout MutableSpan<UInt8>) throws(DigestError) in
            let status = unsafe output.withUnsafeMutableBufferPointer { output in
                unsafe bytes.withUnsafeBytes { input in
                    unsafe EVP_Digest(
                        input.baseAddress,
                        input.count,
                        output.baseAddress,
                        nil,
                        EVP_sha256(),
                        nil
                    )
                }
            }
            guard status == 1 else { throw .unavailable }
        }
    }
}

/// HMAC with SHA-256, RFC 2104.
public enum HMACSHA256 {
    /// Authenticates `message` with `key`.
    /// - Throws: `DigestError` when OpenSSL fails.
    public static func authenticate(
        _ message: [UInt8],
        key: [UInt8]
    ) throws(DigestError) -> Digest32 {
        guard let keyByteCount = Int32(exactly: key.count) else { throw .unavailable }
        return try Digest32 { (output: inout MutableSpan<UInt8>) throws(DigestError) in
            let succeeded = unsafe output.withUnsafeMutableBufferPointer { output in
                unsafe key.withUnsafeBytes { key in
                    unsafe message.withUnsafeBufferPointer { message in
                        unsafe HMAC(
                            EVP_sha256(),
                            key.baseAddress,
                            keyByteCount,
                            message.baseAddress,
                            message.count,
                            output.baseAddress,
                            nil
                        ) != nil
                    }
                }
            }
            guard succeeded else { throw .unavailable }
        }
    }
}

/// PBKDF2 with HMAC-SHA-256 and a key of 32 bytes: the function Hi of RFC 5802.
public enum PBKDF2 {
    /// Derives a key.
    ///
    /// The time grows with `iterations`: 4,096 take about a millisecond.
    ///
    /// - Throws: `DigestError` when OpenSSL fails or `iterations` is not positive.
    public static func deriveKey(
        password: [UInt8],
        salt: [UInt8],
        iterations: Int
    ) throws(DigestError) -> Digest32 {
        guard
            iterations > 0,
            let iterations = Int32(exactly: iterations),
            let passwordByteCount = Int32(exactly: password.count),
            let saltByteCount = Int32(exactly: salt.count)
        else { throw .unavailable }
        return try Digest32 { (output: inout MutableSpan<UInt8>) throws(DigestError) in
            let status = unsafe output.withUnsafeMutableBufferPointer { output in
                unsafe password.withUnsafeBytes { password in
                    unsafe salt.withUnsafeBufferPointer { salt in
                        unsafe PKCS5_PBKDF2_HMAC(
                            password.baseAddress?.assumingMemoryBound(to: CChar.self),
                            passwordByteCount,
                            salt.baseAddress,
                            saltByteCount,
                            iterations,
                            EVP_sha256(),
                            Int32(output.count),
                            output.baseAddress
                        )
                    }
                }
            }
            guard status == 1 else { throw .unavailable }
        }
    }
}
