// What is wrong with a configuration, where, and what would be right: one line each, all of them at once.

/// One thing that is wrong.
struct ConfigurationProblem: Equatable {
    /// The line, from 1, or nil where it concerns the file as a whole.
    var line: Int?
    /// The column in that line, in characters from 1.
    var column: Int?
    /// The key, as in `services.api.timeouts.connect` or `listeners[0].address`.
    var path: String
    /// What is wrong.
    var wrong: String
    /// What is allowed.
    var allowed: String

    /// The line that `check` writes: `FILE:LINE:COL: key.path: what is wrong; what is allowed`.
    func text(file: String) -> String {
        var place = file
        if let line { place += ":\(line)" }
        if let column { place += ":\(column)" }
        return "\(place): \(path.isEmpty ? "configuration" : path): \(wrong); \(allowed)"
    }
}

/// All that is wrong with a file.
struct ConfigurationProblems: Error, Equatable {
    /// The file, as it was named.
    var file: String
    /// The problems, by line and column.
    var problems: [ConfigurationProblem]
    /// Whether the file itself is valid, and only files that it names are not.
    var areOfNamedFiles = false

    /// A line for each.
    var lines: [String] { problems.map { $0.text(file: file) } }
}

/// Turns byte offsets into lines and columns. A line ends with LF, CR LF or CR.
struct LineIndex {
    private let bytes: [UInt8]
    private var starts = [0]

    /// The lines of `bytes`.
    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        for (at, byte) in bytes.enumerated() {
            let next = at + 1 < bytes.count ? bytes[at + 1] : 0
            if byte == 10 || (byte == 13 && next != 10) { starts.append(at + 1) }
        }
    }

    /// The line and the column of `offset`, both from 1; a column counts characters, not bytes.
    func position(of offset: Int) -> (line: Int, column: Int) {
        var low = 0
        var high = starts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= offset { low = middle } else { high = middle }
        }
        let before = bytes[starts[low]..<min(max(offset, starts[low]), bytes.count)]
        return (low + 1, before.count { $0 & 0xC0 != 0x80 } + 1)
    }
}
