// Turns a wall-clock reading into the text that SHOW columns and log lines carry. It decides the
// format only: the reading is handed in, and the zone is always UTC, because a pure target knows
// neither the clock nor the zone files.
//
// The calendar arithmetic is Howard Hinnant's "civil from days": years start in March, so that the
// leap day is the last of its year, and 400 years are one era of 146,097 days.

public import PostgresWire

/// A point in time, in microseconds since 1970-01-01 00:00:00 UTC.
public struct Timestamp: Hashable, Comparable, Sendable {
    /// Microseconds since the epoch; negative before it.
    public let unixMicroseconds: Int64

    /// Wraps a reading of the wall clock.
    public init(unixMicroseconds: Int64) {
        self.unixMicroseconds = unixMicroseconds
    }

    public static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.unixMicroseconds < right.unixMicroseconds
    }

    /// The fraction that the text carries.
    public enum Precision: Sendable {
        /// `2026-11-20 23:34:46 UTC`, as in SHOW columns.
        case seconds
        /// `2026-11-20 23:34:46.502 UTC`, as in log lines.
        case milliseconds
    }

    /// The time as text.
    public func text(_ precision: Precision = .seconds) -> ByteString {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(27)
        appendText(precision, to: &bytes)
        return ByteString(bytes)
    }

    /// Appends the time as text, without allocating anything else.
    public func appendText(_ precision: Precision, to bytes: inout [UInt8]) {
        let (days, microsecondOfDay) = unixMicroseconds.flooredDivision(by: 86_400_000_000)
        let date = Self.civilDate(daysSinceEpoch: days)
        let second = microsecondOfDay / 1_000_000
        if date.year < 0 { bytes.append(UInt8(ascii: "-")) }
        bytes.appendDecimal(date.year.magnitude, width: 4)
        bytes.append(UInt8(ascii: "-"))
        bytes.appendDecimal(UInt64(date.month), width: 2)
        bytes.append(UInt8(ascii: "-"))
        bytes.appendDecimal(UInt64(date.day), width: 2)
        bytes.append(UInt8(ascii: " "))
        bytes.appendDecimal(UInt64(second / 3_600), width: 2)
        bytes.append(UInt8(ascii: ":"))
        bytes.appendDecimal(UInt64(second / 60 % 60), width: 2)
        bytes.append(UInt8(ascii: ":"))
        bytes.appendDecimal(UInt64(second % 60), width: 2)
        if precision == .milliseconds {
            bytes.append(UInt8(ascii: "."))
            bytes.appendDecimal(UInt64(microsecondOfDay / 1_000 % 1_000), width: 3)
        }
        bytes.append(contentsOf: " UTC".utf8)
    }

    private static func civilDate(
        daysSinceEpoch: Int64
    ) -> (year: Int64, month: Int64, day: Int64) {
        // Day 0 of the eras is 0000-03-01.
        let (era, dayOfEra) = (daysSinceEpoch + 719_468).flooredDivision(by: 146_097)
        let yearOfEra =
            (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0)
        return (year, month, day)
    }
}

extension Int64 {
    /// Division that rounds down; the remainder is never negative.
    fileprivate func flooredDivision(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}

extension [UInt8] {
    /// Appends `value` in decimal, with leading zeros up to `width` digits.
    fileprivate mutating func appendDecimal(_ value: UInt64, width: Int) {
        let start = count
        var rest = value
        repeat {
            append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
        } while rest > 0
        while count - start < width { append(UInt8(ascii: "0")) }
        self[start...].reverse()
    }
}
