// The messages of a takeover come back as they were, and nothing else is taken for one.

import Digests
import PoolerCore
import PostgresWire
import TestSupport
import Testing

@Suite struct TakeoverMessageTests {
    private static let key = PoolKeyRecord(PoolKey(database: "app", user: "häns"))
    private static let address = AddressRecord(
        kind: 1,
        high: .max,
        low: 7,
        scope: 3,
        port: -1
    )
    private static let settings = [
        SettingRecord(name: "TimeZone", value: "UTC", isReported: true),
        SettingRecord(name: "work_mem", value: "", isReported: false),
    ]

    private static var client: ClientRecord {
        var record = ClientRecord(address: address, database: "app", user: "other", pool: key)
        record.number = 77
        record.cancelKey = CancelKey(processID: 4, secretKey: .min)
        record.connectTime = 5
        record.requestTime = 6
        record.settings = settings
        record.startSettings = Array(settings.dropFirst())
        record.statements = [
            NamedStatementRecord(
                name: "one",
                serial: 1 << 33,
                effects: .settings,
                text: "prepare one as select 1",
                bodyByteCount: 12
            ),
            NamedStatementRecord(name: "", serial: 2, effects: [], text: nil, bodyByteCount: 0),
        ]
        record.unnamed = record.statements[1]
        record.unnamedEffects = .opaque
        record.canReuseUnnamed = true
        record.usesSequences = true
        record.customNames = ["app.tenant", ""]
        record.channels = ["news"]
        record.held = [1, 2, 3]
        record.unsent = [4]
        return record
    }

    private static var server: ServerRecord {
        var record = ServerRecord(
            pool: key,
            host: HostName(host: "/tmp", port: 5432),
            endpoint: EndpointRecord(path: "/tmp/.s.PGSQL.5432", address: address),
            localAddress: address
        )
        record.cancelKey = CancelKey(processID: 9, secretKey: 10)
        record.settings = settings
        record.statements = [
            ServerStatementRecord(serial: 3, isFit: true, isCurrent: false),
            ServerStatementRecord(serial: 4, isFit: false, isCurrent: true),
        ]
        record.doubts.add(.advisoryLock)
        record.doubts.add(names: ["work_mem"])
        let text: ByteString = "prepare q as select 1; set app.x = ''"
        for statement in StatementClassifier.statements(in: text.span, rules: ScanRules()) {
            let reported = [SettingRecord(name: "TimeZone", value: "UTC", isReported: true)]
            record.doubts.add(statement, of: text.span, under: reported)
        }
        record.pins = [.temporary, .unknown]
        record.transactionStatus = .inFailedTransaction
        record.answerCount = 2
        record.lifetime = 1_000_000
        record.held = [0]
        return record
    }

    private static func pool(_ credentials: Credentials) -> PoolRecord {
        PoolRecord(
            key: key,
            target: "there",
            credentials: CredentialsRecord(credentials),
            fixedParameters: [83],
            defaults: credentials == .none ? nil : settings,
            customNames: ["a.b"],
            serverCount: 5
        )
    }

    private static func messages() throws -> [TakeoverMessage] {
        let digest = try #require(Digest32(Array(repeating: 5, count: 32)))
        let md5 = try #require(
            MD5Secret(parsing: "md50123456789abcdef0123456789abcdef")
        )
        let keys = SCRAMKeys(
            clientKey: digest,
            storedKey: digest,
            serverKey: digest,
            salt: [1, 2],
            iterations: 4_096
        )
        return [
            .hello(version: TakeoverMessage.version, generation: 3, listenerCount: 2), .ready,
            .begin(
                BeginRecord(
                    nextNumber: 9,
                    clientCount: 10,
                    isPaused: true,
                    pausedDatabases: ["p"],
                    disabledDatabases: [],
                    pools: [
                        pool(.none), pool(.plain("secret")), pool(.md5(md5)), pool(.scram(keys)),
                    ]
                )
            ),
            .statement(
                StatementRecord(
                    serial: 3,
                    body: "select 1",
                    settings: settings,
                    pool: key,
                    description: DescriptionRecord(parameterTypes: [23, .max], columns: 8)
                )
            ),
            .client(client), .pair(client, server), .server(server),
            .login(
                LoginRecord(
                    address: address,
                    number: 8,
                    database: "app",
                    user: "häns",
                    settings: settings,
                    isAuthenticated: true,
                    cancelSecret: -3,
                    held: [],
                    unsent: [9]
                )
            ),
            .newcomer(NewcomerRecord(address: address, number: 1, held: [0, 0], isReturned: true)),
            .serverLeft(key), .clientLeft, .accepted(count: 12), .end,
        ]
    }

    @Test func messagesComeBackAsTheyWere() throws {
        for message in try Self.messages() {
            let bytes = message.bytes
            try #expect(TakeoverMessage.byteCount(peeking: bytes[...]) == bytes.count)
            try #expect(TakeoverMessage(decoding: bytes[...]) == message)
        }
    }

    /// A message that ends too early is none, wherever it ends, and neither is one with more behind it.
    @Test func brokenMessagesAreErrors() throws {
        for message in try Self.messages() {
            let bytes = message.bytes
            for count in 0..<bytes.count {
                #expect(throws: WireError.self) {
                    try TakeoverMessage(decoding: bytes.prefix(count))
                }
                guard count >= 9 else { continue }
                // The same with a length that fits.
                var header = RecordWriter()
                header.write(UInt64(count - 9))
                let short = bytes.prefix(1) + header.bytes + bytes[9..<count]
                #expect(throws: WireError.self) {
                    try TakeoverMessage(decoding: Array(short)[...])
                }
            }
            #expect(throws: WireError.self) { try TakeoverMessage(decoding: (bytes + [0])[...]) }
        }
    }

    /// Whatever the bytes are: a message or an error, and what is read can be written again.
    @Test func anyBytes() throws {
        var random = SplitMix(seed: 7)
        for message in try Self.messages() {
            for _ in 0..<300 {
                var bytes = message.bytes
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    let place = Int.random(in: bytes.indices, using: &random)
                    bytes[place] = UInt8.random(in: .min ... .max, using: &random)
                }
                guard let read = try? TakeoverMessage(decoding: bytes[...]) else { continue }
                try #expect(TakeoverMessage(decoding: read.bytes[...]) == read)
            }
        }
    }

    /// A length that no message has is refused before anything is kept for it.
    @Test func tooLong() throws {
        let bytes: [UInt8] = [5] + Array(repeating: 0xFF, count: 8)
        #expect(throws: WireError.self) { try TakeoverMessage.byteCount(peeking: bytes[...]) }
        try #expect(TakeoverMessage.byteCount(peeking: bytes.prefix(8)) == nil)
    }

    /// Another version's greeting can be told apart, whatever follows.
    @Test func anotherVersion() throws {
        var body = RecordWriter()
        body.write(TakeoverMessage.version + 1)
        body.write(ByteString("something else"))
        var header = RecordWriter()
        header.write(UInt64(body.bytes.count))
        let bytes = [1] + header.bytes + body.bytes
        try #expect(
            TakeoverMessage(decoding: bytes[...])
                == .hello(version: TakeoverMessage.version + 1, generation: 0, listenerCount: 0)
        )
    }
}
