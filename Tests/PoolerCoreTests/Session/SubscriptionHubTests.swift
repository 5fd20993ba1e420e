import PoolerCore
import PostgresWire
import Testing

@Suite struct SubscriptionHubTests {
    private static let one = subscriber(1)
    private static let two = subscriber(2, worker: 1)

    private static func subscriber(_ index: UInt32, worker: UInt16 = 0) -> Subscriber {
        Subscriber(client: ClientID(index: index, generation: 1), worker: WorkerID(index: worker))
    }

    private static func message(
        _ channel: ByteString,
        _ payload: ByteString = ""
    ) -> NotificationResponse {
        NotificationResponse(processID: 9, channel: channel, payload: payload)
    }

    /// A hub whose listener listens to nothing yet.
    private static func listeningHub() -> SubscriptionHub {
        var hub = SubscriptionHub(marker: "m")
        hub.opened()
        guard case .send = hub.connected().first else {
            Issue.record("the first round was not sent")
            return hub
        }
        #expect(hub.answered(hasFailed: false) == [])
        return hub
    }

    /// A hub that serves these.
    private static func hub(serving subscribers: [(Subscriber, [ByteString])]) -> SubscriptionHub {
        var hub = listeningHub()
        for (index, (subscriber, channels)) in subscribers.enumerated() {
            let ticket = UInt64(index + 1)
            _ = hub.ask(subscriber, for: channels, ticket: ticket, now: 0)
            if hub.awaitsAnswer { _ = hub.answered(hasFailed: false) }
            #expect(hub.notified(message("m", ByteString("\(ticket)"))).isEmpty)
        }
        return hub
    }

    // MARK: From asking to being served

    @Test func aClientIsServedFromItsMarkerOn() {
        var hub = SubscriptionHub(marker: "m")
        #expect(!hub.needsListener)
        #expect(hub.ask(Self.one, for: ["a", "b"], ticket: 7, now: 0) == [])
        #expect(hub.needsListener)
        hub.opened()
        #expect(!hub.needsListener)
        guard case .send(let text) = hub.connected().first else {
            Issue.record("nothing was sent")
            return
        }
        #expect(text.text.hasSuffix(#";LISTEN "m";LISTEN "a";LISTEN "b""#))
        #expect(hub.notified(Self.message("a")).isEmpty)
        #expect(hub.answered(hasFailed: false) == [.granted(Self.one, ticket: 7)])
        #expect(hub.notified(Self.message("a")).isEmpty)
        #expect(hub.notified(Self.message("m", "8")).isEmpty)
        #expect(hub.notified(Self.message("a")).isEmpty)
        #expect(hub.notified(Self.message("m", "7")).isEmpty)
        #expect(hub.notified(Self.message("a")) == [Self.one.worker: [Self.one.client]])
        #expect(hub.notified(Self.message("c")).isEmpty)
    }

    @Test func whatIsListenedToIsGrantedAtOnce() {
        var hub = Self.hub(serving: [(Self.one, ["a"])])
        #expect(hub.ask(Self.two, for: ["a"], ticket: 9, now: 0) == [.granted(Self.two, ticket: 9)])
        _ = hub.notified(Self.message("m", "9"))
        #expect(
            hub.notified(Self.message("a")) == [
                Self.one.worker: [Self.one.client], Self.two.worker: [Self.two.client],
            ]
        )
    }

    @Test func aSecondRequestDoesNotOvertakeTheMarkerOfTheFirst() {
        var hub = Self.listeningHub()
        _ = hub.ask(Self.one, for: ["a"], ticket: 1, now: 0)
        #expect(hub.answered(hasFailed: false) == [.granted(Self.one, ticket: 1)])
        #expect(hub.ask(Self.one, for: ["b"], ticket: 2, now: 0) == [.send(#"LISTEN "b""#)])
        #expect(hub.answered(hasFailed: false) == [.granted(Self.one, ticket: 2)])
        _ = hub.notified(Self.message("m", "1"))
        #expect(!hub.notified(Self.message("a")).isEmpty)
        #expect(hub.notified(Self.message("b")).isEmpty)
        _ = hub.notified(Self.message("m", "2"))
        #expect(!hub.notified(Self.message("b")).isEmpty)
    }

    @Test func roundsCollectWhatIsNeeded() {
        var hub = Self.listeningHub()
        #expect(
            hub.ask(Self.one, for: ["a\"b"], ticket: 1, now: 0) == [.send(#"LISTEN "a""b""#)]
        )
        #expect(hub.ask(Self.two, for: ["c"], ticket: 2, now: 0) == [])
        #expect(hub.flush(Self.one, ticket: 3) == [])
        #expect(
            hub.answered(hasFailed: false) == [
                .granted(Self.one, ticket: 1), .send(#"LISTEN "c""#),
            ]
        )
        #expect(hub.leave(Self.one, now: 0) == [])
        #expect(
            hub.answered(hasFailed: false) == [
                .flushed(Self.one, ticket: 3), .granted(Self.two, ticket: 2),
                .send(#"UNLISTEN "a""b""#),
            ]
        )
        #expect(hub.answered(hasFailed: false) == [])
    }

    // MARK: Less

    @Test func theLastWhoLeavesEndsTheChannel() {
        var hub = Self.hub(serving: [(Self.one, ["a", "b"]), (Self.two, ["a"])])
        #expect(hub.remove(["a"], of: Self.one, now: 5) == [])
        #expect(hub.notified(Self.message("a")) == [Self.two.worker: [Self.two.client]])
        #expect(hub.remove(["a"], of: Self.two, now: 5) == [.send(#"UNLISTEN "a""#)])
        #expect(hub.notified(Self.message("a")).isEmpty)
        #expect(hub.subscriberCount == 1)
        // Wanted again while that is under way.
        #expect(hub.ask(Self.two, for: ["a"], ticket: 9, now: 5) == [])
        #expect(hub.answered(hasFailed: false) == [.send(#"LISTEN "a""#)])
        #expect(hub.answered(hasFailed: false) == [.granted(Self.two, ticket: 9)])
        #expect(hub.leave(Self.one, now: 6) == [.send(#"UNLISTEN "b""#)])
    }

    /// UNLISTEN by a client whose marker has not come to the listener yet.
    @Test func whatIsRemovedBeforeItsMarkerIsNeverServed() {
        var hub = Self.listeningHub()
        _ = hub.ask(Self.one, for: ["a", "b"], ticket: 1, now: 0)
        _ = hub.answered(hasFailed: false)
        #expect(hub.remove(["a"], of: Self.one, now: 0) == [.send(#"UNLISTEN "a""#)])
        _ = hub.notified(Self.message("m", "1"))
        #expect(hub.notified(Self.message("a")).isEmpty)
        #expect(!hub.notified(Self.message("b")).isEmpty)
    }

    @Test func anUnusedListenerIsClosed() {
        var hub = Self.hub(serving: [(Self.one, ["a"])])
        #expect(hub.timePassed(now: 1_000, linger: 10) == [])
        _ = hub.leave(Self.one, now: 1_000)
        #expect(hub.timePassed(now: 1_020, linger: 10) == [])
        _ = hub.answered(hasFailed: false)
        #expect(hub.timePassed(now: 1_005, linger: 10) == [])
        #expect(hub.timePassed(now: 1_010, linger: 10) == [.close])
        #expect(hub.subscriberCount == 0 && hub.channelCount == 0)
    }

    @Test func givingUpLeavesNothing() {
        var hub = Self.listeningHub()
        _ = hub.ask(Self.one, for: ["a"], ticket: 1, now: 0)
        #expect(hub.giveUp(2, of: Self.one, now: 0) == [])
        #expect(hub.giveUp(1, of: Self.two, now: 0) == [])
        #expect(hub.subscriberCount == 1)
        #expect(hub.giveUp(1, of: Self.one, now: 0) == [])
        #expect(hub.subscriberCount == 0)
        #expect(hub.answered(hasFailed: false) == [.send(#"UNLISTEN "a""#)])
        _ = hub.notified(Self.message("m", "1"))
        #expect(hub.notified(Self.message("a")).isEmpty)
    }

    // MARK: Failures

    @Test func withoutAListenerClientsAreRefused() {
        var hub = SubscriptionHub(marker: "m")
        _ = hub.ask(Self.one, for: ["a"], ticket: 1, now: 0)
        #expect(hub.flush(Self.one, ticket: 2) == [.flushed(Self.one, ticket: 2)])
        hub.opened()
        #expect(hub.couldNotOpen(now: 0) == [.refused(Self.one, ticket: 1)])
        #expect(!hub.needsListener)
        _ = hub.ask(Self.one, for: ["a"], ticket: 3, now: 0)
        #expect(hub.timePassed(now: 2_999_999, linger: 0) == [])
        #expect(hub.timePassed(now: 3_000_000, linger: 0) == [.refused(Self.one, ticket: 3)])
        #expect(hub.subscriberCount == 0)
    }

    @Test func aFailedRoundRefusesThoseWhoAskedForIt() {
        var hub = Self.hub(serving: [(Self.one, ["a"])])
        _ = hub.ask(Self.two, for: ["b"], ticket: 9, now: 0)
        #expect(hub.flush(Self.one, ticket: 10) == [])
        #expect(
            hub.answered(hasFailed: true) == [.refused(Self.two, ticket: 9), .send("")]
        )
        #expect(hub.answered(hasFailed: false) == [.flushed(Self.one, ticket: 10)])
        #expect(!hub.notified(Self.message("a")).isEmpty)
    }

    @Test func aListenerThatCannotListenIsClosed() {
        var hub = Self.hub(serving: [(Self.one, ["a"])])
        #expect(hub.lost() == [])
        hub.opened()
        _ = hub.connected()
        #expect(hub.answered(hasFailed: true) == [.close])
    }

    @Test func afterALossEverybodyIsTold() {
        var hub = Self.hub(serving: [(Self.one, ["a"])])
        // Granted, and its server may not listen any more.
        _ = hub.ask(Self.two, for: ["a"], ticket: 9, now: 0)
        _ = hub.flush(Self.one, ticket: 10)
        #expect(hub.flush(Self.one, ticket: 11) == [])
        #expect(
            hub.lost() == [.flushed(Self.one, ticket: 10), .flushed(Self.one, ticket: 11)]
        )
        #expect(hub.needsListener)
        let late = Self.subscriber(3)
        #expect(hub.ask(late, for: ["c"], ticket: 12, now: 0) == [])
        hub.opened()
        #expect(hub.connected().count == 1)
        let orders = hub.answered(hasFailed: false)
        #expect(orders.first == .granted(late, ticket: 12))
        guard case .restored(let told) = orders.last else {
            Issue.record("nobody was told: \(orders)")
            return
        }
        #expect(Set(told) == [Self.one, Self.two])
        #expect(
            hub.notified(Self.message("a")) == [
                Self.one.worker: [Self.one.client], Self.two.worker: [Self.two.client],
            ]
        )
        #expect(hub.check() == [.send("")])
        #expect(hub.check() == [])
        #expect(hub.answered(hasFailed: false) == [])
    }

    @Test func whoLeavesMeanwhileIsNotTold() {
        var hub = Self.hub(serving: [(Self.one, ["a"]), (Self.two, ["b"])])
        _ = hub.lost()
        #expect(Set(hub.servedSubscribers) == [Self.one, Self.two])
        _ = hub.leave(Self.one, now: 0)
        hub.opened()
        _ = hub.connected()
        #expect(hub.answered(hasFailed: false) == [.restored([Self.two])])
    }
}
