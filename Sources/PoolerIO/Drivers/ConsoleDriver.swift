// Clients of the console: their messages go to a ConsoleSession, the commands that it names are run
// here. Commands that wait are answered when what they wait for has come about.

internal import CLinux
internal import Logging
internal import PoolerCore
internal import PostgresWire

/// A console client.
final class ConsoleConnection {
    var session: ConsoleSession

    init(role: AdminRole) {
        session = ConsoleSession(role: role)
    }
}

/// A console client whose command has not ended.
struct ConsoleWait {
    /// What the command waits for.
    enum Event: Equatable {
        /// No servers are left in a database, or at all.
        case paused(database: ByteString?)
        /// No servers are left that are to be closed.
        case closed(database: ByteString?)
        /// Everything that has been received has been passed on.
        case flushed
    }

    let client: ClientID
    let event: Event
}

extension Worker {
    // MARK: Login

    /// Sends a client that wants the console to the chief, which goes on with its login.
    mutating func handOverToConsole(_ slot: UInt32, received: [UInt8]) {
        clients[slot].held = received
        clients[slot].phase = .leaving
        if clients[slot].transport.detach(from: reactor) { clientLeft(slot) }
    }

    /// A client has left this worker's event loop, for the chief's.
    ///
    /// One that has been closed meanwhile goes no further.
    mutating func clientLeft(_ slot: UInt32) {
        switch clients[slot].phase {
        case .departing: return clientDeparted(slot)
        case .leaving where clients[slot].console != nil: return successorArrived(slot)
        case .leaving: break
        default: return removeClient(slot)
        }
        shared.loads.add(1, to: .chief)
        shared.post(
            .console(
                ConsoleArrival(
                    descriptor: clients[slot].transport.takeDescriptor(),
                    peer: clients[slot].address,
                    number: clients[slot].number,
                    received: clients[slot].held,
                    tls: clients[slot].transport.takeTLS()
                )
            ),
            to: .chief
        )
        removeClient(slot)
    }

    /// Another worker has accepted a client that wants the console.
    mutating func consoleArrived(_ arrival: ConsoleArrival) {
        guard let slot = addClient(arrival.descriptor, arrival.peer, number: arrival.number) else {
            return
        }
        if let session = arrival.tls?.take() { clients[slot].transport.awaitTLS(session) }
        clients[slot].held = arrival.received
        continueLogin(slot)
    }

    /// Whether the peer is the pooler's own user, who needs no password for the console.
    func isOwner(_ slot: UInt32) -> Bool {
        guard clients[slot].address.isUnix,
            Configuration.consoleNames.contains(clients[slot].database)
        else { return false }
        var process: Int32 = 0
        let user = unsafe martlet_peer_user(clients[slot].transport.descriptor, &process)
        return ConsoleAccess.isOwner(
            user: clients[slot].user,
            peerIsPoolerUser: user == Int64(geteuid())
        )
    }

    /// A client of the console has proved who it is.
    mutating func openConsole(_ slot: UInt32) {
        let access = ConsoleAccess(
            adminUsers: settings.adminUsers,
            statsUsers: settings.statsUsers,
            authTypeIsAny: settings.authType == .any
        )
        let isOwner = isOwner(slot)
        guard let role = access.role(user: clients[slot].user, isOwner: isOwner) else {
            return closeClient(slot, .clientRefused(ConsoleAnswer.notAllowed))
        }
        if isOwner { logClient(slot, .info, "pgbouncer access from unix socket") }
        clients[slot].attachment = .console(ConsoleConnection(role: role))
        clients[slot].phase = .console
        clients[slot].cancelSecret = Int32.random(in: .min ... .max, using: &random)
        var writer = ByteWriter()
        writer.authenticationRequest(.ok)
        let bytes = writer.bytes + ConsoleAnswer.welcome(cancelKey: cancelKey(of: slot))
        clients[slot].transport.send(unsafe bytes.span.bytes, reactor)
        logClientLogin(slot)
        continueConsole(slot)
    }

    // MARK: Messages

    /// Goes on with the bytes that a console client has sent so far.
    mutating func continueConsole(_ slot: UInt32) {
        let generation = clients[slot].id.generation
        while clients.holds(slot, generation: generation), clients[slot].phase == .console,
            clients[slot].transport.isDrained, let console = clients[slot].console,
            !console.session.isWaiting
        {
            let held = exchange(&clients[slot].held, with: [])
            let bytes = unsafe held.span.bytes
            let header: MessageHeader
            do throws(WireError) {
                let peeked = try MessageHeader(
                    peeking: bytes,
                    at: 0,
                    limit: AdminGrammar.queryByteLimit + 1_024
                )
                guard let peeked, peeked.messageByteCount <= held.count else {
                    clients[slot].held = held
                    return
                }
                header = peeked
            } catch {
                return closeClient(slot, .clientProtocolViolation("bad packet header"))
            }
            clients[slot].held = [UInt8](
                copying: bytes.extracting(header.messageByteCount..<held.count)
            )
            clients[slot].requestTime = now
            let step = console.session.received(
                FrontendMessageType(rawValue: header.typeByte),
                body: bytes.extracting(MessageHeader.byteCount..<header.messageByteCount)
            )
            follow(step, for: slot, console)
        }
    }

    private mutating func follow(
        _ first: ConsoleStep,
        for slot: UInt32,
        _ console: ConsoleConnection
    ) {
        let generation = clients[slot].id.generation
        var step = first
        while clients.holds(slot, generation: generation) {
            clients[slot].transport.send(unsafe step.bytes.span.bytes, reactor)
            if let failure = step.failure, settings.logPoolerErrors {
                logClient(slot, .warning, "pooler error: \(failure.message)")
            }
            switch step.next {
            case .receive: return
            case .close: return closeClient(slot, .clientCloseRequest)
            case .run(let command):
                if let text = command.logText { logClient(slot, .info, text) }
                guard let outcome = run(command, for: slot) else { return }
                step = console.session.completed(outcome)
            }
        }
    }

    // MARK: Commands

    /// Runs a command.
    ///
    /// - Returns: how it ended; nil when it goes on, or the connection is closed.
    private mutating func run(_ command: AdminCommand, for slot: UInt32) -> ConsoleOutcome? {
        switch command {
        case .show(let kind):
            let parts = kind.definition.parts
            return order(.report(parts), for: slot) { _ in .snapshot(parts) }
        case .showFake, .setIgnored: return .done
        case .set(let key, let value): return set(key, value, for: slot)
        case .reload:
            switch readConfigurationAgain() {
            case .success(let order): return self.order(order, for: slot) { _ in .done }
            case .failure(let error): return .failed(.reloadFailed(detail: "\(error)"))
            }
        case .pause(let database): return pause(database, for: slot)
        case .resume(let database): return unpause(database)
        case .kill(let database): return kill(database, for: slot)
        case .killClient(let reference):
            let number =
                switch reference {
                case .id(let number), .pointer(let number): number
                }
            return order(.killClient(number: number), for: slot) {
                $0.wasFound ? .done : .failed(.clientNotFound)
            }
        case .reconnect(let database):
            if let error = unknown(database, verb: "reconnect") { return .failed(error) }
            shared.pools.withLock { $0.hosts.forgetFailures() }
            for pool in shared.pools.pools(ofDatabase: database) {
                pool.withLock { $0.forgetFailure() }
            }
            return order(
                .replaceServers(database: database, before: shared.takeNumber()),
                for: slot
            ) { _ in .done }
        case .waitClose(let database):
            if let error = unknown(database, verb: "wait in") { return .failed(error) }
            return wait(for: .closed(database: database), slot)
        case .disable(let database):
            return setDisabled(true, database, verb: "disable")
        case .enable(let database):
            if isUnused(database) { return .failed(.noSuchDatabase(database)) }
            return setDisabled(false, database, verb: "enable")
        case .suspend:
            if lifecycle.isPaused || lifecycle.isSuspended {
                return .failed(.alreadySuspendedOrPaused)
            }
            guard shared.pools.withLock({ $0.heldBackDatabases.paused.isEmpty }) else {
                return .failed(.cannotSuspendWithPausedDatabases)
            }
            setSuspended(true)
            return wait(for: .flushed, slot)
        case .takeOver: return takeOver(slot)
        case .shutdown(.immediate):
            shared.finish()
            return nil
        case .shutdown(.waitForServers):
            return shutDown(.waitForServers)
        case .shutdown(.waitForClients):
            return shutDown(.waitForClients)
        }
    }

    private mutating func shutDown(_ mode: Lifecycle.Shutdown) -> ConsoleOutcome {
        guard lifecycle.shutdown == nil else { return .failed(.shuttingDown) }
        shutDown(mode, "SHUTDOWN command issued")
        return .done
    }

    private mutating func set(
        _ key: ByteString,
        _ value: ByteString,
        for slot: UInt32
    ) -> ConsoleOutcome? {
        var changed = directory.configuration
        let isAboutTLS: Bool
        do throws(SettingError) {
            let row = try changed.settings.set(
                key.text,
                to: value,
                section: directory.configuration.flavor.rawValue
            )
            guard row.change == .live else {
                return .failed(.setFailed(detail: "\(row.name) takes effect only at start"))
            }
            if Configuration.accessSettingNames.contains(row.name) {
                try readAccessFiles(&changed)
            }
            if row.topic == .logging || row.name == "logfile" { try openLog(changed.settings) }
            isAboutTLS = row.topic == .tls
        } catch {
            return .failed(.setFailed(detail: error.message))
        }
        // Several settings may have to be changed until all of them fit together.
        let contexts: TLSContexts
        var answer = ConsoleAnswerKind.done
        do throws(TLSFailure) {
            contexts = isAboutTLS ? try makeTLSContexts(for: changed) : tls
        } catch {
            log.warning("TLS stays as it was: \(error)")
            contexts = tls
            answer = .noticed(ConsoleAnswer.tlsNotApplied(detail: "\(error)"))
        }
        return order(.settings(changed, contexts, before: shared.takeNumber()), for: slot) { _ in
            answer
        }
    }

    private func openLog(_ settings: Settings) throws(SettingError) {
        do throws(SystemError) {
            try sink.open(settings)
        } catch {
            throw SettingError("\(error)")
        }
    }

    private func readAccessFiles(_ configuration: inout Configuration) throws(SettingError) {
        do throws(ConfigurationError) {
            try ConfigurationSource.readAccessFiles(&configuration)
        } catch {
            throw SettingError("\(error)")
        }
    }

    /// Has all workers do something for a command.
    ///
    /// - Returns: the outcome, or nil when not all workers have reported yet.
    private mutating func order(
        _ order: Order,
        for slot: UInt32,
        _ answer: @escaping (OrderReport) -> ConsoleAnswerKind
    ) -> ConsoleOutcome? {
        issue(order, sequel: .answer(clients[slot].id, answer)).map { outcome(answer($0), $0) }
    }

    /// How a command ends of which all workers have reported.
    func outcome(_ kind: ConsoleAnswerKind, _ report: OrderReport) -> ConsoleOutcome {
        switch kind {
        case .done: .done
        case .noticed(let notice): .noticed(notice)
        case .snapshot(let parts): .snapshot(consoleSnapshot(parts, report.snapshot))
        case .failed(let error): .failed(error)
        }
    }

    /// A command that all workers had a part in has ended.
    mutating func consoleCommandEnded(_ client: ClientID, _ outcome: ConsoleOutcome) {
        guard clients.holds(client.index, generation: client.generation),
            let console = clients[client.index].console
        else { return }
        complete(outcome, client.index, console)
    }

    private func setDisabled(
        _ isDisabled: Bool,
        _ database: ByteString,
        verb: String
    ) -> ConsoleOutcome {
        if let error = unknown(database, verb: verb) { return .failed(error) }
        shared.pools.withLock { pools in
            pools.updateDatabase(database) { $0.isDisabled = isDisabled }
        }
        return .done
    }

    private mutating func pause(_ database: ByteString?, for slot: UInt32) -> ConsoleOutcome? {
        if let error = unknown(database, verb: "pause") { return .failed(error) }
        if lifecycle.isPaused || lifecycle.isSuspended {
            return .failed(.alreadySuspendedOrPaused)
        }
        setPaused(true, database: database)
        return wait(for: .paused(database: database), slot)
    }

    private mutating func unpause(_ database: ByteString?) -> ConsoleOutcome {
        if lifecycle.isShuttingDown { return .failed(.shuttingDown) }
        guard let database else {
            guard lifecycle.isPaused || lifecycle.isSuspended else {
                return .failed(.notPausedOrSuspended)
            }
            lifecycle.isSuspended ? setSuspended(false) : setPaused(false, database: nil)
            return .done
        }
        if isUnused(database) { return .failed(.noSuchDatabase(database)) }
        guard shared.pools.withLock({ $0.state(ofDatabase: database).isPaused }) else {
            return .failed(.databaseNotPaused(database))
        }
        setPaused(false, database: database)
        return .done
    }

    private mutating func kill(_ database: ByteString?, for slot: UInt32) -> ConsoleOutcome? {
        if let error = unknown(database, verb: "kill") { return .failed(error) }
        if lifecycle.isPaused || lifecycle.isSuspended {
            return .failed(.alreadySuspendedOrPaused)
        }
        let names: Set<ByteString> =
            database.map { [$0] }
            ?? Set(
                directory.configuration.databaseNames + shared.pools.pools().map(\.key.database)
            )
        for name in names { setPaused(true, database: name) }
        return order(.closeDatabases(names), for: slot) { _ in .done }
    }

    /// Whether a database that only the `*` entry knows has been neither used nor paused nor disabled.
    private func isUnused(_ database: ByteString) -> Bool {
        !Configuration.consoleNames.contains(database)
            && directory.configuration.databases[database] == nil
            && !shared.pools.withLock { $0.knows(database: database) }
    }

    private func unknown(_ database: ByteString?, verb: String) -> AdminError? {
        guard let database else { return nil }
        if Configuration.consoleNames.contains(database) {
            return .refusedForConsole(verb: verb, database: database)
        }
        return directory.configuration.database(named: database) == nil
            ? .noSuchDatabase(database) : nil
    }

    // MARK: Waiting

    private mutating func wait(for event: ConsoleWait.Event, _ slot: UInt32) -> ConsoleOutcome? {
        if hasComeAbout(event) { return .done }
        consoleWaits.append(ConsoleWait(client: clients[slot].id, event: event))
        shared.isChiefWaiting = true
        // What happened before the others knew that somebody waits.
        mustAdvanceLifecycle = true
        return nil
    }

    private func hasComeAbout(_ event: ConsoleWait.Event) -> Bool {
        switch event {
        case .paused(let database):
            return shared.pools.pools(ofDatabase: database).allSatisfy { pool in
                pool.withLock { $0.serverCount == 0 }
            }
        case .closed(let database):
            return shared.pools.pools(ofDatabase: database).allSatisfy { pool in
                pool.withLock { $0.outdatedCount == 0 }
            }
        case .flushed: return shared.isFlushed
        }
    }

    /// Answers the console clients whose commands have ended.
    mutating func advanceConsoleWaits() {
        guard !consoleWaits.isEmpty else { return }
        let waits = exchange(&consoleWaits, with: [])
        for wait in waits {
            guard clients.holds(wait.client.index, generation: wait.client.generation),
                let console = clients[wait.client.index].console
            else { continue }
            if hasComeAbout(wait.event) {
                complete(.done, wait.client.index, console)
            } else {
                consoleWaits.append(wait)
            }
        }
    }

    /// Somebody pressed Ctrl-C on a waiting command: a PAUSE or SUSPEND is taken back.
    mutating func consoleCanceled(_ slot: UInt32) {
        guard let index = consoleWaits.firstIndex(where: { $0.client == clients[slot].id }),
            let console = clients[slot].console
        else { return }
        switch consoleWaits.remove(at: index).event {
        case .paused(let database): setPaused(false, database: database)
        case .flushed: setSuspended(false)
        case .closed: break
        }
        complete(.failed(.canceled), slot, console)
    }

    private mutating func complete(
        _ outcome: ConsoleOutcome,
        _ slot: UInt32,
        _ console: ConsoleConnection
    ) {
        let generation = clients[slot].id.generation
        follow(console.session.completed(outcome), for: slot, console)
        if clients.holds(slot, generation: generation) { continueConsole(slot) }
    }
}
