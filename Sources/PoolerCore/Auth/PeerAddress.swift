// The address of a client as rules look at it, and the networks that rules name. Text is read here
// without the system, so that an HBA file means the same in a test.

internal import PostgresWire

/// Where a client comes from.
public enum PeerAddress: Equatable, Sendable {
    /// By the Unix socket.
    case unix
    case ipv4(UInt32)
    /// The first and the last eight bytes.
    case ipv6(high: UInt64, low: UInt64)

    /// The address as rules mean it: an IPv4 address within IPv6 (`::ffff:10.0.0.1`) is an IPv4 address.
    var unmapped: PeerAddress {
        guard case .ipv6(0, let low) = self, low >> 32 == 0xFFFF else { return self }
        return .ipv4(UInt32(truncatingIfNeeded: low))
    }

    /// Reads `10.0.0.1` or `2001:db8::1`; nil for anything else.
    init?(parsing text: ByteString) {
        if let address = Self.ipv4(text.bytes[...]) {
            self = .ipv4(address)
        } else if let (high, low) = Self.ipv6(text.bytes[...]) {
            self = .ipv6(high: high, low: low)
        } else {
            return nil
        }
    }

    private static func ipv4(_ text: ArraySlice<UInt8>) -> UInt32? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var address: UInt32 = 0
        for part in parts {
            guard part.count <= 3, let number = decimalNumber(part), number <= 255 else {
                return nil
            }
            address = address << 8 | UInt32(number)
        }
        return address
    }

    private static func ipv6(_ text: ArraySlice<UInt8>) -> (UInt64, UInt64)? {
        let colon = UInt8(ascii: ":")
        var groups: [UInt16] = []
        /// Where `::` stands for as many zeros as are missing.
        var gap: Int?
        var rest = text
        if rest.starts(with: [colon, colon]) {
            gap = 0
            rest = rest.dropFirst(2)
        }
        while !rest.isEmpty {
            let part = rest.prefix { $0 != colon }
            if part.count == rest.count, part.contains(UInt8(ascii: ".")) {
                guard let address = ipv4(part) else { return nil }
                groups += [UInt16(address >> 16), UInt16(truncatingIfNeeded: address)]
                rest = []
                break
            }
            guard let group = hexadecimal(part) else { return nil }
            groups.append(group)
            rest = rest.dropFirst(part.count)
            guard !rest.isEmpty else { break }
            rest = rest.dropFirst()
            // One colon at the end is none too few.
            guard let next = rest.first else { return nil }
            if next == colon {
                guard gap == nil else { return nil }
                gap = groups.count
                rest = rest.dropFirst()
            }
        }
        guard gap == nil ? groups.count == 8 : groups.count < 8 else { return nil }
        let zeros = Array(repeating: UInt16(0), count: 8 - groups.count)
        groups.insert(contentsOf: zeros, at: gap ?? groups.count)
        let halves = [groups[..<4], groups[4...]].map { half in
            half.reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        }
        return (halves[0], halves[1])
    }

    private static func hexadecimal(_ digits: ArraySlice<UInt8>) -> UInt16? {
        guard 1...4 ~= digits.count, digits.allSatisfy(isASCIIAlphanumeric) else { return nil }
        return UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
    }
}

/// A range of addresses: those that are equal to the base in the bits of the mask.
struct Network: Equatable, Sendable {
    private enum Range: Equatable, Sendable {
        case all
        case ipv4(base: UInt32, mask: UInt32)
        case ipv6(high: UInt64, low: UInt64, highMask: UInt64, lowMask: UInt64)
    }

    private let range: Range

    /// Every address, but no Unix socket.
    static let all = Network(range: .all)

    private init(range: Range) { self.range = range }

    /// The addresses that share the first `length` bits with `address`; nil where that makes no sense.
    ///
    /// Bits of `address` behind them do not count: PgBouncer has such a rule match nothing.
    init?(_ address: PeerAddress, prefixLength length: Int) {
        switch address {
        case .ipv4:
            guard 0...32 ~= length else { return nil }
            let mask = length == 0 ? 0 : UInt32.max << UInt32(32 - length)
            self.init(address, mask: .ipv4(mask))
        case .ipv6:
            guard 0...128 ~= length else { return nil }
            self.init(
                address,
                mask: .ipv6(high: Self.mask(min(length, 64)), low: Self.mask(max(0, length - 64)))
            )
        case .unix: return nil
        }
    }

    /// The addresses that are equal to `address` in the bits of `mask`; nil if the two are of different
    /// kinds.
    init?(_ address: PeerAddress, mask: PeerAddress) {
        switch (address, mask) {
        case (.ipv4(let base), .ipv4(let mask)):
            range = .ipv4(base: base & mask, mask: mask)
        case (.ipv6(let high, let low), .ipv6(let highMask, let lowMask)):
            range = .ipv6(
                high: high & highMask,
                low: low & lowMask,
                highMask: highMask,
                lowMask: lowMask
            )
        default: return nil
        }
    }

    private static func mask(_ length: Int) -> UInt64 {
        length == 0 ? 0 : UInt64.max << UInt64(64 - length)
    }

    func contains(_ address: PeerAddress) -> Bool {
        switch (range, address.unmapped) {
        case (_, .unix): false
        case (.all, _): true
        case (.ipv4(let base, let mask), .ipv4(let address)): address & mask == base
        case (.ipv6(let high, let low, let highMask, let lowMask), .ipv6(let first, let last)):
            first & highMask == high && last & lowMask == low
        case (.ipv4, .ipv6), (.ipv6, .ipv4): false
        }
    }
}
