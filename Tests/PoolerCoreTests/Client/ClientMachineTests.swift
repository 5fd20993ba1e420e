import PoolerCore
import PostgresWire
import TestSupport
import Testing

/// What each message of a client's asks for.
@Suite struct ClientMachineTests {
    private static let expected: [(FrontendMessageType, body: String, ClientRequest)] = [
        (.query, "select 1\0", .query),
        (.query, "", .query),
        (.functionCall, "\0\0\0\0", .query),
        (.sync, "", .sync),
        (.flush, "", .flush),
        (.execute, "\0\0\0\0\0", .execute),
        (.execute, "portal\0\0\0\0\0", .execute),
        (.copyData, "1\t2\n", .copyData),
        (.copyDone, "", .copyEnd),
        (.copyFail, "no more\0", .copyEnd),
        (.terminate, "", .terminate),
        (.parse, "\0select 1\0\0\0", .extended(.parse)),
        (.parse, "s1\0select 1\0\0\0", .named(.parse)),
        (.bind, "\0\0\0\0\0\0\0\0", .extended(.bind)),
        (.bind, "portal\0\0\0\0\0\0\0\0", .extended(.bind)),
        (.bind, "\0s1\0\0\0\0\0\0\0", .named(.bind)),
        (.bind, "portal\0s1\0\0\0\0\0\0\0", .named(.bind)),
        (.describe, "S\0", .extended(.describe)),
        (.describe, "Ss1\0", .named(.describe)),
        (.describe, "Pportal\0", .extended(.describe)),
        (.close, "S\0", .extended(.close)),
        (.close, "Ss1\0", .named(.close)),
        (.close, "P\0", .extended(.close)),
        // Broken ones: PostgreSQL shall refuse them.
        (.parse, "", .extended(.parse)),
        (.bind, "", .extended(.bind)),
        (.bind, "portal", .extended(.bind)),
        (.bind, "portal\0", .extended(.bind)),
        (.describe, "", .extended(.describe)),
        (.describe, "S", .extended(.describe)),
        (.describe, "?x\0", .extended(.describe)),
        (.close, "", .extended(.close)),
    ]

    @Test(arguments: expected)
    func tellsMessagesApart(
        _ type: FrontendMessageType,
        body: String,
        request: ClientRequest
    ) {
        let message = Wire.frontend(type, body)
        let header = MessageHeader(typeByte: type.rawValue, bodyByteCount: body.utf8.count)
        var machine = ClientMachine()
        let step = machine.next((message + [1, 1, 1]).span.bytes, at: 0, limit: 100)
        #expect(step == .message(request, header))
        #expect(machine.pass(header, at: 0, of: message.span.bytes, .forward) == message.count)
        #expect(machine.isBetweenMessages)
    }

    @Test func otherBytesAreViolations() {
        let known = Set(Self.expected.map(\.0.rawValue))
        for byte in UInt8.min...UInt8.max where !known.contains(byte) {
            var machine = ClientMachine()
            let message: [UInt8] = [byte, 0, 0, 0, 4]
            #expect(machine.next(message.span.bytes, at: 0, limit: 100) == .protocolViolation)
        }
    }

    @Test(arguments: [[0, 0, 0, 3], [0, 0, 0, 101], [255, 255, 255, 255]] as [[UInt8]])
    func lengthsOutOfBoundsAreViolations(_ length: [UInt8]) {
        var follower = RequestFollower(limit: 100)
        let sync = Wire.frontend(.sync)
        follower.receive(sync + [0x51] + length)
        #expect(follower.hasViolated)
        #expect(follower.forwarded == sync)
    }

    /// A portal's name is waited for, but not for ever.
    @Test func anEndlessPortalNameIsAViolation() {
        var follower = RequestFollower()
        let name = [UInt8](repeating: 97, count: ClientMachine.nameLimit)
        follower.receive([0x42, 0, 0x10, 0, 0] + name)
        #expect(!follower.hasViolated)
        follower.receive([97])
        #expect(follower.hasViolated)
        #expect(follower.forwarded.isEmpty)
    }

    @Test func aLongBodyIsNeverHeld() {
        var follower = RequestFollower()
        let message = Wire.frontend(.copyData, String(repeating: "x", count: 200_000))
        follower.receive(Array(message.prefix(100_000)))
        #expect(follower.forwarded.count == 100_000)
        #expect(!follower.machine.isBetweenMessages)
        follower.receive(Array(message.dropFirst(100_000)))
        #expect(follower.forwarded == message)
        #expect(follower.holdsNothing)
    }

    @Test func theRestOfASwallowedMessageIsSwallowed() {
        var machine = ClientMachine()
        let message = Wire.frontend(.copyData, "12345")
        let header = MessageHeader(typeByte: 0x64, bodyByteCount: 5)
        let first = Array(message.prefix(7))
        #expect(machine.pass(header, at: 0, of: first.span.bytes, .swallow) == 7)
        let rest = Array(message.dropFirst(7)) + Wire.frontend(.sync)
        #expect(machine.next(rest.span.bytes, at: 0, limit: 100) == .body(end: 3, .swallow))
        let sync = MessageHeader(typeByte: 0x53, bodyByteCount: 0)
        #expect(machine.next(rest.span.bytes, at: 3, limit: 100) == .message(.sync, sync))
    }

    @Test(arguments: 0..<16)
    func noBytesTrap(_ seed: Int) {
        var random = SplitMix(seed: seed)
        for _ in 0..<200 {
            let bytes = Self.garbage(&random)
            var whole = RequestFollower(limit: 1_000)
            whole.receive(bytes)
            var inPieces = RequestFollower(limit: 1_000)
            for piece in random.pieces(of: bytes, upTo: 9) { inPieces.receive(piece) }
            #expect(whole.messages == inPieces.messages, "seed \(seed): \(bytes)")
            #expect(whole.forwarded == inPieces.forwarded, "seed \(seed): \(bytes)")
            #expect(whole.hasViolated == inPieces.hasViolated, "seed \(seed): \(bytes)")
        }
    }

    /// Headers that are mostly right, and bodies that are mostly not.
    private static func garbage(_ random: inout SplitMix) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<random.number(0...8) {
            let type = expected[random.number(0...(expected.count - 1))].0.rawValue
            let length = UInt8(random.number(random.oneIn(20) ? 0...255 : 4...20))
            let isCut = random.oneIn(10)
            let byteCount = isCut ? random.number(0...10) : max(0, Int(length) - 4)
            let body = (0..<byteCount).map { _ in
                random.oneIn(3) ? 0 : UInt8(truncatingIfNeeded: random.next())
            }
            bytes += [random.oneIn(20) ? 0 : type, 0, 0, 0, length] + body
        }
        return bytes
    }
}

/// Streams of messages, whole and in pieces.
@Suite struct ClientTranscriptTests {
    struct Transcript: CustomTestStringConvertible, Sendable {
        let name: String
        let messages: [(FrontendMessageType, String)]
        let requests: [ClientRequest]

        var testDescription: String { name }
        var bytes: [UInt8] { messages.flatMap { Wire.frontend($0.0, $0.1) } }
    }

    private static let transcripts = [
        Transcript(
            name: "simple queries",
            messages: [(.query, "begin\0"), (.query, "\0"), (.terminate, "")],
            requests: [.query, .query, .terminate]
        ),
        Transcript(
            name: "a named statement",
            messages: [
                (.parse, "s1\0select $1\0\0\0"), (.describe, "Ss1\0"), (.flush, ""),
                (.bind, "p\0s1\0\0\0\0\0\0\0"), (.describe, "Pp\0"), (.execute, "p\0\0\0\0\0"),
                (.close, "Pp\0"), (.close, "Ss1\0"), (.sync, ""),
            ],
            requests: [
                .named(.parse), .named(.describe), .flush, .named(.bind), .extended(.describe),
                .execute, .extended(.close), .named(.close), .sync,
            ]
        ),
        Transcript(
            name: "a pipeline of unnamed statements",
            messages: Array(
                repeating: [
                    (.parse, "\0select 1\0\0\0"), (.bind, "\0\0\0\0\0\0\0\0"),
                    (.execute, "\0\0\0\0\0"), (.sync, ""),
                ],
                count: 3
            ).flatMap { $0 },
            requests: Array(
                repeating: [.extended(.parse), .extended(.bind), .execute, .sync],
                count: 3
            ).flatMap { $0 }
        ),
        Transcript(
            name: "a COPY and a FunctionCall",
            messages: [
                (.query, "copy t from stdin\0"), (.copyData, "1\n2\n"), (.copyData, ""),
                (.copyDone, ""), (.copyFail, "no\0"), (.functionCall, "\0\0\0\0\0\0\0\0\0\0"),
            ],
            requests: [.query, .copyData, .copyData, .copyEnd, .copyEnd, .query]
        ),
    ]

    @Test(arguments: transcripts)
    func everySplitGivesTheSame(_ transcript: Transcript) {
        let bytes = transcript.bytes
        for split in 0...bytes.count {
            check(transcript, [Array(bytes.prefix(split)), Array(bytes.dropFirst(split))])
        }
    }

    @Test(arguments: transcripts)
    func byteByByteGivesTheSame(_ transcript: Transcript) {
        check(transcript, transcript.bytes.map { [$0] })
    }

    private func check(_ transcript: Transcript, _ pieces: [[UInt8]]) {
        var follower = RequestFollower()
        for piece in pieces { follower.receive(piece) }
        let comment: Comment = "pieces of \(pieces.map(\.count))"
        #expect(follower.messages == transcript.requests, comment)
        #expect(follower.forwarded == transcript.bytes, comment)
        #expect(follower.holdsNothing && !follower.hasViolated, comment)
    }

    /// What a cancel request takes back: everything up to the first message with an answer of its own.
    @Test func endOfTheFirstRequest() {
        let query: [UInt8] = [UInt8(ascii: "Q"), 0, 0, 0, 5, 0]
        let sync: [UInt8] = [UInt8(ascii: "S"), 0, 0, 0, 4]
        let execute: [UInt8] = [UInt8(ascii: "E"), 0, 0, 0, 9, 0, 0, 0, 0, 0]
        func end(_ bytes: [UInt8]) -> Int? {
            ClientMachine.endOfRequest(ByteString(bytes).span, limit: 1_000)
        }
        #expect(end(query) == 6)
        #expect(end(query + sync) == 6)
        #expect(end(execute + sync + query) == 15)
        #expect(end(execute) == nil)
        #expect(end(Array(query.dropLast())) == nil)
        #expect(end([]) == nil)
        #expect(end([UInt8(ascii: "Q"), 0, 0, 0, 1]) == nil)
    }
}
