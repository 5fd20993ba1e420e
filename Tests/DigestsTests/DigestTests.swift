import Digests
import Testing

@Suite struct DigestTests {
    /// FIPS 180-4, examples.
    @Test func sha256() throws {
        #expect(
            try hexadecimal(SHA256.hash([]).bytes)
                == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        )
        #expect(
            try hexadecimal(SHA256.hash(Array("abc".utf8)).bytes)
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        )
    }

    /// RFC 4231, test cases 1, 2, 3 and 6.
    @Test(arguments: [
        (
            [UInt8](repeating: 0x0B, count: 20), Array("Hi There".utf8),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        ),
        (
            Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        ),
        (
            [UInt8](repeating: 0xAA, count: 20), [UInt8](repeating: 0xDD, count: 50),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
        ),
        (
            [UInt8](repeating: 0xAA, count: 131),
            Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        ),
    ])
    func hmac(key: [UInt8], message: [UInt8], expected: String) throws {
        #expect(try hexadecimal(HMACSHA256.authenticate(message, key: key).bytes) == expected)
    }

    @Test func hmacOfNothingWithNothing() throws {
        #expect(
            try hexadecimal(HMACSHA256.authenticate([], key: []).bytes)
                == "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"
        )
    }

    /// The inputs of RFC 6070 with SHA-256 in place of SHA-1.
    @Test(arguments: [
        (1, "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b"),
        (2, "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43"),
        (4_096, "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a"),
    ])
    func pbkdf2(iterations: Int, expected: String) throws {
        let key = try PBKDF2.deriveKey(
            password: Array("password".utf8),
            salt: Array("salt".utf8),
            iterations: iterations
        )
        #expect(hexadecimal(key.bytes) == expected)
    }

    @Test(arguments: [0, -1, Int(Int32.max) + 1])
    func pbkdf2RefusesIterations(_ iterations: Int) {
        #expect(throws: DigestError.unavailable) {
            try PBKDF2.deriveKey(password: [1], salt: [1], iterations: iterations)
        }
    }

    @Test func pbkdf2OfEmptyInputsDoesNotFail() throws {
        _ = try PBKDF2.deriveKey(password: [], salt: [], iterations: 1)
    }

    /// RFC 1321, A.5.
    @Test func md5() throws {
        #expect(
            try MD5.hexadecimalHash([]) == Array("d41d8cd98f00b204e9800998ecf8427e".utf8)
        )
        #expect(
            try MD5.hexadecimalHash(Array("message digest".utf8))
                == Array("f96b697d7cb7938d525a2f31aaf161d0".utf8)
        )
    }

    @Test func comparison() throws {
        #expect(constantTimeEqual([1, 2, 3], [1, 2, 3]))
        #expect(!constantTimeEqual([1, 2, 3], [1, 2, 4]))
        #expect(!constantTimeEqual([1, 2, 3], [1, 2]))
        #expect(constantTimeEqual([UInt8](), []))
        let digest = try SHA256.hash([1])
        let other = try SHA256.hash([2])
        #expect(digest == Digest32(digest.bytes))
        #expect(digest != other)
        #expect((digest ^ other) ^ other == digest)
        #expect(Digest32([1, 2, 3]) == nil)
    }

    @Test func descriptionHidesTheBytes() throws {
        let digest = try SHA256.hash([])
        #expect("\(digest)" == "<32 bytes>")
        #expect(String(reflecting: Optional(digest)) == "Optional(<32 bytes>)")
        var dumped = ""
        dump(digest, to: &dumped)
        #expect(!dumped.contains("227"))
    }

    @Test func randomBytes() throws {
        #expect(try unpredictableBytes(count: 18).count == 18)
        #expect(try unpredictableBytes(count: 0).isEmpty)
        #expect(try unpredictableBytes(count: 18) != unpredictableBytes(count: 18))
        #expect(throws: DigestError.unavailable) { try unpredictableBytes(count: -1) }
    }

    private func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
