// What did the writer mean? The known name that is spelled most like an unknown one.

/// Finds the known name nearest to a misspelled one.
enum NearestName {
    /// The nearest of `known`, or nil where none is near enough to be meant: at most a third of the letters may differ.
    static func of(_ name: String, among known: [String]) -> String? {
        guard name.count <= 64 else { return nil }
        let asked = Array(name.lowercased())
        let ranked = known.map { ($0, distance(asked, Array($0.lowercased()))) }
        guard let best = ranked.min(by: { $0.1 < $1.1 }) else { return nil }
        return best.1 <= max(1, max(asked.count, best.0.count) / 3) ? best.0 : nil
    }

    /// How many letters must be put in, taken out, replaced, or swapped with the next one.
    private static func distance(_ a: [Character], _ b: [Character]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var best = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, beforeLast[j - 1] + 1) }
                row.append(best)
            }
            (beforeLast, last) = (last, row)
        }
        return last[b.count]
    }
}
