// Values that hold a password or a key. Whatever prints one, an interpolation, a log, a failing
// test, `dump`, gets the name of the type and nothing of what is inside.

/// A value whose contents never appear in text.
public protocol Redacted: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
}

extension Redacted {
    /// The name of the type.
    public var description: String { "<\(Self.self)>" }

    /// The name of the type.
    public var debugDescription: String { description }

    /// A mirror without children.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
