import PoolerCore
import PostgresWire
import Testing

@Suite struct UserListTests {
    private func list(_ text: String) -> UserList {
        UserList(path: "userlist.txt", contents: Array(text.utf8))
    }

    @Test func readsUsersAndSecrets() {
        let users = list(
            """
            ; comment
            "alice" "plain text"
              "bob"\t"md5abc" ignored "rest"

            "with ""two"" quotes" "a""b;c"
            "nobody" ""
            "glued""x" "y"\r
            """
        )
        #expect(users.brokenLines == [])
        #expect(users.names == ["alice", "bob", "with \"two\" quotes", "nobody", "glued\"x"])
        #expect(users.secrets["alice"] == "plain text")
        #expect(users.secrets["bob"] == "md5abc")
        #expect(users.secrets["with \"two\" quotes"] == "a\"b;c")
        #expect(users.secrets["nobody"] == "")
        #expect(users.secrets["glued\"x"] == "y")
        #expect(users.secrets["unknown"] == nil)
    }

    @Test func theLastSecretOfAUserCounts() {
        let users = list("\"a\" \"1\"\n\"b\" \"2\"\n\"a\" \"3\"")
        #expect(users.names == ["a", "b"])
        #expect(users.secrets["a"] == "3")
    }

    @Test func keepsBytesThatAreNotText() {
        let users = UserList(path: "u", contents: [0x22, 0xFF, 0x22, 0x20, 0x22, 0xFE, 0x22])
        #expect(users.secrets[ByteString([0xFF])] == ByteString([0xFE]))
    }

    @Test func brokenLinesAreNamedAndOthersCount() {
        let users = list(
            """
            "a" "1"
            broken
            "b"
            "c" "secret
            "d" secret
            "" "secret"
            "e" "5"
            """
        )
        #expect(users.names == ["a", "e"])
        #expect(
            users.brokenLines.map(\.description) == [
                "userlist.txt:2: broken auth file: expected a user name in double quotes",
                "userlist.txt:3: broken auth file: expected a secret in double quotes",
                "userlist.txt:4: broken auth file: the secret has no closing quote",
                "userlist.txt:5: broken auth file: expected a secret in double quotes",
                "userlist.txt:6: broken auth file: the user name is empty",
            ]
        )
    }

    @Test func lengthsAreThoseOfPgBouncer() {
        func line(_ userLength: Int, _ secretLength: Int) -> String {
            "\"\(String(repeating: "u", count: userLength))\" "
                + "\"\(String(repeating: "s", count: secretLength))\""
        }
        #expect(list(line(127, 65530)).names.count == 1)
        #expect(list(line(128, 1)).brokenLines.count == 1)
        #expect(list(line(1, 65531)).brokenLines.count == 1)
        #expect(list("\"a\" \"\0\"").brokenLines.count == 1)
    }
}
