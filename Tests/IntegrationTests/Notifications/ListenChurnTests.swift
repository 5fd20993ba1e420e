// Channels come and go while notifications come without a pause: what a client gets from its LISTEN on
// has no gap, nothing twice, and the order in which it was sent.

import TestSupport
import Testing

@Suite(.serialized) struct ListenChurnTests {
    /// Sends numbers to a channel, one in each transaction, until it is cancelled.
    private func startCounting(_ channel: String, _ pooler: Pooler) throws -> Connection {
        let sender = try pooler.server.superuser()
        try sender.send(
            """
            do $$begin
                for i in 1..1000000 loop
                    perform pg_notify('\(channel)', i::text);
                    commit;
                    perform pg_sleep(0.0003);
                end loop;
            end$$
            """
        )
        return sender
    }

    @Test func handingOverLosesNothing() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            let senders = try ["one", "two"].map { try startCounting($0, pooler) }
            let clients = try (0..<6).map { _ in try pooler.listeningClient() }
            let worker = try pooler.connect()
            var random = SplitMix(seed: 5)
            for round in 1...12 {
                for client in clients {
                    let first = random.pick(["listen one", "begin; listen one; commit"])
                    try client.perform(first, isExtended: !first.contains(";") && random.oneIn(2))
                    if random.oneIn(2) { try client.perform("listen two") }
                    try worker.query("select \(round)")
                }
                for client in clients {
                    for channel in ["one", "two"] {
                        try check(try client.numbers(of: channel, atLeast: 10), channel)
                    }
                    try client.perform(random.pick(["unlisten *", "discard all"]))
                    client.forgetAll()
                }
            }
            try #expect(pooler.show("PINS").isEmpty)
            for sender in senders { try sender.cancel() }
        }
    }

    private func check(_ numbers: [Int], _ channel: String) throws {
        for (number, next) in zip(numbers, numbers.dropFirst()) where next != number + 1 {
            Issue.record("\(channel): \(number) is followed by \(next)")
        }
    }

    /// Clients do one thing after the other; each has all that was sent while it listened.
    @Test func everybodyGetsWhatItListensTo() throws {
        try withPooler(["default_pool_size": "2"]) { pooler in
            var random = SplitMix(seed: 11)
            let clients = try (0..<8).map { _ in try pooler.listeningClient() }
            var channels = clients.map { _ in Set<String>() }
            var sent: [String: Int] = [:]
            for _ in 0..<400 {
                let index = random.number(0...(clients.count - 1))
                let client = clients[index]
                let channel = "churn_\(random.number(1...3))"
                switch random.number(0...5) {
                case 0:
                    try client.perform("listen \(channel)", isExtended: random.oneIn(2))
                    channels[index].insert(channel)
                case 1:
                    try client.perform("unlisten \(channel)", isExtended: random.oneIn(2))
                    channels[index].remove(channel)
                case 2:
                    let isCommitted = random.oneIn(2)
                    try client.perform("begin")
                    try client.perform("unlisten *")
                    try client.perform("listen \(channel)")
                    try client.perform(isCommitted ? "commit" : "rollback")
                    if isCommitted { channels[index] = [channel] }
                default:
                    sent[channel, default: 0] += 1
                    try client.perform("notify \(channel), '\(sent[channel] ?? 0)'")
                    let expected = "\(channel) \(sent[channel] ?? 0)"
                    for (other, listening) in zip(clients, channels)
                    where listening.contains(channel) {
                        let message = try other.take(1).first
                        #expect(message?.notification == expected)
                        #expect((message?.sender == other.processID) == (other === client))
                    }
                }
            }
            for client in clients {
                #expect(client.waiting.isEmpty && client.raw.isSilent(for: .milliseconds(5)))
            }
            try #expect(pooler.show("PINS").isEmpty)
        }
    }
}

extension ListeningClient {
    /// The numbers that have come over a channel, at least so many if it is listened to.
    fileprivate func numbers(of channel: String, atLeast count: Int) throws -> [Int] {
        let listens = try perform("select pg_listening_channels()").contains { $0[0] == channel }
        var found: [Int] { waiting.filter { $0.text(of: channel) != nil }.compactMap { $0.number } }
        while listens && found.count < count { try receive() }
        return found
    }
}

extension WireMessage {
    fileprivate func text(of channel: String) -> Substring? {
        let words = notification.split(separator: " ")
        return words.first == Substring(channel) ? words.last : nil
    }

    fileprivate var number: Int? { notification.split(separator: " ").last.flatMap { Int($0) } }
}
