// One of several clients who share a few servers: changes its session again and again, knows what
// the session must be like, and looks. Runs on a thread of its own.

import Foundation
import Synchronization
import TestSupport

/// What all tenants share.
struct SessionTenancy: Sendable {
    let families: [SessionFamily]
    let seed: Int
    let port: Int
    let database: String
    /// Whether servers are killed meanwhile, so that connections may end at any time.
    let killsServers: Bool
    let record: StressRecord
    /// Who holds the advisory lock that all tenants try to get.
    let holder = Holder()

    final class Holder: Sendable {
        let number = Mutex<Int?>(nil)
    }
}

final class SessionTenant {
    let number: Int
    let tenancy: SessionTenancy
    var random: SplitMix
    var state = TenantState()
    private var client: RawClient?
    private(set) var isInBlock = false
    private var serial = 0
    /// What was sent last, for the findings.
    private var lastStatements: [String] = []

    private init(_ number: Int, _ tenancy: SessionTenancy) {
        self.number = number
        self.tenancy = tenancy
        random = SplitMix(seed: tenancy.seed &* 1_000 &+ number)
    }

    /// Begins on a thread of its own; the record tells when it has ended.
    static func start(_ number: Int, _ tenancy: SessionTenancy) {
        tenancy.record.started()
        Thread.detachNewThread {
            SessionTenant(number, tenancy).run()
            tenancy.record.finished()
        }
    }

    private func run() {
        while !tenancy.record.isOver {
            do {
                if client == nil { try login() }
                try actOnce()
                if tenancy.record.isOver { try awaitNotifications() }
            } catch let finding as TenantFinding {
                find(finding.description)
                leave()
            } catch {
                // A connection that ends is the operator's doing, or a finding.
                if tenancy.killsServers && !(error is TimedOut) {
                    tenancy.record.count(.lostServer)
                } else {
                    find("\(error)")
                }
                leave()
            }
        }
        leave()
    }

    private func find(_ text: String) {
        let past = lastStatements.suffix(12).map { "\n    \($0)" }.joined()
        tenancy.record.find(
            "tenant \(number): \(text)\n  before that:\(past)",
            port: client?.localPort
        )
    }

    private func leave() {
        releaseCommonLock()
        try? client?.send(Frontend.terminate)
        client?.close()
        client = nil
    }

    // MARK: - The connection

    private func login() throws {
        state = TenantState()
        isInBlock = false
        lastStatements = []
        let client = try RawClient(port: tenancy.port)
        self.client = client
        var parameters = [("user", "trusty"), ("database", tenancy.database)]
        if has(.startup) {
            state.startValues = ["application_name": "start \(number)", "TimeZone": ownZone]
            parameters += state.startValues.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        }
        try client.send(Frontend.startup(parameters))
        try client.finishLogin()
        state.settings = state.startValues
    }

    func has(_ family: SessionFamily) -> Bool { tenancy.families.contains(family) }

    /// A value that nobody else uses, and this tenant only once.
    func newValue() -> String {
        serial += 1
        return "\(number)-\(serial)"
    }

    /// A number like that: 2001 to 3999 for tenant 1; odd, so that no bigger unit suits it.
    func newNumber() -> Int {
        serial += 1
        return number * 2000 + serial % 1000 * 2 + 1
    }

    var ownZone: String {
        [
            "Asia/Tokyo", "America/Lima", "Europe/Paris", "Africa/Cairo", "Asia/Kolkata",
            "America/Chicago", "Europe/Athens", "Australia/Perth",
        ][number % 8]
    }

    /// Sends a step and returns the rows; any error is a finding but those that `allowed` names.
    @discardableResult
    func perform(_ step: SessionStep, allowing allowed: String...) throws -> [[String?]] {
        guard let client else { throw ConnectionFailed(description: "no connection") }
        lastStatements.append(step.description)
        if lastStatements.count > 100 { lastStatements.removeFirst(50) }
        try client.send(step.bytes)
        var messages: [WireMessage] = []
        for _ in 0..<step.readyCount { messages += try client.receiveUntilReady() }
        noteNotifications(messages)
        if let error = messages.error, !allowed.contains(error.sqlstate) {
            if isEnd(error) { throw ConnectionFailed(description: "\(error)") }
            throw TenantFinding(description: "\(step) said \(error)")
        }
        return messages.rows
    }

    /// By the simple or the extended protocol.
    @discardableResult
    func perform(_ text: String, allowing allowed: String = "") throws -> [[String?]] {
        try perform(random.oneIn(3) ? .extended(text) : .query(text), allowing: allowed)
    }

    /// The server was killed under a transaction.
    private func isEnd(_ error: ErrorFields) -> Bool {
        tenancy.killsServers && ["57P01", "57P02", "08006", "08P01"].contains(error.sqlstate)
    }

    /// Looks at one value of the session.
    func expect(_ text: String, _ expected: String?) throws {
        let found = try perform(text).first?.first ?? nil
        guard found != expected else { return }
        throw TenantFinding(
            description: "\(text) gives \(found ?? "NULL") instead of \(expected ?? "NULL")"
        )
    }

    /// Only what this tenant has sent to itself may arrive, in order; a killed server may lose some.
    private func noteNotifications(_ messages: [WireMessage]) {
        for message in messages where message.type == "A" {
            let words = message.body.dropFirst(4).split(separator: 0)
                .map { String(decoding: $0, as: UTF8.self) }
            let place = state.awaited.firstIndex(of: words.joined(separator: " "))
            guard let place, place == 0 || tenancy.killsServers else {
                find("notification \(words), awaited were \(state.awaited)")
                continue
            }
            state.awaited.removeFirst(place + 1)
        }
    }

    /// In the end everything that was sent has to have arrived.
    private func awaitNotifications() throws {
        guard let client, !tenancy.killsServers else { return }
        client.timeout = .seconds(5)
        while !state.awaited.isEmpty { noteNotifications([try client.receive()]) }
    }

    // MARK: - Transactions

    private func actOnce() throws {
        defer { tenancy.record.count(.transaction) }
        guard random.oneIn(2) else {
            try change()
            return try look()
        }
        let before = state.transactional
        try perform("begin")
        isInBlock = true
        for _ in 0..<random.number(1...3) {
            try change()
            try look()
        }
        if random.oneIn(3) {
            try perform("rollback")
            state.transactional = before
            if state.cursorIsNew { state.cursor = nil }
            state.pendingNotifications = []
        } else {
            state.awaited += state.pendingNotifications
            state.pendingNotifications = []
            state.transactional.local = [:]
            try perform("commit")
        }
        isInBlock = false
        state.cursorIsNew = false
        try look()
    }
}

/// What a tenant knows about its session.
struct TenantState {
    /// What a rollback takes back.
    struct Transactional {
        var settings: [String: String] = [:]
        /// Values until the end of the transaction.
        var local: [String: String] = [:]
        var role = "trusty"
        /// Of the temporary table.
        var temporary: String?
        var isListening = false
    }

    var transactional = Transactional()
    var startValues: [String: String] = [:]
    /// Text of the statement by PREPARE, and of that by Parse.
    var prepared: String?
    var parsed: String?
    /// How often its own advisory lock is held.
    var lockCount = 0
    var lastSequenceValue: Int?
    /// The cursor's next row: FETCH and CLOSE are not taken back, but a DECLARE of this block is.
    var cursor: Int?
    var cursorIsNew = false
    /// Notifications that are to come: `channel payload`.
    var awaited: [String] = []
    var pendingNotifications: [String] = []

    var settings: [String: String] {
        get { transactional.settings.merging(transactional.local) { $1 } }
        set { transactional.settings = newValue }
    }
}

struct TenantFinding: Error, CustomStringConvertible {
    let description: String
}
