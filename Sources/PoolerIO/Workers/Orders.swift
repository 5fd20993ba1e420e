// What the chief has all workers do: the console, signals and statistics are its own, but the
// connections are everybody's. Orders are carried out in the order in which they were issued.

internal import PoolerCore
internal import PostgresWire

/// Something to do for all workers.
enum Order: Sendable {
    /// A configuration that was read again; connections with a number below `before` may have been
    /// made by another.
    case configuration(Configuration, UserList, TLSContexts, before: UInt64)
    /// A configuration in which the console has changed settings; servers with a number below `before`
    /// may have been made by another.
    case settings(Configuration, TLSContexts, before: UInt64)
    /// What the pooler as a whole is doing now.
    case lifecycle(Lifecycle)
    /// The pools of a database, or all, are paused or not: close the free servers, or open new ones.
    case pauseChanged(database: ByteString?, isPaused: Bool)
    /// RECONNECT: replace the servers with a number below `before` as they become free.
    case replaceServers(database: ByteString?, before: UInt64)
    case closeDatabases(Set<ByteString>)
    case killClient(number: UInt64)
    case report(SnapshotParts)
    case forgetPool(SharedPool)
    /// Everything that can be moved goes to another process; with nil nothing does any more.
    case handOver(Handover?)
}

/// What a worker reports when an order has been carried out.
struct OrderReport: Sendable {
    /// Whether the client of `killClient` was here.
    var wasFound = false
    var snapshot = WorkerSnapshot()

    static func += (left: inout OrderReport, right: OrderReport) {
        left.wasFound = left.wasFound || right.wasFound
        left.snapshot += right.snapshot
    }
}

/// What the chief does when all workers have reported.
enum Sequel {
    case nothing
    /// A console client's command has ended; the outcome follows from the report.
    case answer(ClientID, (OrderReport) -> ConsoleAnswerKind)
    /// A period of the statistics ends.
    case endPeriod
    /// Listening sockets that nobody watches any more are closed.
    case closeListeners([Int32])
    /// Nobody accepts any more: connections can go to another process.
    case beginHandover
}

/// How a console command ends.
enum ConsoleAnswerKind {
    case done
    case noticed(ErrorResponse)
    case snapshot(SnapshotParts)
    case failed(AdminError)
}

/// An order that not all workers have carried out.
struct PendingOrder {
    let number: UInt64
    var missingCount: Int
    var report: OrderReport
    let sequel: Sequel
}

extension Worker {
    // MARK: The chief

    /// Has all workers do something.
    ///
    /// - Returns: the report if it is complete; if not, `sequel` follows when it is.
    @discardableResult
    mutating func issue(_ order: Order, sequel: Sequel = .nothing) -> OrderReport? {
        lastOrderNumber += 1
        for worker in shared.workers where worker != id {
            shared.post(.order(order, number: lastOrderNumber), to: worker)
        }
        let number = lastOrderNumber
        let report = carryOut(order)
        let others = shared.mailboxes.count - 1
        if others == 0 { return report }
        pendingOrders.append(
            PendingOrder(number: number, missingCount: others, report: report, sequel: sequel)
        )
        return nil
    }

    /// A worker has carried out an order.
    mutating func reported(_ report: OrderReport, number: UInt64) {
        guard let index = pendingOrders.firstIndex(where: { $0.number == number }) else { return }
        pendingOrders[index].report += report
        pendingOrders[index].missingCount -= 1
        guard pendingOrders[index].missingCount == 0 else { return }
        let order = pendingOrders.remove(at: index)
        switch order.sequel {
        case .nothing: break
        case .answer(let client, let answer):
            consoleCommandEnded(client, outcome(answer(order.report), order.report))
        case .endPeriod: endPeriod(order.report.snapshot.totals)
        case .closeListeners(let descriptors): closeListeners(descriptors)
        case .beginHandover: beginHandover()
        }
    }

    // MARK: Every worker

    /// Does what the chief has ordered, for the connections that are here.
    mutating func carryOut(_ order: Order) -> OrderReport {
        var report = OrderReport()
        switch order {
        case .configuration(let configuration, let users, let tls, let number):
            apply(configuration, users, tls, before: number)
        case .settings(let configuration, let tls, let number):
            apply(configuration, tls, before: number)
        case .lifecycle(let lifecycle): adopt(lifecycle)
        case .pauseChanged(let database, let isPaused): pauseChanged(isPaused, database)
        case .replaceServers(let database, let number):
            for pool in localPools(ofDatabase: database) {
                replaceServers(of: pool, before: number)
                openServersIfWanted(pool)
            }
        case .closeDatabases(let databases): for database in databases { closeDatabase(database) }
        case .killClient(let number): report.wasFound = killClient(number)
        case .report(let parts): report.snapshot = snapshot(parts)
        case .forgetPool(let pool): forget(pool)
        case .handOver(let handover): self.handover = handover
        }
        return report
    }

    /// The pools of a database that are known here, or all for nil.
    func localPools(ofDatabase database: ByteString?) -> [PoolID] {
        pools.ids.filter { database == nil || pools[$0].key.database == database }
    }

    private mutating func forget(_ pool: SharedPool) {
        if pools.knows(pool) { poolListeners[pool.id] = nil }
        pools.forget(pool)
    }

    private mutating func killClient(_ number: UInt64) -> Bool {
        for slot in 0..<UInt32(clients.slotCount)
        where clients.isUsed(slot) && clients[slot].number == number
            && clients[slot].phase != .draining
        {
            closeClient(slot, .adminForcedDisconnect)
            return true
        }
        return false
    }

    // MARK: Mail

    /// Does what the other workers have written.
    mutating func readMail() {
        var inbox = exchange(&inbox, with: [])
        shared.mailboxes[Int(id.index)].take(into: &inbox)
        for piece in inbox { read(piece) }
        self.inbox = inbox
    }

    private mutating func read(_ piece: Mail) {
        switch piece {
        case .connection(let descriptor, let peer): addClient(descriptor, peer)
        case .console(let arrival): consoleArrived(arrival)
        case .server(let server, let client, let ticket): serverArrived(server, client, ticket)
        case .noServer(let client, let ticket, let reason):
            if isWaiting(client, ticket: ticket) { closeClient(client.index, reason) }
        case .serverLost(let client, let ticket): serverLost(client, ticket)
        // A pool that was forgotten meanwhile has nobody who waits.
        case .serveWaiters(let pool): if pools.contains(pool) { serveWaiters(pool) }
        case .evict(let server, let reason, let pool, let worker):
            evict(server, from: id, reason)
            shared.post(.roomMade(pool), to: worker)
        case .roomMade(let pool): if pools.contains(pool) { openServersIfWanted(pool) }
        case .cancel(let key, let requester): cancel(key, for: requester)
        case .cancelForPeer(let peer, let key, let requester):
            passOn(key, to: peer, for: requester)
        case .cancelEnded(let client, let failure): cancelEnded(client, failure)
        case .surveyed(let database, let survey): adoptSurvey(survey, of: database)
        case .order(let order, let number):
            shared.post(.report(carryOut(order), number: number), to: .chief)
        case .report(let report, let number): reported(report, number: number)
        case .subscription(let request, let pool): subscriptionWanted(request, pool)
        case .listenerReply(let reply, let client): listenerReplied(reply, to: client)
        case .notified(let clients, let notification): notified(clients, notification)
        case .connectionGone: mustAdvanceLifecycle = true
        case .adopt(let adoption): adopt(adoption)
        case .successorReady: successorIsReady()
        case .successorLost(let adoptions): successorIsLost(adoptions)
        case .predecessorBegun(let isPaused): predecessorBegun(isPaused: isPaused)
        case .predecessorGone: predecessorIsGone()
        }
    }
}
