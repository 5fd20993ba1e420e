// SHA-256 and what SCRAM builds on it: HMAC and PBKDF2. OpenSSL computes; here its pointers and
// return codes end.

internal import COpenSSL

/// SHA-256, FIPS 180-4.
public enum SHA256 {
    /// Digests `bytes`.
    /// - Throws: `DigestError` when OpenSSL fails.
    public static func hash(_ bytes: [UInt8]) throws(DigestError) -> Digest32 {
        try digest(bytes.span, Span())
    }

    /// Digests the bytes of another digest.
    /// - Throws: `DigestError` when OpenSSL fails.
    public static func hash(_ digest: Digest32) throws(DigestError) -> Digest32 {
        try self.digest(digest.span, Span())
    }

    /// Digests `first` and, behind it, `second`.
    ///
    /// By OpenSSL's plain functions: each digest by EVP takes two contexts from the heap, and five of
    /// them are more work than all that they digest when a client logs in.
    fileprivate static func digest(
        _ first: Span<UInt8>,
        _ second: Span<UInt8>
    ) throws(DigestError) -> Digest32 {
        var context = SHA256_CTX()
        // What is digested may be a secret.
        defer { unsafe OPENSSL_cleanse(&context, MemoryLayout<SHA256_CTX>.size) }
        guard unsafe SHA256_Init(&context) == 1,
            add(first, to: &context),
            add(second, to: &context)
        else { throw .unavailable }
        return try Digest32 { (output: inout MutableSpan<UInt8>) throws(DigestError) in
            let status = unsafe output.withUnsafeMutableBufferPointer { output in
                unsafe SHA256_Final(output.baseAddress, &context)
            }
            guard status == 1 else { throw .unavailable }
        }
    }

    private static func add(_ bytes: Span<UInt8>, to context: inout SHA256_CTX) -> Bool {
        unsafe bytes.withUnsafeBytes { bytes in
            unsafe SHA256_Update(&context, bytes.baseAddress, bytes.count) == 1
        }
    }
}

/// HMAC with SHA-256, RFC 2104.
///
/// Made of two digests here: OpenSSL 3 looks its HMAC and the digest below it up by name, and makes
/// several contexts, for each short message.
public enum HMACSHA256 {
    private static let blockByteCount = 64

    /// Authenticates `message` with `key`.
    /// - Throws: `DigestError` when OpenSSL fails.
    public static func authenticate(
        _ message: [UInt8],
        key: [UInt8]
    ) throws(DigestError) -> Digest32 {
        if key.count > blockByteCount {
            return try authenticate(message.span, key: try SHA256.hash(key).span)
        }
        return try authenticate(message.span, key: key.span)
    }

    /// Authenticates `message` with a key of 32 bytes.
    /// - Throws: `DigestError` when OpenSSL fails.
    public static func authenticate(
        _ message: [UInt8],
        key: Digest32
    ) throws(DigestError) -> Digest32 {
        try authenticate(message.span, key: key.span)
    }

    /// Authenticates `message` with a key of 32 bytes.
    /// - Throws: `DigestError` when OpenSSL fails.
    public static func authenticate(
        _ message: Span<UInt8>,
        key: Digest32
    ) throws(DigestError) -> Digest32 {
        try authenticate(message, key: key.span)
    }

    /// - Parameter key: at most a block.
    private static func authenticate(
        _ message: Span<UInt8>,
        key: Span<UInt8>
    ) throws(DigestError) -> Digest32 {
        let inner = try hash(message, behind: key, paddedWith: 0x36)
        return try hash(inner.span, behind: key, paddedWith: 0x5C)
    }

    /// Digests the key as a block, each byte combined with `byte` by exclusive or, and then `message`.
    private static func hash(
        _ message: Span<UInt8>,
        behind key: Span<UInt8>,
        paddedWith byte: UInt8
    ) throws(DigestError) -> Digest32 {
        var block = InlineArray<64, UInt8>(repeating: byte)
        for index in key.indices { block[index] ^= key[index] }
        return try SHA256.digest(block.span, message)
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
