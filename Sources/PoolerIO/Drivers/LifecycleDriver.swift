// Signals, reload, pause and shutdown: what happens to the pooler as a whole.

internal import CLinux
internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// Signals have arrived.
    mutating func signaled() {
        while let signal = signals?.take() {
            switch signal {
            case SIGHUP:
                log.info("got SIGHUP, re-reading config")
                if case .success(let order) = readConfigurationAgain() { issue(order) }
            case SIGTERM:
                shutDown(
                    .waitForClients,
                    "got SIGTERM, shutting down, waiting for all clients disconnect"
                )
            case SIGINT:
                shutDown(
                    .waitForServers,
                    "got SIGINT, shutting down, waiting for all servers connections to be released"
                )
            case SIGQUIT:
                log.info("got SIGQUIT, fast exit")
                shared.finish()
            case SIGUSR1:
                log.info("got SIGUSR1, pausing all activity")
                setPaused(true, database: nil)
            case SIGUSR2 where !lifecycle.isShuttingDown:
                log.info(
                    "got SIGUSR2, continuing from \(lifecycle.isSuspended ? "SUSPEND" : "PAUSE")"
                )
                lifecycle.isSuspended ? setSuspended(false) : setPaused(false, database: nil)
            default: break
            }
        }
    }

    // MARK: Reload

    /// Reads the configuration again.
    ///
    /// All of it is to take effect, or nothing.
    ///
    /// - Returns: the order to use it, or why that cannot be; the failure has been logged.
    mutating func readConfigurationAgain() -> Result<Order, ConfigurationError> {
        supervisor.isReloading(at: martlet_monotonic_microseconds())
        defer { supervisor.isReady() }
        if case .file = source, !settings.conffile.isEmpty {
            source = .file(path: settings.conffile)
        }
        var loaded: (Configuration, UserList)
        do throws(ConfigurationError) {
            loaded = try source.load()
        } catch {
            log.warning("config reload failed, nothing changed: \(error)")
            return .failure(error)
        }
        loaded.0.settings.verbose = max(loaded.0.settings.verbose, options.verbosity)
        Pooler.warn(of: loaded.0, loaded.1, log)
        let (configuration, needingRestart) = loaded.0.reloaded(over: directory.configuration)
        let contexts: TLSContexts
        do throws(TLSFailure) {
            contexts = try makeTLSContexts(for: configuration)
        } catch {
            log.warning("config reload failed, nothing changed: TLS: \(error)")
            return .failure(ConfigurationError(file: settings.conffile, message: "\(error)"))
        }
        for row in needingRestart {
            log.warning("\(row.name) is changed in the file: that takes effect at the next start")
        }
        do throws(SystemError) {
            try sink.open(configuration.settings)
        } catch {
            log.warning("\(error)")
        }
        return .success(
            .configuration(configuration, loaded.1, contexts, before: shared.takeNumber())
        )
    }

    /// - Throws: what is wrong with the settings of TLS or their files.
    func makeTLSContexts(for configuration: Configuration) throws(TLSFailure) -> TLSContexts {
        do throws(SettingError) {
            try configuration.checkTLS()
        } catch {
            throw TLSFailure(description: error.message)
        }
        return try TLSContexts(
            for: configuration,
            replacing: tls,
            TLSFiles(ConfigurationSource.readFile)
        )
    }

    /// Makes a configuration the one in effect.
    mutating func apply(
        _ configuration: Configuration,
        _ users: UserList,
        _ contexts: TLSContexts,
        before number: UInt64
    ) {
        let oldDirectory = directory
        let old = oldDirectory.configuration
        directory = Directory(
            configuration: configuration,
            users: users,
            seedKey: directory.seedKey
        )
        directory.keepDerivedSecrets(of: oldDirectory)
        let oldTLS = exchange(&tls, with: contexts)
        nextExpiryWarning = 0
        reloadNumber = number
        adoptSettings()
        if isChief { shared.pools.withLock { $0.hosts.forgetFailures() } }
        for pool in pools.ids {
            let key = pools[pool].key
            let database = configuration.database(named: key.database)
            let settings = configuration.effectiveSettings(database: database, user: key.user)
            let isTLSNew =
                tls.forServers(of: key.database) !== oldTLS.forServers(of: key.database)
            pools[pool].settings = settings
            // What a client proved is kept as long as it is about the same secret.
            let isSecretNew =
                oldDirectory.secret(of: key.user) != directory.secret(of: key.user)
                || old.database(named: key.database)?.password != database?.password
            pools[pool].shared.withLock { pool in
                pool.settings = settings
                pool.forgetFailure()
                if isSecretNew { pool.secretChanged(by: number) }
            }
            guard let database else {
                closeDatabase(key.database)
                continue
            }
            guard let before = old.database(named: key.database), before.connectsLike(database),
                !isTLSNew
            else {
                shared.surveys[key.database] = nil
                pools[pool].survey = nil
                replaceServers(of: pool, before: number)
                continue
            }
        }
    }

    /// Puts a change of the settings by the console into effect.
    mutating func apply(
        _ configuration: Configuration,
        _ contexts: TLSContexts,
        before number: UInt64
    ) {
        directory.replace(configuration)
        let oldTLS = exchange(&tls, with: contexts)
        adoptSettings()
        for pool in pools.ids {
            let database = pools[pool].key.database
            let settings = configuration.effectiveSettings(
                database: configuration.database(named: database),
                user: pools[pool].key.user
            )
            pools[pool].settings = settings
            pools[pool].shared.withLock { $0.settings = settings }
            if tls.forServers(of: database) !== oldTLS.forServers(of: database) {
                replaceServers(of: pool, before: number)
            }
        }
    }

    /// What the loop itself keeps of the settings.
    mutating func adoptSettings() {
        settings = directory.configuration.settings
        knownLogins.forgetAll()
        configurationNumber += 1
        shared.secrets.withLock { $0.forgetAll() }
        systemUsers = [:]
        log.logLevel = Self.logLevel(settings.verbose)
        guard isChief else { return }
        makeForcedPools()
        for listener in listeners where listener.path == nil && listener.descriptor >= 0 {
            SocketOptions.apply(settings, toListener: listener.descriptor)
        }
    }

    static func logLevel(_ verbose: Int) -> Logger.Level {
        switch verbose {
        case ...0: .info
        case 1: .debug
        default: .trace
        }
    }

    /// Servers of a pool are replaced as they become free: those that are here now, and those that
    /// come from workers who had not heard of it when they let go of them.
    mutating func replaceServers(of pool: PoolID, before number: UInt64) {
        pools[pool].firstCurrentServer = number
        for slot in 0..<servers.slotCount {
            if servers.takeFree(slot) {
                if servers[slot].pool == pool {
                    closeServer(slot, .obsoleteSettings)
                } else {
                    offer(slot)
                }
            } else if servers.isHeld(slot), servers[slot].pool == pool {
                requireClose(slot)
            }
        }
    }

    /// Ends every connection of a database at once.
    mutating func closeDatabase(_ database: ByteString) {
        for slot in 0..<UInt32(clients.slotCount)
        where clients.isUsed(slot) {
            guard let pool = clients[slot].pool else { continue }
            if clients[slot].database == database || pools[pool].key.database == database {
                closeClient(slot, .databaseRemoved)
            }
        }
        for slot in 0..<servers.slotCount where servers.isHeld(slot) || servers.takeFree(slot) {
            if servers[slot].task == .departing { continue }
            if pools[servers[slot].pool].key.database == database {
                closeServer(slot, .databaseRemoved)
            } else if servers[slot].state.isFree {
                offer(slot)
            }
        }
    }

    // MARK: Pause

    /// Stops or continues to give servers to the clients of a database, or of all.
    mutating func setPaused(_ isPaused: Bool, database: ByteString?) {
        shared.pools.setPaused(isPaused, database: database)
        if database == nil {
            lifecycle.isPaused = isPaused
            issue(.lifecycle(lifecycle))
        }
        issue(.pauseChanged(database: database, isPaused: isPaused))
        mustAdvanceLifecycle = true
    }

    /// Pools have been paused: their free servers are closed; or they go on.
    mutating func pauseChanged(_ isPaused: Bool, _ database: ByteString?) {
        let affected = localPools(ofDatabase: database)
        setListening(!isPaused, of: affected)
        if !isPaused {
            for pool in affected { openServersIfWanted(pool) }
            return
        }
        for slot in 0..<servers.slotCount where servers.takeFree(slot) {
            let pool = servers[slot].pool
            // It may go on again by now.
            if affected.contains(pool), pools[pool].shared.withLock({ $0.isPaused }) {
                closeServer(slot, .paused)
            } else {
                offer(slot)
            }
        }
    }

    // MARK: Shutdown

    /// Begins to end; the second time it ends at once.
    mutating func shutDown(_ mode: Lifecycle.Shutdown, _ text: String) {
        if lifecycle.shutdown != nil {
            log.info("got another signal during shutdown, fast exit")
            return shared.finish()
        }
        log.info("\(text)")
        supervisor.isStopping()
        lifecycle.shutdown = mode
        let descriptors = tcpListenerDescriptors
        if issue(.lifecycle(lifecycle), sequel: .closeListeners(descriptors)) != nil {
            closeListeners(descriptors)
        }
        if mode == .waitForServers { setPaused(true, database: nil) }
        mustAdvanceLifecycle = true
    }

    /// The pooler as a whole does something else now.
    mutating func adopt(_ lifecycle: Lifecycle) {
        self.lifecycle = lifecycle
        watchListeners(!lifecycle.isHandingOver)
        suspensionChanged()
        guard lifecycle.isShuttingDown else { return }
        stopTCPListeners()
        guard lifecycle.shutdown == .waitForServers else { return }
        for slot in 0..<UInt32(clients.slotCount)
        where clients.isUsed(slot) && clients[slot].isWaiting {
            closeClient(slot, .serverShuttingDown)
        }
    }

    private mutating func stopTCPListeners() {
        for index in 0..<listeners.count
        where listeners[index].path == nil && listeners[index].descriptor >= 0 {
            reactor.unwatch(listeners[index].descriptor, Token(.listener, slot: UInt32(index)))
            listeners[index].forget()
        }
    }

    private var tcpListenerDescriptors: [Int32] {
        listeners.filter { $0.path == nil && $0.descriptor >= 0 }.map(\.descriptor)
    }

    /// No worker watches these listeners any more: only now may their numbers become others'.
    func closeListeners(_ descriptors: [Int32]) {
        for descriptor in descriptors { close(descriptor) }
    }

    /// A client or a server has gone: that may be what somebody waits for.
    mutating func connectionGone() {
        if isChief {
            mustAdvanceLifecycle = true
        } else if shared.isChiefWaiting {
            shared.post(.connectionGone, to: .chief)
        }
    }

    /// Looks whether something that is waited for has come about.
    mutating func advanceLifecycle() {
        mustAdvanceLifecycle = false
        guard isChief else { return }
        // What is on its way to another process is not gone before that has it.
        if let handover, handover.isDone { handover.end() }
        switch lifecycle.shutdown {
        case nil: break
        case _? where handover != nil: break
        case .waitForClients:
            if shared.pools.pools().allSatisfy({ $0.withLock { $0.clientCount == 0 } }) {
                return shared.finish()
            }
        case .waitForServers:
            if shared.pools.pools().allSatisfy({ $0.withLock { $0.serverCount == 0 } }) {
                return shared.finish()
            }
        }
        advanceConsoleWaits()
        shared.isChiefWaiting =
            lifecycle.isShuttingDown || lifecycle.isHandingOver || !consoleWaits.isEmpty
    }
}
