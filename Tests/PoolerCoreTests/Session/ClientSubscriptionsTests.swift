import PoolerCore
import PostgresWire
import Testing

@Suite struct ClientSubscriptionsTests {
    private static func message(_ channel: ByteString, _ payload: ByteString = "")
        -> NotificationResponse
    {
        NotificationResponse(processID: 1, channel: channel, payload: payload)
    }

    private static func holding(_ channels: [ByteString]) -> ClientSubscriptions {
        var client = ClientSubscriptions()
        client.begin(ClientSubscriptions.HandOver(ticket: 1, channels: channels))
        client.markerCame()
        return client
    }

    @Test func channelsAreHeldFromTheMarkerOn() {
        var client = ClientSubscriptions()
        #expect(client.isEmpty)
        client.begin(ClientSubscriptions.HandOver(ticket: 1, channels: ["b", "a"]))
        #expect(!client.isEmpty && !client.holds("a"))
        client.markerCame()
        #expect(client.channels == ["b", "a"])
        #expect(client.holds("a") && client.handOver == nil)
        client.begin(ClientSubscriptions.HandOver(ticket: 2, channels: ["c"]))
        client.abandonHandOver()
        #expect(client.channels == ["b", "a"])
    }

    /// It is not forgotten while anything is awaited on its account.
    @Test func whatIsAwaitedKeepsTheEntry() {
        var client = ClientSubscriptions()
        client.notifyingProcess = 7
        #expect(!client.isEmpty && !client.listens)
        client.notifyingProcess = 0
        client.flushTicket = 7
        #expect(!client.isEmpty)
        client.flushTicket = 0
        client.keepsReady = true
        #expect(!client.isEmpty)
        client.keepsReady = false
        #expect(client.isEmpty)
    }

    @Test func aServerWithAllChannelsTellsEverything() {
        let client = Self.holding(["a", "b"])
        let more = client.change(byNames: ["b", "c"], isComplete: true)
        #expect(more.added == ["c"] && more.removed == ["a"])
        let new = client.change(byNames: ["b", "c"], isComplete: false)
        #expect(new.added == ["c"] && new.removed.isEmpty)
        #expect(client.change(byNames: [], isComplete: true).removed == ["a", "b"])
    }

    @Test func keptNotificationsComeInOrder() {
        var client = Self.holding(["a", "b"])
        var expected = ByteWriter()
        for (channel, payload): (ByteString, ByteString) in [("a", "1"), ("b", "2"), ("a", "3")] {
            let isKept = client.keep(Self.message(channel, payload), limit: 100)
            #expect(isKept)
            expected.notificationResponse(Self.message(channel, payload))
        }
        #expect(client.keptByteCount == expected.bytes.count)
        let taken = client.takeKept()
        #expect(taken == expected.bytes)
        #expect(!client.hasKept && client.keptByteCount == 0)
    }

    @Test func whatIsGivenUpIsDropped() {
        var client = Self.holding(["a", "b"])
        _ = client.keep(Self.message("a"), limit: 100)
        _ = client.keep(Self.message("b"), limit: 100)
        client.remove(["a"])
        #expect(client.channels == ["b"])
        let strange = client.keep(Self.message("a"), limit: 0)
        #expect(strange)
        var expected = ByteWriter()
        expected.notificationResponse(Self.message("b"))
        let taken = client.takeKept()
        #expect(taken == expected.bytes)
        client.remove(["b"])
        #expect(!client.isEmpty)
        client.listenerRemoved(["a", "b"])
        #expect(client.isEmpty)
    }

    /// What the listener has sent before it knew that a channel was given up is not for its next time.
    @Test func whatIsLateIsNotForTheNextTime() {
        var client = Self.holding(["a"])
        client.remove(["a"])
        client.begin(ClientSubscriptions.HandOver(ticket: 2, channels: ["a"]))
        _ = client.keep(Self.message("a", "late"), limit: 100)
        client.markerCame()
        client.remove(["a"])
        client.begin(ClientSubscriptions.HandOver(ticket: 3, channels: ["a"]))
        client.listenerRemoved(["a"])
        _ = client.keep(Self.message("a", "late, too"), limit: 100)
        #expect(!client.hasKept)
        client.listenerRemoved(["a"])
        _ = client.keep(Self.message("a", "new"), limit: 100)
        #expect(client.hasKept)
    }

    @Test func theQueueIsBounded() {
        var client = Self.holding(["a"])
        let size = 5 + 4 + 2 + 1
        let fits = client.keep(Self.message("a"), limit: 2 * size)
        let fitsStill = client.keep(Self.message("a"), limit: 2 * size)
        let isTooMuch = client.keep(Self.message("a"), limit: 2 * size)
        #expect(fits && fitsStill && !isTooMuch)
    }

    @Test func whatIsBeingHandedOverWaits() {
        var client = Self.holding(["a"])
        client.begin(ClientSubscriptions.HandOver(ticket: 2, channels: ["b"]))
        _ = client.keep(Self.message("a"), limit: 100)
        #expect(!client.isHandingOverKept)
        _ = client.keep(Self.message("b"), limit: 100)
        #expect(client.isHandingOverKept)
        client.markerCame()
        #expect(!client.isHandingOverKept && client.hasKept)
    }
}
