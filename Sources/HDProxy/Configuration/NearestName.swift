// What did the writer mean? The known name that is spelled most like an unknown one.

/// Finds the known name nearest to a misspelled one.
enum NearestName {
    /// The nearest of `known`, or nil where none is near enough to be meant: at most a third of the letters may differ.
    static func of(_ name: String, among known: [String]) -> String? {
        let asked = Array(name.lowercased().utf8)
        guard asked.count <= 64 else { return nil }
        var best: (name: String, distance: Int)?
        for name in known {
            let candidate = Array(name.lowercased().utf8)
            let allowed = max(1, max(asked.count, candidate.count) / 3)
            // So many letters have to be put in or taken out at least.
            guard abs(asked.count - candidate.count) <= allowed else { continue }
            let distance = distance(asked, candidate)
            if distance <= allowed, distance < best?.distance ?? .max { best = (name, distance) }
        }
        return best?.name
    }

    /// `, did you mean …?` with the nearest of `known` in these quotes, or nothing.
    static func hint(for name: String, among known: [String], quote: String) -> String {
        of(name, among: known).map { ", did you mean \(quote)\($0)\(quote)?" } ?? ""
    }

    /// How many letters must be put in, taken out, replaced, or swapped with the next one.
    private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
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
