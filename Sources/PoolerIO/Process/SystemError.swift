// A failed system call, with the words that the operating system has for it.

internal import CLinux

/// Which call failed and why.
package struct SystemError: Error, CustomStringConvertible {
    let call: String
    let code: Int32

    /// The error of the call that has just failed.
    static func current(_ call: String) -> SystemError {
        SystemError(call: call, code: martlet_errno())
    }

    package var description: String { "\(call): \(unsafe String(cString: strerror(code)))" }
}
