// What of a certificate matters here.

internal import COpenSSL
internal import PoolerCore
internal import PostgresWire

/// What a certificate says.
struct CertificateFacts: Sendable {
    /// The common name of its subject; nil if it has none, or one with a zero byte in it.
    let commonName: ByteString?
    /// Its subject by RFC 2253.
    let distinguishedName: ByteString
    /// Its issuer by RFC 2253.
    let issuer: ByteString
    /// The number that its issuer gave it, in hexadecimal digits.
    let serialNumber: ByteString
    /// The hosts that it is for, as OpenSSL prints them; empty if it names none but in its subject.
    let hosts: ByteString
    /// From when to when it is valid, in seconds since 1970.
    let start: Int64
    let end: Int64

    init(_ certificate: OpaquePointer) {
        let subject = unsafe X509_get_subject_name(certificate)
        commonName = unsafe Self.commonName(of: subject)
        distinguishedName = unsafe Self.text(of: subject)
        issuer = unsafe Self.text(of: X509_get_issuer_name(certificate))
        serialNumber = unsafe Self.digits(of: X509_get0_serialNumber(certificate))
        hosts = unsafe Self.hosts(of: certificate)
        start = unsafe Self.seconds(of: X509_get0_notBefore(certificate))
        end = unsafe Self.seconds(of: X509_get0_notAfter(certificate))
    }

    private static func commonName(of subject: OpaquePointer?) -> ByteString? {
        let index = unsafe X509_NAME_get_index_by_NID(subject, NID_commonName, -1)
        guard index >= 0, let entry = unsafe X509_NAME_get_entry(subject, index) else { return nil }
        let name = unsafe bytes(of: X509_NAME_ENTRY_get_data(entry))
        // A name with a zero byte reads differently to those who stop there.
        return name.contains(0) ? nil : ByteString(name)
    }

    private static func bytes(of string: UnsafePointer<ASN1_STRING>?) -> [UInt8] {
        guard let string = unsafe string else { return [] }
        let count = unsafe Int(ASN1_STRING_length(string))
        return unsafe Array(
            UnsafeBufferPointer(start: ASN1_STRING_get0_data(string), count: count)
        )
    }

    private static func text(of name: OpaquePointer?) -> ByteString {
        let style = martlet_name_style
        return unsafe text { bio in unsafe X509_NAME_print_ex(bio, name, 0, style) }
    }

    /// What OpenSSL prints.
    private static func text(_ write: (OpaquePointer) -> Int32) -> ByteString {
        guard let bio = unsafe BIO_new(BIO_s_mem()) else { return "" }
        defer { unsafe BIO_free(bio) }
        guard unsafe write(bio) >= 0 else { return "" }
        var bytes = [UInt8](repeating: 0, count: unsafe BIO_ctrl_pending(bio))
        unsafe BIO_read(bio, &bytes, Int32(truncatingIfNeeded: bytes.count))
        return ByteString(bytes)
    }

    private static func digits(of number: UnsafePointer<ASN1_INTEGER>?) -> ByteString {
        guard let big = unsafe ASN1_INTEGER_to_BN(number, nil) else { return "" }
        defer { unsafe BN_free(big) }
        guard let digits = unsafe BN_bn2hex(big) else { return "" }
        defer { unsafe CRYPTO_free(digits, #file, #line) }
        return unsafe ByteString(String(cString: digits))
    }

    private static func hosts(of certificate: OpaquePointer) -> ByteString {
        let index = unsafe X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1)
        guard index >= 0 else { return "" }
        return unsafe text { bio in
            unsafe X509V3_EXT_print(bio, X509_get_ext(certificate, index), 0, 0)
        }
    }

    private static func seconds(of time: UnsafePointer<ASN1_TIME>?) -> Int64 {
        var days: Int32 = 0
        var seconds: Int32 = 0
        guard let epoch = unsafe ASN1_TIME_set(nil, 0) else { return 0 }
        defer { unsafe ASN1_STRING_free(epoch) }
        guard unsafe ASN1_TIME_diff(&days, &seconds, epoch, time) == 1 else { return 0 }
        return Int64(days) * 86_400 + Int64(seconds)
    }

    /// The hash that channel binding by tls-server-end-point is about: by the digest of the certificate's
    /// own signature, or SHA-256 in place of those that are broken (RFC 5929, section 4.1).
    static func endPointHash(of certificate: OpaquePointer) -> [UInt8]? {
        var number: Int32 = 0
        guard unsafe X509_get_signature_info(certificate, &number, nil, nil, nil) == 1 else {
            return nil
        }
        let digest =
            number == NID_md5 || number == NID_sha1
            ? unsafe EVP_sha256() : unsafe EVP_get_digestbyname(OBJ_nid2sn(number))
        guard let digest = unsafe digest else { return nil }
        var hash = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: UInt32 = 0
        guard unsafe X509_digest(certificate, digest, &hash, &count) == 1 else { return nil }
        return Array(hash.prefix(Int(count)))
    }

    /// The certificate as SHOW TLS has it.
    func snapshot(of file: String, by setting: ByteString, _ now: Timestamp) -> CertificateSnapshot
    {
        CertificateSnapshot(
            setting: setting,
            file: ByteString(file),
            subject: distinguishedName,
            issuer: issuer,
            serialNumber: serialNumber,
            hosts: hosts,
            start: Timestamp(unixMicroseconds: start * 1_000_000),
            end: Timestamp(unixMicroseconds: end * 1_000_000),
            now: now
        )
    }
}
