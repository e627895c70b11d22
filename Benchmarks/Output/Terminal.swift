// How does it look to who waits? Standard output and error, one progress line on a terminal, plain lines elsewhere,
// and tables whose columns stand under each other.

import Glibc

/// Writes `text` to standard output, with a line end where it has none.
func printOut(_ text: String) { writeAll(1, text.hasSuffix("\n") ? text : text + "\n") }

/// Writes `text` and a line end to standard error.
func printError(_ text: String) { writeAll(2, text + "\n") }

private func writeAll(_ fd: Int32, _ text: String) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        // Safety: write reads `count` bytes of a buffer that lives through the call.
        let written = unsafe bytes.withUnsafeBytes { unsafe write(fd, $0.baseAddress, $0.count) }
        if written < 0 && errno == EINTR { continue }
        if written <= 0 { return }
        bytes = bytes.dropFirst(written)
    }
}

/// What goes on while one waits: a line that is written over on a terminal, a line for each step elsewhere.
struct Progress {
    private let isTerminal = isatty(2) == 1
    private var width = 0

    /// Says what is going on now. On a terminal the next call writes over it; elsewhere only steps are written.
    mutating func show(_ text: String, isStep: Bool = true) {
        guard isTerminal else {
            if isStep { printError(text) }
            return
        }
        writeAll(2, "\r" + text.padded(to: width))
        width = text.count
    }

    /// A line that stays.
    mutating func note(_ text: String) {
        clear()
        printError(text)
    }

    /// Takes the line away again.
    mutating func clear() {
        if isTerminal, width > 0 { writeAll(2, "\r" + String(repeating: " ", count: width) + "\r") }
        width = 0
    }
}

/// Rows of cells as text: the first column to the left, the others to the right.
struct Table {
    private var rows: [[String]] = []

    /// A table with these column heads.
    init(_ heads: String...) { if !heads.isEmpty { rows.append(heads) } }

    /// Adds a row.
    mutating func add(_ cells: [String]) { rows.append(cells) }

    /// Adds a line without cells.
    mutating func addGap() { rows.append([]) }

    /// The text; columns are two spaces apart. The first `left` columns stand to the left.
    func text(left: Int = 1) -> String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            let line = row.enumerated().map { column, cell in
                column < left ? cell.padded(to: widths[column]) : cell.paddedLeft(to: widths[column])
            }.joined(separator: "  ")
            return line.trimmedRight() + "\n"
        }.joined()
    }
}

extension String {
    /// With spaces behind it up to `width` characters.
    func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }

    /// With spaces before it up to `width` characters.
    func paddedLeft(to width: Int) -> String { String(repeating: " ", count: max(0, width - count)) + self }

    fileprivate func trimmedRight() -> String {
        var text = self
        while text.last == " " { text.removeLast() }
        return text
    }
}

/// `value` with `digits` decimals.
func fixed(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "-" }
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = Int((abs(value) * scale).rounded())
    let sign = value < 0 && scaled != 0 ? "-" : ""
    if digits == 0 { return sign + String(scaled) }
    let fraction = String(scaled % Int(scale))
    return sign + "\(scaled / Int(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
}

/// `value` with three figures that mean something, in groups of three digits: `27,900`, `412`, `16.1`, `1.39`.
func figure(_ value: Double) -> String {
    let size = abs(value)
    if size >= 1000 { return grouped(Int(value.rounded())) }
    return fixed(value, size >= 100 ? 0 : size >= 10 ? 1 : 2)
}

/// `27900` as `27,900`.
func grouped(_ value: Int) -> String {
    var digits = String(abs(value))
    var text = ""
    while digits.count > 3 {
        text = "," + digits.suffix(3) + text
        digits.removeLast(3)
    }
    return (value < 0 ? "-" : "") + digits + text
}

/// A span of time with a unit that fits: `83 µs`, `1.25 ms`.
func duration(ns: Double) -> String {
    if ns < 1e3 { return figure(ns) + " ns" }
    if ns < 1e6 { return figure(ns / 1e3) + " µs" }
    if ns < 1e9 { return figure(ns / 1e6) + " ms" }
    return figure(ns / 1e9) + " s"
}
