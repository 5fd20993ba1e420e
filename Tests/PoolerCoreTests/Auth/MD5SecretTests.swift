import PoolerCore
import PostgresWire
import Testing

@Suite struct MD5SecretTests {
    /// `select 'md5' || md5('pw' || 'user')`, and `md5(secret || E'\x01\x02\x03\x04')` of it.
    @Test func vectors() throws {
        let secret = try MD5Secret(password: "pw", user: "user")
        #expect(secret.text == "md5871c429757b7a0bf1654fad112b77bd4")
        #expect(try secret.response(to: 0x0102_0304) == "md546eacb7412409e1444bde22e56e70744")
    }

    @Test func parses() throws {
        let secret = try #require(MD5Secret(parsing: "md5871c429757b7a0bf1654fad112b77bd4"))
        #expect(try secret == MD5Secret(password: "pw", user: "user"))
        #expect(try secret != MD5Secret(password: "pw", user: "other"))
    }

    @Test(arguments: [
        "", "md5", "md5871c429757b7a0bf1654fad112b77bd", "md5871c429757b7a0bf1654fad112b77bd47",
        "md5871C429757B7A0BF1654FAD112B77BD4", "md5871c429757b7a0bf1654fad112b77bdg",
        "MD5871c429757b7a0bf1654fad112b77bd4",
    ])
    func refuses(_ text: String) {
        #expect(MD5Secret(parsing: ByteString(text)) == nil)
    }
}
