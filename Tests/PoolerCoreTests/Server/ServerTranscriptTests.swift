import PoolerCore
import PostgresWire
import TestSupport
import Testing

/// Conversations with servers, whole and in pieces.
@Suite struct ServerTranscriptTests {
    @Test(arguments: ServerTranscript.golden)
    func followsTheWhole(_ transcript: ServerTranscript) {
        let follower = transcript.follow { [$1] }
        #expect(follower.notes == transcript.notes)
        #expect(follower.forwarded == transcript.forwardedBytes)
        #expect(follower.machine.isClean == transcript.isCleanAtEnd)
        #expect(follower.holdsNothing || follower.notes.last == .violation)
    }

    @Test(arguments: ServerTranscript.golden)
    func everySplitGivesTheSame(_ transcript: ServerTranscript) {
        for (index, step) in transcript.steps.enumerated() {
            guard case .received(let messages) = step else { continue }
            for split in 1..<max(2, messages.joined().count) {
                let follower = transcript.follow { step, bytes in
                    step == index
                        ? [Array(bytes.prefix(split)), Array(bytes.dropFirst(split))] : [bytes]
                }
                let comment: Comment = "step \(index) split at \(split)"
                #expect(follower.notes == transcript.notes, comment)
                #expect(follower.forwarded == transcript.forwardedBytes, comment)
                #expect(follower.machine.isClean == transcript.isCleanAtEnd, comment)
            }
        }
    }

    @Test(arguments: ServerTranscript.golden)
    func byteByByteGivesTheSame(_ transcript: ServerTranscript) {
        let follower = transcript.follow { $1.map { [$0] } }
        #expect(follower.notes == transcript.notes)
        #expect(follower.forwarded == transcript.forwardedBytes)
        #expect(follower.machine.isClean == transcript.isCleanAtEnd)
    }

    @Test(arguments: ServerTranscript.golden)
    func randomPiecesGiveTheSame(_ transcript: ServerTranscript) {
        for seed in 0..<20 {
            var random = SplitMix(seed: seed)
            let follower = transcript.follow { random.pieces(of: $1, upTo: 40) }
            #expect(follower.notes == transcript.notes, "seed \(seed)")
            #expect(follower.forwarded == transcript.forwardedBytes, "seed \(seed)")
        }
    }

    @Test func aServerThatDiesInAQuerySaidWhy() {
        let follower = ServerTranscript.fatalInAQuery.follow { [$1] }
        #expect(follower.machine.endedWithError && !follower.machine.isSettled)
    }
}
