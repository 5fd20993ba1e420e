// The files that TLS needs: read once for each configuration, and remembered, so that it can be told
// whether anything has changed.

internal import COpenSSL
internal import Digests
internal import PoolerCore

/// The contents of certificate and key files.
final class TLSFiles {
    private var contents: [String: [UInt8]] = [:]
    private let read: FileReader

    init(_ read: @escaping FileReader) {
        self.read = read
    }

    private func bytes(of path: String) throws(TLSFailure) -> [UInt8] {
        if let known = contents[path] { return known }
        do {
            let bytes = try read(path)
            contents[path] = bytes
            return bytes
        } catch {
            throw TLSFailure(description: "\(path): \(error.reason)")
        }
    }

    /// By what it can be told whether files have changed; a path that is empty is no file.
    func digests(of paths: [String]) throws(TLSFailure) -> [Digest32] {
        var digests: [Digest32] = []
        for path in paths where !path.isEmpty {
            let bytes = try bytes(of: path)
            guard let digest = try? SHA256.hash(bytes) else { throw .current("no SHA-256") }
            digests.append(digest)
        }
        return digests
    }

    /// The certificates in a file, in its order; there is at least one.
    func certificates(in path: String) throws(TLSFailure) -> [Certificate] {
        var certificates: [Certificate] = []
        unsafe Self.read(try bytes(of: path)) { bio in
            while let pointer = unsafe PEM_read_bio_X509(bio, nil, martlet_no_password, nil) {
                certificates.append(unsafe Certificate(adopting: pointer))
            }
        }
        // The end of the file is told as an error, too.
        let code = ERR_peek_last_error()
        if certificates.isEmpty || ERR_GET_REASON(code) != PEM_R_NO_START_LINE {
            throw .current("no certificate in it", about: path)
        }
        ERR_clear_error()
        return certificates
    }

    /// The private key in a file; it is the caller's.
    func key(in path: String) throws(TLSFailure) -> OpaquePointer {
        var key: OpaquePointer?
        unsafe Self.read(try bytes(of: path)) { bio in
            unsafe key = PEM_read_bio_PrivateKey(bio, nil, martlet_no_password, nil)
        }
        guard let key = unsafe key else { throw .current("no private key in it", about: path) }
        return unsafe key
    }

    /// Has OpenSSL read bytes.
    private static func read(_ bytes: [UInt8], _ body: (OpaquePointer) -> Void) {
        unsafe bytes.withUnsafeBytes { bytes in
            let count = Int32(truncatingIfNeeded: bytes.count)
            guard let bio = unsafe BIO_new_mem_buf(bytes.baseAddress, count) else { return }
            defer { unsafe BIO_free(bio) }
            ERR_clear_error()
            unsafe body(bio)
        }
    }
}

/// A certificate of OpenSSL's.
@safe
final class Certificate {
    let pointer: OpaquePointer

    init(adopting pointer: OpaquePointer) { unsafe self.pointer = unsafe pointer }

    deinit { unsafe X509_free(pointer) }
}
