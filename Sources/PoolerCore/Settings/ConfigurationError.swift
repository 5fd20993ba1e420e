// What is wrong with a configuration, and where.

/// A configuration that cannot be used: the place and what was expected there.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file as the operator named it, or another name for the source.
    public let file: String
    /// The line, counted from 1; nil if the error is about the source as a whole.
    public let line: Int?
    /// What is wrong; never contains a password.
    public let message: String

    /// Makes an error about `line` of `file`.
    public init(file: String, line: Int? = nil, message: String) {
        self.file = file
        self.line = line
        self.message = message
    }

    /// `file:line: message`, as compilers print it.
    public var description: String {
        line.map { "\(file):\($0): \(message)" } ?? "\(file): \(message)"
    }
}
