// Finds the word that somebody who mistyped most likely meant.
//
// It only helps to word an error: nothing is ever accepted because it is close.

/// The word of `words` nearest to `name`, if it is near enough to be what was meant.
public func suggestion(for name: String, among words: some Sequence<String>) -> String? {
    let typed = Array(name.utf8.prefix(64))
    let limit = typed.count < 5 ? 1 : typed.count < 10 ? 2 : 3
    let nearest =
        words
        .map { (word: $0, distance: editDistance(typed, Array($0.utf8))) }
        .min { $0.distance < $1.distance }
    guard let nearest, nearest.distance <= limit else { return nil }
    return nearest.word
}

/// The number of bytes to insert, delete, replace or swap with their neighbour.
func editDistance(_ source: [UInt8], _ target: [UInt8]) -> Int {
    var beforePrevious: [Int] = []
    var previous = Array(0...target.count)
    for (row, sourceByte) in source.enumerated() {
        var current = [row + 1]
        for (column, targetByte) in target.enumerated() {
            var best = min(
                previous[column + 1] + 1,
                current[column] + 1,
                previous[column] + (sourceByte == targetByte ? 0 : 1)
            )
            if row > 0, column > 0, sourceByte == target[column - 1],
                targetByte == source[row - 1]
            {
                best = min(best, beforePrevious[column - 1] + 1)
            }
            current.append(best)
        }
        beforePrevious = previous
        previous = current
    }
    return previous[target.count]
}
