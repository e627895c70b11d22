// An object of the configuration while it is read: its members by name, its place, and the list of problems that grows
// as values turn out wrong. A wrong value is reported and its default goes on, so that one run shows every mistake.

/// What is wrong so far.
final class ProblemList {
    private(set) var problems: [JSON5Problem] = []

    /// Reports what is wrong with what stands at `offset`.
    func report(_ offset: Int, _ path: String, _ wrong: String, _ allowed: String) {
        problems.append(JSON5Problem(offset: offset, path: path, wrong: wrong, allowed: allowed))
    }
}

/// A value with the path that leads to it.
struct Item {
    var node: JSON5Node
    var path: String
    var problems: ProblemList

    /// Reports that the value is wrong.
    func report(_ wrong: String, _ allowed: String) { problems.report(node.offset, path, wrong, allowed) }

    /// The value in quotes, for messages; long ones are cut.
    var shown: String {
        switch node.value {
        case .string(let text): JSON5Writer.quoted(text.count <= 60 ? text : text.prefix(60) + "…")
        case .number(let text): text.count <= 60 ? text : text.prefix(60) + "…"
        case .bool(let bool): bool ? "true" : "false"
        case .null, .array, .object: node.value.kind
        }
    }

    private func reportKind(_ allowed: String) { report("\(node.value.kind) stands here", allowed) }

    /// The text, where it is one.
    func string(_ allowed: String) -> String? {
        if case .string(let text) = node.value { return text }
        reportKind(allowed)
        return nil
    }

    /// The boolean, where it is one.
    func bool() -> Bool? {
        if case .bool(let bool) = node.value { return bool }
        reportKind("true or false")
        return nil
    }

    /// The whole number in `range`, where it is one.
    func integer(in range: ClosedRange<Int>) -> Int? {
        let allowed = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        guard case .number(let text) = node.value else {
            reportKind(allowed)
            return nil
        }
        guard let value = JSON5Value.integer(text), range.contains(value) else {
            report("\(shown) is not allowed", allowed)
            return nil
        }
        return value
    }

    /// An absolute path, or the one word that stands for something else.
    func absolutePath(_ allowed: String, orWord word: String? = nil) -> String? {
        guard let text = string(allowed) else { return nil }
        if text == word || (text.hasPrefix("/") && !text.utf8.contains(0)) { return text }
        report("\(shown) is not an absolute path", allowed)
        return nil
    }

    /// One of these words.
    func choice(_ words: [String]) -> String? {
        let allowed = words.map(JSON5Writer.quoted).joined(separator: " or ")
        guard let text = string(allowed) else { return nil }
        if words.contains(text) { return text }
        let nearest = NearestName.hint(for: text, among: words, quote: "\"")
        report("\(shown) is unknown\(nearest)", allowed)
        return nil
    }

    /// A time of at least `least`.
    func duration(atLeast least: Int) -> Duration? {
        let range = "\(DurationText.write(.milliseconds(least))) to \(DurationText.write(.milliseconds(Self.longest)))"
        let allowed = "\(DurationText.allowed), from \(range)"
        guard let text = string(allowed) else { return nil }
        guard let value = DurationText.milliseconds(text) else {
            report("\(shown) is not a duration", allowed)
            return nil
        }
        guard least...Self.longest ~= value else {
            report("\(shown) is too \(value < least ? "short" : "long")", allowed)
            return nil
        }
        return .milliseconds(value)
    }

    /// A number of bytes in `range`.
    func size(in range: ClosedRange<Int>, allowsZero: Bool = false) -> Int? {
        let zero = allowsZero ? "; 0: unlimited" : ""
        let bounds = "from \(SizeText.write(range.lowerBound)) to \(SizeText.write(range.upperBound))\(zero)"
        let allowed = "\(SizeText.allowed), \(bounds)"
        let value: Int?
        switch node.value {
        case .string(let text): value = SizeText.bytes(text)
        case .number(let text): value = JSON5Value.integer(text)
        case .null, .bool, .array, .object:
            reportKind(allowed)
            return nil
        }
        guard let value else {
            report("\(shown) is not a size", allowed)
            return nil
        }
        guard range.contains(value) || (allowsZero && value == 0) else {
            report("\(shown) is too \(value < range.lowerBound ? "small" : "large")", allowed)
            return nil
        }
        return value
    }

    /// The elements of a list.
    func list(_ allowed: String) -> [Item]? {
        guard case .array(let nodes) = node.value else {
            reportKind(allowed)
            return nil
        }
        return nodes.enumerated().map { Item(node: $1, path: "\(path)[\($0)]", problems: problems) }
    }

    /// The object with members of any name, in the order of the file.
    func members(_ allowed: String) -> [(name: String, offset: Int, item: Item)]? {
        guard case .object(let members) = node.value else {
            reportKind(allowed)
            return nil
        }
        return members.map { member in
            let path = path + JSON5Path.step(to: member.name, isFirst: path.isEmpty)
            return (member.name, member.offset, Item(node: member.node, path: path, problems: problems))
        }
    }

    /// The object with members of the names `known`; any other name is reported.
    func section(_ known: [String]) -> Section? {
        guard let members = members("an object with \(known.joined(separator: ", "))") else { return nil }
        var items: [String: Item] = [:]
        for member in members {
            if known.contains(member.name) {
                if items[member.name] == nil { items[member.name] = member.item }
                continue
            }
            let nearest = NearestName.hint(for: member.name, among: known, quote: "`")
            problems.report(
                member.offset, member.item.path, "unknown key\(nearest)", "known here: \(known.joined(separator: ", "))"
            )
        }
        return Section(item: self, items: items)
    }

    /// The longest time that can be asked for.
    private static let longest = 7 * 24 * 3_600_000
}

/// An object whose keys are known.
struct Section {
    /// The object itself.
    var item: Item
    fileprivate var items: [String: Item]

    /// The value of `key`, where it stands in the file.
    subscript(_ key: String) -> Item? { items[key] }

    /// The value of `key`; where it is missing, this is reported.
    func required(_ key: String, _ allowed: String) -> Item? {
        if let item = items[key] { return item }
        let path = item.path + JSON5Path.step(to: key, isFirst: item.path.isEmpty)
        item.problems.report(item.node.offset, path, "it is missing", allowed)
        return nil
    }

    /// Refuses `key`, whose function comes with a later version, unless `isInert` says that its value asks for nothing
    /// but what this version does anyway.
    func refuseLater(
        _ key: String, _ shape: LaterKey, unless isInert: (JSON5Value) -> Bool = { _ in false }, or inert: String = ""
    ) {
        guard let item = items[key] else { return }
        item.checkNames(shape)
        if isInert(item.node.value) { return }
        item.report("not supported yet", inert.isEmpty ? "leave it out" : "leave it out, or write \(inert)")
    }
}

extension Item {
    /// Reports unknown names inside a value that is not read otherwise.
    fileprivate func checkNames(_ shape: LaterKey) {
        switch (shape, node.value) {
        case (.object(let known), .object):
            guard let section = section(known.map(\.0)) else { return }
            for (name, inner) in known { section[name]?.checkNames(inner) }
        case (.list(let inner), .array):
            for element in list("") ?? [] { element.checkNames(inner) }
        default: break
        }
    }
}
