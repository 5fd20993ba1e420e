// How many servers a host may have over all pools, and what PostgreSQL is asked to know it.

public import PostgresWire

/// A value of max_host_connections.
public enum HostLimit: Equatable, Sendable {
    case none
    case count(Int)
    /// Of the connections that PostgreSQL has for others than superusers, from 1 to 100.
    case percentage(Int)

    /// Reads `0`, a number, or a percentage.
    public init?(settingText text: ByteString) {
        if text.bytes.last == UInt8(ascii: "%") {
            guard let share = integer(ByteString(Array(text.bytes.dropLast()))), 1...100 ~= share
            else { return nil }
            self = .percentage(share)
        } else {
            guard let count = integer(text), 0...Int(Int32.max) ~= count else { return nil }
            self = count == 0 ? .none : .count(count)
        }
    }

    /// The value as it stands in a file.
    public var settingText: ByteString {
        switch self {
        case .none: "0"
        case .count(let count): ByteString(String(count))
        case .percentage(let share): ByteString("\(share)%")
        }
    }

    /// The most servers, at least 1; nil for any number.
    ///
    /// - Parameter capacity: what `capacity(answer:)` gave; nil if that is not known yet.
    public func serverCount(capacity: Int?) -> Int? {
        switch self {
        case .none: return nil
        case .count(let count): return count
        case .percentage(let share):
            let capacity = min(capacity ?? Self.usualCapacity, Int(Int32.max))
            return max(1, capacity * share / 100)
        }
    }

    /// What PostgreSQL allows if nobody has changed it: of 100 connections three are reserved.
    private static let usualCapacity = 97

    /// Asks PostgreSQL how many connections others than superusers can have; PostgreSQL 16 reserves some
    /// more.
    public static let question: ByteString = """
        select current_setting('max_connections')::int \
        - current_setting('superuser_reserved_connections')::int \
        - coalesce(current_setting('reserved_connections', true), '0')::int
        """

    /// Reads the answer; nil if it is not a number.
    public static func capacity(answer: RawSpan) -> Int? {
        guard let rows = try? DataRow.rows(in: answer), let columns = rows.first?.columns,
            let value = columns.first ?? nil
        else { return nil }
        return integer(value).map { max(0, $0) }
    }
}
