// The words behind a command: options with and without a value, and what stands free.

/// An option that a command knows.
struct Option: Sendable {
    /// As it is written: `--config` or `-X`.
    var name: String
    /// What its value is called in the help; nil: it has none.
    var value: String?
    /// What it does, in one line.
    var help: String
}

/// What is wrong with the words behind `hdproxy`.
struct UsageError: Error, Equatable, ExpressibleByStringInterpolation {
    /// What is wrong, with the nearest known word.
    var text: String

    init(stringLiteral text: String) { self.text = text }

    /// `kind` `name` is unknown here; the nearest of `known` is shown.
    static func unknown(_ kind: String, _ name: String, _ known: [String]) -> UsageError {
        let nearest = NearestName.of(name, among: known).map { "; did you mean `\($0)`?" }
        let all = known.isEmpty ? "; there is none here" : "; known: \(known.joined(separator: ", "))"
        return "unknown \(kind) `\(name)`\(nearest ?? all)"
    }
}

/// The words behind a command, sorted.
struct Arguments {
    private var values: [String: [String]] = [:]
    /// What stands free, in order.
    private(set) var free: [String] = []

    /// Sorts `words`; at most `freeMax` may stand free. `--option=value` and `-Xvalue` are read, too; behind `--` all
    /// words stand free.
    init(_ words: [String], options: [Option], freeMax: Int) throws(UsageError) {
        var words = words[...]
        while let word = words.popFirst() {
            if word == "--" {
                free += words
                break
            }
            if !word.hasPrefix("-") || word == "-" {
                free.append(word)
                continue
            }
            let (option, attached) = try Self.option(word, options)
            guard let name = option.value else {
                if attached != nil { throw "`\(option.name)` takes no value" }
                values[option.name, default: []].append("")
                continue
            }
            guard let value = attached ?? words.popFirst() else { throw "`\(option.name)` needs a value, \(name)" }
            values[option.name, default: []].append(value)
        }
        if free.count > freeMax { throw "`\(free[freeMax])` is one word too many" }
    }

    private static func option(_ word: String, _ options: [Option]) throws(UsageError) -> (Option, attached: String?) {
        if let option = options.first(where: { $0.name == word }) { return (option, nil) }
        if word.hasPrefix("--") {
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            if let option = options.first(where: { $0.name == parts[0] }) { return (option, parts.last) }
            throw .unknown("option", parts[0], options.map(\.name))
        }
        let name = String(word.prefix(2))
        if let option = options.first(where: { $0.name == name }), option.value != nil {
            return (option, String(word.dropFirst(2)))
        }
        throw .unknown("option", word, options.map(\.name))
    }

    /// Whether `option` was given.
    func has(_ option: String) -> Bool { values[option] != nil }

    /// The values of `option`, in order.
    func all(_ option: String) -> [String] { values[option] ?? [] }

    /// The value of `option`, which may be given once.
    func one(_ option: String) throws(UsageError) -> String? {
        let given = all(option)
        if given.count > 1 { throw "`\(option)` is given \(given.count) times" }
        return given.first
    }
}
