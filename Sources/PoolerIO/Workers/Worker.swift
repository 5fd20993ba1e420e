// One event loop: the connections at home here, and the state by which their machines decide. What
// happens with each kind of connection is in Drivers/; this file has the state and the loop.

internal import CLinux
internal import DequeModule
internal import Logging
internal import PoolerCore
internal import PostgresWire

/// The state of an event loop.
///
/// Connections belong to one worker: nothing here is touched by another thread, except through what
/// `shared` protects.
struct Worker: ~Copyable {
    private let inPlace = InPlace()
    let id: WorkerID
    let shared: SharedState
    var reactor: Reactor
    let resolver: Resolver
    let keyDeriver: KeyDeriver
    /// The chief's only.
    var signals: Signals?
    var listeners: [Listener]
    var clients = Slab<Client>()
    var servers: Servers
    var cancelers = Slab<Canceler>()
    /// The chief's only: the cancel requests for clients of peers.
    var peerPools: [Int: PeerPool<PeerRequest>] = [:]
    /// The prepared statements of those clients that have any.
    var statementNames = Slab<ClientStatements>()

    /// What those clients listen to that listen.
    var subscriptions = Slab<ClientSubscriptions>()
    /// Who listens to what, of the pools whose listener is at home here.
    var poolListeners: [PoolID: PoolListener] = [:]

    var directory: Directory
    var pools = LocalPools()
    let states: SharedSettingsStates
    let statements: SharedStatements
    var hosts = HostCache()
    var loginQueue = LoginQueue()
    /// What connections with TLS are made from.
    var tls: TLSContexts
    /// The chief's only: when the log says again which certificates are about to expire.
    var nextExpiryWarning: Microseconds = 0
    /// The clients whose handshakes are to go on.
    var handshakes = Deque<ClientID>()
    var knownLogins = KnownLogins()
    /// How many configurations there have been.
    var configurationNumber: UInt64 = 0
    /// The number of the last reload, in the order of all workers.
    var reloadNumber: UInt64 = 0
    /// The questions for secrets that are under way.
    var lookups: [SecretLookup: PendingLookup] = [:]
    /// The names of users of the operating system who have logged in as such, by their numbers.
    var systemUsers: [Int64: ByteString] = [:]
    /// The logins that wait for keys, by what those are made of.
    var keyWaiters: [SCRAMKeyParameters: [KeyWaiter]] = [:]
    var lifecycle = Lifecycle()
    var statistics: Statistics

    /// The time when the current batch of events was fetched.
    var now: Microseconds
    var toServer = ForwardBuffer()
    var toClient = ForwardBuffer()
    var spareBuffers = SpareBuffers()
    var inbox: [Mail] = []
    var nextTick: Microseconds
    var isAcceptPaused = false
    /// Whether it is told of new clients.
    var isListening = false
    /// How many connections are accepted at once.
    var acceptBatch = 1
    /// How many turns the loop has made, and in which of them it has last accepted.
    var turn: UInt64 = 0
    var lastAcceptTurn: UInt64 = 0
    /// The settings in effect: those of `directory`, where looking one up does not copy them all.
    var settings: Settings
    var random = SystemRandomNumberGenerator()
    /// What nonces, salts and cancel keys are made of.
    var secretBytes = RandomReserve()
    var log: Logger
    var source: ConfigurationSource
    let options: StartOptions
    let supervisor: Supervisor
    /// When the supervisor was last told that the loop goes round.
    var lastSignOfLife: Microseconds = 0
    let sink: LogSink
    /// The chief's only: console commands that wait, and orders that are being carried out.
    var consoleWaits: [ConsoleWait] = []
    var pendingOrders: [PendingOrder] = []
    var lastOrderNumber: UInt64 = 0
    /// Whether it has heard of a SUSPEND that is in force, and when.
    var isSuspended = false
    var suspendTime: Microseconds = 0
    /// The process that takes over from this one, once it takes connections, and those that are
    /// about to go there.
    var handover: Handover?
    var departures: [UInt32: Departure] = [:]
    var departingServers: [UInt32: Handover] = [:]
    /// Whether some of the clients cannot go there, and still need servers here.
    var hasStayingClients = false
    /// The chief's only: that process, before it takes any.
    var successor: Handover?
    /// Whether this process waits until another takes no more clients.
    var awaitsPredecessor: Bool
    /// Whether something has happened that somebody may wait for.
    var mustAdvanceLifecycle = false
    /// The pool whose waiting clients are just being given servers.
    var servedPool: PoolID?
    /// Servers that may be kept for a moment for clients with their settings; hints, as a server may
    /// have gone another way.
    var keptServers: [ServerID] = []
    /// Clients that may be waiting for a moment for servers with their settings; hints, too.
    var choosingClients: [Choice] = []
    /// The pool in which free servers are just being closed, so that one for replication can be opened.
    var clearedPool: PoolID?

    /// Makes a worker; it has to be run by the thread that makes it.
    ///
    /// - Parameter signals: the chief's; nil for all others.
    /// - Throws: `SystemError` when the kernel gives no descriptors.
    static func make(
        _ id: WorkerID,
        _ start: WorkerStart,
        signals: consuming Signals? = nil
    ) throws(SystemError) -> Worker {
        let resolver = try Resolver.make()
        let keyDeriver = try KeyDeriver.make()
        return Worker(id, start, try Reactor(start.backend), resolver, keyDeriver, signals)
    }

    private init(
        _ id: WorkerID,
        _ start: WorkerStart,
        _ reactor: consuming Reactor,
        _ resolver: Resolver,
        _ keyDeriver: KeyDeriver,
        _ signals: consuming Signals?
    ) {
        self.id = id
        shared = start.shared
        self.reactor = reactor
        self.resolver = resolver
        self.keyDeriver = keyDeriver
        self.signals = signals
        listeners = start.listeners
        servers = Servers(start.shared.servers, for: id)
        directory = start.directory
        settings = start.directory.configuration.settings
        tls = start.tls
        states = start.shared.states
        statements = start.shared.statements
        source = start.source
        options = start.options
        supervisor = start.supervisor
        sink = start.sink
        log = start.log
        awaitsPredecessor = start.takesOver
        now = martlet_monotonic_microseconds()
        nextTick = now
        statistics = Statistics(
            period: StatsPeriod(startedAt: now),
            periodEnd: now + max(start.directory.configuration.settings.statsPeriod, .seconds(1))
        )
        shared.reactors[id] = self.reactor.epollDescriptor
        if let descriptor = self.signals?.descriptor {
            _ = self.reactor.watch(descriptor, Token(.signal, slot: 0))
        }
        _ = self.reactor.watch(resolver.wakeup, Token(.resolver, slot: 0))
        _ = self.reactor.watch(shared.mailboxes[Int(id.index)].wakeup, Token(.mailbox, slot: 0))
        _ = self.reactor.watch(keyDeriver.wakeup, Token(.keyDeriver, slot: 0))
        adoptSettings()
        watchListeners(true)
    }

    /// Whether this is the worker that also keeps house: signals, console, statistics.
    var isChief: Bool { id == .chief }

    /// How often limits that depend on time are looked at, in microseconds: as often as PgBouncer.
    static let tickPeriod: Microseconds = 333_333

    /// Runs until the pooler is to end.
    ///
    /// - Parameter started: called when nothing can go wrong any more.
    /// - Throws: `SystemError` when the reactor cannot run on this thread.
    mutating func run(started: () -> Void = {}) throws(SystemError) {
        try reactor.start()
        started()
        let buffer = reactor.makeReceiveBuffer()
        let mailbox = shared.mailboxes[Int(id.index)]
        let hasOthers = shared.mailboxes.count > 1
        var count = 0
        while !shared.isFinished {
            let isBusy =
                hasOthers && count >= Self.busyEventCount || !handshakes.isEmpty
            let timeout = isBusy ? 0 : timeToWait(mailbox)
            count = reactor.wait(timeout: timeout)
            mailbox.wokeUp()
            turn &+= 1
            now = martlet_monotonic_microseconds()
            while let short = reactor.takeShortSend() { sendFellShort(short) }
            reactor.finishTurn()
            // Mail first: what the chief has ordered holds for everything that comes after it.
            readMail()
            // Then servers: one that has died must not be given to a client of the same batch.
            for index in 0..<count where reactor.event(at: index).token.kind == .server {
                handle(reactor.event(at: index), buffer)
            }
            for index in 0..<count where reactor.event(at: index).token.kind != .server {
                handle(reactor.event(at: index), buffer)
            }
            let isWaitOver = count == 0 && timeout > 0
            if !keptServers.isEmpty { serveFromKept(isOver: isWaitOver) }
            if !choosingClients.isEmpty { endChoices(isOver: isWaitOver) }
            if !handshakes.isEmpty {
                reactor.flush()
                shakeHands(buffer)
            }
            if now >= nextTick {
                nextTick = now + Self.tickPeriod
                tick()
            }
            if isSuspended { suspend() }
            if handover != nil { handOver() }
            if mustAdvanceLifecycle { advanceLifecycle() }
        }
        // What the last turn sent goes out. An operation of the kernel's would keep a port in use for a
        // moment after the process has gone.
        watchListeners(false)
        _ = reactor.wait(timeout: 0)
    }

    /// A turn with as many events is expected to be followed by another at once.
    private static let busyEventCount = 4

    /// How long to wait for events.
    ///
    /// While the worker is busy it just looks for them: others then need not wake it, which costs more
    /// than all the rest of passing a server on.
    private mutating func timeToWait(_ mailbox: Mailbox) -> Microseconds {
        guard mailbox.prepareToSleep() else { return 0 }
        var time = min(max(0, nextTick - now) + .milliseconds(1), .seconds(1))
        guard !keptServers.isEmpty || !choosingClients.isEmpty else { return time }
        now = martlet_monotonic_microseconds()
        if let oldest = keptServers.first {
            let isHeld = servers.holds(oldest.index, generation: oldest.generation)
            time = min(time, isHeld ? timeLeft(toKeep: oldest.index) : 0)
        }
        if let oldest = choosingClients.first {
            let isHeld = isWaiting(oldest.client, ticket: oldest.ticket)
            time = min(time, isHeld ? timeLeft(for: oldest) : 0)
        }
        return time
    }

    /// Closes the listening sockets.
    mutating func stopListening() {
        for index in listeners.indices { listeners[index].stop() }
    }

    private mutating func handle(_ event: ReactorEvent, _ buffer: borrowing ReceiveBuffer) {
        let (slot, generation) = (event.token.slot, event.token.generation)
        switch event.token.kind {
        case .client:
            guard clients.holds(slot, generation: generation) else { return }
            let hasLeft = clients[slot].transport.account(for: event, reactor)
            if event.isWritable { clientBecameWritable(slot) }
            if event.isReadable, clients.holds(slot, generation: generation) {
                let received = clients[slot].transport.receive(event, in: buffer, reactor)
                take(received, of: slot, in: buffer)
            }
            if hasLeft, clients.holds(slot, generation: generation) { clientLeft(slot) }
        case .server: handleServer(event, buffer)
        case .canceler:
            if cancelers.holds(slot, generation: generation) {
                _ = cancelers[slot].transport.account(for: event, reactor)
                cancelerProgressed(slot, event, buffer)
            }
        case .listener: accept(from: Int(slot), buffer)
        case .resolver: resolved()
        case .keyDeriver: keysDerived()
        case .signal: signaled()
        case .mailbox: shared.mailboxes[Int(id.index)].acknowledge()
        case nil: break
        }
    }

    /// Takes what was received from a client.
    mutating func take(
        _ received: Received,
        of slot: UInt32,
        in buffer: borrowing ReceiveBuffer
    ) {
        switch received {
        case .bytes(let range):
            if clients[slot].transport.hasTLS {
                clientReceivedRecords(slot, buffer.bytes(range), in: buffer)
            } else {
                clientReceived(slot, buffer.bytes(range))
            }
        case .nothing: break
        case .end: clientEnded(slot)
        }
    }

    private mutating func handleServer(_ event: ReactorEvent, _ buffer: borrowing ReceiveBuffer) {
        let (slot, generation) = (event.token.slot, event.token.generation)
        if !servers.holds(slot, generation: generation) {
            // A free server says something: nobody else may take it meanwhile.
            let server = ServerID(index: slot, generation: generation)
            guard servers.isFreeHere(server), servers.take(server, from: id) else { return }
        }
        let hasLeft = servers[slot].transport.account(for: event, reactor)
        if event.isWritable { serverBecameWritable(slot) }
        if event.isReadable, servers.holds(slot, generation: generation) {
            switch servers[slot].transport.receive(event, in: buffer, reactor) {
            case .bytes(let range):
                if servers[slot].transport.hasTLS {
                    serverReceivedRecords(slot, buffer.bytes(range), in: buffer)
                } else {
                    serverReceived(slot, buffer.bytes(range))
                }
            case .nothing: break
            case .end: serverEnded(slot)
            }
        }
        guard servers.holds(slot, generation: generation) else { return }
        if servers[slot].task == .departing {
            if hasLeft { serverDeparted(slot) }
            return
        }
        guard servers[slot].state.isFree else { return }
        if hasLeft {
            serverLeft(slot)
        } else if servers[slot].destination == nil, !servers[slot].isKept {
            offer(slot)
        }
    }
}

/// What every worker is made from.
struct WorkerStart: Sendable {
    let shared: SharedState
    let backend: ReactorChoice
    let listeners: [Listener]
    let directory: Directory
    let tls: TLSContexts
    let source: ConfigurationSource
    let options: StartOptions
    let supervisor: Supervisor
    let sink: LogSink
    let log: Logger
    /// Whether another process has to say first that it takes no more clients.
    var takesOver = false
}
