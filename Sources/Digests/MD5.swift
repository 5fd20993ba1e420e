// MD5, only because PostgreSQL's md5 password method is made of it.

internal import COpenSSL

/// MD5, RFC 1321.
public enum MD5 {
    /// Digests `bytes` to 16 bytes.
    /// - Throws: `DigestError` when OpenSSL refuses, as in FIPS mode.
    public static func hash(_ bytes: [UInt8]) throws(DigestError) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 16)
        let status = unsafe digest.withUnsafeMutableBufferPointer { output in
            unsafe bytes.withUnsafeBytes { input in
                unsafe EVP_Digest(
                    input.baseAddress,
                    input.count,
                    output.baseAddress,
                    nil,
                    EVP_md5(),
                    nil
                )
            }
        }
        guard status == 1 else { throw .unavailable }
        return digest
    }

    /// Digests `bytes` to 32 lower-case hexadecimal digits, as PostgreSQL writes them.
    /// - Throws: `DigestError` when OpenSSL refuses, as in FIPS mode.
    public static func hexadecimalHash(_ bytes: [UInt8]) throws(DigestError) -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        return try hash(bytes).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    }
}
