// A process that a test starts: PostgreSQL, the pooler, psql, pgbench. Spawned in a process group
// of its own with default signals, watched by the reaper, its output in files.

import Foundation
import Glibc

/// How a process ended.
enum ExitStatus: Equatable {
    case exited(Int32)
    case killed(signal: Int32)

    init(waitStatus: Int32) {
        let signal = waitStatus & 0x7f
        self = signal == 0 ? .exited((waitStatus >> 8) & 0xff) : .killed(signal: signal)
    }
}

/// A process could not be started.
struct SpawnFailed: Error, CustomStringConvertible {
    let description: String
}

final class ChildProcess {
    let processID: pid_t
    private(set) var exitStatus: ExitStatus?

    /// Starts `arguments[0]` (looked up in PATH) with output and errors written to files.
    init(
        _ arguments: [String],
        environment: [String: String] = [:],
        input: String = "/dev/null",
        output: String,
        errors: String? = nil
    ) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let flags = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, flags, 0o644)
        if let errors {
            posix_spawn_file_actions_addopen(&actions, 2, errors, flags, 0o644)
        } else {
            posix_spawn_file_actions_adddup2(&actions, 1, 2)
        }
        let reaper = Reaper.shared
        processID = try spawn(arguments, environment: environment, &actions)
        reaper.watch(processID)
    }

    deinit {
        guard hasExited == false else { return }
        kill(processID, SIGKILL)
        _ = try? waitForExit(within: .seconds(5))
    }

    /// True once the process has ended; asks the kernel and never blocks.
    var hasExited: Bool {
        if exitStatus != nil { return true }
        var status: Int32 = 0
        guard waitpid(processID, &status, WNOHANG) == processID else { return false }
        exitStatus = ExitStatus(waitStatus: status)
        Reaper.shared.forget(processID)
        return true
    }

    func send(signal: Int32) {
        if !hasExited { kill(processID, signal) }
    }

    func waitForExit(within limit: Duration) throws -> ExitStatus {
        let deadline = Deadline(in: limit)
        while true {
            if hasExited, let exitStatus { return exitStatus }
            if deadline.hasPassed { throw TimedOut("end of process \(processID)") }
            pause(.milliseconds(10))
        }
    }

    /// Ends the process: the signal first, SIGKILL when it does not listen.
    @discardableResult
    func stop(signal: Int32, within limit: Duration = .patience) -> ExitStatus {
        send(signal: signal)
        if let status = try? waitForExit(within: limit) { return status }
        send(signal: SIGKILL)
        return (try? waitForExit(within: .seconds(5))) ?? .killed(signal: SIGKILL)
    }
}

/// What a finished command left.
struct CommandOutcome {
    let status: ExitStatus
    let output: String
    let errors: String

    var succeeded: Bool { status == .exited(0) }
}

/// Runs a command to its end and collects what it printed.
func run(
    _ arguments: [String],
    environment: [String: String] = [:],
    input: String? = nil,
    within limit: Duration = .seconds(180)
) throws -> CommandOutcome {
    let directory = try ScratchDirectory.make("command")
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let inputPath = directory + "/input"
    if let input { try input.write(toFile: inputPath, atomically: false, encoding: .utf8) }
    let process = try ChildProcess(
        arguments,
        environment: environment,
        input: input == nil ? "/dev/null" : inputPath,
        output: directory + "/output",
        errors: directory + "/errors"
    )
    guard let status = try? process.waitForExit(within: limit) else {
        process.stop(signal: SIGTERM)
        throw TimedOut(arguments.joined(separator: " "))
    }
    return CommandOutcome(
        status: status,
        output: try String(contentsOfFile: directory + "/output", encoding: .utf8),
        errors: try String(contentsOfFile: directory + "/errors", encoding: .utf8)
    )
}

private func spawn(
    _ arguments: [String],
    environment: [String: String],
    _ actions: inout posix_spawn_file_actions_t
) throws -> pid_t {
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
    posix_spawnattr_setflags(&attributes, Int16(flags))
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigaddset(&signals, SIGPIPE)
    sigaddset(&signals, SIGINT)
    posix_spawnattr_setsigdefault(&attributes, &signals)

    let variables = ProcessInfo.processInfo.environment
        .filter { !$0.key.hasPrefix("PG") && $0.key != "DATABASE_URL" }
        .merging(environment) { $1 }
        .map { "\($0.key)=\($0.value)" }
    var processID: pid_t = 0
    let failure = withCStrings(arguments) { argv in
        withCStrings(variables) { envp in
            posix_spawnp(&processID, arguments[0], &actions, &attributes, argv, envp)
        }
    }
    guard failure == 0 else {
        throw SpawnFailed(description: "\(arguments[0]): \(String(cString: strerror(failure)))")
    }
    return processID
}

private func withCStrings<Value>(
    _ strings: [String],
    _ body: ([UnsafeMutablePointer<CChar>?]) -> Value
) -> Value {
    let pointers = strings.map { strdup($0) } + [nil]
    defer { pointers.forEach { free($0) } }
    return body(pointers)
}
