// Which of the two ways to the kernel is taken. Whether io_uring works is not asked but tried: it may
// be missing, forbidden (seccomp, kernel.io_uring_disabled) or older than what is needed.

internal import CLinux
internal import Glibc
internal import PoolerCore

/// A way to the kernel that works here.
enum ReactorChoice: Equatable {
    /// Several sends are one system call, if asked for and possible.
    case epoll(sendsTogether: Bool)
    case uring(isDeferred: Bool)

    /// Decides what `io_backend` means here.
    ///
    /// - Parameter loopCount: how many reactors there will be.
    /// - Returns: the choice, and words for the log that name it and say why.
    /// - Throws: `StartError` when `io_uring` is asked for and does not work.
    static func make(
        _ setting: IOBackend,
        loopCount: Int = 1
    ) throws(StartError) -> (choice: Self, reason: String) {
        if setting == .epoll { return epoll(loopCount: loopCount) }
        do throws(SystemError) {
            try UringReactor.tryOut(ringCount: loopCount, isDeferred: true)
            try UringReactor.tryOut(isDeferred: true)
            return (.uring(isDeferred: true), "io_uring (Linux \(kernelRelease))")
        } catch {
            guard setting == .ioUring else {
                let (choice, name) = epoll(loopCount: loopCount)
                return (choice, "\(name) (\(hinted(error)))")
            }
        }
        // It was asked for: slower than it could be is better than not at all.
        do throws(SystemError) {
            try UringReactor.tryOut(ringCount: loopCount, isDeferred: false)
            try UringReactor.tryOut(isDeferred: false)
            return (
                .uring(isDeferred: false), "io_uring without DEFER_TASKRUN (Linux \(kernelRelease))"
            )
        } catch {
            throw StartError("io_backend = io_uring: \(hinted(error))")
        }
    }

    private static func epoll(loopCount: Int) -> (choice: Self, reason: String) {
        EpollTurn.canSendTogether(loopCount: loopCount)
            ? (.epoll(sendsTogether: true), "epoll")
            : (.epoll(sendsTogether: false), "epoll, single sends")
    }

    /// Rings are locked memory, as the kernel counts.
    private static func hinted(_ error: SystemError) -> String {
        error.code == ENOMEM ? "\(error); is RLIMIT_MEMLOCK too small?" : "\(error)"
    }

    private static var kernelRelease: String {
        var names = utsname()
        guard unsafe uname(&names) == 0 else { return "?" }
        return unsafe withUnsafeBytes(of: &names.release) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}

extension UringReactor {
    /// Receives and sends a byte.
    /// - Throws: `SystemError` that names the step that failed.
    fileprivate static func tryOut(isDeferred: Bool) throws(SystemError) {
        let reactor = try UringReactor(
            isDeferred: isDeferred,
            buffers: Buffers(count: 2, size: 4_096)
        )
        try reactor.start()
        var pair: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        guard unsafe socketpair(AF_UNIX, type, 0, &pair) == 0 else { throw .current("socketpair") }
        defer { for fd in pair { Glibc.close(fd) } }
        var connection = Registration(
            descriptor: pair[0],
            token: Token(.client, slot: 0, generation: 1)
        )
        reactor.adjust(&connection)
        let byte: [UInt8] = [1]
        reactor.send(unsafe byte.span.bytes, to: &connection)
        guard unsafe martlet_send(pair[1], byte, 1) == 1 else { throw .current("send") }
        let count = reactor.wait(timeout: .seconds(1))
        var received: UInt8 = 0
        guard reactor.takeShortSend() == nil, unsafe martlet_recv(pair[1], &received, 1) == 1 else {
            throw SystemError(call: "io_uring send", code: EOPNOTSUPP)
        }
        reactor.finishTurn()
        guard count == 1, reactor.event(at: 0).result == 1, !reactor.event(at: 0).isLast else {
            let result = count > 0 ? reactor.event(at: 0).result : 0
            throw SystemError(
                call: "io_uring multishot receive",
                code: result < 0 ? -result : EOPNOTSUPP
            )
        }
    }
}
