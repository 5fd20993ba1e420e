import PoolerCore
import PostgresWire
import TestSupport
import Testing

/// Random and damaged inputs: every parser ends with a value or an error, and never traps.
@Suite struct SettingsFuzzTests {
    private static let fragments = [
        "[martlet]", "[pgbouncer]", "[databases]", "[users]", "[", "]", "\n", "\r\n", " = ", "=",
        "'",
        "\"", "''", ";", "#", "%include a", "%include ", "*", "a", "listen_port", "pool_size=",
        "-1",
        "99999999999999999999", "0x", "host=", "password='", "auth_type", "scram-sha-256", "1.5",
        ",",
        " ", "\t", "\0", "é", "postgres://", "@", ":", "/", "?", "%", "%2", "%41", "&", "[::1]",
        "sslmode=", "connect_timeout=",
    ].map { Array($0.utf8) }

    @Test(arguments: 0..<8)
    func noInputTraps(_ seed: UInt64) {
        var random = SplitMix(seed: seed)
        var accepted = 0
        var refused = 0
        for _ in 0..<1_000 {
            let bytes = Self.input(&random)
            let text = String(decoding: bytes, as: UTF8.self)
            for outcome in [Self.parseFile(bytes, &random), Self.parseURL(text)] {
                accepted += outcome == nil ? 1 : 0
                refused += outcome == nil ? 0 : 1
                #expect(outcome?.isEmpty != true)
            }
            let users = UserList(path: "u", contents: bytes)
            #expect(users.names.count == users.secrets.count)
            let row = settingTable[Int.random(in: 0..<settingTable.count, using: &random)]
            Self.checkRoundTrip(row, ByteString(bytes))
        }
        #expect(accepted > 0, "seed \(seed) never made an acceptable input")
        #expect(refused > 0)
    }

    @Test func aDamagedSampleIsReadOrRefusedWithItsPlace() {
        var random = SplitMix(seed: 99)
        let sample = Array(sampleIni().utf8).map {
            $0 == UInt8(ascii: ";") ? UInt8(ascii: " ") : $0
        }
        for _ in 0..<300 {
            var bytes = Array(sampleIni().utf8)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                bytes[index] =
                    Bool.random(using: &random)
                    ? sample[index] : .random(in: 0...255, using: &random)
            }
            guard let message = Self.parseFile(bytes, &random) else { continue }
            #expect(message.hasPrefix("fuzz.ini:") || message.hasPrefix("a:"), "\(message)")
        }
    }

    /// What a row accepts it prints in a form that it accepts again, as the same value.
    private static func checkRoundTrip(_ row: SettingRow, _ text: ByteString) {
        var first = Settings()
        guard (try? row.set(text, in: &first)) != nil else {
            #expect(first == Settings(), "\(row.name)")
            return
        }
        var second = Settings()
        #expect(throws: Never.self, "\(row.name)") {
            try row.set(row.value(in: first), in: &second)
        }
        #expect(first == second, "\(row.name)")
    }

    private static func input(_ random: inout SplitMix) -> [UInt8] {
        var bytes: [UInt8] = Bool.random(using: &random) ? Array("[martlet]\n".utf8) : []
        if Int.random(in: 0..<4, using: &random) == 0 { bytes = Array("postgres://u@".utf8) }
        for _ in 0..<Int.random(in: 0...20, using: &random) {
            if Int.random(in: 0..<6, using: &random) == 0 {
                bytes.append(.random(in: 0...255, using: &random))
            } else {
                bytes += fragments.randomElement(using: &random) ?? []
            }
        }
        return bytes
    }

    private static func parseFile(_ bytes: [UInt8], _ random: inout SplitMix) -> String? {
        let included = Bool.random(using: &random) ? bytes : []
        do {
            _ = try Configuration.parse(path: "fuzz.ini", contents: bytes) {
                path throws(FileUnavailable) in
                guard path == "a" else { throw FileUnavailable(reason: "no") }
                return included
            }
            return nil
        } catch {
            return error.description
        }
    }

    private static func parseURL(_ text: String) -> String? {
        do {
            _ = try ConnectionURL(text).configuration()
            return nil
        } catch {
            return error.description
        }
    }
}
