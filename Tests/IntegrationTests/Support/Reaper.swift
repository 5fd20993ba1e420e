// Nothing is left behind: a shell beside the test process that waits for its end, however it comes
// (success, crash, kill -9), then stops every process still watched and removes the scratch files.

import Foundation
import Glibc
import Synchronization

final class Reaper: Sendable {
    static let shared = Reaper()

    /// The writing end of the shell's standard input; it closes with this process.
    private let pipe: Int32

    private init() {
        var ends: [Int32] = [0, 0]
        precondition(Glibc.pipe(&ends) == 0, "no pipe for the reaper")
        pipe = ends[1]
        // No other child may inherit it; none is spawned before this object exists.
        _ = fcntl(pipe, F_SETFD, FD_CLOEXEC)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        let words = ["sh", "-c", Reaper.script, "reaper", ScratchDirectory.root]
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var processID: pid_t = 0
        let failure = posix_spawnp(&processID, "sh", &actions, &attributes, &arguments, environ)
        precondition(failure == 0, "the reaper did not start")
        arguments.forEach { free($0) }
        posix_spawnattr_destroy(&attributes)
        posix_spawn_file_actions_destroy(&actions)
        close(ends[0])
    }

    func watch(_ processID: pid_t) { tell("watch \(processID)\n") }

    func forget(_ processID: pid_t) { tell("forget \(processID)\n") }

    /// One line is far below PIPE_BUF, so lines of several threads never mix.
    private func tell(_ line: String) {
        _ = line.withCString { write(pipe, $0, strlen($0)) }
    }

    private static let script = """
        processes=' '
        while read -r verb process; do
            case $verb in
                watch) processes="$processes$process " ;;
                forget) processes="${processes%% $process *} ${processes#* $process }" ;;
            esac
        done
        kill -QUIT $processes
        tries=0
        while kill -0 $processes && [ $tries -lt 30 ]; do sleep 0.1; tries=$((tries + 1)); done
        kill -KILL $processes
        rm -rf "$1"
        """
}

/// Files of this test run, one folder per server, pooler or command.
enum ScratchDirectory {
    /// Made once per test process, open to the user that runs PostgreSQL.
    static let root: String = {
        let template = strdup("/tmp/martlet-tests.XXXXXX")
        defer { free(template) }
        guard let template, mkdtemp(template) != nil else { fatalError("no scratch directory") }
        chmod(template, 0o755)
        return String(cString: template)
    }()

    private static let count = Atomic<Int>(0)

    static func make(_ name: String) throws -> String {
        let number = count.add(1, ordering: .relaxed).newValue
        let path = "\(root)/\(name)-\(number)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        chmod(path, 0o755)
        return path
    }
}
