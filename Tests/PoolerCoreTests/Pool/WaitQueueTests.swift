import PoolerCore
import PostgresWire
import TestSupport
import Testing

/// Who waits, and how they leave.
@Suite struct WaitQueueTests {
    @Test func firstInFirstOut() {
        var queue = WaitQueue()
        for number: UInt32 in 1...3 { Self.join(number, &queue) }
        #expect(queue.count == 3)
        #expect(queue.first?.client == Self.client(1))
        for number: UInt32 in 1...3 { #expect(queue.next()?.client == Self.client(number)) }
        #expect(queue.next() == nil)
        #expect(queue.isEmpty)
    }

    @Test func whoeverLeavesIsNotServed() {
        var queue = WaitQueue()
        let tickets = (1...4).map { Self.join(UInt32($0), &queue) }
        #expect(queue.leave(Self.client(1), of: .chief, ticket: tickets[0]) == true)
        #expect(queue.leave(Self.client(3), of: .chief, ticket: tickets[2]) == true)
        #expect(queue.leave(Self.client(3), of: .chief, ticket: tickets[2]) == false, "it has left")
        #expect(queue.all.map(\.client) == [Self.client(2), Self.client(4)])
        #expect(queue.first?.client == Self.client(2))
        #expect(queue.next()?.client == Self.client(2))
        #expect(
            queue.leave(Self.client(2), of: .chief, ticket: tickets[1]) == false,
            "it was served"
        )
        #expect(queue.next()?.client == Self.client(4))
        #expect(queue.count == 0)
    }

    @Test func aTicketIsNotEnough() {
        var queue = WaitQueue()
        let ticket = Self.join(1, &queue)
        #expect(queue.leave(Self.client(2), of: .chief, ticket: ticket) == false)
        #expect(queue.leave(Self.client(1), of: WorkerID(index: 1), ticket: ticket) == false)
        #expect(queue.leave(Self.client(1), of: .chief, ticket: ticket &+ 1) == false)
        #expect(queue.leave(Self.client(1), of: .chief, ticket: ticket &- 1) == false)
        #expect(queue.count == 1)
    }

    @Test func whoComesBackIsFirst() {
        var queue = WaitQueue()
        Self.join(1, &queue)
        Self.join(2, &queue)
        _ = queue.next()
        let ticket = queue.rejoin(Self.client(1), of: .chief, since: 7)
        #expect(
            queue.first == Waiter(client: Self.client(1), worker: .chief, ticket: ticket, since: 7)
        )
        #expect(queue.leave(Self.client(1), of: .chief, ticket: ticket) == true)
        #expect(queue.first?.client == Self.client(2))
    }

    // MARK: Near a worker

    @Test func whoHasWaitedAsLongIsServedAtHome() {
        var queue = WaitQueue()
        _ = queue.join(Self.client(1), of: Self.other, since: 1_000)
        _ = queue.join(Self.client(2), of: Self.other, since: 1_050)
        let ticket = queue.join(Self.client(3), of: .chief, since: 1_100)
        #expect(queue.next(near: .chief, in: .empty)?.client == Self.client(3))
        #expect(queue.leave(Self.client(3), of: .chief, ticket: ticket) == false)
        #expect(queue.count == 2)
        #expect(
            queue.next(near: .chief, in: .empty)?.client == Self.client(1),
            "nobody else of this worker"
        )
        #expect(queue.next(near: Self.other, in: .empty)?.client == Self.client(2))
    }

    @Test func whoHasWaitedLongerIsServedFirst() {
        var queue = WaitQueue()
        _ = queue.join(Self.client(1), of: Self.other, since: 1_000)
        _ = queue.join(Self.client(2), of: .chief, since: 1_101)
        #expect(queue.next(near: .chief, in: .empty)?.client == Self.client(1))
        #expect(queue.next(near: .chief, in: .empty)?.client == Self.client(2))
        #expect(queue.next(near: .chief, in: .empty) == nil)
    }

    /// However many of its own a worker has: who waits elsewhere is overtaken for a moment only.
    @Test func nobodyIsOvertakenForLong() {
        var queue = WaitQueue()
        _ = queue.join(Self.client(0), of: Self.other, since: 0)
        var overtakers = 0
        for time in 1...1_000 {
            _ = queue.join(Self.client(UInt32(time)), of: .chief, since: Microseconds(time))
            if queue.next(near: .chief, in: .empty)?.client == Self.client(0) { break }
            overtakers += 1
        }
        #expect(overtakers == 8)
    }

    // MARK: With the server's settings

    @Test func whoHasTheSettingsOfTheServerGoesFirst() {
        let (state, another) = Self.twoStates()
        var queue = WaitQueue()
        _ = queue.join(Self.client(1), of: .chief, since: 0, settings: another)
        _ = queue.join(Self.client(2), of: Self.other, since: 500, settings: state)
        _ = queue.join(Self.client(3), of: .chief, since: 5_000, settings: state)
        _ = queue.join(Self.client(4), of: .chief, since: 5_001, settings: state)
        #expect(queue.next(near: .chief, in: state)?.client == Self.client(2), "it came before 3")
        #expect(queue.next(near: .chief, in: state)?.client == Self.client(3))
        #expect(queue.next(near: .chief, in: state)?.client == Self.client(1), "4 came too late")
        #expect(queue.next(near: .chief, in: another)?.client == Self.client(4))
    }

    @Test func settingsCountForMoreThanTheWorker() {
        let (state, another) = Self.twoStates()
        var queue = WaitQueue()
        _ = queue.join(Self.client(1), of: Self.other, since: 0, settings: state)
        _ = queue.join(Self.client(2), of: .chief, since: 0, settings: another)
        _ = queue.join(Self.client(3), of: .chief, since: 0, settings: state)
        #expect(queue.next(near: .chief, in: state)?.client == Self.client(3))
        #expect(queue.next(near: .chief, in: state)?.client == Self.client(1))
    }

    /// However many have the settings of the servers: who has others is overtaken for a moment only.
    @Test func nobodyIsOvertakenForLongBecauseOfSettings() {
        let (state, another) = Self.twoStates()
        var queue = WaitQueue()
        _ = queue.join(Self.client(0), of: .chief, since: 0, settings: another)
        var overtakers = 0
        for time in stride(from: 10, through: 100_000, by: 10) {
            _ = queue.join(
                Self.client(UInt32(time)),
                of: .chief,
                since: Microseconds(time),
                settings: state
            )
            if queue.next(near: .chief, in: state)?.client == Self.client(0) { break }
            overtakers += 1
        }
        #expect(overtakers == 8)
    }

    @Test func whoInsistsTakesNobodyElse() {
        let (state, another) = Self.twoStates()
        var queue = WaitQueue()
        _ = queue.join(Self.client(1), of: .chief, since: 0, settings: another)
        #expect(queue.next(near: .chief, in: state, insisting: true) == nil)
        _ = queue.join(Self.client(2), of: Self.other, since: 1, settings: state)
        #expect(
            queue.next(near: .chief, in: state, insisting: true)?.client == Self.client(2)
        )
        #expect(queue.next(near: .chief, in: state, insisting: true) == nil)
        #expect(queue.count == 1)
    }

    /// Who has been overtaken often enough gets the next server, whoever insists.
    @Test func nobodyIsOvertakenForLongByThoseWhoInsist() {
        let (state, another) = Self.twoStates()
        var queue = WaitQueue()
        _ = queue.join(Self.client(0), of: .chief, since: 0, settings: another)
        for number: UInt32 in 1...8 {
            _ = queue.join(Self.client(number), of: .chief, since: 1, settings: state)
            let next = queue.next(near: .chief, in: state, insisting: true)
            #expect(next?.client == Self.client(number))
        }
        #expect(
            queue.next(near: .chief, in: state, insisting: true)?.client == Self.client(0)
        )
    }

    // MARK: Choosing

    @Test func thoseWhoChooseAreCounted() {
        let (state, another) = Self.twoStates()
        var queue = WaitQueue()
        Self.join(1, &queue)
        let tickets = [state, another, state, another].enumerated().map { index, settings in
            queue.join(
                Self.client(UInt32(index + 2)),
                of: .chief,
                since: 0,
                settings: settings,
                isChoosing: true
            )
        }
        #expect(queue.count == 5 && queue.choosingCount == 4)
        let suited = queue.next(near: .chief, in: another, insisting: true)
        #expect(suited?.client == Self.client(3) && queue.choosingCount == 3)
        queue.settle(Self.client(4), of: .chief, ticket: tickets[2])
        queue.settle(Self.client(4), of: .chief, ticket: tickets[2])
        #expect(queue.choosingCount == 2)
        queue.settle(Self.client(3), of: .chief, ticket: tickets[1])
        #expect(queue.choosingCount == 2, "it was served")
        #expect(queue.leave(Self.client(5), of: .chief, ticket: tickets[3]) == true)
        #expect(queue.choosingCount == 1)
        // In the order in which they came.
        for number: UInt32 in [1, 2, 4] { #expect(queue.next()?.client == Self.client(number)) }
        #expect(queue.choosingCount == 0 && queue.isEmpty)
    }

    private static func twoStates() -> (SettingsID, SettingsID) {
        var states = SettingsStates()
        return (
            states.setting("a", to: "1", in: .empty, isReported: false),
            states.setting("a", to: "2", in: .empty, isReported: false)
        )
    }

    private static let other = WorkerID(index: 1)

    /// Against the plainest queue there is.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func behavesLikeAList(seed: UInt64) {
        var random = SplitMix(seed: seed)
        var queue = WaitQueue()
        var model: [Waiter] = []
        for step in 0..<5_000 {
            let number = UInt32(step)
            switch Int.random(in: 0..<6, using: &random) {
            case 0...2:
                let ticket = Self.join(number, &queue)
                model.append(Self.waiter(number, ticket))
            case 3:
                let ticket = queue.rejoin(Self.client(number), of: .chief, since: 0)
                model.insert(Self.waiter(number, ticket), at: 0)
            case 4:
                let expected = model.isEmpty ? nil : model.removeFirst()
                #expect(queue.next() == expected)
            default:
                guard let waiter = model.randomElement(using: &random) else { continue }
                model.removeAll { $0 == waiter }
                #expect(queue.leave(waiter.client, of: .chief, ticket: waiter.ticket) == true)
            }
            #expect(queue.count == model.count)
            #expect(queue.first == model.first)
        }
        #expect(queue.all == model)
    }

    @discardableResult
    private static func join(_ number: UInt32, _ queue: inout WaitQueue) -> UInt32 {
        queue.join(client(number), of: .chief, since: 0)
    }

    private static func waiter(_ number: UInt32, _ ticket: UInt32) -> Waiter {
        Waiter(client: client(number), worker: .chief, ticket: ticket, since: 0)
    }

    private static func client(_ number: UInt32) -> ClientID {
        ClientID(index: number, generation: 7)
    }
}
