// The supervisor that has started the process: systemd, or another that speaks its protocol. It is told
// how the pooler does (sd_notify(3)), and may have opened the listening sockets (sd_listen_fds(3)).

internal import CLinux
internal import PoolerCore

/// Who has started the process.
struct Supervisor: Sendable {
    private let socket: String?
    /// How often it wants to hear that the pooler is alive; half of what it waits for.
    let watchdogPeriod: Microseconds?
    /// The listening sockets that it has opened.
    let descriptors: [Int32]

    /// Reads what the environment says of it.
    ///
    /// - Parameter variable: a variable of the environment.
    init(_ variable: (String) -> String? = environment) {
        socket = variable("NOTIFY_SOCKET")
        let process = String(getpid())
        watchdogPeriod = Self.period(
            variable("WATCHDOG_USEC"),
            isMeant: variable("WATCHDOG_PID").map { $0 == process } ?? true
        )
        var count = 0
        if variable("LISTEN_PID") == process, let text = variable("LISTEN_FDS") {
            count = Int(text) ?? 0
        }
        descriptors = (0..<max(0, min(count, Self.descriptorLimit))).map { 3 + Int32($0) }
    }

    private static let descriptorLimit = 64

    private static func period(_ text: String?, isMeant: Bool) -> Microseconds? {
        guard isMeant, let text, let limit = Int64(text), limit > 0 else { return nil }
        return limit / 2
    }

    /// The pooler takes clients.
    func isReady() { tell("READY=1") }

    /// The pooler takes clients, in place of the process that the supervisor has started.
    func isReadyInstead() { tell("MAINPID=\(getpid())\nREADY=1") }

    /// The configuration is read again; `isReady` ends that.
    func isReloading(at now: Microseconds) { tell("RELOADING=1\nMONOTONIC_USEC=\(now)") }

    /// The pooler ends.
    func isStopping() { tell("STOPPING=1") }

    /// The loop goes round.
    func isAlive() { tell("WATCHDOG=1") }

    /// What the pooler has done lately, for people.
    func status(_ text: String) { tell("STATUS=\(text)") }

    /// A supervisor that does not listen is no reason to do anything else.
    private func tell(_ state: String) {
        guard let socket else { return }
        let bytes = Array(state.utf8)
        _ = unsafe martlet_notify(socket, bytes, bytes.count)
    }
}
