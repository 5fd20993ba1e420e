// SHA-256 and what SCRAM builds on it: HMAC and PBKDF2. OpenSSL computes; here its pointers and
// return codes end.

internal import COpenSSL

/// SHA-256, FIPS 180-4.
public enum SHA256 {
    /// Digests `bytes`.
    /// - Throws: `DigestError` when OpenSSL fails.
    public static func hash(_ bytes: [UInt8]) throws(DigestError) -> Digest32 {
        let digester = try Digester()
        return try digester.hash(bytes.span, Span())
    }

    /// Digests the bytes of another digest.
    /// - Throws: `DigestError` when OpenSSL fails.
    public static func hash(_ digest: Digest32) throws(DigestError) -> Digest32 {
        let digester = try Digester()
        return try digester.hash(digest.span, Span())
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

    /// - Parameter key: at most a block.
    private static func authenticate(
        _ message: Span<UInt8>,
        key: Span<UInt8>
    ) throws(DigestError) -> Digest32 {
        let digester = try Digester()
        let inner = try digester.hash(pad(key, 0x36).span, message)
        return try digester.hash(pad(key, 0x5C).span, inner.span)
    }

    /// The key as a block, each byte combined with `byte` by exclusive or.
    private static func pad(_ key: Span<UInt8>, _ byte: UInt8) -> InlineArray<64, UInt8> {
        InlineArray { ($0 < key.count ? key[$0] : 0) ^ byte }
    }
}

/// One use of OpenSSL's SHA-256, for several digests one after the other.
@safe
private struct Digester: ~Copyable {
    private let context: OpaquePointer

    /// Looked up once: OpenSSL 3 otherwise does it, under a lock, for each digest.
    private nonisolated(unsafe) static let algorithm = unsafe EVP_MD_fetch(nil, "SHA256", nil)

    /// - Throws: `DigestError` when memory ran out.
    init() throws(DigestError) {
        guard let context = unsafe EVP_MD_CTX_new() else { throw .unavailable }
        unsafe self.context = context
    }

    deinit {
        unsafe EVP_MD_CTX_free(context)
    }

    /// Digests `first` and, behind it, `second`.
    func hash(_ first: Span<UInt8>, _ second: Span<UInt8>) throws(DigestError) -> Digest32 {
        guard let algorithm = unsafe Self.algorithm,
            unsafe EVP_DigestInit_ex2(context, algorithm, nil) == 1
        else { throw .unavailable }
        try add(first)
        try add(second)
        return try Digest32 { (output: inout MutableSpan<UInt8>) throws(DigestError) in
            let status = unsafe output.withUnsafeMutableBufferPointer { output in
                unsafe EVP_DigestFinal_ex(context, output.baseAddress, nil)
            }
            guard status == 1 else { throw .unavailable }
        }
    }

    private func add(_ bytes: Span<UInt8>) throws(DigestError) {
        let status = unsafe bytes.withUnsafeBytes { bytes in
            unsafe EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
        }
        guard status == 1 else { throw .unavailable }
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
