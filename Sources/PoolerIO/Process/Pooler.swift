// The life of the process: from a configuration to an event loop that runs, to its end.

internal import CLinux
internal import Digests
internal import Logging
internal import PoolerCore

/// Options of the command line that are not settings.
package struct StartOptions: Sendable {
    /// -q: nothing goes to standard error.
    package var isQuiet = false
    /// -v: how often it was given.
    package var verbosity = 0
    /// -d: in the background.
    package var isDaemon = false
    /// -R: what the running process has is taken over.
    package var takesOver = false
    /// -u: the user of the operating system to run as; empty: the one of the settings.
    package var user = ""

    package init() {}
}

/// Starts the pooler.
package enum Pooler {
    /// Runs the pooler until it is told to end.
    ///
    /// - Throws: `ConfigurationError`, `StartError` or `SystemError` when it cannot start.
    package static func run(
        _ source: ConfigurationSource,
        _ options: StartOptions
    ) throws {
        var (configuration, users) = try source.load()
        configuration.settings.verbose = max(configuration.settings.verbose, options.verbosity)
        let settings = configuration.settings
        // Before the rights are given up with which keys can perhaps be read.
        let tls: TLSContexts
        do throws(TLSFailure) {
            tls = try TLSContexts(for: configuration, TLSFiles(ConfigurationSource.readFile))
        } catch {
            throw StartError("TLS: \(error)")
        }
        try becomeUser(options.user.isEmpty ? settings.user : options.user)
        if options.isDaemon && settings.pidfile.isEmpty {
            throw StartError("daemon needs pidfile configured")
        }
        if !options.takesOver { try PIDFile.check(settings.pidfile) }
        let terminal = options.isDaemon ? try goToBackground() : nil
        let supervisor = Supervisor()
        let sink = LogSink()
        try sink.open(settings)
        var log = Logger(label: "martlet") { _ in PgBouncerLogHandler(sink) }
        log.logLevel = Worker.logLevel(settings.verbose)
        warn(of: configuration, users, log)

        let signals = try Signals()
        raiseDescriptorLimit(settings, log)
        let succession = options.takesOver ? try Succession.ask(settings) : nil
        if options.takesOver, succession == nil {
            log.warning("takeover: no process is running, starting normally")
        }
        let listeners = try Listener.open(
            settings,
            passed: supervisor.descriptors,
            handedOver: succession?.listeners
        ) {
            log.warning("\($0)")
        }
        guard !listeners.isEmpty else { throw StartError("nowhere to listen on") }
        let pidfile = try PIDFile(settings.pidfile, replacesOther: succession != nil)
        sink.setQuiet(options.isQuiet)

        guard let seedKey = Digest32(try unpredictableBytes(count: 32)) else {
            throw StartError("no random numbers")
        }
        let workerCount = workerCount(settings)
        let shared = try SharedState(
            workerCount: workerCount,
            generation: succession?.generation ?? 0
        )
        let directory = Directory(configuration: configuration, users: users, seedKey: seedKey)
        let (backend, backendText) = try ReactorChoice.make(
            settings.ioBackend,
            loopCount: workerCount
        )
        let start = WorkerStart(
            shared: shared,
            backend: backend,
            listeners: listeners,
            directory: directory,
            tls: tls,
            source: source,
            options: options,
            supervisor: supervisor,
            sink: sink,
            log: log,
            takesOver: succession != nil
        )
        var chief = try Worker.make(.chief, start, signals: signals)
        for listener in listeners { log.info("listening on \(listener.logText)") }
        let threads = try WorkerThreads(start)
        log.info(
            """
            process up: Martlet \(MartletVersion.current), OpenSSL, \(backendText), \
            \(workerCount) worker\(workerCount == 1 ? "" : "s")
            """
        )
        if let terminal { try leaveTerminal(terminal, sink) }
        succession?.start(shared, configuration, log)
        succession == nil ? supervisor.isReady() : supervisor.isReadyInstead()
        try chief.run()
        threads.join()
        chief.leaveFilesIfHandedOver()
        chief.stopListening()
        pidfile.remove()
        log.info("process ends")
    }

    /// Gives up the rights of root for those of a user, and refuses to keep them by accident.
    private static func becomeUser(_ user: String) throws(StartError) {
        if user.isEmpty {
            guard geteuid() != 0 else {
                throw StartError(
                    "Martlet should not run as root: name a user with -u or the setting `user`"
                )
            }
            return
        }
        let number = unsafe martlet_user_id(user)
        guard number >= 0 else { throw StartError("no user \"\(user)\" on this machine") }
        if number == Int64(geteuid()) { return }
        let status = unsafe martlet_become_user(user)
        guard status == 0 else {
            throw StartError("cannot become \(SystemError(call: user, code: -status))")
        }
    }

    /// Goes on as another process; the first one waits until that is up.
    private static func goToBackground() throws(SystemError) -> Int32 {
        let descriptor = martlet_daemonize()
        guard descriptor >= 0 else { throw SystemError(call: "daemonize", code: -descriptor) }
        return descriptor
    }

    private static func leaveTerminal(_ descriptor: Int32, _ sink: LogSink) throws(SystemError) {
        sink.setQuiet(true)
        let status = martlet_leave_terminal(descriptor)
        guard status == 0 else { throw SystemError(call: "/dev/null", code: -status) }
    }

    /// Says what in a configuration can hardly be meant so.
    static func warn(of configuration: Configuration, _ users: UserList, _ log: Logger) {
        for line in users.brokenLines { log.warning("\(line)") }
        for user in configuration.authUsers(unknownTo: users) {
            log.warning(
                "auth_user \"\(user)\" is not in auth_file: it has no password to log in with"
            )
        }
    }

    /// One event loop for each core that the process may use, unless the settings say otherwise.
    private static func workerCount(_ settings: Settings) -> Int {
        if settings.workers > 0 { return settings.workers }
        return max(1, min(Int(martlet_core_count()), WorkerID.limit))
    }

    /// Allows as many descriptors as the clients and servers of the configuration need.
    private static func raiseDescriptorLimit(_ settings: Settings, _ log: Logger) {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return
        }
        let wanted = rlim_t(settings.maxClientConn + 1_000)
        if limit.rlim_cur < wanted {
            limit.rlim_cur = min(wanted, limit.rlim_max)
            _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        if limit.rlim_cur < wanted {
            log.warning(
                "max_client_conn is \(settings.maxClientConn), but only \(limit.rlim_cur) descriptors are allowed"
            )
        }
    }
}

/// The file that says which process is running.
struct PIDFile {
    private let path: String

    /// Writes the file.
    /// - Throws: `StartError` when another process that is alive has written it, or it cannot be
    ///   written.
    init(_ path: String, replacesOther: Bool = false) throws(StartError) {
        self.path = path
        guard !path.isEmpty else { return }
        if !replacesOther { try Self.check(path) }
        _ = unsafe unlink(path)
        let descriptor = unsafe martlet_open_append(path)
        guard descriptor >= 0 else {
            throw StartError("\(SystemError(call: path, code: -descriptor))")
        }
        let text = Array("\(getpid())\n".utf8)
        _ = unsafe write(descriptor, text, text.count)
        close(descriptor)
    }

    /// Refuses a file that a process has written which is alive.
    static func check(_ path: String) throws(StartError) {
        if let process = process(at: path), kill(process, 0) == 0 || martlet_errno() == EPERM {
            throw StartError("pidfile exists, another instance running? \(path)")
        }
    }

    private static func process(at path: String) -> pid_t? {
        let descriptor = unsafe martlet_open_read(path)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var text = [UInt8](repeating: 0, count: 32)
        let count = unsafe read(descriptor, &text, text.count)
        let digits = text.prefix(max(0, count)).prefix { (0x30...0x39).contains($0) }
        return pid_t(String(decoding: digits, as: UTF8.self))
    }

    /// Writes the file again, after another process that was to take over has done so and gone.
    static func rewrite(_ path: String, _ log: Logger) {
        do throws(StartError) {
            _ = try PIDFile(path, replacesOther: true)
        } catch {
            log.warning("\(error)")
        }
    }

    /// Removes the file, unless it is another process's by now.
    func remove() {
        if !path.isEmpty, Self.process(at: path) == getpid() { _ = unsafe unlink(path) }
    }
}
