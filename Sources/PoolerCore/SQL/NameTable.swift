// A set of names that is part of the program: all names of one length stand together, in ascending
// order and without anything between them, so that a name is found by halving a range of bytes.

import PostgresWire

/// A fixed set of lower-case names.
struct NameTable: Sendable {
    /// The names, shorter ones first.
    private let letters: StaticString
    /// Where the names of each length begin; one more entry than there are lengths.
    private let starts: [UInt16]

    init(letters: StaticString, starts: [UInt16]) {
        self.letters = letters
        self.starts = starts
    }

    /// Whether the bytes of `text` at `range` are one of the names.
    ///
    /// - Parameter folded: whether capital letters count as small ones.
    func contains(_ text: RawSpan, _ range: Range<Int>, folded: Bool) -> Bool {
        let count = range.upperBound &- range.lowerBound
        guard count > 0, count &+ 1 < starts.count else { return false }
        var low = 0
        var high = (Int(starts[count &+ 1]) &- Int(starts[count])) / count
        let first = Int(starts[count])
        while low < high {
            let middle = (low &+ high) / 2
            let order = compare(text, range, folded, withNameAt: first &+ middle &* count)
            if order == 0 { return true }
            if order < 0 { high = middle } else { low = middle &+ 1 }
        }
        return false
    }

    /// Less than 0 when the text comes before the name, 0 when it is the same.
    @inline(__always)
    private func compare(
        _ text: RawSpan,
        _ range: Range<Int>,
        _ folded: Bool,
        withNameAt place: Int
    ) -> Int {
        let letter = unsafe letters.utf8Start + place
        var index = 0
        while range.lowerBound &+ index < range.upperBound {
            var byte = text.byte(at: range.lowerBound &+ index)
            if folded, 0x41...0x5A ~= byte { byte |= 0x20 }
            let other = unsafe letter[index]
            if byte != other { return Int(byte) &- Int(other) }
            index &+= 1
        }
        return 0
    }
}
