// PostgreSQL's md5 password method, both sides of it. The secret is md5(password + user); over the
// wire goes md5(secret + salt). Whoever knows the secret can log in: that is the method's weakness,
// and why a stored md5 secret is enough to answer a server.

public import Digests
public import PostgresWire

/// An md5 secret: 32 hexadecimal digits, stored behind the letters "md5".
public struct MD5Secret: Sendable, Redacted {
    private let digits: [UInt8]

    /// Reads "md5" and 32 lower-case hexadecimal digits; nil for anything else.
    public init?(parsing text: ByteString) {
        guard text.count == Self.byteCount, text.bytes.starts(with: Self.prefix) else { return nil }
        let digits = Array(text.bytes.dropFirst(Self.prefix.count))
        let areHexadecimal = digits.allSatisfy { digit in
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit)
                || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(digit)
        }
        guard areHexadecimal else { return nil }
        self.digits = digits
    }

    /// Makes the secret of `user`, whose password is `password`.
    /// - Throws: `DigestError` when MD5 is not available.
    public init(password: ByteString, user: ByteString) throws(DigestError) {
        self.digits = try MD5.hexadecimalHash(password.bytes + user.bytes)
    }

    /// The secret as auth_file holds it.
    public var text: ByteString { ByteString(Self.prefix + digits) }

    /// What a client that knows the secret answers to `salt`.
    /// - Throws: `DigestError` when MD5 is not available.
    public func response(to salt: UInt32) throws(DigestError) -> ByteString {
        let saltBytes = (0..<4).map { UInt8(truncatingIfNeeded: salt >> (24 - 8 * UInt32($0))) }
        return ByteString(Self.prefix + (try MD5.hexadecimalHash(digits + saltBytes)))
    }

    private static let prefix = Array("md5".utf8)
    private static let byteCount = 35
}

extension MD5Secret: Equatable {
    public static func == (left: MD5Secret, right: MD5Secret) -> Bool {
        constantTimeEqual(left.digits, right.digits)
    }
}
