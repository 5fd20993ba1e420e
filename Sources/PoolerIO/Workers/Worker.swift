// One event loop: the connections at home here, and the state by which their machines decide. What
// happens with each kind of connection is in Drivers/; this file has the state and the loop.

internal import CLinux
internal import Logging
internal import PoolerCore
internal import PostgresWire

/// The state of an event loop.
struct Worker: ~Copyable {
    var reactor: Reactor
    let resolver: Resolver
    let signals: Signals
    var listeners: [Listener]
    var clients = Slab<Client>()
    var servers = Slab<Server>()
    var cancelers = Slab<Canceler>()
    /// The prepared statements of those clients that have any.
    var statementNames = Slab<ClientStatements>()

    var directory: Directory
    var pools = Pools()
    var states = SettingsStates()
    var statements = StatementStore()
    var hosts = HostCache()
    var loginQueue = LoginQueue()
    var lifecycle = Lifecycle()
    var statistics: Statistics

    /// The time when the current batch of events was fetched.
    var now: Microseconds
    var toServer = ForwardBuffer()
    var toClient = ForwardBuffer()
    var spareBuffers = SpareBuffers()
    /// What the next connection's id will be.
    var nextNumber: UInt64 = 1
    /// The number of connections that count for max_client_conn.
    var clientCount = 0
    var nextTick: Microseconds
    var isAcceptPaused = false
    /// The settings in effect: those of `directory`, where looking one up does not copy them all.
    var settings: Settings
    var random = SystemRandomNumberGenerator()
    var log: Logger
    let source: ConfigurationSource
    let options: StartOptions
    let sink: LogSink
    var consoleWaits: [ConsoleWait] = []
    /// The pool whose waiting clients are just being given servers.
    var servedPool: PoolID?

    init(
        reactor: consuming Reactor,
        resolver: Resolver,
        signals: consuming Signals,
        listeners: [Listener],
        directory: Directory,
        source: ConfigurationSource,
        options: StartOptions,
        sink: LogSink,
        log: Logger
    ) {
        self.reactor = reactor
        self.resolver = resolver
        self.signals = signals
        self.listeners = listeners
        self.directory = directory
        settings = directory.configuration.settings
        self.source = source
        self.options = options
        self.sink = sink
        self.log = log
        now = martlet_monotonic_microseconds()
        nextTick = now
        statistics = Statistics(
            period: StatsPeriod(startedAt: now),
            periodEnd: now + max(directory.configuration.settings.statsPeriod, .seconds(1))
        )
        _ = self.reactor.watch(self.signals.descriptor, Token(.signal, slot: 0))
        _ = self.reactor.watch(resolver.wakeup, Token(.resolver, slot: 0))
        adoptSettings()
        makeForcedPools()
        watchListeners(true)
    }

    /// How often limits that depend on time are looked at, in microseconds: as often as PgBouncer.
    static let tickPeriod: Microseconds = 333_333

    /// Runs until the pooler is to end.
    /// - Throws: `SystemError` when the reactor cannot run on this thread.
    mutating func run() throws(SystemError) {
        try reactor.start()
        let buffer = reactor.makeReceiveBuffer()
        while !lifecycle.isFinished {
            let wait = max(0, nextTick - now) / 1_000 + 1
            let count = reactor.wait(timeout: Int32(truncatingIfNeeded: min(wait, 1_000)))
            now = martlet_monotonic_microseconds()
            while let short = reactor.takeShortSend() { sendFellShort(short) }
            reactor.finishTurn()
            // Servers first: one that has died must not be given to a client of the same batch.
            for index in 0..<count where reactor.event(at: index).token.kind == .server {
                handle(reactor.event(at: index), buffer)
            }
            for index in 0..<count where reactor.event(at: index).token.kind != .server {
                handle(reactor.event(at: index), buffer)
            }
            if now >= nextTick {
                nextTick = now + Self.tickPeriod
                tick()
            }
        }
        // What the last turn sent goes out. An operation of the kernel's would keep a port in use for a
        // moment after the process has gone.
        watchListeners(false)
        _ = reactor.wait(timeout: 0)
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
            _ = clients[slot].transport.account(for: event, reactor)
            if event.isWritable { clientBecameWritable(slot) }
            if event.isReadable, clients.holds(slot, generation: generation) {
                switch buffer.receive(event, from: clients[slot].transport.descriptor) {
                case .bytes(let range): clientReceived(slot, buffer.bytes(range))
                case .nothing: break
                case .end: clientEnded(slot)
                }
            }
        case .server:
            guard servers.holds(slot, generation: generation) else { return }
            _ = servers[slot].transport.account(for: event, reactor)
            if event.isWritable { serverBecameWritable(slot) }
            if event.isReadable, servers.holds(slot, generation: generation) {
                switch buffer.receive(event, from: servers[slot].transport.descriptor) {
                case .bytes(let range): serverReceived(slot, buffer.bytes(range))
                case .nothing: break
                case .end: serverEnded(slot)
                }
            }
        case .canceler:
            if cancelers.holds(slot, generation: generation) {
                _ = cancelers[slot].transport.account(for: event, reactor)
                cancelerProgressed(slot, event, buffer)
            }
        case .listener: accept(from: Int(slot))
        case .resolver: resolved()
        case .signal: signaled()
        case nil: break
        }
    }

    /// A number for a new connection.
    mutating func takeNumber() -> UInt64 {
        defer { nextNumber += 1 }
        return nextNumber
    }
}
