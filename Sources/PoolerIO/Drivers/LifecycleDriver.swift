// Signals, reload, pause and shutdown: what happens to the pooler as a whole.

internal import CLinux
internal import Logging
internal import PoolerCore
internal import PostgresWire

extension Worker {
    /// Signals have arrived.
    mutating func signaled() {
        while let signal = signals.take() {
            switch signal {
            case SIGHUP:
                log.info("got SIGHUP, re-reading config")
                _ = reload()
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
                lifecycle.isFinished = true
            case SIGUSR1:
                log.info("got SIGUSR1, pausing all activity")
                setPaused(true, database: nil)
            case SIGUSR2 where !lifecycle.isShuttingDown:
                log.info("got SIGUSR2, continuing from PAUSE")
                setPaused(false, database: nil)
            default: break
            }
        }
    }

    // MARK: Reload

    /// Reads the configuration again.
    ///
    /// All of it takes effect, or nothing.
    ///
    /// - Returns: why it did not.
    mutating func reload() -> String? {
        var loaded: (Configuration, UserList)
        do throws(ConfigurationError) {
            loaded = try source.load()
        } catch {
            log.warning("config reload failed, nothing changed: \(error)")
            return "\(error)"
        }
        loaded.0.settings.verbose = max(loaded.0.settings.verbose, options.verbosity)
        for line in loaded.1.brokenLines { log.warning("\(line)") }
        let (configuration, needingRestart) = loaded.0.reloaded(over: directory.configuration)
        for row in needingRestart {
            log.warning("\(row.name) is changed in the file: that takes effect at the next start")
        }
        do throws(SystemError) {
            try sink.open(configuration.settings.logfile)
        } catch {
            log.warning("\(error)")
        }
        apply(configuration, loaded.1)
        return nil
    }

    /// Makes a configuration the one in effect.
    mutating func apply(_ configuration: Configuration, _ users: UserList) {
        let oldDirectory = directory
        let old = oldDirectory.configuration
        directory = Directory(
            configuration: configuration,
            users: users,
            seedKey: directory.seedKey
        )
        adoptSettings()
        makeForcedPools()
        for pool in pools.ids {
            let key = pools[pool].key
            let database = configuration.database(named: key.database)
            pools[pool].settings = configuration.effectiveSettings(
                database: database,
                user: key.user
            )
            pools[pool].forgetFailure()
            // What a client proved is kept as long as it is about the same secret.
            if oldDirectory.secret(of: key.user) != directory.secret(of: key.user)
                || old.database(named: key.database)?.password != database?.password
            {
                pools[pool].credentials = .none
                pools[pool].derivedKeys = nil
            }
            guard let database else {
                closeDatabase(key.database)
                continue
            }
            guard let before = old.database(named: key.database), before.connectsLike(database)
            else {
                markServers(of: pool)
                continue
            }
        }
    }

    /// Puts a change of the settings by the console into effect.
    mutating func apply(_ settings: Settings) {
        var configuration = directory.configuration
        configuration.settings = settings
        directory.replace(configuration)
        adoptSettings()
        for pool in pools.ids {
            pools[pool].settings = configuration.effectiveSettings(
                database: configuration.database(named: pools[pool].key.database),
                user: pools[pool].key.user
            )
        }
    }

    /// What the loop itself keeps of the settings.
    mutating func adoptSettings() {
        settings = directory.configuration.settings
        log.logLevel = Self.logLevel(settings.verbose)
    }

    static func logLevel(_ verbose: Int) -> Logger.Level {
        switch verbose {
        case ...0: .info
        case 1: .debug
        default: .trace
        }
    }

    /// Servers of a pool are replaced as they become free.
    mutating func markServers(of pool: PoolID) {
        for slot in 0..<UInt32(servers.slotCount)
        where servers.isUsed(slot) && servers[slot].pool == pool {
            if servers[slot].state == .idle || servers[slot].state == .used {
                closeServer(slot, .obsoleteSettings)
            } else {
                servers[slot].isCloseNeeded = true
            }
        }
    }

    /// Ends every connection of a database at once.
    mutating func closeDatabase(_ database: ByteString) {
        for slot in 0..<UInt32(clients.slotCount)
        where clients.isUsed(slot) && clients[slot].pool != nil
            && clients[slot].database == database
        {
            closeClient(slot, .databaseRemoved)
        }
        for slot in 0..<UInt32(servers.slotCount)
        where servers.isUsed(slot) && pools[servers[slot].pool].key.database == database {
            closeServer(slot, .databaseRemoved)
        }
    }

    // MARK: Pause

    /// Stops or continues to give servers to the clients of a database, or of all.
    mutating func setPaused(_ isPaused: Bool, database: ByteString?) {
        if let database {
            pools.updateDatabase(database) { $0.isPaused = isPaused }
        } else {
            lifecycle.isPaused = isPaused
        }
        for pool in pools.ids(ofDatabase: database) {
            let state = pools.state(ofDatabase: pools[pool].key.database)
            pools[pool].isPaused = lifecycle.isPaused || state.isPaused
            if isPaused {
                for server in pools[pool].freeServers { closeServer(server.index, .paused) }
            } else {
                pools[pool].forgetFailure()
                openServersIfWanted(pool)
            }
        }
        advanceLifecycle()
    }

    // MARK: Shutdown

    /// Begins to end; the second time it ends at once.
    mutating func shutDown(_ mode: Lifecycle.Shutdown, _ text: String) {
        if lifecycle.shutdown != nil {
            log.info("got another signal during shutdown, fast exit")
            lifecycle.isFinished = true
            return
        }
        log.info("\(text)")
        lifecycle.shutdown = mode
        closeTCPListeners()
        if mode == .waitForServers {
            for slot in 0..<UInt32(clients.slotCount)
            where clients.isUsed(slot) && clients[slot].isWaiting {
                closeClient(slot, .serverShuttingDown)
            }
            setPaused(true, database: nil)
        }
        advanceLifecycle()
    }

    private mutating func closeTCPListeners() {
        for index in 0..<listeners.count
        where listeners[index].path == nil && listeners[index].descriptor >= 0 {
            reactor.unwatch(listeners[index].descriptor, Token(.listener, slot: UInt32(index)))
            listeners[index].stop()
        }
    }

    /// A client has left: that may be what a shutdown waits for.
    mutating func clientLeft() {
        if lifecycle.shutdown == .waitForClients { advanceLifecycle() }
    }

    /// Looks whether something that is waited for has come about.
    mutating func advanceLifecycle() {
        switch lifecycle.shutdown {
        case nil: break
        case .waitForClients:
            if pools.ids.allSatisfy({ pools[$0].clientCount == 0 }) { lifecycle.isFinished = true }
        case .waitForServers:
            if servers.count == 0 { lifecycle.isFinished = true }
        }
        advanceConsoleWaits()
    }
}
