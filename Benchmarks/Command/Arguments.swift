// What was typed? Options and operands of a command line, strictly: an unknown option is an error that names the
// nearest known one.

/// An option that a command takes.
struct OptionSpec {
    /// As typed: `--rate`.
    let name: String
    /// What its value is called in the help; nil for a switch.
    let value: String?
    /// One line of help.
    let help: String

    /// The option `name` with a value called `value`, or a switch.
    init(_ name: String, _ value: String? = nil, _ help: String) {
        self.name = name
        self.value = value
        self.help = help
    }
}

/// A command line that cannot be meant. Costs exit status 2.
struct UsageError: Error, CustomStringConvertible {
    /// What is wrong, and what may have been meant.
    let description: String

    /// The error `text`; `nearest` is offered as what may have been meant.
    init(_ text: String, nearest: String? = nil) {
        description = nearest.map { "\(text); did you mean “\($0)”?" } ?? text
    }
}

/// The options and operands of one command line.
struct Arguments {
    private var values: [String: [String]] = [:]
    /// What is no option, in order.
    private(set) var operands: [String] = []
    /// What stood behind `--`.
    private(set) var rest: [String] = []

    /// Reads `words` by `options`. Both `--name value` and `--name=value` are understood.
    init(_ words: [String], options: [OptionSpec]) throws {
        var at = 0
        while at < words.count {
            let word = words[at]
            at += 1
            if word == "--" {
                rest = Array(words[at...])
                break
            }
            guard word.hasPrefix("-"), word != "-" else {
                operands.append(word)
                continue
            }
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let isLong = word.hasPrefix("--")
            let name = isLong ? parts[0] : word
            guard let option = options.first(where: { $0.name == name }) else {
                throw UsageError(
                    "there is no option “\(name)”", nearest: nearest(name, in: options.map(\.name) + ["--help"]))
            }
            if option.value == nil {
                guard !isLong || parts.count == 1 else { throw UsageError("\(name) takes no value") }
                values[name, default: []].append("")
            } else if isLong, parts.count == 2 {
                values[name, default: []].append(parts[1])
            } else {
                guard at < words.count else { throw UsageError("\(name) needs a value: \(option.value ?? "")") }
                values[name, default: []].append(words[at])
                at += 1
            }
        }
    }

    /// Whether the switch `name` was given.
    func has(_ name: String) -> Bool { values[name] != nil }

    /// The last value of `name`.
    func text(_ name: String) -> String? { values[name]?.last }

    /// All values of `name`, in order.
    func all(_ name: String) -> [String] { values[name] ?? [] }

    /// The value of `name` as a whole number within `range`, or `standard`.
    func number(_ name: String, _ standard: Int, in range: ClosedRange<Int>) throws -> Int {
        guard let text = text(name) else { return standard }
        guard let value = Int(text), range.contains(value) else {
            throw UsageError(
                "\(name) \(text): a whole number from \(range.lowerBound) to \(range.upperBound) is needed")
        }
        return value
    }

    /// The value of `name` as a positive number, or nil.
    func rate(_ name: String) throws -> Double? {
        guard let text = text(name) else { return nil }
        guard let value = Double(text), value > 0, value <= 10_000_000 else {
            throw UsageError("\(name) \(text): a number above 0 is needed")
        }
        return value
    }

    /// The value of `name` as a span of time in nanoseconds, or `standard`.
    func time(_ name: String, _ standard: UInt64) throws -> UInt64 {
        guard let text = text(name) else { return standard }
        guard let value = nanoseconds(text), value > 0 else {
            throw UsageError("\(name) \(text): a time with a unit is needed, as in 250ms, 5s or 1m")
        }
        return value
    }

    /// The value of `name` as a size in bytes, or nil.
    func size(_ name: String) throws -> Int? {
        guard let text = text(name) else { return nil }
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let units = [
            "": 1, "B": 1, "k": 1000, "kB": 1000, "KiB": 1024, "MB": 1_000_000, "MiB": 1 << 20, "GiB": 1 << 30,
        ]
        guard let count = Int(digits), let unit = units[String(text.dropFirst(digits.count))],
            case let (bytes, overflow) = count.multipliedReportingOverflow(by: unit), !overflow
        else { throw UsageError("\(name) \(text): a size is needed, as in 1024, 64KiB or 1MiB") }
        return bytes
    }
}

/// Reads `250ms`, `5s`, `1.5s`, `1m`. Nil for anything else.
func nanoseconds(_ text: String) -> UInt64? {
    let number = text.prefix { ($0.isASCII && $0.isNumber) || $0 == "." }
    let units = ["us": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9]
    guard let value = Double(number), let unit = units[String(text.dropFirst(number.count))], value * unit < 1e18 else {
        return nil
    }
    return UInt64(value * unit)
}

/// The word of `known` that `word` is most like, if it is like any.
func nearest(_ word: String, in known: [String]) -> String? {
    let best = known.map { (name: $0, distance: editDistance(word, $0)) }.min { $0.distance < $1.distance }
    guard let best, best.distance <= max(2, word.count / 2) else { return nil }
    return best.name
}

/// How many letters must be put in, taken out or replaced to get from `a` to `b` (Levenshtein).
private func editDistance(_ a: String, _ b: String) -> Int {
    let target = Array(b)
    var row = Array(0...target.count)
    for (i, letter) in a.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for j in target.indices {
            let above = row[j + 1]
            row[j + 1] = min(above + 1, row[j] + 1, diagonal + (letter == target[j] ? 0 : 1))
            diagonal = above
        }
    }
    return row[target.count]
}
