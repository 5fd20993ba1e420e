import PoolerCore
import PostgresWire
import Testing

/// A backend message as a test sees it: its letter and its body.
struct SeenMessage: Equatable, CustomStringConvertible {
    let type: Character
    let body: ByteString

    var description: String { "\(type)(\(body.text.replacing("\0", with: "·")))" }

    /// Cuts bytes into messages; anything that does not fit is a message of type `?`.
    static func all(in bytes: [UInt8]) -> [SeenMessage] {
        var messages: [SeenMessage] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let header = try? MessageHeader(peeking: Array(rest).span.bytes, at: 0, limit: .max)
            guard let header = header ?? nil, rest.count >= header.messageByteCount else {
                return messages + [SeenMessage(type: "?", body: ByteString(Array(rest)))]
            }
            let message = rest.prefix(header.messageByteCount)
            let type = Character(UnicodeScalar(header.typeByte))
            messages.append(SeenMessage(type: type, body: ByteString(Array(message.dropFirst(5)))))
            rest = rest.dropFirst(header.messageByteCount)
        }
        return messages
    }
}

extension ConsoleStep {
    /// The letters of the messages that the step sends.
    var types: String { String(SeenMessage.all(in: bytes).map(\.type)) }

    /// The body of the first message with this letter.
    func body(_ type: Character) -> ByteString? {
        SeenMessage.all(in: bytes).first { $0.type == type }?.body
    }
}

extension ConsoleSession {
    mutating func send(_ type: FrontendMessageType, _ write: (inout ByteWriter) -> Void)
        -> ConsoleStep
    {
        var writer = ByteWriter()
        write(&writer)
        return received(type, body: writer.bytes.span.bytes)
    }

    mutating func query(_ text: String) -> ConsoleStep { send(.query) { $0.writeCString(text) } }

    mutating func parse(_ text: String, as name: String = "") -> ConsoleStep {
        send(.parse) { body in
            body.writeCString(name)
            body.writeCString(text)
            body.write(Int16(0))
        }
    }

    mutating func bind(
        _ statement: String = "",
        to portal: String = "",
        parameters: Int16 = 0,
        formats: [Int16] = []
    ) -> ConsoleStep {
        send(.bind) { body in
            body.writeCString(portal)
            body.writeCString(statement)
            body.write(Int16(0))
            body.write(parameters)
            for _ in 0..<parameters { body.write(Int32(-1)) }
            body.write(Int16(formats.count))
            for format in formats { body.write(format) }
        }
    }

    mutating func describe(_ kind: String, _ name: String = "") -> ConsoleStep {
        send(.describe) { body in
            body.write(kind.utf8)
            body.writeCString(name)
        }
    }

    mutating func execute(_ portal: String = "", limit: Int32 = 0) -> ConsoleStep {
        send(.execute) { body in
            body.writeCString(portal)
            body.write(limit)
        }
    }

    mutating func close(_ kind: String, _ name: String = "") -> ConsoleStep {
        send(.close) { body in
            body.write(kind.utf8)
            body.writeCString(name)
        }
    }

    mutating func sync() -> ConsoleStep { send(.sync) { _ in } }
}

@Suite struct ConsoleSessionTests {
    private var session = ConsoleSession(role: .admin)

    // MARK: Simple query

    @Test mutating func aResultSetByteForByte() {
        #expect(session.query("SHOW STATE") == ConsoleStep(bytes: [], next: .run(.show(.state))))
        let step = session.completed(.snapshot(ConsoleSnapshot()))
        func column(_ name: String) -> [UInt8] {
            Array(name.utf8) + [
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0,
            ]
        }
        func row(_ key: String, _ value: String) -> [UInt8] {
            let length = UInt8(4 + 2 + 4 + key.utf8.count + 4 + value.utf8.count)
            return [0x44, 0, 0, 0, length, 0, 2, 0, 0, 0, UInt8(key.utf8.count)] + Array(key.utf8)
                + [0, 0, 0, UInt8(value.utf8.count)] + Array(value.utf8)
        }
        let columns = column("key") + column("value")
        var expected: [UInt8] = [0x54, 0, 0, 0, UInt8(6 + columns.count), 0, 2] + columns
        expected += row("active", "yes") + row("paused", "no") + row("suspended", "no")
        expected += [0x43, 0, 0, 0, 9] + Array("SHOW".utf8) + [0, 0x5A, 0, 0, 0, 5, 0x49]
        #expect(step == ConsoleStep(bytes: expected, next: .receive))
    }

    @Test mutating func whatNeedsNothingIsAnsweredAtOnce() {
        #expect(session.query("SHOW VERSION").types == "TDCZ")
        let fake = session.query("SHOW datestyle")
        #expect(fake.types == "TDCZ")
        #expect(fake.body("D") == "\u{0}\u{1}\u{0}\u{0}\u{0}\u{3}ISO")
        let ignored = session.query("SET datestyle = 'German'")
        #expect(ignored.types == "NCZ")
        #expect(ignored.body("N") == "SNOTICE\u{0}C00000\u{0}MSET ignored\u{0}\u{0}")
        #expect(ignored.body("C") == "SET\u{0}")
        #expect(ignored.next == .receive)
    }

    @Test mutating func help() throws {
        let step = session.query("SHOW HELP")
        #expect(step.types == "NCZ")
        let text = try #require(step.body("N")).text
        #expect(text.hasPrefix("SNOTICE\u{0}C00000\u{0}MConsole usage\u{0}D\n\tDISABLE <db>\n"))
        for row in commandTable { #expect(text.contains("\n\t\(row.name.rawValue)")) }
        for kind in ShowKind.allCases { #expect(text.contains(kind.rawValue)) }
    }

    @Test mutating func emptyQueries() {
        #expect(session.query("").types == "IZ")
        #expect(session.query(" ; -- nothing").types == "IZ")
    }

    @Test mutating func aCommandThatWaits() {
        #expect(session.query("PAUSE app").next == .run(.pause(database: "app")))
        #expect(session.isWaiting)
        let step = session.completed(.done)
        #expect(step.types == "CZ")
        #expect(step.body("C") == "PAUSE\u{0}")
        #expect(!session.isWaiting)
    }

    @Test mutating func theTagOfSetRepeatsTheSetting() {
        _ = session.query("SET query_timeout = '5'")
        #expect(session.completed(.done).body("C") == "SET query_timeout=5\u{0}")
    }

    @Test mutating func errors() {
        let invalid = session.query("foo")
        #expect(invalid.types == "EZ")
        #expect(
            invalid.body("E")
                == "SERROR\u{0}C08P01\u{0}Minvalid command 'foo', use SHOW HELP;\u{0}\u{0}"
        )
        #expect(invalid.failure == .invalidCommand("foo"))
        _ = session.query("RELOAD")
        let reload = session.completed(.failed(.reloadFailed(detail: "line 3")))
        #expect(
            reload.body("E")
                == "SERROR\u{0}CF0000\u{0}MRELOAD failed, see logs for additional details\u{0}Dline 3\u{0}\u{0}"
        )
        #expect(reload.types == "EZ")
        #expect(session.query("SHOW VERSION").failure == nil)
    }

    @Test func theRoleIsAsked() {
        var session = ConsoleSession(role: .stats)
        let step = session.query("SHUTDOWN")
        #expect(step.next == .receive)
        #expect(step.failure == .adminAccessNeeded)
        #expect(step.types == "EZ")
        #expect(session.query("SHOW POOLS").next == .run(.show(.pools)))
    }

    @Test mutating func severalStatementsRunOneAfterTheOther() {
        let first = session.query("SHOW VERSION; PAUSE a; SHOW datestyle; RESUME a")
        #expect(first.types == "TDC")
        #expect(first.next == .run(.pause(database: "a")))
        let second = session.completed(.done)
        #expect(second.types == "CTDC")
        #expect(second.next == .run(.resume(database: "a")))
        #expect(session.completed(.done).types == "CZ")
    }

    @Test mutating func anErrorEndsTheQuery() {
        _ = session.query("PAUSE a; RESUME b")
        let step = session.completed(.failed(.noSuchDatabase("a")))
        #expect(step.types == "EZ")
        #expect(step.next == .receive)
        #expect(!session.isWaiting)
    }

    // MARK: Extended query

    @Test mutating func theUsualExtendedQuery() {
        #expect(session.parse("SHOW STATE").types == "1")
        #expect(session.describe("S").types == "tT")
        #expect(session.bind().types == "2")
        #expect(session.describe("P").types == "T")
        #expect(session.execute().next == .run(.show(.state)))
        #expect(session.completed(.snapshot(ConsoleSnapshot())).types == "DDDC")
        #expect(session.sync().types == "Z")
    }

    @Test mutating func namedStatementsStayAndPortalsEndAtSync() {
        #expect(session.parse("SHOW VERSION", as: "s").types == "1")
        #expect(session.bind("s", to: "p").types == "2")
        #expect(session.bind("s", to: "p").failure == .portalExists("p"))
        #expect(session.sync().types == "Z")
        #expect(session.execute("p").failure == .noSuchPortal("p"))
        _ = session.sync()
        #expect(session.bind("s", to: "p").types == "2")
        #expect(session.execute("p").types == "DC")
        #expect(session.execute("p").failure == .portalAlreadyRun("p"))
        _ = session.sync()
        #expect(session.parse("SHOW STATE", as: "s").failure == .statementExists("s"))
        _ = session.sync()
        #expect(session.close("S", "s").types == "3")
        #expect(session.close("S", "s").types == "3")
        #expect(session.bind("s").failure == .noSuchStatement("s"))
    }

    @Test mutating func afterAnErrorEverythingUpToSyncIsIgnored() {
        let error = session.parse("foo")
        #expect(error.types == "E")
        #expect(error.next == .receive)
        #expect(session.bind().types == "")
        #expect(session.execute().types == "")
        #expect(session.query("SHOW VERSION").types == "")
        #expect(session.send(.functionCall) { _ in }.next == .receive)
        #expect(session.sync().types == "Z")
        #expect(session.query("SHOW VERSION").types == "TDCZ")
    }

    @Test mutating func commandsWithoutRows() {
        _ = session.parse("SET timezone = 'GMT'")
        #expect(session.describe("S").types == "tn")
        _ = session.bind(formats: [1])
        #expect(session.describe("P").types == "n")
        #expect(session.execute().types == "NC")
        _ = session.parse("WAIT_CLOSE")
        _ = session.bind()
        #expect(session.execute().next == .run(.waitClose(database: nil)))
        #expect(session.completed(.done).types == "C")
        _ = session.parse("")
        _ = session.bind()
        #expect(session.describe("P").types == "n")
        #expect(session.execute().types == "I")
        #expect(session.sync().types == "Z")
    }

    @Test mutating func aFailedCommandWaitsForSync() {
        _ = session.parse("RELOAD")
        _ = session.bind()
        _ = session.execute()
        #expect(session.completed(.failed(.reloadFailed(detail: nil))).types == "E")
        #expect(session.parse("SHOW VERSION").types == "")
        #expect(session.sync().types == "Z")
    }

    @Test func theRoleIsAskedAtExecute() {
        var session = ConsoleSession(role: .stats)
        _ = session.parse("RELOAD")
        _ = session.bind()
        #expect(session.execute().failure == .adminAccessNeeded)
    }

    @Test mutating func rowLimits() {
        _ = session.parse("SHOW STATE")
        _ = session.bind()
        _ = session.execute(limit: 2)
        #expect(session.completed(.snapshot(ConsoleSnapshot())).types == "DDs")
        #expect(session.execute(limit: 1).types == "Ds")
        #expect(session.execute(limit: 1).types == "C")
        #expect(session.execute(limit: 1).failure == .portalAlreadyRun(""))
    }

    @Test mutating func binaryFormat() {
        var snapshot = ConsoleSnapshot()
        snapshot.overall.totals.serverAssignments = 0
        snapshot.overall.totals.transactions = 1_0000_0002
        snapshot.overall.totals.queries = 50_000
        snapshot.lists.databases = 258
        _ = session.parse("SHOW TOTALS")
        _ = session.bind(formats: [1])
        #expect(session.describe("P").body("T")?.bytes.suffix(2) == [0, 1])
        _ = session.execute()
        let values = SeenMessage.all(in: session.completed(.snapshot(snapshot)).bytes)
            .map { Array($0.body.bytes.drop { $0 != UInt8(ascii: "t") }.drop { $0 > 0x20 }) }
        #expect(values[0] == [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0])
        #expect(values[1] == [0, 0, 0, 14, 0, 3, 0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2])
        #expect(values[2] == [0, 0, 0, 10, 0, 1, 0, 1, 0, 0, 0, 0, 0, 5])
        _ = session.parse("SHOW LISTS")
        _ = session.bind(formats: [0, 1])
        _ = session.execute(limit: 1)
        let step = session.completed(.snapshot(snapshot))
        #expect(step.body("D")?.bytes.suffix(8) == [0, 0, 0, 4, 0, 0, 1, 2])
    }

    @Test(arguments: [[2], [0, 0, 0], [-1]] as [[Int16]])
    mutating func formatsThatDoNotFit(_ formats: [Int16]) {
        _ = session.parse("SHOW STATE")
        #expect(session.bind(formats: formats).failure == .invalidBind)
    }

    @Test mutating func parametersAndSeveralCommandsAreRefused() {
        _ = session.parse("SHOW STATE")
        #expect(session.bind(parameters: 1).failure == .invalidBind)
        _ = session.sync()
        #expect(session.parse("SHOW STATE; SHOW POOLS").failure == .multipleCommands)
    }

    @Test mutating func namesAreLimited() {
        for index in 0..<ConsoleSession.nameLimit {
            #expect(session.parse("SHOW STATE", as: "s\(index)").types == "1")
        }
        #expect(session.parse("SHOW STATE", as: "more").failure == .tooManyNames)
        _ = session.sync()
        #expect(session.parse("SHOW STATE").types == "1")
        for index in 0..<ConsoleSession.nameLimit {
            #expect(session.bind(to: "p\(index)").types == "2")
        }
        #expect(session.bind(to: "more").failure == .tooManyNames)
    }

    @Test mutating func aQueryForgetsTheUnnamedStatement() {
        _ = session.parse("SHOW STATE")
        _ = session.query("SHOW VERSION")
        #expect(session.bind().failure == .noSuchStatement(""))
    }

    // MARK: The end

    @Test mutating func terminate() {
        #expect(session.send(.terminate) { _ in } == ConsoleStep(bytes: [], next: .close))
        _ = session.parse("foo")
        #expect(session.send(.terminate) { _ in }.next == .close)
    }

    @Test mutating func unknownMessagesEndTheSession() {
        let step = session.send(.functionCall) { _ in }
        #expect(step.types == "EZE")
        #expect(step.next == .close)
        #expect(
            step.body("E")
                == "SERROR\u{0}C08P01\u{0}Munsupported packet type for admin console: 70\u{0}\u{0}"
        )
        #expect(
            SeenMessage.all(in: step.bytes).last?.body
                == "SFATAL\u{0}C08P01\u{0}Mbad packet\u{0}\u{0}"
        )
    }

    @Test(
        arguments: [
            .query, .parse, .bind, .describe, .execute, .close,
        ] as [FrontendMessageType]
    )
    mutating func truncatedMessagesEndTheSession(_ type: FrontendMessageType) {
        let step = session.send(type) { _ in }
        #expect(step.types == "E")
        #expect(step.next == .close)
    }

    @Test func randomMessagesNeverTrap() {
        var random = RepeatableRandom(state: 2)
        let texts = ["SHOW STATE", "PAUSE", "foo", "SHOW VERSION;SHOW VERSION", "", "s", "p"]
        for _ in 0..<300 {
            var session = ConsoleSession(role: random.next(below: 2) == 0 ? .stats : .admin)
            for _ in 0..<40 {
                var step: ConsoleStep
                let text = texts[random.next(below: texts.count)]
                let name = ["", "s", "p"][random.next(below: 3)]
                switch random.next(below: 9) {
                case 0: step = session.query(text)
                case 1: step = session.parse(text, as: name)
                case 2:
                    step = session.bind(
                        name,
                        to: name,
                        formats: random.next(below: 2) == 0 ? [] : [1]
                    )
                case 3: step = session.describe(random.next(below: 2) == 0 ? "S" : "P", name)
                case 4: step = session.execute(name, limit: Int32(random.next(below: 4)) - 1)
                case 5: step = session.close("P", name)
                case 6: step = session.sync()
                default:
                    let type = FrontendMessageType(rawValue: UInt8(random.next(below: 256)))
                    let body = (0..<random.next(below: 30)).map { _ in
                        UInt8(random.next(below: 256))
                    }
                    step = session.send(type) { $0.write(body) }
                }
                while case .run = step.next {
                    #expect(!step.types.contains("?"))
                    step = session.completed(
                        random.next(below: 3) == 0
                            ? .failed(.canceled) : .snapshot(ConsoleSnapshot())
                    )
                }
                #expect(!step.types.contains("?"))
                if step.next == .close { break }
            }
        }
    }
}

@Suite struct ConsoleAnswerTests {
    @Test func welcome() {
        let key = CancelKey(processID: 1, secretKey: 2)
        let messages = SeenMessage.all(in: ConsoleAnswer.welcome(cancelKey: key))
        let expected: [(String, String)] = [
            ("server_version", "1.25.2/bouncer"), ("client_encoding", "UTF8"),
            ("server_encoding", "UTF8"), ("DateStyle", "ISO"), ("TimeZone", "GMT"),
            ("standard_conforming_strings", "on"), ("is_superuser", "on"),
        ]
        #expect(
            messages
                == expected.map {
                    SeenMessage(type: "S", body: ByteString("\($0.0)\u{0}\($0.1)\u{0}"))
                } + [
                    SeenMessage(type: "K", body: ByteString([0, 0, 0, 1, 0, 0, 0, 2])),
                    SeenMessage(type: "Z", body: "I"),
                ]
        )
    }

    @Test(
        arguments: [
            (.badArguments, "bad arguments"), (.adminAccessNeeded, "admin access needed"),
            (.databaseRequired, "a database is required"),
            (.noSuchDatabase("x"), "no such database: x"),
            (
                .refusedForConsole(verb: "pause", database: "pgbouncer"),
                "cannot pause admin db: pgbouncer"
            ),
            (.alreadySuspendedOrPaused, "already suspended/paused"),
            (.cannotSuspendWithPausedDatabases, "cannot suspend with paused databases"),
            (.notPausedOrSuspended, "pooler is not paused/suspended"),
            (.takeoverUnderWay, "a takeover is under way"),
            (.descriptorsNotShown, "SHOW FDS is not supported, martlet -R takes over without it"),
            (.databaseNotPaused("x"), "database x is not paused"),
            (.shuttingDown, "pooler is shutting down"), (.clientNotFound, "client not found"),
            (.invalidClientReference, "invalid client pointer supplied"),
            (.setFailed(detail: nil), "SET failed"),
        ] as [(AdminError, ByteString)]
    )
    func errorTexts(_ error: AdminError, _ text: ByteString) {
        #expect(error.response.message == text)
        #expect(error.response.sqlState == .protocolViolation)
        #expect(error.response.severity == "ERROR")
    }
}
